-- Cohorts: owners of one program pass a lock on among themselves, without asking the nodes.

local event_loops = require "support.event_loops"
local fault = require "support.fault"
local inbox = require "support.inbox"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local waiter = require "support.waiter"

local ALONE = 60 -- seconds: a lease that no test outlives
local BLOCK = 64 -- fences of one ballot

local nodes, one, three

setup(function()
    nodes = quorum.start(3)
    one, three = nodes:first(1), nodes:first(3)
end)

teardown(function()
    fault.stop_all()
    servers.stop_all()
end)

after_each(function()
    process.stop_all()
    quorum.close_clients()
    assert.is_nil(nodes:key_for_ever())
    nodes:reset()
end)

local function ballot_of(fence)
    return fence - fence % BLOCK
end

for _, name in ipairs { "cqueues", "luv" } do
    local loop = event_loops[name]()

    -- Owners who are there all at once, numbered in the order in which they come, and what each saw.
    local function crowd(client, count, terms, hold)
        local seen, arrived, inside = {}, 0, 0
        local first = assert(client:acquire("job", terms))
        for _ = 1, count do
            loop.spawn(function()
                arrived = arrived + 1
                local id = arrived
                local lock = assert(client:acquire("job", terms))
                inside = inside + 1
                assert.equal(1, inside)
                assert.is_true(lock:held())
                seen[#seen + 1] = { id = id, fence = lock.fence, token = lock.token }
                hold(lock)
                inside = inside - 1
                assert(lock:release())
            end)
        end
        assert(loop.wait_until(function() return arrived == count end))
        table.insert(seen, 1, { id = 0, fence = first.fence, token = first.token })
        assert(first:release())
        assert(loop.wait_until(function() return #seen == count + 1 and inside == 0 end))
        return seen
    end

    -- Somebody who comes while the lock is owned: `await()` is the lock, once it is his.
    local function come(client, terms)
        local arrived, lock = false, nil
        loop.spawn(function()
            arrived = true
            lock = assert(client:acquire("job", terms))
        end)
        assert(loop.wait_until(function() return arrived end))
        return function()
            assert(loop.wait_until(function() return lock end))
            return lock
        end
    end

    local function cohort(terms)
        local all = { cohort = true, ttl = ALONE, wait = ALONE }
        for option, value in pairs(terms or {}) do
            all[option] = value
        end
        return all
    end

    describe("in a cohort, under " .. name .. ",", function()
        for _, count in ipairs { 1, 3 } do
            local what = "owners come in order, each with a higher fence, on %d nodes"
            what = what:format(count)
            it(what, function()
                local client = nodes:first(count):client()
                local seen = loop.run(function()
                    return crowd(client, 150, cohort(), function() loop.sleep(0) end)
                end)
                local passed_on = 0
                for index = 2, #seen do
                    local last, mine = seen[index - 1], seen[index]
                    assert.equal(index - 1, mine.id)
                    assert.is_true(mine.fence > last.fence)
                    local same = mine.token == last.token
                    assert.equal(same, ballot_of(mine.fence) == ballot_of(last.fence))
                    assert.is_true(not same or mine.fence == last.fence + 1)
                    passed_on = passed_on + (same and 1 or 0)
                end
                assert.is_true(passed_on > 0)
                assert.equal(0, nodes:first(count):count "job")
            end)
        end

        it("a ballot is good for 64 owners", function()
            local client = one:client()
            local seen
            for _ = 1, 20 do -- a cohort closes early on a machine that stands still for a moment
                seen = loop.run(function()
                    return crowd(client, 80, cohort(), function() end)
                end)
                assert.equal(seen[1].fence, ballot_of(seen[1].fence))
                assert.not_equal(seen[1].token, seen[BLOCK + 1].token)
                assert.is_true(ballot_of(seen[BLOCK + 1].fence) > seen[1].fence)
                if seen[BLOCK].token == seen[1].token then
                    break
                end
            end
            if seen[BLOCK].token == seen[1].token then -- under valgrind it takes too long for so many
                assert.equal(seen[1].fence + BLOCK - 1, seen[BLOCK].fence)
                assert.equal(0, seen[BLOCK + 1].fence % BLOCK)
            end
        end)

        it("the nodes hold one token for all of them, and are asked nothing", function()
            local client = three:client()
            loop.run(function()
                crowd(client, 20, cohort(), function(lock)
                    assert.is_true(three:count("job", lock.token) >= 2)
                end)
            end)
        end)

        it("a lock that is not let go of within a moment is the nodes' again", function()
            local client = one:client()
            local seen = loop.run(function()
                return crowd(client, 3, cohort(), function() loop.sleep(0.15) end)
            end)
            for index = 3, #seen do -- the first let go of it at once
                assert.not_equal(seen[index - 1].token, seen[index].token)
            end
        end)

        it("processes that wait get their turn, though owners come again and again", function()
            local client, turns, over, last = three:client(), 0, false, 0
            local other
            loop.run(function()
                for _ = 1, 8 do
                    loop.spawn(function()
                        while not over do
                            local lock = assert(client:acquire("job", cohort()))
                            assert.is_true(lock.fence > last)
                            last, turns = lock.fence, turns + 1
                            assert(lock:release())
                        end
                    end)
                end
                assert(loop.wait_until(function() return turns > 8 end))
                other = waiter.start { nodes = three:urls(), name = "job", wait = ALONE, times = 3 }
                assert(loop.wait_until(function() return not other:running() end))
                over = true
            end)
            local acquired = 0
            for _, line in ipairs(other:lines()) do
                acquired = acquired + (line:find " acquired %d+" and 1 or 0)
            end
            assert.equal(3, acquired, other:errors())
            assert.equal(0, three:count "job")
        end)

        it("who asks for another lease gets his own", function()
            local client = one:client()
            for option, value in pairs { ttl = ALONE / 2, cohort = false, at_least = 0.01 } do
                loop.run(function()
                    local lock = assert(client:acquire("job", cohort()))
                    local await = come(client, cohort { [option] = value })
                    assert(lock:release())
                    local next_lock = await()
                    assert.not_equal(lock.token, next_lock.token, option)
                    assert.is_true(next_lock.fence > lock.fence)
                    assert(next_lock:release())
                end)
                assert(loop.run(function()
                    return loop.wait_until(function() return one:count "job" == 0 end)
                end))
            end
        end)

        it("who asks for another lease stands in the nodes' queues meanwhile", function()
            local client, stands = one:client(), false
            for _ = 1, 20 do -- a machine may stand still for a moment
                loop.run(function()
                    local ended = false
                    local lock = assert(client:acquire("job", cohort()))
                    loop.spawn(function() -- for less than a cohort lives
                        client:acquire("job", cohort { cohort = false, wait = 0.06 })
                        ended = true
                    end)
                    assert(loop.wait_until(function()
                        stands = stands or one:ask(1, "ZCARD", inbox.side("job", "queue")) == 1
                        return ended
                    end))
                    assert(lock:release())
                end)
                if stands then
                    break
                end
            end
            assert.is_true(stands)
        end)

        it("what was extended beyond its ttl is not passed on", function()
            local client = one:client()
            loop.run(function()
                local lock = assert(client:acquire("job", cohort { ttl = 30 }))
                local await = come(client, cohort { ttl = 30 })
                assert(lock:extend(120))
                assert(lock:release())
                local next_lock = await()
                assert.not_equal(lock.token, next_lock.token)
                assert.is_true(next_lock:remaining() < 30)
            end)
        end)

        it("what the nodes may keep for longer than its ttl is not passed on", function()
            local client = one:client()
            loop.run(function()
                local lock = assert(client:acquire("job", cohort { ttl = 30 }))
                local await = come(client, cohort { ttl = 30 })
                one:ask(1, "CLIENT", "PAUSE", 200)
                local asked = false
                loop.spawn(function()
                    asked = true
                    lock:extend(120) -- is answered after the release
                end)
                assert(loop.wait_until(function() return asked end))
                assert(lock:release())
                local next_lock = await()
                assert.not_equal(lock.token, next_lock.token)
                assert.is_true(one:ask(1, "PTTL", "job") <= 30000)
                assert(next_lock:release())
            end)
        end)

        it("what a call that blocks was to release is not passed on", function()
            local proxy = fault.proxy(one[1])
            local client = quorum.of({ proxy }):client()
            loop.run(function()
                local lock = assert(client:acquire("job", cohort()))
                local await = come(client, cohort())
                proxy:refuse() -- connections of such calls; the engine keeps its own
                loop.outside(function()
                    local _, _, code = lock:release()
                    assert.equal("unavailable", code)
                end)
                proxy:listen()
                assert(lock:release())
                local next_lock = await()
                assert.not_equal(lock.token, next_lock.token)
                assert(next_lock:release())
            end)
        end)

        it("a lease that runs out is waited for no longer", function()
            local client = one:client()
            local short = { ttl = 0.02, renew = false, wait = 0.06 } -- less than a cohort lives for
            local lock, next_lock
            for _ = 1, 20 do -- a machine may stand still for a moment
                loop.run(function()
                    lock = client:acquire("job", cohort(short))
                    next_lock = lock and client:acquire("job", cohort(short))
                end)
                if next_lock then
                    break
                end
                assert(one:comes_to(0, "job"))
            end
            assert.is_truthy(next_lock)
            assert.is_false(lock:held())
        end)

        it("an owner that has passed the lock on takes nothing back, whatever it does", function()
            local client = three:client()
            loop.run(function()
                local lock = three:everywhere(client, "job", cohort())
                local await = come(client, cohort())
                assert(lock:release())
                local next_lock = await()
                assert.is_true(lock:release()) -- as often as it likes
                assert.is_nil((lock:extend(5)))
                assert.is_false(lock:held())
                lock = nil -- luacheck: ignore 311
                collectgarbage()
                collectgarbage()
                assert.is_true(next_lock:held())
                assert(next_lock:extend(30))
                assert.equal(next_lock.token, three:ask(1, "GET", "job"))
                assert(next_lock:release())
            end)
            assert.equal(0, three:count "job")
        end)

        it("what has been lost is not passed on", function()
            local client = three:client()
            loop.run(function()
                local lock = assert(client:acquire("job", cohort()))
                local await = come(client, cohort())
                three:ask_all("SET", "job", "another", "PX", 300)
                local extended, _, code = lock:extend(5)
                assert.same({ false, "lost" }, { extended or false, code })
                assert.is_nil((lock:release()))
                local next_lock = await()
                assert.equal(0, next_lock.fence % BLOCK)
                assert.is_true(next_lock.fence > lock.fence)
                assert(next_lock:release())
            end)
        end)

        it("each is told of the loss of what is his own, and of nothing else", function()
            local client, told = three:client(), {}
            loop.run(function()
                local lock = assert(client:acquire("job", cohort()))
                lock:on_lost(function() told[#told + 1] = "first" end)
                local await = come(client, cohort())
                assert(lock:release())
                local next_lock = await()
                next_lock:on_lost(function() told[#told + 1] = "second" end)
                three:ask_all("DEL", "job")
                next_lock:extend(5)
                assert(loop.wait_until(function() return told[1] end))
                client:close()
            end)
            assert.same({ "second" }, told)
        end)

        it("who cannot wait so long is told that it is held", function()
            local client = one:client()
            loop.run(function()
                local lock = assert(client:acquire("job", cohort()))
                local got, message, code = client:acquire("job", cohort { wait = 0.02 })
                assert.same({ false, "timeout" }, { got or false, code })
                assert.matches("held for %d", message)
                assert(lock:release())
                assert.equal(0, one:count "job")
            end)
        end)

        it("a lock whose owner is garbage goes to the next", function()
            local client = one:client()
            loop.run(function()
                assert(client:acquire("job", cohort()))
                local await = come(client, cohort())
                collectgarbage()
                collectgarbage()
                assert(await():release())
            end)
        end)

        it("a client that is closed leaves nothing, and nobody waits on", function()
            local client = three:client()
            loop.run(function()
                local codes, owned = {}, assert(client:acquire("job", cohort()))
                local arrived = 0
                for _ = 1, 5 do
                    loop.spawn(function()
                        arrived = arrived + 1
                        local lock, _, code = client:acquire("job", cohort())
                        codes[#codes + 1] = lock and "had" or code
                    end)
                end
                assert(loop.wait_until(function() return arrived == 5 end))
                client:close()
                assert(loop.wait_until(function() return #codes == 5 end))
                assert.is_nil(table.concat(codes, " "):match "had")
                assert.is_false(owned:held())
            end)
            assert.equal(0, three:count "job")
            assert.equal(0, one:ask(1, "ZCARD", inbox.side("job", "queue")))
        end)
    end)
end

describe("in a cohort of a script that blocks", function()
    it("there is nobody to pass a lock on to", function()
        local client = one:client { cohort = true }
        local lock = assert(client:acquire "job")
        assert.equal(0, lock.fence % BLOCK)
        assert(lock:release())
        assert.equal(0, one:count "job")
    end)
end)
