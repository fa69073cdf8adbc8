--- The host of programs that may wait: calls run on the calling thread.
-- @module redlock.host.blocking
-- @local

local core = require "redlock.core"

return {
    acquire = function(lock, _, ...)
        return core.acquire(lock, ...)
    end,
    extend = core.extend,
    release = core.release,
    inspect = core.inspect,
    close = core.close,
}
