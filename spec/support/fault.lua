--- Servers that misbehave: a proxy in front of a Redis server with faults to be switched while it
-- runs, and fake servers. Each is a process of its own on 127.0.0.1 that dies with its owner.

local socket = require "socket"
local literal = require "support.literal"
local process = require "support.process"

local fault = {}

local Fault = {}
Fault.__index = Fault

local SERVER_FILE = debug.getinfo(1, "S").source:match("^@(.*)fault%.lua$") .. "fault_server.lua"

local running = {} -- every one that was started and not closed: fault -> true

--- Ready-made behaviours of fake servers, by name.
fault.behaviours = {
    garbage = { answers = { ["*"] = "\0\255HTTP/1.1 400 Bad Request\r\n\r\n" } },
    huge_bulk = { answers = { ["*"] = "$999999999\r\n" } },
    huge_array = { answers = { ["*"] = "*999999999\r\n" } },
    nested = { answers = { ["*"] = ("*1\r\n"):rep(10000) } },
    endless = { stream = { first = "+", rest = ("a"):rep(16384) } },
    endless_bulk = { stream = { first = "$999999999\r\n", rest = ("a"):rep(16384) } },
    endless_replies = { stream = { first = "", rest = ("+OK\r\n"):rep(4096) } },
    silent = { silent = true },
    close = { close_on_accept = true },
    reset = { close_on_accept = "reset" },
}

local function start(target_port, behaviour)
    local child = process.start { file = SERVER_FILE, args = { target_port } }
    local line = assert(child:wait_line("^%d+%s+%d+$"))
    local port, control_port = line:match("^(%d+)%s+(%d+)$")
    local self = setmetatable({ child = child, port = tonumber(port), pid = child.pid }, Fault)
    self.url = "redis://127.0.0.1:" .. port
    self.control = assert(socket.connect("127.0.0.1", tonumber(control_port)))
    self.control:settimeout(10)
    running[self] = true
    self:set(behaviour or {})
    return self
end

--- Starts a proxy in front of a server.
-- @tparam table|number target something with a `port`, or a port on 127.0.0.1
-- @tparam[opt] table behaviour see `Fault:set`
-- @treturn Fault with `port`, `url`, `pid`
function fault.proxy(target, behaviour)
    return start(type(target) == "table" and target.port or target, behaviour)
end

--- Starts a fake server: what it has no answer for, it does not answer.
-- @tparam string|table behaviour a name in `fault.behaviours`, or as `Fault:set` takes it
-- @treturn Fault with `port`, `url`, `pid`
function fault.fake(behaviour)
    if type(behaviour) == "string" then
        behaviour = assert(fault.behaviours[behaviour], "no such behaviour: " .. behaviour)
    end
    return start(0, behaviour)
end

--- Ends every proxy and fake server that is still there.
function fault.stop_all()
    local all = {}
    for server in pairs(running) do
        all[#all + 1] = server
    end
    for _, server in ipairs(all) do
        server:close()
    end
end

local function ask(self, verb, value)
    assert(self.control:send(("%s %s\n"):format(verb, literal.write(value or {}))))
    return literal.read(assert(self.control:receive("*l")))
end

--- Changes the behaviour from now on; what is not named stays as it is.
-- @tparam table changes any of:
--
--   * `delay_requests`, `delay_replies`: milliseconds that each takes longer
--   * `hold_requests`, `hold_replies`: true to keep them back until it is set to false
--   * `drop_replies`: `{ count = n, command = "EVALSHA" }`: the target does the next n commands (of
--     that name, or of any), but their replies are lost, and with the last the connection
--   * `jitter`: milliseconds; each takes a random part of that longer, and none overtakes another
--   * `close_after`: bytes of replies that a connection still gets before it is closed;
--     `close_requests_after`: bytes of requests that still reach the target before that
--   * `chunk`: bytes to send at a time, in both directions; `chunk_delay`: milliseconds between
--   * `answers`: by command name in upper case, or `"*"` for all others: bytes to answer instead
--     of asking the target (`""` swallows the command), or a list of such, whose last one stays
--   * `stream`: `{ first = bytes, rest = bytes }`: at the first byte from the client, `first`, and
--     `rest` again and again without an end
--   * `silent`: new connections are accepted, and nothing is ever answered
--   * `close_on_accept`: true to close new connections at once, `"reset"` to reset them
--   * `raw`: true to forward bytes that are not the Redis protocol (TLS): `answers` and
--     `drop_replies` have no effect then
function Fault:set(changes)
    ask(self, "set", changes)
end

--- Back to a faultless proxy, or to a fake server that answers nothing.
function Fault:clear()
    ask(self, "clear")
end

--- Closes all connections.
-- @tparam[opt] table options `reset`: true to have the clients see a reset
-- @treturn number how many there were
function Fault:cut(options)
    return ask(self, "cut", options)
end

--- Makes all connections half-open, as when the server's machine loses power: the target sees them
-- closed, the clients see nothing, and will never be answered. New connections work.
-- @treturn number how many there were
function Fault:half_open()
    return ask(self, "half_open")
end

--- Says "end of stream" to all clients and goes on reading from them.
-- @treturn number how many there were
function Fault:half_close()
    return ask(self, "half_close")
end

--- Puts bytes into every connection's stream of replies, between two of them.
-- @tparam string bytes
-- @treturn number how many connections there are
function Fault:inject(bytes)
    return ask(self, "inject", bytes)
end

--- Has new connections go to another target; those that are open stay.
-- @tparam number port
function Fault:aim(port)
    ask(self, "aim", port)
end

--- Refuses new connections.
function Fault:refuse()
    ask(self, "refuse")
end

--- Takes new connections again, on the same port.
function Fault:listen()
    ask(self, "listen")
end

--- What has happened so far.
-- @treturn table `accepted` and `open` connections; `commands` received, and `names`, how many by
-- name; `replies` of the target passed on, and `dropped`
function Fault:stats()
    return ask(self, "stats")
end

--- Ends this server.
function Fault:close()
    running[self] = nil
    self.control:close()
    self.child:close()
end

return fault
