-- The watchdog: it renews what is held whatever the program does, stops when it has to, and tells of losses.

local build = require "support.build"
local calls = require "support.calls"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local socket = require "socket"
local wait = require "support.wait"

-- The thread sanitizer has a thread of its own in every process.
local count_threads = build.has "thread" and pending or it

-- Seconds: a lease that is renewed after one of them, and so outlives a machine that stands still
-- for a while.
local SAFE = 3

local nodes, one, client

-- How often leases have been extended on a node since its counters were reset.
local function renewals(server)
    return calls.count(server or nodes[1]).pexpire
end

local function await_renewals(count, server)
    assert.is_truthy(wait.wait_until(function() return renewals(server) >= count end))
end

local function await_loss(lock)
    assert.is_truthy(wait.wait_until(function() return not lock:held() end))
end

local function says_lost(reason, lock)
    local released, message, code = lock:release()
    assert.is_nil(released)
    assert.equal("lost", code)
    assert.matches(reason, message)
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
    for _, server in ipairs(nodes) do
        calls.reset(server)
    end
end)

after_each(function()
    process.stop_all()
    quorum.close_clients()
    assert.is_nil(nodes:key_for_ever())
    nodes:reset()
end)

describe("the watchdog", function()
    local LONGER = SAFE + 0.3

    local function keeps_through(what, block)
        it("keeps locks on one node and on five through " .. what, function()
            local single = assert(client:acquire("single", { ttl = SAFE }))
            local wide = assert(nodes:client():acquire("wide", { ttl = SAFE }))
            block()
            assert.is_true(single:held())
            assert.is_true(wide:held())
            assert.equal(single.token, one:ask(1, "GET", "single"))
            assert.is_true(nodes:count("wide", wide.token) >= 3)
            assert(single:release())
            assert(wide:release())
        end)
    end

    keeps_through("a loop that only computes", function()
        local finish, sum = wait.now() + LONGER, 0
        while wait.now() < finish do
            for number = 1, 1e5 do
                sum = sum + number
            end
        end
    end)

    keeps_through("another program that it waits for", function()
        os.execute("sleep " .. LONGER)
    end)

    keeps_through("a call into C that blocks", function()
        socket.select(nil, nil, LONGER)
    end)

    it("renews many locks in few requests, and none that was released at once", function()
        local COUNT = 300
        local locks = {}
        for index = 1, COUNT do
            locks[index] = assert(client:acquire("job:" .. index, { ttl = 5 }))
            assert(client:acquire("short", { ttl = 5 })):release()
        end
        calls.reset(nodes[1])
        await_renewals(2 * COUNT)
        local counts = calls.count(nodes[1])
        assert.is_true(counts.evalsha <= counts.pexpire / 10, counts.evalsha)
        assert.equal(counts.pexpire, counts.get)
        for _, lock in ipairs(locks) do
            assert.is_true(lock:held())
        end
    end)

    it("never shortens the lease that the owner asked for", function()
        local lock = assert(client:acquire("job", { ttl = SAFE }))
        assert(lock:extend(90))
        calls.reset(nodes[1])
        assert.is_truthy(wait.wait_until(function() return calls.count(nodes[1]).evalsha >= 2 end))
        assert.is_true(lock:remaining() > 30)
        assert.is_true(one:ask(1, "PTTL", "job") > 30000)
        assert(lock:release())
    end)

    -- The watchdog sleeps until the other's renewal, and first sees the lock with its longer lease.
    it("holds to a longer lease while the node hangs, extended before it knew the lock", function()
        local other = assert(client:acquire("other", { ttl = SAFE }))
        await_renewals(1)
        local lock = assert(client:acquire("job", { ttl = SAFE }))
        assert(lock:extend(60))
        nodes[1]:pause()
        await_loss(other)
        wait.sleep(0.5)
        assert.is_true(lock:held())
        nodes[1]:resume()
        assert(lock:release())
    end)

    it("holds to a longer lease while the node hangs, extended later", function()
        local lock = assert(client:acquire("job", { ttl = SAFE }))
        await_renewals(1)
        assert(lock:extend(60))
        nodes[1]:pause()
        wait.sleep(LONGER)
        assert.is_true(lock:held())
        nodes[1]:resume()
        assert(lock:release())
    end)

    count_threads("runs only when there is something to renew", function()
        local code = ([[
            local client = require "redlock".new(%q, { timeout = 10 })
            local function count_threads()
                local pipe = io.popen("ls /proc/$PPID/task")
                local _, count = pipe:read("*a"):gsub("%%d+", "")
                pipe:close()
                return count
            end
            local lock = assert(client:acquire("job", { renew = false }))
            print(count_threads())
            assert(lock:release())
            lock = assert(client:acquire "job")
            print(count_threads())
            client:close()
            print(count_threads())
        ]]):format(nodes[1].url)
        assert.same({ "1", "2", "1" }, (process.run(code)))
    end)
end)

describe("renewal ends", function()
    -- A lock that is still renewed is the sign that the watchdog has had its turns: several, where
    -- a lease is shorter.
    local witness

    before_each(function()
        witness = assert(client:acquire("witness", { ttl = SAFE }))
    end)

    after_each(function()
        assert(witness:release())
    end)

    it("with the release", function()
        local lock = assert(client:acquire("job", { ttl = 0.6 }))
        assert(lock:release())
        one:ask(1, "SET", "job", lock.token, "PX", 450) -- as it would be renewed
        assert.is_true(one:comes_to(0, "job"))
        calls.reset(nodes[1])
        await_renewals(1)
        assert.is_nil(one:ask(1, "GET", "job"))
    end)

    it("at max_hold, and the lease runs out", function()
        local began = wait.now()
        local lock = assert(client:acquire("job", { ttl = SAFE, max_hold = SAFE + 0.3 }))
        await_loss(lock)
        local lasted = wait.now() - began
        assert.is_true(lasted >= SAFE + 0.3, lasted)
        assert.is_true(one:comes_to(0, "job"))
        says_lost("ran out", lock)
    end)

    it("with the process", function()
        local child = process.start(([[
            local client = require "redlock".new(%q, { timeout = 10 })
            local lock = assert(client:acquire("job", { ttl = %d }))
            print "acquired"
            io.read()
        ]]):format(nodes[1].url, SAFE))
        assert(child:wait_line("acquired"))
        local token = one:ask(1, "GET", "job")
        wait.sleep(SAFE + 0.2)
        assert.equal(token, one:ask(1, "GET", "job"))
        child:signal("KILL")
        assert.is_true(one:comes_to(0, "job"))
    end)

    it("before it began, with renew = false", function()
        local lock = assert(client:acquire("job", { ttl = 0.6, renew = false }))
        await_loss(lock)
        assert.is_true(one:comes_to(0, "job"))
        says_lost("ran out", lock)
    end)

    it("with the client", function()
        local other = one:client()
        local lock = assert(other:acquire("job", { ttl = 0.6 }))
        other:close()
        assert.is_false(lock:held())
        assert.is_nil(one:ask(1, "GET", "job"))
    end)
end)

-- Leases are long enough for a loss to be seen well before they would run out.
describe("a loss is noticed", function()
    it("when the key was deleted, which is not created again", function()
        local lock = assert(client:acquire("job", { ttl = SAFE }))
        one:ask(1, "DEL", "job")
        await_loss(lock)
        assert.equal(0, lock:remaining())
        assert.is_nil(one:ask(1, "GET", "job"))
        says_lost("is gone", lock)
    end)

    it("when another has taken the lock, who keeps it", function()
        local lock = assert(client:acquire("job", { ttl = SAFE }))
        one:ask(1, "SET", "job", "another", "PX", 60000)
        await_loss(lock)
        says_lost("taken by another", lock)
        assert.equal("another", one:ask(1, "GET", "job"))
        assert.is_true(one:ask(1, "PTTL", "job") > 30000)
    end)

    it("when another kind of lock stands in its place", function()
        local lock = assert(client:acquire("job", { ttl = SAFE }))
        one:ask(1, "EVAL", [[
            redis.call('DEL', KEYS[1])
            redis.call('HSET', KEYS[1], 'owner', 1)
            redis.call('PEXPIRE', KEYS[1], 60000)
        ]], 1, "job")
        await_loss(lock)
        says_lost("taken by another", lock)
        assert.equal(1, one:ask(1, "HLEN", "job"))
    end)

    it("when it was lost on three of five nodes, but not for two", function()
        local wide = nodes:client({ restart_guard = false })
        local lock = nodes:everywhere(wide, "job", { ttl = SAFE })
        for index = 1, 2 do
            nodes:ask(index, "DEL", "job")
            calls.reset(nodes[index])
        end
        for index = 3, 5 do
            calls.reset(nodes[index])
            await_renewals(1, nodes[index])
        end
        assert.is_true(lock:held())
        assert.equal(3, nodes:count("job"))
        nodes:ask(3, "DEL", "job")
        await_loss(lock)
        says_lost("is gone", lock)
    end)

    it("when the quorum is gone, by the end of the lease", function()
        local wide = nodes:client({ timeout = 2, restart_guard = false })
        local lock = assert(wide:acquire("job", { ttl = 1 }))
        for index = 1, 3 do
            nodes[index]:kill()
        end
        await_loss(lock)
        says_lost("ran out", lock)
        for index = 1, 3 do
            nodes[index]:restart()
        end
        assert.is_true(nodes:comes_to(0, "job"))
    end)

    it("when the node hung for longer than the lease", function()
        local impatient = one:client({ timeout = 2 })
        local lock = assert(impatient:acquire("job", { ttl = 0.6 }))
        nodes[1]:pause()
        await_loss(lock)
        nodes[1]:resume()
        local next_owner = assert(client:acquire("job", { wait = 5 }))
        assert.is_true(next_owner.fence > lock.fence)
        says_lost("ran out", lock)
        assert.is_true(next_owner:held())
        assert.equal(next_owner.token, one:ask(1, "GET", "job"))
    end)

    it("for each of many locks at once, while their owner releases them", function()
        local COUNT = 300
        local locks = {}
        for index = 1, COUNT do
            locks[index] = assert(client:acquire("job:" .. index, { ttl = 5 }))
        end
        one:ask(1, "FLUSHALL")
        await_loss(locks[1])
        for _, lock in ipairs(locks) do
            says_lost("is gone", lock)
        end
        local witness = assert(client:acquire("witness", { ttl = SAFE }))
        calls.reset(nodes[1])
        await_renewals(2)
        assert.is_true(witness:held())
        local counts = calls.count(nodes[1])
        assert.equal(counts.pexpire, counts.get) -- nothing else is looked at
        assert(witness:release())
    end)
end)

describe("a held lock outlives", function()
    local function outlives(what, ttl, disturb)
        it(what, function()
            local lock = assert(client:acquire("job", { ttl = ttl }))
            disturb()
            calls.reset(nodes[1])
            await_renewals(1)
            assert.is_true(lock:held())
            assert.equal(lock.token, one:ask(1, "GET", "job"))
            assert(lock:release())
        end)
    end

    outlives("killed connections", SAFE, function()
        nodes[1]:cli("CLIENT", "KILL", "TYPE", "normal")
    end)

    outlives("a restart of its node, which kept its data", 2 * SAFE, function()
        nodes[1]:restart { keep_data = true }
    end)

    outlives("forgotten scripts", SAFE, function()
        nodes[1]:cli("SCRIPT", "FLUSH")
    end)

    it("two of five nodes, one restarted empty and one that hangs", function()
        local wide = nodes:client({ timeout = 2, restart_guard = false })
        local lock = nodes:everywhere(wide, "job", { ttl = SAFE })
        nodes[4]:restart()
        nodes[5]:pause()
        for index = 1, 3 do
            calls.reset(nodes[index])
        end
        for index = 1, 3 do
            await_renewals(3, nodes[index])
        end
        assert.is_true(lock:held())
        assert.is_nil(nodes:ask(4, "GET", "job"))
        assert(lock:release())
    end)
end)

describe("a process with a watchdog", function()
    -- What Linux says of the signals that each thread blocks, the main thread first.
    local function blocked_signals(pid)
        local pipe = io.popen(("grep -h SigBlk /proc/%d/task/*/status"):format(pid))
        local list = {}
        for line in pipe:lines() do
            list[#list + 1] = line:match("%x+$")
        end
        pipe:close()
        return list
    end

    local function start_holder()
        local child = process.start(([[
            local client = require "redlock".new(%q, { timeout = 10 })
            local lock = assert(client:acquire("job", { ttl = 0.6 }))
            print "acquired"
            local sleep = require("socket").sleep
            while true do sleep(0.05) end
        ]]):format(nodes[1].url))
        assert(child:wait_line("acquired"))
        return child
    end

    count_threads("takes no signal in the watchdog's thread", function()
        local child = start_holder()
        local list = blocked_signals(child.pid)
        assert.equal(2, #list)
        assert.equal("0000000000000000", list[1])
        local ALL_BUT_KILL_AND_STOP = 0x7ffbfeff -- of the 31 that are not the C library's own
        assert.equal(ALL_BUT_KILL_AND_STOP, tonumber(list[2]:sub(9), 16) % 2 ^ 31)
        child:signal("KILL")
    end)

    -- Lua itself turns the last into an error.
    for _, signal in ipairs { { "TERM", 128 + 15 }, { "USR1", 128 + 10 }, { "INT", 1 } } do
        it("ends on SIG" .. signal[1] .. " as one without", function()
            local child = start_holder()
            child:signal(signal[1])
            assert.equal(signal[2], child:wait())
        end)
    end
end)
