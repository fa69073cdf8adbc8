--- Sells from a stock that other processes sell from too, until nothing is left. See stock.lua and demo.lua.
--
--     seller.lua FOLDER NAME [NODE...]
--
-- In the folder, `stock` holds how many are left, and `orders` gets a line for each order: who sold, under
-- which fence, after how long a wait for the lock. Without nodes it sells without a lock.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
require "checkout"

local redlock = require "redlock"
local clock = require("redlock.core").clock -- seconds; not part of the API, but finer than os.time

local folder, name = arg[1], arg[2]
local nodes = { (table.unpack or unpack)(arg, 3) }

local function read_stock()
    local file = assert(io.open(folder .. "/stock"))
    local left = assert(file:read("*n"))
    file:close()
    return left
end

-- Under another name first: a reader sees the old number or the new one, never half of it.
local function write_stock(left)
    local draft = folder .. "/stock." .. name
    local file = assert(io.open(draft, "w"))
    assert(file:write(("%d\n"):format(left)))
    file:close()
    assert(os.rename(draft, folder .. "/stock"))
end

local function write_order(fence, waited)
    local file = assert(io.open(folder .. "/orders", "a"))
    assert(file:write(("%s %.0f %.6f\n"):format(name, fence, waited)))
    file:close()
end

-- True if there was one to sell. Between reading and writing there is some work to do, and time for
-- others to read the same number.
local function sell_one(fence, waited)
    local left = read_stock()
    if left == 0 then
        return false
    end
    os.execute "sleep 0.004"
    write_stock(left - 1)
    write_order(fence, waited)
    return true
end

local function sell_without_lock()
    while sell_one(0, 0) do end
end

local function sell_with_lock()
    -- Fair: nobody sells again before those who wait already.
    local client = redlock.new { nodes = nodes, wait = 60, fair = true }
    repeat
        local asked = clock()
        local had, sold, code = client:with("stock", function(lock)
            return sell_one(lock.fence, clock() - asked)
        end)
        -- Nodes that did not answer in time may do so the next time; nothing was sold.
        assert(had or code == "unavailable", sold)
    until had and not sold
    client:close()
end

print "ready"
io.stdout:flush()
io.read() -- until all are there
if #nodes > 0 then
    sell_with_lock()
else
    sell_without_lock()
end
