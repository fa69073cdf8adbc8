-- Event loops: in coroutines of cqueues and luv the calls give what they give a script, and nobody else waits.

local event_loops = require "support.event_loops"
local inbox = require "support.inbox"
local process = require "support.process"
local quorum = require "support.quorum"
local redlock = require "redlock"
local servers = require "servers"
local wait = require "support.wait"
local waiter = require "support.waiter"

local ALONE = 60 -- seconds: a lease that no test outlives
local SAFE = 3 -- seconds: a lease that outlives a machine that stands still for a while
local CROWD = 200
local COUNT_JOBS = "return #redis.call('KEYS', 'job:*')"

local nodes, one, three

local function collect_all()
    collectgarbage()
    collectgarbage()
end

-- What a call came to, without what differs from run to run.
local function describe_results(...)
    local results = { ... }
    for index = 1, select("#", ...) do
        local result = results[index]
        if type(result) == "userdata" then
            results[index] = "a lock"
        elseif type(result) == "string" then
            result = result:gsub("held for [%d.]+ s", "held for N s")
            results[index] = result:gsub("held, [%d.]+ s left", "held, N s left")
        elseif type(result) == "table" then
            results[index] = ("a list of %d"):format(#result)
        end
    end
    return { n = select("#", ...), results = results }
end

local function code_of(_, _, code)
    return code
end

-- Every node knows the scripts, so that a lock stands on all of them.
local function warm_up()
    for _, server in ipairs(nodes) do
        assert(quorum.of({ server }):client():acquire("warm")):release()
    end
end

setup(function()
    nodes = quorum.start(5)
    one, three = nodes:first(1), nodes:first(3)
end)

teardown(function()
    servers.stop_all()
end)

before_each(warm_up)

after_each(function()
    process.stop_all()
    quorum.close_clients()
    assert.is_nil(nodes:key_for_ever())
    nodes:reset()
end)

for _, name in ipairs { "cqueues", "luv" } do
    local loop = event_loops[name]()

    local function hold_elsewhere(key)
        nodes:ask_all("SET", key, "foreign", "PX", 60000)
    end

    local function queue_length(key)
        return one:ask(1, "ZCARD", inbox.side(key, "queue"))
    end

    -- Runs what may yield; `turn` is called again and again meanwhile, by another coroutine.
    local function beside(turn, body)
        local over = false
        loop.spawn(function()
            while not over do
                turn()
                loop.sleep(0.001)
            end
        end)
        local results = { body() }
        over = true
        return (table.unpack or unpack)(results) -- luacheck: ignore 113
    end

    describe("in a coroutine of " .. name .. ",", function()
        describe("a call gives what it gives a script:", function()
            local function same(what, script, settings)
                it(what, function()
                    local function play()
                        local client, seen = three:client(settings), {}
                        assert(client:acquire "warm"):release()
                        script(client, function(...)
                            seen[#seen + 1] = describe_results(...)
                        end)
                        client:close()
                        return seen
                    end
                    local expected = play()
                    assert.is_true(#expected > 0)
                    nodes:reset()
                    assert.same(expected, loop.run(function() return play() end))
                end)
            end

            same("acquire, held, remaining, extend and release", function(client, see)
                local lock = assert(client:acquire("job", { ttl = 20 }))
                see(lock.name, #lock.token, type(lock.fence), tostring(lock))
                see(lock:held(), lock:remaining() > 15, lock:remaining() < 20)
                see(lock:acquire())
                see(lock:extend(40))
                see(lock:remaining() > 30)
                see(lock:release())
                see(lock:held(), lock:remaining(), tostring(lock))
                see(lock:release())
                see(lock:extend(5))
                see(lock:acquire { wait = 0, ttl = 9 })
                see(lock:remaining() > 4)
                see(lock:release())
            end)

            same("a lock that was never acquired", function(client, see)
                local lock = client:lock("job", { wait = 0 })
                see(lock:held(), lock:remaining(), tostring(lock))
                see(lock:release())
                see(lock:extend(5))
            end)

            same("a lock that another holds", function(client, see)
                hold_elsewhere "job"
                for _, waiting in ipairs { 0, 0.05 } do
                    local lock, message, code, votes = client:acquire("job", { wait = waiting })
                    see(lock, message:match "^[^:]+: [^:]+", code, #votes)
                end
                see(code_of(client:try "job"))
                see(client:with("job", { wait = 0 }, error) == nil)
            end)

            same("a lock that is lost", function(client, see)
                local lock = assert(client:acquire "job")
                nodes:ask_all("DEL", "job")
                see(lock:extend(5))
                see(lock:held())
                see(lock:release())
                lock = assert(client:acquire("job", { renew = false }))
                hold_elsewhere "job"
                see(lock:release())
                see(lock:release())
                lock = quorum.insist(client, "other", { ttl = 0.05, renew = false })
                assert.is_truthy(wait.wait_until(function() return not lock:held() end))
                see(lock:extend(5))
                see(lock:release())
            end)

            same("with", function(client, see)
                see(client:with("job", function(lock) return lock:held(), nil, 3, nil end))
                see(pcall(client.with, client, "job", function() error "failed" end))
                see(pcall(client.with, client, "job", function() error {} end))
                see(client:with("job", function(lock) return lock:release() end))
                see(client:with("job", function() nodes:ask_all("DEL", "job") end))
                see(client:try "job")
            end)

            same("info", function(client, see)
                see(client:info "job"[1].token, #client:info "job")
                local lock = assert(client:acquire("job", { ttl = 20 }))
                for _, node in ipairs(client:info "job") do
                    see(node.token == lock.token, node.fence == lock.fence, node.waiters)
                    see(node.ttl > 10, node.ttl <= 20)
                end
                lock:release()
                see(client:info("job")[1].token, client:info("job")[2].ttl)
            end)

            same("nodes that refuse", function(client, see)
                for index = 1, 2 do
                    three[index]:kill()
                end
                local lock, message, code, votes = client:try "job"
                see(lock, message:match '^unavailable: "job": ', code, #votes)
                for index = 1, 2 do
                    see(client:info "job"[index].error ~= nil)
                end
                see(client:info "job"[3].error)
                three:revive()
            end)

            same("a client that was closed", function(client, see)
                local lock = assert(client:acquire "job")
                see(tostring(client):match "%(closed%)")
                see(client:close())
                see(lock:held(), three:count "job")
                see(lock:release())
                see(lock:extend(5))
                see(client:acquire "job")
                see(client:try "job")
                see(client:info "job")
                see(client:with("job", error))
                see(client:close())
                see(tostring(client):match "%(closed%)")
            end)

            same("misuse", function(client, see)
                local lock = client:lock "job"
                see(pcall(client.acquire, client, ""))
                see(pcall(client.acquire, client, "job", { wait = -1 }))
                see(pcall(client.acquire, "job"))
                see(pcall(lock.extend, lock, 0))
                see(pcall(lock.release, "job"))
                see(pcall(lock.on_lost, lock, "no function"))
                see(pcall(client.with, client, "job"))
            end)

            it("every fence is higher than the one before, in the loop and outside", function()
                local client, fence = three:client(), 0
                local function check()
                    local lock = assert(client:acquire "job")
                    assert.is_true(lock.fence > fence)
                    fence = lock.fence
                    assert(lock:release())
                end
                for _ = 1, 10 do
                    check()
                    loop.run(check)
                end
            end)
        end)

        describe("others go on while", function()
            it("acquire waits for another owner", function()
                hold_elsewhere "job"
                loop.run(function()
                    local client, ticks = one:client(), 0
                    local lock = assert(beside(function()
                        ticks = ticks + 1
                        if ticks == 100 then
                            one:ask(1, "DEL", "job")
                        end
                    end, function() return client:acquire("job", { wait = 20 }) end))
                    assert.is_true(ticks >= 100)
                    assert.equal(lock.token, one:ask(1, "GET", "job"))
                    assert(lock:release())
                end)
            end)

            -- Nothing but the other coroutine can make the node answer, long before the timeout.
            local function with_hung_node(what, call)
                it(what .. " waits for a node that hangs", function()
                    loop.run(function()
                        local client, ticks = one:client(), 0
                        local lock = assert(client:acquire("job", { ttl = ALONE }))
                        nodes[1]:pause()
                        local result, message = beside(function()
                            ticks = ticks + 1
                            if ticks == 100 then
                                nodes[1]:resume()
                            end
                        end, function() return call(client, lock) end)
                        assert.is_true(ticks >= 100)
                        assert(result, message)
                        client:close()
                        assert.equal(0, one:count "job")
                        assert.equal(0, one:count "other")
                    end)
                end)
            end

            with_hung_node("try", function(client) return client:try "other" end)
            with_hung_node("extend", function(_, lock) return lock:extend(20) end)
            with_hung_node("release", function(_, lock) return lock:release() end)
            with_hung_node("info", function(client) return client:info "job" end)
            with_hung_node("with", function(client) return client:with("other", function() end) end)
            with_hung_node("close", function(client)
                client:close()
                return true
            end)
        end)

        describe("waiters of one process", function()
            local function take_turns_on(count)
                local what = ("take a lock on %d nodes, once each and in order"):format(count)
                it(what, function()
                    local list = nodes:first(count)
                    local client = list:client()
                    local order, arrived, inside, longest = {}, 0, 0, 0
                    loop.run(function()
                        local first = list:everywhere(client, "job", { ttl = ALONE })
                        for _ = 1, CROWD do
                            loop.spawn(function()
                                arrived = arrived + 1
                                local id = arrived
                                local lock = assert(client:acquire("job", { wait = ALONE }))
                                inside = inside + 1
                                order[#order + 1] = id
                                assert.equal(1, inside)
                                longest = math.max(longest, queue_length "job")
                                loop.sleep(0)
                                inside = inside - 1
                                assert(lock:release())
                            end)
                        end
                        assert(loop.wait_until(function() return queue_length "job" == 1 end))
                        assert(first:release())
                    end)
                    local expected = {}
                    for id = 1, CROWD do
                        expected[id] = id
                    end
                    assert.same(expected, order)
                    assert.is_true(longest <= 1) -- whoever follows in one write stands in none
                    assert.equal(0, queue_length "job")
                    assert.equal(0, list:count "job")
                end)
            end

            take_turns_on(1)
            take_turns_on(3)

            it("take turns with those of another process, who came in between", function()
                local mine, other = one:client(), one:client()
                local order = {}
                loop.run(function()
                    local first = assert(mine:acquire("job", { ttl = ALONE }))
                    local function stand(client, id)
                        loop.spawn(function()
                            local lock = assert(client:acquire("job", { wait = ALONE }))
                            order[#order + 1] = id
                            assert(lock:release())
                        end)
                    end
                    stand(mine, 1)
                    assert(loop.wait_until(function() return queue_length "job" == 1 end))
                    stand(other, 2)
                    assert(loop.wait_until(function() return queue_length "job" == 2 end))
                    assert(first:release())
                end)
                assert.same({ 1, 2 }, order)
            end)

            it("do not keep out another process, though they come again and again", function()
                local mine, other = three:client(), three:client()
                local fence, last, turns = nil, 0, 0
                local function come_again()
                    while not fence do
                        local lock = assert(mine:acquire("job", { wait = ALONE }))
                        assert.is_true(lock.fence > last)
                        last, turns = lock.fence, turns + 1
                        assert(lock:release())
                    end
                end
                loop.run(function()
                    for _ = 1, 8 do
                        loop.spawn(come_again)
                    end
                    assert(loop.wait_until(function() return turns > 8 end))
                    local lock = assert(other:acquire("job", { wait = ALONE }))
                    fence = lock.fence
                    assert.is_true(fence > last)
                    assert(lock:release())
                end)
                assert.equal(0, queue_length "job")
                assert.equal(0, three:count "job")
            end)

            it("end in time where the wait is over, and leave the queue to the others", function()
                local client = one:client()
                local seen = {}
                loop.run(function()
                    local lock = assert(client:acquire("job", { ttl = ALONE }))
                    for id, waiting in ipairs { 0.2, ALONE, 0, math.huge, 0.1 } do
                        loop.spawn(function()
                            local mine, _, code = client:acquire("job", { wait = waiting })
                            seen[id] = mine and "had" or code
                            if mine then
                                assert(mine:release())
                            end
                        end)
                    end
                    assert(loop.wait_until(function() return seen[1] and seen[3] and seen[5] end))
                    assert.same({ [1] = "timeout", [3] = "locked", [5] = "timeout" }, seen)
                    assert(lock:release())
                end)
                assert.same({ "timeout", "had", "locked", "had", "timeout" }, seen)
            end)

            it("wait for different locks at the same time", function()
                local COUNT = 50
                local client = one:client()
                local left = COUNT
                loop.run(function()
                    local held = {}
                    for index = 1, COUNT do
                        held[index] = assert(client:acquire("job:" .. index, { ttl = ALONE }))
                        loop.spawn(function()
                            assert(client:acquire("job:" .. index, { wait = ALONE }))
                            left = left - 1
                        end)
                    end
                    for index = COUNT, 1, -1 do
                        assert(held[index]:release())
                    end
                    assert(loop.wait_until(function() return left == 0 end))
                    client:close()
                end)
                assert.equal("0", nodes[1]:cli("EVAL", COUNT_JOBS, 0))
            end)
        end)

        it("1000 locks are held at once, over two connections to each node", function()
            local COUNT = 1000
            local client = three:client { client_name = "many" }
            hold_elsewhere "elsewhere"
            local function connections(index)
                local list = three:ask(index, "CLIENT", "LIST")
                return select(2, list:gsub(" name=many[@ ]", ""))
            end
            loop.run(function()
                local locks, had = {}, 0
                for index = 1, COUNT do
                    loop.spawn(function()
                        locks[index] = assert(client:acquire("job:" .. index, { ttl = ALONE }))
                        had = had + 1
                    end)
                end
                loop.spawn(function() client:acquire("elsewhere", { wait = ALONE }) end)
                assert(loop.wait_until(function() return had == COUNT end, ALONE))
                for index, lock in ipairs(locks) do
                    assert.is_true(lock:held())
                    if index % 100 == 0 then
                        assert.is_true(three:count("job:" .. index, lock.token) >= 2)
                    end
                end
                assert(loop.wait_until(function() return connections(1) == 2 end))
                for index = 1, 3 do
                    assert.is_true(connections(index) <= 2)
                end
                client:close()
            end)
            for index = 1, 3 do
                assert.equal("0", three[index]:cli("EVAL", COUNT_JOBS, 0))
            end
        end)

        describe("the loop ends", function()
            it("though the client is open, and a lock held and renewed", function()
                local client = three:client()
                local lock = loop.run(function()
                    return assert(client:acquire("job", { ttl = SAFE }))
                end)
                assert.is_true(three:is_renewed(1, "job"))
                assert.is_true(lock:held())
                assert(lock:release())
            end)

            it("with the release of a lock that is watched, and not before", function()
                local client = three:client()
                local released = false
                local lock
                loop.run(function()
                    lock = assert(client:acquire("job", { ttl = ALONE }))
                    assert.is_true(lock:on_lost(error))
                    loop.spawn(function()
                        loop.sleep(0.1)
                        released = lock:release()
                    end)
                end)
                assert.is_true(released)
            end)

            it("when a lock that is watched is lost, and not before", function()
                local client = three:client()
                local why
                loop.run(function()
                    local lock = quorum.insist(client, "job", { ttl = 0.3, renew = false })
                    lock:on_lost(function(_, message) why = message end)
                end)
                assert.equal('lost: "job" ran out of its lease', why)
            end)

            it("when a call has failed at once", function()
                local client = three:client()
                client:close()
                local code = loop.run(function() return code_of(client:acquire "job") end)
                assert.equal("closed", code)
            end)
        end)

        describe("when nodes fail,", function()
            it("a minority that hangs keeps nobody waiting", function()
                local client = nodes:client()
                nodes[2]:pause()
                nodes[4]:pause()
                loop.run(function()
                    for _ = 1, 20 do
                        local lock = assert(client:acquire "job")
                        assert(lock:extend(40))
                        assert(lock:release())
                    end
                end)
            end)

            it("each is named with its reason", function()
                local client = three:client { timeout = 2 }
                three[1]:kill()
                three[2]:pause()
                loop.run(function()
                    local _, message, code, votes = client:acquire("job", { wait = 20 })
                    assert.equal("unavailable", code)
                    assert.matches('"job": 1 of 3 nodes answered, 2 needed: ', message)
                    assert.matches("refused", votes[1].text)
                    assert.is_false(votes[2].answered)
                    assert.equal("granted", votes[3].vote)
                end)
                three:revive()
                assert.is_true(three:comes_to(0, "job"))
            end)

            it("other clients of the loop go on", function()
                local hung = nodes:first(2):client()
                local living = quorum.of({ nodes[3], nodes[4], nodes[5] }):client()
                nodes[1]:pause()
                nodes[2]:pause()
                local turns = 0
                loop.run(function()
                    local lock = assert(beside(function()
                        assert(living:acquire "job"):release()
                        turns = turns + 1
                        if turns == 5 then
                            nodes:revive()
                        end
                    end, function() return hung:acquire("job", { wait = 20 }) end))
                    assert(lock:release())
                end)
                assert.is_true(turns >= 5)
            end)

            it("all that wait are told when no node is left, and the client recovers", function()
                local client = three:client { timeout = 0.3 }
                for _, server in ipairs(three) do
                    server:kill()
                end
                loop.run(function()
                    local codes = {}
                    for index = 1, 20 do
                        loop.spawn(function()
                            codes[index] = code_of(client:acquire("job", { wait = 20 }))
                        end)
                    end
                    assert(loop.wait_until(function() return #codes == 20 end))
                    for _, code in ipairs(codes) do
                        assert.equal("unavailable", code)
                    end
                    three:revive()
                    assert(loop.wait_until(function()
                        local lock = client:try "job"
                        return lock and lock:release()
                    end))
                end)
            end)

            it("who waits waits on while they restart, and has the lock afterwards", function()
                local client = three:client { timeout = 0.3 } -- less than they are away for
                local had = 0
                hold_elsewhere "job"
                loop.run(function()
                    for _ = 1, 10 do
                        loop.spawn(function()
                            local lock = assert(client:acquire("job", { wait = math.huge }))
                            had = had + 1
                            lock:release() -- which is not heard in time where the machine stands still
                        end)
                    end
                    assert(loop.wait_until(function() return queue_length "job" == 1 end))
                    for _, server in ipairs(three) do
                        server:kill()
                    end
                    loop.sleep(0.5)
                    three:revive()
                    assert(loop.wait_until(function() return had == 10 end, ALONE))
                end)
            end)
        end)

        describe("a client that is closed while others wait", function()
            local function closes(where, close)
                it(where .. " tells them, and leaves nothing on the nodes", function()
                    local client, other = three:client(), three:client()
                    local codes, lock, anothers = {}, nil, nil
                    loop.run(function()
                        lock = three:everywhere(client, "held", { ttl = ALONE })
                        anothers = three:everywhere(other, "job", { ttl = ALONE })
                        for index, key in ipairs { "held", "job", "job", "held" } do
                            loop.spawn(function()
                                codes[index] = code_of(client:acquire(key, { wait = ALONE }))
                            end)
                        end
                        assert(loop.wait_until(function()
                            return queue_length "held" == 1 and queue_length "job" == 1
                        end))
                        close(client)
                        assert(loop.wait_until(function() return #codes == 4 end))
                        assert.same({ "closed", "closed", "closed", "closed" }, codes)
                        assert.is_false(lock:held())
                    end)
                    assert.is_true(three:comes_to(0, "held"))
                    assert.equal(3, three:count("job", anothers.token))
                    assert.equal(0, queue_length "held")
                    assert.equal(0, queue_length "job")
                end)
            end

            closes("by a coroutine", function(client) client:close() end)

            closes("by who is in no coroutine", function(client)
                loop.outside(function() client:close() end)
            end)

            closes("by two coroutines", function(client)
                loop.spawn(function() client:close() end)
                client:close()
            end)
        end)

        it("a client that is closed at once leaves nothing of what it has just acquired", function()
            loop.run(function()
                for turn = 1, 40 do
                    local client = three:client()
                    assert(client:acquire "warm"):release()
                    for index = 1, 3 do
                        assert(client:acquire(("job:%d:%d"):format(turn, index), { ttl = ALONE }))
                    end
                    client:close()
                end
            end)
            for index = 1, 3 do
                assert.equal("0", three[index]:cli("EVAL", COUNT_JOBS, 0))
            end
        end)

        it("a grant that nobody has heard of when the client is closed is given back", function()
            local client = three:client()
            local asks, results
            loop.run(function()
                assert(client:acquire "warm"):release()
                loop.spawn(function()
                    asks = true
                    results = { client:acquire("job", { ttl = ALONE }) }
                end)
                while not asks do
                    loop.sleep(0)
                end
                -- The loop stands still meanwhile.
                assert.is_true(wait.wait_until(function() return three:count "job" >= 2 end))
                client:close()
            end)
            assert.is_true(three:comes_to(0, "job"))
            assert.is_true(results[3] == "closed" or not results[1]:held())
        end)

        it("a grant is given back by a close that blocks, also while a node is down", function()
            local client, other = three:client { timeout = 3 }, three:client()
            local held = assert(other:acquire("job", { ttl = ALONE }))
            local results
            loop.run(function()
                loop.spawn(function()
                    results = { client:acquire("job", { wait = ALONE, ttl = ALONE }) }
                end)
                assert(loop.wait_until(function() return waiter.stand(1, three, "job", 0) end))
                loop.outside(function()
                    three[3]:kill() -- which is to be told that nobody waits there any more
                    assert(held:release())
                    assert.is_true(three:comes_to(2, "job"))
                    client:close()
                end)
            end)
            assert.is_true(three:comes_to(0, "job"))
            assert.equal("closed", results[3])
        end)

        it("clients of different nodes wait at the same time", function()
            local clients, had = {}, 0
            for index = 1, 5 do
                clients[index] = quorum.of({ nodes[index] }):client()
            end
            hold_elsewhere "job"
            loop.run(function()
                for _, client in ipairs(clients) do
                    loop.spawn(function()
                        local lock = assert(client:acquire("job", { wait = ALONE }))
                        had = had + 1
                        assert(lock:release())
                    end)
                end
                for index = 5, 1, -1 do
                    nodes:ask(index, "DEL", "job")
                end
                assert(loop.wait_until(function() return had == 5 end))
            end)
        end)

        describe("on_lost", function()
            -- Acquires, watches, does what loses the lock, and returns what the function was given.
            local function told(client, terms, lose)
                local calls = {}
                local lock
                loop.run(function()
                    lock = quorum.insist(client, "job", terms)
                    assert.is_true(lock:on_lost(function(...)
                        calls[#calls + 1] = { n = select("#", ...), ... }
                    end))
                    lose(lock)
                end)
                assert.equal(1, #calls)
                assert.equal(2, calls[1].n)
                assert.equal(lock, calls[1][1])
                assert.is_false(lock:held())
                return calls[1][2], lock
            end

            it("is called once when the lock is deleted on the nodes", function()
                assert.equal('lost: "job" is gone from the nodes',
                    told(three:client(), { ttl = SAFE }, function()
                        three:ask_all("DEL", "job")
                    end))
            end)

            it("is called once when another has taken it", function()
                assert.equal('lost: "job" was taken by another',
                    told(three:client(), { ttl = SAFE }, function()
                        hold_elsewhere "job"
                    end))
            end)

            it("is called once when its lease has run out, be it by max_hold", function()
                local why = 'lost: "job" ran out of its lease'
                local client = three:client()
                assert.equal(why, (told(client, { ttl = 0.3, renew = false }, function() end)))
                assert.is_true(three:comes_to(0, "job"))
                assert.equal(why, (told(client, { ttl = 0.6, max_hold = 0.3 }, function() end)))
            end)

            it("is called once when all nodes are gone", function()
                assert.equal('lost: "job" ran out of its lease',
                    told(three:client { timeout = 2 }, { ttl = 0.6 }, function()
                        for _, server in ipairs(three) do
                            server:kill()
                        end
                    end))
            end)

            it("is called once when extend finds it lost", function()
                assert.equal('lost: "job" is gone from the nodes',
                    told(three:client(), { ttl = ALONE }, function(lock)
                        three:ask_all("DEL", "job")
                        assert.equal("lost", code_of(lock:extend(5)))
                    end))
            end)

            it("may use the lock and the client, as any coroutine", function()
                local client = three:client()
                local again
                told(client, { ttl = 0.6 }, function(lock)
                    loop.spawn(function()
                        three:ask_all("DEL", "job")
                        assert(loop.wait_until(function() return not lock:held() end))
                        again = lock:acquire { ttl = ALONE }
                        assert(again)
                        assert(again:release())
                    end)
                end)
                assert.is_truthy(again)
            end)

            it("is called also if the lock is acquired again before the loop has turned", function()
                local client = three:client()
                local calls = 0
                loop.run(function()
                    local lock = quorum.insist(client, "job", { ttl = 0.3 })
                    lock:on_lost(function() calls = calls + 1 end)
                    three:ask_all("DEL", "job")
                    assert(wait.wait_until(function() return not lock:held() end))
                    assert(lock:acquire { ttl = ALONE })
                    assert(lock:release())
                    assert(loop.wait_until(function() return calls > 0 end))
                end)
                assert.equal(1, calls)
            end)

            it("is not called for a lock that is released", function()
                local client = three:client()
                loop.run(function()
                    for _ = 1, 20 do
                        local lock = assert(client:acquire "job")
                        assert.is_true(lock:on_lost(error))
                        assert(lock:release())
                    end
                    assert(client:with("job", function(lock)
                        assert.is_true(lock:on_lost(error))
                    end))
                end)
            end)

            it("is not called for a lock that its client's end releases", function()
                local client = three:client()
                loop.run(function()
                    local lock = assert(client:acquire "job")
                    assert.is_true(lock:on_lost(error))
                    client:close()
                end)
                assert.equal(0, three:count "job")
            end)

            it("is called for a lock that was lost before", function()
                local client = three:client()
                local why
                loop.run(function()
                    local lock = quorum.insist(client, "job", { ttl = 0.05, renew = false })
                    assert(loop.wait_until(function() return not lock:held() end))
                    lock:on_lost(function(_, message) why = message end)
                end)
                assert.equal('lost: "job" ran out of its lease', why)
            end)

            it("is not called for a lock that was released before", function()
                local client = three:client()
                loop.run(function()
                    local lock = assert(client:acquire "job")
                    assert(lock:release())
                    lock:on_lost(error)
                end)
            end)

            it("listens once for each time that a lock is acquired", function()
                local client = three:client()
                local calls = 0
                local function count() calls = calls + 1 end
                loop.run(function()
                    local lock = client:lock("job", { ttl = ALONE })
                    assert.is_false(lock:on_lost(count))
                    assert(lock:acquire())
                    assert.is_true(lock:on_lost(error))
                    assert.is_false(lock:on_lost(count))
                    assert(lock:release())
                    assert(lock:acquire())
                    assert.is_true(lock:on_lost(count))
                    three:ask_all("DEL", "job")
                    assert.equal("lost", code_of(lock:extend(5)))
                end)
                assert.equal(1, calls)
            end)

            it("tells of many locks at once", function()
                local client = one:client()
                local told_of = {}
                loop.run(function()
                    for index = 1, 100 do
                        local lock = assert(client:acquire("job:" .. index, { ttl = 1 }))
                        lock:on_lost(function(lost) told_of[#told_of + 1] = lost.name end)
                    end
                    one:ask_all "FLUSHALL"
                end)
                table.sort(told_of)
                assert.equal(100, #told_of)
                for index = 2, 100 do
                    assert.not_equal(told_of[index - 1], told_of[index])
                end
            end)
        end)

        describe("a lock of the loop's", function()
            it("is extended and released outside of it", function()
                local client = three:client()
                local lock = loop.run(function() return three:everywhere(client, "job") end)
                assert(lock:extend(50))
                assert.is_true(lock:remaining() > 40)
                assert(lock:release())
                assert.is_true(three:comes_to(0, "job"))
                assert(lock:release())
            end)

            it("is awaited outside of it", function()
                local client, other = three:client(), three:client()
                local lock = loop.run(function()
                    return quorum.insist(client, "job", { ttl = 0.5, renew = false })
                end)
                assert(other:acquire("job", { wait = 20 })):release()
                assert.is_false(lock:held())
            end)

            it("may have been acquired outside of it", function()
                local client = three:client()
                local lock = assert(client:acquire("job", { ttl = SAFE }))
                loop.run(function()
                    assert.is_true(lock:on_lost(error))
                    assert(lock:extend(20))
                    assert.is_true(lock:remaining() > 10)
                    assert(lock:release())
                    assert.is_false(lock:held())
                end)
                assert.is_true(three:comes_to(0, "job"))
            end)

            it("is released when it is garbage", function()
                local client = three:client()
                loop.run(function()
                    assert(client:acquire("job", { ttl = ALONE }))
                    loop.sleep(0)
                    assert(loop.wait_until(function()
                        collect_all()
                        return three:count "job" == 0
                    end))
                end)
            end)

            it("is released when its client is garbage too", function()
                loop.run(function()
                    assert(redlock.new { nodes = three:urls(), timeout = 10 }:acquire "job")
                    loop.sleep(0)
                    assert(loop.wait_until(function()
                        collect_all()
                        return three:count "job" == 0
                    end))
                end)
            end)
        end)
    end)
end
