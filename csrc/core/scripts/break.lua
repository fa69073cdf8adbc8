-- Take a lock away from the token that holds it, and wake whoever is next. The fence stays: so the
-- next owner's is higher, and what the evicted one still writes can be refused.
--
-- KEYS  lock, queue (whose name ends in "queue"; fence and claim are its neighbours)
-- ARGV  token; '' for another kind of lock, whose key is no string
-- Reply 1 taken away | 0 absent | -1 another's

local holder = redis.pcall('GET', KEYS[1])
if not holder then
    return 0
end
if type(holder) == 'table' then
    if ARGV[1] ~= '' or not string.find(holder.err, 'WRONGTYPE', 1, true) then
        return holder
    end
elseif holder ~= ARGV[1] then
    return -1
end

local side = string.sub(KEYS[2], 1, -6)
local fence = redis.pcall('GET', side .. 'fence')
redis.call('DEL', KEYS[1], side .. 'claim')
-- include wake
wake(KEYS[1], type(fence) == 'string' and fence or '0', KEYS[2], side .. 'claim')
return 1
