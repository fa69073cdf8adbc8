--- What happens to a lock while it is owned: extension, the watchdog's renewals, loss, adoption.

local driver = require "support.driver"

local NEVER = math.huge

-- Runs an owned lock for a while; each renewal is answered by answer(d, number of the renewal).
-- The moments of the renewals, counted from the start.
local function renewals_during(d, ms, answer)
    local start, moments = d.now, {}
    while d.lock.state == "owned" and d.lock:next_time() <= start + ms do
        d:jump()
        if #d:pull() > 0 then
            moments[#moments + 1] = d.now - start
            answer(d, #moments)
        end
    end
    return moments
end

local function grant(d)
    d:answer_everything "granted"
end

describe("an extension", function()
    it("asks the nodes that may hold the token, for the ttl that was asked", function()
        local d = driver.new({ nodes = 5 }):acquire { ttl_ms = 1000, fence_ttl_s = 120 }
        d.away[5] = true
        d:answer_each { "granted", "granted", "granted", { reason = "held", ttl_ms = 4 } }
        d.away[5] = nil
        d:put("extend", 60000)
        local requests = d:pull()
        assert.equal(4, #requests)
        for node, request in ipairs(requests) do
            assert.same({ node, "extend" }, { request.node, request.kind })
            assert.equal(d.lock.token, request.token)
            assert.equal(d.lock.fence, request.fence)
            assert.same({ 60000, 120 }, { request.ttl_ms, request.fence_ttl_s })
            assert.is_false(request.batchable)
        end
    end)

    for count = 1, 5 do
        it(("on %d nodes takes a majority"):format(count), function()
            local d = driver.owner({ nodes = count }, { ttl_ms = 1000 })
            local deadline, majority = d.lock.deadline_ms, math.floor(count / 2) + 1
            d.now = d.now + 100
            d:put("extend", 5000)
            for node = 1, majority - 1 do
                d:answer(node, "granted")
                assert.same({ "pending", deadline }, { d.lock.outcome, d.lock.deadline_ms })
            end
            d:answer(majority, "granted")
            assert.same({ "owned", "extended" }, { d.lock.state, d.lock.outcome })
            assert.equal(d.now + 5000 - 50 - 2, d.lock.deadline_ms)
        end)

        it(("on %d nodes fails without one, and the lock is kept"):format(count), function()
            local d = driver.owner({ nodes = count }, { ttl_ms = 1000 })
            local deadline = d.lock.deadline_ms
            d:put("extend", 5000)
            for node = 1, count do
                d:answer(node, node <= math.floor(count / 2) and "granted" or "unreachable")
            end
            assert.same({ "owned", "unavailable" }, { d.lock.state, d.lock.outcome })
            assert.equal(deadline, d.lock.deadline_ms)
        end)
    end

    it("counts from before it was asked", function()
        local d = driver.owner({}, { ttl_ms = 10000 })
        d.now = d.now + 3000
        local asked = d.now
        d:put("extend", 10000)
        d.now = d.now + 400
        d:answer_all "granted"
        assert.equal(asked + 10000 - 100 - 2, d.lock.deadline_ms)
    end)

    it("never shortens the deadline", function()
        local d = driver.owner({}, { ttl_ms = 10000 })
        local deadline = d.lock.deadline_ms
        d:put("extend", 500):answer_all "granted"
        assert.equal("extended", d.lock.outcome)
        assert.equal(deadline, d.lock.deadline_ms)
    end)

    it("counts until the old deadline, and not from there on", function()
        for early = 0, 1 do
            local d = driver.owner({}, { ttl_ms = 1000 })
            local deadline = d.lock.deadline_ms
            d:pass(900)
            d:put("extend", 60000)
            d:answer(1, "granted")
            d.now = deadline - early
            d:answer(2, "granted")
            if early == 1 then
                assert.same({ "owned", "extended" }, { d.lock.state, d.lock.outcome })
            else
                assert.same({ "idle", "lost", "expired" },
                    { d.lock.state, d.lock.outcome, d.lock.loss })
            end
        end
    end)

    it("that has no answer is given up at the deadline", function()
        local d = driver.owner({}, { ttl_ms = 1000 })
        d:pass(900)
        d:put("extend", 60000)
        d:pull()
        assert.equal(d.lock.deadline_ms, d.lock:next_time())
        d:jump()
        assert.same({ "idle", "lost", "expired" }, { d.lock.state, d.lock.outcome, d.lock.loss })
    end)

    it("that has no answer ends at the timeout, if that is sooner", function()
        local d = driver.owner({ timeout_ms = 200 }, { ttl_ms = 1000 }):put("extend", 5000)
        d:answer(1, "granted")
        d:pass(200)
        assert.same({ "owned", "unavailable" }, { d.lock.state, d.lock.outcome })
        assert.equal("timed_out", d.lock:tally(3).reason)
    end)

    it("of a lease that is over is lost, and asks nobody", function()
        local d = driver.owner({}, { ttl_ms = 1000 })
        d.now = d.lock.deadline_ms
        d:put("extend", 5000)
        assert.same({ "idle", "lost", "expired" }, { d.lock.state, d.lock.outcome, d.lock.loss })
        assert.same({}, d.lock:wants())
    end)

    it("drops the votes of the one before", function()
        local d = driver.owner():put("extend", 5000)
        local round = d:pull()[1].round
        d:put("extend", 9000)
        d:put("vote", 1, round, "granted"):put("vote", 2, round, "granted")
        assert.equal("pending", d.lock.outcome)
    end)

    it("does not count late votes of the acquire", function()
        local d = driver.owner { nodes = 5 }
        local other = driver.new { nodes = 5 }:acquire()
        other:pull()
        for node = 1, 3 do
            other:answer(node, "granted")
        end
        other:put("extend", 5000)
        other:answer(4, "granted")
        other:answer(5, "granted")
        assert.equal("pending", other.lock.outcome)
        assert.equal("acquired", d.lock.outcome)
    end)

    it("asks again a node that did not know the script", function()
        local d = driver.owner({ nodes = 1 }):put("extend", 5000)
        d:answer(1, "noscript")
        assert.equal("pending", d.lock.outcome)
        d:answer(1, "granted")
        assert.equal("extended", d.lock.outcome)
    end)
end)

describe("an extension whose connection died", function()
    it("is repeated once, to the same ttl", function()
        local d = driver.owner({ nodes = 1 }, { ttl_ms = 60000 }):put("extend", 90000)
        d:answer(1, "disconnected")
        assert.equal("pending", d.lock.outcome)
        local request = d:pull()[1]
        assert.same({ "extend", 90000 }, { request.kind, request.ttl_ms })
        d:answer(1, "disconnected")
        assert.same({ "owned", "unavailable" }, { d.lock.state, d.lock.outcome })
        assert.same({}, d.lock:wants())
    end)

    it("counts from before the first try", function()
        local d = driver.owner({ nodes = 1 }, { ttl_ms = 60000 })
        local start = d.now
        d:put("extend", 90000)
        d.now = d.now + 300
        d:answer(1, "disconnected")
        d:answer(1, "granted")
        assert.equal(start + 90000 - 900 - 2, d.lock.deadline_ms)
    end)

    it("that finds nothing when it is repeated is lost", function()
        local d = driver.owner({ nodes = 1 }):put("extend", 90000)
        d:answer(1, "disconnected")
        d:answer(1, "absent")
        assert.same({ "lost", "gone" }, { d.lock.outcome, d.lock.loss })
    end)
end)

describe("a loss", function()
    local function outcome_of(votes)
        local d = driver.owner({ nodes = #votes }):put("extend", 5000):answer_each(votes)
        return { d.lock.state, d.lock.outcome, d.lock.loss }
    end

    it("is certain when so many say absent or another's that no majority is left", function()
        local gone, taken = { "idle", "lost", "gone" }, { "idle", "lost", "taken" }
        assert.same(gone, outcome_of { "absent" })
        assert.same(taken, outcome_of { "anothers" })
        assert.same(gone, outcome_of { "absent", "granted" })
        assert.same(gone, outcome_of { "absent", "absent", "granted" })
        assert.same(taken, outcome_of { "granted", "anothers", "absent" })
        assert.same(taken, outcome_of { "anothers", "anothers", "unreachable" })
        assert.same(gone, outcome_of { "granted", "absent", "granted", "absent" })
        assert.same(taken, outcome_of { "absent", "anothers", "granted", "granted", "absent" })
    end)

    it("is not what a failure to answer means", function()
        local kept = { "owned", "unavailable", "not_lost" }
        assert.same(kept, outcome_of { "unreachable" })
        assert.same(kept, outcome_of { "readonly" })
        assert.same(kept, outcome_of { "absent", "unreachable", "granted" })
        assert.same(kept, outcome_of { "timed_out", "stalled", "oom" })
        assert.same(kept, outcome_of { "absent", "anothers", "granted", "noperm", "granted" })
        assert.same(kept, outcome_of { "granted", "loading", "granted", "absent" })
    end)

    it("is not what a minority says", function()
        local extended = { "owned", "extended", "not_lost" }
        assert.same(extended, outcome_of { "absent", "granted", "granted" })
        assert.same(extended, outcome_of { "granted", "anothers", "granted", "absent", "granted" })
    end)

    it("is told at the vote that makes it certain", function()
        local d = driver.owner({ nodes = 5 }):put("extend", 5000)
        d:answer(1, "absent")
        d:answer(2, "absent")
        assert.equal("pending", d.lock.outcome)
        d:answer(3, "absent")
        assert.equal("lost", d.lock.outcome)
    end)

    it("counts nodes that were never asked to grant as not holding the token", function()
        local d = driver.new { nodes = 5 }:acquire()
        d.away = { [4] = true, [5] = true }
        d:answer_each { "granted", "granted", "granted" }
        d.away = {}
        d:put("extend", 5000):answer_each { "granted", "granted", "absent" }
        assert.same({ "idle", "lost", "gone" }, { d.lock.state, d.lock.outcome, d.lock.loss })
    end)

    it("leaves nothing remaining, and nothing to renew", function()
        local d = driver.owner({}, { renew = true }):put("extend", 5000):answer_all "absent"
        assert.equal(0, d.lock:remaining(d.now))
        assert.equal(NEVER, d.lock:next_time())
        d:pass(100000)
        assert.same({}, d.lock:wants())
    end)

    it("ends what was still to be repeated", function()
        for _, reason in ipairs { "disconnected", "noscript" } do
            local d = driver.owner():put("extend", 5000)
            d:pull()
            d:answer(1, "absent")
            d:answer(2, "absent")
            assert.equal("lost", d.lock.outcome)
            d:answer(3, reason)
            assert.same({}, d.lock:wants(), reason)
        end
    end)

    it("does not outlast the next acquire", function()
        local d = driver.owner():put("extend", 5000):answer_all "anothers"
        d:acquire():answer_all "granted"
        assert.same({ "acquired", "not_lost" }, { d.lock.outcome, d.lock.loss })
    end)
end)

describe("the watchdog", function()
    local function watched(terms, options)
        terms.renew = true
        return driver.owner(options or {}, terms)
    end

    it("renews at about a third of the ttl, again and again", function()
        for _, ttl_ms in ipairs { 60, 300, 1000, 3000, 30000, 86400000 } do
            local d = watched { ttl_ms = ttl_ms }
            local last = 0
            for _, moment in ipairs(renewals_during(d, 4 * ttl_ms, grant)) do
                local third = math.floor(ttl_ms / 3)
                assert.is_true(moment - last <= third)
                assert.is_true(moment - last >= third - math.floor(third / 16) - 1)
                last = moment
            end
            assert.is_true(last > 3 * ttl_ms)
            assert.equal("owned", d.lock.state)
        end
    end)

    it("renews locks that were granted at about the same time together", function()
        local moments = {}
        for offset = 0, 50 do
            local d = driver.new()
            d.now = d.now + 40000 + offset
            d:acquire({ renew = true, ttl_ms = 30000 }):answer_all "granted"
            moments[d.lock:next_time()] = true
        end
        local count = 0
        for _ in pairs(moments) do
            count = count + 1
        end
        assert.is_true(count <= 2)
    end)

    it("asks for the ttl of the lock, in requests that may travel together", function()
        local d = watched { ttl_ms = 3000 }
        d:jump()
        local requests = d:pull()
        assert.equal(3, #requests)
        for _, request in ipairs(requests) do
            assert.same({ "extend", 3000 }, { request.kind, request.ttl_ms })
            assert.is_true(request.batchable)
        end
    end)

    it("does not renew what another machine renews, however late it looks", function()
        local d = driver.new()
        d.lock:renewed_by_another()
        d:acquire({ renew = true, ttl_ms = 30000 }):answer_all "granted"
        d:pass(20000)
        assert.same({}, d:pull())
        assert.equal("acquired", d.lock.outcome)
    end)

    it("extends the deadline from the moment of each renewal", function()
        local d = watched { ttl_ms = 3000 }
        for _ = 1, 10 do
            d:jump()
            local asked = d.now
            d.now = d.now + 20
            d:answer_all "granted"
            assert.equal(asked + 3000 - 30 - 2, d.lock.deadline_ms)
        end
    end)

    it("stays out of it unless it was asked to renew", function()
        local d = driver.owner({}, { ttl_ms = 3000 })
        assert.equal(d.lock.deadline_ms, d.lock:next_time())
        d:jump()
        assert.same({ "lost", "expired" }, { d.lock.outcome, d.lock.loss })
    end)

    it("tries again before the deadline after a renewal that failed", function()
        local d = watched { ttl_ms = 12000 }
        local deadline = d.lock.deadline_ms
        local moments = renewals_during(d, 60000, function()
            d:answer_everything "unreachable"
        end)
        assert.same({ "idle", "lost", "expired" }, { d.lock.state, d.lock.outcome, d.lock.loss })
        assert.equal(deadline, d.lock.deadline_ms)
        assert.is_true(#moments >= 8)
        for index = 2, #moments do
            local interval = moments[index] - moments[index - 1]
            assert.is_true(interval >= 1 and interval <= 1001)
        end
    end)

    it("keeps the lock when a later try succeeds", function()
        local d = watched { ttl_ms = 3000 }
        renewals_during(d, 20000, function(_, number)
            d:answer_everything(number % 3 == 0 and "granted" or "unreachable")
        end)
        assert.equal("owned", d.lock.state)
    end)

    it("gives up renewals that hang, tries again and keeps the lock", function()
        local d = watched({ ttl_ms = 9000 }, { timeout_ms = 500 })
        renewals_during(d, 60000, function(_, number)
            if number % 2 == 0 then
                grant(d)
            end
        end)
        assert.equal("owned", d.lock.state)
    end)

    it("stops at max_hold", function()
        local d = watched { ttl_ms = 3000, max_hold_ms = 10000 }
        local start = d.now
        local moments = renewals_during(d, 60000, grant)
        assert.is_true(moments[#moments] < 10000)
        assert.is_true(moments[#moments] > 8000)
        assert.same({ "idle", "lost", "expired" }, { d.lock.state, d.lock.outcome, d.lock.loss })
        assert.equal(moments[#moments] + 3000 - 30 - 2, d.lock.deadline_ms - start)
    end)

    it("with a max_hold below a third of the ttl never renews", function()
        local d = watched { ttl_ms = 3000, max_hold_ms = 500 }
        assert.equal(d.lock.deadline_ms, d.lock:next_time())
        assert.same({}, renewals_during(d, 10000, grant))
    end)

    it("that comes too late for max_hold does nothing, and waits for the deadline", function()
        local d = watched { ttl_ms = 30000, max_hold_ms = 10001 }
        local due = d.lock:next_time()
        assert.is_true(due < d.now + 10001)
        d:pass(10002)
        assert.same({}, d.lock:wants())
        assert.equal(d.lock.deadline_ms, d.lock:next_time())
    end)

    for _, reason in ipairs { "noscript", "disconnected" } do
        it("sends nothing again past max_hold to a node that answers late: " .. reason, function()
            for late = 0, 1 do
                local d = watched { ttl_ms = 3000, max_hold_ms = 1500 }
                local start = d.now
                d:jump()
                d:answer(1, "granted")
                d:answer(2, "granted")
                assert.equal("extended", d.lock.outcome)
                d:pass(start + 1500 - 1 + late - d.now)
                d:answer(3, reason)
                assert.same(late == 1 and {} or { 3 }, d.lock:wants())
            end
        end)
    end

    it("sends again what its owner asked for past max_hold", function()
        local d = watched { ttl_ms = 3000, max_hold_ms = 500 }
        d:pass(1000)
        d:put("extend", 3000)
        d:answer(1, "noscript")
        assert.is_true(#d:pull() > 0)
    end)

    it("stops at the release", function()
        local d = watched { ttl_ms = 3000 }
        d:put("release"):answer_all "granted"
        assert.equal(NEVER, d.lock:next_time())
        d:pass(100000)
        assert.same({}, d.lock:wants())
    end)

    it("stops at a loss, and never acquires again", function()
        local d = watched { ttl_ms = 3000 }
        d:jump()
        d:answer_all "absent"
        assert.same({ "idle", "lost", "gone" }, { d.lock.state, d.lock.outcome, d.lock.loss })
        for _ = 1, 10 do
            d:pass(1000)
            assert.same({}, d.lock:wants())
        end
    end)

    it("does not interfere with an extension that is under way", function()
        local d = watched({ ttl_ms = 3000 }, { timeout_ms = 5000 })
        d:pass(900)
        d:put("extend", 60000)
        d:pull()
        d:pass(500)
        assert.same({}, d.lock:wants())
        d:answer_all "granted"
        assert.equal("extended", d.lock.outcome)
    end)

    it("does not shorten what the user extended", function()
        local d = watched { ttl_ms = 3000 }
        d:put("extend", 60000):answer_all "granted"
        local deadline = d.lock.deadline_ms
        renewals_during(d, 10000, grant)
        assert.equal(deadline, d.lock.deadline_ms)
    end)

    it("that slept beyond the deadline finds the lock lost, and asks for nothing", function()
        local d = watched { ttl_ms = 3000 }
        d:pass(3000)
        assert.same({ "idle", "lost", "expired" }, { d.lock.state, d.lock.outcome, d.lock.loss })
        assert.same({}, d.lock:wants())
    end)
end)

describe("the fence of a long tenure", function()
    it("is refreshed several times before a node would forget it", function()
        local d = driver.owner({}, { renew = true, ttl_ms = 900, fence_ttl_s = 8 })
        local refreshes, last = 0, d.now
        renewals_during(d, 60000, function()
            if not d.flying[1][1].batchable then
                assert.is_true(d.now - last >= 2000 and d.now - last <= 4000)
                refreshes, last = refreshes + 1, d.now
            end
            grant(d)
        end)
        assert.is_true(refreshes > 20 and refreshes < 60)
    end)

    it("is not taken to be refreshed by a renewal that was asked before that was due", function()
        local d = driver.owner({}, { renew = true, ttl_ms = 3000, fence_ttl_s = 4 })
        assert.is_true(d:jump() < 1000)
        assert.is_true(d:pull()[1].batchable)
        d.now = d.now + 100
        d:answer_all "granted"
        d:jump()
        assert.is_false(d:pull()[1].batchable)
    end)

    it("travels with the request that refreshes it", function()
        local d = driver.owner({}, { renew = true, ttl_ms = 900, fence_ttl_s = 1 })
        d:jump()
        local request = d:pull()[1]
        assert.same({ d.lock.fence, 1 }, { request.fence, request.fence_ttl_s })
    end)

    it("is refreshed again when the renewal failed", function()
        local d = driver.owner({}, { renew = true, ttl_ms = 9000, fence_ttl_s = 8 })
        d:jump()
        assert.is_false(d:pull()[1].batchable)
        d:answer_everything "unreachable"
        d:jump()
        assert.is_false(d:pull()[1].batchable)
    end)
end)

describe("a lease that another machine acquired", function()
    local function adopted(terms, options)
        local owner = driver.owner({}, terms)
        local d = driver.new(options)
        d.lock:adopt(owner.lock)
        return d, owner
    end

    it("is owned to the same deadline, with the same token and fence", function()
        local d, owner = adopted { ttl_ms = 5000 }
        assert.equal("owned", d.lock.state)
        assert.equal(owner.lock.token, d.lock.token)
        assert.equal(owner.lock.fence, d.lock.fence)
        assert.equal(owner.lock.deadline_ms, d.lock.deadline_ms)
        assert.same({ 1, 2, 3 }, d.lock.nodes)
    end)

    it("is renewed and released without tallies", function()
        local d, owner = adopted({ ttl_ms = 3000, renew = true }, { tallies = false })
        assert.is_true(#renewals_during(d, 10000, grant) >= 9)
        d:put "release"
        local requests = d:pull()
        assert.equal(3, #requests)
        assert.equal(owner.lock.token, requests[1].token)
        d:answer_each { "granted", "disconnected", "granted" }
        assert.equal("released", d.lock.outcome)
        assert.same({}, d.lock:wants())
    end)

    it("is lost without tallies as with them", function()
        local d = adopted({ ttl_ms = 3000, renew = true }, { tallies = false })
        d:jump()
        d:answer_each { "anothers", "anothers" }
        assert.same({ "lost", "taken" }, { d.lock.outcome, d.lock.loss })
        local late = adopted({ ttl_ms = 3000, renew = true }, { tallies = false })
        late:jump()
        late:pass(3000)
        assert.same({ "lost", "expired" }, { late.lock.outcome, late.lock.loss })
    end)

    it("lasts until the later of two deadlines when the other extends it", function()
        local d = adopted { ttl_ms = 5000 }
        local deadline = d.lock.deadline_ms
        d.lock:credit(deadline - 1)
        assert.equal(deadline, d.lock.deadline_ms)
        d.lock:credit(deadline + 700)
        assert.equal(deadline + 700, d.lock.deadline_ms)
        assert.equal(deadline + 700, d.lock:next_time())
    end)
end)
