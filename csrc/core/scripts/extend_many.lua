-- Extend the leases of many locks, each only for the token that holds it. Never creates, never
-- shortens.
--
-- KEYS  lock...
-- ARGV  token, ttl in ms, for each lock in turn
-- Reply one of 1 extended | 0 absent | -1 another's, for each lock in turn

local replies = {}
for i = 1, #KEYS do
    local holder = redis.pcall('GET', KEYS[i])
    if holder == ARGV[2 * i - 1] then
        local ttl = ARGV[2 * i]
        if redis.call('PTTL', KEYS[i]) < tonumber(ttl) then
            redis.call('PEXPIRE', KEYS[i], ttl)
        end
        replies[i] = 1
    else
        replies[i] = holder and -1 or 0
    end
end
return replies
