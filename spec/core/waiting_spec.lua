--- How a lock waits: polls, back-off, the queue, wake-ups, and when it gives up.

local driver = require "support.driver"

local NEVER = math.huge
local ALL, NONE = { 1, 2, 3 }, {}

local function held(ttl_ms)
    return { reason = "held", ttl_ms = ttl_ms or 5000 }
end

-- Waits for a lock that is held, with its inbox confirmed everywhere before it began.
local function waiter(options)
    local d = driver.new(options)
    local nodes = {}
    for node = 1, d.nodes do
        nodes[node] = node
    end
    d.quorum:set { inbox_ready = options and options.inbox_ready or nodes }
    d:acquire { wait_ms = 60000, ttl_ms = 2000 }:answer_all(held()):answer_everything "absent"
    assert.equal("waiting", d.lock.state)
    return d
end

local function names_of(requests)
    local names = {}
    for _, request in ipairs(requests) do
        names[request.node] = request.waiter
    end
    return names
end

-- Nodes that are told that the waiter left; each in a request that releases nothing.
local function left_behind(d)
    local nodes = {}
    for _, request in ipairs(d:pull()) do
        local names_me = request.kind == "release" and request.waiter == "redlock:inbox/1"
        if names_me and not request.steps_back then
            assert.is_true(request.owed and request.once)
            nodes[#nodes + 1] = request.node
        end
    end
    return nodes
end

describe("an acquire that waits", function()
    it("tries again until its wait is over, to the millisecond", function()
        local d = driver.new():acquire { wait_ms = 7000 }
        local until_ms, attempts = d.now + 7000, 0
        while d.lock.outcome == "pending" do
            if d.lock.state == "acquiring" then
                attempts = attempts + 1
                d:answer_all(held())
            end
            assert.is_true(d.lock:next_time() <= until_ms)
            d:jump()
        end
        assert.equal("timeout", d.lock.outcome)
        assert.equal(until_ms, d.now)
        assert.is_true(attempts >= 7)
        assert.same(NONE, d.lock:wants())
    end)

    it("gets the lock when it is free at last", function()
        local d = driver.new():acquire { wait_ms = 60000 }:answer_all(held(300))
        d:jump()
        d:answer_all "granted"
        assert.equal("acquired", d.lock.outcome)
    end)

    it("for ever does not end by time", function()
        local d = driver.new():acquire { wait_ms = NEVER }
        for _ = 1, 50 do
            d:answer_all(held())
            d:pass(86400000)
            assert.equal("acquiring", d.lock.state)
        end
    end)

    it("ends at its wait, though its last attempt has no answer yet", function()
        local d = driver.new { timeout_ms = 5000 }:acquire { wait_ms = 1500 }:answer_all(held(1200))
        local start = d.now
        d:jump()
        assert.equal("acquiring", d.lock.state)
        assert.equal(start + 1500, d.lock:next_time())
        d:pass(start + 1500 - d.now)
        assert.not_equal("pending", d.lock.outcome)
    end)

    it("sends nothing while it waits", function()
        assert.same(NONE, waiter().lock:wants())
    end)
end)

describe("a poll", function()
    local function first_poll(ttl_ms, seed)
        local d = driver.new { nodes = 1, random = seed }:acquire { wait_ms = 60000 }
        d:answer_all(held(ttl_ms))
        return d:jump()
    end

    it("comes after the holder's lease, yet at most a second later", function()
        for seed = 1, 40 do
            for _, ttl_ms in ipairs { 0, 1, 9, 10, 57, 799, 899, 950, 999, 1000, 90000, -1 } do
                local passed = first_poll(ttl_ms, seed)
                local what = ("ttl %d, seed %d: %d"):format(ttl_ms, seed, passed)
                assert.is_true(passed >= 1 and passed <= 1000, what)
                if ttl_ms >= 0 and ttl_ms < 800 then
                    assert.is_true(passed > ttl_ms, what)
                    assert.is_true(passed <= ttl_ms + ttl_ms / 10 + 3, what)
                else
                    assert.is_true(passed >= 800, what)
                end
            end
        end
    end)

    it("is spread by jitter, also among those that heard the same", function()
        for _, ttl_ms in ipairs { 500, 90000 } do
            local seen, count = {}, 0
            for seed = 1, 50 do
                local passed = first_poll(ttl_ms, seed * 7919)
                count = count + (seen[passed] and 0 or 1)
                seen[passed] = true
            end
            assert.is_true(count > 10)
        end
    end)

    it("is the same for the same seed", function()
        local function polls(seed)
            local d = driver.new { random = seed }:acquire { wait_ms = NEVER }
            local passed = {}
            for index = 1, 20 do
                d:answer_all(held(index * 100))
                passed[index] = d:jump()
            end
            return passed
        end
        assert.same(polls(42), polls(42))
        assert.not_same(polls(42), polls(43))
    end)

    it("goes by the shortest of the leases", function()
        local d = driver.new():acquire { wait_ms = 60000 }
        d:pull()
        d:answer(1, held(700))
        d:answer(2, held(100))
        local passed = d:jump()
        assert.is_true(passed > 100 and passed <= 115)
    end)
end)

describe("the back-off after a split vote", function()
    -- The intervals of one wait in which every attempt splits.
    local function intervals(seed)
        local d = driver.new { random = seed }:acquire { wait_ms = NEVER }
        local all = {}
        for index = 1, 9 do
            d:answer_each { "granted", held(), held() }
            all[index] = d:jump()
            assert.equal("acquiring", d.lock.state)
        end
        return all
    end

    it("is full jitter: from 1 ms to a ceiling that doubles from 8 to 250", function()
        local longest = {}
        for seed = 1, 300 do
            for index, interval in ipairs(intervals(seed * 104729)) do
                local ceiling = math.min(8 * 2 ^ (index - 1), 250)
                assert.is_true(interval >= 1 and interval <= ceiling)
                longest[index] = math.max(longest[index] or 0, interval)
            end
        end
        for index, interval in ipairs(longest) do
            assert.is_true(interval > 0.9 * math.min(8 * 2 ^ (index - 1), 250))
        end
    end)

    it("is the same for the same seed, another for another", function()
        assert.same(intervals(5), intervals(5))
        assert.not_same(intervals(5), intervals(6))
    end)

    it("begins anew after the lock was held by another", function()
        local d = driver.new():acquire { wait_ms = NEVER }
        for _ = 1, 8 do
            d:answer_each { "granted", held(), held() }
            d:jump()
        end
        d:answer_all(held())
        d:jump()
        d:answer_each { "granted", held(), held() }
        assert.is_true(d:jump() <= 8)
    end)
end)

describe("a wait without a majority of nodes", function()
    local function unreachable_until_end(d)
        while d.lock.outcome == "pending" do
            if d.lock.state == "acquiring" then
                d:answer_each { "unreachable", "unreachable", held() }
            else
                d:jump()
            end
        end
    end

    it("that was never reached ends after about one timeout", function()
        local d = driver.new { timeout_ms = 400 }:acquire { wait_ms = 60000 }
        local start = d.now
        unreachable_until_end(d)
        assert.equal("unavailable", d.lock.outcome)
        assert.is_true(d.now - start >= 400 and d.now - start <= 400 + 250)
    end)

    it("that was never reached ends at its wait, if that is shorter", function()
        local d = driver.new { timeout_ms = 400 }:acquire { wait_ms = 50 }
        local start = d.now
        unreachable_until_end(d)
        assert.equal("unavailable", d.lock.outcome)
        assert.equal(start + 50, d.now)
    end)

    it("goes on to its end once a majority has answered, and says what was last", function()
        local d = driver.new { timeout_ms = 400 }:acquire { wait_ms = 20000 }:answer_all(held(100))
        local start = d.now
        unreachable_until_end(d)
        assert.equal("unavailable", d.lock.outcome)
        assert.equal(start + 20000, d.now)
    end)

    it("gets the lock when the nodes are back", function()
        local d = driver.new():acquire { wait_ms = 20000 }:answer_all(held(100))
        for _ = 1, 20 do
            d:jump()
            d:answer_all "unreachable"
        end
        d:jump()
        d:answer_all "granted"
        assert.equal("acquired", d.lock.outcome)
    end)

    it("does not ask more than some 50 times a second", function()
        local d = driver.new():acquire { wait_ms = 20000 }:answer_all(held(100))
        local start, attempts = d.now, 0
        while d.now < start + 10000 do
            d:jump()
            d:answer_all "unreachable"
            attempts = attempts + 1
        end
        assert.is_true(attempts < 500)
    end)
end)

describe("the inbox", function()
    it("is wanted once a majority said that the lock is another's", function()
        local d = driver.new():acquire { wait_ms = 60000 }
        assert.is_false(d.lock:wants_inbox())
        d:answer_all(held())
        assert.is_true(d.lock:wants_inbox())
    end)

    it("is not wanted without a wait, nor while no majority answers", function()
        local d = driver.new():acquire():answer_all(held())
        assert.is_false(d.lock:wants_inbox())
        d:acquire({ wait_ms = 60000 }):answer_all "unreachable"
        assert.equal("waiting", d.lock.state)
        assert.is_false(d.lock:wants_inbox())
    end)

    it("is not wanted once the lock is owned", function()
        local d = waiter()
        d:jump()
        d:answer_all "granted"
        assert.is_false(d.lock:wants_inbox())
    end)

    it("that is ready everywhere brings an attempt at once, which joins the queues", function()
        local d = waiter { inbox_ready = NONE }
        d.quorum:set { inbox_ready = ALL }
        d:put "inbox_ready"
        assert.equal("acquiring", d.lock.state)
        assert.same({ "redlock:inbox/1", "redlock:inbox/1", "redlock:inbox/1" }, names_of(d:pull()))
    end)

    it("that is ready on a majority brings an attempt a moment later", function()
        local d = waiter { inbox_ready = NONE }
        d.quorum:set { inbox_ready = { 1, 3 } }
        d:put "inbox_ready"
        assert.equal("waiting", d.lock.state)
        assert.is_true(d:jump() <= 3)
        assert.same({ "redlock:inbox/1", "", "redlock:inbox/1" }, names_of(d:pull()))
    end)

    it("that is ready on a minority changes nothing", function()
        local d = waiter { inbox_ready = NONE }
        local next_ms = d.lock:next_time()
        d.quorum:set { inbox_ready = { 2 } }
        d:put "inbox_ready"
        assert.equal("waiting", d.lock.state)
        assert.equal(next_ms, d.lock:next_time())
    end)

    it("that is ready on one more node changes nothing for who stands in a majority", function()
        local d = waiter { inbox_ready = { 1, 2 } }
        d.quorum:set { inbox_ready = ALL }
        d:put "inbox_ready"
        assert.equal("waiting", d.lock.state)
    end)
end)

describe("the queue", function()
    it("is joined where the inbox is ready, and nowhere else", function()
        local d = driver.new { inbox_ready = { 2 }, inbox = "redlock:abc", id = 77 }
        d:acquire { wait_ms = 5000 }
        assert.same({ "", "redlock:abc/77", "" }, names_of(d:pull()))
    end)

    it("is not joined without a wait", function()
        local d = driver.new { inbox_ready = ALL }:acquire()
        assert.same({ "", "", "" }, names_of(d:pull()))
    end)

    it("is joined again by every attempt, with the same arrival", function()
        local d = driver.new { inbox_ready = ALL }
        local arrival = d.wall_us
        d:acquire { wait_ms = 60000 }
        for _ = 1, 5 do
            for _, request in ipairs(d:pull()) do
                assert.equal("redlock:inbox/1", request.waiter)
                assert.equal(arrival, request.arrival_us)
            end
            d:answer_all(held(100))
            d.wall_us = d.wall_us + 100000
            d:jump()
        end
    end)

    it("is asked for fairness by a fair acquire, with or without a wait", function()
        for _, wait_ms in ipairs { 0, 5000 } do
            local d = driver.new():acquire { wait_ms = wait_ms, fair = true }
            assert.is_true(d:pull()[1].fair)
        end
    end)

    it("is left by who waits in vain", function()
        local d = waiter { inbox_ready = { 1, 3 } }
        while d.lock.outcome == "pending" do
            d:jump()
            if d.lock.state == "acquiring" then
                d:answer_all(held())
            end
        end
        assert.equal("timeout", d.lock.outcome)
        assert.same({ 1, 3 }, left_behind(d))
        assert.same(NONE, d.lock:wants())
    end)

    it("is left by who is cancelled, waiting or asking", function()
        assert.same(ALL, left_behind(waiter():put "cancel"))
        local d = waiter()
        d:jump()
        d:pull()
        assert.same(ALL, left_behind(d:put "cancel"))
    end)

    it("is left and the failed attempt released in one request", function()
        local d = waiter()
        d:jump()
        local token = d.lock.token
        d:pull()
        d:put "cancel"
        local requests = d:pull()
        assert.equal(3, #requests)
        for _, request in ipairs(requests) do
            assert.same({ token, "redlock:inbox/1" }, { request.token, request.waiter })
        end
    end)

    it("is left with no token where nothing is owed", function()
        for _, request in ipairs(waiter():put("cancel"):pull()) do
            assert.equal("", request.token)
        end
    end)

    it("is not left by who never joined", function()
        assert.same(NONE, left_behind(waiter({ inbox_ready = NONE }):put "cancel"))
    end)

    it("is left by the grant itself, without another request", function()
        local d = waiter()
        d:jump()
        d:answer_all "granted"
        assert.same(NONE, d.lock:wants())
        d:put "release"
        assert.same({ "", "", "" }, names_of(d:pull()))
    end)

    it("is left by the owner where it was refused", function()
        local d = waiter()
        d:jump()
        d:answer_each { held(), "granted", "granted" }
        assert.equal("owned", d.lock.state)
        assert.same({ 1 }, left_behind(d))
    end)

    it("is left by the owner where it has no answer yet, behind the acquire", function()
        local d = waiter()
        d:jump()
        d:pull()
        d:answer(1, "granted")
        d:answer(2, "granted")
        assert.equal("owned", d.lock.state)
        assert.same({ 3 }, left_behind(d))
        assert.same({ "acquire", "release" }, { d.flying[3][1].kind, d.flying[3][2].kind })
        d:answer(3, held())
        d:answer(3, "absent")
        assert.same(NONE, d.lock:wants())
    end)

    it("is not joined by an owner that asks the last of the nodes", function()
        local d = waiter()
        d.away[3] = true
        d:jump()
        d:answer(1, "granted")
        d:answer(2, "granted")
        d.away[3] = nil
        local names = {}
        for _, request in ipairs(d:pull()) do
            assert.equal(3, request.node)
            names[request.kind] = request.waiter
        end
        assert.same({ release = "redlock:inbox/1", acquire = "" }, names)
    end)

    it("is left in the end, though the first try was not delivered", function()
        for _, reason in ipairs { "disconnected", "noscript" } do
            local d = waiter { nodes = 1 }
            d:put "cancel"
            assert.same({ 1 }, left_behind(d))
            d:answer(1, reason)
            assert.same({ 1 }, left_behind(d), reason)
        end
    end)

    it("is left after a pause, where the node was busy", function()
        for _, reason in ipairs { "loading", "busy" } do
            local d = waiter { nodes = 1 }
            d:put "cancel"
            assert.same({ 1 }, left_behind(d))
            d:answer(1, reason)
            assert.same(NONE, d.lock:wants(), reason)
            assert.is_true(d:jump() <= 1000)
            assert.same({ 1 }, left_behind(d), reason)
        end
    end)
end)

describe("stepping back into the queue", function()
    it("goes with the release of what an attempt was granted, under its arrival", function()
        local d = driver.new { inbox_ready = ALL }
        local arrival = d.wall_us
        d:acquire { wait_ms = 60000 }
        local token = d.lock.token
        d.wall_us = d.wall_us + 5e6
        d:answer_each { held(), "granted", held() }
        local requests = d:pull()
        assert.equal(1, #requests)
        local request = requests[1]
        assert.same({ 2, "release", token, "redlock:inbox/1", true, arrival }, {
            request.node, request.kind, request.token, request.waiter, request.steps_back,
            request.arrival_us,
        })
    end)

    it("is undone when the wait is over", function()
        local d = driver.new { inbox_ready = { 2 } }:acquire { wait_ms = 60000 }
        d:answer_each { held(), "granted", held() }
        assert.is_true(d:pull()[1].steps_back)
        d:put "cancel"
        assert.same({ 2 }, left_behind(d))
    end)

    it("is not for who no longer waits", function()
        local d = waiter()
        d:jump()
        d:pull()
        d:answer(1, "granted")
        d:put "cancel"
        for _, request in ipairs(d:pull()) do
            assert.is_false(request.steps_back)
        end
        d = driver.new { inbox_ready = ALL }:acquire():answer_each { held(), "granted", held() }
        assert.same({ "", false }, { d:pull()[1].waiter, d.flying[2][1].steps_back })
    end)

    it("is not where the inbox is not ready", function()
        local d = driver.new { inbox_ready = { 1, 3 } }:acquire { wait_ms = 60000 }
        d:answer_each { held(), "granted", held() }
        local request = d:pull()[1]
        assert.same({ 2, "", false }, { request.node, request.waiter, request.steps_back })
    end)

    it("is left again by the owner where its grant is not", function()
        local d = driver.new { inbox_ready = ALL }:acquire { wait_ms = 60000 }
        d:answer_each { held(), "granted", held() }
        assert.is_true(d:pull()[1].steps_back)
        d:jump()
        d:pull()
        d:answer(1, "granted")
        d:answer(3, "granted")
        assert.equal("owned", d.lock.state)
        assert.same({ 2 }, left_behind(d))
    end)
end)

describe("a wake-up", function()
    it("from the only node brings an attempt at once", function()
        local d = waiter { nodes = 1 }:put("wake", 1, 0)
        assert.equal("acquiring", d.lock.state)
        assert.equal("acquire", d:pull()[1].kind)
    end)

    it("from a majority brings an attempt at once, not before", function()
        local d = waiter { nodes = 5 }
        d:put("wake", 4, 0):put("wake", 2, 0)
        assert.equal("waiting", d.lock.state)
        d:put("wake", 5, 0)
        assert.equal("acquiring", d.lock.state)
    end)

    it("from one node twice is one", function()
        local d = waiter():put("wake", 2, 0):put("wake", 2, 0)
        assert.equal("waiting", d.lock.state)
    end)

    it("from a minority brings an attempt after a moment in which others may follow", function()
        local d = waiter():put("wake", 2, 0)
        assert.equal("waiting", d.lock.state)
        local passed = d:jump()
        assert.is_true(passed >= 1 and passed <= 3)
        assert.equal("acquiring", d.lock.state)
    end)

    it("does not put off a poll that comes sooner", function()
        local d = driver.new { inbox_ready = ALL }:acquire { wait_ms = 60000 }:answer_all(held(0))
        local next_ms = d.lock:next_time()
        d:put("wake", 2, 0)
        assert.is_true(d.lock:next_time() <= next_ms)
    end)

    it("tells the highest ballot, and the next is above it", function()
        local d = waiter { nodes = 1 }:put("wake", 1, 1.9e15)
        assert.equal(1.9e15 + 1, d.lock.fence)
    end)

    it("during an attempt brings another at once, if that one fails", function()
        local d = waiter()
        d:jump()
        d:pull()
        local token = d.lock.token
        d:answer(1, held())
        d:put("wake", 1, 0)
        d:answer(2, held())
        assert.equal("acquiring", d.lock.state)
        assert.not_equal(token, d.lock.token)
        d:pull()
        d:answer_everything(held())
        assert.equal("waiting", d.lock.state)
    end)

    it("during an attempt is used up by it, if that one wins", function()
        local d = waiter { nodes = 1 }
        d:jump()
        d:put("wake", 1, 0):answer_all "granted"
        assert.equal("owned", d.lock.state)
        assert.same(NONE, d.lock:wants())
    end)

    it("that was used by an attempt does not bring two", function()
        local d = waiter { nodes = 1 }:put("wake", 1, 0):answer_all(held())
        assert.equal("waiting", d.lock.state)
    end)

    it("that comes to who gave up is passed on", function()
        local d = waiter { nodes = 1 }:put "cancel"
        d:answer_everything "absent"
        d:put("wake", 1, 0)
        assert.same({ 1 }, left_behind(d))
        assert.equal("idle", d.lock.state)
    end)

    it("that comes to who released meanwhile is passed on", function()
        local d = waiter { nodes = 1 }
        d:jump()
        d:answer_all("granted"):put("release"):answer_all("granted"):put("wake", 1, 0)
        assert.same({ 1 }, left_behind(d))
    end)

    it("that came during the attempt from a node that had refused is passed on", function()
        local d = waiter()
        d:jump()
        d:answer(1, held())
        d:put("wake", 1, 0)
        d:answer(2, "granted")
        d:answer(3, "granted")
        assert.equal("owned", d.lock.state)
        assert.same({ 1 }, left_behind(d))
    end)

    it("that comes to the owner was used up by the grant, or is passed on by its leave", function()
        local d = waiter()
        d:jump()
        d:answer_each { held(), "granted", "granted" }
        assert.same({ 1 }, left_behind(d))
        d:put("wake", 1, 0):put("wake", 2, 0)
        assert.same(NONE, d.lock:wants())
    end)

    it("leaves an owner's extension alone", function()
        local d = waiter()
        d:jump()
        d:answer_all("granted"):put("extend", 9000):put("wake", 2, 0)
        d:answer_everything "granted"
        assert.same({ "owned", "extended" }, { d.lock.state, d.lock.outcome })
    end)
end)
