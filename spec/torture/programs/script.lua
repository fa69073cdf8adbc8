--- A client that blocks: a script. As a "fork" it forks while it holds a lock, when it is told to;
-- as a "steady" one it holds nearly always.

local redis = require "torture.redis"
local redlock = require "redlock"
local section = require "torture.section"
local settings = require "torture.programs.settings"
local socket = require "socket"
local store = require "torture.store"
local system = require "torture.system"

local told = settings.take(arg)
local client = redlock.new {
    nodes = told.nodes[arg[4]], timeout = told.timeout, client_name = told.id,
}
local worker = {
    client = client, writer = told.writer, settings = told, sleep = socket.sleep,
    orders = told.orders, store = store.new(redis.dial, told.store),
}

-- What the parent holds is not the child's; the child is a client like any other. The parent waits
-- for it with the lock in its hands, so it is quick.
local function be_a_child(lock, n)
    worker.writer.sections = n * 1000000
    worker.store = store.new(redis.dial, told.store)
    if lock:held() then
        worker.writer:note("wrong", "the child of a fork holds what its parent acquired")
    end
    section.run(worker, { name = lock.name, hold = 0.01, wait = 0 })
    section.run(worker, { name = told.prefix .. "cold1", hold = 0.01, wait = 0.2 })
    if math.random(2) == 1 then
        client:close()
    end
    system.exit(0)
end

local forks = 0

local function fork(lock)
    forks = forks + 1
    local pid = assert(system.fork())
    if pid == 0 then
        local ok, err = pcall(be_a_child, lock, forks)
        worker.writer:note("wrong", "the child failed: " .. tostring(ok and "it went on" or err))
        system.exit(1)
    end
    worker.writer:note("forked", forks, system.clock())
    if system.reap(pid, true) ~= 0 then
        worker.writer:note("wrong", "the child of a fork failed")
    end
end

if told.class == "fork" then
    while worker.orders() ~= "stop" do
        section.run(worker, nil, worker.orders() == "fork" and fork or nil)
        socket.sleep(told.pause)
    end
else
    section.run_all(worker, told.class == "steady" and section.steady or nil)
end
client:close()
worker.store:close()
told.writer:note("bye", system.clock())
