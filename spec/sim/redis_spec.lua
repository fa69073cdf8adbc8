--- The model of a Redis server and a real one are told the same at the same moments, and say the
-- same, byte for byte: the real one's clock is the spec's.

if jit then
    return -- neither of them depends on the Lua that compares them: once is enough
end

local literal = require "support.literal"
local machine = require "machine"
local model = require "sim.redis_model"
local real = require "sim.redis_real"
local resp = require "support.resp"
local sequences = require "sim.redis_sequences"

local START_MS = 1700000000000
local NEVER = "9223372036854775807"
local ROUNDS, EVENTS = tonumber(os.getenv "ROUNDS") or 6, 1000
-- A run draws other events than the last one did; SEED=... repeats one, ROUNDS=... makes it longer.
local SEED = tonumber(os.getenv "SEED") or os.time()

local unpack = table.unpack or unpack

local server

-- What depends on the version, the process or the machine is left out.
local function comparable(reply)
    if reply:find("redis_version:", 1, true) then
        return reply:match "uptime_in_seconds:%d+"
    end
    return server.version:find "^7%.0%." and reply or (reply:gsub("(%-%u+) [^\r\n]*", "%1"))
end

local function replies_in(bytes)
    local replies = {}
    local rest = resp.split(bytes, resp.reply_end, function(reply)
        replies[#replies + 1] = comparable(reply)
    end)
    assert.equal("", rest)
    return replies
end

local function show(event)
    local words = {}
    for index = 1, #event do
        words[index] = literal.write(event[index])
    end
    return table.concat(words, " ")
end

local function compare_session(event, session, output)
    local expected = replies_in(output)
    local received = server:receive(session, #expected)
    local got = table.concat(replies_in(received))
    if got ~= table.concat(expected) then
        error(("after %s session %d got\n%s\nfrom Redis, and\n%s\nfrom the model"):format(
            show(event), session, literal.write(received .. server:receive_rest(session)),
            literal.write(output)))
    end
end

local function compare_value(key, value)
    local pttl = tonumber(server:ask("PTTL", key):match "^:(%-?%d+)")
    local expiry = pttl < 0 and NEVER or ("%.0f"):format(pttl + server.now_ms)
    assert.equal(expiry, value.expires_at_ms)
    assert.equal(pttl == -2, value.kind == "absent")
    if value.kind == "bytes" then
        assert.equal(server:ask("GET", key), ("$%d\r\n%s\r\n"):format(value.len, value.bytes))
    elseif value.kind == "members" then
        assert.equal(server:ask("ZCARD", key), (":%d\r\n"):format(value.len))
    end
end

local function compare_output(event, output)
    for session, bytes in pairs(output.bytes) do
        compare_session(event, session, bytes)
    end
    if output.value then
        compare_value(event[3], output.value)
    end
    assert.is_true(output.over == nil or server:has_closed(output.over))
end

-- What one session sends at one moment is in order anyway, and is sent without waiting.
local function goes_on(event, other)
    return other and event[1] == "receive" and other[1] == "receive" and event[2] == other[2]
        and event[3] == other[3]
end

-- Lets the same happen to both.
local function compare(events)
    local all = { { "restart", false, server.started_at_ms }, unpack(events) }
    local outputs, compared = model.run(all), 0
    assert.same(outputs, model.run(all, "luajit"))
    for index, event in ipairs(events) do
        server:apply(event)
        while compared < index and not goes_on(event, events[index + 1]) do
            compared = compared + 1
            compare_output(events[compared], outputs[compared + 1])
        end
    end
end

-- One session says all this, one command after the other. Commands are lists of words, or bytes.
local function say(...)
    local events = { { "accept", 1 } }
    for index = 1, select("#", ...) do
        local said = select(index, ...)
        local bytes = type(said) == "table" and real.command(unpack(said)) or said
        events[index + 1] = { "receive", 1, server.now_ms, bytes }
    end
    events[#events + 1] = { "close", 1 }
    compare(events)
end

-- Scripts, each alone, where one key holds a string and one a hash.
local function eval(...)
    local commands = { { "SET", "string", "value" }, { "HSET", "hash", "field", "value" } }
    for index = 1, select("#", ...) do
        local text = select(index, ...)
        commands[index + 2] = { "EVAL", text, 2, "string", "hash", "x", "", "\0\r\n" }
    end
    say(unpack(commands))
end

setup(function()
    server = real.start(START_MS)
end)

after_each(function()
    server:clear()
end)

teardown(function()
    server:close()
end)

describe("random events, SEED=" .. SEED, function()
    for round = 1, ROUNDS do
        it("are answered alike, round " .. round, function()
            compare(sequences.draw(SEED * 1000 + round, EVENTS, server.now_ms))
        end)
    end

    it("are answered alike where the server restarts, with and without its data", function()
        compare(sequences.draw(SEED * 1000, EVENTS, server.now_ms, 4))
    end)
end)

describe("a value that a script returns", function()
    it("is a number without what is behind the point", function()
        eval("return 3.99", "return -3.99", "return 0", "return -0", "return 2^53",
            "return {1.9, -1.9}", "return '1.9' + 1")
    end)

    it("is a string of any bytes", function()
        eval("return ''", "return ARGV[3]", "return ARGV", "return ('x'):rep(70000)")
    end)

    it("is true, false or nothing", function()
        eval("return true", "return false", "return nil", "return", "", "return function() end",
            "return redis.call", "return coroutine")
    end)

    it("is a list that ends before its first nil", function()
        eval("return {}", "return {1, 'x', true, false, {2, {3}, {}}, nil, 5}", "return {nil, 1}",
            "return {x = 1}", "local t = {} for i = 1, 1000 do t[i] = i end return t")
    end)

    it("is a status or an error, also within a list", function()
        eval("return {ok = 'fine'}", "return {err = 'BAD luck'}", "return {err = 'bad\r\nluck'}",
            "return {ok = 'so\nfar'}", "return {1, {ok = 'x'}, {err = 'X y'}}",
            "return {err = 'X y', ok = 'z', 1}", "return {ok = 1, err = 2, 'x'}")
    end)

    it("is made by redis.error_reply or redis.status_reply", function()
        eval("return redis.error_reply('BAD luck')", "return redis.error_reply('-BAD luck')",
            "return redis.error_reply('bad')", "return redis.error_reply('')",
            "return redis.error_reply(1)", "return redis.error_reply()",
            "return redis.status_reply('fine')", "return redis.status_reply()",
            "return redis.status_reply({})")
    end)
end)

describe("what a script gets from redis.call", function()
    it("is a table for a status, false for nil, a number, a string, a list", function()
        eval("local t = redis.call('SET', 'k', 'v') return {type(t), t.ok}",
            "return {type(redis.call('GET', 'none')), redis.call('GET', 'none') == false and 1}",
            "local n = redis.call('EXISTS', KEYS[1]) return {type(n), n}",
            "local s = redis.call('GET', KEYS[1]) return {type(s), s}",
            "local t = redis.call('MGET', 'none', KEYS[1], KEYS[2]) " ..
                "return {#t, tostring(t[1]), t[2]}",
            "return {#redis.call('ZPOPMIN', 'none'), type(redis.call('ZPOPMIN', 'none')[1])}",
            "redis.call('ZADD', 'q', '1.5', 'm') local t = redis.call('ZPOPMIN', 'q') " ..
                "return {#t, t[1], t[2], type(t[2])}",
            "return {redis.call('SET', 'k', 'v', 'NX'), 1}",
            "return redis.call('SET', 'n', 'v', 'NX')")
    end)

    it("is true again for a client if it is a status", function()
        eval("local reply = redis.call('SET', 'k', 'v') return reply",
            "return {redis.call('SET', 'k', 'v'), redis.call('PTTL', 'none')}")
    end)

    it("answers numbers as words with all of their digits", function()
        eval("redis.call('SET', 'k', 30000) return redis.call('GET', 'k')",
            "redis.call('SET', 'k', -7) return redis.call('GET', 'k')",
            "redis.call('SET', 'k', 2^53) return redis.call('GET', 'k')",
            "redis.call('SET', 'k', 0.5) return redis.call('GET', 'k')",
            "redis.call('SET', 'k', 1e15) return redis.call('GET', 'k')",
            "redis.call('SET', 'k', 123456789012345) return redis.call('GET', 'k')",
            "redis.call('SET', 'k', 1e20) return redis.call('GET', 'k')",
            "return redis.call('EXPIRE', KEYS[1], 10.5)")
    end)
end)

describe("an error in a script", function()
    it("says where it was, and the script's SHA1", function()
        eval("return {redis.call('GET', KEYS[2])}", "\n\nreturn {redis.call('GET', KEYS[2])}",
            "local function get(key)\nlocal value = redis.call('GET', key)\nreturn value\nend\n" ..
                "local value = get(KEYS[2])\nreturn value",
            "error('boo')", "\nerror('boo')", "error('boo', 0)", "error({err = 'BAD luck'})",
            "error()", "error(5)", "return nil + 1", "local t\n\nt.x = 1", "return #5",
            "return {} < {}", "return 'x' .. {}", "local s = ('x'):rep()")
    end)

    it("is a table for who asked by redis.pcall, and a text for who asked by pcall", function()
        eval("return redis.pcall('GET', KEYS[2])",
            "local e = redis.pcall('GET', KEYS[2]) return {type(e), e.err, tostring(e.ok)}",
            "local ok, e = pcall(redis.call, 'GET', KEYS[2]) return {tostring(ok), type(e), e}",
            "local ok, e = pcall(error, {err = 'BAD luck'}) return {tostring(ok), e}",
            "local ok, e = pcall(error, 'boo') return {tostring(ok), e}",
            "local ok, e = pcall(function() error('boo') end) return {tostring(ok), e}",
            "return {pcall(function(...) return select('#', ...), ... end, 1, nil, 3)}",
            "local ok, e = pcall(redis.call, 'GET', KEYS[2]) error(e)",
            "local e = redis.pcall('GET', KEYS[2]) error(e)",
            "local e = redis.pcall('GET', KEYS[2]) error(e.err)")
    end)

    it("comes of what is no command", function()
        eval("redis.call()", "redis.call('FOO')", "redis.call('GET')",
            "redis.call('GET', 'a', 'b')", "redis.call('GET', {})", "redis.call('GET', nil)",
            "redis.call('GET', true)", "redis.call('SUBSCRIBE', 'x')",
            "redis.call('EVAL', 'return 1', 0)", "redis.call('AUTH', 'x')",
            "redis.call('SCRIPT', 'FLUSH')", "redis.call('SCRIPT')", "redis.call('SCRIPT', 'x')",
            "return redis.pcall()", "return redis.pcall('FOO')", "return redis.pcall('GET', {})",
            "redis.call('SET', 'k', 'v', 'PX', 0)", "redis.call('SET', 'k', 'v', 'PX', 1.5)")
    end)

    it("comes of globals that are not there", function()
        eval("return foo", "return print", "foo = 1", "function foo() end", "return os",
            "return io", "return require 'x'", "foo.bar = 1", "local foo = foo")
    end)

    it("comes of what is no Lua, which is no script then", function()
        local text = "return +"
        say({ "EVAL", text, 0 }, { "SCRIPT", "LOAD", text }, { "EVAL", "x", 0 },
            { "EVAL", "end", 0 }, { "EVAL", "return 1 end", 0 }, { "EVAL", "'", 0 },
            { "EVALSHA", "0b95a0f1ac5bcbbda55c0a6b5a4e1d6e1e0ba8b3", 0 })
    end)

    it("leaves what was done before", function()
        eval("redis.call('SET', 'done', 1) redis.call('GET', KEYS[2])",
            "return redis.call('GET', 'done')")
    end)
end)

describe("a script", function()
    it("formats, compares and cuts as Lua 5.1 does", function()
        eval("return tostring(1e15) .. tostring(1e14) .. 2^53 .. 0.1 .. 10 / 2 .. -0.5",
            "return ('%.0f'):format(2^53)", "return tostring(1 / 0)", "return tonumber('0x10')",
            "return tonumber(' 12 ')", "return tostring(tonumber('1x'))", "return '10' + 5",
            "return {'a' < 'b' and 1, 'B' < 'a' and 1, '10' < '9' and 1, '' < 'a' and 1}",
            "return string.sub('{x}:fence', 1, -6)",
            "return {string.match('a/b/c', '^(.*)/(.*)$')}",
            "local t = {} for w in ('a bb  c'):gmatch '%S+' do t[#t + 1] = w end return t",
            "local t = {3, 1, 2} table.sort(t) return t", "return {unpack({1, 2, 3, 4}, 2, 3)}",
            "return table.concat({1, 2, 'x'}, ',')", "return #ARGV[3]", "return {#KEYS, #ARGV}",
            "return {math.floor(-1.5), math.max(1, 2), math.huge > 1 and 1}")
    end)

    it("takes its KEYS and ARGV for its own", function()
        eval("return {KEYS[3] or 'none', ARGV[9] or 'none', KEYS.x or 'none'}",
            "KEYS[3] = 'mine' KEYS.x = 'mine' ARGV[9] = 'mine' KEYS[1] = nil return KEYS",
            "return {KEYS[3] or 'none', ARGV[9] or 'none', KEYS.x or 'none', KEYS[1]}",
            "table.insert(ARGV, 'mine') " ..
                "setmetatable(KEYS, {__index = function() return 'x' end}) " ..
                "return {#ARGV, KEYS[7]}",
            "return {#ARGV, KEYS[7] or 'none'}")
        local long = { "EVAL", "return {#KEYS, #ARGV, KEYS[#KEYS], ARGV[#ARGV]}", 600 }
        local short = { "EVAL", "return {#KEYS, #ARGV, KEYS[1] or 'none'}", 0 }
        for index = 1, 1500 do
            long[3 + index] = "word" .. index
        end
        say(long, short, long, { "EVAL", "return {KEYS, ARGV}", 1, "a", "b" }, short)
    end)

    it("calls commands with many words", function()
        eval("local t = {} for i = 1, 5000 do t[i] = 'k' .. i end " ..
                "return #redis.call('MGET', unpack(t))",
            "return redis.call('DEL', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', KEYS[1])")
    end)

    it("is known by its SHA1, in any letters, once it ran or was loaded", function()
        local sha1 = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db" -- of "return 1"
        say({ "EVALSHA", sha1, 0 }, { "EVALSHA", "short", "x" }, { "EVALSHA", sha1, "x" },
            { "EVAL", "return 1", 0 }, { "EVALSHA", sha1, 0 }, { "EVALSHA", sha1:upper(), 0 },
            { "SCRIPT", "EXISTS", sha1, sha1:upper(), "x" }, { "SCRIPT", "FLUSH", "ASYNC" },
            { "EVALSHA", sha1, 0 }, { "script", "load", "return 1" }, { "evalsha", sha1, 0 })
    end)
end)

describe("a session", function()
    it("may send its bytes one at a time", function()
        local events = { { "accept", 1 } }
        local said = real.command("SET", "k", ("x"):rep(12)) .. real.command("GET", "k") ..
            real.command("EVAL", "return {KEYS, ARGV}", 1, "a", "", "b")
        for index = 1, #said do
            events[index + 1] = { "receive", 1, server.now_ms, said:sub(index, index) }
        end
        compare(events)
    end)

    it("may send nothing as a command", function()
        say("*0\r\n", "*-1\r\n*0\r\n" .. real.command "PING")
    end)

    it("is closed after bytes that are no protocol", function()
        for _, bytes in ipairs { "*x\r\n", "*1\r\n!3\r\nfoo\r\n", "*1\r\n$-1\r\n", "*1\r\n$x\r\n",
            "*1\r\n$536870913\r\n", "*2147483648\r\n", "*1\r\n$01\r\nx\r\n" } do
            say({ "PING" }, bytes)
        end
        say({ "SUBSCRIBE", "x" }, real.command "PING" .. "*1\r\n:" .. real.command "PING")
    end)

    it("is closed when it asks for it", function()
        say({ "QUIT" })
    end)

    it("has a database of its own choice, and scripts run in it", function()
        say({ "SELECT", 3 }, { "SET", "k", "v" }, { "SELECT", 0 }, { "GET", "k" }, { "SELECT", 3 },
            { "EVAL", "return redis.call('GET', KEYS[1])", 1, "k" }, { "SELECT", -1 })
    end)

    it("begins in database 0, whoever was there before", function()
        say({ "SET", "k", "v" }, { "SELECT", 3 }, { "GET", "k" })
        local now_ms = server.now_ms
        compare {
            { "accept", 1 }, { "receive", 1, now_ms, real.command("SELECT", 3) },
            { "receive", 1, now_ms, real.command("SUBSCRIBE", "c") }, { "close", 1 },
            { "accept", 1 }, { "receive", 1, now_ms, real.command("PUBLISH", "c", "x") },
            { "receive", 1, now_ms, real.command("SET", "k", "v") },
            { "accept", 2 }, { "receive", 2, now_ms, real.command("GET", "k") },
        }
    end)

    it("that subscribed hears messages in the order in which they were published", function()
        local now_ms = server.now_ms
        compare {
            { "accept", 1 }, { "accept", 2 }, { "accept", 3 },
            { "receive", 1, now_ms, real.command("SUBSCRIBE", "a", "b", "a") },
            { "receive", 2, now_ms, real.command("SUBSCRIBE", "b") },
            { "receive", 3, now_ms, real.command("EVAL", [[
                return {redis.call('PUBLISH', 'a', '1'), redis.call('PUBLISH', 'b', '2'),
                    redis.call('PUBLISH', 'c', '3')} ]], 0) },
            { "receive", 1, now_ms, real.command("UNSUBSCRIBE", "b", "b", "c") },
            { "receive", 3, now_ms, real.command("PUBLISH", "b", "") },
            { "receive", 1, now_ms, real.command("UNSUBSCRIBE") },
            { "receive", 1, now_ms, real.command("GET", "k") .. real.command("UNSUBSCRIBE") },
            { "close", 2 },
            { "receive", 3, now_ms, real.command("PUBLISH", "b", "x") },
        }
    end)
end)

describe("a server that restarts", function()
    local function restart(keeps_data)
        local now_ms = server.now_ms
        local events = { { "accept", 1 }, { "accept", 2 },
            { "receive", 2, now_ms, real.command("SUBSCRIBE", "c") },
            { "receive", 1, now_ms, real.command("SET", "k", "v") },
            { "receive", 1, now_ms, real.command("SET", "short", "v", "PX", 400) },
            { "receive", 1, now_ms, real.command("ZADD", "z", 2, "b", 1, "a") },
            { "receive", 1, now_ms, real.command("EVAL", "return 1", 0) .. "*1\r\n$4\r\nPI" },
            { "restart", keeps_data, now_ms + 500 }, { "close", 1 }, { "close", 2 },
            { "accept", 1 } }
        for _, words in ipairs { { "GET", "k" }, { "EXISTS", "short" }, { "ZPOPMIN", "z" },
            { "SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db" },
            { "PUBLISH", "c", "x" } } do
            events[#events + 1] = { "receive", 1, now_ms + 500, real.command(unpack(words)) }
        end
        -- The seconds of the clock count, not those since the start.
        for _, ms in ipairs { 500, 700, 999, 1000, 1499, 1500, 1501, 2000, 61000 } do
            events[#events + 1] = { "receive", 1, now_ms + ms, real.command("INFO", "server") }
        end
        compare(events)
    end

    it("has its keys if it kept them, and knows no scripts and no sessions", function()
        restart(true)
    end)

    it("without its data has no keys either", function()
        restart(false)
    end)
end)

describe("a key", function()
    it("is there through the millisecond of its expiry, and then gone", function()
        local now_ms = server.now_ms
        local events = { { "accept", 1 },
            { "receive", 1, now_ms, real.command("SET", "k", "v", "PX", 10) } }
        for ms = 8, 12 do
            for _, word in ipairs { "PTTL", "TTL", "EXISTS", "GET" } do
                events[#events + 1] = { "receive", 1, now_ms + ms, real.command(word, "k") }
            end
            events[#events + 1] = { "look", now_ms + ms, "k" }
        end
        compare(events)
    end)

    it("is gone at once if its time to live is not positive", function()
        say({ "SET", "k", "v" }, { "PEXPIRE", "k", 0 }, { "EXISTS", "k" }, { "SET", "k", "v" },
            { "EXPIRE", "k", -1 }, { "EXISTS", "k" }, { "EXPIRE", "k", 1 }, { "SET", "k", "v" },
            { "SET", "k", "v", "PX", 0 }, { "SET", "k", "v", "EX", -1 }, { "GET", "k" })
    end)

    it("may be empty, and so may be what stands under it", function()
        say({ "SET", "", "" }, { "GET", "" }, { "EXISTS", "", "" }, { "ZADD", "z", 1, "" },
            { "ZREM", "z", "" }, { "EXISTS", "z" }, { "DEL", "" }, { "" }, { "", "" })
    end)

    it("is what the judge sees", function()
        local now_ms = server.now_ms
        local events = { { "accept", 1 } }
        for _, words in ipairs { { "SET", "s", "x\0y" }, { "SET", "t", "", "PX", 5 },
            { "ZADD", "z", 1, "a", 2, "b" }, { "EXPIRE", "z", 100 }, { "SELECT", 1 },
            { "SET", "u", 1 } } do
            events[#events + 1] = { "receive", 1, now_ms, real.command(unpack(words)) }
        end
        for _, key in ipairs { "s", "t", "z", "u", "none" } do
            events[#events + 1] = { "look", now_ms, key }
        end
        events[#events + 1] = { "receive", 1, now_ms + 6, real.command("PING") }
        events[#events + 1] = { "look", now_ms + 6, "t" }
        compare(events)
    end)

    it("of many is found, also after others were removed", function()
        local commands = {}
        for index = 1, 300 do
            commands[#commands + 1] = { "SET", "key" .. index, index }
            commands[#commands + 1] = index % 3 == 0 and { "DEL", "key" .. index - 1 } or nil
        end
        for index = 1, 300 do
            commands[#commands + 1] = { "GET", "key" .. index }
        end
        say(unpack(commands))
    end)

    it("that is a sorted set is in the order of scores, then of bytes", function()
        local commands = { { "ZADD", "z", 1, "b", 1, "a", 1, "ab", 0, "z", "-inf", "y", "inf", "x",
            1, "", "1e3", "e", 1700000000000001, "now", ".5", "half" }, { "ZADD", "z", 5, "a" },
            { "ZADD", "z", "NX", 9, "b", 9, "new" }, { "ZREM", "z", "e", "e", "none" } }
        for _ = 1, 12 do
            commands[#commands + 1] = { "ZPOPMIN", "z" }
        end
        say(unpack(commands))
    end)

    it("that is a sorted set is a queue as long as one likes", function()
        local commands = {}
        for index = 1, 200 do
            commands[#commands + 1] = { "ZADD", "z", "NX", index % 7, "m" .. index }
            commands[#commands + 1] = index % 4 > 0 and { "ZPOPMIN", "z" } or { "ZCARD", "z" }
        end
        say(unpack(commands))
    end)
end)

describe("a command", function()
    it("with too few or too many words is refused", function()
        for _, words in ipairs { { "GET" }, { "SET", "k" }, { "MGET" }, { "DEL" }, { "EXISTS" },
            { "PTTL" }, { "TTL", "a", "b" }, { "EXPIRE", "k" }, { "PEXPIRE", "k" },
            { "ZADD", "k", 1 }, { "ZADD", "k", 1, "a", 2 }, { "ZADD", "k", "NX", 1 },
            { "ZREM", "k" }, { "ZCARD" }, { "HSET", "k", "f" }, { "HSET", "k", "f", "v", "f" },
            { "PUBLISH", "c" }, { "SUBSCRIBE" }, { "EVAL", "return 1" }, { "EVALSHA", "x" },
            { "SCRIPT" }, { "SCRIPT", "LOAD" }, { "SCRIPT", "EXISTS" }, { "SELECT" },
            { "CLIENT" }, { "CLIENT", "SETNAME" }, { "AUTH" }, { "AUTH", "a", "b", "c" },
            { "PING", "a", "b" } } do
            say(words)
        end
    end)

    it("that is unknown is quoted", function()
        say({ "FOO" }, { "a-name-of-many-letters", "x" }, { "client|setname", "x" },
            { "FOO", ("x"):rep(200) }, { "FOO", ("x"):rep(100), ("y"):rep(100), "z" },
            { ("x"):rep(200), "y" }, { "CLIENT", "FOO" }, { "SCRIPT", ("x"):rep(200) })
    end)
end)

describe("the model", function()
    -- What the first events brought forth, and the last.
    local function ends_of(events, between)
        local all, start = {}, { "restart", false, START_MS }
        for _, list in ipairs { { start }, events, { start }, between, { start }, events } do
            for _, event in ipairs(list) do
                all[#all + 1] = event
            end
        end
        local outputs = model.run(all)
        local first, last = {}, {}
        for index = 1, #events do
            first[index] = outputs[1 + index]
            last[index] = outputs[#outputs - #events + index]
        end
        return first, last
    end

    -- All sessions are closed, as a restart asks for.
    local function closed(events)
        for session = 0, 7 do
            events[#events + 1] = { "close", session }
        end
        return events
    end

    it("says the same whatever was there before a restart without data", function()
        local events = closed(sequences.draw(SEED, EVENTS, START_MS))
        local others = closed(sequences.draw(SEED + 1, EVENTS, START_MS))
        local first, last = ends_of(events, others)
        assert.same(first, last)
    end)

    it("runs the library's scripts without LuaJIT, but for odd numbers of keys", function()
        local events, asked, given_up = sequences.draw(SEED, EVENTS, START_MS), 0, 0
        local outputs = model.run(events, "trees")
        for _, kind in ipairs(sequences.kinds) do
            local sha1, text = machine.script(kind)
            for index, event in ipairs(events) do
                local bytes = event[4] or ""
                if bytes:find(sha1, 1, true) or bytes:find(text, 1, true) then
                    local reply = outputs[index].bytes[event[2]] or ""
                    asked = asked + 1
                    given_up = given_up + (reply:find "a tree cannot do that" and 1 or 0)
                end
            end
        end
        assert.is_true(asked > EVENTS / 4)
        assert.is_true(given_up < asked / 20, given_up .. " of " .. asked)
    end)
end)
