--- A lock that is taken in the access phase and held while the request is proxied: changes of one
-- order come one after the other, whatever machine they reach; different orders do not wait for
-- each other.

-- luacheck: globals ngx
local cluster = require "cluster"

local orders = {}

local EFFORT = 0.05 -- seconds

--- In the access phase. If the request ends before give_back(), in any way, the lock ends with it.
function orders.take(order)
    local lock, message, code = cluster.client:acquire("order:" .. order, { wait = 10 })
    if not lock then
        ngx.log(ngx.WARN, message)
        return ngx.exit(code == "timeout" and ngx.HTTP_CONFLICT or ngx.HTTP_SERVICE_UNAVAILABLE)
    end
    ngx.ctx.lock = lock
    ngx.var.fence = ("%.0f"):format(lock.fence)
end

--- In the body filter: the shop has answered. Its answer may still be on its way to a slow client
-- for long, and the next change need not wait for that.
function orders.give_back()
    local lock = ngx.ctx.lock
    if lock and ngx.arg[2] then
        lock:release()
    end
end

--- The shop. A store of its own would refuse a fence lower than the highest that it has seen.
function orders.change()
    local order, fence = ngx.var.uri:match "[^/]+$", ngx.var.http_fence
    local began = ngx.now()
    ngx.sleep(EFFORT) -- the change
    ngx.say(("order %s changed from %.3f to %.3f, fence %s"):format(order, began, ngx.now(), fence))
end

return orders
