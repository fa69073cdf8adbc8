--- Shows what a lock is good for, on five private Redis servers: ./dev demo
--
--     lua5.4 examples/demo.lua [STOCK [SELLERS]]
--
-- Several processes sell from one stock (seller.lua): without a lock, with a lock on one node, and with a lock over a
-- quorum of five nodes of which one is killed and one is paused meanwhile. The exit status is 0 if the locks kept
-- their promises: nothing was oversold, and every owner had a higher fence than the one before.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local checkout = require "checkout"
local servers = require "servers"
local shop = require "shop"
local clock = require("redlock.core").clock -- seconds; not part of the API, but finer than os.time

local STOCK = tonumber(arg[1]) or 400
local SELLERS = tonumber(arg[2]) or 6
local BAR = 30 -- characters

local status = os.execute "test -t 1"
local on_terminal = status == true or status == 0 -- Lua 5.1 answers with a number

local function say(text, ...)
    print(text:format(...))
    io.stdout:flush()
end

--- Progress -----------------------------------------------------------------------------------

-- On a terminal, a line that is drawn again and again; elsewhere a line at each quarter.
local Progress = {}
Progress.__index = Progress

local function new_progress()
    return setmetatable({ quarters = 0 }, Progress)
end

function Progress:show(orders)
    local share = math.min(orders / STOCK, 1)
    if on_terminal then
        local done = math.floor(share * BAR)
        io.write(("\r   [%s%s] %d orders for a stock of %d "):format(
            ("#"):rep(done), ("."):rep(BAR - done), orders, STOCK))
        io.stdout:flush()
    elseif math.floor(share * 4) > self.quarters then
        self.quarters = math.floor(share * 4)
        say("   %d orders for a stock of %d", orders, STOCK)
    end
end

-- A line of its own, which the bar does not run into.
local function note(text, ...)
    say((on_terminal and "\r\27[K   " or "   ") .. text, ...)
end

--- A phase ------------------------------------------------------------------------------------

local function percentile(orders, percent)
    local waits = {}
    for index, order in ipairs(orders) do
        waits[index] = order.wait * 1000
    end
    table.sort(waits)
    return waits[math.max(1, math.ceil(#waits * percent / 100))] or 0
end

local function count_hand_overs(orders)
    local count = 0
    for index = 2, #orders do
        if orders[index].seller ~= orders[index - 1].seller then
            count = count + 1
        end
    end
    return count
end

local function fences_increase(orders)
    for index = 2, #orders do
        if orders[index].fence <= orders[index - 1].fence then
            return false
        end
    end
    return true
end

-- Events: { { after = number of orders, run = function that returns what to say }, ... }
local function sell(title, urls, events)
    say("\n%s", title)
    local sale, progress, began = shop.open(STOCK, SELLERS, urls), new_progress(), clock()
    local busy, orders
    repeat
        checkout.sleep(0.1)
        busy, orders = sale:is_busy(), sale:orders()
        while events[1] and #orders >= events[1].after do
            note("after %d orders: %s", #orders, table.remove(events, 1).run())
        end
        progress:show(#orders)
    until not busy
    local elapsed = clock() - began
    if on_terminal then
        print() -- the bar stays
    end
    sale:close()
    return { title = title, locked = #urls > 0, orders = orders, elapsed = elapsed }
end

local function misfortunes(nodes)
    return {
        {
            after = STOCK * 0.25,
            run = function()
                nodes[2]:kill()
                return ("the node on port %d was killed"):format(nodes[2].port)
            end,
        },
        {
            after = STOCK * 0.5,
            run = function()
                nodes[4]:pause()
                return ("the node on port %d was paused, and hangs"):format(nodes[4].port)
            end,
        },
    }
end

--- The result ---------------------------------------------------------------------------------

local COLUMNS = "%-16s %6s %8s %10s %10s %10s %16s %8s"

local function print_row(phase)
    local orders, locked = phase.orders, phase.locked
    say(COLUMNS, phase.title:sub(4), #orders, #orders - STOCK,
        locked and ("%.0f ms"):format(percentile(orders, 50)) or "-",
        locked and ("%.0f ms"):format(percentile(orders, 99)) or "-",
        count_hand_overs(orders),
        locked and (fences_increase(orders) and "yes" or "NO") or "-",
        ("%.1f s"):format(phase.elapsed))
end

local function print_table(phases)
    say("\n" .. COLUMNS, "", "orders", "oversold", "wait p50", "wait p99", "hand-overs",
        "fence increases", "elapsed")
    for _, phase in ipairs(phases) do
        print_row(phase)
    end
end

local function kept_its_promises(phases)
    for _, phase in ipairs(phases) do
        if phase.locked and (#phase.orders ~= STOCK or not fences_increase(phase.orders)) then
            return false
        end
    end
    return true
end

local function play()
    local urls, nodes = servers.urls({}, 5)
    local ports = {}
    for index, node in ipairs(nodes) do
        ports[index] = node.port
    end
    say("Five private Redis servers, on the ports %s.", table.concat(ports, ", "))
    say("%d processes sell from a stock of %d: they read it, work a little, and write it back.",
        SELLERS, STOCK)
    local phases = {
        sell("1. without a lock", {}, {}),
        sell("2. one node", { urls[1] }, {}),
        sell("3. five nodes", urls, misfortunes(nodes)),
    }
    print_table(phases)
    return kept_its_promises(phases)
end

local began = clock()
local finished, outcome = pcall(play)
servers.stop_all()
if not finished and tostring(outcome):find("interrupted!", 1, true) then -- by Ctrl-C
    say "\nInterrupted. Everything that was started has been stopped."
    os.exit(130, true)
elseif not finished then
    error(outcome, 0)
end
say("\n%s It took %.1f s; everything that was started has been stopped.",
    outcome and "The locks kept their promises." or "THE LOCKS DID NOT KEEP THEIR PROMISES.",
    clock() - began)
os.exit(outcome and 0 or 1, true)
