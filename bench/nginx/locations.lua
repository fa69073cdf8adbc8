--- What nginx.conf's locations run. Each request locks and unlocks once, and answers "ok" or 500.
-- luacheck: globals ngx

local by_hand = require "by_hand"
local redlock = require "redlock"

local locations = {}

local WAIT = 60        -- seconds in the queue for the one lock; a run is shorter
local SETTLE_LIMIT = 90 -- seconds

local mutexes, clients = {}, {} -- by the number of nodes
local running, completed, keys = 0, 0, 0

--- Makes the lock objects, in the master process.
-- @tparam {number,...} ports of the Redis servers
-- @tparam boolean renew of our locks
-- @tparam boolean cohort of our locks
function locations.configure(ports, renew, cohort)
    for _, count in ipairs { 1, 5 } do
        local some, urls = {}, {}
        for index = 1, count do
            some[index] = ports[index]
            urls[index] = "redis://127.0.0.1:" .. ports[index]
        end
        mutexes[count] = by_hand.new(some)
        clients[count] = redlock.new { nodes = urls, renew = renew, cohort = cohort }
    end
end

local function serve(work, ...)
    running = running + 1
    local ok, success, failure = pcall(work, ...)
    running = running - 1
    if not ok or not success then
        ngx.log(ngx.ERR, tostring(failure or success))
        return ngx.exit(500)
    end
    completed = completed + 1
    ngx.header.content_length = 3
    ngx.say "ok"
end

local function new_key()
    keys = keys + 1
    return "order:" .. keys
end

local no_wait, patience = { wait = 0 }, { wait = WAIT }

local function ours(count, key, options)
    local lock, failure = clients[count]:acquire(key, options)
    if not lock then
        return nil, failure
    end
    return lock:release()
end

local function peer(count, key, options)
    local mutex = mutexes[count]
    local token = mutex:lock(key, options.wait)
    if not token then
        return nil, "not locked"
    end
    return mutex:unlock(key, token), "not unlocked"
end

local function nothing()
    return true
end

--- The ceiling: no lock.
function locations.none()
    serve(nothing)
end

--- A lock that nobody else wants.
function locations.own(count)
    serve(ours, count, new_key(), no_wait)
end

--- The one lock that all want.
function locations.shared(count)
    serve(ours, count, "shared", patience)
end

--- By hand, a lock that nobody else wants.
function locations.own_by_hand(count)
    serve(peer, count, new_key(), no_wait)
end

--- By hand, the one lock that all want.
function locations.shared_by_hand(count)
    serve(peer, count, "shared", patience)
end

--- Answers when no request is under way any more: how many have locked and unlocked since this was
-- asked last, and the worker's process id.
function locations.settled()
    local deadline = ngx.now() + SETTLE_LIMIT
    while running > 0 do
        if ngx.now() > deadline then
            ngx.log(ngx.ERR, running, " requests are still under way")
            return ngx.exit(500)
        end
        ngx.sleep(0.01)
    end
    ngx.say(completed, " ", ngx.worker.pid())
    completed = 0
end

return locations
