--- The two formulas that locks share, and how many are a majority.

local machine = require "machine"

describe("a majority", function()
    it("is more than half, of even numbers too", function()
        local majorities = {}
        for nodes = 1, 8 do
            majorities[nodes] = machine.quorum({ nodes = nodes }).majority
        end
        assert.same({ 1, 2, 2, 3, 3, 4, 4, 5 }, majorities)
    end)
end)

describe("validity", function()
    local function validity(ttl_ms, drift_factor)
        return machine.quorum({ drift_factor = drift_factor }):validity(ttl_ms)
    end

    it("is ttl - ttl * drift - 2 ms, the drift rounded up", function()
        assert.equal(10000 - 100 - 2, validity(10000, 0.01))
        assert.equal(10001 - 101 - 2, validity(10001, 0.01))
        assert.equal(10099 - 101 - 2, validity(10099, 0.01))
        assert.equal(30000 - 2, validity(30000, 0))
        assert.equal(1000 - 500 - 2, validity(1000, 0.5))
        assert.equal(1 - 1 - 2, validity(1, 0.01))
        assert.equal(86400000 - 864000 - 2, validity(86400000, 0.01))
    end)

    it("is never more than the formula allows", function()
        for _, drift_factor in ipairs { 0, 0.001, 0.01, 0.017, 0.1, 1 / 3, 0.99 } do
            for ttl_ms = 1, 5000, 7 do
                local exact = ttl_ms - ttl_ms * drift_factor - 2
                local given = validity(ttl_ms, drift_factor)
                assert.is_true(given <= exact and given > exact - 1)
            end
        end
    end)
end)

describe("the lease for a time", function()
    it("is certainly mine for so long, and next to none is shorter", function()
        for _, drift_factor in ipairs { 0, 0.001, 0.01, 0.017, 0.1, 1 / 3, 0.99 } do
            local quorum = machine.quorum { drift_factor = drift_factor }
            for wanted_ms = 1, 5000, 7 do
                local lease_ms = quorum:lease_for(wanted_ms)
                assert.is_true(quorum:validity(lease_ms) >= wanted_ms)
                assert.is_true(quorum:validity(lease_ms) < wanted_ms + 3)
            end
        end
    end)

    it("is one that a server takes, whatever is wanted", function()
        assert.equal(1e15, machine.quorum({ drift_factor = 0.9999999 }):lease_for(1e12))
    end)
end)

describe("jitter", function()
    it("reaches every number from 0 to below its bound, and no other", function()
        local quorum = machine.quorum { random = 99 }
        local seen, count = {}, 0
        for _ = 1, 500 do
            local number = quorum:jitter(7)
            assert.is_true(number >= 0 and number < 7)
            count = count + (seen[number] and 0 or 1)
            seen[number] = true
        end
        assert.equal(7, count)
    end)

    it("is spread evenly", function()
        local quorum, counts = machine.quorum { random = 12345 }, {}
        for _ = 1, 10000 do
            local number = quorum:jitter(10)
            counts[number] = (counts[number] or 0) + 1
        end
        for number = 0, 9 do
            assert.is_true(counts[number] > 850 and counts[number] < 1150)
        end
    end)

    it("is 0 where there is no room for it", function()
        local quorum = machine.quorum { random = 99 }
        assert.equal(0, quorum:jitter(1))
        assert.equal(0, quorum:jitter(0))
        assert.equal(0, quorum:jitter(-5))
    end)

    it("is the same for the same seed, another for another", function()
        local function sequence(seed)
            local quorum, numbers = machine.quorum { random = seed }, {}
            for index = 1, 20 do
                numbers[index] = quorum:jitter(1000)
            end
            return numbers
        end
        assert.same(sequence(7), sequence(7))
        assert.not_same(sequence(7), sequence(8))
    end)
end)
