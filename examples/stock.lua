--- Several processes sell from one stock at the same time: first without a lock, then with one.
--
--     lua5.4 examples/stock.lua [NODE...]
--
-- Reading the stock, working, and writing it back is not atomic. Without a lock several sellers read the same
-- number and sell the same thing; with a lock (see seller.lua) every sale has the stock to itself.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local checkout = require "checkout"
local servers = require "servers"
local shop = require "shop"

local STOCK, SELLERS = 40, 5

local function sell(title, urls)
    local sale = shop.open(STOCK, SELLERS, urls)
    while sale:is_busy() do
        checkout.sleep(0.05)
    end
    local sold = #sale:orders()
    sale:close()
    print(("%s: %d orders, oversold by %d"):format(title, sold, sold - STOCK))
    return sold
end

local urls = servers.urls(arg, 1)
print(("%d processes sell a stock of %d"):format(SELLERS, STOCK))
sell("without a lock", {})
local sold = sell("with a lock", urls)
servers.stop_all()
os.exit(sold == STOCK and 0 or 1, true)
