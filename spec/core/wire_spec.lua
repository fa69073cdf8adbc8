--- Requests as bytes, replies as votes: the exact format on the wire.

local machine = require "machine"

local ACQUIRE, ACQUIRE_TEXT = machine.script "acquire"
local ACQUIRE_MANY, ACQUIRE_MANY_TEXT = machine.script "acquire_many"
local EXTEND = machine.script "extend"
local EXTEND_MANY = machine.script "extend_many"
local RELEASE, RELEASE_TEXT = machine.script "release"
local RELEASE_MANY = machine.script "release_many"
local INSPECT = machine.script "inspect"

local unpack = table.unpack or unpack

-- The Redis protocol, by its specification: an array of bulk strings.
local function resp(...)
    local parts = { "*" .. select("#", ...) .. "\r\n" }
    for index = 1, select("#", ...) do
        local word = select(index, ...)
        parts[#parts + 1] = ("$%d\r\n"):format(#word) .. word .. "\r\n"
    end
    return table.concat(parts)
end

local function acquire(fields)
    local request = { key = "name", token = "T", ttl_ms = 30000, fence = 17, fence_ttl_s = 86400 }
    for field, value in pairs(fields or {}) do
        request[field] = value
    end
    return request
end

describe("an acquire", function()
    it("is the script's SHA1, lock and fence, then token, ttl and ballot", function()
        assert.equal(resp("EVALSHA", ACQUIRE, "2", "name", "{name}:fence", "T", "30000", "17"),
            machine.encode("acquire", acquire()))
    end)

    it("names another than the usual ttl of the fence", function()
        assert.equal(
            resp("EVALSHA", ACQUIRE, "2", "name", "{name}:fence", "T", "30000", "17", "7"),
            machine.encode("acquire", acquire { fence_ttl_s = 7 }))
    end)

    it("of a waiter names it, its arrival, and whether it is queued or fair", function()
        local request = acquire { waiter = "redlock:x/12", arrival_us = 1700000000000000 }
        local function expect(...)
            assert.equal(
                resp("EVALSHA", ACQUIRE, "2", "name", "{name}:fence", "T", "30000", "17", "86400",
                    "redlock:x/12", "1700000000000000", ...),
                machine.encode("acquire", request))
        end
        expect()
        request.queued = true
        expect "queued"
        request.fair = true
        expect "fair"
        request.queued = false
        expect "fair"
    end)

    it("that is fair without waiting names nobody", function()
        assert.equal(
            resp("EVALSHA", ACQUIRE, "2", "name", "{name}:fence", "T", "30000", "17", "86400",
                "", "5", "fair"),
            machine.encode("acquire", acquire { fair = true, arrival_us = 5 }))
    end)

    it("by text carries the script instead of its SHA1", function()
        assert.equal(resp("EVAL", ACQUIRE_TEXT, "2", "name", "{name}:fence", "T", "30000", "17"),
            machine.encode("acquire", acquire(), true))
    end)

    it("writes large numbers in full", function()
        local request = acquire { ttl_ms = 86400000 * 365, fence = 2 ^ 53 - 1, fence_ttl_s = 1e9 }
        assert.equal(
            resp("EVALSHA", ACQUIRE, "2", "name", "{name}:fence", "T", "31536000000",
                "9007199254740991", "1000000000"),
            machine.encode("acquire", request))
    end)
end)

describe("the other requests", function()
    it("extend: token, ttl, ballot of the grant, ttl of the fence", function()
        assert.equal(
            resp("EVALSHA", EXTEND, "2", "name", "{name}:fence", "T", "30000", "17", "86400"),
            machine.encode("extend", acquire()))
    end)

    it("release: the token, and who leaves the queue", function()
        assert.equal(resp("EVALSHA", RELEASE, "2", "name", "{name}:queue", "T"),
            machine.encode("release", { key = "name", token = "T" }))
        assert.equal(resp("EVALSHA", RELEASE, "2", "name", "{name}:queue", "", "redlock:x/3"),
            machine.encode("release", { key = "name", token = "", waiter = "redlock:x/3" }))
        assert.equal(resp("EVAL", RELEASE_TEXT, "2", "name", "{name}:queue", "T"),
            machine.encode("release", { key = "name", token = "T" }, true))
    end)

    it("release: the token, and the arrival under which a waiter steps back", function()
        assert.equal(
            resp("EVALSHA", RELEASE, "2", "name", "{name}:queue", "T", "redlock:x/3", "17000"),
            machine.encode("release", { key = "name", token = "T", waiter = "redlock:x/3",
                steps_back = true, arrival_us = 17000 }))
    end)

    it("release: for how long the token still stands, with or without a waiter", function()
        local function release(fields)
            fields.key, fields.token, fields.keep_ms = "name", "T", 500
            return machine.encode("release", fields)
        end
        local words = { "EVALSHA", RELEASE, "2", "name", "{name}:queue", "T" }
        local function with(...)
            return resp(unpack { words[1], words[2], words[3], words[4], words[5], words[6], ... })
        end
        assert.equal(with("", "", "500"), release {})
        assert.equal(with("redlock:x/3", "", "500"), release { waiter = "redlock:x/3" })
        assert.equal(with("redlock:x/3", "17", "500"),
            release { waiter = "redlock:x/3", steps_back = true, arrival_us = 17 })
    end)

    it("inspect: nothing but the keys", function()
        assert.equal(resp("EVALSHA", INSPECT, "2", "name", "{name}:fence"),
            machine.encode("inspect", { key = "name" }))
    end)

    it("break: the token, or none", function()
        local sha1 = machine.script "break"
        for _, token in ipairs { "T", "", "a\0b" } do
            assert.equal(resp("EVALSHA", sha1, "2", "name", "{name}:queue", token),
                machine.encode("break", { key = "name", word = token }))
        end
    end)

    it("scan: the cursor, the pattern, and whether all; no keys", function()
        local sha1 = machine.script "scan"
        local request = { key = "whatever", token = "17", word = "a*" }
        assert.equal(resp("EVALSHA", sha1, "0", "17", "a*"), machine.encode("scan", request))
        request.all = true
        assert.equal(resp("EVALSHA", sha1, "0", "17", "a*", "all"), machine.encode("scan", request))
    end)

    it("extend many: all keys, then token and ttl of each", function()
        assert.equal(
            resp("EVALSHA", EXTEND_MANY, "3", "a", "b", "c", "A", "1", "B", "22", "C", "333"),
            machine.encode("extend_many", {
                { key = "a", token = "A", ttl_ms = 1 }, { key = "b", token = "B", ttl_ms = 22 },
                { key = "c", token = "C", ttl_ms = 333 },
            }))
    end)

    it("acquire many: all locks, fences, what is common, then token and ballot of each", function()
        local requests = {
            acquire { key = "a", token = "A", fence = 1 },
            acquire { key = "b", token = "B", fence = 2 },
        }
        local words = { "4", "a", "b", "{a}:fence", "{b}:fence", "30000", "86400", "",
            "", "A", "1", "B", "2" }
        assert.equal(resp("EVALSHA", ACQUIRE_MANY, unpack(words)),
            machine.encode("acquire_many", requests))
        assert.equal(resp("EVAL", ACQUIRE_MANY_TEXT, unpack(words)),
            machine.encode("acquire_many", requests, true))
    end)

    it("acquire many: ttls that differ, and waiters of one inbox", function()
        assert.equal(
            resp("EVALSHA", ACQUIRE_MANY, "6", "a", "b", "c", "{a}:fence", "{b}:fence", "{c}:fence",
                "30000 30000 500", "86400 7 86400", "redlock:x - 0 18446744 1700 9 1800",
                "", "T", "17", "T", "17", "T", "17"),
            machine.encode("acquire_many", {
                acquire { key = "a" },
                acquire { key = "b", fence_ttl_s = 7, waiter = "redlock:x/18446744",
                    arrival_us = 1700 },
                acquire { key = "c", ttl_ms = 500, waiter = "redlock:x/9", arrival_us = 1800 },
            }))
    end)

    it("release many: all locks, all queues, then the token of each", function()
        assert.equal(
            resp("EVALSHA", RELEASE_MANY, "4", "a", "{b}c", "{a}:queue", "{b}c:queue", "A", "B"),
            machine.encode("release_many", {
                { key = "a", token = "A" }, { key = "{b}c", token = "B" },
            }))
    end)

    it("acquire many: as many, and as long, as a batch may hold", function()
        local requests, locks, fences, ttls, rest = {}, {}, {}, {}, {}
        local inbox, waiter = ("x"):rep(42), " 18446744073709551615 1000000000000000"
        for index = 1, 256 do
            local key, ttl = ("k"):rep(1020) .. 1000 + index, 1e15 + index
            requests[index] = acquire { key = key, ttl_ms = ttl, fence_ttl_s = ttl,
                waiter = inbox .. "/18446744073709551615", arrival_us = 1e15,
                identity = ("i"):rep(255) }
            locks[index], fences[index] = key, ("{%s}:fence"):format(key)
            ttls[index] = ("%.0f"):format(ttl)
            rest[2 * index - 1], rest[2 * index] = "T", "17"
        end
        local all_ttls = table.concat(ttls, " ")
        local words = { "EVALSHA", ACQUIRE_MANY, "512" }
        for _, list in ipairs {
            locks, fences, { all_ttls, all_ttls, inbox .. waiter:rep(256), ("i"):rep(255) }, rest,
        } do
            for _, word in ipairs(list) do
                words[#words + 1] = word
            end
        end
        assert.equal(resp(unpack(words)), machine.encode("acquire_many", requests))
    end)

    it("extend many: as many as a batch may hold", function()
        local requests, keys, rest = {}, {}, {}
        for index = 1, 256 do
            local key = ("key%d"):format(index)
            requests[index] = { key = key, token = "T" .. index, ttl_ms = index }
            keys[index] = key
            rest[#rest + 1] = "T" .. index
            rest[#rest + 1] = tostring(index)
        end
        local words = { "EVALSHA", EXTEND_MANY, "256" }
        for _, list in ipairs { keys, rest } do
            for _, word in ipairs(list) do
                words[#words + 1] = word
            end
        end
        assert.equal(resp(unpack(words)),
            machine.encode("extend_many", requests))
    end)
end)

describe("side keys", function()
    local function fence_of(key)
        local bytes = machine.encode("inspect", { key = key })
        local rest = bytes:match("\r\n2\r\n(.*)$"):gsub("^%$%d+\r\n", "")
        assert.equal(key .. "\r\n", rest:sub(1, #key + 2))
        local len, position = rest:match("^%$(%d+)\r\n()", #key + 3)
        return rest:sub(position, position + len - 1)
    end

    it("wrap a name that has no hash tag in one", function()
        for key, side in pairs {
            ["order:42"] = "{order:42}:fence",
            ["a{b"] = "{a{b}:fence",
            ["{"] = "{{}:fence",
            ["a b"] = "{a b}:fence",
            ["a{}b"] = "{a{}b}:fence",
        } do
            assert.equal(side, fence_of(key))
        end
    end)

    it("keep a name's own hash tag", function()
        for key, side in pairs {
            ["{user}:1"] = "{user}:1:fence",
            ["a{b}c"] = "a{b}c:fence",
            ["{a}{b}"] = "{a}{b}:fence",
            ["{{a}"] = "{{a}:fence",
            ["x}{a}"] = "x}{a}:fence",
        } do
            assert.equal(side, fence_of(key))
        end
    end)

    it("of one lock differ by suffix", function()
        assert.matches("{name}:queue", machine.encode("release", { key = "name" }), 1, true)
        assert.matches("{name}:fence", machine.encode("extend", acquire()), 1, true)
    end)
end)

describe("a name", function()
    it("may hold any byte, CRLF and NUL too", function()
        local bytes = {}
        for byte = 0, 255 do
            bytes[#bytes + 1] = string.char(byte)
        end
        local all = table.concat(bytes):gsub("[{}]", "")
        for _, key in ipairs { "\0", "\r\n", "a\0b", " ", "\195\164", all } do
            assert.equal(resp("EVALSHA", INSPECT, "2", key, "{" .. key .. "}:fence"),
                machine.encode("inspect", { key = key }))
        end
    end)

    it("may be of 1024 bytes", function()
        local key = ("k"):rep(1024)
        assert.equal(resp("EVALSHA", RELEASE, "2", key, "{" .. key .. "}:queue", "T"),
            machine.encode("release", { key = key, token = "T" }))
    end)
end)

describe("a reply to an acquire", function()
    local function vote(reply)
        return machine.decode("acquire", reply)
    end

    it("grants", function()
        assert.equal("granted", vote(":1\r\n").reason)
    end)

    it("says how long another holds it, and the highest ballot", function()
        local held = vote "*3\r\n:0\r\n:2500\r\n$2\r\n17\r\n"
        assert.same({ "held", 2500, 17 }, { held.reason, held.ttl_ms, held.fence })
        held = vote "*3\r\n:0\r\n:-1\r\n$16\r\n1700000000000000\r\n"
        assert.same({ "held", -1, 1700000000000000 }, { held.reason, held.ttl_ms, held.fence })
    end)

    it("says that it is outbid, and by what", function()
        local outbid = vote "*2\r\n:-1\r\n$3\r\n170\r\n"
        assert.same({ "outbid", 170 }, { outbid.reason, outbid.fence })
    end)

    it("is malformed if it is anything else", function()
        for _, reply in ipairs {
            ":0\r\n", ":-1\r\n", ":2\r\n", "+OK\r\n", "$1\r\n1\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n",
            "*1\r\n:1\r\n", "*1\r\n:0\r\n", "*2\r\n:0\r\n:5\r\n", "*2\r\n:1\r\n:1\r\n",
            "*3\r\n:0\r\n:5\r\n:17\r\n", "*3\r\n:0\r\n$1\r\n5\r\n$2\r\n17\r\n",
            "*3\r\n:0\r\n:5\r\n$-1\r\n",
            "*3\r\n$1\r\n0\r\n:5\r\n$2\r\n17\r\n", "*4\r\n:0\r\n:5\r\n$2\r\n17\r\n:1\r\n",
            "*3\r\n:2\r\n:5\r\n$2\r\n17\r\n", "*3\r\n:-1\r\n:5\r\n$2\r\n17\r\n",
            "*2\r\n:-1\r\n:17\r\n", "*2\r\n-ERR\r\n$2\r\n17\r\n",
        } do
            assert.equal("malformed", vote(reply).reason, reply)
        end
    end)

    it("is this lock's trouble alone where the key of its fence holds something else", function()
        for _, reply in ipairs {
            "*3\r\n:0\r\n:5\r\n$2\r\n-1\r\n", "*3\r\n:0\r\n:5\r\n$1\r\nx\r\n",
            "*3\r\n:0\r\n:5\r\n$0\r\n\r\n", "*2\r\n:-1\r\n$17\r\n12345678901234567\r\n",
            "*2\r\n:-1\r\n$16\r\n9999999999999999\r\n",
        } do
            assert.equal("bad_fence", vote(reply).reason, reply)
        end
    end)
end)

describe("a reply to many acquires", function()
    local function votes(reply, count)
        local list = {}
        for index = 1, count do
            local vote = machine.decode("acquire_many", reply, count, index)
            list[index] = { vote.reason, vote.ttl_ms, vote.fence, vote.text }
        end
        return list
    end

    local function bulk(text)
        return ("$%d\r\n%s\r\n"):format(#text, text)
    end

    it("grants all of them", function()
        local granted = { "granted", 0, 0, "" }
        assert.same({ granted, granted, granted }, votes(":1\r\n", 3))
    end)

    it("says of each what it would be told alone", function()
        assert.same({
            { "granted", 0, 0, "" }, { "held", 2500, 17, "" }, { "held", -1, 0, "" },
            { "outbid", 0, 170, "" }, { "wrongtype", 0, 0, "WRONGTYPE Operation against a key" },
            { "noperm", 0, 0, "NOPERM no" }, { "bad_fence", 0, 0, "" },
        }, votes("*21\r\n:1\r\n:0\r\n" .. bulk "0" .. ":0\r\n:2500\r\n" .. bulk "17" ..
            ":0\r\n:-1\r\n" .. bulk "0" .. ":-1\r\n:0\r\n" .. bulk "170" ..
            bulk "WRONGTYPE Operation against a key" .. ":0\r\n" .. bulk "0" ..
            bulk "NOPERM no" .. ":0\r\n" .. bulk "0" .. ":-1\r\n:0\r\n" .. bulk "x", 7))
    end)

    it("never grants by an error's text", function()
        for _, text in ipairs { "", "1", "granted", "OK", "\0" } do
            local reply = "*3\r\n" .. bulk(text) .. ":0\r\n" .. bulk "0"
            assert.equal("unknown_error", machine.decode("acquire_many", reply, 1, 1).reason)
        end
    end)

    it("is malformed if it does not fit", function()
        for _, reply in ipairs {
            ":0\r\n", ":2\r\n", ":-1\r\n", "+OK\r\n", "$1\r\n1\r\n", "$-1\r\n", "*-1\r\n",
            "*0\r\n", "*1\r\n:1\r\n", "*2\r\n:1\r\n:1\r\n", "*4\r\n:1\r\n:0\r\n$1\r\n0\r\n:1\r\n",
            "*3\r\n:1\r\n:0\r\n:0\r\n", "*3\r\n:1\r\n$1\r\n0\r\n$1\r\n0\r\n",
            "*3\r\n:2\r\n:0\r\n$1\r\n0\r\n", "*3\r\n+OK\r\n:0\r\n$1\r\n0\r\n",
            "*3\r\n$-1\r\n:0\r\n$1\r\n0\r\n", "*3\r\n-ERR\r\n:0\r\n$1\r\n0\r\n",
            "*3\r\n:0\r\n:5\r\n$-1\r\n", "*3\r\n*1\r\n:1\r\n:0\r\n$1\r\n0\r\n",
            "*6\r\n:1\r\n:0\r\n$1\r\n0\r\n:1\r\n:0\r\n$1\r\n0\r\n",
        } do
            assert.equal("malformed", machine.decode("acquire_many", reply, 1, 1).reason, reply)
        end
    end)
end)

describe("a reply to an extension or a release", function()
    it("is a status", function()
        for _, kind in ipairs { "extend", "release" } do
            assert.equal("granted", machine.decode(kind, ":1\r\n").reason)
            assert.equal("absent", machine.decode(kind, ":0\r\n").reason)
            assert.equal("anothers", machine.decode(kind, ":-1\r\n").reason)
            for _, reply in ipairs {
                ":3\r\n", ":-2\r\n", "+OK\r\n", "$1\r\n1\r\n", "$-1\r\n", "*1\r\n:1\r\n",
                ":9223372036854775807\r\n", ":-9223372036854775807\r\n",
            } do
                assert.equal("malformed", machine.decode(kind, reply).reason, reply)
            end
        end
    end)

    it("says of a release alone that a waiter was told", function()
        local told = machine.decode("release", ":2\r\n")
        assert.same({ "granted", true }, { told.reason, told.told })
        assert.is_false(machine.decode("release", ":1\r\n").told)
        assert.equal("malformed", machine.decode("extend", ":2\r\n").reason)
        local many = "*2\r\n:1\r\n:2\r\n"
        assert.is_false(machine.decode("release_many", many, 2, 1).told)
        assert.is_true(machine.decode("release_many", many, 2, 2).told)
        assert.equal("malformed", machine.decode("extend_many", many, 2, 2).reason)
    end)

    it("of a key of another type says: another's", function()
        local wrong = "-WRONGTYPE Operation against a key\r\n"
        assert.equal("anothers", machine.decode("extend", wrong).reason)
        assert.equal("anothers", machine.decode("release", wrong).reason)
        assert.equal("wrongtype", machine.decode("acquire", wrong).reason)
        assert.equal("wrongtype", machine.decode("inspect", wrong).reason)
    end)

    it("of a batch is one status for each", function()
        local reply, reasons = "*4\r\n:1\r\n:0\r\n:-1\r\n:1\r\n", {}
        for index = 1, 4 do
            reasons[index] = machine.decode("extend_many", reply, 4, index).reason
        end
        assert.same({ "granted", "absent", "anothers", "granted" }, reasons)
    end)

    it("of a batch is malformed if it does not fit", function()
        for _, reply in ipairs {
            "*2\r\n:1\r\n:1\r\n", "*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n", ":1\r\n", "*-1\r\n", "*0\r\n",
            "*3\r\n:7\r\n:1\r\n:1\r\n", "*3\r\n+OK\r\n:1\r\n:1\r\n",
            "*3\r\n*1\r\n:1\r\n:1\r\n:1\r\n",
        } do
            assert.equal("malformed", machine.decode("extend_many", reply, 3, 1).reason, reply)
            local vote = machine.decode("release_many", reply, 3, 1)
            assert.equal(reply == ":1\r\n" and "granted" or "malformed", vote.reason, reply)
        end
    end)

    it("of many releases is one number for all, or a status or an error's text for each", function()
        assert.equal("granted", machine.decode("release_many", ":1\r\n", 3, 3).reason)
        local reasons = {}
        local reply = "*5\r\n:1\r\n:0\r\n:-1\r\n$12\r\nWRONGTYPE of\r\n$9\r\nNOPERM no\r\n"
        for index = 1, 5 do
            reasons[index] = machine.decode("release_many", reply, 5, index).reason
        end
        assert.same({ "granted", "absent", "anothers", "anothers", "noperm" }, reasons)
        for _, number in ipairs { 0, -1, 2 } do
            assert.equal("malformed",
                machine.decode("release_many", (":%d\r\n"):format(number), 3, 1).reason)
        end
    end)
end)

describe("a reply to an inspection", function()
    local function vote(reply)
        return machine.decode("inspect", reply)
    end

    it("is holder, remaining lease, fence and number of waiters", function()
        local seen = vote "*4\r\n$5\r\nto\0en\r\n:900\r\n$2\r\n17\r\n:3\r\n"
        assert.same({ "granted", "to\0en", 900, 17, 3 },
            { seen.reason, seen.text, seen.ttl_ms, seen.fence, seen.waiters })
    end)

    it("says that nobody holds it", function()
        local seen = vote "*4\r\n$-1\r\n:-2\r\n$1\r\n0\r\n:0\r\n"
        assert.same({ "granted", "", -2, 0, 0 },
            { seen.reason, seen.text, seen.ttl_ms, seen.fence, seen.waiters })
    end)

    it("is malformed if it is anything else", function()
        for _, reply in ipairs {
            ":1\r\n", "*0\r\n", "*3\r\n$1\r\nx\r\n:1\r\n$1\r\n0\r\n", "$-1\r\n",
            "*4\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\n0\r\n:0\r\n", "*4\r\n$1\r\nx\r\n:1\r\n:0\r\n:0\r\n",
            "*4\r\n$1\r\nx\r\n:1\r\n$1\r\n0\r\n$1\r\n0\r\n",
            "*5\r\n$1\r\nx\r\n:1\r\n$1\r\n0\r\n:0\r\n:0\r\n",
        } do
            assert.equal("malformed", vote(reply).reason, reply)
        end
    end)
end)

describe("an error reply", function()
    it("of any request is its class and its text", function()
        for _, kind in ipairs {
            "acquire", "acquire_many", "extend", "extend_many", "release", "release_many",
            "inspect",
        } do
            local vote = machine.decode(kind, "-LOADING Redis is loading\r\n", 3, 2)
            assert.same({ "loading", "LOADING Redis is loading" }, { vote.reason, vote.text })
            assert.equal("noscript", machine.decode(kind, "-NOSCRIPT No matching\r\n").reason)
            assert.equal("unknown_error", machine.decode(kind, "-ERR oops\r\n").reason)
            assert.equal("unknown_error", machine.decode(kind, "-\r\n").reason)
        end
    end)
end)

describe("a wake-up", function()
    it("is waiter, fence and key", function()
        assert.same({ "12", 1700000000000000, "order:42" },
            { machine.read_wake "12 1700000000000000 order:42" })
    end)

    it("may have any key, spaces, NUL and CRLF too", function()
        for _, key in ipairs { " ", " a b ", "\0", "1 2 3", "\r\n", ("k"):rep(1024) } do
            assert.same({ "0", 0, key }, { machine.read_wake("0 0 " .. key) })
        end
    end)

    it("holds any 64-bit number of a waiter", function()
        assert.equal("18446744073709551615", (machine.read_wake "18446744073709551615 0 k"))
    end)

    it("is nothing else", function()
        for _, message in ipairs {
            "", " ", "  ", "12", "12 ", "12 3", "12 3 ", " 3 k", "12  k", "x 3 k", "12 x k",
            "-1 3 k",
            "12 -3 k", "1.5 3 k", "12 3.5 k", "+1 3 k", "0x1 3 k", "12\0 3 k", "12 3\0 k",
            "123456789012345678901 3 k", "12 12345678901234567 k", "12 9007199254740993 k",
            "12 3 " .. ("k"):rep(1025), ("1"):rep(100000), "12\t3\tk",
        } do
            assert.is_nil((machine.read_wake(message)), message:sub(1, 40))
        end
    end)
end)

describe("a number", function()
    it("is decimal digits alone, up to what a fence may be", function()
        assert.equal(0, machine.read_number "0")
        assert.equal(7, machine.read_number "007")
        assert.equal(2 ^ 53 - 2 ^ 32, machine.read_number "9007194959773696")
        for _, text in ipairs {
            "", "-1", "+1", " 1", "1 ", "1e3", "1.0", "0x1", "x", "9007194959773697",
            "9999999999999999", "00000000000000001", "1\0",
        } do
            assert.is_nil(machine.read_number(text), text)
        end
    end)
end)
