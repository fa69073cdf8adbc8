--- A network of its own for some of the clients, whose packets to the nodes go through a program
-- that treats them badly (wire_program.lua). Needs root and /dev/net/tun, and this process in a
-- network of its own.

local literal = require "support.literal"
local socket = require "socket"
local system = require "torture.system"
local wait = require "support.wait"

local wire = { address = "10.111.0.1" } -- of the nodes, as they are seen from there

local Wire = {}
Wire.__index = Wire

local function read_line(path)
    local file = io.open(path)
    local line = file and file:read "*l"
    if file then
        file:close()
    end
    return line
end

--- Starts it.
-- @tparam string interpreter a Lua
-- @tparam string dir for its output
-- @treturn[1] Wire with `pid`, and `network`, the path of the clients' network
-- @treturn[2] nil
-- @treturn[2] string why there is none
function wire.start(interpreter, dir)
    local output = dir .. "/wire.output"
    local pid, err = system.spawn { interpreter, "spec/torture/wire_program.lua", output = output }
    if not pid then
        return nil, err
    end
    local port = wait.wait_until(function()
        return tonumber(read_line(output)) or system.reap(pid) and "ended"
    end)
    if type(port) ~= "number" then
        system.signal(pid, "KILL")
        return nil, read_line(output) or "it says nothing"
    end
    local self = setmetatable({ pid = pid, network = ("/proc/%d/ns/net"):format(pid) }, Wire)
    self.control = assert(socket.connect("127.0.0.1", port))
    self.control:settimeout(10)
    return self
end

local function ask(self, verb, value)
    assert(self.control:send(("%s %s\n"):format(verb, literal.write(value or {}))))
    return literal.read(assert(self.control:receive "*l"))
end

--- Says how packets are treated from now on.
-- @tparam table behaviour any of
--
--   * `delay`, `jitter`: seconds; with jitter packets overtake one another
--   * `loss`, `again`, `change`: chances of a packet to be lost, to come twice, to have a byte
--     changed
--   * `rate`: bytes a second in each direction
--   * `block`: a set of servers' ports whose packets are lost, or `{ all = true }`; `only`:
--     "requests" or "replies"
function Wire:set(behaviour)
    ask(self, "set", behaviour)
end

--- What has happened to packets so far.
-- @treturn table `passed`, `lost`, `repeated`, `changed`, and `late`, those that others overtook
function Wire:stats()
    return ask(self, "stats")
end

function Wire:close()
    self.control:close()
    system.signal(self.pid, "KILL")
    system.reap(self.pid, true)
end

return wire
