--- Redis servers as the nodes of redlock clients, and a look at what stands on them.

local redlock = require "redlock"
local servers = require "servers"
local socket = require "socket"
local wait = require "support.wait"

local unpack = table.unpack or unpack

local quorum = {}

local Quorum = {}
Quorum.__index = Quorum

local PATIENCE = 10 -- seconds: a timeout that only a hung node uses up

local clients = {} -- every client that was made and not closed

--- Takes servers (or proxies: anything with a `url` and a `port`) as nodes.
-- @tparam table list
-- @treturn Quorum with the servers at 1, 2, ...
function quorum.of(list)
    local self = setmetatable({}, Quorum)
    for index, server in ipairs(list) do
        self[index] = server
    end
    return self
end

--- Starts servers.
-- @tparam number count
-- @tparam[opt] table options as `servers.start` takes them
-- @treturn Quorum
function quorum.start(count, options)
    return quorum.of(servers.start(count, options))
end

--- Makes a client that `quorum.close_clients` closes.
-- @tparam table|string settings as `redlock.new` takes them
function quorum.new_client(settings)
    local client = redlock.new(settings)
    clients[#clients + 1] = client
    return client
end

--- Closes every client that was made here.
function quorum.close_clients()
    for index = #clients, 1, -1 do
        clients[index]:close()
        clients[index] = nil
    end
end

--- Acquires a lock whose lease is so short that it may not be had at first where the machine stands
-- still.
-- @tparam Client client
-- @tparam string name
-- @tparam table terms as acquire takes them
-- @treturn Lock
function quorum.insist(client, name, terms)
    return assert(wait.wait_until(function() return client:acquire(name, terms) end))
end

--- The ballot in what a node keeps as a fence: whose it was may stand behind.
-- @tparam ?string fence
-- @treturn ?string digits
function quorum.ballot(fence)
    return fence and (fence:match "^(%d+) " or fence)
end

--- Sends one command to a server on 127.0.0.1 over a connection of its own.
-- @tparam table server with a `port`
-- @tparam string|number ... the command and its arguments, any bytes
-- @return the reply: a string, a number, or nil
-- @treturn ?string the text of an error reply
function quorum.ask(server, ...)
    local words, bytes = { ... }, {}
    for index, word in ipairs(words) do
        local text = tostring(word)
        bytes[index] = ("$%d\r\n%s\r\n"):format(#text, text)
    end
    local connection = assert(socket.connect("127.0.0.1", server.port))
    connection:settimeout(PATIENCE)
    assert(connection:send(("*%d\r\n%s"):format(#words, table.concat(bytes))))
    local line = assert(connection:receive("*l"))
    local kind, rest = line:sub(1, 1), line:sub(2)
    local size = kind == "$" and tonumber(rest)
    if size then
        rest = size >= 0 and assert(connection:receive(size)) or nil
    end
    connection:close()
    if kind == "-" then
        return nil, rest
    end
    return kind == ":" and tonumber(rest) or rest
end

--- The first nodes of the quorum, as one of their own.
function Quorum:first(count)
    return quorum.of { unpack(self, 1, count) }
end

--- The URLs of the nodes.
function Quorum:urls()
    local urls = {}
    for index, server in ipairs(self) do
        urls[index] = server.url
    end
    return urls
end

--- Makes a client of these nodes.
-- @tparam[opt] table options of `redlock.new`, over a patient timeout, and no mind for the age of
-- nodes that a spec restarts
function Quorum:client(options)
    local settings = { nodes = self:urls(), timeout = PATIENCE, restart_guard = false }
    for name, value in pairs(options or {}) do
        settings[name] = value
    end
    return quorum.new_client(settings)
end

--- Sends a command to the node of that number.
function Quorum:ask(index, ...)
    return quorum.ask(self[index], ...)
end

--- Sends a command to every node.
function Quorum:ask_all(...)
    for _, server in ipairs(self) do
        quorum.ask(server, ...)
    end
end

local function is_up(server)
    return not server.paused and (not server.alive or server:alive())
end

--- What stands under a key, on each node that is up.
-- @treturn table by the number of the node
function Quorum:values(key)
    local values = {}
    for index, server in ipairs(self) do
        values[index] = is_up(server) and quorum.ask(server, "GET", key) or nil
    end
    return values
end

--- On how many nodes that are up a key stands; with that value, if one is given.
function Quorum:count(key, value)
    local count = 0
    for _, found in pairs(self:values(key)) do
        if value == nil or found == value then
            count = count + 1
        end
    end
    return count
end

--- Waits until a key stands on so many nodes.
-- @treturn boolean whether it came to that
function Quorum:comes_to(count, key, seconds)
    return wait.wait_until(function() return self:count(key) == count end, seconds) == true
end

--- Acquires a lock that stands on every node of this quorum. A majority is enough for a lock, so on a
-- busy machine it may take more than one.
-- @tparam Client client
-- @tparam string name
-- @tparam[opt] table terms as acquire takes them
-- @tparam[opt=name] string key
-- @treturn Lock
function Quorum:everywhere(client, name, terms, key)
    local lock
    assert(wait.wait_until(function()
        lock = assert(client:acquire(name, terms))
        return self:comes_to(#self, key or name, 0.3) or not lock:release()
    end, 60))
    return lock
end

--- Waits until the lease of a key has been renewed so often.
-- @tparam number index of the node
-- @tparam string key
-- @tparam[opt=1] number times
-- @treturn boolean whether it came to that
function Quorum:is_renewed(index, key, times)
    local count, last = 0, self:ask(index, "PTTL", key)
    return wait.wait_until(function()
        local left = self:ask(index, "PTTL", key)
        count, last = count + (left > last and 1 or 0), left
        return count >= (times or 1)
    end) == true
end

local KEYS_FOR_EVER = [[
    for _, key in ipairs(redis.call('KEYS', '*')) do
        if redis.call('PTTL', key) == -1 then
            return key
        end
    end
    return false
]]

--- A key that would never go by itself, on any node that is up.
-- @treturn ?string
function Quorum:key_for_ever()
    for _, server in ipairs(self) do
        local key = is_up(server) and quorum.ask(server, "EVAL", KEYS_FOR_EVER, 0)
        if key then
            return key
        end
    end
    return nil
end

--- Brings up every node that is paused or dead.
function Quorum:revive()
    for _, server in ipairs(self) do
        if server.paused then
            server:resume()
        end
        if not server:alive() then
            server:restart()
        end
    end
end

--- As it was at the start: every node up, and empty.
function Quorum:reset()
    self:revive()
    self:ask_all "FLUSHALL"
end

return quorum
