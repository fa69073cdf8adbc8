--- Coroutines of a cqueues program take turns at one account; while they wait, the program goes on.
--
--     lua5.4 examples/with_cqueues.lua [NODE...]
--
-- The calls are those of a script. In a coroutine of a controller they yield it instead of blocking.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
require "checkout"
local cqueues = require "cqueues"
local redlock = require "redlock"
local servers = require "servers"

local DEPOSITS = 20

local client = redlock.new { nodes = servers.urls(arg, 3) }
local loop = cqueues.new()
local balance, left, ticks = 0, DEPOSITS, 0

-- Reading the balance, working, and writing it back is not atomic: other coroutines run meanwhile.
local function deposit()
    assert(client:with("account", { wait = 30 }, function()
        local read = balance
        cqueues.sleep(0.005)
        balance = read + 1
    end))
    left = left - 1
end

for _ = 1, DEPOSITS do
    loop:wrap(deposit)
end
loop:wrap(function()
    while left > 0 do
        ticks = ticks + 1
        cqueues.sleep(0.001)
    end
end)
assert(loop:loop())
print(("%d deposits, the balance is %d; something else ran %s meanwhile"):format(
    DEPOSITS, balance, ticks > DEPOSITS and "all the time" or "hardly at all"))

-- A lock that is lost is told to whoever listens. Here nobody renews it.
loop:wrap(function()
    local lock = assert(client:acquire("report", { ttl = 0.2, renew = false }))
    lock:on_lost(function(_, message)
        print("the one who writes the report is told: " .. message)
    end)
end)
assert(loop:loop())

client:close()
servers.stop_all()
os.exit(balance == DEPOSITS and 0 or 1, true)
