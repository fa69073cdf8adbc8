-- The least that a user of a Redis server must be allowed, and what is missing without each part.

local event_loops = require "support.event_loops"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

-- The README quotes this line.
local RULE = "on >secret ~* &redlock:* -@all +eval +evalsha +get +getrange +mget +set +del +exists"
    .. " +scan +expire +pexpire +pttl +zadd +zrem +zpopmin +zcard +publish +subscribe +info +select"
    .. " +client|setname"

local unpack = table.unpack or unpack

local LONG = 20 -- seconds: a timeout that no test may come to

local node, url

local function allow(rule)
    local words = {}
    for word in rule:gmatch "%S+" do
        words[#words + 1] = word
    end
    assert.equal("OK", node:cli("ACL", "SETUSER", "locks", "reset", unpack(words)))
end

-- The rule without one of its words.
local function allow_all_but(word)
    local words, count = (RULE .. " "):gsub(word:gsub("%p", "%%%0") .. " ", "")
    assert.equal(1, count, word)
    allow(words)
end

local function new_client(options)
    local settings = { nodes = { url }, timeout = LONG }
    for name, value in pairs(options or {}) do
        settings[name] = value
    end
    return quorum.new_client(settings)
end

local function value(key)
    local text = node:cli("GET", key)
    return text ~= "" and text or nil
end

-- In the words of the server: an error of its own before Redis 7.2, NOPERM since.
local function assert_forbidden(...)
    local result, message, code = ...
    assert.is_nil(result)
    assert.equal("unavailable", code)
    assert.is_truthy(message:find("no permission", 1, true) or
        message:find("can't run this command", 1, true), message)
end

-- A process that waits for the lock, and prints what it came to.
local function start_waiter(seconds)
    return process.start {
        code = [[
            local client = require("redlock").new { nodes = { arg[1] }, timeout = 5 }
            local lock, message, code = client:acquire("job", { wait = tonumber(arg[2]) })
            print("got " .. tostring(lock and "it" or code), message)
            io.read()
        ]],
        args = { url, seconds or LONG },
    }
end

-- Acquires and releases locks that are all wanted at the same time; how many were had.
local function hold_many(client, prefix, count)
    local loop, had = event_loops.cqueues(), 0
    loop.run(function()
        for index = 1, count do
            loop.spawn(function()
                local lock = client:try(prefix .. index)
                had = had + (lock and 1 or 0)
                assert(not lock or lock:release())
            end)
        end
    end)
    return had
end

local function has_waiter()
    return node:cli("ZCARD", "{job}:queue") == "1"
end

setup(function()
    node = servers.start_one { users = { "locks on >secret ~* &* +@all" } }
    url = ("redis://locks:secret@127.0.0.1:%d"):format(node.port)
end)

teardown(function()
    servers.stop_all()
end)

after_each(function()
    process.stop_all()
    quorum.close_clients()
    node:cli("FLUSHALL")
    node:cli("SCRIPT", "FLUSH")
    node:cli("ACL", "LOG", "RESET")
end)

describe("the rule", function()
    before_each(function()
        allow(RULE)
    end)

    after_each(function()
        assert.equal("", node:cli("ACL", "LOG"), "something was refused")
    end)

    it("is quoted by the README", function()
        local file = assert(io.open("README.md"))
        local readme = file:read("*a")
        file:close()
        assert.is_truthy(readme:find("locks " .. RULE .. "\n", 1, true))
    end)

    it("allows to acquire, see, extend and release", function()
        local client = new_client()
        local lock = assert(client:try "job")
        assert.equal("locked", select(3, client:try "job"))
        assert.equal(lock.token, client:info("job")[1].token)
        assert.is_true(lock:extend(60))
        assert.is_true(lock:release())
        assert.is_nil(value "job")
    end)

    it("allows another database", function()
        url = url .. "/1"
        finally(function() url = url:gsub("/1$", "") end)
        assert.is_true(assert(new_client():try "job"):release())
    end)

    it("allows to renew one lock and many", function()
        local client = new_client()
        local locks = {}
        for index = 1, 5 do
            locks[index] = assert(client:acquire("job " .. index, { ttl = 3 }))
        end
        assert.is_nil(wait.wait_until(function()
            for _, lock in ipairs(locks) do
                if not lock:held() then
                    return true
                end
            end
        end, 3.3))
    end)

    it("allows many locks at the same time", function()
        assert.equal(100, hold_many(new_client(), "job", 100))
    end)

    it("allows to wait, and to wake who waits", function()
        local lock = assert(new_client():try "job")
        local waiter = start_waiter()
        assert.is_true(wait.wait_until(has_waiter))
        assert.is_true(lock:release())
        assert.equal("got it\tnil", waiter:wait_line "^got")
        assert.is_false(has_waiter())
    end)

    it("allows to list what stands, and to take it away", function()
        local lock = assert(new_client():try "job")
        assert.equal(lock.token, assert(new_client():list("*", { all = true }))[1].token)
        assert.is_true(new_client():break_lock "job")
        assert.is_nil(value "job")
    end)

    it("allows fairness, and to leave the queue", function()
        local client = new_client()
        local lock = assert(client:try "job")
        local other = new_client()
        assert.equal("timeout", select(3, other:acquire("job", { wait = 0.2, fair = true })))
        assert.is_true(lock:release())
        assert.is_true(assert(other:acquire("job", { fair = true })):release())
    end)

    it("allows all that to the keys of a prefix alone", function()
        local narrowed, count = RULE:gsub("~%*", "~lock:* ~{lock:*")
        assert.equal(1, count)
        allow(narrowed)
        local client = new_client { prefix = "lock:" }
        for _, name in ipairs { "job", "{user}job" } do
            local lock = assert(client:try(name))
            local _, _, code = new_client({ prefix = "lock:" }):acquire(name, { wait = 0.2 })
            assert.equal("timeout", code)
            assert.is_true(lock:extend(60))
            assert.is_true(lock:release())
        end
    end)
end)

describe("a name that the rule does not allow", function()
    it("is the trouble of its lock alone, also beside many others", function()
        allow((RULE:gsub("~%*", "~job* ~{job*")))
        local client, loop = new_client(), event_loops.cqueues()
        local had, forbidden = 0, 0
        loop.run(function()
            for index = 1, 100 do
                loop.spawn(function()
                    local name = (index % 10 == 0 and "other" or "job") .. index
                    local lock, _, code = client:try(name)
                    had = had + (lock and 1 or 0)
                    forbidden = forbidden + (code == "unavailable" and 1 or 0)
                    assert(not lock or lock:release())
                end)
            end
        end)
        assert.same({ 90, 10 }, { had, forbidden })
        assert.equal("0", node:cli("EVAL", "return #redis.call('KEYS', '*[0-9]')", "0"))
    end)
end)

describe("the rule without", function()
    local function nothing_works()
        assert_forbidden(new_client():try "job")
        assert.is_nil(value "job")
    end

    local function extension_fails()
        local lock = assert(new_client():acquire("job", { ttl = LONG, renew = false }))
        assert_forbidden(lock:extend(60))
        assert.is_true(lock:held())
    end

    -- The holder's and the waiter's sides of a hand-over.
    local function hand_over(seconds)
        local lock = assert(new_client():acquire("job", { ttl = LONG, renew = false }))
        local waiter = start_waiter(seconds)
        assert.is_true(wait.wait_until(has_waiter))
        return lock, waiter
    end

    local function release_to_a_waiter_fails()
        local lock = hand_over()
        assert_forbidden(lock:release())
    end

    -- Who finds the lock held is told that it may not wait.
    local function nobody_can_wait()
        local lock = assert(new_client():try "job")
        local client = new_client { timeout = 2 }
        assert.equal("locked", select(3, client:try "job"))
        local _, message = client:acquire("job", { wait = 3 })
        assert.is_truthy(message:find "can't run this command" or message:find "no permission")
        assert.is_true(lock:held())
    end

    -- Who waits is in no queue and is not woken, but looks again in a while.
    local function waiters_are_in_no_queue()
        local lock = assert(new_client():try "job")
        local waiter = start_waiter()
        assert.is_nil(wait.wait_until(has_waiter, 0.5))
        assert.is_true(lock:release())
        assert.equal("got it\tnil", waiter:wait_line("^got", LONG))
    end

    local missed = {
        ["+evalsha"] = nothing_works,
        ["+eval"] = nothing_works, -- where the script is not in the server's cache
        ["+get"] = nothing_works,
        ["+mget"] = function() -- locks that travel together go one by one then
            assert.equal(100, hold_many(new_client(), "job", 100))
            assert.matches("mget", node:cli("ACL", "LOG"))
        end,
        ["+set"] = nothing_works,
        ["~*"] = nothing_works,
        ["+expire"] = extension_fails,
        ["+pexpire"] = extension_fails,
        ["+pttl"] = function()
            local lock = assert(new_client():try "job")
            assert_forbidden(new_client():try "job")
            assert.is_true(lock:held())
        end,
        ["+del"] = function()
            local lock = assert(new_client():try "job")
            assert_forbidden(lock:release())
            assert.equal(lock.token, value "job")
        end,
        ["+exists"] = function()
            local lock = assert(new_client():try "job")
            assert_forbidden(lock:release())
            assert_forbidden(new_client():acquire("another", { fair = true, wait = 0 }))
        end,
        ["+zcard"] = function()
            local lock = assert(new_client():try "job")
            assert.is_string(new_client():info("job")[1].error)
            assert.is_true(lock:release())
        end,
        ["+zadd"] = nobody_can_wait,
        ["+zpopmin"] = release_to_a_waiter_fails,
        ["+publish"] = release_to_a_waiter_fails,
        ["+subscribe"] = waiters_are_in_no_queue,
        ["&redlock:*"] = waiters_are_in_no_queue,
        ["+zrem"] = function()
            local lock, waiter = hand_over(4)
            lock:release()
            local said = waiter:wait_line("^got", LONG)
            assert.is_truthy(said:find "can't run this command" or said:find "no permission", said)
        end,
        ["+select"] = function()
            assert.is_not_nil((new_client():try "job"))
            assert_forbidden(quorum.new_client(url .. "/1"):try "job")
        end,
        ["+scan"] = function()
            local client = new_client()
            assert.is_true(assert(client:try "job"):release())
            assert_forbidden(client:list())
        end,
        ["+getrange"] = function()
            local client = new_client()
            local lock = assert(client:try "job")
            assert_forbidden(client:list())
            assert.is_true(lock:release())
        end,
        ["+client|setname"] = function()
            local client = new_client { client_name = "billing" }
            local lock = assert(client:try "job")
            assert.is_nil(node:cli("CLIENT", "LIST"):find("name=billing", 1, true))
            assert.is_true(lock:release())
        end,
        ["+info"] = function() -- nobody knows how old the node is: see restart_guard_spec.lua
            local client = new_client()
            assert.is_true(assert(client:try "job"):release())
            assert.matches("info", node:cli("ACL", "LOG"))
        end,
    }

    for word, is_missed in pairs(missed) do
        it(word .. " is missed", function()
            allow_all_but(word)
            is_missed()
        end)
    end

    it("any other word would not be seen: there is none", function()
        for word in RULE:gmatch "%S+" do
            local named = missed[word] or word == "on" or word == ">secret" or word == "-@all"
            assert.is_truthy(named, word)
        end
    end)
end)

describe("a server whose default user is off but keeps its rights", function()
    teardown(function()
        servers.stop_all()
    end)

    it("has locks and fences again after a crash, from its append-only file", function()
        local server = servers.start_one {
            appendonly = true,
            users = { "default off ~* &* +@all", "locks " .. RULE },
        }
        local secured = server.url:gsub("://", "://locks:secret@")
        local client = quorum.new_client(secured)
        local lock = assert(client:acquire("job", { ttl = 60, renew = false }))
        server:kill()
        server:restart { keep_data = true }
        local seen = assert(quorum.new_client(secured):info "job")[1]
        assert.equal(lock.token, seen.token)
        assert.equal(lock.fence, seen.fence)
    end)
end)
