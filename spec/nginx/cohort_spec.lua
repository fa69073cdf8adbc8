-- nginx: requests of one worker pass a lock on among themselves, and those of another get their turn.

local http = require "support.http"
local nginx = require "support.nginx"
local quorum = require "support.quorum"
local servers = require "servers"

local WORKERS = 2
local CROWD = 160 -- requests for one lock

local nodes, server, holder
local values = {} -- of the configuration

setup(function()
    nodes = quorum.start(3)
    values.port_of_all = nginx.free_port()
    server = nginx.start {
        nodes = nodes:urls(), workers = WORKERS, client = { cohort = true, ttl = 60, wait = 60 },
        main = "worker_shutdown_timeout 30s;", http = "lua_check_client_abort on;",
        listen = "listen 127.0.0.1:{port_of_all} reuseport;", values = values,
    }
    holder = nodes:client()
end)

teardown(function()
    nginx.stop_all()
    quorum.close_clients()
    servers.stop_all()
end)

after_each(function()
    assert.is_nil(server:settle(nodes))
end)

-- Adds one in two steps, to a store that all workers share. It sees whether anybody else came in
-- between, or before with a higher fence.
local TENURE = [[
    local store = ngx.shared.gates
    note("came", ngx.worker.pid())
    local lock = assert(client:acquire "job")
    local count, highest = store:get "count" or 0, store:get "highest" or 0
    if lock.fence <= highest then
        note("low fence", lock.fence, highest)
    end
    store:set("highest", lock.fence)
    ngx.sleep(0)
    if store:get "highest" ~= lock.fence or not lock:held() then
        note("not alone", lock.fence, store:get "highest")
    end
    store:set("count", count + 1)
    store:incr("done", 1, 0)
    assert(lock:release())
    ngx.print(ngx.worker.pid(), " ", lock.token, " ", ("%.0f"):format(lock.fence))
]]

local function count_notes(pattern)
    local count = 0
    for _, note in ipairs(server:notes()) do
        count = count + (note:find(pattern) and 1 or 0)
    end
    return count
end

-- All have come, to both workers, before the first can have the lock.
local function begin_crowd(count)
    local came, requests = count_notes "^came", {}
    for index = 1, count do
        requests[index] = server:begin(TENURE, { port = values.port_of_all })
    end
    assert.is_true(http.wait_until(function() return count_notes "^came" == came + count end))
    return requests
end

local function stored(key)
    return server:play(("ngx.print(ngx.shared.gates:get '%s' or 0)"):format(key)).body
end

-- Each had it alone, as far as the store can tell, and what each has added is there.
local function assert_apart()
    for _, note in ipairs(server:notes()) do
        assert.is_truthy(note:find "^came" or note:find "^owns", note)
    end
    assert.equal(stored "done", stored "count")
end

-- Who had it, in the order of the fences: `{ pid, token, fence }`.
local function tenures(requests)
    local list = {}
    for _, request in ipairs(requests) do
        assert.equal(200, request.status)
        local pid, token, fence = request.body:match "^(%d+) (%S+) (%d+)$"
        list[#list + 1] = { pid = pid, token = token, fence = tonumber(fence) }
    end
    table.sort(list, function(a, b) return a.fence < b.fence end)
    return list
end

describe("in a cohort, requests of two workers", function()
    it("have the lock one at a time, each with its fence", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local requests = begin_crowd(CROWD)
        assert(lock:release())
        http.finish(requests)
        local list, owners, pids, passed_on = tenures(requests), {}, {}, 0
        for index, mine in ipairs(list) do
            local last = list[index - 1]
            assert.is_true(not last or mine.fence > last.fence)
            assert.equal(owners[mine.token] or mine.pid, mine.pid)
            owners[mine.token], pids[mine.pid] = mine.pid, true
            passed_on = passed_on + (last and last.token == mine.token and 1 or 0)
        end
        local workers = 0
        for _ in pairs(pids) do
            workers = workers + 1
        end
        assert.equal(WORKERS, workers)
        assert.is_true(passed_on > 0)
        assert.equal(tostring(CROWD), stored "count")
        assert_apart()
    end)

    it("that are aborted, owning or waiting, hold up nobody", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local requests = begin_crowd(CROWD)
        local left = {}
        assert(lock:release())
        for index, request in ipairs(requests) do
            if index % 3 == 0 then
                request:abort()
                http.drive(0)
            else
                left[#left + 1] = request
            end
        end
        http.finish(left)
        tenures(left)
        assert.is_nil(nginx.left_behind(nodes, 10))
        assert_apart()
    end)

    it("get it from one that is aborted while it owns", function()
        local owner = server:begin([[
            local lock = assert(client:acquire "job")
            note("owns", lock.fence)
            await "never"
        ]], { port = values.port_of_all })
        assert.is_truthy(server:await_note "^owns")
        local requests = begin_crowd(20)
        owner:abort()
        http.finish(requests)
        assert.equal(20, #tenures(requests))
        assert.equal("20", stored "count")
        assert_apart()
    end)

    it("have it to the last when their workers exit, beside those of the next workers", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local requests = begin_crowd(CROWD / 2)
        local old = server:reload()
        for _, request in ipairs(begin_crowd(CROWD / 2)) do
            requests[#requests + 1] = request
        end
        assert(lock:release())
        http.finish(requests)
        assert.equal(CROWD, #tenures(requests))
        assert.equal(tostring(CROWD), stored "count")
        assert_apart()
        assert.is_true(nginx.await_end(old))
    end)
end)
