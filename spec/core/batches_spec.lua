--- What is asked of a node in one turn: what travels together, and in which order it leaves.

local machine = require "machine"
local resp = require "support.resp"

local INFO_TEXT = "uptime_in_seconds:4321\r\n"
local INFO = ("$%d\r\n%s\r\n"):format(#INFO_TEXT, INFO_TEXT)
local DEPTH_MAX, RENEWALS_MAX = 32, 256

local names = {} -- SHA1 of a script, or its text -> its name
for _, kind in ipairs {
    "acquire", "acquire_many", "extend", "extend_many", "release", "release_many", "inspect",
} do
    local sha1, text = machine.script(kind)
    names[sha1], names[text] = kind, kind
end

local function ready_node()
    local node = machine.node {}
    assert.is_true(node:open())
    node:output()
    node:feed(INFO)
    assert.equal("ready", node:next_event().kind)
    return node
end

local function words_of(request)
    local words, position = {}, request:find("$", 1, true)
    while position do
        local len, first = request:match("^%$(%d+)\r\n()", position)
        words[#words + 1] = request:sub(first, first + len - 1)
        position = first + len + 2 <= #request and first + len + 2 or nil
    end
    return words
end

-- Each request that the node would send, as the script and the locks: "acquire_many a b".
local function sent_by(node)
    local list = {}
    resp.split(node:output(), resp.request_end, function(request)
        local words = words_of(request)
        local name, keys = names[words[2]], tonumber(words[3])
        local count = name == "extend_many" and keys or keys / 2
        list[#list + 1] = name .. " " .. table.concat(words, " ", 4, 3 + count)
    end)
    return list
end

local tag = 0

local function fields(key, others)
    tag = tag + 1
    local request = { key = key, token = "T" .. tag, ttl_ms = 1000, fence = tag, tag = tag,
        fence_ttl_s = 86400, round = 1, batchable = true }
    for name, value in pairs(others or {}) do
        request[name] = value
    end
    return request
end

-- What is sent of a list such as { "acquire a", "release b", "alone release a" }, in its order.
local function sent_of(list, node)
    node = node or ready_node()
    local batches = machine.batches(node)
    for _, line in ipairs(list) do
        local rest, alone = line:gsub("^alone ", "")
        local kind, key = rest:match "^(%l+) (%S+)$"
        batches:send(kind, fields(key, { batchable = alone == 0 }))
    end
    batches:flush()
    return sent_by(node)
end

local function numbered(format, count)
    local list = {}
    for index = 1, count do
        list[index] = format:format(index)
    end
    return list
end

describe("what is asked in one turn", function()
    it("travels together by its kind: releases, then acquires, then renewals", function()
        assert.same({ "release_many c e", "acquire_many a d", "extend_many b f" }, sent_of {
            "acquire a", "extend b", "release c", "acquire d", "release e", "extend f",
        })
    end)

    it("travels as what it is where it is the only one, but for a renewal", function()
        assert.same({ "release b", "acquire a", "extend_many c" },
            sent_of { "acquire a", "release b", "extend c" })
    end)

    it("travels alone if it has to, ahead of what waits for others", function()
        assert.same({ "acquire b", "inspect c", "acquire_many a d" },
            sent_of { "acquire a", "alone acquire b", "alone inspect c", "acquire d" })
    end)

    it("leaves nothing for the next turn", function()
        local node = ready_node()
        local batches = machine.batches(node)
        batches:send("acquire", fields "a")
        batches:send("acquire", fields "b")
        assert.same({}, sent_by(node))
        batches:flush()
        assert.same({ "acquire_many a b" }, sent_by(node))
        batches:flush()
        assert.same({}, sent_by(node))
    end)

    it("leaves at once where it is the last, and the only one but for a renewal", function()
        local node = ready_node()
        local batches = machine.batches(node)
        batches:send_last("acquire", fields "a")
        batches:send_last("release", fields "b")
        assert.same({ "acquire a", "release b" }, sent_by(node))
        batches:send_last("extend", fields "c")
        assert.same({}, sent_by(node))
        batches:send_last("acquire", fields "d")
        batches:send_last("release", fields "d")
        batches:flush()
        assert.same({ "acquire d", "extend_many c", "release d" }, sent_by(node))
    end)

    it("is answered to who asked", function()
        local node = ready_node()
        local batches = machine.batches(node)
        for index = 1, 3 do
            batches:send("acquire", fields("k" .. index, { tag = index, round = 10 * index }))
        end
        batches:flush()
        node:feed("*9\r\n:1\r\n:0\r\n$1\r\n0\r\n:0\r\n:5\r\n$1\r\n7\r\n:-1\r\n:0\r\n$1\r\n9\r\n")
        for index, reason in ipairs { "granted", "held", "outbid" } do
            local event = node:next_event()
            assert.same({ index, 10 * index, reason }, { event.tag, event.round, event.reason })
        end
    end)

    it("goes one by one where the server has refused many as one", function()
        local node = ready_node()
        sent_of({ "acquire a", "acquire b" }, node)
        node:feed "-NOPERM no\r\n"
        assert.equal("noscript", node:next_event().reason)
        assert.equal("noscript", node:next_event().reason)
        assert.same({ "acquire a", "release b", "acquire c", "extend d" },
            sent_of({ "acquire a", "release b", "acquire c", "extend d" }, node))
    end)

    it("is the same to every node of which the same is asked", function()
        local one, two = ready_node(), ready_node()
        local first = machine.batches(one)
        local second = machine.batches(two, first)
        for index = 1, 5 do
            local request = fields("key" .. index)
            first:send("acquire", request)
            second:send("acquire", request)
        end
        first:flush()
        second:flush()
        local bytes = one:output()
        assert.is_true(#bytes > 0)
        assert.equal(bytes, two:output())
    end)
end)

describe("a batch", function()
    for kind, most in pairs { acquire = DEPTH_MAX, release = DEPTH_MAX, extend = RENEWALS_MAX } do
        it(("of %ss leaves once there are %d"):format(kind, most), function()
            local sizes = {}
            for index, line in ipairs(sent_of(numbered(kind .. " key%d", 2 * most + 3))) do
                local name, keys = line:match "^(%S+) (.*)$"
                assert.equal(kind .. "_many", name)
                sizes[index] = select(2, keys:gsub("%S+", ""))
            end
            assert.same({ most, most, 3 }, sizes)
        end)
    end

    it("that is full takes with it what has to leave before, and nothing else", function()
        local list = { "release a", "extend x" }
        for _, line in ipairs(numbered("acquire key%d", DEPTH_MAX)) do
            list[#list + 1] = line
        end
        list[#list + 1] = "release b"
        local sent = sent_of(list)
        assert.equal("release a", sent[1])
        assert.matches("^acquire_many key1 key2 ", sent[2])
        assert.same({ "release b", "extend_many x" }, { sent[3], sent[4] })
    end)
end)

describe("the order of what is asked for one lock", function()
    -- Where each request for the key is among all that is sent.
    local function order_of(key, sent)
        local order = {}
        for _, line in ipairs(sent) do
            local kind, keys = line:match "^(%l+)%S* (.*)$"
            for word in keys:gmatch "%S+" do
                if word == key then
                    order[#order + 1] = kind
                end
            end
        end
        return table.concat(order, " ")
    end

    it("is kept: a release follows its acquire, also when it is owed", function()
        assert.same({ "acquire_many a b", "release_many a c" },
            sent_of { "acquire a", "acquire b", "release a", "release c" })
        assert.same({ "acquire_many a b", "release a", "acquire c" },
            sent_of { "acquire a", "acquire b", "alone release a", "acquire c" })
    end)

    it("is kept: an acquire follows the release before it", function()
        assert.same({ "release_many a c", "acquire_many b a" },
            sent_of { "release a", "acquire b", "acquire a", "release c" })
        assert.same({ "release a", "acquire_many b a", "release b" },
            sent_of { "release a", "acquire b", "acquire a", "release b" })
    end)

    it("is kept: a release follows a renewal", function()
        assert.same({ "extend_many a b", "release a" },
            sent_of { "extend a", "extend b", "release a" })
        assert.same({ "extend_many a b", "release a" },
            sent_of { "extend a", "extend b", "alone release a" })
    end)

    it("is kept by never having one lock twice in a batch", function()
        assert.same({ "acquire_many a b", "acquire_many a c" },
            sent_of { "acquire a", "acquire b", "acquire a", "acquire c" })
        assert.same({ "release a", "release_many a b" },
            sent_of { "release a", "release a", "release b" })
    end)

    it("is that of one lock where two names have one fence", function()
        for tagged, plain in pairs {
            ["{a}"] = "a", ["{{}x}}"] = "{}x}", ["{{a}"] = "{a", ["{a{}"] = "a{",
            ["{{}}"] = "{}",
        } do
            local fence = "%$%d+\r\n([^\r]*:fence)\r"
            assert.equal(machine.encode("acquire", fields(tagged)):match(fence),
                machine.encode("acquire", fields(plain)):match(fence))
            assert.same({ "acquire " .. tagged, "acquire " .. plain },
                sent_of { "acquire " .. tagged, "acquire " .. plain })
            assert.same({ "acquire " .. plain, "release " .. tagged },
                sent_of { "acquire " .. plain, "release " .. tagged })
        end
        assert.same({ "acquire_many {a}b a {c}" }, sent_of { "acquire {a}b", "acquire a",
            "acquire {c}" })
    end)

    it("is kept, and nobody's request is lost, whatever else is asked", function()
        local random = 1
        local function pick(list)
            random = random * 48271 % 2147483647
            return list[random % #list + 1]
        end
        local kinds = { "acquire", "release", "extend", "alone acquire", "alone release",
            "alone extend", "alone inspect" }
        for _ = 1, 60 do
            local list, asked = {}, {}
            for index = 1, 120 do
                local kind, key = pick(kinds), "key" .. random % 17
                list[index] = kind .. " " .. key
                asked[key] = (asked[key] and asked[key] .. " " or "") .. kind:match "%l+$"
            end
            local sent = sent_of(list)
            for key, order in pairs(asked) do
                assert.equal(order, order_of(key, sent))
            end
        end
    end)

    it("is known of names that have the same ends", function()
        local list, expected = {}, {}
        for index = 1, 20 do
            list[index] = ("acquire tenant-%03d-of-the-same-length:lock"):format(index)
            expected[index] = list[index]:match "%S+$"
        end
        list[21] = "release " .. expected[7]
        assert.same({ "acquire_many " .. table.concat(expected, " "), "release " .. expected[7] },
            sent_of(list))
    end)
end)
