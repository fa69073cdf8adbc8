--- Finds processes that this one has started, at whatever remove, and that are still there: by a
-- mark in their environment, and by the network that they live in, if that is our own.
--
-- The mark alone is not enough: a Redis server overwrites its environment with its title.

local keeper = require "keeper"
local system = require "torture.system"
local wait = require "support.wait"

local processes = {}

local NAME = "REDLOCK_TORTURE"
local mark
local has_network = false

local function read_line(command)
    local pipe = io.popen(command)
    local line = pipe:read "*l"
    pipe:close()
    return line
end

--- Marks all that are started from now on, and puts what stands before redis-server into their
-- PATH.
function processes.mark()
    mark = keeper.random_name()
    system.set_variable(NAME, mark)
    local here = read_line "pwd"
    system.set_variable("PATH", here .. "/spec/torture/bin:" .. os.getenv "PATH")
end

--- Says that this process has a network of its own.
function processes.own_network()
    has_network = true
end

local FIND = [[
    own=$(readlink /proc/$PPID/ns/net)
    for process in /proc/[0-9]*; do
        pid=${process#/proc/}
        test "$pid" != $$ && test "$pid" != $PPID || continue
        if grep -qsz '^%s=%s$' $process/environ ||
            { %s && test "$(readlink $process/ns/net 2>/dev/null)" = "$own"; }; then
            command=$(tr '\0' ' ' <$process/cmdline 2>/dev/null)
            test -z "$command" || echo "$pid $command"
        fi
    done
]]

-- The shell that looks is one of ours, too, and so is what it runs for that.
local function find()
    local pipe = io.popen(FIND:format(NAME, mark, tostring(has_network)))
    local found = {}
    for line in pipe:lines() do
        if not line:find "^%d+ sh %-c own=" and not line:find "^%d+ /bin/sh %-c own=" then
            found[#found + 1] = line:sub(1, 200)
        end
    end
    pipe:close()
    return found
end

--- Those that are there a moment after everything was stopped.
-- @tparam[opt=20] number seconds that they have to end
-- @treturn {string,...}
function processes.left(seconds)
    local found
    wait.wait_until(function()
        found = find()
        return #found == 0
    end, seconds or 20)
    return found
end

return processes
