--- A holder that is stopped for longer than its lease writes too late: the store refuses it by its fence.
--
--     lua5.4 examples/fencing.lua [NODE...]
--
-- No lock can prevent this: the process is stopped between its last look at the lock and its write. The store can:
-- it remembers the highest fence that it has seen, and refuses a lower one. Here the store is a Redis of its own,
-- with a script that compares and writes in one step.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local checkout = require "checkout"
local keeper = require "keeper"
local redlock = require "redlock"
local servers = require "servers"

-- KEYS the record; ARGV fence, value. 1 if it was written, 0 if a higher fence was here before.
local WRITE = [[
    local highest = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
    if tonumber(ARGV[1]) < highest then return 0 end
    redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'value', ARGV[2])
    return 1
]]

local function write(store_socket, fence, value)
    local command = ("redis-cli -s %s EVAL %s 1 balance %.0f %s"):format(
        keeper.quote(store_socket), keeper.quote(WRITE), fence, keeper.quote(value))
    local pipe = assert(io.popen(command))
    local answer = pipe:read("*l")
    pipe:close()
    return answer == "1"
end

-- What the process does that will be stopped: looks at its lock, is stopped, and writes.
local function be_slow(store_socket, ...)
    local client = redlock.new { nodes = { ... }, ttl = 2 }
    local lock = assert(client:acquire "balance")
    print(lock:held() and "held" or "lost")
    io.stdout:flush()
    io.read() -- here it is stopped
    print(write(store_socket, lock.fence, "slow") and "written" or "refused")
    local _, _, code = lock:release()
    print("release says " .. (code or "true"))
    client:close()
end

local function start_slow(store, urls)
    local child = keeper.new()
    local arguments = { "slow", store.socket }
    for _, url in ipairs(urls) do
        arguments[#arguments + 1] = url
    end
    child:start(checkout.command("fencing", arguments),
        "grep -q held " .. keeper.quote(child.dir .. "/output"))
    assert(child:started(), child:read("errors"))
    return child
end

local function play()
    local urls = servers.urls(arg, 1)
    local store = servers.start_one()
    local client = redlock.new { nodes = urls }

    local slow = start_slow(store, urls)
    print "the slow one holds the lock, and is stopped before it writes"
    slow:signal("STOP")
    local lock = assert(client:acquire("balance", { wait = 20 }))
    print("its lease ran out; the next owner's write is "
        .. (write(store.socket, lock.fence, "next") and "accepted" or "refused"))
    slow:signal("CONT")
    slow:tell("write now")
    while slow:running() do
        checkout.sleep(0.05)
    end
    local write_line, release_line = slow:read("output"):match("\n(%a+)\n([^\n]*)\n")
    assert(write_line, slow:read("errors"))
    print(("the slow one goes on: its write is %s, its %s"):format(write_line, release_line))
    local value = store:cli("HGET", "balance", "value")
    print("the store holds the value of the " .. value .. " owner")

    slow:close()
    client:close()
    servers.stop_all()
    return value == "next"
end

if arg[1] == "slow" then
    be_slow((table.unpack or unpack)(arg, 2))
else
    os.exit(play() and 0 or 1, true)
end
