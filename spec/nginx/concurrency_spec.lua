-- nginx with many requests at once: on one lock, on a thousand, in one worker and in several.

local http = require "support.http"
local nginx = require "support.nginx"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local waiter = require "support.waiter"

local CROWD = 200 -- requests for one lock
local REQUESTS, LOCKS_EACH = 250, 4 -- a thousand locks
local GROWTH = 1024 -- KiB that a worker may need more after ten thousand locks

local nodes, one, single, several, holder
local values = {} -- of the configuration

setup(function()
    nodes = quorum.start(3)
    one = nodes:first(1)
    single = nginx.start { nodes = one:urls(), client = { client_name = "single" } }
    values.port_of_all = nginx.free_port()
    several = nginx.start {
        nodes = nodes:urls(), workers = 4, client = { client_name = "several" },
        listen = "listen 127.0.0.1:{port_of_all} reuseport;", values = values,
    }
    holder = one:client()
end)

teardown(function()
    nginx.stop_all()
    process.stop_all()
    quorum.close_clients()
    servers.stop_all()
end)

after_each(function()
    assert.is_nil(single:settle(nodes))
    assert.is_nil(several:settle(nodes))
end)

local function begin_many(count, begin)
    local requests = {}
    for index = 1, count do
        requests[index] = begin(index)
    end
    return requests
end

local function count_keys(node, pattern)
    return quorum.ask(node, "EVAL", "return #redis.call('KEYS', ARGV[1])", 0, pattern)
end

describe("many requests for one lock in one worker", function()
    -- Which one came, as the how-manieth it got the lock, how many had it then, and the fence.
    local TENURE = [[
        kept.came = (kept.came or 0) + 1
        local number = kept.came
        local lock = assert(client:acquire("job", { wait = 60, ttl = 60 }))
        kept.turn, kept.inside = (kept.turn or 0) + 1, (kept.inside or 0) + 1
        local turn, inside = kept.turn, kept.inside
        ngx.sleep(0)
        kept.inside = kept.inside - 1
        assert(lock:release())
        ngx.print(number, " ", turn, " ", inside, " ", ("%.0f"):format(lock.fence))
    ]]

    local function begin_crowd()
        local requests = begin_many(CROWD, function() return single:begin(TENURE) end)
        assert.is_true(http.wait_until(function()
            return single:play("ngx.print(kept.came or 0)").body == tostring(CROWD)
        end))
        return requests
    end

    it("get it once each, one at a time, in the order in which they came", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local requests = begin_crowd()
        assert(lock:release())
        http.finish(requests)
        local fences = {}
        for _, request in ipairs(requests) do
            local number, turn, inside, fence = request.body:match "^(%d+) (%d+) (%d+) (%d+)$"
            assert.equal(200, request.status)
            assert.equal(number, turn)
            assert.equal("1", inside)
            fences[tonumber(turn)] = tonumber(fence)
        end
        assert.equal(CROWD, #fences)
        for turn = 2, CROWD do
            assert.is_true(fences[turn] > fences[turn - 1])
        end
    end)

    it("do not keep the worker from answering others", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local requests = begin_crowd()
        for _ = 1, 50 do
            assert.equal("plain", single:get("/plain").body)
        end
        for index = 1, 50 do
            local other = ([[
                ngx.print(assert(client:acquire("other%d")):release())
            ]]):format(index)
            assert.equal("true", single:play(other).body)
        end
        assert.is_true(lock:held())
        for _, request in ipairs(requests) do
            assert.is_false(request:ended())
        end
        assert(lock:release())
        http.finish(requests)
    end)

    it("have one place in the queue, and two connections", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local requests = begin_crowd()
        assert.is_true(http.wait_until(function()
            return nginx.queue_length(one, "job") == 1
                and nginx.connections(nodes[1], "single") == 2
        end))
        assert(lock:release())
        local most = 0
        while not requests[CROWD]:ended() do
            http.drive(0.001)
            most = math.max(most, nginx.queue_length(one, "job"))
        end
        http.finish(requests)
        assert.is_true(most <= 1, most)
        assert.is_true(nginx.connections(nodes[1], "single") <= 2)
    end)

    it("that wait for a short time each fail in time, and leave nothing", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local requests = begin_many(CROWD, function()
            return single:begin [[
                local lock, message, code = client:acquire("job", { wait = 0.2 })
                ngx.print(code)
            ]]
        end)
        http.finish(requests)
        for _, request in ipairs(requests) do
            assert.equal("timeout", request.body)
        end
        assert(lock:release())
    end)

    it("of which most are aborted, go on with those that are left", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local requests = begin_crowd()
        local left = {}
        for index, request in ipairs(requests) do
            if index % 10 == 0 then
                left[#left + 1] = request
            else
                request:abort()
            end
        end
        assert(lock:release())
        http.finish(left)
        for _, request in ipairs(left) do
            assert.is_truthy(request.body:find "^%d+ %d+ 1 %d+$", request.body)
        end
    end)
end)

describe("waiters of a worker and of another process", function()
    it("get a fair lock in the order in which they came", function()
        local FAIR = [[
            local lock = assert(client:acquire("job", { wait = 60, ttl = 60, fair = true }))
            note("worker")
            assert(lock:release())
        ]]
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        single:begin(FAIR)
        assert.is_true(waiter.stand(1, one, "job"))
        local other = waiter.start {
            nodes = one:urls(), name = "job", wait = 60, ttl = 60, fair = true, hold = true,
        }
        assert.is_true(waiter.stand(2, one, "job"))
        local last = single:begin(FAIR)
        assert.equal("plain", single:get("/plain").body) -- it has come
        assert(lock:release())
        assert.is_truthy(other:wait_line("acquired", 20))
        assert.same({ "worker" }, single:notes())
        other:tell "go on"
        last:finish()
        assert.same({ "worker", "worker" }, single:notes())
        other:close()
    end)

    it("wait for ever, if that is asked", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local request = single:begin [[
            local lock = assert(client:acquire("job", { wait = math.huge, ttl = 60 }))
            ngx.print(lock:release())
        ]]
        assert.is_true(waiter.stand(1, one, "job"))
        assert(lock:release())
        assert.equal("true", request:finish().body)
    end)
end)

describe("a worker", function()
    local worker

    -- How many sockets it listens on.
    local function listeners()
        local command = ([[
            for inode in $(readlink /proc/%d/fd/* | sed -n 's/^socket:.\([0-9]*\).$/\1/p'); do
                awk -v inode="$inode" '$4 == "0A" && $10 == inode' /proc/%d/net/tcp
            done | wc -l
        ]]):format(worker, worker)
        local pipe = assert(io.popen(command, "r"))
        local count = tonumber(pipe:read("*a"))
        pipe:close()
        return count
    end

    before_each(function()
        worker = single:workers()[1]
    end)

    it("has no socket of ours open for others, once it is used", function()
        local request = single:begin [[
            local lock = assert(client:acquire("job", { ttl = 60 }))
            note "ready"
            await "end"
            assert(lock:release())
        ]]
        assert.is_truthy(single:await_note "ready")
        assert.equal(1, listeners())
        single:open_gate "end"
        request:finish()
    end)

    it("needs no more memory after ten thousand locks", function()
        local PAIRS = [[
            for number = 1, 1000 do
                local lock = assert(client:acquire("job" .. number, { ttl = 60 }))
                if number % 2 == 0 then
                    assert(lock:release())
                end
            end
            ngx.print(collectgarbage() + collectgarbage())
        ]]
        local function use(times)
            for _ = 1, times do
                assert.equal("0", single:play(PAIRS).body)
                assert.is_nil(nginx.left_behind(one, 10))
            end
            return nginx.memory(worker)
        end
        local before = use(3)
        local grown = use(10) - before
        assert.is_true(grown < GROWTH, grown .. " KiB more")
    end)
end)

describe("a thousand locks at once in one worker", function()
    local HOLD = [[
        local function hold(number)
            local lock = assert(client:acquire("many:%d:" .. number, { ttl = %d }))
            await "end"
            assert(lock:release())
        end
        local threads = {}
        for number = 1, %d do
            threads[number] = ngx.thread.spawn(hold, number)
        end
        for number = 1, #threads do
            assert(ngx.thread.wait(threads[number]))
        end
    ]]

    local function begin_all(server, ttl)
        return begin_many(REQUESTS, function(index)
            return server:begin(HOLD:format(index, ttl, LOCKS_EACH))
        end)
    end

    local function are_held(node)
        return http.wait_until(function()
            return count_keys(node, "many:*") == REQUESTS * LOCKS_EACH
        end)
    end

    local function finish_all(server, requests)
        server:open_gate "end"
        http.finish(requests)
        for _, request in ipairs(requests) do
            assert.equal(200, request.status)
        end
    end

    it("need two connections to Redis, and no more threads than one lock", function()
        local worker = single:workers()[1]
        single:play [[ assert(client:acquire "warm"):release() ]]
        local threads = nginx.threads(worker)
        local requests = begin_all(single, 60)
        assert.is_true(are_held(nodes[1]))
        assert.is_true(nginx.connections(nodes[1], "single") <= 2)
        assert.equal(threads, nginx.threads(worker))
        finish_all(single, requests)
    end)

    it("are all renewed", function()
        local requests = begin_all(single, 4)
        assert.is_true(are_held(nodes[1]))
        nodes:ask(1, "SET", "longer than a lease", "x", "PX", 4300)
        assert.is_true(http.wait_until(function()
            return nodes:count "longer than a lease" == 0
        end))
        assert.equal(REQUESTS * LOCKS_EACH, count_keys(nodes[1], "many:*"))
        finish_all(single, requests)
    end)

    it("go with their requests, all at once", function()
        begin_all(single, 60)
        assert.is_true(are_held(nodes[1]))
        http.abort_all()
        single:open_gate "end"
        assert.is_nil(nginx.left_behind(one, 10))
    end)
end)

describe("several workers", function()
    local function begin_in_all(code)
        return several:begin(code, { port = values.port_of_all })
    end

    it("have one lock in turn, each waiting worker with one place in the queue", function()
        local lock = assert(nodes:client():acquire("job", { ttl = 60 }))
        local requests = begin_many(100, function()
            return begin_in_all [[
                note(ngx.worker.pid())
                local lock = assert(client:acquire("job", { wait = 60, ttl = 60 }))
                local inside = ngx.shared.gates:incr("inside", 1, 0)
                ngx.sleep(0)
                ngx.shared.gates:incr("inside", -1)
                assert(lock:release())
                ngx.print(inside)
            ]]
        end)
        assert.is_true(http.wait_until(function() return #several:notes() == 100 end))
        local waiting, count = {}, 0
        for _, pid in ipairs(several:notes()) do
            count = count + (waiting[pid] and 0 or 1)
            waiting[pid] = true
        end
        assert.is_true(count > 1)
        assert.is_true(http.wait_until(function()
            return nginx.queue_length(nodes, "job") == count
        end))
        for _, node in ipairs(nodes) do
            assert.is_true(nginx.connections(node, "several") <= 2 * 4)
        end
        assert(lock:release())
        http.finish(requests)
        for _, request in ipairs(requests) do
            assert.equal("1", request.body)
        end
    end)
end)
