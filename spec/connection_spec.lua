-- The ways to a node: addresses, sockets, logins, databases, TLS.

local certificates = require "support.certificates"
local quorum = require "support.quorum"
local servers = require "servers"
local socket = require "socket"
local wait = require "support.wait"

local LONG = 20 -- seconds: a timeout that no test may come to
local SHORT = 0.5 -- seconds: a timeout that a test waits for

local function client_of(url, options)
    local settings = { nodes = { url }, timeout = LONG }
    for name, value in pairs(options or {}) do
        settings[name] = value
    end
    return quorum.new_client(settings)
end

-- Through this URL a lock is had, seen, kept and given back.
local function assert_serves(url, options)
    local client = client_of(url, options)
    local lock = assert(client:try "job")
    assert.equal("locked", select(3, client:try "job"))
    local seen = client:info("job")[1]
    assert.equal(lock.token, seen.token, seen.error)
    assert.is_true(lock:extend(60))
    assert.is_true(lock:release())
end

-- Returns what the node is said to be, and why.
local function refusal(url, options)
    local before = wait.now()
    local lock, message, code, votes = client_of(url, options):try "job"
    assert.is_true(wait.now() - before < LONG / 2)
    assert.is_nil(lock)
    assert.equal("unavailable", code)
    assert.is_truthy(message:find(votes[1].vote, 1, true))
    return votes[1].vote, votes[1].text
end

local function has_ipv6()
    local listener = socket.tcp6()
    local bound = listener and listener:bind("::1", 0)
    if listener then
        listener:close()
    end
    return bound ~= nil
end

teardown(function()
    servers.stop_all()
    certificates.remove_all()
end)

after_each(function()
    quorum.close_clients()
end)

describe("a node is reached", function()
    local node

    setup(function()
        local bind = has_ipv6() and "127.0.0.1 ::1" or "127.0.0.1"
        node = servers.start_one { config = { { "bind", bind } } }
    end)

    it("by its IPv4 address", function()
        assert_serves("redis://127.0.0.1:" .. node.port)
        assert_serves("127.0.0.1:" .. node.port)
    end)

    if has_ipv6() then
        it("by its IPv6 address", function()
            assert_serves(("redis://[::1]:%d"):format(node.port))
            assert_serves("[::1]:" .. node.port)
        end)
    end

    it("by its name", function()
        assert_serves("redis://localhost:" .. node.port)
        assert_serves("LOCALHOST:" .. node.port)
    end)

    it("by its Unix socket", function()
        assert_serves(node.unix_url)
        assert_serves(node.unix_url .. "?db=0")
    end)

    it("in the database that the URL names", function()
        local lock = assert(client_of(node.url .. "/3"):try "job")
        assert.equal(lock.token, node:cli("-n", "3", "GET", "job"))
        assert.equal("", node:cli("-n", "0", "GET", "job"))
        local other = assert(client_of(node.unix_url .. "?db=4"):try "job")
        assert.equal(other.token, node:cli("-n", "4", "GET", "job"))
    end)

    it("in the same database again after the connection was lost", function()
        local client = client_of(node.url .. "/5")
        assert(assert(client:try "job"):release())
        node:cli("CLIENT", "KILL", "TYPE", "normal")
        local lock = assert(client:try "job")
        assert.equal(lock.token, node:cli("-n", "5", "GET", "job"))
    end)

    it("in no other database when that is refused", function()
        local vote, text = refusal(node.url .. "/99")
        assert.equal("error", vote)
        assert.equal("ERR DB index is out of range", text)
        assert.equal("", node:cli("-n", "0", "GET", "job"))
    end)

    it("under the client's name", function()
        local client = client_of(node.url, { client_name = "billing:7" })
        local lock = assert(client:try "job") -- renewed: over a second connection
        assert.matches("name=billing:7 ", node:cli("CLIENT", "LIST"))
        assert.is_true(lock:held())
        client:close()
        assert.is_true(wait.wait_until(function()
            return not node:cli("CLIENT", "LIST"):find("name=billing:7 ", 1, true)
        end))
        local unnamed = client_of(node.url)
        assert.is_not_nil(unnamed:info "job")
        assert.matches("name=redlock ", node:cli("CLIENT", "LIST"))
    end)

    it("under the client's name while it waits, too", function()
        local holder = assert(client_of(node.url):acquire("job", { ttl = 3, renew = false }))
        local client = client_of(node.url, { client_name = "waiting" })
        assert.is_not_nil(client:acquire("job", { wait = 10 }))
        local list = node:cli("CLIENT", "LIST")
        assert.matches("name=waiting ", list)
        assert.matches("name=waiting@%S+:%d+/[%w_-]+ ", list)
        assert.is_false(holder:held())
    end)

    it("under no more than that while it waits, if it does not tell who it is", function()
        local holder = assert(client_of(node.url):acquire("job", { ttl = 3, renew = false }))
        local client = client_of(node.url, { client_name = "secretive", identity = false })
        assert.is_not_nil(client:acquire("job", { wait = 10 }))
        local _, count = node:cli("CLIENT", "LIST"):gsub("name=secretive ", "")
        assert.is_true(count >= 2, count)
        assert.is_false(holder:held())
    end)
end)

describe("a node is not reached", function()
    it("where nobody listens, and that is said at once", function()
        local vote, text = refusal "redis://127.0.0.1:1"
        assert.equal("unreachable", vote)
        assert.equal("Connection refused", text)
        vote, text = refusal "unix:///nowhere/redis.sock"
        assert.equal("unreachable", vote)
        assert.equal("No such file or directory", text)
    end)

    it("under a name that does not exist", function()
        local vote, text = refusal("redis://no-such-host.invalid:6379", { timeout = LONG / 4 })
        assert.is_true(vote == "unreachable" or vote == "timed out", vote)
        assert.is_truthy(text)
    end)
end)

describe("a login", function()
    local PASSWORD = "p@ss:/?#[]%word"
    local ESCAPED = "p%40ss%3A%2f%3F%23%5B%5D%25word"

    local node

    setup(function()
        node = servers.start_one {
            password = PASSWORD,
            users = { ("a:b on >%s ~* &* +@all"):format(PASSWORD), "short on >x ~* &* +@all" },
        }
    end)

    local function url(login)
        return ("redis://%s127.0.0.1:%d"):format(login, node.port)
    end

    it("is a password", function()
        assert_serves(url(":" .. ESCAPED .. "@"))
        assert_serves(url("default:" .. ESCAPED .. "@"))
    end)

    it("is a user and a password", function()
        assert_serves(url "short:x@")
        assert_serves(url("a%3Ab:" .. ESCAPED .. "@"))
        assert.matches("user=a:b ", node:cli("CLIENT", "LIST"))
    end)

    it("goes over a Unix socket too", function()
        assert_serves(("unix://short:x@%s?db=2"):format(node.socket))
    end)

    it("goes with a database", function()
        local lock = assert(client_of(url "short:x@" .. "/2"):try "job")
        assert.equal(lock.token, node:cli("-n", "2", "GET", "job"))
    end)

    it("is made again after the connection was lost", function()
        local client = client_of(url "short:x@")
        assert(assert(client:try "job"):release())
        node:cli("CLIENT", "KILL", "USER", "short")
        assert.is_not_nil(client:try "job")
    end)

    it("hides no token that happens to hold the password", function()
        node:cli("SET", "seen", "x marks the spot", "PX", "10000")
        assert.equal("x marks the spot", client_of(url "short:x@"):info("seen")[1].token)
    end)

    it("that is wrong is said to be", function()
        assert.equal("refused the user or password", (refusal(url ":wrong@")))
        assert.equal("refused the user or password", (refusal(url "short:wrong@")))
        assert.equal("refused the user or password", (refusal(url("nobody:" .. ESCAPED .. "@"))))
        assert.equal("wants a password", (refusal(url "")))
    end)

    it("that nobody asked for is refused", function()
        local open = servers.start_one()
        local vote = refusal(("redis://:x@127.0.0.1:%d"):format(open.port))
        assert.equal("refused the user or password", vote)
        open:close()
    end)
end)

describe("TLS", function()
    local authority, stranger, localhost, elsewhere
    local node, other_node, strict_node

    setup(function()
        authority, stranger = certificates.new_authority(), certificates.new_authority()
        localhost = authority:issue("localhost", "DNS:localhost,IP:127.0.0.1")
        elsewhere = authority:issue("elsewhere", "DNS:redis.example")
        node = servers.start_one { tls = localhost }
        other_node = servers.start_one { tls = elsewhere }
        local strict = { clients = "yes" }
        strict.cert, strict.key, strict.ca = localhost.cert, localhost.key, authority.ca
        strict_node = servers.start_one { tls = strict }
    end)

    local function by_name(server)
        return "rediss://localhost:" .. server.port
    end

    it("trusts a certificate of an authority that is in the file", function()
        assert_serves(node.url, { tls_ca_file = authority.ca })
        assert_serves(by_name(node), { tls_ca_file = authority.ca })
    end)

    it("trusts a certificate of an authority that is in the directory", function()
        assert_serves(node.url, { tls_ca_path = authority.ca_dir })
    end)

    it("serves who waits", function()
        local options = { tls_ca_file = authority.ca }
        local first, second = client_of(node.url, options), client_of(node.url, options)
        local holder = quorum.insist(first, "job", { ttl = 0.5, renew = false })
        local lock = assert(second:acquire("job", { wait = 10 }))
        assert.is_false(holder:held())
        assert.is_true(lock:release())
    end)

    it("renews", function()
        local client = client_of(node.url, { tls_ca_file = authority.ca })
        local lock = assert(client:acquire("job", { ttl = 3 }))
        local left_ms = math.huge
        assert.is_true(wait.wait_until(function()
            local before = left_ms
            left_ms = tonumber(node:cli("PTTL", "job"))
            return left_ms > before
        end))
        assert.is_true(lock:release())
    end)

    it("refuses an authority that the system does not know, unless told otherwise", function()
        for _, options in ipairs { {}, { tls_verify = true }, { tls_ca_file = stranger.ca } } do
            local vote, text = refusal(node.url, options)
            assert.equal("unreachable", vote)
            assert.matches("^TLS: .*certificate", text)
        end
        assert.equal("", node:cli("GET", "job"))
    end)

    it("refuses a certificate for another host", function()
        for _, url in ipairs { other_node.url, by_name(other_node) } do
            local vote, text = refusal(url, { tls_ca_file = authority.ca })
            assert.equal("unreachable", vote)
            assert.matches("^TLS: .*mismatch", text)
        end
    end)

    it("takes the name that it is told to look for", function()
        local options = { tls_ca_file = authority.ca, tls_server_name = "redis.example" }
        assert_serves(other_node.url, options)
        local vote, text = refusal(node.url, options)
        assert.equal("unreachable", vote)
        assert.matches("^TLS: .*mismatch", text)
    end)

    it("verifies nothing when told so", function()
        assert_serves(node.url, { tls_verify = false })
        assert_serves(other_node.url, { tls_verify = false })
    end)

    it("shows the certificate that the server wants to see", function()
        local me = authority:issue("me", "DNS:me")
        assert_serves(strict_node.url, {
            tls_ca_file = authority.ca, tls_cert = me.cert, tls_key = me.key,
        })
        assert_serves(strict_node.url, { tls_ca_file = authority.ca, tls_cert = me.both })
    end)

    it("without that certificate does not get in", function()
        local stray = stranger:issue("stray", "DNS:stray")
        for _, options in ipairs {
            { tls_ca_file = authority.ca },
            { tls_ca_file = authority.ca, tls_cert = stray.both },
        } do
            local vote, text = refusal(strict_node.url, options)
            assert.equal("unreachable", vote)
            assert.is_truthy(text)
        end
    end)

    it("needs a key that fits the certificate", function()
        local me, you = authority:issue("me2", "DNS:me"), authority:issue("you", "DNS:you")
        assert.has_error(function()
            client_of(node.url, { tls_cert = me.cert, tls_key = you.key })
        end)
    end)

    it("gets nowhere with a server that does not speak it, in time", function()
        local plain = servers.start_one()
        local vote = refusal("rediss://127.0.0.1:" .. plain.port, { timeout = SHORT })
        assert.is_true(vote == "unreachable" or vote == "timed out", vote)
        vote = refusal("redis://127.0.0.1:" .. node.port, { timeout = SHORT })
        assert.is_true(vote == "unreachable" or vote == "timed out" or vote == "malformed reply")
        plain:close()
    end)

    it("goes with plain nodes in one quorum", function()
        local plain = servers.start_one()
        local client = quorum.new_client {
            nodes = { node.url, plain.url, other_node.url }, timeout = LONG,
            tls_ca_file = authority.ca, restart_guard = false, -- one is older than the other
        }
        local lock = assert(client:try "job")
        assert.is_true(wait.wait_until(function() return plain:cli("GET", "job") == lock.token end))
        assert.is_true(lock:release())
        plain:close()
    end)
end)
