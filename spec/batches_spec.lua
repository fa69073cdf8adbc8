-- Many locks at once: what a program wants of a node in the same turn travels as one, and nobody can tell.

local event_loops = require "support.event_loops"
local fault = require "support.fault"
local inbox = require "support.inbox"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local CROWD = 100
local ALONE = 60 -- seconds: a lease that no test outlives
local KEYS = "local k = redis.call('KEYS', ARGV[1]) table.sort(k) return table.concat(k, ' ')"

local nodes, three, loop

local function keys_on(node, pattern)
    return quorum.ask(node, "EVAL", KEYS, 0, pattern)
end

local function calls_of(node, ...)
    local stats, count = node:cli("INFO", "commandstats"), 0
    for _, name in ipairs { ... } do
        count = count + (tonumber(stats:match("cmdstat_" .. name .. ":calls=(%d+)")) or 0)
    end
    return count
end

-- Calls a function in so many coroutines at once, and returns when all are through.
local function each_of_many(act, count)
    local left = count or CROWD
    for index = 1, count or CROWD do
        loop.spawn(function()
            act(index)
            left = left - 1
        end)
    end
    assert(loop.wait_until(function() return left == 0 end, ALONE))
end

-- How often the threads of this process beside its first have fallen asleep.
local function count_sleeps()
    local pipe = io.popen [[cd /proc/$PPID/task && ls | grep -vx $PPID |
        xargs -I {} grep -h ^voluntary {}/status]]
    local count = 0
    for sleeps in pipe:read("*a"):gmatch "%d+" do
        count = count + tonumber(sleeps)
    end
    pipe:close()
    return count
end

setup(function()
    nodes = quorum.start(3)
    three = nodes:first(3)
    loop = event_loops.cqueues()
end)

teardown(function()
    servers.stop_all()
end)

after_each(function()
    fault.stop_all()
    process.stop_all()
    quorum.close_clients()
    inbox.close_all()
    assert.is_nil(nodes:key_for_ever())
    nodes:reset()
end)

describe("many locks", function()
    it("that wait for a connection are asked for in a few calls, and released in a few", function()
        local proxy = fault.proxy(nodes[1], { hold_replies = true })
        local client = quorum.new_client { nodes = { proxy.url }, timeout = ALONE }
        nodes[1]:cli("CONFIG", "RESETSTAT")
        loop.run(function()
            local locks = {}
            loop.spawn(function()
                loop.wait_until(function() return #nodes[1]:cli("CLIENT", "LIST") > 0 end)
                loop.sleep(0.05)
                proxy:set { hold_replies = false }
            end)
            each_of_many(function(index)
                locks[index] = assert(client:acquire("job" .. index, { ttl = ALONE }))
            end)
            assert.equal(2 * CROWD, calls_of(nodes[1], "set"))
            assert.is_true(calls_of(nodes[1], "evalsha", "eval") <= 12)
            for index = 1, CROWD do
                assert.equal(locks[index].token, quorum.ask(nodes[1], "GET", "job" .. index))
                assert.equal(("%.0f"):format(locks[index].fence),
                    quorum.ballot(quorum.ask(nodes[1], "GET", inbox.side("job" .. index, "fence"))))
            end
            each_of_many(function(index) assert.is_true(locks[index]:release()) end)
            assert.equal("", keys_on(nodes[1], "job*"))
        end)
    end)

    it("let the engine sleep while a node takes its time to answer", function()
        local proxy = fault.proxy(nodes[1])
        local client = quorum.new_client { nodes = { proxy.url }, timeout = ALONE }
        loop.run(function()
            assert(client:acquire("job", { ttl = ALONE })):release()
            proxy:set { hold_replies = true }
            local lock
            loop.spawn(function() lock = assert(client:acquire("job", { ttl = ALONE })) end)
            local before = count_sleeps()
            loop.sleep(0.5)
            assert.is_true(count_sleeps() - before < 50)
            proxy:set { hold_replies = false }
            assert(loop.wait_until(function() return lock end, ALONE))
            assert.is_true(lock:release())
        end)
    end)

    it("each have their own answer: had, another's, of another kind, behind a bad fence", function()
        local expected, seen = {}, {}
        for index = 1, CROWD do
            local key, kind = "job" .. index, index % 5
            if kind == 1 then
                three:ask_all("SET", key, "foreign", "PX", 60000)
            elseif kind == 2 then
                three:ask_all("HSET", key, "field", "1")
                three:ask_all("PEXPIRE", key, 60000)
            elseif kind == 3 then
                three:ask_all("SET", inbox.side(key, "fence"), ("9"):rep(30), "PX", 60000)
            elseif kind == 4 then
                three:ask_all("HSET", inbox.side(key, "fence"), "field", "1")
                three:ask_all("PEXPIRE", inbox.side(key, "fence"), 60000)
            end
            expected[index] = ({ [0] = "had", "held for ", "held by another kind of lock",
                "the key of its fence holds no fence", "held by another kind of lock" })[kind]
        end
        local client = three:client()
        loop.run(function()
            each_of_many(function(index)
                local lock, message = client:try("job" .. index)
                local is_expected = message and message:find(expected[index], 1, true)
                seen[index] = lock and "had" or is_expected and expected[index] or message
                assert(not lock or lock:release())
            end)
        end)
        assert.same(expected, seen)
    end)

    it("with two of three nodes dead are given up, and leave nothing on the third", function()
        local client = three:client { timeout = 5 }
        loop.run(function()
            each_of_many(function(index) assert(client:try("job" .. index)):release() end)
            three[2]:kill()
            three[3]:kill()
            for _ = 1, 5 do
                each_of_many(function(index)
                    local lock, _, code = client:acquire("job" .. index, { wait = 0, ttl = ALONE })
                    assert.is_nil(lock)
                    assert.equal("unavailable", code)
                end)
            end
        end)
        assert.is_truthy(wait.wait_until(function() return keys_on(three[1], "job*") == "" end))
    end)

    it("go on when the servers forget the scripts", function()
        local client = three:client()
        loop.run(function()
            for _ = 1, 10 do
                each_of_many(function(index)
                    if index % 25 == 0 then
                        three:ask_all("SCRIPT", "FLUSH")
                    end
                    assert.is_true(assert(client:acquire("job" .. index)):release())
                end)
            end
        end)
        assert.is_truthy(wait.wait_until(function() return keys_on(three[1], "job*") == "" end))
    end)

    it("go on when connections break", function()
        local proxies = {}
        for index = 1, 3 do
            proxies[index] = fault.proxy(nodes[index])
        end
        local client = quorum.of(proxies):client { timeout = 5, ttl = 5 }
        loop.run(function()
            for round = 1, 6 do
                each_of_many(function(index)
                    if index == 50 then
                        proxies[round % 3 + 1]:cut()
                    end
                    local lock = assert(client:acquire("job" .. index, { wait = 10 }))
                    assert.is_true(lock:release())
                end)
            end
        end)
        assert.is_truthy(wait.wait_until(function()
            return keys_on(three[1], "job*") .. keys_on(three[2], "job*") ..
                keys_on(three[3], "job*") == ""
        end))
    end)

    it("that are held elsewhere are waited for, and each is woken", function()
        local holder, client = three:client(), three:client()
        loop.run(function()
            local locks, had = {}, 0
            each_of_many(function(index)
                locks[index] = assert(holder:acquire("job" .. index, { ttl = ALONE }))
            end)
            for index = 1, CROWD do
                loop.spawn(function()
                    local lock = assert(client:acquire("job" .. index, { wait = ALONE }))
                    assert.is_true(lock.fence > locks[index].fence)
                    had = had + 1
                    assert.is_true(lock:release())
                end)
            end
            assert(loop.wait_until(function()
                for node = 1, 3 do
                    local queues = keys_on(three[node], "{job*}:queue")
                    if select(2, queues:gsub("%S+", "")) < CROWD then
                        return false
                    end
                end
                return true
            end, ALONE))
            each_of_many(function(index) assert.is_true(locks[index]:release()) end)
            assert(loop.wait_until(function() return had == CROWD end, ALONE))
        end)
    end)
end)
