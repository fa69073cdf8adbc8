-- What other libraries see of our locks, and we of theirs: the key is a plain string that holds the
-- token, at exactly the name that the user gave, with a time to live.

local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

-- As node-redlock, redsync and redis-py release and extend.
local THEIR_RELEASE = [[
    if redis.call("get", KEYS[1]) == ARGV[1] then
        return redis.call("del", KEYS[1])
    end
    return 0
]]
local THEIR_EXTENSION = [[
    if redis.call("get", KEYS[1]) == ARGV[1] then
        return redis.call("pexpire", KEYS[1], ARGV[2])
    end
    return 0
]]

local node, client

local function ask(...)
    return node:ask(1, ...)
end

setup(function()
    node = quorum.start(1)
end)

teardown(function()
    servers.stop_all()
end)

before_each(function()
    client = node:client()
end)

after_each(function()
    quorum.close_clients()
    node:reset()
end)

describe("our lock", function()
    it("is a string under the user's name, with a time to live in milliseconds", function()
        local lock = assert(client:acquire("app:order:42", { ttl = 12.345 }))
        assert.equal("string", ask("TYPE", "app:order:42"))
        assert.equal(lock.token, ask("GET", "app:order:42"))
        local left_ms = ask("PTTL", "app:order:42")
        assert.is_true(left_ms > 0 and left_ms <= 12345)
    end)

    it("stands behind the prefix, and its name does not", function()
        local lock = assert(node:client({ prefix = "app:" }):acquire "order")
        assert.equal("order", lock.name)
        assert.equal(lock.token, ask("GET", "app:order"))
        assert.is_nil(ask("GET", "order"))
        assert.equal("locked", select(3, client:try "app:order"))
        assert.is_not_nil(client:try "order")
    end)

    it("keeps out who sets the key if it does not exist", function()
        local lock = assert(client:acquire "order")
        assert.is_nil(ask("SET", "order", "theirs", "NX", "PX", 60000))
        assert.equal(0, ask("SETNX", "order", "theirs"))
        assert.equal(lock.token, ask("GET", "order"))
        assert.is_true(lock:release())
        assert.equal("OK", ask("SET", "order", "theirs", "NX", "PX", 60000))
    end)

    it("obeys a release by its token, and says afterwards that it is gone", function()
        local lock = assert(client:acquire("order", { renew = false }))
        assert.equal(0, ask("EVAL", THEIR_RELEASE, 1, "order", "theirs"))
        assert.equal(1, ask("EVAL", THEIR_RELEASE, 1, "order", lock.token))
        local ok, _, code = lock:release()
        assert.is_nil(ok)
        assert.equal("lost", code)
    end)

    it("obeys an extension by its token", function()
        local lock = assert(client:acquire("order", { ttl = 5, renew = false }))
        assert.equal(0, ask("EVAL", THEIR_EXTENSION, 1, "order", "theirs", 60000))
        assert.equal(1, ask("EVAL", THEIR_EXTENSION, 1, "order", lock.token, 60000))
        assert.is_true(lock:extend(10))
        assert.is_true(ask("PTTL", "order") > 10000)
    end)

    it("puts all it has besides into the slot of its key", function()
        assert.is_true(client:with("order", function() end))
        assert.is_true(client:with("{user}order", function() end))
        assert.is_true(client:with("a{}b", function() end))
        assert.equal(3, ask "DBSIZE")
        assert.equal(1, ask("EXISTS", "{order}:fence"))
        assert.equal(1, ask("EXISTS", "{user}order:fence"))
        assert.is_nil(node:key_for_ever())
    end)
end)

describe("the lock of another library", function()
    it("holds against us for as long as it lives", function()
        ask("SET", "order", "theirs", "NX", "PX", 60000)
        local lock, message, code, votes = client:try "order"
        assert.is_nil(lock)
        assert.equal("locked", code)
        assert.matches("held for [%d.]+ s$", message)
        assert.is_true(votes[1].ttl > 0 and votes[1].ttl <= 60)
        assert.equal("theirs", ask("GET", "order"))
        assert.equal("theirs", client:info("order")[1].token)
    end)

    it("is waited for until it expires", function()
        ask("SET", "order", "theirs", "NX", "PX", 200)
        local lock = assert(client:acquire("order", { wait = 10 }))
        assert.equal(lock.token, ask("GET", "order"))
    end)

    it("is waited for until it is released, though that wakes nobody", function()
        ask("SET", "order", "theirs", "NX", "PX", 60000)
        local waiting = node:client()
        assert.equal("timeout", select(3, waiting:acquire("order", { wait = 0.05 })))
        assert.equal(1, ask("EVAL", "redis.call('PEXPIRE', KEYS[1], 300) return 1", 1, "order"))
        assert.is_not_nil(waiting:acquire("order", { wait = 10 }))
    end)

    it("that never expires is said to be held without a limit", function()
        ask("SET", "order", "theirs")
        local _, message, code, votes = client:try "order"
        assert.equal("locked", code)
        assert.matches("held without a limit$", message)
        assert.equal(math.huge, votes[1].ttl)
        assert.equal(math.huge, client:info("order")[1].ttl)
        assert.equal("timeout", select(3, client:acquire("order", { wait = 0.05 })))
        assert.equal(-1, ask("PTTL", "order"))
        assert.equal("theirs", ask("GET", "order"))
    end)

    it("may hold any bytes as its token", function()
        for _, token in ipairs { "\0", "\255\254", "a\r\nb", ("t"):rep(100000), "" } do
            ask("SET", "order", token, "PX", 60000)
            assert.equal("locked", select(3, client:try "order"))
            assert.equal("held", select(4, client:try "order")[1].vote)
            assert.equal(token, ask("GET", "order"))
        end
    end)

    it("is not released by who lost to it", function()
        local lock = assert(client:acquire("order", { renew = false }))
        ask("SET", "order", "theirs", "PX", 60000)
        assert.equal("lost", select(3, lock:release()))
        client:close()
        assert.equal("theirs", ask("GET", "order"))
    end)
end)

describe("a lock of another kind", function()
    -- As Redisson keeps its locks: a hash of the holder's id and thread.
    local function hold_theirs(key)
        ask("HSET", key, "b983c153-7421-469a-addb-44fb92259a1b:1", 1)
        ask("PEXPIRE", key, 30000)
    end

    it("holds against us, and says what it is", function()
        hold_theirs "order"
        local lock, message, code, votes = client:try "order"
        assert.is_nil(lock)
        assert.equal("locked", code)
        assert.matches("held by another kind of lock", message)
        assert.equal("held by another kind of lock", votes[1].vote)
        assert.is_true(votes[1].answered)
        assert.equal("hash", ask("TYPE", "order"))
    end)

    it("is waited for", function()
        hold_theirs "order"
        assert.equal("timeout", select(3, client:acquire("order", { wait = 0.1 })))
        ask("PEXPIRE", "order", 200)
        local lock = assert(client:acquire("order", { wait = 10 }))
        assert.equal(lock.token, ask("GET", "order"))
    end)

    it("that took our key's place is left as it is", function()
        local lock = assert(client:acquire("order", { ttl = 3 }))
        ask("DEL", "order")
        hold_theirs "order"
        assert.equal("lost", select(3, lock:extend(60)))
        assert.is_true(wait.wait_until(function() return not lock:held() end))
        assert.equal("lost", select(3, lock:release()))
        assert.equal("hash", ask("TYPE", "order"))
    end)

    it("that took our key's place is seen by the watchdog", function()
        local locks = {}
        for index = 1, 3 do
            locks[index] = assert(client:acquire("order " .. index, { ttl = 3 }))
        end
        ask("DEL", "order 2")
        hold_theirs "order 2"
        assert.is_true(wait.wait_until(function() return not locks[2]:held() end))
        assert.matches("%(taken%)", tostring(locks[2]))
        assert.is_true(locks[1]:extend(5) and locks[3]:extend(5))
        assert.equal("hash", ask("TYPE", "order 2"))
    end)

    it("is not looked into by info", function()
        hold_theirs "order"
        local nodes = assert(client:info "order")
        assert.is_nil(nodes[1].token)
        assert.matches("held by another kind of lock", nodes[1].error)
        assert.equal("hash", ask("TYPE", "order"))
    end)

    it("is a vote like any other in a quorum", function()
        local three = quorum.of { node[1], servers.start_one(), servers.start_one() }
        hold_theirs "order"
        local lock = assert(three:client():try "order")
        assert.equal("hash", ask("TYPE", "order"))
        assert.equal(2, three:count("order", lock.token))
        assert.is_true(lock:release())
        assert.is_true(three:comes_to(0, "order"))
    end)
end)
