--- The process behind wire.lua: a network of its own on the far side of two TUN devices, and
-- between them the packets, which it delays, loses, repeats, changes and lets overtake one another
-- as it is told over a control connection.
--
-- netem does the same in the kernel, where that has it; a program does it wherever there is
-- /dev/net/tun.

local literal = require "support.literal"
local socket = require "socket"
local system = require "torture.system"

local NEAR, FAR = "10.111.0.1", "10.111.0.2"
local BACKLOG = 4000 -- packets on their way, beyond which more are lost, as in any queue

local behaviour = {} -- as wire.lua describes it
local counts = { passed = 0, lost = 0, repeated = 0, changed = 0, late = 0 }
local queue = {} -- packets by their moment: { due, to, bytes }

local function run(command)
    assert(os.execute(command), command)
end

local function bring_up(device, address, peer)
    run("ip link set lo up")
    run(("ip addr add %s peer %s dev %s"):format(address, peer, device))
    run(("ip link set %s mtu 1500 up"):format(device))
end

local control_listener = assert(socket.bind("127.0.0.1", 0))
local near = assert(system.tun "near")
bring_up("near", NEAR, FAR)
assert(system.leave_network())
local far = assert(system.tun "far")
bring_up("far", FAR, NEAR)

local function port_at(packet, at)
    return packet:byte(at) * 256 + packet:byte(at + 1)
end

-- The server's port of a TCP packet over IPv4, which is that of the near side.
local function server_port(packet, to_far)
    if packet:byte(1) - packet:byte(1) % 16 ~= 64 or packet:byte(10) ~= 6 then
        return nil
    end
    local at = packet:byte(1) % 16 * 4 + 1
    return #packet >= at + 3 and port_at(packet, to_far and at or at + 2) or nil
end

local function is_blocked(packet, to_far)
    local blocked = behaviour.block
    if not blocked or behaviour.only == (to_far and "requests" or "replies") then
        return false
    end
    return blocked.all or blocked[server_port(packet, to_far)]
end

local function happens(chance)
    return chance and math.random() < chance
end

local function change(packet)
    local at = math.random(#packet)
    local byte = (packet:byte(at) + math.random(255)) % 256
    counts.changed = counts.changed + 1
    return packet:sub(1, at - 1) .. string.char(byte) .. packet:sub(at + 1)
end

local function put(to, packet, due)
    local at = #queue + 1
    while at > 1 and queue[at - 1].due > due do
        at = at - 1
    end
    counts.late = counts.late + (at <= #queue and 1 or 0)
    table.insert(queue, at, { due = due, to = to, bytes = packet })
end

local busy_until = { [near] = 0, [far] = 0 }

-- The moment at which a packet has been sent, at so many bytes a second.
local function moment_of(to, packet, now)
    local start = now
    if behaviour.rate then
        start = math.max(now, busy_until[to]) + #packet / behaviour.rate
        busy_until[to] = start
    end
    return start + (behaviour.delay or 0) + (behaviour.jitter or 0) * math.random()
end

local function take(packet, to, now)
    if is_blocked(packet, to == far) or happens(behaviour.loss) or #queue > BACKLOG then
        counts.lost = counts.lost + 1
        return
    end
    if happens(behaviour.change) then
        packet = change(packet)
    end
    put(to, packet, moment_of(to, packet, now))
    if happens(behaviour.again) then
        counts.repeated = counts.repeated + 1
        put(to, packet, moment_of(to, packet, now))
    end
end

local function take_all(from, to, now)
    local packet = system.read(from)
    while packet do
        take(packet, to, now)
        packet = system.read(from)
    end
end

local function send_due(now)
    local count = 0
    while queue[count + 1] and queue[count + 1].due <= now do
        count = count + 1
        system.write(queue[count].to, queue[count].bytes)
    end
    counts.passed = counts.passed + count
    if count > 0 then
        for index = 1, #queue do
            queue[index] = queue[index + count]
        end
    end
end

local verbs = {}

function verbs.set(changes)
    behaviour = changes
    return true
end

function verbs.stats()
    return counts
end

local control

local function obey()
    control:settimeout(1)
    local line = control:receive "*l"
    if not line then
        os.exit(0) -- the owner has gone
    end
    local verb, rest = line:match "^(%S+) (.*)$"
    control:send(literal.write(verbs[verb](literal.read(rest))) .. "\n")
end

local function reader_of(descriptor)
    return { getfd = function() return descriptor end, dirty = function() return false end }
end

local near_reader, far_reader = reader_of(near), reader_of(far)
io.stdout:setvbuf "line"
print((select(2, control_listener:getsockname())))
while true do
    local now = socket.gettime()
    local seconds = queue[1] and math.max(0, queue[1].due - now) or 1
    local readers = { near_reader, far_reader, control or control_listener }
    local ready = socket.select(readers, nil, seconds)
    now = socket.gettime()
    if control and ready[control] then
        obey()
    elseif ready[control_listener] then
        control = control_listener:accept()
    end
    take_all(near, far, now)
    take_all(far, near, now)
    send_due(now)
end
