-- Release many locks, each only for the token that holds it, and for each wake whoever is next.
--
-- KEYS  lock..., queue... (whose names end in "queue"; fences and claims are their neighbours)
-- ARGV  token for each lock in turn
-- Reply 1 all released | for each lock in turn: 2 released, and a waiter was told | 1 released
--       | 0 absent | -1 another's | text of an error
--
-- What goes wrong before the first write is everybody's error; after that, with one lock, its own.

local try = redis.pcall
local count = #ARGV
local holders = redis.call('MGET', unpack(KEYS, 1, count))
local is_awaited = redis.call('EXISTS', unpack(KEYS, count + 1)) > 0
local replies, released = {}, {}

local function text_of(err)
    return string.sub(type(err) == 'table' and err.err or err, 1, 99)
end

local function wake_next(lock, queue)
    if redis.call('EXISTS', queue) == 1 then
        -- include wake
        local side = string.sub(queue, 1, -6)
        local fence = try('GET', side .. 'fence')
        return wake(lock, type(fence) == 'string' and fence or '0', queue, side .. 'claim')
    end
end

-- MGET takes what is no string for absent.
for i = 1, count do
    if holders[i] == ARGV[i] then
        released[#released + 1] = KEYS[i]
    else
        local holder = holders[i] or try('GET', KEYS[i])
        replies[i] = type(holder) == 'table' and text_of(holder) or holder and -1 or 0
    end
end
local deleted = released[1] and try('DEL', unpack(released))
if type(deleted) == 'table' then
    return deleted
end
for i = 1, is_awaited and count or 0 do
    if not replies[i] then
        local ok, told = pcall(wake_next, KEYS[i], KEYS[count + i])
        replies[i] = not ok and text_of(told) or told and 2 or nil
    end
end
if not next(replies) then
    return 1
end
for i = 1, count do
    replies[i] = replies[i] or 1
end
return replies
