-- Grant the lock if it is free and the ballot is higher than any that was accepted here before.
--
-- KEYS  lock, fence; for a waiter or a fair acquire also queue, claim
-- ARGV  token, ttl in ms, ballot, ttl of the fence in s;
--       then also waiter ('' to stay out of the queue), arrival in us, '1' if fair, claim time in ms,
--       ttl of the queue in ms
-- Reply {1} granted | {0, remaining ms (-1: for ever), fence} held | {-1, fence} free, but the ballot is too low
--
-- Everything is checked before the first write, and a token that already holds the lock is granted again.

-- include wake

local token, ballot, waiter = ARGV[1], ARGV[3], ARGV[5]
local queued = waiter and waiter ~= ''
local fence = redis.call('GET', KEYS[2])
local acceptable = not fence or tonumber(ballot) > tonumber(fence)

local claimer = false
if ARGV[7] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then
    claimer = redis.call('GET', KEYS[4]) or wake(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[8])
    if claimer == waiter then
        claimer = false
    end
end

if acceptable and not claimer and redis.call('SET', KEYS[1], token, 'NX', 'PX', ARGV[2]) then
    redis.call('SET', KEYS[2], ballot, 'EX', ARGV[4])
    if queued then
        redis.call('ZREM', KEYS[3], waiter)
        if redis.call('GET', KEYS[4]) == waiter then
            redis.call('DEL', KEYS[4])
        end
    end
    return {1}
end

local holder = redis.call('GET', KEYS[1])
if holder == token then
    return {1}
end
if not holder and not claimer then
    return {-1, fence}
end
if queued then
    redis.call('ZADD', KEYS[3], 'NX', ARGV[6], waiter)
    redis.call('PEXPIRE', KEYS[3], ARGV[9])
end
return {0, redis.call('PTTL', holder and KEYS[1] or KEYS[4]), fence or '0'}
