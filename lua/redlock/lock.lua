--- A lock of one name. It is acquired, held and released, and can then be acquired again.
--
-- Fields: `name`; and once acquired `token` (what the nodes hold under the key) and `fence` (a
-- whole number that is higher than that of every earlier owner; print it with `%.0f` before Lua
-- 5.3), and `waited` (seconds from the call of acquire to the attempt that was granted; 0 if it met
-- no other owner).
--
-- With Lua 5.4, `local lock <close> = assert(client:acquire "job")` releases it at the end of the
-- scope. A lock that is garbage is released too, at some later time; in nginx, with its request.
-- @classmod redlock.Lock

local core = require "redlock.core"
local failure = require "redlock.failure"
local hosts = require "redlock.host"
local options = require "redlock.options"

local Lock = core.lock_methods
local metatable = core.lock_metatable

local function check_self(lock, method)
    if getmetatable(lock) ~= "redlock.Lock" then
        error(("redlock: call it with a colon: lock:%s()"):format(method), 3)
    end
end

-- How the call waits here; misuse is raised at the caller of the method.
local function choose_host(companion)
    local host, err = hosts.choose(companion.host)
    return host or error("redlock: " .. err, 3)
end

local function fail(lock, terms, code, votes, cause)
    if code == "busy" then
        local name = failure.quote(lock.name)
        return nil, ("locked: %s is %s by this very object"):format(name, votes), "locked", {}
    elseif code == "lost" then
        return nil, failure.lost(lock.name, core.status(lock)), code
    end
    return nil, failure.message(code, lock.name, votes, terms, cause), code, votes
end

--- Acquires the lock, waiting for it if need be.
-- @tparam[opt] table opts any of `wait`, `ttl`, `max_hold`, `at_least` in seconds, `renew`, `fair`,
-- `cohort`, `detach`
-- @treturn[1] redlock.Lock itself
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code: `locked`, `timeout`, `unavailable`, `closed`
-- @treturn[2] table votes: for each node `{ node, vote, text, ttl, fence }`
function Lock:acquire(opts)
    check_self(self, "acquire")
    local companion = core.companion(self)
    local terms = options.terms(opts, companion.terms, 3)
    local host = choose_host(companion)
    local result, votes, cause = host.acquire(self, terms.detach, terms.ttl, terms.wait,
        terms.max_hold, terms.renew, terms.fair, terms.at_least, terms.cohort)
    if result == true then
        return self
    end
    return fail(self, terms, result, votes, cause)
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
    local companion = core.companion(self)
    local result, votes, cause = choose_host(companion).extend(self, ttl)
    if result == true then
        return true
    end
    return fail(self, companion.terms, result, votes, cause)
end

--- Releases the lock, and wakes who waits for it. With `at_least` it is no longer held, but free only
-- so long after the grant; who waits looks by himself then. Releasing what was released already is no error.
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code: `lost` if it was no longer held; `unavailable` if no majority could be
-- told, so that the rest is up to the lease; `closed`
-- @treturn[2] table votes
function Lock:release()
    check_self(self, "release")
    local companion = core.companion(self)
    local host = choose_host(companion)
    local result, votes, cause = host.release(self)
    if result == true then
        return true
    end
    return fail(self, companion.terms, result, votes, cause)
end

--- In an event loop: has a function called once, in a coroutine (light thread) of its own, as soon
-- as the lock is known to be lost. It is not called for a lock that is released. Until then the
-- lock is not garbage.
-- @tparam function fn called with the lock and the failure's message
-- @treturn boolean true; false if somebody listens already, or the lock was not acquired
-- @raise where calls block: there is no loop that could call it
function Lock:on_lost(fn)
    check_self(self, "on_lost")
    if type(fn) ~= "function" then
        error("redlock: on_lost() takes a function, not " .. type(fn), 2)
    end
    local host = choose_host(core.companion(self))
    if not host.watch then
        error("redlock: on_lost() needs an event loop; look at held() instead", 2)
    end
    return host.watch(self, fn) ~= nil
end

function metatable.__tostring(lock)
    local status = core.status(lock)
    local words = status == "held" and ("held, %.3g s left"):format(core.remaining(lock)) or status
    return ("redlock.Lock %s (%s)"):format(failure.quote(lock.name), words)
end

-- A coroutine that was closed from outside cannot wait here.
function metatable.__close(lock)
    local _, is_main = coroutine.running()
    local can_wait = is_main or coroutine.isyieldable()
    local host = can_wait and hosts.choose(core.companion(lock).host)
    local release = host and host.release or core.let_go
    release(lock)
end

metatable.__metatable = "redlock.Lock"

return Lock
