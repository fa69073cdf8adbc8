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

    it("comes again soon if it is outbid too often to do so at once", function()
        local d = driver.new():acquire { wait_ms = 60000 }
        repeat
            d:answer_all { reason = "outbid", fence = d.lock.fence }
        until d.lock.state == "waiting"
        assert.is_true(d:jump() <= 250)
        assert.equal("acquiring", d.lock.state)
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
    it("is told from an owner's by a grant that comes after the attempt has failed", function()
        local d = driver.new { nodes = 2 }:acquire { wait_ms = 60000, ttl_ms = 2000 }
        d:pull()
        d:answer(1, held())
        assert.equal("waiting", d.lock.state)
        local later = d.lock:next_time()
        assert.is_true(later - d.now > 500)
        d:answer(2, "granted")
        assert.is_true(d.lock:next_time() - d.now <= 10)
    end)

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

    it("goes on to its end also if one node of that majority answered last", function()
        local d = driver.new { timeout_ms = 400 }:acquire { wait_ms = 20000 }
        d:answer_each { "unreachable", held(100), held(100) }
        local start = d.now
        unreachable_until_end(d)
        assert.equal(start + 20000, d.now)
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

    it("is wanted also if that was known only after the attempt had failed without it", function()
        local d = driver.new():acquire { wait_ms = 60000 }
        d:pull()
        d:answer(1, "unreachable")
        d:answer(2, held())
        assert.equal("waiting", d.lock.state)
        assert.is_false(d.lock:wants_inbox())
        d:answer(3, held())
        assert.is_true(d.lock:wants_inbox())
    end)

    it("is wanted once half of an even number holds it, without the others", function()
        for _, nodes in ipairs { 2, 4 } do
            local d = driver.new { nodes = nodes }:acquire { wait_ms = 60000 }
            d:pull()
            for node = 1, nodes / 2 do
                assert.is_false(d.lock:wants_inbox())
                d:answer(node, held())
            end
            assert.equal("waiting", d.lock.state)
            assert.is_true(d.lock:wants_inbox())
        end
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

    it("that is ready while an attempt is on its way brings another behind it, once", function()
        local d = driver.new():acquire { wait_ms = 60000 }
        assert.same({ "", "", "" }, names_of(d:pull()))
        d.quorum:set { inbox_ready = ALL }
        d:answer_all(held()):answer_everything "absent"
        assert.is_true(d:jump() <= 3)
        assert.same({ "redlock:inbox/1", "redlock:inbox/1", "redlock:inbox/1" }, names_of(d:pull()))
        d:answer_all(held()):answer_everything "absent"
        assert.is_true(d:jump() > 3)
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

    it("is left before that pause is over, if there is no more time", function()
        local d = waiter { nodes = 1 }
        d:put "cancel"
        assert.same({ 1 }, left_behind(d))
        d:answer(1, "loading")
        assert.same(NONE, d.lock:wants())
        d.lock:hasten()
        assert.same({ 1 }, left_behind(d))
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

describe("who stepped back", function()
    local function step_back()
        local d = driver.new { inbox_ready = ALL }:acquire { wait_ms = 60000 }
        d:answer_each { held(), "granted", held() }
        assert.is_true(d:pull()[1].steps_back)
        return d
    end

    it("is not made to try again by the wake-up for what it gave back itself", function()
        local d = step_back()
        local next_ms = d.lock:next_time()
        d:put("wake", 2, 0)
        assert.equal("waiting", d.lock.state)
        assert.equal(next_ms, d.lock:next_time())
    end)

    it("waits as for any owner, where a majority says held", function()
        local d = step_back()
        assert.is_true(d.lock:next_time() - d.now >= 800)
    end)

    it("is woken by the others, when they say so", function()
        local d = step_back()
        d:put("wake", 2, 0):put("wake", 1, 0):put("wake", 3, 0)
        assert.equal("acquiring", d.lock.state)
    end)

    it("is woken by that node too, some time later", function()
        local d = step_back()
        d.now = d.now + 200
        d:put("wake", 2, 0)
        assert.is_true(d.lock:next_time() - d.now <= 3)
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
        assert.equal(1.9e15 + 64, d.lock.fence) -- the next block
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

describe("who has released a lock that others waited for", function()
    local TOLD = { reason = "granted", told = true }

    local function releaser(vote, terms)
        local d = driver.owner(nil, { ttl_ms = 2000 })
        return d:put("release"):answer_everything(vote):acquire(terms or { wait_ms = 1000 })
    end

    local function is_fair(d)
        local seen
        for _, request in ipairs(d:pull()) do
            assert.is_true(seen == nil or seen == request.fair)
            seen = request.fair
        end
        return seen
    end

    it("comes behind whom it told", function()
        assert.is_true(is_fair(releaser(TOLD)))
    end)

    it("comes behind nobody where nobody was told", function()
        assert.is_false(is_fair(releaser "granted"))
    end)

    it("takes what is free if it does not wait", function()
        assert.is_false(is_fair(releaser(TOLD, { wait_ms = 0 })))
    end)

    it("does so by its first attempt, for as long as that one may need to come", function()
        local d = driver.owner(nil, { ttl_ms = 2000 })
        d:put("release"):answer_everything(TOLD)
        d.now = d.now + 999
        assert.is_true(is_fair(d:acquire { wait_ms = 5000 }))
        d:answer_everything(held(1))
        d:jump()
        assert.is_false(is_fair(d))
        d:put("cancel"):answer_everything "absent"
        assert.is_false(is_fair(d:acquire { wait_ms = 5000 }))
    end)

    it("does so by any lock of that name, and of that alone", function()
        local d = driver.owner(nil, { ttl_ms = 2000 })
        d:put("release"):answer_everything(TOLD)
        for name, fair in pairs { name = true, another = false } do
            local other = d.quorum:lock(name, { id = 7 })
            d:top_up()
            other:acquire({ wait_ms = 1000 }, d.now)
            assert.equal(fair, other:next_request(1, d.now).fair)
        end
    end)
end)

describe("who stands by", function()
    -- A second lock of the driver's quorum, put in line behind the driver's own.
    local function behind(d, terms)
        local second = { lock = d.quorum:lock("name", { id = 2 }) }
        function second:put(command, ...)
            local arguments = { ... }
            arguments[#arguments + 1] = d.now
            d:top_up()
            self.lock[command](self.lock, (table.unpack or unpack)(arguments)) -- luacheck: ignore 113
            return self
        end
        function second:end_of_wait()
            return self.lock:next_time()
        end
        return second:put("stand_by", terms or { wait_ms = 60000, ttl_ms = 2000 })
    end

    -- Who is first, and one that came behind it after some time.
    local function pair(options, later_ms)
        local d = driver.new(options):acquire { wait_ms = 60000, ttl_ms = 2000 }
        d.now = d.now + (later_ms or 0)
        return d, behind(d)
    end

    local function fail_until_end(d, votes)
        while d.lock.outcome == "pending" do
            if d.lock.state == "acquiring" then
                d:answer_each(votes)
            else
                d:jump()
            end
        end
    end

    local UNREACHABLE = { "unreachable", "unreachable", held() }

    it("asks nothing of any node, and uses up no token", function()
        local d, second = pair()
        assert.same({ "standing_by", "pending" }, { second.lock.state, second.lock.outcome })
        assert.same(NONE, second.lock:wants())
        assert.not_equal("", d.quorum.token)
        assert.is_false(second.lock:is_done())
    end)

    it("wants no inbox, and is not moved by one", function()
        local d, second = pair()
        d.quorum:set { inbox_ready = ALL }
        second:put "inbox_ready"
        assert.equal("standing_by", second.lock.state)
        assert.is_false(second.lock:wants_inbox())
    end)

    it("times out at the end of its wait, and not before", function()
        local d = driver.new()
        local second = behind(d, { wait_ms = 700 })
        assert.equal(d.now + 700, second:end_of_wait())
        d.now = d.now + 699
        second:put "time"
        assert.equal("pending", second.lock.outcome)
        d.now = d.now + 1
        second:put "time"
        assert.same({ "idle", "timeout" }, { second.lock.state, second.lock.outcome })
        assert.is_true(second.lock:is_done())
    end)

    it("for ever waits for no moment", function()
        local d = driver.new()
        local second = behind(d, { wait_ms = NEVER })
        assert.equal(NEVER, second:end_of_wait())
        d.now = d.now + 1e12
        second:put "time"
        assert.equal("pending", second.lock.outcome)
    end)

    it("can be cancelled, and leaves nothing behind", function()
        local _, second = pair()
        second:put "cancel"
        assert.same({ "idle", "timeout" }, { second.lock.state, second.lock.outcome })
        assert.is_true(second.lock:is_done())
    end)

    it("passes on a wake-up that was meant for its earlier wait", function()
        local _, second = pair()
        second:put("wake", 2, 0)
        assert.equal("standing_by", second.lock.state)
        local request = second.lock:next_request(2)
        assert.same({ "release", "", "redlock:inbox/2" },
            { request.kind, request.token, request.waiter })
    end)

    it("still gives back what an earlier acquire of the same machine owes", function()
        local d = driver.new():acquire { wait_ms = 1000 }
        d:pull()
        local token = d.lock.token
        d:put("cancel"):put("stand_by", { wait_ms = 1000 })
        local requests = d:pull()
        assert.equal(3, #requests)
        for _, request in ipairs(requests) do
            assert.same({ "release", token, "" }, { request.kind, request.token, request.waiter })
        end
        assert.same(NONE, d.lock.nodes)
    end)

    it("is not moved by votes of an earlier round", function()
        local d = driver.new():acquire { wait_ms = 1000 }
        d:pull()
        local round = d.lock.round
        d:put("cancel"):put("stand_by", { wait_ms = 1000 })
        for node = 1, 3 do
            d:put("vote", node, round, "granted")
        end
        assert.same({ "standing_by", "pending" }, { d.lock.state, d.lock.outcome })
        assert.equal("no_answer", d.lock:tally(1).reason)
    end)

    describe("and the lock is owned by one of its process,", function()
        -- What the nodes are asked, now and in this order.
        local function requests_of(lock, now)
            local list = {}
            for node = 1, 3 do
                local request = lock:next_request(node, now)
                while request do
                    list[#list + 1] = request
                    request = lock:next_request(node, now)
                end
            end
            return list
        end

        it("asks no node for a while, and then takes its turn by itself", function()
            local d = driver.new()
            local second = behind(d)
            second.lock:await_turn(d.now + 3)
            assert.equal(d.now + 3, second.lock:next_time())
            d.now = d.now + 2
            second:put "time"
            assert.same({ "standing_by", NONE }, { second.lock.state, second.lock:wants() })
            d.now = d.now + 1
            second:put "time"
            assert.same({ "acquiring", ALL }, { second.lock.state, second.lock:wants() })
            assert.is_false(second.lock:next_request(1, d.now).fair)
        end)

        it("times out where its wait ends before that", function()
            local d = driver.new()
            local second = behind(d, { wait_ms = 2 })
            second.lock:await_turn(d.now + 3)
            d.now = d.now + 2
            second:put "time"
            assert.equal("timeout", second.lock.outcome)
        end)

        it("follows its release: fairly, with its own rank and time", function()
            local d = driver.new { inbox_ready = ALL }
            local arrival, second = d.wall_us, behind(d)
            second.lock:await_turn(d.now + 3)
            d.now, d.wall_us = d.now + 1, d.wall_us + 1000
            second:put "follow"
            local requests = requests_of(second.lock, d.now)
            assert.equal(3, #requests)
            for _, request in ipairs(requests) do
                assert.same({ "acquire", "redlock:inbox/2", arrival, true, false }, { request.kind,
                    request.waiter, request.arrival_us, request.fair, request.batchable })
            end
            for node = 1, 3 do
                second:put("vote", node, second.lock.round, "granted")
            end
            assert.equal("acquired", second.lock.outcome)
            assert.equal(d.quorum:validity(2000), second.lock:remaining(d.now))
        end)

        it("follows it from the queue as well, by another attempt", function()
            local d = waiter()
            local token = d.lock.token
            d:put "follow"
            assert.equal("acquiring", d.lock.state)
            for _, request in ipairs(d:pull()) do
                assert.same({ "acquire", true, true },
                    { request.kind, request.fair, request.queued })
                assert.not_equal(token, request.token)
            end
        end)

        it("waits on where somebody else came first, and is as fair as before then", function()
            local d = waiter()
            d:put("follow"):answer_all(held(40)):answer_everything "absent"
            assert.equal("waiting", d.lock.state)
            d:put("wake", 1, 0):put("wake", 2, 0)
            for _, request in ipairs(d:pull()) do
                assert.same({ "acquire", false }, { request.kind, request.fair })
            end
        end)

        it("does not follow while it asks, nor when it holds, nor at rest", function()
            local asking = driver.new():acquire { wait_ms = 1000 }
            local owner, idle = driver.owner(nil, { wait_ms = 1000 }), driver.new()
            for _, d in ipairs { asking, owner, idle } do
                local state, token, round = d.lock.state, d.lock.token, d.lock.round
                d:put "follow"
                assert.same({ state, token, round }, { d.lock.state, d.lock.token, d.lock.round })
            end
        end)

        it("does not follow when its wait is over: the time ends it", function()
            local d = driver.new()
            local second = behind(d, { wait_ms = 1000 })
            d.now = d.now + 1000
            second:put "follow"
            assert.equal("standing_by", second.lock.state)
            second:put "time"
            assert.equal("timeout", second.lock.outcome)
        end)
    end)

    describe("and receives the lease of an owner of its process", function()
        local function owner_and_next(ttl_ms)
            local d = driver.owner(nil, { ttl_ms = 2000 })
            return d, behind(d, { wait_ms = 60000, ttl_ms = ttl_ms or 2000 })
        end

        it("owns it at once: the same token, the same deadline, the next fence", function()
            local d, second = owner_and_next()
            d.now = d.now + 40
            second:put("receive", d.lock)
            assert.same({ "owned", "acquired", NONE },
                { second.lock.state, second.lock.outcome, second.lock:wants() })
            assert.same({ d.lock.token, d.lock.fence + 1, d.lock.nodes },
                { second.lock.token, second.lock.fence, second.lock.nodes })
            assert.equal(d.lock:remaining(d.now), second.lock:remaining(d.now))
        end)

        it("passes it on in the same way", function()
            local d, second = owner_and_next()
            local third = behind(d)
            second:put("receive", d.lock)
            third:put("receive", second.lock)
            assert.same({ d.lock.token, d.lock.fence + 2 }, { third.lock.token, third.lock.fence })
        end)

        it("renews it by its own terms, from then on", function()
            local d = driver.owner(nil, { ttl_ms = 2000 })
            local second = behind(d, { wait_ms = 60000, ttl_ms = 2000, renew = true })
            d.now = d.now + 90
            second:put("receive", d.lock)
            local due_ms = second.lock:next_time()
            assert.is_true(due_ms > d.now + 600 and due_ms <= d.now + 667)
            d.now = due_ms
            second:put "time"
            local request = second.lock:next_request(1, d.now)
            assert.same({ "extend", d.lock.token }, { request.kind, request.token })
        end)

        it("holds it for as long as it said itself", function()
            local d = driver.owner(nil, { ttl_ms = 2000 })
            local terms = { wait_ms = 60000, ttl_ms = 2000, renew = true, max_hold_ms = 9 }
            local second = behind(d, terms)
            second:put("receive", d.lock)
            assert.equal(d.now + d.lock:remaining(d.now), second.lock:next_time()) -- no renewal
        end)

        it("releases it on every node that may bear the token", function()
            local d, second = owner_and_next()
            second:put("receive", d.lock):put "release"
            for node = 1, 3 do
                local request = second.lock:next_request(node, d.now)
                assert.same({ "release", d.lock.token }, { request.kind, request.token })
            end
        end)

        it("would be told by the nodes that it is held, as long as it stands by", function()
            local d, second = owner_and_next()
            second.lock:note_owner(d.lock, 1234)
            for node = 1, 3 do
                local tally = second.lock:tally(node)
                assert.same({ "held", 1234 }, { tally.reason, tally.ttl_ms })
            end
        end)
    end)

    describe("and takes its turn", function()
        it("asks every node at once, with the rank of its arrival", function()
            local d = driver.new { inbox_ready = ALL }
            local arrival, second = d.wall_us, behind(d)
            d.now, d.wall_us = d.now + 5000, d.wall_us + 5e6
            second:put("take_turn", true)
            assert.equal("acquiring", second.lock.state)
            for node = 1, 3 do
                local request = second.lock:next_request(node)
                assert.same({ "acquire", "redlock:inbox/2", arrival },
                    { request.kind, request.waiter, request.arrival_us })
            end
            for node = 1, 3 do
                second:put("vote", node, second.lock.round, "granted")
            end
            assert.equal("acquired", second.lock.outcome)
            local validity_ms = d.quorum:validity(2000)
            assert.equal(validity_ms, second.lock:remaining(d.now))
        end)

        it("waits no longer than it would have", function()
            local d = driver.new { timeout_ms = 400 }
            local second = behind(d, { wait_ms = 1000 })
            d.now = d.now + 900
            second:put("take_turn", true)
            assert.equal(d.now + 100, second.lock:next_time())
            d.now = d.now + 100
            second:put "time"
            assert.equal("timeout", second.lock.outcome)
        end)

        it("blames nodes that had their time to answer", function()
            local d = driver.new { timeout_ms = 400 }
            local second = behind(d, { wait_ms = 1000 })
            d.now = d.now + 500
            second:put("take_turn", false)
            d.now = d.now + 400
            second:put "time"
            d.now = d.now + 100
            second:put "time"
            assert.equal("unavailable", second.lock.outcome)
        end)

        it("but not when its wait is over: the time ends it", function()
            local d = driver.new()
            local second = behind(d, { wait_ms = 1000 })
            d.now = d.now + 1000
            second:put("take_turn", true)
            assert.equal("standing_by", second.lock.state)
            assert.is_true(second.lock:next_time() <= d.now)
            second:put "time"
            assert.equal("timeout", second.lock.outcome)
        end)

        -- How long it tries when no majority answers.
        local function patience(nodes_answered)
            local d = driver.new { timeout_ms = 400 }
            local start = d.now + 300
            d:put("stand_by", { wait_ms = 60000 })
            d.now = start
            d:put("take_turn", nodes_answered)
            fail_until_end(d, UNREACHABLE)
            assert.equal("unavailable", d.lock.outcome)
            return d.now - start
        end

        it("has a whole timeout to be answered, if the one before it was", function()
            local took_ms = patience(true)
            assert.is_true(took_ms >= 400 and took_ms <= 400 + 250)
        end)

        it("has what is left of its timeout, if the one before it was not", function()
            local took_ms = patience(false)
            assert.is_true(took_ms >= 100 and took_ms <= 100 + 250)
        end)
    end)

    describe("and knows whether the one before it was answered:", function()
        local function was_answered(votes)
            local d = driver.new():acquire { wait_ms = 60000, ttl_ms = 2000 }
            assert.is_false(d.lock:was_answered())
            return d:answer_each(votes).lock:was_answered()
        end

        it("it was, if a majority granted or refused", function()
            assert.is_true(was_answered { "granted", "granted", "unreachable" })
            assert.is_true(was_answered { held(), held(), "unreachable" })
            assert.is_true(was_answered { "unreachable", held(), held() })
        end)

        it("it was not, if fewer did", function()
            assert.is_false(was_answered { held(), "unreachable", "busy" })
        end)
    end)

    describe("and shares the verdict of the first", function()
        local function assert_not_shared(d, second)
            assert.is_false(second.lock:share_verdict(d.lock))
            assert.same({ "standing_by", "pending" }, { second.lock.state, second.lock.outcome })
        end

        it("if no majority answered when it was asked after it came", function()
            local d, second = pair({ timeout_ms = 400 }, 100)
            fail_until_end(d, { "unreachable", { reason = "noauth", text = "NOAUTH who?" },
                held(777) })
            assert.equal("unavailable", d.lock.outcome)
            assert.is_true(second.lock:share_verdict(d.lock))
            assert.same({ "idle", "unavailable" }, { second.lock.state, second.lock.outcome })
            assert.is_true(second.lock:is_done())
            for node = 1, 3 do
                assert.same(d.lock:tally(node), second.lock:tally(node))
            end
            assert.equal("NOAUTH who?", second.lock:tally(2).text)
        end)

        it("not while that has none, nor if it is another", function()
            local d, second = pair()
            assert_not_shared(d, second)
            d:put "cancel"
            assert_not_shared(d, second)
            d, second = pair()
            d:answer_all "granted"
            assert_not_shared(d, second)
        end)

        it("not if it came after the last time that the nodes were asked", function()
            local d = driver.new { timeout_ms = 400 }:acquire { wait_ms = 60000, ttl_ms = 2000 }
            d:pass(399)
            assert.equal("acquiring", d.lock.state)
            local second = behind(d)
            d:pass(1)
            d.now = d.now + 10000
            assert.equal("unavailable", d.lock.outcome)
            assert_not_shared(d, second)
        end)

        it("not if that only came to the end of a shorter wait", function()
            local d = driver.new { timeout_ms = 400 }:acquire { wait_ms = 50 }
            local second = behind(d)
            fail_until_end(d, UNREACHABLE)
            assert.equal("unavailable", d.lock.outcome)
            assert_not_shared(d, second)
        end)

        it("not if a majority had answered that before: its own wait goes on", function()
            local d = driver.new { timeout_ms = 400 }:acquire { wait_ms = 5000 }
            d:answer_all(held(100))
            local second = behind(d)
            fail_until_end(d, UNREACHABLE)
            assert.equal("unavailable", d.lock.outcome)
            assert_not_shared(d, second)
        end)

        it("not if that was granted, but too late for a short lease", function()
            local d = driver.new { timeout_ms = 400 }:acquire { wait_ms = 60000, ttl_ms = 5 }
            local second = behind(d)
            while d.lock.outcome == "pending" do
                if d.lock.state == "acquiring" then
                    d:settle_debts()
                    d:pull()
                    d.now = d.now + 20
                    d:answer(1, "granted")
                    d:answer(2, "granted")
                    d:answer(3, "unreachable")
                else
                    d:jump()
                end
            end
            assert.equal("unavailable", d.lock.outcome)
            assert_not_shared(d, second)
        end)

        it("not if it asks the nodes itself by now", function()
            local d, second = pair { timeout_ms = 400 }
            second:put("take_turn", false)
            fail_until_end(d, UNREACHABLE)
            assert.is_false(second.lock:share_verdict(d.lock))
            assert.equal("acquiring", second.lock.state)
        end)
    end)

    it("can be told what the nodes told the first", function()
        local d, second = pair()
        d:answer_each { held(4321), { reason = "held", text = "token", fence = 17 }, "stalled" }
        second.lock:copy_reasons(d.lock)
        for node = 1, 3 do
            assert.same(d.lock:tally(node), second.lock:tally(node))
        end
        assert.equal(4321, second.lock:tally(1).ttl_ms)
        assert.equal("standing_by", second.lock.state)
    end)

    it("keeps its own debts when it is told another's reasons", function()
        local d = driver.new():acquire { wait_ms = 1000 }
        d:pull()
        local token, first = d.lock.token, driver.new()
        d:put("cancel"):put("stand_by", { wait_ms = 1000 })
        local other = d.quorum:lock("name", { id = 2 })
        assert.not_equal(token, first.lock.token)
        d.lock:copy_reasons(other)
        assert.equal(token, d:pull()[1].token)
    end)
end)
