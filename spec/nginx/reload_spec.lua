-- nginx reloads: what the old workers hold and wait for stays theirs to the end, and nothing is left of them.

local http = require "support.http"
local nginx = require "support.nginx"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

-- Enough to see what happens now and then, and what grows. REDLOCK_RELOADS=100 takes a minute.
local RELOADS = tonumber(os.getenv "REDLOCK_RELOADS") or 20
local GROWTH = 32 -- KiB that a reload may add: less than a Lua state or an engine's stack
local AT_ONCE = 16 -- requests

local WORKERS = 2

local nodes, server, holder
local values = {} -- of the configuration

setup(function()
    nodes = quorum.start(3)
    values.port_of_all = nginx.free_port()
    server = nginx.start {
        nodes = nodes:urls(), workers = WORKERS, client = { client_name = "worker" },
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
    assert.equal(WORKERS, #server:await_workers {})
end)

local function queue_comes_to(length)
    return http.wait_until(function()
        return nginx.queue_length(nodes, "job") == length
    end) == true
end

-- Waits until a lease has been renewed so often.
local function is_renewed(name, times)
    local renewals, last = 0, nodes:ask(1, "PTTL", name)
    return http.wait_until(function()
        local left = nodes:ask(1, "PTTL", name)
        renewals, last = renewals + (left > last and 1 or 0), left
        return renewals >= times
    end)
end

describe("after a reload", function()
    it("a request of the old worker keeps, renews and releases its lock", function()
        local request = server:begin [[
            local lock = assert(client:acquire("job", { ttl = 3 }))
            note "ready"
            await "end"
            ngx.print(lock:held(), " ", lock:extend(60), " ", lock:release())
        ]]
        assert.is_truthy(server:await_note "ready")
        local old = server:reload()
        assert.is_truthy(is_renewed("job", 2))
        server:open_gate "end"
        assert.equal("true true true", request:finish().body)
        assert.is_true(nodes:comes_to(0, "job"))
        assert.is_true(nginx.await_end(old))
    end)

    it("a new worker gets the lock when the old one has released it", function()
        server:begin [[
            local lock = assert(client:acquire("job", { ttl = 60 }))
            note "ready"
            await "end"
            assert(lock:release())
        ]]
        assert.is_truthy(server:await_note "ready")
        local old = server:reload()
        local following = server:begin [[
            ngx.print(assert(client:acquire("job", { wait = 60, ttl = 60 })):release())
        ]]
        assert.is_true(queue_comes_to(1))
        server:open_gate "end"
        assert.equal("true", following:finish().body)
        assert.is_true(nginx.await_end(old))
    end)

    it("those who wait in old workers get their turn", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local requests = {}
        for index = 1, 20 do
            requests[index] = server:begin([[
                note(ngx.worker.pid())
                ngx.print(assert(client:acquire("job", { wait = 60, ttl = 60 })):release())
            ]], { port = values.port_of_all })
        end
        assert.is_true(http.wait_until(function() return #server:notes() == 20 end))
        local old = server:reload()
        assert(lock:release())
        http.finish(requests)
        for _, request in ipairs(requests) do
            assert.equal("true", request.body)
        end
        assert.is_true(nginx.await_end(old))
    end)

    -- No timer can start in such a worker, and so no bell.
    it("a request of an old worker that never used a lock acquires, waits and releases", function()
        server:reload()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local requests = {}
        for index = 1, 20 do
            requests[index] = server:begin(([[
                note "parked"
                await "go"
                local own = assert(client:acquire("own%d", { ttl = 60 }))
                note "waits"
                local lock = assert(client:acquire("job", { wait = 60, ttl = 60 }))
                assert(lock:extend(90))
                ngx.print(own:release(), " ", lock:release(), " ", tostring(ngx.worker.exiting()))
            ]]):format(index), { port = values.port_of_all })
        end
        assert.is_true(http.wait_until(function() return #server:notes() == 20 end))
        local old = server:reload()
        server:open_gate "go"
        assert.is_true(http.wait_until(function() return #server:notes() == 40 end))
        assert(lock:release())
        http.finish(requests)
        for _, request in ipairs(requests) do
            assert.equal("true true true", request.body)
        end
        assert.is_true(nginx.await_end(old))
    end)

    it("a request that dies in an old worker gives back its lock, and its place", function()
        local dying = server:begin [[
            kept.lock = assert(client:acquire("job", { ttl = 60 }))
            note "ready"
            await "never"
        ]]
        assert.is_truthy(server:await_note "ready")
        local waiting = server:begin [[ client:acquire("job", { wait = 60, ttl = 60 }) ]]
        assert.is_true(queue_comes_to(1))
        local old = server:reload()
        waiting:abort()
        assert.is_true(queue_comes_to(0))
        dying:abort()
        assert.is_true(nodes:comes_to(0, "job", 10))
        assert.is_true(nginx.await_end(old))
    end)

    it("a timer of the old worker keeps its lock to its end", function()
        server:play [[
            assert(ngx.timer.at(0, function()
                local lock = assert(client:acquire("job", { ttl = 3 }))
                note "ready"
                await "end"
                note("released", lock:held(), lock:release())
            end))
        ]]
        assert.is_truthy(server:await_note "ready")
        local old = server:reload()
        assert.is_truthy(is_renewed("job", 2))
        server:open_gate "end"
        assert.equal("released | true | true", server:await_note "released")
        assert.is_true(nginx.await_end(old))
    end)

    it("an old worker tells of a loss", function()
        local request = server:begin [[
            kept.lock = assert(client:acquire("job", { ttl = 3 }))
            kept.lock:on_lost(function(_, why) note("lost", why) end)
            note "ready"
            await "end"
        ]]
        assert.is_truthy(server:await_note "ready")
        local old = server:reload()
        nodes:ask_all("DEL", "job")
        assert.is_truthy(server:await_note "^lost | lost: ")
        server:open_gate "end"
        request:finish()
        assert.is_true(nginx.await_end(old))
    end)

    it("an old worker that never used a lock before tells of a loss", function()
        server:reload()
        local request = server:begin [[
            note "parked"
            await "go"
            kept.lock = assert(client:acquire("job", { ttl = 3 }))
            kept.lock:on_lost(function(_, why) note("lost", why) end)
            note "ready"
            await "end"
        ]]
        assert.is_truthy(server:await_note "parked")
        local old = server:reload()
        server:open_gate "go"
        assert.is_truthy(server:await_note "ready")
        -- The Lua module leaves a watcher open whose first timer starts so late.
        server:tolerate "open socket #%-2 left"
        nodes:ask_all("DEL", "job")
        assert.is_truthy(server:await_note "^lost | lost: ")
        server:open_gate "end"
        request:finish()
        assert.is_true(nginx.await_end(old))
    end)

    it("old workers that have used locks end at once, and give back what nobody holds", function()
        server:play [[
            assert(assert(client:acquire "warm"):release())
            kept.lock = assert(client:acquire("job", { ttl = 60, detach = true }))
        ]]
        local old = server:reload()
        assert.is_true(nginx.await_end(old, 10))
        assert.is_true(nodes:comes_to(0, "job", 10))
    end)
end)

describe("worker_shutdown_timeout", function()
    it("ends the requests of an old worker, and with them their locks", function()
        local impatient = nginx.start {
            nodes = nodes:urls(), main = "worker_shutdown_timeout 200ms;",
            http = "lua_check_client_abort on;",
        }
        local request = impatient:begin [[
            kept.lock = assert(client:acquire("job", { ttl = 60 }))
            note "ready"
            await "never"
        ]]
        assert.is_truthy(impatient:await_note "ready")
        local old = impatient:reload()
        assert.is_true(nodes:comes_to(0, "job", 10))
        assert.is_true(nginx.await_end(old))
        assert.equal("closed", request:finish().failure)
        assert.is_nil(impatient:unprovoked())
    end)
end)

describe("reload upon reload under load", function()
    local LOCK = [[
        local lock, message = client:acquire("job%d", { wait = 30, ttl = 60 })
        if not lock then
            ngx.print(message)
            return
        end
        local inside = ngx.shared.gates:incr("inside%d", 1, 0)
        ngx.sleep(0.002)
        ngx.shared.gates:incr("inside%d", -1)
        ngx.print(inside, " ", lock:release())
    ]]

    local requests, served, wrong, begun

    local function keep_busy()
        for index = 1, AT_ONCE do
            local request = requests[index]
            if request and request:ended() then
                served = served + 1
                wrong = wrong or request.body ~= "1 true" and (request.failure or request.body)
                request = nil
            end
            if not request then
                begun = begun + 1
                local name = begun % 4
                request = server:begin(LOCK:format(name, name, name), {
                    port = values.port_of_all,
                })
            end
            requests[index] = request
        end
    end

    local function serve_until(condition)
        assert.is_truthy(http.wait_until(function()
            keep_busy()
            return condition()
        end))
    end

    local function serve(count)
        local goal = served + count
        serve_until(function() return served >= goal end)
    end

    -- Under load all the time.
    local function reload()
        local old = server:workers()
        server:signal "HUP"
        serve_until(function()
            for _, pid in ipairs(old) do
                if nginx.is_alive(pid) then
                    return false
                end
            end
            return true
        end)
        serve(AT_ONCE)
    end

    local function is_over(condition)
        return wait.wait_until(condition, 10)
    end

    -- What there is of nginx when nothing is going on.
    local function measure()
        http.finish(requests)
        local workers = server:await_workers {}
        local sums = { descriptors = 0, threads = 0, memory = 0 }
        for _, pid in ipairs(workers) do
            for what in pairs(sums) do
                sums[what] = sums[what] + nginx[what](pid)
            end
        end
        local master = server.master
        sums.master_descriptors = nginx.descriptors(master)
        sums.master_memory = nginx.memory(master)
        return sums
    end

    before_each(function()
        requests, served, wrong, begun = {}, 0, nil, 0
    end)

    it("loses no release and no request, and leaves no worker behind", function()
        for _ = 1, RELOADS do
            reload()
            assert.is_falsy(wrong)
        end
        http.finish(requests)
        keep_busy()
        http.finish(requests)
        assert.is_falsy(wrong)
        assert.is_truthy(is_over(function() return #server:workers() == WORKERS end))
        assert.is_nil(nginx.left_behind(nodes, 10))
        for _, node in ipairs(nodes) do
            assert.is_true(nginx.connections(node, "worker") <= 2 * WORKERS)
        end
    end)

    it("leaves descriptors, threads and memory as they were", function()
        for _ = 1, 3 do
            reload()
        end
        local before, after, grown = measure(), nil, nil
        for _ = 1, 3 do -- how much a worker has served says something, too: but a leak only grows
            requests = {}
            for _ = 1, RELOADS do
                reload()
            end
            after = measure()
            grown = math.max(after.master_memory - before.master_memory,
                after.memory - before.memory)
            if grown < GROWTH * RELOADS then
                break
            end
        end
        requests = {}
        assert.equal(before.master_descriptors, after.master_descriptors)
        assert.is_true(after.descriptors <= before.descriptors + 2 * WORKERS,
            after.descriptors .. " descriptors after " .. before.descriptors)
        assert.is_true(after.threads <= before.threads,
            after.threads .. " threads after " .. before.threads)
        assert.is_true(grown < GROWTH * RELOADS, grown .. " KiB more")
    end)
end)
