--- Under what the specs run: `make asan` and `make tsan` build for a sanitizer.

local build = {}

--- Whether the module was built for a sanitizer.
-- @tparam string sanitizer "address" or "thread"
-- @treturn boolean
function build.has(sanitizer)
    return (os.getenv("REDLOCK_BUILD") or ""):find(sanitizer, 1, true) ~= nil
end

return build
