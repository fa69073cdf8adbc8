--- A client with coroutines in the loop of cqueues or luv, whichever its class is.

local event_loops = require "support.event_loops"
local redis = require "torture.redis"
local redlock = require "redlock"
local section = require "torture.section"
local settings = require "torture.programs.settings"
local store = require "torture.store"
local system = require "torture.system"

local COROUTINES = 5
local FOR_EVER = 1e9 -- seconds

local told = settings.take(arg)
local loop = event_loops[told.class]()
local client = redlock.new {
    nodes = told.nodes[arg[4]], timeout = told.timeout, client_name = told.id,
}
local shared = store.new(redis.dial, told.store)

loop.run(function()
    local left = COROUTINES
    for _ = 1, COROUTINES do
        loop.spawn(function()
            section.run_all {
                client = client, writer = told.writer, settings = told, sleep = loop.sleep,
                orders = told.orders, store = shared, hears = true, shares = true,
            }
            left = left - 1
        end)
    end
    while left > 0 do
        loop.sleep(0.05)
    end
    client:close()
end, FOR_EVER)
shared:close()
told.writer:note("bye", system.clock())
