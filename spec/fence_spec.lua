-- Fences: whoever holds a lock has a higher number than everybody who held it before.

local clock = require "support.clock"
local inbox = require "support.inbox"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local waiter = require "support.waiter"

local BLOCK = 64 -- fences of one ballot
local HOUR_US = 3600 * 1000000
local FENCE = inbox.side("job", "fence")

local nodes, one, client

local function digits(number)
    return ("%.0f"):format(number)
end

local ballot = quorum.ballot

-- The number that a clock an hour ahead of ours gives now.
local function an_hour_ahead()
    return os.time() * 1000000 + HOUR_US
end

-- As if the last owner had been given that number.
local function set_fence(list, fence)
    list:ask_all("SET", FENCE, digits(fence), "EX", 86400)
end

local function rises(fences)
    for index = 2, #fences do
        assert.is_true(fences[index] > fences[index - 1], index)
    end
end

setup(function()
    nodes = quorum.start(5)
    one = nodes:first(1)
end)

teardown(function()
    servers.stop_all()
end)

before_each(function()
    client = one:client()
end)

after_each(function()
    process.stop_all()
    quorum.close_clients()
    assert.is_nil(nodes:key_for_ever())
    nodes:reset()
end)

describe("a fence", function()
    it("is the number that the node remembers, to the last digit", function()
        local lock = assert(client:acquire "job")
        assert.equal(digits(lock.fence), ballot(one:ask(1, "GET", FENCE)))
        assert.is_true(one:ask(1, "TTL", FENCE) > 80000)
        assert(lock:release())
        assert.equal(digits(lock.fence), ballot(one:ask(1, "GET", FENCE)))
    end)

    it("is exact nine years ahead", function()
        local highest = an_hour_ahead() + 9 * 365 * 24 * HOUR_US + 1
        set_fence(one, highest)
        for step = 1, 5 do
            local lock = assert(client:try "job")
            local expected = highest - highest % BLOCK + step * BLOCK
            assert.equal(0, lock.fence - expected)
            assert.equal(digits(expected), ballot(one:ask(1, "GET", FENCE)))
            assert(lock:release())
        end
    end)

    it("from a far future is nobody's, and spreads to no other node or name", function()
        local list = quorum.of { nodes[1], nodes[2], nodes[3] }
        nodes[1]:cli("SET", FENCE, digits(2 ^ 53 - 2 ^ 32), "EX", "86400")
        local fences = {}
        for _, name in ipairs { "job", "job", "another" } do
            local lock = assert(list:client():acquire(name, { wait = 5 }))
            fences[#fences + 1] = lock.fence
            assert(lock:release())
        end
        rises { fences[1], fences[2] }
        assert.is_true(fences[3] < an_hour_ahead())
        assert.is_true(tonumber(ballot(nodes[2]:cli("GET", FENCE))) < an_hour_ahead())
    end)

    it("rises with every tenure, whichever client has it", function()
        local clients, fences = { client, one:client(), one:client() }, {}
        for turn = 1, 300 do
            local lock = assert(clients[turn % 3 + 1]:try "job")
            fences[turn] = lock.fence
            assert(lock:release())
        end
        rises(fences)
    end)

    it("is higher than that of a lock that expired, whose owner's clock was ahead", function()
        set_fence(one, an_hour_ahead())
        local first = quorum.insist(client, "job", { ttl = 0.2, renew = false })
        local second = assert(one:client():acquire("job", { wait = 20 }))
        assert.is_true(first.fence > an_hour_ahead() - HOUR_US / 2)
        assert.is_true(second.fence > first.fence)
    end)

    it("is higher than that of a lock that was deleted", function()
        set_fence(one, an_hour_ahead())
        local first = assert(client:acquire "job")
        one:ask(1, "DEL", "job")
        assert.is_true(assert(one:client():try "job").fence > first.fence)
    end)

    it("is put back by an extension when the node has lost it", function()
        set_fence(one, an_hour_ahead())
        local lock = assert(client:acquire("job", { ttl = 60 }))
        one:ask(1, "DEL", FENCE)
        assert(lock:extend(70))
        assert.equal(digits(lock.fence), ballot(one:ask(1, "GET", FENCE)))
    end)
end)

describe("a client whose clock is behind", function()
    it("outbids at its first try", function()
        for _, list in ipairs { one, nodes } do
            local ahead = an_hour_ahead()
            set_fence(list, ahead)
            local lock = assert(list:client():try "job")
            assert.is_true(lock.fence > ahead)
            assert(lock:release())
        end
    end)

    it("outbids when it has waited for a lock of another kind", function()
        local ahead = an_hour_ahead()
        set_fence(one, ahead)
        one:ask(1, "SET", "job", "foreign", "PX", 200)
        assert.is_true(assert(client:acquire("job", { wait = 20 })).fence > ahead)
    end)

    it("outbids when it is woken", function()
        local ahead = an_hour_ahead()
        set_fence(one, ahead)
        local first = assert(client:acquire "job")
        local child = waiter.start { nodes = one:urls(), name = "job", wait = 60 }
        assert.is_true(waiter.stand(1, one, "job"))
        assert(first:release())
        assert(child:wait_line("released"))
        assert.is_true(waiter.tenures(child)[1].fence > first.fence)
    end)

    it("outbids the owner before, though only one node has seen them both", function()
        nodes[1]:pause()
        nodes[2]:pause()
        local behind = nodes:client({ timeout = 2 })
        set_fence(quorum.of { nodes[3], nodes[4], nodes[5] }, an_hour_ahead())
        local first = assert(behind:acquire("job", { wait = 20 }))
        assert(first:release())
        nodes[1]:resume()
        nodes[2]:resume()
        nodes[4]:pause()
        nodes[5]:pause()
        local second = assert(nodes:client({ timeout = 2 }):acquire("job", { wait = 20 }))
        assert.is_true(second.fence > first.fence)
        assert(second:release())
    end)

    it("outbids the owner before, whose nodes were killed after it", function()
        set_fence(nodes, an_hour_ahead())
        local first = assert(nodes:client({ timeout = 2 }):acquire "job")
        nodes[1]:kill()
        nodes[2]:kill()
        assert(first:release())
        local second = assert(nodes:client({ timeout = 2 }):acquire("job", { wait = 20 }))
        assert.is_true(second.fence > first.fence)
        assert(second:release())
    end)
end)

describe("fences of several processes", function()
    local TIMES = 10

    -- In the order in which the lock was held.
    local function fences_of(list, env)
        local crowd = waiter.start_crowd(4, {
            nodes = list:urls(), name = "job", wait = 60, times = TIMES,
        }, env)
        assert(crowd:wait_line("^all ended", 60))
        local fences = {}
        for index, tenure in ipairs(waiter.tenures(crowd)) do
            fences[index] = tenure.fence
        end
        assert.equal(4 * TIMES, #fences)
        return fences
    end

    it("rise, on one node and on five", function()
        rises(fences_of(one))
        rises(fences_of(nodes))
    end)

    it("rise, though a clock is an hour behind and another an hour ahead", function()
        local why_not = clock.why_not()
        if why_not then
            pending(why_not)
            return
        end
        local env = { "", clock.shifted(-3600), clock.shifted(3600), clock.shifted(-60) }
        local behind = os.time() * 1000000 - HOUR_US / 2
        for _, list in ipairs { one, nodes } do
            local fences = fences_of(list, env)
            rises(fences)
            assert.is_true(fences[#fences] > behind + HOUR_US)
        end
    end)
end)
