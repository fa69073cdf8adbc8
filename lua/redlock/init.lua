--- Distributed locks on Redis: one node, or a Redlock quorum over several independent ones.
--
--     local redlock = require "redlock"
--     local client = redlock.new "redis://127.0.0.1:6379"
--     local lock = assert(client:acquire("order:42", { wait = 10 }))
--     ...
--     lock:release()
--
-- Misuse (a wrong type, an unknown option) raises an error at the caller's line. What the world
-- does is returned as nil, message, code, votes; the message begins with the code, which is one of
--
--   locked       held by another, and no wait was asked
--   timeout      still held by another when the wait was over
--   unavailable  no majority of the nodes could be asked
--   lost         the lock is no longer held: it expired, was taken or deleted
--   closed       the client was closed
--
-- @module redlock

local Client = require "redlock.client"
local options = require "redlock.options"

local redlock = {
    _VERSION = "redlock scm",
}

--- Makes a client. It connects when it is first used.
-- @tparam string|table settings a node's URL, or a table: `nodes` (a list of URLs) and any option
-- of the README's table. URLs are `redis://[[user]:password@]host[:port][/database]`, the same with
-- `rediss://` for TLS, `unix://[[user]:password@]/path[?db=database]`, or `host[:port]`.
-- @tparam[opt] table opts options beside a URL, without `nodes`
-- @treturn redlock.Client
-- @raise what is wrong with the settings, at the caller's line; URLs and passwords are never quoted
function redlock.new(settings, opts)
    -- No tail call: it would hide the caller's line.
    local client = Client.new(options.client(settings, opts, 3), 3)
    return client
end

return redlock
