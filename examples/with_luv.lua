--- Coroutines of a luv program wait for one lock, and one of them has enough of it.
--
--     lua5.4 examples/with_luv.lua [NODE...]
--
-- The calls are those of a script. In a coroutine they yield it, and the loop resumes it. Whoever else resumes it
-- ends its wait: so a timer is a limit on anything, and a client that has gone away takes its request with it.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
require "checkout"
local redlock = require "redlock"
local servers = require "servers"
local uv = require "luv"

local client = redlock.new { nodes = servers.urls(arg, 3) }

local function after(milliseconds, fn)
    local timer = uv.new_timer()
    timer:start(milliseconds, 0, function()
        timer:close()
        fn()
    end)
end

local function sleep(milliseconds)
    local thread = coroutine.running()
    after(milliseconds, function() assert(coroutine.resume(thread)) end)
    coroutine.yield()
end

local function spawn(body, ...)
    local thread = coroutine.create(body)
    assert(coroutine.resume(thread, ...))
    return thread
end

local function work(name, milliseconds)
    local lock, message = client:acquire("printer", { wait = 30 })
    if not lock then
        print(name .. " gives up: " .. message:match "^%a+")
        return
    end
    print(name .. " prints")
    sleep(milliseconds)
    assert(lock:release())
end

spawn(work, "the first", 2500)
after(50, function()
    local second = spawn(work, "the second", 0)
    spawn(work, "the third", 0)
    after(50, function() assert(coroutine.resume(second)) end)
end)
uv.run()

client:close()
servers.stop_all()
