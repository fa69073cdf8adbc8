--- What the machines share besides locks: a few values on the first node. In real life that would
-- be another server, and a library such as lua-resty-redis.

-- luacheck: read globals ngx
local cluster = require "cluster"

local cache = {}

local host, port = cluster.nodes[1]:match "^redis://([^:/]+):?(%d*)"
assert(host, "the first node has to be redis://host:port, with an address for a host")

local function read_reply(connection)
    local line, message = connection:receive "*l"
    if not line then
        return nil, message
    end
    local kind, rest = line:sub(1, 1), line:sub(2)
    if kind == "-" then
        return nil, rest
    elseif kind == "$" then
        return rest ~= "-1" and assert(connection:receive(tonumber(rest) + 2)):sub(1, -3) or nil
    elseif kind == "*" then
        local list = {}
        for index = 1, tonumber(rest) do
            list[index] = read_reply(connection)
        end
        return list
    end
    return rest
end

--- Sends one command to Redis.
-- @tparam string|number ... the command and its arguments
-- @return the reply: a string, or a list of strings; nil if there is no such key
-- @treturn ?string what went wrong
function cache.ask(...)
    local words = { ("*%d\r\n"):format(select("#", ...)) }
    for index = 1, select("#", ...) do
        local word = tostring((select(index, ...)))
        words[index + 1] = ("$%d\r\n%s\r\n"):format(#word, word)
    end
    local connection = ngx.socket.tcp()
    connection:settimeout(1000)
    assert(connection:connect(host, tonumber(port) or 6379))
    assert(connection:send(words))
    local reply, message = read_reply(connection)
    connection:setkeepalive()
    return reply, message
end

return cache
