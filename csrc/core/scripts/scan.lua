-- Look at some of the locks of a server, and say where the next are. Changes nothing.
--
-- KEYS  none
-- ARGV  cursor, pattern of keys[, 'all': other libraries' locks too: strings that end by themselves]
-- Reply one text of fields, each written as "length:bytes": the next cursor ('0' at the end), then
--       for each lock its key, token, remaining ms, fence ('' if it has none), number of waiters
--
-- A lock of ours is known by its fence. Looks at some hundred keys, and is over as soon as it has
-- found some. What is found must fit a reply: if it does not, fewer keys are looked at.

local LONGEST = 48000

local function has_tag(key)
    local open = string.find(key, '{', 1, true)
    local close = open and string.find(key, '}', open, true)
    return close and close > open + 1
end

local function fence_of(key)
    return has_tag(key) and key .. ':fence' or '{' .. key .. '}:fence'
end

local function is_side_key(key)
    local suffix = string.match(key, ':(%l+)$')
    return has_tag(key) and (suffix == 'fence' or suffix == 'queue' or suffix == 'claim')
end

local function describe(key, fence)
    local token = redis.pcall('GETRANGE', key, 0, 99)
    -- Who may not ask that is told so.
    if type(token) == 'table' and not string.find(token.err, 'WRONGTYPE', 1, true) then
        redis.call('GETRANGE', key, 0, 99)
    end
    local left = redis.call('PTTL', key)
    if type(token) ~= 'string' or token == '' or (not fence and left < 0) then
        return ''
    end
    local waiters = redis.pcall('ZCARD', string.sub(fence_of(key), 1, -6) .. 'queue')
    local text = ''
    local count = type(waiters) == 'number' and waiters or 0
    left, fence = string.format('%.0f', left), string.sub(fence or '', 1, 300)
    for _, field in ipairs({key, token, left, fence, tostring(count)}) do
        text = text .. #field .. ':' .. field
    end
    return text
end

local function describe_all(keys)
    local sides, found = {}, {}
    for i, key in ipairs(keys) do
        sides[i] = fence_of(key)
    end
    local fences = keys[1] and redis.call('MGET', unpack(sides)) or {}
    for i, key in ipairs(keys) do
        if (fences[i] or ARGV[3]) and not is_side_key(key) then
            found[#found + 1] = describe(key, fences[i])
        end
    end
    return table.concat(found)
end

local cursor, text, turns = ARGV[1], '', 0
while text == '' and turns < 8 and (turns == 0 or cursor ~= '0') do
    local count, page = 100
    repeat
        page = redis.call('SCAN', cursor, 'MATCH', ARGV[2], 'COUNT', count)
        text = describe_all(page[2])
        count = math.floor(count / 4)
    until #text <= LONGEST or count == 0
    cursor, turns = page[1], turns + 1
end
if #text > LONGEST then
    return redis.error_reply('ERR what is here does not fit a reply')
end
return #cursor .. ':' .. cursor .. text
