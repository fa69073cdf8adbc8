--- Finds where a request or a reply of the Redis protocol ends in a stream of bytes.
-- It checks nothing else: what comes from a real server or client is taken to be well formed.

local resp = {}

local IS_BULK = { ["$"] = true, ["="] = true, ["!"] = true }
local ELEMENTS_PER_COUNT = { ["*"] = 1, ["~"] = 1, [">"] = 1, ["%"] = 2, ["|"] = 2 }

--- Where the reply that begins at `first` ends.
-- @tparam string bytes
-- @tparam number first index of its first byte
-- @treturn ?number index of the first byte behind it; nil while it is incomplete
function resp.reply_end(bytes, first)
    local left = 1
    local position = first
    while left > 0 do
        local line_end = bytes:find("\r\n", position, true)
        if not line_end then
            return nil
        end
        local kind = bytes:sub(position, position)
        local count = tonumber(bytes:sub(position + 1, line_end - 1)) or 0
        position = line_end + 2
        left = left - 1
        if IS_BULK[kind] and count >= 0 then
            position = position + count + 2
        elseif ELEMENTS_PER_COUNT[kind] and count > 0 then
            left = left + count * ELEMENTS_PER_COUNT[kind] + (kind == "|" and 1 or 0)
        end
    end
    return position <= #bytes + 1 and position or nil
end

--- Where the request that begins at `first` ends, and what it asks for. A line of plain words, as
-- typed by hand, is a request too.
-- @tparam string bytes
-- @tparam number first index of its first byte
-- @treturn ?number index of the first byte behind it; nil while it is incomplete
-- @treturn ?string the command's name in upper case
function resp.request_end(bytes, first)
    if bytes:sub(first, first) == "*" then
        local behind = resp.reply_end(bytes, first)
        local name = behind and bytes:match("^%*%d+\r\n%$%d+\r\n(.-)\r\n", first)
        return behind, name and name:upper()
    end
    local line_end = bytes:find("\n", first, true)
    if not line_end then
        return nil
    end
    return line_end + 1, (bytes:match("^%s*(%S*)", first)):upper()
end

--- Splits what is complete off the front of a stream.
-- @tparam string bytes
-- @tparam function find_end `resp.reply_end` or `resp.request_end`
-- @tparam function take called with the bytes of each item, and the command's name of a request
-- @treturn string the incomplete rest
function resp.split(bytes, find_end, take)
    local first = 1
    while first <= #bytes do
        local behind, name = find_end(bytes, first)
        if not behind then
            break
        end
        take(bytes:sub(first, behind - 1), name)
        first = behind
    end
    return bytes:sub(first)
end

return resp
