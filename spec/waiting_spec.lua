-- Waiting: whoever waits is woken, one at a time and in order, and nobody who is gone holds up the others.

local calls = require "support.calls"
local inbox = require "support.inbox"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"
local waiter = require "support.waiter"

local ALONE = 60 -- seconds: a lease that no test outlives
local LONG = 4 -- seconds: a wait that ends, but not before it was seen
local CLAIM = 1 -- second for which a claim stands

local nodes, one, client

local function side(name)
    return inbox.side("job", name)
end

-- A lock of one node's, held by a client of this process.
local function hold(terms)
    return assert(client:acquire("job", terms or { ttl = ALONE }))
end

local function start_waiter(order)
    order.nodes, order.name = order.nodes or one:urls(), "job"
    order.wait = order.wait or 30
    return waiter.start(order)
end

local function start_crowd(count, order)
    order.nodes, order.name, order.wait = order.nodes or one:urls(), "job", 30
    return waiter.start_crowd(count, order)
end

local function stand(count, list)
    return waiter.stand(count, list or one, "job", 60)
end

local function ids(messages)
    local list = {}
    for index, message in ipairs(messages) do
        list[index] = message.id
    end
    return list
end

-- The server has seen that the inbox was closed.
local function await_silence(dead)
    assert.is_truthy(wait.wait_until(function()
        return quorum.ask(dead.server, "PUBLISH", dead.channel, "anybody?") == 0
    end))
end

-- The first of the queue is told, and hears nothing of it.
local CLAIM_FOR_HEAD = [[
    local head = redis.call('ZPOPMIN', KEYS[2])[1]
    redis.call('SET', KEYS[3], head, 'PX', 60000)
    return redis.call('DEL', KEYS[1])
]]

setup(function()
    nodes = quorum.start(5)
    one = nodes:first(1)
end)

teardown(function()
    servers.stop_all()
end)

-- Every node knows the scripts, so that a lock stands on all of them.
local function warm_up()
    for _, server in ipairs(nodes) do
        assert(quorum.of({ server }):client():acquire("warm")):release()
    end
end

before_each(function()
    warm_up()
    client = one:client()
end)

after_each(function()
    inbox.close_all()
    process.stop_all()
    quorum.close_clients()
    assert.is_nil(nodes:key_for_ever())
    nodes:reset()
end)

describe("a release", function()
    it("wakes nobody but the one of 200 that came first", function()
        local lock = hold()
        local waiting = inbox.open(nodes[1])
        for id = 200, 1, -1 do
            waiting:join("job", id, 1000 + id)
        end
        assert(lock:release())
        assert.same({ 1 }, ids(waiting:heard()))
        assert.equal(199, one:ask(1, "ZCARD", side "queue"))
    end)

    it("tells the waiter for which lock, and the fence that it has to exceed", function()
        local lock = hold()
        local waiting = inbox.open(nodes[1])
        waiting:join("job", 7, 1)
        assert(lock:release())
        assert.same({ id = 7, fence = lock.fence, key = "job" }, waiting:next())
    end)

    it("wakes the waiters in order of arrival, whatever inbox they share", function()
        local first, second = inbox.open(nodes[1]), inbox.open(nodes[1])
        first:join("job", 3, 30)
        second:join("job", 2, 20)
        first:join("job", 1, 10)
        local order = {}
        for turn = 1, 3 do
            assert(hold({ ttl = ALONE }):release())
            for _, message in ipairs(first:heard()) do
                order[turn] = message.id
            end
            for _, message in ipairs(second:heard()) do
                order[turn] = message.id
            end
        end
        assert.same({ 1, 2, 3 }, order)
    end)

    it("passes over a waiter whose process is gone", function()
        wait.in_time(CLAIM, function()
            nodes:reset()
            local lock = hold()
            local dead, living = inbox.open(nodes[1]), inbox.open(nodes[1])
            dead:join("job", 1, 1)
            dead:join("job", 2, 2)
            living:join("job", 3, 3)
            dead:close()
            await_silence(dead)
            assert(lock:release())
            assert.same({ 3 }, ids(living:heard()))
            assert.equal(living:waiter(3), one:ask(1, "GET", side "claim"))
        end)
    end)

    it("publishes nothing when nobody waits", function()
        calls.reset(nodes[1])
        assert(hold():release())
        local counts = calls.count(nodes[1])
        assert.equal(0, counts.publish)
        assert.equal(1, counts.del)
    end)
end)

describe("waiting processes", function()
    it("get the lock one after the other, each exactly once", function()
        local lock = hold()
        local path = os.tmpname()
        local file = assert(io.open(path, "w"))
        file:write("0")
        file:close()
        local crowd = start_crowd(100, { count = path })
        assert.is_true(stand(100))
        assert(lock:release())
        assert(crowd:wait_line("^all ended", 60))
        local tenures, seen = waiter.tenures(crowd), {}
        for _, tenure in ipairs(tenures) do
            assert.is_nil(seen[tenure.id])
            seen[tenure.id] = true
        end
        assert.equal(100, #tenures)
        file = assert(io.open(path))
        assert.equal("100", file:read("*a"))
        file:close()
        os.remove(path)
        assert.equal(0, one:ask(1, "EXISTS", "job", side "queue", side "claim"))
    end)

    for _, where in ipairs { { "one node", 1 }, { "five nodes", 5 } } do
        it("get the lock in order of arrival, over " .. where[1], function()
            local list = nodes:first(where[2])
            local lock = list:everywhere(list:client(), "job", { ttl = ALONE })
            local waiters = {}
            for index = 1, 5 do
                waiters[index] = start_waiter { nodes = list:urls(), fair = true }
                assert.is_true(stand(index, list))
            end
            assert(lock:release())
            local last = lock.fence
            for _, child in ipairs(waiters) do
                assert(child:wait_line("released"))
                local fence = waiter.tenures(child)[1].fence
                assert.is_true(fence > last)
                last = fence
            end
        end)
    end

    -- By its polls alone it would need half a minute for so many attempts.
    it("make an attempt whenever they are woken", function()
        quorum.ask(nodes[1], "SET", "job", "foreign", "PX", 60000)
        start_waiter {}
        assert.is_true(stand(1))
        local channel, id = nodes[1]:cli("ZRANGE", side "queue", 0, 0):match("^(.*)/(%d+)$")
        calls.reset(nodes[1])
        local deadline = wait.now() + 15
        for turn = 1, 30 do
            assert.equal(1, quorum.ask(nodes[1], "PUBLISH", channel, id .. " 0 job"))
            assert.is_truthy(wait.wait_until(function()
                return calls.count(nodes[1]).evalsha >= turn
            end, deadline - wait.now()))
        end
        assert.is_true(calls.count(nodes[1]).evalsha < 60)
    end)

    it("cost as many commands a hand-over when they are many as when they are few", function()
        local function commands_a_hand_over(count)
            local lock = hold()
            local crowd = start_crowd(count, {})
            assert.is_true(stand(count))
            calls.reset(nodes[1])
            assert(lock:release())
            assert(crowd:wait_line("^all ended", 60))
            local counts, total = calls.count(nodes[1])
            assert.is_true(counts.publish <= 1.5 * count, counts.publish)
            return total / count
        end
        local few, many = commands_a_hand_over(5), commands_a_hand_over(50)
        assert.is_true(many < 1.5 * few, ("%.1f commands with 5, %.1f with 50"):format(few, many))
    end)

    it("come and go with no more than one subscription to a node", function()
        local lock = assert(nodes:client():acquire("job", { ttl = ALONE }))
        local child = start_waiter { nodes = nodes:urls(), wait = 0.2, times = 5, linger = true }
        assert.is_truthy(wait.wait_until(function() return #child:lines() == 6 end, 20))
        assert.matches("timeout:", child:lines()[6])
        for index = 1, 5 do
            local channels = nodes[index]:cli("PUBSUB", "CHANNELS", "redlock:*")
            assert.matches("^redlock:[%w_-]+$", channels)
            assert.equal(1, select(2, nodes[index]:cli("CLIENT", "LIST"):gsub("sub=1", "")))
        end
        assert(lock:release())
    end)
end)

describe("a waiter that is gone", function()
    it("is passed over when it was killed in the queue", function()
        local lock = hold()
        local dead = start_waiter { fair = true }
        assert.is_true(stand(1))
        local living = start_waiter { fair = true }
        assert.is_true(stand(2))
        dead:signal("KILL")
        dead:wait()
        assert(lock:release())
        assert(living:wait_line("released"))
    end)

    it("loses its place when it is stopped, and gets it back when it goes on", function()
        local lock = hold()
        local stopped = start_waiter { fair = true }
        assert.is_true(stand(1))
        local living = start_waiter { fair = true, hold = true }
        assert.is_true(stand(2))
        stopped:signal("STOP")
        assert(lock:release())
        assert(living:wait_line("acquired"))
        stopped:signal("CONT")
        assert.is_true(stand(1))
        assert.is_nil(stopped:lines()[2])
        living:tell("go on")
        assert(stopped:wait_line("released"))
    end)

    it("leaves the queue of every node when its wait is over", function()
        local lock = nodes:everywhere(nodes:client(), "job", { ttl = ALONE })
        local child = start_waiter { nodes = nodes:urls(), wait = LONG }
        assert.is_true(stand(1, nodes))
        assert.matches("timeout:", child:wait_line("failed"))
        assert.is_true(stand(0, nodes))
        assert(lock:release())
    end)

    it("passes its claim on when its wait is over before it comes", function()
        quorum.ask(nodes[1], "SET", "job", "foreign", "PX", 60000)
        local child = start_waiter { wait = LONG }
        assert.is_true(stand(1))
        child:signal("STOP")
        local next_one = inbox.open(nodes[1])
        local freed = one:ask(1, "EVAL", CLAIM_FOR_HEAD, 3, "job", side "queue", side "claim")
        assert.equal(1, freed)
        next_one:join("job", 5, 1)
        wait.sleep(LONG)
        child:signal("CONT")
        assert.equal(5, next_one:next().id)
        assert.matches("failed", child:wait_line("failed"))
    end)

    it("passes on a wake-up that comes when it waits for another lock", function()
        local lock = hold()
        start_waiter {}
        assert.is_true(stand(1))
        local channel = nodes[1]:cli("PUBSUB", "CHANNELS", "redlock:*")
        local next_one = inbox.open(nodes[1])
        next_one:join("earlier", 5, 1)
        quorum.ask(nodes[1], "SET", inbox.side("earlier", "claim"), channel .. "/99", "PX", 60000)
        assert.equal(1, quorum.ask(nodes[1], "PUBLISH", channel, "99 0 earlier"))
        assert.same({ id = 5, fence = 0, key = "earlier" }, next_one:next())
        assert(lock:release())
    end)
end)

describe("a lock that comes free without a word", function()
    it("is noticed by who waits for it", function()
        quorum.ask(nodes[1], "SET", "job", "foreign", "PX", 60000)
        local child = start_waiter {}
        assert.is_true(stand(1))
        quorum.ask(nodes[1], "DEL", "job")
        assert(child:wait_line("acquired"))
    end)

    it("is noticed when its lease runs out", function()
        quorum.ask(nodes[1], "SET", "job", "foreign", "PX", 300)
        local lock = assert(client:acquire("job", { wait = 20 }))
        assert.equal(lock.token, one:ask(1, "GET", "job"))
    end)

    it("is not left to a newcomer who is fair, while a living waiter is first", function()
        wait.in_time(CLAIM, function()
            nodes:reset()
            local waiting = inbox.open(nodes[1])
            waiting:join("job", 1, 1)
            local lock, _, code = client:try("job", { fair = true })
            assert.is_nil(lock)
            assert.equal("locked", code)
            assert.same({ 1 }, ids(waiting:heard()))
            assert.is_nil((client:try("job", { fair = true })))
            assert.same({}, waiting:heard())
        end)
    end)

    it("is left to a newcomer who is not fair", function()
        local waiting = inbox.open(nodes[1])
        waiting:join("job", 1, 1)
        local lock = assert(client:try("job"))
        assert.same({}, waiting:heard())
        assert.equal(1, one:ask(1, "ZCARD", side "queue"))
        assert(lock:release())
    end)

    it("is left to a newcomer who is fair, when all who waited are dead", function()
        local dead = inbox.open(nodes[1])
        dead:join("job", 1, 1)
        dead:join("job", 2, 2)
        dead:close()
        await_silence(dead)
        assert(client:try("job", { fair = true }))
        assert.equal(0, one:ask(1, "ZCARD", side "queue"))
    end)

    it("is had by who is fair once the first does not come to claim it", function()
        local waiting
        wait.in_time(CLAIM, function()
            nodes:reset()
            waiting = inbox.open(nodes[1])
            waiting:join("job", 1, 1)
            assert.is_nil((client:try("job", { fair = true })))
            local left_ms = one:ask(1, "PTTL", side "claim")
            assert.is_true(left_ms > 0 and left_ms <= 1000 * CLAIM, left_ms)
        end)
        assert(client:acquire("job", { fair = true, wait = 20 }))
        assert.same({ 1 }, ids(waiting:heard()))
    end)
end)

describe("the wait", function()
    it("of nothing neither queues nor subscribes", function()
        local lock = hold()
        calls.reset(nodes[1])
        local second, _, code = one:client():acquire("job", { wait = 0 })
        assert.is_nil(second)
        assert.equal("locked", code)
        local counts = calls.count(nodes[1])
        assert.equal(0, counts.subscribe)
        assert.equal(0, counts.zadd)
        assert(lock:release())
    end)

    it("for ever outlives a restart of the node, and is woken after it", function()
        local lock = hold()
        local child = start_waiter { wait = "for ever" }
        assert.is_true(stand(1))
        nodes[1]:restart { keep_data = true }
        assert.is_truthy(wait.wait_until(function()
            return nodes[1]:cli("PUBSUB", "CHANNELS", "redlock:*") ~= ""
        end))
        assert.is_true(stand(1))
        calls.reset(nodes[1])
        assert(lock:release())
        assert(child:wait_line("released"))
        assert.equal(1, calls.count(nodes[1]).publish)
    end)

    it("ends with the lock when the node has forgotten it", function()
        local lock = hold()
        local child = start_waiter {}
        assert.is_true(stand(1))
        nodes[1]:restart()
        local last = lock.fence
        assert(child:wait_line("released"))
        assert.is_true(waiter.tenures(child)[1].fence > last)
    end)

    it("over five nodes needs not all of them", function()
        nodes[5]:pause()
        local lock = nodes:first(4):everywhere(nodes:client(), "job", { ttl = ALONE })
        local children = {}
        for index = 1, 2 do
            children[index] = start_waiter { nodes = nodes:urls(), fair = true }
            assert.is_true(stand(index, nodes:first(4)))
        end
        assert(lock:release())
        assert(children[1]:wait_line("released"))
        assert(children[2]:wait_line("released"))
        assert.is_true(waiter.tenures(children[1])[1].fence < waiter.tenures(children[2])[1].fence)
    end)
end)
