-- Grant the lock if it is free and the ballot is higher than any that was accepted here before.
--
-- KEYS  lock, fence (whose name ends in "fence"; queue and claim are its neighbours)
-- ARGV  token, ttl in ms, what the fence will be[, ttl of the fence in s[, waiter ('' to stay out of
--       the queue), arrival in us[, 'queued' if the waiter may stand in the queue or have been told,
--       'fair']]]
--       The fence is the ballot; or the ballot, the first 8 characters of the token and who it is
--       that asks, with spaces between them.
-- Reply 1 granted | {0, remaining ms (-1: for ever), fence} held
--       | {-1, fence} free, but the ballot is too low
--
-- Everything is checked before the first write, and a token that already holds the lock is granted
-- again. Ballots are compared as decimal digits. Arguments and table replies cost, so the plain
-- case has few.

local token, ballot, waiter = ARGV[1], string.match(ARGV[3], '%d+'), ARGV[5]
local fence = redis.call('GET', KEYS[2])
fence = fence and (string.match(fence, '^(%d+) ') or fence)
local acceptable = not fence or #ballot > #fence or (#ballot == #fence and ballot > fence)

local queue, claim, claimer
if waiter then
    local side = string.sub(KEYS[2], 1, -6)
    queue, claim = side .. 'queue', side .. 'claim'
    if ARGV[7] == 'fair' and redis.call('EXISTS', KEYS[1]) == 0 then
        -- include wake
        claimer = redis.call('GET', claim) or wake(KEYS[1], fence or '0', queue, claim)
        if claimer == waiter then
            claimer = nil
        end
    end
end

if acceptable and not claimer and redis.call('SET', KEYS[1], token, 'NX', 'PX', ARGV[2]) then
    redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4] or '86400')
    if ARGV[7] and waiter ~= '' then
        redis.call('ZREM', queue, waiter)
        if redis.call('GET', claim) == waiter then
            redis.call('DEL', claim)
        end
    end
    return 1
end

local holder = redis.call('GET', KEYS[1])
if holder == token then
    return 1
end
if not holder and not claimer then
    return {-1, fence}
end
if waiter and waiter ~= '' then
    redis.call('ZADD', queue, 'NX', ARGV[6], waiter)
    redis.call('PEXPIRE', queue, 30000)
end
return {0, redis.call('PTTL', holder and KEYS[1] or claim), fence or '0'}
