-- Release the lock if this token holds it, take a waiter out of the queue, and wake whoever is
-- next.
--
-- KEYS  lock, queue (whose name ends in "queue"; fence and claim are its neighbours)
-- ARGV  token ('' to release nothing)[, waiter that leaves the queue ('' if none does)[, arrival in
--       us, if it steps back into the queue instead ('' if not)[, ms that the token still stands]]]
-- Reply 2 released, and a waiter was told | 1 released | 0 absent | -1 another's
--
-- A wake-up that was meant for the waiter that leaves is passed on to the next. A waiter that was
-- granted too few nodes steps back under its own arrival, so that all nodes then prefer the same
-- one.
--
-- A token that still stands gets no longer life than it has, and nobody is woken: nothing is free.
--
-- Side keys may hold anything: what goes wrong with them must not look like a lock that was lost.

local waiter, keep = ARGV[2] ~= '' and ARGV[2], tonumber(ARGV[4])
local holder = redis.call('GET', KEYS[1])
local released = holder == ARGV[1] and holder ~= ''
local is_free = released and not keep
local told = false
if is_free then
    redis.call('DEL', KEYS[1])
elseif released then
    local left = redis.call('PTTL', KEYS[1])
    if left < 0 or left > keep then
        redis.call('PEXPIRE', KEYS[1], ARGV[4])
    end
end

if waiter or (is_free and redis.call('EXISTS', KEYS[2]) == 1) then
    local side = string.sub(KEYS[2], 1, -6)
    local claim = side .. 'claim'
    local next_may_come = is_free
    if waiter and ARGV[3] and ARGV[3] ~= '' then
        if type(redis.pcall('ZADD', KEYS[2], 'NX', ARGV[3], waiter)) == 'number' then
            redis.call('PEXPIRE', KEYS[2], 30000)
        end
    elseif waiter then
        redis.pcall('ZREM', KEYS[2], waiter)
        if redis.pcall('GET', claim) == waiter then
            redis.call('DEL', claim)
            next_may_come = is_free or not holder
        end
    end
    if next_may_come then
        -- include wake
        local fence = redis.pcall('GET', side .. 'fence')
        told = wake(KEYS[1], type(fence) == 'string' and fence or '0', KEYS[2], claim)
    end
end
return released and (told and 2 or 1) or (holder and -1 or 0)
