-- Locks over one to five nodes: what a majority decides, and what a minority cannot spoil.

local fault = require "support.fault"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local LONG = 20 -- seconds: a timeout that no test may come to
local SHORT = 1.5 -- seconds: a timeout that a test waits for

local all

setup(function()
    all = quorum.start(5)
end)

teardown(function()
    fault.stop_all()
    process.stop_all()
    servers.stop_all()
end)

after_each(function()
    all:revive()
    quorum.close_clients()
    assert.is_nil(all:key_for_ever())
    all:reset()
end)

local function seconds_of(action)
    local before = wait.now()
    action()
    return wait.now() - before
end

local function connected_client(nodes, options)
    local client = nodes:client(options)
    assert(assert(client:try "warm"):release())
    return client
end

local function acquire_everywhere(nodes, options)
    return nodes:everywhere(nodes:client(), "job", options)
end

for count = 1, 5 do
    local majority = math.floor(count / 2) + 1
    local spare = count - majority -- nodes that a lock can do without

    describe(("a quorum of %d"):format(count), function()
        local nodes

        before_each(function()
            nodes = all:first(count)
        end)

        it("holds most clients' first locks on every node", function()
            local tries, most = 0, 0
            local function count_complete()
                local complete = 0
                for _ = 1, 10 do
                    tries = tries + 1
                    nodes:ask_all("SCRIPT", "FLUSH")
                    local name = "job " .. tries
                    local lock = assert(nodes:client():try(name))
                    if nodes:comes_to(count, name, 0.1) then
                        complete = complete + 1
                        assert.equal(count, nodes:count(name, lock.token))
                    end
                end
                most = math.max(most, complete)
                return complete
            end
            assert.is_true(wait.wait_until(function() return count_complete() >= 7 end), most)
        end)

        it("excludes another client", function()
            local lock = assert(nodes:client():try "job")
            local other, message, code, votes = nodes:client():try "job"
            assert.is_nil(other)
            assert.equal("locked", code)
            assert.matches('^locked: "job" is held by another: ', message)
            assert.equal(count, #votes)
            assert.equal(nodes:count "job", nodes:count("job", lock.token))
        end)

        it("is free after a release, for a higher fence", function()
            local lock = assert(nodes:client():try "job")
            assert.is_true(lock:release())
            assert.is_true(nodes:comes_to(0, "job"))
            local other = assert(nodes:client():try "job")
            assert.is_true(other.fence > lock.fence)
        end)

        it("passes on what has expired", function()
            local lock = quorum.insist(nodes:client(), "job", { ttl = 0.2, renew = false })
            local other = assert(nodes:client():acquire("job", { wait = 10 }))
            assert.is_false(lock:held())
            assert.equal("lost", select(3, lock:release()))
            assert.is_true(other:extend(60))
            assert.is_true(other.fence > lock.fence)
            assert.is_true(nodes:count("job", other.token) >= majority)
        end)

        it("extends on every node", function()
            local lock = acquire_everywhere(nodes, { ttl = 5, renew = false })
            assert.is_true(lock:extend(100))
            assert.is_true(lock:remaining() > 10)
            for index = 1, count do
                assert.is_true(wait.wait_until(function()
                    return nodes:ask(index, "PTTL", "job") > 10000
                end))
            end
        end)

        it("grants although another holds a minority, and leaves that to it", function()
            for index = 1, spare do
                nodes:ask(index, "SET", "job", "another's", "PX", "60000")
            end
            local lock = assert(nodes:client():try "job")
            assert.equal(majority, nodes:count("job", lock.token))
            assert.is_true(lock:release())
            assert.is_true(nodes:comes_to(spare, "job"))
            assert.equal(spare, nodes:count("job", "another's"))
        end)

        it("refuses when no majority is free, and leaves nothing behind", function()
            for index = 1, spare + 1 do
                nodes:ask(index, "SET", "job", "another's", "PX", "60000")
            end
            assert.equal("locked", select(3, nodes:client():try "job"))
            assert.is_true(nodes:comes_to(spare + 1, "job"))
            assert.equal(spare + 1, nodes:count("job", "another's"))
        end)

        it("keeps a lock that a minority forgot, and does not create it there", function()
            local lock = acquire_everywhere(nodes, { renew = false })
            for index = 1, spare do
                nodes:ask(index, "DEL", "job")
            end
            assert.is_true(lock:extend(60))
            assert.is_true(lock:held())
            assert.equal(majority, nodes:count "job")
            assert.is_true(lock:release())
            assert.is_true(nodes:comes_to(0, "job"))
        end)

        it("loses a lock that one node more forgot", function()
            local lock = assert(nodes:client():acquire("job", { renew = false }))
            for index = 1, spare + 1 do
                nodes:ask(index, "DEL", "job")
            end
            local ok, message, code = lock:extend(60)
            assert.is_nil(ok)
            assert.equal("lost", code)
            assert.equal('lost: "job" is gone from the nodes', message)
            assert.is_false(lock:held())
            assert.equal("lost", select(3, lock:release()))
            assert.is_true(nodes:comes_to(0, "job"))
        end)

        it("tells the holder of a loss that nobody asked about", function()
            local lock = assert(nodes:client():acquire("job", { ttl = 3 }))
            nodes:ask_all("SET", "job", "another's", "PX", "60000")
            assert.is_true(wait.wait_until(function() return not lock:held() end))
            assert.matches("%(taken%)", tostring(lock))
            assert.equal(count, nodes:count("job", "another's"))
        end)

        it("serves with a minority of its nodes dead, and fails with one more", function()
            local client = connected_client(nodes)
            for index = 1, spare do
                nodes[index]:kill()
            end
            local lock = assert(client:try "job")
            assert.equal(majority, nodes:count("job", lock.token))
            assert.is_true(lock:extend(60))
            assert.is_true(lock:release())
            assert.is_true(nodes:comes_to(0, "job"))
            nodes[spare + 1]:kill()
            local none, message, code, votes = client:try "job"
            assert.is_nil(none)
            assert.equal("unavailable", code)
            assert.matches(("%%d of %d nodes answered, %d needed"):format(count, majority), message)
            for index = 1, spare + 1 do
                assert.equal("unreachable", votes[index].vote)
                assert.is_false(votes[index].answered)
            end
            assert.is_true(nodes:comes_to(0, "job"))
        end)

        it("serves at once with a minority of its nodes hung", function()
            local client = connected_client(nodes, { timeout = LONG })
            for index = 1, spare do
                nodes[index]:pause()
            end
            local fence
            assert.is_true(seconds_of(function()
                local lock = assert(client:try "job")
                fence = lock.fence
                assert.is_true(lock:extend(60))
                assert.is_true(lock:release())
            end) < LONG / 2)
            for index = 1, spare do
                nodes[index]:resume()
                assert.is_true(wait.wait_until(function() -- it was asked, and then released
                    local remembered = quorum.ballot(nodes:ask(index, "GET", "{job}:fence"))
                    return remembered == ("%.0f"):format(fence)
                end))
            end
            assert.is_true(nodes:comes_to(0, "job"))
        end)

        it("fails in time with one node more hung, and takes back what that did late", function()
            local client = connected_client(nodes, { timeout = SHORT })
            for index = 1, spare + 1 do
                nodes[index]:pause()
            end
            local lock, code, votes, _
            assert.is_true(seconds_of(function()
                lock, _, code, votes = client:try "job"
            end) < LONG / 2)
            assert.is_nil(lock)
            assert.equal("unavailable", code)
            for index = 1, count do
                assert.equal(index <= spare + 1 and "timed out" or "granted", votes[index].vote)
            end
            assert.is_true(nodes:comes_to(0, "job"))
            for index = 1, spare + 1 do
                nodes[index]:resume()
                assert.is_true(wait.wait_until(function()
                    return nodes:ask(index, "GET", "{job}:fence") ~= nil
                end), "the attempt was applied late")
            end
            assert.is_true(nodes:comes_to(0, "job"))
        end)

        it("keeps a lock although a minority restarts empty", function()
            local lock = acquire_everywhere(nodes, { renew = false })
            for index = 1, spare do
                nodes[index]:restart()
            end
            assert.is_nil((nodes:client():try "job"))
            assert.is_true(nodes:comes_to(majority, "job"))
            assert.is_true(lock:extend(60))
            assert.is_true(lock:release())
            assert.is_true(nodes:comes_to(0, "job"))
        end)

        it("serves again when its nodes have come back", function()
            local client = connected_client(nodes, { timeout = LONG })
            for index = 1, count do
                nodes[index]:kill()
            end
            assert.equal("unavailable", select(3, client:try "job"))
            for index = 1, count do
                nodes[index]:restart()
            end
            local lock
            assert.is_true(wait.wait_until(function()
                lock = client:try "job"
                return lock ~= nil
            end))
            assert.is_true(lock:held())
        end)
    end)
end

describe("a client's first lock", function()
    it("waits a little for a node that is slower", function()
        local proxies = {}
        for index = 1, 3 do
            proxies[index] = fault.proxy(all[index])
            proxies[index]:set { delay_replies = index == 3 and 25 or 10 }
        end
        local tries = 0
        local function count_complete()
            local complete = 0
            for _ = 1, 10 do
                tries = tries + 1
                local lock = assert(quorum.of(proxies):client():try("job " .. tries))
                complete = complete + (all:count(lock.name) == 3 and 1 or 0)
            end
            return complete
        end
        -- Without waiting there would be none.
        assert.is_true(wait.wait_until(function() return count_complete() >= 3 end))
    end)
end)

describe("a quorum with a hung minority", function()
    it("refuses as soon as no majority can be had", function()
        local nodes = all:first(3)
        local holder = assert(nodes:client():try "job")
        nodes[3]:pause()
        local code, votes, _
        assert.is_true(seconds_of(function()
            _, _, code, votes = nodes:client({ timeout = LONG }):try "job"
        end) < LONG / 2)
        assert.equal("locked", code)
        assert.equal("held", votes[1].vote)
        assert.equal("held", votes[2].vote)
        assert.equal("no answer yet", votes[3].vote)
        assert.is_true(holder:held())
    end)

    it("dials a node whose connection was cut, without waiting for the hung one", function()
        local nodes = all:first(3)
        local client = connected_client(nodes, { timeout = LONG })
        nodes[1]:pause()
        nodes[2]:cli("CLIENT", "KILL", "TYPE", "normal")
        assert.is_true(seconds_of(function()
            local lock = assert(client:try "job")
            assert.equal(2, nodes:count("job", lock.token))
            assert(lock:release())
        end) < LONG / 2)
    end)
end)

describe("votes", function()
    it("tell what each node said, in the order of the nodes", function()
        all:ask(1, "SET", "job", "another's", "PX", "60000")
        all[2]:kill()
        all[5]:pause()
        local _, message, code, votes = all:client({ timeout = SHORT }):try "job"
        assert.equal("locked", code)
        local said = {}
        for index, vote in ipairs(votes) do
            assert.equal("127.0.0.1:" .. all[index].port, vote.node)
            said[index] = vote.vote
        end
        assert.same({ "held", "unreachable", "granted", "granted", "timed out" }, said)
        assert.is_true(votes[1].ttl > 0 and votes[1].ttl <= 60)
        assert.equal("Connection refused", votes[2].text)
        local told = {}
        for node, reason in message:gmatch "(127%.0%.0%.1:%d+) ([^;]+)" do
            told[#told + 1] = reason
            assert.equal(votes[#told].node, node)
        end
        assert.matches("^held for [%d.]+ s$", told[1])
        assert.equal("unreachable (Connection refused)", told[2])
        assert.equal("granted", told[3])
        assert.matches("^timed out", told[5])
    end)
end)

describe("a process that dies", function()
    it("leaves nothing beyond the ttl", function()
        local nodes = all:first(3)
        local child = process.start {
            code = [[
                local client = require("redlock").new {
                    nodes = { arg[1], arg[2], arg[3] }, timeout = 10,
                }
                local lock = assert(client:acquire("job", { ttl = 3 }))
                print(lock.token)
                io.read()
            ]],
            args = nodes:urls(),
        }
        local token = assert(child:wait_line("."))
        assert.is_true(nodes:count("job", token) >= 2)
        child:signal("KILL")
        assert.is_true(nodes:comes_to(0, "job"))
    end)
end)

describe("contention", function()
    local CONTENDER = [[
        local quorum = require "support.quorum"
        local urls, ports = {}, {}
        for index, port in ipairs(arg) do
            urls[index], ports[index] = "redis://127.0.0.1:" .. port, tonumber(port)
        end
        local client = quorum.new_client { nodes = urls, timeout = 10, restart_guard = false }
        for _ = 1, 10 do
            local lock = assert(client:acquire("job", { wait = 60 }))
            local witness = { port = ports[1] }
            assert(quorum.ask(witness, "SET", "inside", lock.token, "NX", "PX", 60000) == "OK")
            assert(quorum.ask(witness, "GET", "inside") == lock.token)
            assert(quorum.ask(witness, "DEL", "inside") == 1)
            assert(lock:release())
        end
    ]]

    for count = 1, 5 do
        it(("over %d nodes lets in one process at a time, and each"):format(count), function()
            local ports, list = {}, {}
            for index = 1, count do
                ports[index] = all[index].port
            end
            for index = 1, 3 do
                list[index] = { code = CONTENDER, args = ports }
            end
            for _, child in ipairs(process.start_all(list)) do
                assert.equal(0, child:wait(60), child:errors())
                child:close()
            end
        end)
    end
end)
