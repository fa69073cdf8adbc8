-- Grant many locks, each as acquire.lua grants it to who is not fair and stands in no queue yet.
-- No two of them share a fence.
--
-- KEYS  lock..., fence... (whose names end in "fence"; queues are their neighbours)
-- ARGV  ttl in ms, ttl of the fence in s, waiters, who it is that asks ('' not to tell), then token,
--       ballot for each lock in turn
--       The ttls are one number for all, or one for each. Waiters are '' if there are none, else
--       their inbox, then for each lock in turn the waiter's id, - for none, and arrival in us.
-- Reply 1 all granted | for each lock in turn: 1, 0, '0' granted
--       | 0, remaining ms (-1: for ever), fence held | -1, 0, fence free, but the ballot is too low
--       | text of an error, 0, '0'
--
-- What goes wrong before the first write is everybody's error; after that, with one lock, its own.
-- The plain case has as few calls and arguments as there can be.

local try = redis.pcall
local count = #KEYS / 2

local function words(text)
    local list = {}
    for word in text:gmatch '%S+' do
        list[#list + 1] = word
    end
    return list
end

local function failed(reply)
    return type(reply) == 'table' and reply.err and reply.err:sub(1, 99)
end

-- MGET takes what is no string for absent: if anything is there, each of them is looked at.
local fences, gone = redis.call('MGET', unpack(KEYS, count + 1)), {}
for i = 1, count do
    if not fences[i] then
        gone[#gone + 1] = KEYS[count + i]
    end
end
if gone[1] and redis.call('EXISTS', unpack(gone)) > 0 then
    for i = 1, count do
        fences[i] = fences[i] or try('GET', KEYS[count + i])
    end
end

-- How long locks live, and fences.
local ttls, lives, waiters, replies = words(ARGV[1]), words(ARGV[2])

local function reply(i, ...)
    replies = replies or {}
    replies[3 * i - 2], replies[3 * i - 1], replies[3 * i] = ...
end

-- What is replied for a lock that was not set, or not without an error.
local function refuse(i, err, fence)
    local holder = try('GET', KEYS[i])
    err = err or failed(holder)
    if err or holder == ARGV[2 * i + 3] then
        return err or 1, 0, '0'
    elseif not holder then
        return -1, 0, fence
    end
    local left = try('PTTL', KEYS[i])
    waiters = waiters or words(ARGV[3])
    local id = waiters[2 * i] or '-'
    if id ~= '-' then
        local queue = KEYS[count + i]:sub(1, -6) .. 'queue'
        err = failed(try('ZADD', queue, 'NX', waiters[2 * i + 1], waiters[1] .. '/' .. id))
            or failed(try('PEXPIRE', queue, 30000))
    end
    err = err or failed(left)
    return err or 0, err and 0 or left, fence
end

for i = 1, count do
    local token, ballot, fence = ARGV[2 * i + 3], ARGV[2 * i + 4], fences[i] or '0'
    local err = failed(fence)
    fence = err or fence:match '^(%d+) ' or fence:sub(1, 99)
    local set = not err and (#ballot > #fence or #ballot == #fence and ballot > fence)
        and try('SET', KEYS[i], token, 'NX', 'PX', ttls[i] or ttls[1])
    if set and set.ok then
        if ARGV[4] ~= '' then
            ballot = ballot .. ' ' .. token:sub(1, 8) .. ' ' .. ARGV[4]
        end
        set = try('SET', KEYS[count + i], ballot, 'EX', lives[i] or lives[1])
    end
    if not (set and set.ok) then
        reply(i, refuse(i, err or failed(set), fence))
    end
end
for i = 1, replies and count or 0 do
    if not replies[3 * i] then
        reply(i, 1, 0, '0')
    end
end
return replies or 1
