-- The misbehaving servers do what they say: each fault is seen through a bare socket.

local fault = require "support.fault"
local servers = require "servers"
local socket = require "socket"
local wait = require "support.wait"

local function connect(server)
    local connection = assert(socket.connect("127.0.0.1", server.port))
    connection:settimeout(5)
    return connection
end

local function command(...)
    local words = { ... }
    local bytes = { ("*%d\r\n"):format(#words) }
    for _, word in ipairs(words) do
        bytes[#bytes + 1] = ("$%d\r\n%s\r\n"):format(#word, word)
    end
    return table.concat(bytes)
end

local function ask(connection, ...)
    assert(connection:send(command(...)))
    return connection:receive("*l")
end

-- Everything until the server closes.
local function read_to_end(connection)
    local bytes, _, part = connection:receive("*a")
    assert.equal("closed", select(2, connection:receive(1)))
    return bytes or part
end

-- What the system says of a connection that has ended: "closed" after a reset, and nothing when
-- the other side merely closed.
local function error_of(connection)
    socket.select({ connection }, nil, 5)
    return connection:getoption("error")
end

local function is_silent(connection, seconds)
    connection:settimeout(seconds or 0.1)
    local _, failure = connection:receive(1)
    connection:settimeout(5)
    return failure == "timeout"
end

local function seconds_of(action)
    local before = socket.gettime()
    action()
    return socket.gettime() - before
end

describe("a proxy", function()
    local node, proxy

    setup(function()
        node = servers.start_one()
    end)

    teardown(function()
        servers.stop_all()
    end)

    before_each(function()
        node:cli("FLUSHALL")
        proxy = fault.proxy(node)
    end)

    after_each(function()
        fault.stop_all()
    end)

    it("is transparent", function()
        local connection = connect(proxy)
        local value = ("x"):rep(300000)
        assert.equal("+OK", ask(connection, "SET", "key", value))
        assert.equal("$300000", ask(connection, "GET", "key"))
        assert.equal(value .. "\r\n", connection:receive(300002))
        connection:send(command("PING"):rep(1000))
        for _ = 1, 1000 do
            assert.equal("+PONG", connection:receive("*l"))
        end
        local stats = proxy:stats()
        assert.same({ SET = 1, GET = 1, PING = 1000 }, stats.names)
        assert.equal(1002, stats.replies)
    end)

    it("closes one end when the other closes", function()
        local connection = connect(proxy)
        assert.equal("+PONG", ask(connection, "PING"))
        assert.equal("+OK", ask(connection, "QUIT"))
        assert.equal("closed", select(2, connection:receive(1)))
        connection = connect(proxy)
        assert.equal("+OK", ask(connection, "CLIENT", "SETNAME", "through-the-proxy"))
        assert.matches("through%-the%-proxy", node:cli("CLIENT", "LIST"))
        connection:close()
        assert.is_true(wait.wait_until(function()
            return not node:cli("CLIENT", "LIST"):find("through-the-proxy", 1, true)
        end))
    end)

    it("passes on what was published to a subscriber", function()
        local connection = connect(proxy)
        assert.equal("*3", ask(connection, "SUBSCRIBE", "inbox"))
        assert.equal("1", node:cli("PUBLISH", "inbox", "hello"))
        connection:send(command("PING"))
        local replies = {}
        for line = 1, 16 do
            replies[line] = connection:receive("*l")
        end
        assert.matches("subscribe.*inbox.*message.*inbox.*hello.*pong", table.concat(replies, " "))
    end)

    it("delays requests and replies", function()
        local connection = connect(proxy)
        proxy:set { delay_requests = 60 }
        assert.is_true(seconds_of(function() ask(connection, "SET", "key", "1") end) >= 0.06)
        proxy:set { delay_requests = 0, delay_replies = 60 }
        assert.is_true(seconds_of(function()
            connection:send(command("SET", "key", "2"))
            assert(wait.wait_until(function() return node:cli("GET", "key") == "2" end))
            assert.equal("+OK", connection:receive("*l"))
        end) >= 0.06)
    end)

    it("delivers a delayed request although the client has closed", function()
        local connection = connect(proxy)
        proxy:set { delay_requests = 500 }
        connection:send(command("SET", "key", "late"))
        connection:close()
        assert.equal("", node:cli("GET", "key"))
        assert.is_true(wait.wait_until(function() return node:cli("GET", "key") == "late" end))
    end)

    it("holds requests until it is told to let go", function()
        local connection = connect(proxy)
        proxy:set { hold_requests = true }
        connection:send(command("SET", "key", "held"))
        assert.is_true(is_silent(connection))
        assert.equal("", node:cli("GET", "key"))
        proxy:set { hold_requests = false }
        assert.equal("+OK", connection:receive("*l"))
        assert.equal("held", node:cli("GET", "key"))
    end)

    it("holds replies until it is told to let go", function()
        local connection = connect(proxy)
        proxy:set { hold_replies = true }
        connection:send(command("SET", "key", "applied"))
        assert.is_true(wait.wait_until(function() return node:cli("GET", "key") == "applied" end))
        assert.is_true(is_silent(connection))
        proxy:set { hold_replies = false }
        assert.equal("+OK", connection:receive("*l"))
    end)

    it("loses the reply of a command that was done, and then the connection", function()
        local connection = connect(proxy)
        proxy:set { drop_replies = { count = 1, command = "SET" } }
        assert.equal("+PONG", ask(connection, "PING"))
        connection:send(command("PING") .. command("SET", "key", "applied") .. command("PING"))
        assert.equal("+PONG\r\n", read_to_end(connection))
        assert.equal("applied", node:cli("GET", "key"))
        assert.equal(1, proxy:stats().dropped)
        assert.equal("+OK", ask(connect(proxy), "SET", "key", "again"))
    end)

    it("loses the replies of the next two commands, whatever they are", function()
        local connection = connect(proxy)
        assert.equal("+PONG", ask(connection, "PING"))
        proxy:set { drop_replies = { count = 2 } }
        connection:send(command("SET", "one", "1") .. command("SET", "two", "2"))
        assert.equal("", read_to_end(connection))
        assert.equal("1 2", node:cli("GET", "one") .. " " .. node:cli("GET", "two"))
    end)

    it("closes after a number of bytes", function()
        local connection = connect(proxy)
        assert.equal("+PONG", ask(connection, "PING"))
        proxy:set { close_after = 3 }
        connection:send(command("PING"))
        assert.equal("+PO", read_to_end(connection))
    end)

    it("closes after a number of bytes of requests, which reach the server", function()
        local connection = connect(proxy)
        assert.equal("+PONG", ask(connection, "PING"))
        local first, second = command("SET", "one", "1"), command("SET", "two", "2")
        proxy:set { close_requests_after = #first + 3 }
        connection:send(first .. second)
        read_to_end(connection)
        assert.is_true(wait.wait_until(function() return node:cli("GET", "one") == "1" end))
        assert.equal("", node:cli("GET", "two"))
    end)

    it("delays at random, and keeps the order", function()
        local connection = connect(proxy)
        proxy:set { jitter = 40 }
        local asked = {}
        for index = 1, 20 do
            asked[index] = command("ECHO", ("%02d"):format(index))
        end
        assert.is_true(seconds_of(function()
            connection:send(table.concat(asked))
            for index = 1, 20 do
                connection:receive("*l")
                assert.equal(("%02d"):format(index), connection:receive("*l"))
            end
        end) > 0.02)
    end)

    it("puts bytes between replies", function()
        local one, two = connect(proxy), connect(proxy)
        assert.equal("+PONG", ask(one, "PING"))
        assert.equal("+PONG", ask(two, "PING"))
        assert.equal(2, proxy:inject("!?\r\n"))
        assert.equal("!?", one:receive("*l"))
        assert.equal("!?", two:receive("*l"))
        assert.equal("+PONG", ask(one, "PING"))
    end)

    it("leads new connections elsewhere, and leaves the old ones", function()
        local old, other = connect(proxy), servers.start_one()
        assert.equal("+OK", ask(old, "SET", "where", "old"))
        proxy:aim(other.port)
        assert.equal("+OK", ask(connect(proxy), "SET", "where", "new"))
        assert.equal("old", node:cli("GET", "where"))
        assert.equal("new", other:cli("GET", "where"))
        assert.equal("$3", ask(old, "GET", "where"))
        other:close()
    end)

    it("does not wait for a server that takes no connections any more", function()
        local stopped = servers.start_one { config = { { "tcp-backlog", "1" } } }
        local before = fault.proxy(stopped)
        stopped:pause()
        for _ = 1, 20 do
            connect(before)
        end
        assert.is_true(wait.wait_until(function() return before:stats().accepted == 20 end))
        stopped:resume()
        assert.is_true(wait.wait_until(function()
            return ask(connect(before), "PING") == "+PONG"
        end))
        stopped:close()
    end)

    it("sends one byte at a time", function()
        local connection = connect(proxy)
        proxy:set { chunk = 1, chunk_delay = 2 }
        connection:settimeout(0)
        local function count_pieces()
            connection:send(command("ECHO", "hello"))
            local pieces, bytes = 0, ""
            while #bytes < 11 and socket.select({ connection }, nil, 20)[1] do
                bytes = bytes .. select(3, connection:receive(100))
                pieces = pieces + 1
            end
            assert.equal("$5\r\nhello\r\n", bytes)
            return pieces
        end
        -- Who is late finds several in one piece.
        assert.is_true(wait.wait_until(function() return count_pieces() > 3 end))
    end)

    it("answers a command itself, behind what the server still owes", function()
        local connection = connect(proxy)
        proxy:set { answers = { EVALSHA = "-BUSY Redis is busy\r\n" }, delay_replies = 20 }
        connection:send(command("PING") .. command("EVALSHA", "sha", "0") .. command("ECHO", "x"))
        local lines = {}
        for line = 1, 4 do
            lines[line] = connection:receive("*l")
        end
        assert.same({ "+PONG", "-BUSY Redis is busy", "$1", "x" }, lines)
        assert.not_matches("evalsha", node:cli("INFO", "commandstats"))
    end)

    it("makes connections half-open", function()
        local connection = connect(proxy)
        assert.equal("+OK", ask(connection, "CLIENT", "SETNAME", "half"))
        assert.equal(1, proxy:half_open())
        assert.is_true(wait.wait_until(function()
            return not node:cli("CLIENT", "LIST"):find("name=half", 1, true)
        end))
        connection:send(command("SET", "key", "1"))
        assert.is_true(is_silent(connection))
        assert.equal("", node:cli("GET", "key"))
        assert.equal("+PONG", ask(connect(proxy), "PING"))
    end)

    it("says end of stream and reads on", function()
        local connection = connect(proxy)
        assert.equal("+PONG", ask(connection, "PING"))
        assert.equal(1, proxy:half_close())
        assert.equal("closed", select(2, connection:receive(1)))
        connection:send(command("SET", "key", "still read"))
        assert.is_true(wait.wait_until(function()
            return node:cli("GET", "key") == "still read"
        end))
    end)

    it("closes and resets connections", function()
        local first = connect(proxy)
        assert.equal("+PONG", ask(first, "PING"))
        assert.equal(1, proxy:cut())
        assert.is_nil(error_of(first))
        assert.equal("closed", select(2, first:receive(1)))
        local second = connect(proxy)
        assert.equal("+PONG", ask(second, "PING"))
        assert.equal(1, proxy:cut { reset = true })
        assert.equal("closed", error_of(second))
    end)

    it("refuses connections, and takes them again on the same port", function()
        proxy:refuse()
        assert.equal("connection refused", select(2, socket.connect("127.0.0.1", proxy.port)))
        proxy:listen()
        assert.equal("+PONG", ask(connect(proxy), "PING"))
    end)

    it("closes connections when its server is gone", function()
        local other = servers.start_one()
        local in_front = fault.proxy(other.port)
        local connection = connect(in_front)
        assert.equal("+PONG", ask(connection, "PING"))
        other:close()
        assert.equal("closed", select(2, connection:receive(1)))
        assert.equal("", read_to_end(connect(in_front)))
    end)

    it("is faultless again when cleared", function()
        proxy:set { hold_replies = true, delay_requests = 1000, answers = { PING = "-ERR\r\n" } }
        proxy:clear()
        assert.equal("+PONG", ask(connect(proxy), "PING"))
    end)

    it("forwards bytes of any kind when told to", function()
        proxy:set { raw = true, delay_replies = 60 }
        local connection = connect(proxy)
        assert.is_true(seconds_of(function()
            assert.equal("+PONG", ask(connection, "PING"))
        end) >= 0.06)
        assert.equal(0, proxy:stats().commands)
    end)
end)

describe("a fake server", function()
    after_each(function()
        fault.stop_all()
    end)

    for name, answer in pairs {
        garbage = fault.behaviours.garbage.answers["*"],
        huge_bulk = "$999999999\r\n",
        huge_array = "*999999999\r\n",
        nested = ("*1\r\n"):rep(10000),
    } do
        it("answers " .. name, function()
            local connection = connect(fault.fake(name))
            connection:send(command("PING"))
            assert.equal(answer, connection:receive(#answer))
            assert.is_true(is_silent(connection))
        end)
    end

    for _, name in ipairs { "endless", "endless_bulk", "endless_replies" } do
        it("answers " .. name .. ", as fast as the client reads", function()
            local server = fault.fake(name)
            local connection = connect(server)
            assert.is_true(is_silent(connection))
            connection:send(command("PING"))
            local stream = fault.behaviours[name].stream
            local bytes = assert(connection:receive(5000000))
            assert.equal(stream.first .. stream.rest, bytes:sub(1, #stream.first + #stream.rest))
            connection:close()
            assert.is_true(wait.wait_until(function() return server:stats().open == 0 end))
        end)
    end

    it("never answers", function()
        local connection = connect(fault.fake "silent")
        connection:send(command("PING"))
        assert.is_true(is_silent(connection))
    end)

    it("accepts and closes at once", function()
        local connection = connect(fault.fake "close")
        assert.is_nil(error_of(connection))
        assert.equal("", read_to_end(connection))
    end)

    it("accepts and resets at once", function()
        local connection, failure = socket.connect("127.0.0.1", fault.fake("reset").port)
        assert.equal("closed", connection and error_of(connection) or failure)
    end)

    it("answers by command, from a list, and swallows what it is told to", function()
        local connection = connect(fault.fake {
            answers = {
                AUTH = "+OK\r\n",
                GET = { "-LOADING Redis is loading the dataset in memory\r\n", "$1\r\nx\r\n" },
                SET = "",
                ["*"] = "-NOAUTH Authentication required.\r\n",
            },
        })
        assert.equal("+OK", ask(connection, "auth", "user", "word"))
        assert.equal("-LOADING Redis is loading the dataset in memory", ask(connection, "GET", "k"))
        assert.equal("$1", ask(connection, "GET", "k"))
        assert.equal("x", connection:receive("*l"))
        assert.equal("$1", ask(connection, "GET", "k"))
        assert.equal("x", connection:receive("*l"))
        connection:send(command("SET", "k", "v"))
        assert.equal("-NOAUTH Authentication required.", ask(connection, "EVALSHA", "sha", "0"))
    end)

    it("closes in the middle of an answer", function()
        local answers = { ["*"] = "$5\r\nhello\r\n" }
        local connection = connect(fault.fake { answers = answers, close_after = 6 })
        connection:send(command("GET", "key"))
        assert.equal("$5\r\nhe", read_to_end(connection))
    end)

    it("changes while it runs", function()
        local server = fault.fake { answers = { PING = "+PONG\r\n" } }
        local connection = connect(server)
        assert.equal("+PONG", ask(connection, "PING"))
        server:set { answers = { PING = "-READONLY\r\n" } }
        assert.equal("-READONLY", ask(connection, "PING"))
    end)

    it("ends with its owner", function()
        local process = require "support.process"
        local owner = process.start [[
            local server = require("support.fault").fake "silent"
            print(server.port)
            io.read()
        ]]
        finally(function() owner:close() end)
        local port = tonumber((assert(owner:wait_line("^%d+$"))))
        assert(socket.connect("127.0.0.1", port)):close()
        owner:signal("KILL")
        assert.is_true(wait.wait_until(function() return not socket.connect("127.0.0.1", port) end))
    end)
end)
