-- A Redis that restarted without its data has forgotten what it granted: it does not vote while a
-- majority of the others is older than the guard. The age is what INFO says; a proxy in front of
-- each node says it for most of these tests, and real servers in the last.

local fault = require "support.fault"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local GUARDED = "restarted less than a lease ago"

local nodes, proxies

local function set_uptime(index, seconds)
    local info = ("# Server\r\nredis_version:7.0.0\r\nuptime_in_seconds:%d\r\n"):format(seconds)
    proxies[index]:set { answers = { INFO = ("$%d\r\n%s\r\n"):format(#info, info) } }
end

local function set_uptimes(...)
    for index, seconds in ipairs { ... } do
        set_uptime(index, seconds)
    end
end

-- Of the first `count` nodes.
local function client_of(count, options)
    local settings = { restart_guard = "auto" }
    for name, value in pairs(options or {}) do
        settings[name] = value
    end
    return proxies:first(count):client(settings)
end

setup(function()
    nodes = quorum.start(5)
    local list = {}
    for index, server in ipairs(nodes) do
        list[index] = fault.proxy(server)
    end
    proxies = quorum.of(list)
end)

teardown(function()
    fault.stop_all()
    servers.stop_all()
end)

after_each(function()
    quorum.close_clients()
    for _, proxy in ipairs(proxies) do
        proxy:clear()
    end
    nodes:reset()
end)

describe("a node that restarted", function()
    it("does not vote because another's age was heard of late", function()
        set_uptimes(0, 1000, 1000)
        proxies[1]:set { hold_replies = true }
        local client = client_of(3, { restart_guard = 2.5, timeout = 20 })
        assert(assert(client:try "warm"):release())
        wait.sleep(4.6) -- as old as the guard, and two seconds, until the answer is read
        proxies[1]:set { hold_replies = false }
        -- It is read before the second is known to have restarted: two that did would vote.
        assert.is_true(wait.wait_until(function() return not client:info("warm")[1].error end))
        set_uptime(2, 0)
        proxies[2]:cut { reset = true }
        local lock = client:try "job"
        assert.is_nil(lock)
        assert.is_nil(nodes:ask(2, "GET", "job"))
    end)

    it("does not vote while the others are older", function()
        set_uptimes(1000, 1000, 3)
        local lock = assert(client_of(3):try "job")
        assert.equal(lock.token, nodes:ask(1, "GET", "job"))
        assert.equal(lock.token, nodes:ask(2, "GET", "job"))
        assert.is_nil(nodes:ask(3, "GET", "{job}:fence"))
    end)

    it("does not vote, even when it is the first to answer", function()
        set_uptimes(3, 1000, 1000)
        for index = 2, 3 do
            proxies[index]:set { delay_replies = 30 }
        end
        local lock = assert(client_of(3):try "job")
        assert.equal(lock.token, nodes:ask(2, "GET", "job"))
        assert.equal(lock.token, nodes:ask(3, "GET", "job"))
        assert.is_nil(nodes:ask(1, "GET", "{job}:fence"))
    end)

    it("cannot make the majority of a second owner", function()
        nodes:ask(1, "SET", "job", "the owner's", "PX", 60000)
        set_uptimes(1000, 3, 1000) -- the second forgot; the third never knew
        local lock, message, code, votes = client_of(3, { timeout = 5 }):try "job"
        assert.is_nil(lock)
        assert.equal("locked", code)
        assert.equal(GUARDED, votes[2].vote)
        assert.is_false(votes[2].answered)
        assert.is_truthy(message:find(votes[2].node .. " " .. GUARDED, 1, true))
        assert.is_true(nodes:comes_to(1, "job"))
        assert.is_not_nil((client_of(3, { restart_guard = false }):try "job"), "unguarded, it can")
    end)

    it("votes again once it is old enough", function()
        set_uptimes(1000, 1000, 3)
        local client = client_of(3)
        assert(assert(client:try "job"):release())
        assert.is_nil(nodes:ask(3, "GET", "{job}:fence"))
        set_uptime(3, 40)
        proxies[3]:cut()
        assert.is_true(wait.wait_until(function() -- it is dialed again, but not waited for
            assert(assert(client:try "job"):release())
            return nodes:ask(3, "GET", "{job}:fence") ~= nil
        end))
    end)

    it("is noticed by a client that was connected to it", function()
        set_uptimes(1000, 1000, 1000)
        local client = client_of(3)
        assert(assert(client:try "warm"):release())
        assert.is_true(wait.wait_until(function()
            return nodes:ask(3, "GET", "{warm}:fence") ~= nil
        end))
        set_uptime(3, 0)
        proxies[3]:cut()
        local accepted = proxies[3]:stats().accepted
        local function is_connected_again()
            assert(assert(client:try "job"):release())
            return proxies[3]:stats().accepted > accepted
        end
        assert.is_true(wait.wait_until(is_connected_again))
        for _ = 1, 10 do
            assert.is_true(is_connected_again())
        end
        assert.is_nil(nodes:ask(3, "GET", "{job}:fence"))
    end)

    it("still extends and releases what it holds", function()
        set_uptimes(1000, 1000, 1000)
        local client = client_of(3)
        local lock = nodes:first(3):everywhere(client, "job", { ttl = 30, renew = false })
        set_uptime(3, 0)
        proxies[3]:cut()
        assert.is_true(wait.wait_until(function()
            assert.is_true(lock:extend(100))
            return nodes:ask(3, "PTTL", "job") > 30000
        end))
        assert.is_true(lock:release())
        assert.is_true(nodes:first(3):comes_to(0, "job"))
    end)
end)

describe("nodes that are all young", function()
    for count = 1, 5 do
        it(("vote at once, %d of them"):format(count), function()
            set_uptimes(0, 0, 0, 0, 0)
            local lock = nodes:first(count):everywhere(client_of(count), "job")
            assert.is_true(lock:held())
        end)
    end

    it("vote when no majority of the others is older", function()
        set_uptimes(1000, 0, 0, 0, 0)
        local lock = nodes:everywhere(client_of(5), "job")
        assert.is_true(lock:held())
    end)

    it("do not vote when a majority of the others is older", function()
        set_uptimes(0, 0, 1000, 1000, 1000)
        local lock = assert(client_of(5):try "job")
        assert.equal(3, nodes:count("job", lock.token))
        assert.is_nil(nodes:ask(1, "GET", "{job}:fence"))
        assert.is_nil(nodes:ask(2, "GET", "{job}:fence"))
    end)
end)

describe("a single node", function()
    it("votes however young it is", function()
        set_uptimes(0)
        assert.is_not_nil((client_of(1):try "job"))
    end)
end)

describe("one of two nodes", function()
    it("does not vote after a restart, since the other is all the others", function()
        set_uptimes(1000, 0)
        local _, _, code, votes = client_of(2):try "job"
        assert.equal("unavailable", code)
        assert.equal(GUARDED, votes[2].vote)
        assert.is_true(nodes:comes_to(0, "job"))
    end)
end)

describe("restart_guard", function()
    local function third_votes(expected, options, uptime, terms)
        set_uptimes(1000, 1000, uptime)
        local client = client_of(3, options)
        local lock = assert(client:acquire("job", terms))
        local voted = wait.wait_until(function()
            return nodes:ask(3, "GET", "job") == lock.token
        end, expected and 20 or 0.1)
        assert(lock:release())
        assert.equal(expected, voted == true)
    end

    it('"auto" is the longest lease that was asked for', function()
        third_votes(true, {}, 20, { ttl = 10 })
        third_votes(false, {}, 20, { ttl = 60 })
        third_votes(false, {}, 8, { ttl = 10 })
    end)

    it('"auto" does not forget a longer lease', function()
        set_uptimes(1000, 1000, 20)
        local client = client_of(3)
        assert(assert(client:acquire("long", { ttl = 60 })):release())
        local lock = assert(client:acquire("job", { ttl = 3, renew = false }))
        assert.is_nil(nodes:ask(3, "GET", "{job}:fence"))
        assert.is_true(lock:release())
    end)

    it("may be a number of seconds", function()
        third_votes(false, { restart_guard = 100 }, 20, { ttl = 3 })
        third_votes(true, { restart_guard = 10 }, 20, { ttl = 60 })
    end)

    it("may be switched off", function()
        third_votes(true, { restart_guard = false }, 0, { ttl = 60 })
        third_votes(true, { restart_guard = 0 }, 0, { ttl = 60 })
    end)

    it("lets a node vote whose age is unknown", function()
        set_uptimes(1000, 1000, 0)
        proxies[3]:set { answers = { INFO = "-NOPERM this user has no permissions\r\n" } }
        local lock = nodes:first(3):everywhere(client_of(3), "job")
        assert.is_true(lock:held())
    end)
end)

describe("a real server", function()
    it("is guarded after a restart, and votes again a little later", function()
        local three = nodes:first(3)
        assert.is_true(wait.wait_until(function()
            for index = 1, 3 do
                local uptime = three[index]:cli("INFO", "server"):match "uptime_in_seconds:(%d+)"
                if tonumber(uptime) < 3 then
                    return false
                end
            end
            return true
        end))
        local client
        wait.in_time(1, function()
            three[3]:restart()
            client = three:client { restart_guard = 1 }
            local lock = assert(client:try "job")
            assert.is_nil(three:ask(3, "GET", "{job}:fence"))
            assert.equal(lock.token, three:ask(1, "GET", "job"))
            assert.is_true(lock:release())
        end)
        assert.is_true(wait.wait_until(function()
            assert(assert(client:try "job"):release())
            return three:ask(3, "GET", "{job}:fence") ~= nil
        end))
    end)
end)
