-- The console: any command to one node, any reply within bounds, and an end to whatever does not fit.

local certificates = require "support.certificates"
local console = require "redlock.console"
local core = require "redlock.core"
local fault = require "support.fault"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local LONG = 20 -- seconds: a timeout that no test may come to
local SHORT = 0.3 -- seconds: a timeout that a test waits for
local MEBIBYTE = 1024 * 1024

local node

local function console_of(url, timeout, options)
    local settings = { nodes = { url } }
    for name, value in pairs(options or {}) do
        settings[name] = value
    end
    return console.new(quorum.new_client(settings), 1, timeout or LONG)
end

setup(function()
    node = servers.start_one()
end)

teardown(function()
    servers.stop_all()
    certificates.remove_all()
end)

after_each(function()
    fault.stop_all()
    quorum.close_clients()
end)

describe("a console", function()
    it("asks any command and gives any reply", function()
        local line = console_of(node.url)
        assert.equal("PONG", line:ask "PING")
        assert.equal("OK", line:ask("SET", "a\0b", "\r\n\0"))
        assert.equal("\r\n\0", line:ask("GET", "a\0b"))
        assert.equal(3, line:ask("STRLEN", "a\0b"))
        assert.is_false((line:ask("GET", "nothing")))
        assert.same({ "\r\n\0", false }, line:ask("MGET", "a\0b", "nothing"))
        assert.same({ 1, { 2, { "x" } } }, line:ask("EVAL", "return {1,{2,{ARGV[1]}}}", 0, "x"))
    end)

    it("gives the text of an error, and goes on", function()
        local line = console_of(node.url)
        local reply, message, refused = line:ask "NOSUCH"
        assert.is_nil(reply)
        assert.matches("^ERR unknown command", message)
        assert.is_true(refused)
        assert.equal("PONG", line:ask "PING")
    end)

    it("gives an error within a list in its place", function()
        local line = console_of(node.url)
        line:ask_all { { "MULTI" }, { "INCR", "n" }, { "LPOP", "n" } }
        local replies = line:ask "EXEC"
        assert.equal("number", type(replies[1]))
        assert.matches("^WRONGTYPE", replies[2].error)
    end)

    it("asks many at once, and keeps their order", function()
        local commands = {}
        for index = 1, 500 do
            local is_even = index % 2 == 0
            commands[index] = is_even and { "ECHO", ("x"):rep(1000) .. index } or { "NOSUCH" }
        end
        local answers = assert(console_of(node.url):ask_all(commands))
        assert.equal(500, #answers)
        assert.equal(("x"):rep(1000) .. 250, answers[250].reply)
        assert.is_nil(answers[251].reply)
        assert.matches("^ERR", answers[251].error)
    end)

    it("takes a reply of nearly a mebibyte, and none beyond", function()
        local line = console_of(node.url)
        assert.equal(MEBIBYTE - 100, #line:ask("ECHO", ("x"):rep(MEBIBYTE - 100)))
        local reply, message, refused = line:ask("ECHO", ("x"):rep(MEBIBYTE))
        assert.is_nil(reply)
        assert.is_nil(refused)
        assert.equal("a reply that is malformed or too large", message)
    end)

    it("comes back when it is asked after its end", function()
        local line = console_of(node.url)
        assert.equal("PONG", line:ask "PING")
        node:cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        local reply, message, refused = line:ask "PING"
        assert.is_nil(reply)
        assert.is_nil(refused)
        assert.equal("closed by the server", message)
        assert.equal("PONG", line:ask "PING")
    end)

    it("is in the database that the URL names, under the client's name", function()
        local line = console_of(node.url .. "/3", LONG, { client_name = "spec-console" })
        assert.equal("OK", line:ask("SET", "here", "yes"))
        assert.equal("yes", node:cli("-n", "3", "GET", "here"))
        assert.matches("name=spec%-console .*db=3", node:cli("CLIENT", "LIST"))
    end)

    it("hears what was published to it", function()
        local ear = console_of(node.url)
        assert.same({ "subscribe", "news", 1 }, ear:ask("SUBSCRIBE", "news"))
        assert.equal(1, console_of(node.url):ask("PUBLISH", "news", "x"))
        assert.same({ "message", "news", "x" }, ear:hear())
    end)

    it("reads INFO by its fields", function()
        local fields = assert(console_of(node.url):info())
        assert.equal("master", fields.role)
        assert.matches("^%d+%.%d+", fields.redis_version)
    end)

    it("outlives its client", function()
        local line = console_of(node.url)
        quorum.close_clients()
        collectgarbage()
        collectgarbage()
        assert.equal("PONG", line:ask "PING")
    end)

    it("raises for misuse", function()
        local client = quorum.new_client { nodes = { node.url } }
        assert.has_error(function() core.console.new(client.handle, 0) end)
        assert.has_error(function() core.console.new(client.handle, 2) end)
        local line = core.console.new(client.handle, 1)
        assert.has_error(function() core.console.send(line, "PING") end)
        assert.has_error(function() core.console.receive(line, 1) end)
        assert.has_error(function() core.console.open(line, -1) end)
        assert.is_true(core.console.open(line, LONG))
        assert.has_error(function() core.console.send(line) end)
        assert.has_error(function() core.console.send(line, {}) end)
    end)
end)

describe("a console that is not served", function()
    local function failure(url, timeout, options)
        local before = wait.now()
        local reply, message, refused = console_of(url, timeout, options):ask "PING"
        assert.is_nil(reply)
        assert.is_nil(refused)
        assert.is_true(wait.now() - before < LONG / 2)
        return message
    end

    it("says why", function()
        assert.equal("Connection refused", failure "redis://127.0.0.1:1")
        assert.equal("No such file or directory", failure "unix:///nowhere/redis.sock")
        assert.matches("^refused the user or password", failure(node.url:gsub("//", "//u:s3cr3t@")))
        assert.matches("DB index", failure(node.url .. "/99"))
    end)

    it("waits no longer than its timeout, at the login and for a reply", function()
        assert.equal("no login within the timeout", failure(fault.fake("silent").url, SHORT))
        local proxy = fault.proxy(node)
        local line
        assert.is_true(wait.wait_until(function()
            line = console_of(proxy.url, SHORT)
            return line:ask "PING" == "PONG"
        end))
        proxy:set { hold_replies = true }
        local reply, message = line:ask "PING"
        assert.is_nil(reply)
        assert.equal("no answer within the timeout", message)
    end)

    it("ends what is hostile, whatever it sends", function()
        for name in pairs(fault.behaviours) do
            local may_go_on = name == "silent" or name == "huge_bulk" -- which says no more
            local message = failure(fault.fake(name).url, may_go_on and SHORT or LONG)
            assert.equal(may_go_on, message == "no login within the timeout", name)
        end
    end)

    it("ends what is hostile after the login", function()
        for name, bytes in pairs {
            garbage = "\0\255HTTP/1.1 400 Bad Request\r\n\r\n",
            bulk = "$999999999\r\n" .. ("x"):rep(MEBIBYTE + 1),
            array = "*999999999\r\n",
            wide = "*65537\r\n",
            nested = ("*1\r\n"):rep(5) .. ":1\r\n",
        } do
            local proxy = fault.proxy(node, { answers = { PING = bytes } })
            assert.equal("a reply that is malformed or too large", failure(proxy.url), name)
        end
    end)

    it("does not repeat a password that a server says", function()
        local locked = servers.start_one { password = "s3cr3t" }
        local url = ("redis://:s3cr3t@127.0.0.1:%d"):format(locked.port)
        local line = console_of(url)
        local _, message = line:ask("s3cr3t-command")
        assert.is_nil(message:find("s3cr3t", 1, true))
        assert.is_nil(line:ask("CONFIG", "GET", "requirepass")[2]:find("s3cr3t", 1, true))
        locked:close()
    end)
end)

describe("a console over TLS", function()
    local authority

    setup(function()
        authority = certificates.new_authority()
    end)

    local function start(name, days)
        return servers.start_one { tls = authority:issue(name, "IP:127.0.0.1", days) }
    end

    it("says for how long the certificate is good", function()
        local secure = start("good", 30)
        local line = console_of(secure.url, LONG, { tls_ca_file = authority.ca })
        assert.is_nil(line:certificate())
        assert.equal("PONG", line:ask "PING")
        assert.equal("tls", line:transport())
        local days = line:certificate().valid / 86400
        assert.is_true(days > 29.5 and days <= 30, days)
        assert.is_nil(line:certificate().doubt)
        assert.equal(300000, #line:ask("ECHO", ("x"):rep(300000)))
    end)

    it("says what is wrong with one that is not verified", function()
        local secure = start("old", -1)
        local line = console_of(secure.url, LONG, { tls_verify = false })
        assert.equal("PONG", line:ask "PING")
        assert.is_true(line:certificate().valid < 0)
        assert.is_string(line:certificate().doubt)
        assert.matches("^TLS: certificate has expired", select(2,
            console_of(secure.url, LONG, { tls_ca_file = authority.ca }):ask "PING"))
    end)

    it("has no certificate without it", function()
        local line = console_of(node.url)
        assert.equal("PONG", line:ask "PING")
        assert.is_nil(line:certificate())
        assert.equal("tcp", line:transport())
    end)
end)
