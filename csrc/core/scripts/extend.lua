-- Extend the lease of the token that holds the lock. Never creates, never shortens.
--
-- KEYS  lock, fence
-- ARGV  token, ttl in ms, what the fence became by the grant (see acquire.lua), ttl of the fence in s
-- Reply 1 extended | 0 absent | -1 another's
--
-- The fence's own ttl starts anew, and a fence that was evicted comes back, so that the tenure
-- after a very long one is still refused any ballot that is not higher.

local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] then
    return holder and -1 or 0
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
local ballot = string.match(ARGV[3], '%d+')
local fence = redis.call('GET', KEYS[2])
fence = fence and (string.match(fence, '^(%d+) ') or fence)
if fence and (#fence > #ballot or (#fence == #ballot and fence >= ballot)) then
    redis.call('EXPIRE', KEYS[2], ARGV[4])
else
    redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])
end
return 1
