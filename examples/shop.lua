--- A shop: a stock in a file, and processes (seller.lua) that sell from it at the same time.

local checkout = require "checkout"
local keeper = require "keeper"

local shop = {}

local Shop = {}
Shop.__index = Shop

local function start_seller(folder, name, urls)
    local seller = keeper.new()
    local arguments = { folder, name }
    for _, url in ipairs(urls) do
        arguments[#arguments + 1] = url
    end
    seller:start(
        checkout.command("seller", arguments),
        "grep -q ready " .. keeper.quote(seller.dir .. "/output"))
    return seller
end

--- Opens a shop: its sellers begin to sell all at once, when the last is there.
-- @tparam number stock how many there are to sell
-- @tparam number sellers how many processes
-- @tparam {string,...} urls the nodes by which they lock; empty: they sell without a lock
-- @treturn Shop
function shop.open(stock, sellers, urls)
    local self = setmetatable({ stock = stock, sellers = {}, keeper = keeper.new() }, Shop)
    self.keeper:save("stock", tostring(stock))
    self.keeper:settle()
    for name = 1, sellers do
        self.sellers[name] = start_seller(self.keeper.dir, name, urls)
    end
    for _, seller in ipairs(self.sellers) do
        local pid, failure = seller:started()
        assert(pid, ("a seller %s: %s"):format(tostring(failure), seller:read("errors")))
    end
    for _, seller in ipairs(self.sellers) do
        seller:tell("go")
    end
    return self
end

--- What was sold so far, in the order of the sales.
-- @treturn {Order,...} each with `seller`, `fence` (0: no lock), `wait` in seconds
function Shop:orders()
    local orders = {}
    for name, fence, wait in self.keeper:read("orders"):gmatch("(%d+) (%d+) (%S+)\n") do
        orders[#orders + 1] = { seller = name, fence = tonumber(fence), wait = tonumber(wait) }
    end
    return orders
end

--- Whether anybody is still selling.
-- @treturn boolean
-- @raise what a seller that failed has written
function Shop:is_busy()
    for _, seller in ipairs(self.sellers) do
        local status = seller:status()
        if not status then
            return true
        elseif status ~= 0 then
            error(("a seller ended with status %d: %s"):format(status, seller:read("errors")), 0)
        end
    end
    return false
end

--- Ends the sellers that are still there, and forgets stock and orders.
function Shop:close()
    for _, seller in ipairs(self.sellers) do
        seller:close()
    end
    self.keeper:close()
end

return shop
