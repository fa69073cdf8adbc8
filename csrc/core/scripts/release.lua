-- Release the lock if this token holds it, take a waiter out of the queue, and wake whoever is next.
--
-- KEYS  lock, fence, queue, claim
-- ARGV  token ('' to release nothing), waiter that leaves the queue ('' for none), claim time in ms
-- Reply 1 released | 0 absent | -1 another's
--
-- A wake-up that was meant for the waiter that leaves is passed on to the next.

-- include wake

local holder = redis.call('GET', KEYS[1])
local released = holder == ARGV[1]
if released then
    redis.call('DEL', KEYS[1])
end

local passed_on = false
if ARGV[2] ~= '' then
    redis.call('ZREM', KEYS[3], ARGV[2])
    if redis.call('GET', KEYS[4]) == ARGV[2] then
        redis.call('DEL', KEYS[4])
        passed_on = not holder
    end
end

if released or passed_on then
    wake(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[3])
end
return released and 1 or (holder and -1 or 0)
