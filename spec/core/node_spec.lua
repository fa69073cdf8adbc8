--- The conversation over one connection: the login, whom each reply is for, and hostile servers.

local machine = require "machine"

local REPLY_MAX = 64 * 1024
local HELD = "*3\r\n:0\r\n:2500\r\n$2\r\n17\r\n"

local function bulk(text)
    return ("$%d\r\n%s\r\n"):format(#text, text)
end

local INFO = bulk "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:4321\r\nhz:10\r\n"

local function command(...)
    local parts = { ("*%d\r\n"):format(select("#", ...)) }
    for index = 1, select("#", ...) do
        parts[index + 1] = bulk((select(index, ...)))
    end
    return table.concat(parts)
end

local function open(login)
    local node = machine.node(login or {})
    assert.is_true(node:open())
    return node
end

local function ready_node()
    local node = open()
    node:output()
    node:feed(INFO)
    assert.equal("ready", node:next_event().kind)
    return node
end

local function subscriber()
    local node = open { channel = "redlock:inbox" }
    node:output()
    node:feed("*3\r\n$9\r\nsubscribe\r\n$13\r\nredlock:inbox\r\n:1\r\n")
    assert.equal("ready", node:next_event().kind)
    return node
end

local function message(text)
    return "*3\r\n$7\r\nmessage\r\n$13\r\nredlock:inbox\r\n" .. bulk(text)
end

-- Every event that there is now, each as a word or a few.
local function events_of(node)
    local events = {}
    local event = node:next_event()
    while event do
        if event.kind == "vote" then
            events[#events + 1] = ("%d/%d %s"):format(event.tag, event.round, event.reason)
        elseif event.kind == "wake" then
            events[#events + 1] = ("wake %d %d %s"):format(event.waiter, event.fence, event.key)
        else
            events[#events + 1] = event.kind
        end
        event = node:next_event()
    end
    return events
end

local function send(node, kind, tag, fields)
    local request = { key = "key" .. tag, token = "T" .. tag, ttl_ms = 1000, fence = tag, tag = tag,
        round = 10 * tag }
    for field, value in pairs(fields or {}) do
        request[field] = value
    end
    assert.is_true(node:send(kind, request))
end

local function batch(first, last)
    local requests = {}
    for tag = first, last do
        requests[#requests + 1] = { key = "key" .. tag, token = "T", ttl_ms = 1000, tag = tag,
            round = 10 * tag }
    end
    return requests
end

local function goes_by_text(node)
    local bytes = node:output()
    assert.is_true(#bytes > 0)
    return bytes:find("$4\r\nEVAL\r\n", 1, true) ~= nil
end

-- What a login of four steps is answered.
local FULL_LOGIN = { user = "app", password = "secret", client_name = "me", database = 3 }

describe("the login", function()
    it("asks for nothing but INFO where nothing is given", function()
        assert.equal(command("INFO", "server"), open():output())
    end)

    it("is AUTH, CLIENT SETNAME, SELECT and INFO, in this order", function()
        assert.equal(
            command("AUTH", "app", "secret") .. command("CLIENT", "SETNAME", "me") ..
                command("SELECT", "3") .. command("INFO", "server"),
            open(FULL_LOGIN):output())
    end)

    it("without a user is AUTH with the password alone", function()
        assert.equal(command("AUTH", "secret") .. command("INFO", "server"),
            open({ password = "secret" }):output())
    end)

    it("of an inbox ends with SUBSCRIBE, and selects nothing", function()
        assert.equal(
            command("AUTH", "secret") .. command("CLIENT", "SETNAME", "me") ..
                command("SUBSCRIBE", "redlock:x"),
            open({ password = "secret", client_name = "me", database = 3, channel = "redlock:x" })
                :output())
    end)

    it("is over when its last step was answered, and not before", function()
        local node = open(FULL_LOGIN)
        for _, reply in ipairs { "+OK\r\n", "+OK\r\n", "+OK\r\n" } do
            node:feed(reply)
            assert.same({}, events_of(node))
            assert.is_false(node:is_ready())
        end
        node:feed(INFO)
        assert.same({ "ready" }, events_of(node))
        assert.is_true(node:is_ready())
    end)

    it("tells how long the server has been up", function()
        local function uptime(info)
            local node = open()
            node:feed(info)
            return node:next_event().uptime_s
        end
        assert.equal(4321, uptime(INFO))
        assert.equal(0, uptime(bulk "uptime_in_seconds:0\r\n"))
        for _, info in ipairs {
            bulk "", bulk "uptime_in_seconds:", bulk "uptime_in_seconds:x", "+OK\r\n", ":5\r\n",
            bulk("uptime_in_seconds:" .. ("9"):rep(40)), "$-1\r\n", "*0\r\n", "-ERR\r\n",
            bulk "uptime_in_seconds:-5",
        } do
            assert.equal(-1, uptime(info), info)
        end
    end)

    it("goes on where CLIENT SETNAME or INFO is refused", function()
        for _, refusal in ipairs { "-NOPERM no\r\n", "-ERR unknown command\r\n", "-LOADING\r\n" } do
            local node = open(FULL_LOGIN)
            node:feed("+OK\r\n" .. refusal .. "+OK\r\n" .. refusal)
            assert.same({ "ready" }, events_of(node))
        end
    end)

    it("breaks where AUTH is refused, and says why", function()
        for refusal, reason in pairs {
            ["WRONGPASS invalid username-password pair"] = "wrongpass",
            ["NOPERM this user may not"] = "noperm",
            ["LOADING Redis is loading"] = "loading",
        } do
            local node = open(FULL_LOGIN)
            node:feed("-" .. refusal .. "\r\n+OK\r\n+OK\r\n" .. INFO)
            local event = node:next_event()
            assert.same({ "broken", reason, refusal }, { event.kind, event.reason, event.text })
            assert.same({}, events_of(node))
            assert.is_false(node:is_ready())
        end
    end)

    it("takes an unknown answer to AUTH for a refusal, and does not repeat its words", function()
        local node = open(FULL_LOGIN)
        node:feed "-ERR unknown command 'AUTH', with args beginning with: 'app' 's\r\n"
        local event = node:next_event()
        assert.same({ "broken", "wrongpass", "" }, { event.kind, event.reason, event.text })
    end)

    it("never repeats words that hold the password", function()
        for step = 1, 4 do
            local node = open(FULL_LOGIN)
            node:feed(("+OK\r\n"):rep(step - 1) .. "-NOAUTH app:secret\r\n")
            local event = node:next_event()
            assert.same({ "broken", "noauth", "" }, { event.kind, event.reason, event.text })
        end
        local node = open { password = "secret" }
        node:feed("+OK\r\n" .. INFO)
        node:next_event()
        send(node, "release", 1)
        send(node, "release", 2)
        node:feed "-ERR you said: secret!\r\n-ERR oops\r\n"
        assert.equal("", node:next_event().text)
        assert.equal("ERR oops", node:next_event().text)
    end)

    it("breaks where SELECT is refused, and says why", function()
        local node = open(FULL_LOGIN)
        node:feed("+OK\r\n+OK\r\n-ERR DB index is out of range\r\n" .. INFO)
        local event = node:next_event()
        assert.same({ "broken", "unknown_error", "ERR DB index is out of range" },
            { event.kind, event.reason, event.text })
    end)

    it("breaks where a password is wanted that was not given", function()
        for step = 1, 2 do
            local node = open { client_name = "me" }
            node:feed((step == 2 and "+OK\r\n" or "") .. "-NOAUTH Authentication required.\r\n")
            local event = node:next_event()
            assert.same({ "broken", "noauth" }, { event.kind, event.reason })
        end
    end)

    it("of an inbox breaks where SUBSCRIBE is refused or answered by something else", function()
        for reply, reason in pairs {
            ["-NOPERM no permission\r\n"] = "noperm", ["+OK\r\n"] = "malformed",
            [":1\r\n"] = "malformed", ["*0\r\n"] = "malformed",
            ["*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n"] = "malformed",
            ["*3\r\n:1\r\n$1\r\nx\r\n:1\r\n"] = "malformed",
        } do
            local node = open { channel = "redlock:x" }
            node:feed(reply)
            local event = node:next_event()
            assert.same({ "broken", reason }, { event.kind, event.reason })
        end
    end)

    it("that met garbage breaks", function()
        for _, bytes in ipairs { "HTTP/1.1 400 Bad Request\r\n", "\0\255", "?\r\n", "$x\r\n" } do
            local node = open()
            node:feed(bytes)
            local event = node:next_event()
            assert.same({ "broken", "malformed" }, { event.kind, event.reason })
        end
    end)

    it("may be repeated on another connection", function()
        local node = ready_node()
        node:close "disconnected"
        assert.is_false(node:is_ready())
        assert.same({}, events_of(node))
        assert.is_true(node:open())
        assert.equal(command("INFO", "server"), node:output())
        node:feed(INFO)
        assert.same({ "ready" }, events_of(node))
    end)
end)

describe("votes", function()
    local REPLIES = table.concat {
        ":1\r\n", HELD, "-NOSCRIPT No matching script\r\n", "*2\r\n:1\r\n:0\r\n", ":-1\r\n",
        "*4\r\n$-1\r\n:-2\r\n$1\r\n0\r\n:0\r\n",
    }
    local VOTES = {
        "1/10 granted", "2/20 held", "3/30 noscript", "4/40 granted", "5/50 absent",
        "6/60 anothers", "7/70 granted",
    }

    local function busy_node()
        local node = ready_node()
        send(node, "acquire", 1)
        send(node, "acquire", 2)
        send(node, "extend", 3)
        node:send("extend_many", batch(4, 5))
        send(node, "release", 6)
        send(node, "inspect", 7)
        assert.equal(6, node:in_flight())
        return node
    end

    it("come in the order of the requests", function()
        local node = busy_node()
        node:feed(REPLIES)
        assert.same(VOTES, events_of(node))
        assert.equal(0, node:in_flight())
    end)

    it("are the same wherever the bytes are split in two", function()
        for first = 1, #REPLIES - 1 do
            local node = busy_node()
            node:feed(REPLIES:sub(1, first))
            local events = events_of(node)
            node:feed(REPLIES:sub(first + 1))
            for _, event in ipairs(events_of(node)) do
                events[#events + 1] = event
            end
            assert.same(VOTES, events)
        end
    end)

    it("are the same byte by byte", function()
        local node, events = busy_node(), {}
        for index = 1, #REPLIES do
            node:feed(REPLIES:sub(index, index))
            for _, event in ipairs(events_of(node)) do
                events[#events + 1] = event
            end
        end
        assert.same(VOTES, events)
    end)

    it("come when the bytes are whole, and not before", function()
        local node = ready_node()
        send(node, "acquire", 1)
        for index = 1, #HELD - 1 do
            node:feed(HELD:sub(index, index))
            assert.is_nil(node:next_event())
        end
        node:feed(HELD:sub(-1))
        local event = node:next_event()
        assert.same({ "held", 2500, 17 }, { event.reason, event.ttl_ms, event.fence })
    end)

    it("of thousands in flight find their askers", function()
        local node = ready_node()
        for tag = 1, 3000 do
            send(node, "release", tag)
        end
        assert.equal(3000, node:in_flight())
        for tag = 1, 3000, 100 do
            node:feed((":1\r\n"):rep(100))
            for index = 0, 99 do
                assert.equal(tag + index, node:next_event().tag)
            end
            assert.is_nil(node:next_event())
        end
    end)

    it("bring back any tag and round", function()
        local node = ready_node()
        send(node, "release", 1, { tag = 2 ^ 52 + 1, round = 2 ^ 32 - 1 })
        node:feed ":1\r\n"
        local event = node:next_event()
        assert.same({ 2 ^ 52 + 1, 2 ^ 32 - 1 }, { event.tag, event.round })
    end)

    it("of a batch come to each of its askers, errors too", function()
        local node = ready_node()
        node:send("extend_many", batch(1, 3))
        node:send("extend_many", batch(4, 5))
        node:feed("-BUSY in a script\r\n*2\r\n:-1\r\n:1\r\n")
        assert.same({ "1/10 busy", "2/20 busy", "3/30 busy", "4/40 anothers", "5/50 granted" },
            events_of(node))
    end)

    it("of a batch may be taken in turns with more bytes", function()
        local node = ready_node()
        node:send("extend_many", batch(1, 3))
        send(node, "release", 4)
        node:feed("*3\r\n:1\r\n:0\r\n:-1\r\n")
        assert.equal("granted", node:next_event().reason)
        node:feed(":1\r\n")
        assert.same({ "2/20 absent", "3/30 anothers", "4/40 granted" }, events_of(node))
    end)
end)

describe("a script", function()
    local function answer(node, reply)
        node:feed(reply)
        return events_of(node)
    end

    it("goes by its SHA1 first", function()
        local node = ready_node()
        send(node, "acquire", 1)
        assert.is_false(goes_by_text(node))
    end)

    it("goes by its text once after NOSCRIPT, then by its SHA1 again", function()
        local node = ready_node()
        send(node, "acquire", 1)
        node:output()
        assert.same({ "1/10 noscript" }, answer(node, "-NOSCRIPT No matching script\r\n"))
        send(node, "acquire", 2)
        assert.is_true(goes_by_text(node))
        send(node, "acquire", 3)
        assert.is_false(goes_by_text(node))
        assert.same({ "2/20 granted", "3/30 granted" }, answer(node, ":1\r\n:1\r\n"))
    end)

    it("that is unknown does not make another go by text", function()
        local node = ready_node()
        send(node, "acquire", 1)
        answer(node, "-NOSCRIPT\r\n")
        node:output()
        send(node, "extend", 2)
        assert.is_false(goes_by_text(node))
    end)

    it("that nobody would repeat goes by text, unless the server is known to have it", function()
        local node = ready_node()
        send(node, "release", 1, { once = true })
        assert.is_true(goes_by_text(node))
        send(node, "release", 2, { once = true })
        assert.is_true(goes_by_text(node))
        answer(node, ":0\r\n:0\r\n")
        send(node, "release", 3, { once = true })
        assert.is_false(goes_by_text(node))
        answer(node, "-NOSCRIPT\r\n")
        send(node, "release", 4, { once = true })
        assert.is_true(goes_by_text(node))
    end)

    it("is not known by an error reply", function()
        local node = ready_node()
        send(node, "release", 1)
        answer(node, "-LOADING\r\n")
        node:output()
        send(node, "release", 2, { once = true })
        assert.is_true(goes_by_text(node))
    end)

    it("is forgotten with the connection", function()
        local node = ready_node()
        send(node, "release", 1)
        answer(node, ":0\r\n")
        node:close "disconnected"
        node:open()
        node:feed(INFO)
        events_of(node)
        node:output()
        send(node, "release", 2, { once = true })
        assert.is_true(goes_by_text(node))
    end)

    it("of a batch goes by text after NOSCRIPT, too", function()
        local node = ready_node()
        node:send("extend_many", batch(1, 2))
        node:output()
        assert.same({ "1/10 noscript", "2/20 noscript" }, answer(node, "-NOSCRIPT\r\n"))
        node:send("extend_many", batch(1, 2))
        assert.is_true(goes_by_text(node))
    end)
end)

describe("what was sent as many", function()
    local MANY = { acquire_many = "acquire", release_many = "release", extend_many = "extend" }

    it("goes by text if nobody would repeat it, unless the server is known to have it", function()
        local node = ready_node()
        local function release()
            local requests = batch(1, 2)
            requests[1].once, requests[2].once = true, true
            node:send("release_many", requests)
        end
        release()
        assert.is_true(goes_by_text(node))
        node:feed ":1\r\n"
        events_of(node)
        release()
        assert.is_false(goes_by_text(node))
    end)

    it("tells that the server knows its script, as one alone does", function()
        for many, one in pairs(MANY) do
            local node = ready_node()
            assert.is_false(node:knows(one))
            node:send(many, batch(1, 2))
            node:feed(many == "extend_many" and "*2\r\n:1\r\n:1\r\n" or ":1\r\n")
            assert.same({ "1/10 granted", "2/20 granted" }, events_of(node))
            assert.is_true(node:knows(one), many)
        end
        local node = ready_node()
        send(node, "acquire", 1)
        node:feed ":1\r\n"
        events_of(node)
        assert.is_true(node:knows "acquire")
        assert.is_false(node:knows "release")
    end)

    it("and refused is to be asked again one by one, until there is another connection", function()
        for many in pairs(MANY) do
            for _, refusal in ipairs {
                "-NOPERM this user has no permissions to run the 'mget' command\r\n",
                "-ERR The user executing the script can't run this command\r\n",
                "-CROSSSLOT Keys in request don't hash to the same slot\r\n",
            } do
                local node = ready_node()
                node:send(many, batch(1, 3))
                assert.is_true(node:takes_many())
                node:feed(refusal)
                assert.same({ "1/10 noscript", "2/20 noscript", "3/30 noscript" }, events_of(node))
                assert.is_false(node:takes_many())
                node:close "disconnected"
                node:open()
                assert.is_true(node:takes_many())
            end
        end
    end)

    it("may go on after any other error", function()
        for word, reason in pairs { BUSY = "busy", LOADING = "loading", READONLY = "readonly",
            OOM = "oom", NOSCRIPT = "noscript" } do
            local node = ready_node()
            node:send("acquire_many", batch(1, 2))
            node:feed(("-%s\r\n"):format(word))
            assert.same({ "1/10 " .. reason, "2/20 " .. reason }, events_of(node))
            assert.is_true(node:takes_many())
        end
    end)

    it("may go on after the errors of some of them, and of one alone", function()
        local node = ready_node()
        node:send("release_many", batch(1, 2))
        send(node, "acquire", 3)
        node:feed("*2\r\n$10\r\nNOPERM no!\r\n:1\r\n-NOPERM no\r\n")
        assert.same({ "1/10 noperm", "2/20 granted", "3/30 noperm" }, events_of(node))
        assert.is_true(node:takes_many())
    end)

    it("does not repeat an error's words that hold the password", function()
        local node = open { password = "secret" }
        node:feed("+OK\r\n" .. INFO)
        node:next_event()
        node:send("release_many", batch(1, 2))
        node:feed("*2\r\n" .. bulk "ERR secret!" .. ":1\r\n")
        local event = node:next_event()
        assert.same({ "unknown_error", "" }, { event.reason, event.text })
    end)

    it("ends the connection with a reply that does not fit, and nobody is granted", function()
        for _, reply in ipairs {
            ":0\r\n", ":7\r\n", "*0\r\n", "*2\r\n:1\r\n:1\r\n", "*9\r\n" .. (":1\r\n"):rep(9),
            "*6\r\n" .. (":1\r\n:0\r\n$1\r\n0\r\n"):rep(2),
            "*9\r\n" .. (":1\r\n:0\r\n$1\r\n0\r\n"):rep(2) .. ":5\r\n:0\r\n$1\r\n0\r\n",
        } do
            local node = ready_node()
            node:send("acquire_many", batch(1, 3))
            node:feed(reply)
            assert.same({ "broken" }, events_of(node), reply)
            node:close "malformed"
            assert.same({ "1/10 malformed", "2/20 malformed", "3/30 malformed" }, events_of(node))
        end
    end)

    it("may be answered with three elements for each of 256, and no more", function()
        local node = ready_node()
        node:send("acquire_many", batch(1, 256))
        node:feed("*768\r\n" .. (":0\r\n:30000\r\n$16\r\n1700000000000000\r\n"):rep(256))
        local events = events_of(node)
        assert.equal(256, #events)
        assert.equal("256/2560 held", events[256])
    end)
end)

describe("output", function()
    it("keeps what was not written yet, in order", function()
        local node = ready_node()
        send(node, "acquire", 1)
        send(node, "release", 2)
        local expected = node:output(0)
        local written = {}
        while #written < #expected do
            written[#written + 1] = node:output(1):sub(1, 1)
        end
        assert.equal(expected, table.concat(written))
        assert.equal("", node:output())
    end)

    it("is the same for a request that other nodes were sent before", function()
        local memo = machine.memo()
        local plain, others = ready_node(), { ready_node(), ready_node(), ready_node() }
        local waiter = { waiter = "redlock:inbox/7", arrival_us = 5 }
        local function each(kind, tag, fields)
            local request = { key = "key", token = "T", ttl_ms = 9, fence = 8, tag = tag }
            for field, value in pairs(fields) do
                request[field] = value
            end
            plain:send(kind, request)
            local expected = plain:output()
            for _, node in ipairs(others) do
                node:send(kind, request, memo)
                assert.equal(expected, node:output())
            end
        end
        each("acquire", 1, { round = 1 })
        each("acquire", 1, { round = 2 })
        each("acquire", 1, { round = 2, waiter = waiter.waiter, arrival_us = 5 })
        each("acquire", 1, { round = 2, waiter = waiter.waiter, arrival_us = 5, queued = true })
        each("release", 1, { round = 2 })
        each("release", 1, { round = 2, token = "older" })
        each("release", 1, { round = 2, once = true })
        each("release", 2, { round = 2, key = "another" })
        each("release", 2, { round = 2, key = "another", waiter = waiter.waiter })
        each("extend", 2, { round = 3, key = "another" })
        each("extend", 2, { round = 4, key = "another", ttl_ms = 10 })
        each("inspect", 2, { round = 5, key = "another" })
    end)
end)

describe("output of many", function()
    it("is the same as what other nodes were sent before, where the same ask", function()
        local memo = machine.memo()
        local plain, others = ready_node(), { ready_node(), ready_node() }
        local function each(kind, first, last, change)
            local requests = batch(first, last)
            if change then
                change(requests)
            end
            plain:send(kind, requests)
            local expected = plain:output()
            for _, node in ipairs(others) do
                node:send(kind, requests, memo)
                assert.equal(expected, node:output())
            end
        end
        each("acquire_many", 1, 5)
        each("acquire_many", 1, 4)
        each("acquire_many", 2, 5)
        each("acquire_many", 1, 5, function(requests) requests[3].round = 1 end)
        each("acquire_many", 1, 5, function(requests)
            requests[3].waiter = "redlock:inbox/7"
        end)
        each("release_many", 1, 5)
        each("release_many", 1, 5, function(requests) requests[5].token = "another" end)
        each("extend_many", 1, 5)
        each("extend_many", 6, 10)
    end)
end)

describe("closing", function()
    it("gives everybody in flight the reason as vote, in order", function()
        local node = ready_node()
        send(node, "acquire", 1)
        node:send("extend_many", batch(2, 4))
        send(node, "release", 5)
        node:close "timed_out"
        assert.same({
            "1/10 timed_out", "2/20 timed_out", "3/30 timed_out", "4/40 timed_out",
            "5/50 timed_out",
        }, events_of(node))
        assert.equal(0, node:in_flight())
        assert.equal("", node:output())
    end)

    it("gives nobody a second vote", function()
        local node = ready_node()
        for tag = 1, 3 do
            send(node, "release", tag)
        end
        node:feed(":1\r\n:1\r\n:")
        assert.same({ "1/10 granted", "2/20 granted" }, events_of(node))
        node:close "disconnected"
        assert.same({ "3/30 disconnected" }, events_of(node))
    end)

    it("forgets the bytes of a reply that was cut short", function()
        local node = ready_node()
        send(node, "release", 1)
        node:feed(":1")
        node:close "disconnected"
        events_of(node)
        node:open()
        node:feed(INFO)
        assert.same({ "ready" }, events_of(node))
    end)

    it("hears nothing any more", function()
        local node = ready_node()
        send(node, "release", 1)
        node:close "disconnected"
        node:feed(":1\r\n")
        assert.same({ "1/10 disconnected" }, events_of(node))
    end)

    it("in the middle of a batch gives the rest of it their votes, and no others", function()
        local child = machine.fork() -- a failed assertion of the core ends the process
        if child == 0 then
            local ok = pcall(function()
                local node = ready_node()
                node:send("extend_many", batch(1, 3))
                send(node, "release", 4)
                node:feed("*3\r\n:1\r\n:1\r\n:1\r\n")
                node:next_event()
                node:close "disconnected"
                assert.same({ "2/20 disconnected", "3/30 disconnected", "4/40 disconnected" },
                    events_of(node))
            end)
            machine.exit(ok and 0 or 1)
        end
        assert.equal(0, machine.waitpid(child))
    end)
end)

describe("a reply that does not fit", function()
    local function assert_breaks(node, bytes)
        node:feed(bytes)
        local event = assert(node:next_event(), bytes:sub(1, 40))
        assert.same({ "broken", "malformed" }, { event.kind, event.reason })
        assert.is_nil(node:next_event())
        assert.is_false(node:is_ready())
        node:close "malformed"
    end

    it("ends the connection, and everybody in flight hears of it", function()
        for _, bytes in ipairs {
            "+OK\r\n", "$-1\r\n", ":7\r\n", "*1\r\n:1\r\n", "*0\r\n", bulk "1", "*-1\r\n",
        } do
            local node = ready_node()
            send(node, "release", 1)
            send(node, "release", 2)
            assert_breaks(node, bytes)
            assert.same({ "1/10 malformed", "2/20 malformed" }, events_of(node))
        end
    end)

    it("leaves votes alone that came before it", function()
        local node = ready_node()
        send(node, "release", 1)
        send(node, "release", 2)
        node:feed(":1\r\n+OK\r\n")
        assert.same({ "1/10 granted", "broken" }, events_of(node))
    end)

    it("of a batch gives no vote at all", function()
        local node = ready_node()
        node:send("extend_many", batch(1, 3))
        assert_breaks(node, "*3\r\n:1\r\n:1\r\n:5\r\n")
        assert.same({ "1/10 malformed", "2/20 malformed", "3/30 malformed" }, events_of(node))
    end)

    it("since nobody asked ends the connection", function()
        for _, bytes in ipairs { "+OK\r\n", ":1\r\n", "-ERR oops\r\n", INFO } do
            assert_breaks(ready_node(), bytes)
        end
        local node = ready_node()
        send(node, "release", 1)
        node:feed(":1\r\n:1\r\n")
        assert.same({ "1/10 granted", "broken" }, events_of(node))
    end)

    it("to the protocol ends the connection", function()
        for _, bytes in ipairs {
            "\0", "\255\254\253", "1\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "*x\r\n", "$x\r\n",
            ":x\r\n", "$-2\r\n", "*-2\r\n", "$99999999999999999999\r\n", "\r\n",
        } do
            local node = ready_node()
            send(node, "release", 1)
            assert_breaks(node, bytes)
            assert.same({ "1/10 malformed" }, events_of(node))
        end
    end)

    it("is not read any further", function()
        local node = ready_node()
        send(node, "release", 1)
        send(node, "release", 2)
        node:feed("+OK\r\n:1\r\n")
        assert.same({ "broken" }, events_of(node))
        node:feed(":1\r\n")
        assert.same({}, events_of(node))
    end)
end)

describe("a reply that is too large", function()
    local function breaks(bytes, piece)
        local node = ready_node()
        send(node, "inspect", 1)
        for first = 1, #bytes, piece do
            node:feed(bytes:sub(first, first + piece - 1))
            local event = node:next_event()
            if event then
                return event.kind == "broken" and event.reason == "malformed"
            end
        end
        return false
    end

    -- A reply to an inspection whose holder's token is so long.
    local function inspection(len)
        return "*4\r\n" .. bulk(("t"):rep(len)) .. ":900\r\n$1\r\n0\r\n:0\r\n"
    end

    it("ends the connection, however the bytes come", function()
        for _, piece in ipairs { 100, 1000, 16384, 1024 * 1024 } do
            assert.is_true(breaks(inspection(REPLY_MAX), piece), "pieces of " .. piece)
            assert.is_true(breaks(inspection(500000), piece), "pieces of " .. piece)
            assert.is_false(breaks(inspection(REPLY_MAX - 100), piece), "pieces of " .. piece)
        end
    end)

    it("ends the connection before all of it is there", function()
        for _, start in ipairs { "$999999999\r\n", "+", "-", "*4\r\n$500000\r\n" } do
            local node, fed = ready_node(), 0
            send(node, "inspect", 1)
            node:feed(start)
            local event = node:next_event()
            while not event do
                assert.is_true(fed <= REPLY_MAX + 4096, start)
                node:feed(("a"):rep(4096))
                fed = fed + 4096
                event = node:next_event()
            end
            assert.same({ "broken", "malformed" }, { event.kind, event.reason })
        end
    end)

    it("does not count replies that came before", function()
        local node = ready_node()
        for round = 1, 3 do
            for tag = 1, 100 do
                send(node, "inspect", tag)
            end
            node:feed(inspection(1000):rep(100))
            assert.equal(100, #events_of(node), "round " .. round)
        end
    end)

    it("by its number of elements ends the connection at once", function()
        for _, bytes in ipairs {
            "*1025\r\n", "*999999999\r\n", "*2147483647\r\n", "*4294967297\r\n",
            "*9223372036854775807\r\n", "*4\r\n*5000\r\n",
        } do
            assert.is_true(breaks(bytes, #bytes), bytes)
        end
    end)

    it("by its depth ends the connection at once", function()
        for _, depth in ipairs { 2, 3, 10, 1000, 20000 } do
            assert.is_true(breaks(("*1\r\n"):rep(depth), 4 * depth), "depth " .. depth)
        end
    end)
end)

describe("an inbox", function()
    it("tells of wake-ups", function()
        local node = subscriber()
        node:feed(message "7 1700 order:42" .. message "8 0 \0 \r\n")
        assert.same({ "wake 7 1700 order:42", "wake 8 0 \0 \r\n" }, events_of(node))
    end)

    it("tells the same wherever the bytes are split", function()
        local bytes = message "7 1700 a" .. message "8 1800 b"
        for first = 1, #bytes - 1 do
            local node = subscriber()
            node:feed(bytes:sub(1, first))
            local events = events_of(node)
            node:feed(bytes:sub(first + 1))
            for _, event in ipairs(events_of(node)) do
                events[#events + 1] = event
            end
            assert.same({ "wake 7 1700 a", "wake 8 1800 b" }, events)
        end
    end)

    it("passes over messages that are no wake-ups, and goes on", function()
        local node = subscriber()
        for _, text in ipairs {
            "", " ", "hello", "1", "1 2", "1 2 ", "-1 2 k", "1 x k", "1 9999999999999999 k",
            ("1"):rep(30) .. " 2 k", "1 2 " .. ("k"):rep(2000), "\0 \0 \0",
        } do
            node:feed(message(text))
        end
        node:feed("*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n")
        node:feed("*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n:0\r\n")
        node:feed("*3\r\n:1\r\n:2\r\n:3\r\n")
        node:feed(message "9 5 key")
        assert.same({ "wake 9 5 key" }, events_of(node))
        assert.is_true(node:is_ready())
    end)

    it("ends at what is no message at all", function()
        for _, bytes in ipairs {
            "+OK\r\n", ":1\r\n", "-ERR oops\r\n", "*0\r\n", "*2\r\n+a\r\n+b\r\n", "$-1\r\n", "?",
            "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nx\r\n$5\r\n1 2 k\r\n", "*-1\r\n",
        } do
            local node = subscriber()
            node:feed(bytes)
            assert.same({ "broken" }, events_of(node), bytes)
        end
    end)

    it("ends at a message that is too large", function()
        local node = subscriber()
        node:feed(message("1 2 " .. ("k"):rep(2 * REPLY_MAX)))
        assert.same({ "broken" }, events_of(node))
    end)

    it("may be subscribed again after it was closed", function()
        local node = subscriber()
        node:close "disconnected"
        assert.same({}, events_of(node))
        node:open()
        assert.equal(command("SUBSCRIBE", "redlock:inbox"), node:output())
    end)
end)
