--- A client of one Redis node or of a quorum: where locks come from.
-- @classmod redlock.Client

local core = require "redlock.core"
local failure = require "redlock.failure"
local hosts = require "redlock.host"
local eviction = require "redlock.eviction"
local options = require "redlock.options"
local sighting = require "redlock.sighting"
local walk = require "redlock.walk"
require "redlock.lock" -- gives core's locks their methods

local Client = {}
Client.__index = Client
Client.__metatable = "redlock.Client"

--- @local
function Client.new(settings, level)
    local handle, message = core.client(settings)
    if not handle then
        error("redlock: " .. message, level)
    end
    -- What a lock needs besides its C part. One table serves all locks that have the same terms.
    local companion = { client = handle, terms = settings.terms, host = settings.host }
    local client = { handle = handle, prefix = settings.prefix }
    client.companion, client.last_companion = companion, companion
    return setmetatable(client, Client)
end

local function check_self(client, method)
    if getmetatable(client) ~= "redlock.Client" then
        error(("redlock: call it with a colon: client:%s()"):format(method), 3)
    end
end

local function choose_host(self)
    local host, err = hosts.choose(self.companion.host)
    return host or error("redlock: " .. err, 3)
end

-- Many locks are acquired with the same options, one after the other.
local function companion_for(self, opts, level)
    local last = self.last_companion
    local terms = options.terms(opts, self.companion.terms, level + 1, last.terms)
    if terms ~= last.terms then
        last = { client = self.handle, terms = terms, host = self.companion.host }
        self.last_companion = last
    end
    return last
end

local function new_lock(self, name, opts, level)
    options.name(name, self.prefix, level + 1)
    local companion = opts == nil and self.companion or companion_for(self, opts, level + 1)
    return core.lock(self.handle, self.prefix, name, companion)
end

--- Makes a lock object that is acquired later, and again.
-- @tparam string name 1 to 512 bytes, any of them
-- @tparam[opt] table opts any of `wait`, `ttl`, `max_hold`, `at_least` in seconds, `renew`, `fair`,
-- `cohort`, `detach`; they hold for every acquire
-- @treturn redlock.Lock
function Client:lock(name, opts)
    check_self(self, "lock")
    return (new_lock(self, name, opts, 3)) -- no tail call: it would hide the caller's line
end

--- Acquires a lock, waiting for it if need be.
-- @tparam string name 1 to 512 bytes, any of them
-- @tparam[opt] table opts any of `wait`, `ttl`, `max_hold`, `at_least` in seconds, `renew`, `fair`,
-- `cohort`, `detach`
-- @treturn[1] redlock.Lock
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code: `locked`, `timeout`, `unavailable`, `closed`; `lost` if the lease was over
-- before the grant was there
-- @treturn[2] table votes: for each node `{ node, vote, text, ttl, fence }`
function Client:acquire(name, opts)
    check_self(self, "acquire")
    return new_lock(self, name, opts, 3):acquire()
end

--- Acquires a lock if it is free: acquire with `wait = 0`.
-- @tparam string name
-- @tparam[opt] table opts as for acquire, without `wait`
-- @treturn redlock.Lock as acquire
function Client:try(name, opts)
    check_self(self, "try")
    local lock = new_lock(self, name, opts, 3)
    return lock:acquire { wait = 0 }
end

-- A coroutine that is closed while the body waits lets the lock go (Lua 5.4).
local Guard = {}

function Guard:__close()
    if self.lock then
        core.let_go(self.lock)
    end
end

local function once(_, last)
    return not last or nil
end

local function conclude(guard, ok, ...)
    local lock = guard.lock
    guard.lock = nil
    local released, message, code = lock:release()
    if not ok then
        error((...), 0)
    elseif not released and code == "lost" then
        return nil, message, code
    end
    return true, ...
end

--- Runs a function while holding a lock, which is released when it returns, and when it fails.
-- @tparam string name
-- @tparam[opt] table opts as for acquire
-- @tparam function body is called with the lock
-- @return[1] true, and what body returned
-- @return[2] nil, message, code, votes: the lock could not be had; or, with code `lost`, body ran
-- but the lock was lost before its end
-- @raise what body raised
function Client:with(name, opts, body)
    check_self(self, "with")
    if body == nil and type(opts) == "function" then
        opts, body = nil, opts
    end
    if type(body) ~= "function" then
        error("redlock: with() takes a function, not " .. type(body), 2)
    end
    local lock, message, code, votes = new_lock(self, name, opts, 3):acquire()
    if not lock then
        return nil, message, code, votes
    end
    local guard = setmetatable({ lock = lock }, Guard)
    -- The last value is closed however the loop is left.
    for _ in once, nil, nil, guard do -- luacheck: ignore 512
        return conclude(guard, pcall(body, lock))
    end
end

--- Looks at a lock on every node, and changes nothing.
-- @tparam string name
-- @treturn[1] table for each node `{ node, token, ttl, fence, waiters, holder, age }`, without token
-- and ttl (seconds; huge: no limit) where it is free; or `{ node, error }`. `holder` says who holds it
-- (see the option `identity`) and `age` for about how many seconds, by wall clocks; both are nil where
-- the holder did not tell, or uses another library
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code: `closed`; `unavailable` where the call cannot wait
function Client:info(name)
    check_self(self, "info")
    options.name(name, self.prefix, 3)
    local result, nodes, cause = choose_host(self).inspect(self.handle, self.prefix .. name)
    if result ~= true then
        return nil, failure.message(result, name, nodes, nil, cause), result, nodes
    end
    for index, vote in ipairs(nodes) do
        nodes[index] = sighting.of(vote)
    end
    return nodes
end

--- Takes a lock away from whoever holds it, and wakes who waits for it. It looks first, and takes away
-- what it saw: so it evicts who holds the lock now, and nobody who comes later. The fence stays, so
-- that the next owner's is higher and the evicted one's writes can be refused; its watchdog finds out
-- with the next renewal.
-- @tparam string name
-- @tparam[opt] table opts `token`: only this one; `any_type`: also another kind of lock, whose key is
-- no string
-- @treturn[1] boolean true
-- @treturn[1] table `{ votes, token, holder, age, fence, nodes }`: on how many nodes it was taken away,
-- from whom, and for each node `{ node, evicted, token, holder, error }`
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code: `lost` (nobody holds it, or not by that token), `locked` (another kind of lock
-- stands, or somebody took it meanwhile), `unavailable` (no majority answered), `closed`
-- @treturn[2] table votes: for each node `{ node, evicted, token, holder, error }`
function Client:break_lock(name, opts)
    check_self(self, "break_lock")
    options.name(name, self.prefix, 3)
    local checked = options.eviction(opts, 3)
    return eviction.run(choose_host(self), self.handle, self.prefix, name, checked)
end

--- Lists the locks that stand on the nodes, merged by name. It walks through the keys page by page
-- (SCAN, never KEYS), so that no server is held up for long; what comes or goes meanwhile may be
-- missing.
-- @tparam[opt="*"] string pattern of names, as Redis' SCAN has it
-- @tparam[opt] table opts `all`: also strings that end by themselves and have no fence, as other
-- libraries' locks; `timeout`: seconds for all of it, 60; `limit`: at most so many locks, 100000, those
-- that are met first; `progress`: a function that is called with `{ pages, locks, nodes, elapsed }` after each round of
-- pages, and ends the walk if it returns false
-- @treturn[1] {table,...} sorted by name: `{ name, votes, token, holder, age, ttl, fence, waiters,
-- foreign, nodes }`. `token` is the one that stands on most nodes, and `votes` on how many; `ttl` in
-- seconds is the longest of these; `nodes[i]` is what the i-th node says, as by `info`
-- @treturn[1] table `{ complete, why, pages, nodes }`; `why` it is not complete: "timeout", "limit",
-- "stopped" or "nodes"; for each node `{ node, error }`
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code: `unavailable` (no node could be asked), `closed`
-- @treturn[2] table for each node `{ node, error }`
function Client:list(pattern, opts)
    check_self(self, "list")
    if type(pattern) == "table" and opts == nil then
        pattern, opts = nil, pattern
    end
    local checked = options.walk(pattern, opts, 3)
    return walk.run(choose_host(self), self.handle, self.prefix, checked)
end

--- Releases what is held and closes every connection. Later calls fail with code `closed`; closing
-- again does nothing.
function Client:close()
    check_self(self, "close")
    choose_host(self).close(self.handle)
end

Client.__close = Client.close

function Client:__tostring()
    local state = core.is_closed(self.handle) and " (closed)" or ""
    return "redlock.Client of " .. table.concat(core.nodes(self.handle), ", ") .. state
end

return Client
