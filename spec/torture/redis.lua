--- One connection to a Redis server's Unix socket, for the torture's own questions: to the nodes as
-- their keeper, to the store as a client. No fault is ever done to it, and it reaches across
-- networks.

local redis = {}

local Connection = {}
Connection.__index = Connection

--- Connects with LuaSocket.
-- @tparam string path of a Unix socket
-- @tparam[opt=30] number seconds that an answer may take
-- @treturn[1] userdata a connected socket
-- @treturn[2] nil
-- @treturn[2] string why not
function redis.dial(path, seconds)
    local unix = require "socket.unix"
    local connection = unix.stream()
    connection:settimeout(seconds or 30)
    local ok, err = connection:connect(path)
    if not ok then
        connection:close()
        return nil, err
    end
    return connection
end

--- Speaks over a socket.
-- @param socket connected; LuaSocket's and nginx's have the same methods
-- @treturn Connection
function redis.over(socket)
    return setmetatable({ socket = socket }, Connection)
end

local read

local readers = {
    ["+"] = function(_, rest) return rest end,
    ["-"] = function(_, rest) return nil, rest end,
    [":"] = function(_, rest) return tonumber(rest) end,
    ["$"] = function(self, rest)
        local size = tonumber(rest)
        if size < 0 then
            return nil
        end
        local bytes, err = self.socket:receive(size + 2)
        return bytes and bytes:sub(1, size), err
    end,
    ["*"] = function(self, rest)
        local list = {}
        for index = 1, tonumber(rest) do
            list[index] = read(self) or false
        end
        return list
    end,
}

function read(self)
    local line, err = self.socket:receive "*l"
    if not line then
        return nil, err
    end
    return readers[line:sub(1, 1)](self, line:sub(2))
end

--- Sends a command and does not wait for the answer.
-- @treturn ?number nil when the connection is gone
function Connection:send(...)
    local words = { ... }
    local parts = { ("*%d\r\n"):format(#words) }
    for _, word in ipairs(words) do
        local text = tostring(word)
        parts[#parts + 1] = ("$%d\r\n%s\r\n"):format(#text, text)
    end
    return self.socket:send(table.concat(parts))
end

--- Sends a command and waits for the answer.
-- @return a string, a number, a list, or nil
-- @treturn ?string the text of an error reply, or what happened to the connection
function Connection:ask(...)
    local sent, err = self:send(...)
    if not sent then
        return nil, err
    end
    return read(self)
end

function Connection:close()
    self.socket:close()
end

return redis
