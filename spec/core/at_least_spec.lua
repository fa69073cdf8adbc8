--- A lock that nobody else is to have before a time: what is asked for, what a release leaves standing.

local driver = require "support.driver"

local function lease_for(d, ms)
    return d.quorum:lease_for(ms)
end

local function keeps(requests)
    local list = {}
    for index, request in ipairs(requests) do
        list[index] = request.keep_ms
    end
    return list
end

describe("an acquire with at_least", function()
    it("asks for a lease that is certainly so long, if the ttl is shorter", function()
        local d = driver.new({ nodes = 3 }):acquire { ttl_ms = 1000, at_least_ms = 50000 }
        local requests = d:pull()
        for _, request in ipairs(requests) do
            assert.equal(lease_for(d, 50000), request.ttl_ms)
            assert.is_true(request.batchable)
        end
        local asked = d.now
        d.now = d.now + 5
        d:answer_everything "granted"
        assert.is_true(d.lock.deadline_ms >= asked + 50000)
        assert.equal(asked + d.quorum:validity(lease_for(d, 50000)), d.lock.deadline_ms)
    end)

    it("asks for the ttl if that is longer", function()
        local d = driver.new({ nodes = 1 }):acquire { ttl_ms = 90000, at_least_ms = 50000 }
        assert.equal(90000, d:pull()[1].ttl_ms)
    end)

    it("is remembered by the fence for twice that", function()
        local d = driver.new({ nodes = 1 }):acquire { ttl_ms = 1000, at_least_ms = 86400000 }
        assert.is_true(d:pull()[1].fence_ttl_s >= 2 * 86400)
    end)

    it("is renewed by its ttl, from the first third of that on, and never shortened", function()
        local d = driver.owner({ nodes = 1 }, { ttl_ms = 900, at_least_ms = 50000, renew = true })
        local deadline, start = d.lock.deadline_ms, d.now
        assert.is_true(d.lock:next_time() <= start + 300)
        d:jump()
        assert.equal(900, d:pull()[1].ttl_ms)
        d:answer_everything "granted"
        assert.equal(deadline, d.lock.deadline_ms)
    end)
end)

describe("a release before that time", function()
    local function owner(nodes, terms)
        terms = terms or { ttl_ms = 1000, at_least_ms = 50000 }
        return driver.owner({ nodes = nodes }, terms)
    end

    it("lets the token stand on each node until then, alone", function()
        local d = owner(3)
        local granted = d.now
        d.now = granted + 20000
        d:put "release"
        local requests = d:pull()
        local keep = lease_for(d, 30000)
        assert.same({ keep, keep, keep }, keeps(requests))
        for _, request in ipairs(requests) do
            assert.is_false(request.batchable)
        end
        assert.equal(0, d.lock:remaining(d.now))
        d:answer_everything "granted"
        assert.same({ "idle", "released" }, { d.lock.state, d.lock.outcome })
    end)

    it("is one as any other from then on", function()
        local d = owner(1)
        d.now = d.now + 50000
        d:put "release"
        local request = d:pull()[1]
        assert.same({ 0, true }, { request.keep_ms, request.batchable })
    end)

    it("that is sent later keeps the token for less", function()
        local d = owner(3)
        local granted = d.now
        d.away[3] = true
        d:put "release"
        d:pull()
        d.away[3] = nil
        d.now = granted + 300
        assert.same({ lease_for(d, 49700) }, keeps(d:pull()))
    end)

    it("that was not delivered is owed with what is left of that time", function()
        local d = owner(3)
        local granted = d.now
        d:put "release"
        d:pull()
        d:answer(1, "granted")
        d:answer(2, "granted")
        d.now = granted + 10000
        d:answer(3, "disconnected")
        local request = d:pull()[1]
        assert.same({ 3, true }, { request.node, request.owed })
        assert.equal(lease_for(d, 40000), request.keep_ms)
        d.now = granted + 50100
        d:answer(3, "disconnected")
        assert.same({ 0 }, keeps(d:pull()))
    end)
end)

describe("what is owed for an attempt that failed", function()
    it("is free at once", function()
        local d = driver.new({ nodes = 3 }):acquire { ttl_ms = 1000, at_least_ms = 50000 }
        d:pull()
        d:answer(1, "granted")
        d:answer(2, { reason = "held", ttl_ms = 500 })
        d:answer(3, { reason = "held", ttl_ms = 500 })
        assert.equal("locked", d.lock.outcome)
        assert.same({ 0 }, keeps(d:pull()))
    end)

    it("is free at once also when the next attempt was granted", function()
        local d = driver.new({ nodes = 3 })
        d:acquire { ttl_ms = 1000, at_least_ms = 50000, wait_ms = 900 }
        d:pull()
        d:answer(1, "disconnected")
        d:answer(2, { reason = "held", ttl_ms = 500 })
        local owed, asked = {}, {}
        for _, request in ipairs(d:pull()) do
            local list = request.owed and owed or asked
            list[#list + 1] = request
        end
        assert.same({ 1, 0 }, { owed[1].node, owed[1].keep_ms })
        assert.equal(1, #asked)
        d:answer_everything("granted"):answer_everything "granted"
        assert.equal("acquired", d.lock.outcome)
        d:put "release"
        local requests = d:pull()
        assert.is_true(#requests >= 2)
        for _, request in ipairs(requests) do
            assert.is_true(request.keep_ms > 49000)
        end
    end)
end)
