-- The API as a script sees it: one server, and every call of a client and of a lock.

local literal = require "support.literal"
local misuse = require "support.misuse"
local quorum = require "support.quorum"
local redlock = require "redlock"
local servers = require "servers"
local wait = require "support.wait"

local load_text = loadstring or load

local node, client

local function value(key)
    return node:ask(1, "GET", key)
end

local function pttl(key)
    return node:ask(1, "PTTL", key)
end

local function is_free_soon(key)
    return wait.wait_until(function() return value(key) == nil end) == true
end

local function collect_all()
    collectgarbage()
    collectgarbage()
end

-- LuaJIT may keep for a while what a loop that it compiled has used.
local function is_free_once_collected(key)
    return wait.wait_until(function()
        collect_all()
        return value(key) == nil
    end) == true
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
    assert.is_nil(node:key_for_ever())
    node:reset()
end)

describe("acquire", function()
    it("puts the lock's token under the name, for the ttl", function()
        local lock = assert(client:acquire("job", { ttl = 20 }))
        assert.equal(lock.token, value "job")
        local left_ms = pttl "job"
        assert.is_true(left_ms > 0 and left_ms <= 20000, left_ms)
    end)

    it("gives the lock its fields", function()
        local lock = assert(client:acquire "job")
        assert.equal("job", lock.name)
        assert.matches("^[%w_-]+$", lock.token)
        assert.is_true(#lock.token >= 20)
        assert.equal("number", type(lock.fence))
        assert.equal(lock.fence, math.floor(lock.fence))
        assert.is_true(lock.fence > 0 and lock.fence < 2 ^ 53)
        assert.is_true(not math.type or math.type(lock.fence) == "integer")
        assert.is_nil(lock.nothing)
        assert.is_nil(lock[1])
    end)

    it("takes a fresh token and a higher fence every time", function()
        local tokens, fence = {}, 0
        for _ = 1, 20 do
            local lock = assert(client:acquire "job")
            assert.is_nil(tokens[lock.token])
            assert.is_true(lock.fence > fence)
            tokens[lock.token], fence = true, lock.fence
            assert(lock:release())
        end
    end)

    it("holds many locks at once", function()
        local locks = {}
        for index = 1, 50 do
            locks[index] = assert(client:acquire("job " .. index))
        end
        for index, lock in ipairs(locks) do
            assert.equal(lock.token, value("job " .. index))
            assert.is_true(lock:held())
        end
    end)

    it("waits until a lease has run out", function()
        local first = quorum.insist(client, "job", { ttl = 0.2, renew = false })
        local second = assert(node:client():acquire("job", { wait = 10 }))
        assert.is_false(first:held())
        assert.equal(second.token, value "job")
    end)

    it("says how long it had to wait for another owner", function()
        local first = assert(client:acquire("job", { ttl = 2.5, renew = false }))
        local second = assert(node:client():acquire("job", { wait = 20 }))
        assert.equal(0, first.waited)
        assert.is_true(second.waited > 0 and second.waited <= 20)
        assert.is_nil(client:lock("job").waited)
    end)

    it("says timeout when it has waited in vain", function()
        local holder = assert(client:acquire "job")
        local lock, message, code, votes = node:client():acquire("job", { wait = 0.1 })
        assert.is_nil(lock)
        assert.equal("timeout", code)
        assert.matches('^timeout: "job" could not be had within 0%.1 s: ', message)
        assert.matches("127%.0%.0%.1:%d+ held for %d", message)
        assert.equal("held", votes[1].vote)
        assert.is_true(holder:held())
    end)

    it("says locked when it was not to wait", function()
        local holder = assert(client:acquire "job")
        local lock, message, code = node:client():acquire("job", { wait = 0 })
        assert.is_nil(lock)
        assert.equal("locked", code)
        assert.matches('^locked: "job" is held by another: 127%.0%.0%.1:%d+ held for %d', message)
        assert.equal(holder.token, value "job")
    end)
end)

describe("try", function()
    it("takes a lock that is free", function()
        local lock = assert(client:try "job")
        assert.equal(lock.token, value "job")
    end)

    it("does not wait for one that is held, whatever its options say", function()
        local holder = assert(client:acquire "job")
        local lock, _, code, votes = client:try("job", { wait = math.huge })
        assert.is_nil(lock)
        assert.equal("locked", code)
        assert.equal(1, #votes)
        assert.equal("127.0.0.1:" .. node[1].port, votes[1].node)
        assert.equal("held", votes[1].vote)
        assert.is_true(votes[1].answered)
        assert.equal(holder.fence, votes[1].fence)
        assert.is_true(votes[1].ttl > 0 and votes[1].ttl <= 30)
    end)
end)

describe("a lock", function()
    it("asks nothing of the server before it is acquired", function()
        local far = quorum.new_client "redis://127.0.0.1:1"
        local lock = far:lock("job", { ttl = 10 })
        assert.equal("job", lock.name)
        assert.is_nil(lock.token)
        assert.is_nil(lock.fence)
        assert.is_false(lock:held())
        assert.equal(0, lock:remaining())
    end)

    it("is acquired and released again and again", function()
        local mutex = client:lock("job", { ttl = 10 })
        assert.equal(mutex, mutex:acquire())
        local token, fence = mutex.token, mutex.fence
        assert.is_true(mutex:release())
        assert.equal(mutex, mutex:acquire())
        assert.are_not.equal(token, mutex.token)
        assert.is_true(mutex.fence > fence)
        assert.equal(mutex.token, value "job")
    end)

    it("has its own terms, which one acquire may change for itself alone", function()
        local mutex = client:lock("job", { ttl = 100 })
        assert(mutex:acquire { ttl = 1000 })
        assert.is_true(pttl "job" > 100000)
        assert(mutex:release())
        assert(mutex:acquire())
        assert.is_true(pttl "job" <= 100000 and pttl "job" > 30000)
    end)

    it("is not acquired twice", function()
        local mutex = client:lock "job"
        assert(mutex:acquire())
        local token = mutex.token
        local again, message, code, votes = mutex:acquire()
        assert.is_nil(again)
        assert.equal('locked: "job" is held by this very object', message)
        assert.equal("locked", code)
        assert.same({}, votes)
        assert.is_true(mutex:held())
        assert.equal(token, value "job")
    end)

    it("says how long it is certainly held", function()
        local lock = assert(client:acquire("job", { ttl = 10 }))
        local left = lock:remaining()
        assert.is_true(left > 0 and left <= 10 - 10 * 0.01 - 0.002, left)
        assert.is_true(lock:held())
        assert.is_true(lock:remaining() <= left)
    end)

    it("is not held any more once its lease has run out", function()
        local lock = quorum.insist(client, "job", { ttl = 0.1, renew = false })
        assert.is_true(wait.wait_until(function() return not lock:held() end))
        assert.equal(0, lock:remaining())
        assert.matches("expired", tostring(lock))
        local ok, message, code = lock:extend(10)
        assert.is_nil(ok)
        assert.equal("lost", code)
        assert.equal('lost: "job" ran out of its lease', message)
    end)

    it("is extended", function()
        local lock = assert(client:acquire("job", { ttl = 10 }))
        assert.is_true(lock:extend(100))
        assert.is_true(pttl "job" > 10000)
        assert.is_true(lock:remaining() > 10)
    end)

    it("is never shortened", function()
        local lock = assert(client:acquire("job", { ttl = 100 }))
        assert.is_true(lock:extend(0.5))
        assert.is_true(pttl "job" > 10000)
        assert.is_true(lock:remaining() > 10)
    end)

    it("is not extended before it was acquired", function()
        local ok, message, code = client:lock("job"):extend(10)
        assert.is_nil(ok)
        assert.equal("lost", code)
        assert.equal('lost: "job" was not acquired', message)
        assert.is_nil(value "job")
    end)

    it("is released", function()
        local lock = assert(client:acquire "job")
        assert.is_true(lock:release())
        assert.is_nil(value "job")
        assert.is_false(lock:held())
        assert.equal(0, lock:remaining())
        assert.equal("lost", select(3, lock:extend(10)))
    end)

    it("may be released twice, and then releases nobody else's", function()
        local lock = assert(client:acquire "job")
        assert.is_true(lock:release())
        local other = assert(node:client():try "job")
        assert.is_true(lock:release())
        assert.equal(other.token, value "job")
    end)

    it("cannot be released before it was acquired", function()
        local ok, message, code = client:lock("job"):release()
        assert.is_nil(ok)
        assert.equal("lost", code)
        assert.equal('lost: "job" was not acquired', message)
    end)

    it("says lost on release when another took it, and leaves it to the other", function()
        local lock = assert(client:acquire("job", { renew = false }))
        node:ask(1, "SET", "job", "another's", "PX", "60000")
        local ok, message, code = lock:release()
        assert.is_nil(ok)
        assert.equal("lost", code)
        assert.equal('lost: "job" was taken by another', message)
        assert.equal("another's", value "job")
        assert.is_false(lock:held())
    end)

    it("says lost on release when it is gone", function()
        local lock = assert(client:acquire("job", { renew = false }))
        node:ask(1, "DEL", "job")
        local ok, message, code = lock:release()
        assert.is_nil(ok)
        assert.equal("lost", code)
        assert.equal('lost: "job" is gone from the nodes', message)
    end)

    it("says lost on extend when another took it, and leaves it as it is", function()
        local lock = assert(client:acquire("job", { renew = false }))
        node:ask(1, "SET", "job", "another's", "PX", "5000")
        local ok, message, code = lock:extend(100)
        assert.is_nil(ok)
        assert.equal("lost", code)
        assert.equal('lost: "job" was taken by another', message)
        assert.is_false(lock:held())
        assert.is_true(pttl "job" <= 5000)
    end)

    it("is never created by extend", function()
        local lock = assert(client:acquire("job", { renew = false }))
        node:ask(1, "DEL", "job")
        assert.equal("lost", select(3, lock:extend(100)))
        assert.is_nil(value "job")
    end)

    it("says what it is", function()
        local lock = client:lock "job\n\0"
        assert.equal('redlock.Lock "job\\x0a\\x00" (never held)', tostring(lock))
        assert(lock:acquire())
        assert.matches('^redlock%.Lock "job\\x0a\\x00" %(held, [%d.]+ s left%)$', tostring(lock))
        assert(lock:release())
        assert.equal('redlock.Lock "job\\x0a\\x00" (released)', tostring(lock))
        assert.equal("redlock.Lock", getmetatable(lock))
    end)
end)

describe("a lock that is collected", function()
    it("is released", function()
        local lock = assert(client:acquire("job", { renew = false }))
        assert.equal(lock.token, value "job")
        lock = nil -- luacheck: ignore 311
        assert.is_true(is_free_once_collected "job")
    end)

    it("is not renewed any more", function()
        local token = assert(client:acquire("job", { ttl = 0.5 })).token
        collect_all()
        assert.is_true(is_free_soon "job")
        node:ask(1, "SET", "job", token, "PX", "500") -- what a renewal would take for its own
        assert.is_true(is_free_soon "job")
    end)

    it("is released with its client", function()
        local lock = assert(redlock.new(node[1].url, { timeout = 10 }):acquire "job")
        assert.equal(lock.token, value "job")
        lock = nil -- luacheck: ignore 311
        assert.is_true(is_free_once_collected "job")
    end)

    it("keeps its client while it is in use", function()
        local lock = assert(redlock.new(node[1].url, { timeout = 10 }):acquire("job", { ttl = 3 }))
        collect_all()
        assert.is_true(node:is_renewed(1, "job"))
        assert.is_true(lock:held())
        assert.is_true(lock:release())
    end)
end)

describe("with", function()
    it("holds the lock while the function runs, and no longer", function()
        local inside
        local ok = client:with("job", { ttl = 10 }, function(lock)
            assert.is_true(lock:held())
            assert.equal(lock.token, value "job")
            inside = lock
        end)
        assert.is_true(ok)
        assert.is_false(inside:held())
        assert.is_nil(value "job")
    end)

    it("returns what the function returned, nils included", function()
        local function pack(...)
            return { n = select("#", ...), ... }
        end
        local results = pack(client:with("job", function() return 1, nil, "x", nil end))
        assert.same({ n = 5, true, 1, nil, "x", nil }, results)
    end)

    it("raises what the function raised, after the release", function()
        local problem = { reason = "no paper" }
        local ok, raised = pcall(client.with, client, "job", function() error(problem) end)
        assert.is_false(ok)
        assert.equal(problem, raised)
        assert.is_nil(value "job")
        ok, raised = pcall(client.with, client, "job", nil, function() error("no ink", 0) end)
        assert.is_false(ok)
        assert.equal("no ink", raised)
        assert.is_not_nil(client:try "job")
    end)

    it("does not run the function when the lock cannot be had", function()
        local holder, ran = assert(client:acquire "job"), false
        local ok, message, code, votes = client:with("job", { wait = 0 }, function() ran = true end)
        assert.is_nil(ok)
        assert.equal("locked", code)
        assert.matches("^locked: ", message)
        assert.equal("held", votes[1].vote)
        assert.is_false(ran)
        assert.is_true(holder:held())
    end)

    it("says lost when the lock was lost before the function ended", function()
        local ok, message, code = client:with("job", { renew = false }, function()
            node:ask(1, "SET", "job", "another's", "PX", "60000")
            return "settled"
        end)
        assert.is_nil(ok)
        assert.equal("lost", code)
        assert.equal('lost: "job" was taken by another', message)
        assert.equal("another's", value "job")
    end)

    it("raises the function's error even when the lock was lost", function()
        assert.has_error(function()
            client:with("job", { renew = false }, function()
                node:ask(1, "DEL", "job")
                error("no ink", 0)
            end)
        end, "no ink")
    end)

    it("lets the function release", function()
        assert.is_true(client:with("job", function(lock) assert(lock:release()) end))
    end)
end)

if _VERSION ~= "Lua 5.1" and _VERSION ~= "Lua 5.2" and _VERSION ~= "Lua 5.3" then
    describe("a variable that is closed", function()
        it("releases its lock at the end of the scope", function()
            local inside = assert(load_text [[
                local client, value = ...
                local lock <close> = assert(client:acquire "job")
                return value "job" == lock.token
            ]])
            assert.is_true(inside(client, value))
            assert.is_nil(value "job")
        end)

        it("releases its lock on an error", function()
            local failing = assert(load_text [[
                local lock <close> = assert((...):acquire "job")
                error("no ink", 0)
            ]])
            assert.has_error(function() failing(client) end, "no ink")
            assert.is_nil(value "job")
        end)

        it("does not mind a lock that was released or lost", function()
            local body = assert(load_text [[
                local client, spoil = ...
                local lock <close> = assert(client:acquire("job", { renew = false }))
                spoil(lock)
            ]])
            body(client, function(lock) assert(lock:release()) end)
            body(client, function() node:ask(1, "DEL", "job") end)
            assert.is_nil(value "job")
        end)

        it("closes its client", function()
            local body = assert(load_text [[
                local redlock, url = ...
                local client <close> = redlock.new(url, { timeout = 10 })
                local lock = assert(client:acquire "job")
                return client, lock
            ]])
            local closed, lock = body(redlock, node[1].url)
            assert.equal("closed", select(3, closed:try "job"))
            assert.is_false(lock:held())
            assert.is_nil(value "job")
        end)
    end)
end

describe("info", function()
    it("tells of each node what stands under the name", function()
        local lock = assert(client:acquire("job", { ttl = 20 }))
        local nodes = assert(node:client():info "job")
        assert.equal(1, #nodes)
        assert.equal("127.0.0.1:" .. node[1].port, nodes[1].node)
        assert.equal(lock.token, nodes[1].token)
        assert.equal(lock.fence, nodes[1].fence)
        assert.equal(0, nodes[1].waiters)
        assert.is_true(nodes[1].ttl > 0 and nodes[1].ttl <= 20)
        assert.is_nil(nodes[1].error)
    end)

    it("tells of a free name that nobody holds it, and changes nothing", function()
        local nodes = assert(client:info "job")
        assert.is_nil(nodes[1].token)
        assert.is_nil(nodes[1].ttl)
        assert.is_nil(nodes[1].error)
        assert.equal(0, nodes[1].waiters)
        assert.equal(0, node:ask(1, "DBSIZE"))
    end)

    it("remembers the fence of the last owner", function()
        local lock = assert(client:acquire "job")
        assert(lock:release())
        assert.equal(lock.fence, client:info("job")[1].fence)
    end)

    it("tells what is wrong with a node", function()
        local nodes = assert(quorum.new_client("redis://127.0.0.1:1"):info "job")
        assert.equal("127.0.0.1:1", nodes[1].node)
        assert.equal("unreachable (Connection refused)", nodes[1].error)
        assert.is_nil(nodes[1].token)
    end)
end)

describe("close", function()
    it("releases what is held, and ends the connections", function()
        local named = node:client { client_name = "closing" }
        local first = assert(named:acquire "first")
        local second = assert(named:acquire("second", { renew = false }))
        assert.matches("name=closing", node[1]:cli("CLIENT", "LIST"))
        named:close()
        assert.is_nil(value "first")
        assert.is_nil(value "second")
        assert.is_false(first:held())
        assert.is_false(second:held())
        assert.is_true(wait.wait_until(function()
            return not node[1]:cli("CLIENT", "LIST"):find("name=closing", 1, true)
        end))
    end)

    it("makes every later call fail with the code closed", function()
        local lock = assert(client:acquire "job")
        local mutex = client:lock "other"
        client:close()
        local ran = false
        for what, results in pairs {
            acquire = { client:acquire "job" },
            try = { client:try "job" },
            with = { client:with("job", function() ran = true end) },
            info = { client:info "job" },
            mutex = { mutex:acquire() },
            ["new lock"] = { client:lock("new"):acquire() },
            extend = { lock:extend(10) },
        } do
            assert.is_nil(results[1], what)
            assert.matches('^closed: "%a+": the client was closed$', results[2], what)
            assert.equal("closed", results[3], what)
        end
        assert.is_false(ran)
        assert.is_true(lock:release(), "it was released by close()")
        assert.equal(0, lock:remaining())
        assert.is_nil(value "job")
    end)

    it("may be repeated", function()
        client:close()
        client:close()
        assert.matches("%(closed%)$", tostring(client))
    end)

    it("ends no other client", function()
        local other = node:client()
        local lock = assert(other:acquire "job")
        client:close()
        assert.is_true(lock:held())
        assert.equal(lock.token, value "job")
    end)
end)

describe("a client", function()
    it("says which nodes it has", function()
        local many = redlock.new { nodes = { "10.0.0.1:6380", "unix:///run/redis.sock", "[::1]" } }
        assert.equal("redlock.Client of 10.0.0.1:6380, /run/redis.sock, [::1]:6379", tostring(many))
        assert.equal("redlock.Client", getmetatable(many))
    end)
end)

describe("a name", function()
    local function quoted_get(name)
        return node:ask(1, "EVAL", "return redis.call('GET', " .. literal.write(name) .. ")", 0)
    end

    for what, name in pairs {
        ["one byte"] = "x",
        ["NUL"] = "a\0b\0",
        ["only a NUL"] = "\0",
        ["braces"] = "{a}b{c}",
        ["an empty tag"] = "a{}b",
        ["an open brace"] = "a{b",
        ["a closing brace first"] = "}a{b}",
        ["spaces"] = " a  b ",
        ["line ends"] = "a\r\nb\n",
        ["quotes"] = [["a" 'b' \]],
        ["UTF-8"] = "Schl\195\188ssel \240\159\148\145",
        ["all bytes"] = (function()
            local bytes = {}
            for byte = 0, 255 do
                bytes[#bytes + 1] = string.char(byte)
            end
            return table.concat(bytes)
        end)(),
        ["512 bytes"] = ("n"):rep(512),
        ["512 bytes with a NUL at the end"] = ("n"):rep(511) .. "\0",
    } do
        it("may have " .. what, function()
            local lock = assert(client:acquire(name))
            assert.equal(name, lock.name)
            assert.equal(lock.token, value(name))
            assert.equal(lock.token, quoted_get(name))
            local _, message, code = node:client():try(name)
            assert.equal("locked", code)
            assert.is_nil(message:find "%c")
            assert.equal(lock.token, client:info(name)[1].token)
            assert.is_true(lock:extend(60))
            assert.is_true(lock:release())
            assert.is_nil(value(name))
        end)
    end

    it("may have 512 bytes behind a prefix of 512", function()
        local prefix, name = ("p"):rep(512), ("n"):rep(512)
        local lock = assert(node:client({ prefix = prefix }):acquire(name))
        assert.equal(name, lock.name)
        assert.equal(lock.token, value(prefix .. name))
    end)

    it("is told from another by every byte", function()
        local locks = {}
        for index, name in ipairs { "a", "a\0", "a\0\0", "a\0b", "\0a", "{a}", "a:fence", "A" } do
            locks[index] = assert(client:try(name))
        end
        for _, lock in ipairs(locks) do
            assert.equal(lock.token, value(lock.name))
        end
    end)

    it("is cut short in messages, not in Redis", function()
        local name = ("n"):rep(512)
        local lock = assert(client:acquire(name))
        local _, message = client:try(name)
        assert.is_true(#message < 200)
        assert.equal(lock.token, value(name))
    end)
end)

describe("a ttl", function()
    it("of a millisecond is too short to be had, and leaves nothing", function()
        local lock, message, code = client:acquire("job", { ttl = 0.001, wait = 0 })
        assert.is_nil(lock)
        assert.equal("unavailable", code)
        assert.matches("too late for its lease", message)
        assert.is_true(is_free_soon "job")
    end)

    it("of a day is a day", function()
        local lock = assert(client:acquire("job", { ttl = 86400 }))
        assert.is_true(pttl "job" > 86300000 and pttl "job" <= 86400000)
        assert.is_true(lock:remaining() > 85000)
    end)

    it("may have fractions", function()
        local lock = assert(client:acquire("job", { ttl = 20.5, renew = false }))
        local left_ms = pttl(lock.name)
        assert.is_true(left_ms > 0 and left_ms <= 20500)
    end)
end)

describe("misuse", function()
    local NAN, HUGE = 0 / 0, math.huge

    local function nothing() end

    local function assert_raises(pattern, code)
        local message = misuse.message(code, {
            client = client, lock = client:lock "job", nothing = nothing,
            NAN = NAN, HUGE = HUGE, redlock = redlock,
        })
        assert.matches("^redlock: " .. pattern, message, code)
    end

    it("of a name is raised at the caller's line", function()
        for _, method in ipairs { "acquire", "try", "lock", "info" } do
            local function raises(pattern, argument)
                local code = ("client:%s(%s)"):format(method, argument)
                assert_raises("a lock's name must " .. pattern, code)
            end
            raises("be a string, not nil", "")
            raises("be a string, not number", "5")
            raises("be a string, not table", "{}")
            raises("have 1 to 512 bytes, not 0", "''")
            raises("have 1 to 512 bytes, not 513", "('n'):rep(513)")
        end
        assert_raises("a lock's name must be a string, not nil", "client:with(nil, nothing)")
        assert_raises("a lock's name must have 1 to 512 bytes", "client:with('', {}, nothing)")
    end)

    it("of options is raised at the caller's line", function()
        for _, call in ipairs {
            "client:acquire('job', %s)", "client:try('job', %s)", "client:lock('job', %s)",
            "client:with('job', %s, nothing)", "lock:acquire(%s)",
        } do
            local function raises(pattern, options)
                assert_raises(pattern, call:format(options))
            end
            raises("options must be a table, not number", "5")
            raises("options must be a table, not string", "'fast'")
            raises('there is no option "tll"', "{ tll = 5 }")
            raises('there is no option "prefix"', "{ prefix = 'x' }")
            raises('there is no option "1"', "{ 5 }")
            raises('option "ttl" must be a number of seconds', "{ ttl = '5' }")
            raises('option "ttl" must be', "{ ttl = NAN }")
            raises('option "ttl" must be', "{ ttl = 0 }")
            raises('option "ttl" must be', "{ ttl = -1 }")
            raises('option "ttl" must be', "{ ttl = HUGE }")
            raises('option "ttl" must be', "{ ttl = 0.0009 }")
            raises('option "wait" must be', "{ wait = -0.001 }")
            raises('option "wait" must be', "{ wait = NAN }")
            raises('option "wait" must be', "{ wait = -HUGE }")
            raises('option "max_hold" must be', "{ max_hold = -1 }")
            raises('option "renew" must be true or false', "{ renew = 1 }")
            raises('option "fair" must be true or false', "{ fair = 'no' }")
        end
    end)

    it("of extend is raised at the caller's line", function()
        local arguments = { "", "nil", "'5'", "0", "-5", "NAN", "HUGE", "-HUGE", "{}", "1e10" }
        for _, argument in ipairs(arguments) do
            assert_raises("ttl must be a number of seconds", ("lock:extend(%s)"):format(argument))
        end
    end)

    it("of with is raised at the caller's line", function()
        assert_raises("with%(%) takes a function, not nil", "client:with('job')")
        assert_raises("with%(%) takes a function, not nil", "client:with('job', {})")
        assert_raises("with%(%) takes a function, not string", "client:with('job', {}, 'body')")
        assert_raises("with%(%) takes a function, not table", "client:with('job', nothing, {})")
    end)

    it("of new is raised at the caller's line", function()
        assert_raises("new%(%) takes a URL or a table of options, not nil", "redlock.new()")
        assert_raises("new%(%) takes a URL or a table of options, not number", "redlock.new(6379)")
        assert_raises('option "nodes" is missing', "redlock.new {}")
        assert_raises("node 1: the scheme must be", "redlock.new 'http://127.0.0.1'")
    end)

    it("changes nothing on the server", function()
        local lock = client:lock "job"
        for _, code in ipairs { "lock:acquire { ttl = 0 }", "client:try('job', { ttl = 0 })" } do
            misuse.message(code, { client = client, lock = lock })
        end
        assert.equal(0, node:ask(1, "DBSIZE"))
    end)

    it("of a lock's methods on something else is an error", function()
        local lock = client:lock "job"
        for _, method in ipairs { "acquire", "release", "held", "remaining", "extend" } do
            assert.has_error(function() lock[method]({}, 5) end)
            assert.has_error(function() lock[method](io.stdout, 5) end)
            assert.has_error(function() lock[method]() end)
        end
    end)
end)
