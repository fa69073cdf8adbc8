--- Waiters without a process: an inbox like that of a client, on a bare connection. It stands in
-- queues, and what is sent to it is read; nothing else is done about it.

local keeper = require "keeper"
local quorum = require "support.quorum"
local socket = require "socket"

local inbox = {}

local Inbox = {}
Inbox.__index = Inbox

local PATIENCE = 20 -- seconds for what must come
local JOIN = "redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2]) redis.call('PEXPIRE', KEYS[1], 60000)"

local open = {} -- every inbox that was opened and not closed: inbox -> true

--- The name of a key's neighbour, for a key without a hash tag of its own.
-- @tparam string key
-- @tparam string side "queue", "claim" or "fence"
function inbox.side(key, side)
    return ("{%s}:%s"):format(key, side)
end

local function read_element(connection)
    local kind, size = assert(connection:receive("*l")):match("^(.)(%d+)$")
    if kind == ":" then
        return tonumber(size)
    end
    local bytes = assert(connection:receive(tonumber(size) + 2))
    return bytes:sub(1, -3)
end

-- What the server says to a subscriber is a list; nil when nothing is said.
local function read_list(self, seconds)
    self.connection:settimeout(seconds)
    local line = self.connection:receive("*l")
    self.connection:settimeout(PATIENCE)
    if not line then
        return nil
    end
    local list = {}
    for index = 1, assert(tonumber(line:match("^%*(%d+)$")), line) do
        list[index] = read_element(self.connection)
    end
    return list
end

local function message_of(list)
    local id, fence, key = list[3]:match("^(%d+) (%d+) (.*)$")
    return { id = tonumber(id), fence = tonumber(fence), key = key }
end

--- Opens an inbox on a node.
-- @tparam table server with a `port`
-- @tparam[opt] string name of its connection
-- @treturn Inbox with `channel`
function inbox.open(server, name)
    local channel = "redlock:" .. keeper.random_name()
    local self = setmetatable({ server = server, channel = channel }, Inbox)
    self.connection = assert(socket.connect("127.0.0.1", server.port))
    if name then
        assert(self.connection:send(("CLIENT SETNAME %s\r\n"):format(name)))
        assert(self.connection:receive "*l" == "+OK")
    end
    assert(self.connection:send(("SUBSCRIBE %s\r\n"):format(self.channel)))
    assert(read_list(self, PATIENCE))
    open[self] = true
    return self
end

--- Closes every inbox that is still open.
function inbox.close_all()
    local self = next(open)
    while self do
        self:close()
        self = next(open)
    end
end

--- A waiter of this inbox, as queues know it.
function Inbox:waiter(id)
    return ("%s/%d"):format(self.channel, id)
end

--- Puts a waiter into the queue of a key.
-- @tparam string key
-- @tparam number id
-- @tparam number arrival its rank
function Inbox:join(key, id, arrival)
    quorum.ask(self.server, "EVAL", JOIN, 1, inbox.side(key, "queue"), arrival, self:waiter(id))
end

--- Everything that has been sent to this inbox so far and was not read yet.
-- @treturn table list of `{ id, fence, key }`
function Inbox:heard()
    assert(self.connection:send("PING\r\n"))
    local messages = {}
    local list = assert(read_list(self, PATIENCE))
    while list[1] ~= "pong" do
        messages[#messages + 1] = message_of(list)
        list = assert(read_list(self, PATIENCE))
    end
    return messages
end

--- Waits for the next wake-up.
-- @tparam[opt=20] number seconds how long at most
-- @treturn ?table `{ id, fence, key }`; nil when none came
function Inbox:next(seconds)
    local list = read_list(self, seconds or 20)
    return list and message_of(list)
end

--- Hears nothing any more, like a process that has died.
function Inbox:close()
    open[self] = nil
    self.connection:close()
end

return inbox
