--- A lock of one name. It is acquired, held and released, and can then be acquired again.
--
-- Fields: `name`; and once acquired `token` (what the nodes hold under the key) and `fence` (a
-- whole number that is higher than that of every earlier owner; print it with `%.0f` before Lua
-- 5.3).
--
-- With Lua 5.4, `local lock <close> = assert(client:acquire "job")` releases it at the end of the
-- scope. A lock that is garbage is released too, at some later time.
-- @classmod redlock.Lock

local core = require "redlock.core"
local failure = require "redlock.failure"
local options = require "redlock.options"

local Lock = core.lock_methods
local metatable = core.lock_metatable

local function check_self(lock, method)
    if getmetatable(lock) ~= "redlock.Lock" then
        error(("redlock: call it with a colon: lock:%s()"):format(method), 3)
    end
end

local function fail(lock, code, terms)
    local companion = core.companion(lock)
    if code == "lost" then
        return nil, failure.lost(lock.name, core.status(lock)), code
    end
    local votes = core.votes(companion.client)
    return nil, failure.message(code, lock.name, votes, terms or companion.terms), code, votes
end

--- Acquires the lock, waiting for it if need be.
-- @tparam[opt] table opts any of `wait`, `ttl`, `max_hold` in seconds, `renew`, `fair`
-- @treturn[1] redlock.Lock itself
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code: `locked`, `timeout`, `unavailable`, `closed`
-- @treturn[2] table votes: for each node `{ node, vote, text, ttl, fence }`
function Lock:acquire(opts)
    check_self(self, "acquire")
    local companion = core.companion(self)
    local terms = options.terms(opts, companion.terms, 3)
    if core.held(self) then
        local name = failure.quote(self.name)
        return nil, ("locked: %s is held by this very object"):format(name), "locked", {}
    end
    local result = core.acquire(self, opts and terms)
    if result == true then
        return self
    end
    return fail(self, result, terms)
end

--- Whether the lease is certainly this owner's now. The clock is read at every call.
-- @treturn boolean
function Lock:held()
    check_self(self, "held")
    return core.held(self)
end

--- How long the lease is certainly this owner's, in seconds; 0 when it is not held.
-- @treturn number
function Lock:remaining()
    check_self(self, "remaining")
    return core.remaining(self)
end

--- Extends the lease to at least this long from now. A lease is never shortened.
-- @tparam number ttl seconds
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code: `lost`, `unavailable` (the lease still runs; see `remaining`), `closed`
-- @treturn[2] table votes
function Lock:extend(ttl)
    check_self(self, "extend")
    options.ttl(ttl, 3)
    local result = core.extend(self, ttl)
    if result == true then
        return true
    end
    return fail(self, result)
end

--- Releases the lock, and wakes who waits for it. Releasing what was released already is no error.
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code: `lost` if it was no longer held; `unavailable` if no majority could be
-- told, so that the rest is up to the lease; `closed`
-- @treturn[2] table votes
function Lock:release()
    check_self(self, "release")
    if core.status(self) == "never held" then
        return fail(self, "lost")
    end
    local result = core.release(self)
    if result == true then
        return true
    end
    return fail(self, result)
end

function metatable.__tostring(lock)
    local status = core.status(lock)
    local words = status == "held" and ("held, %.3g s left"):format(core.remaining(lock)) or status
    return ("redlock.Lock %s (%s)"):format(failure.quote(lock.name), words)
end

function metatable.__close(lock)
    core.release(lock)
end

metatable.__metatable = "redlock.Lock"

return Lock
