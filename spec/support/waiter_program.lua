-- A process that acquires a lock, waiting for it, and says so; see waiter.lua for what its arguments mean.

local literal = require "support.literal"
local redlock = require "redlock"

io.stdout:setvbuf "line" -- what is printed while the lock is held stands in the order of the tenures

local order = literal.read(arg[1])
local id = arg[2] or "0"

local function add_one(path)
    local file = assert(io.open(path, "r"))
    local number = file:read("*n")
    file:close()
    file = assert(io.open(path, "w"))
    file:write(number + 1)
    file:close()
end

local function say(...)
    io.write(table.concat({ id, ... }, " "), "\n")
end

local function tenure(client)
    local lock, message = client:acquire(order.name, {
        wait = order.wait == "for ever" and math.huge or order.wait,
        ttl = order.ttl,
        fair = order.fair,
    })
    if not lock then
        say("failed", message)
        return
    end
    if order.count then
        add_one(order.count)
    end
    say("acquired", ("%.0f"):format(lock.fence))
    if order.hold then
        io.read()
    end
    local released, failure = lock:release()
    say(released and "released" or failure)
end

local client = redlock.new {
    nodes = order.nodes,
    timeout = order.timeout or 10,
    restart_guard = false, -- specs restart nodes
}
say("started")
for _ = 1, order.times or 1 do
    tenure(client)
end
if order.linger then
    io.read()
end
client:close()
