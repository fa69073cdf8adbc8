--- Programs whose wall clock is off: libfaketime, where the interpreter can bear it.

local build = require "support.build"

local clock = {}

local function find_library()
    local pipe = io.popen("ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null")
    local path = pipe:read("*l")
    pipe:close()
    return path
end

--- What keeps clocks from being shifted here.
-- @treturn ?string
function clock.why_not()
    if build.has "address" or build.has "thread" then
        return "a sanitizer has to come first"
    end
    return not find_library() and "libfaketime is not installed" or nil
end

--- The variables that shift a program's wall clock, and no other.
-- @tparam number seconds
-- @treturn string as they stand before a command
function clock.shifted(seconds)
    return ("LD_PRELOAD=%s FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME=%+d"):format(
        find_library(), seconds)
end

return clock
