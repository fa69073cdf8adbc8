-- What may be asked of redlock.new(): every option, every URL, and what is said of the wrong ones.

local fault = require "support.fault"
local misuse = require "support.misuse"
local quorum = require "support.quorum"
local redlock = require "redlock"
local servers = require "servers"

local NAN, HUGE = 0 / 0, math.huge
local URL = "redis://127.0.0.1:6379"

local function message_of(settings)
    return misuse.message("redlock.new(settings)", { redlock = redlock, settings = settings })
end

local function with_option(name, value)
    return { nodes = { URL }, [name] = value }
end

local A_LEASE = "a number of seconds from 0.001 to 1e+09"
local SECONDS = "a number of seconds, 0 or more (math.huge: no limit)"
local BOOLEAN = "true or false"
local TEXT = "a string that is not empty"

-- must: what the message says it has to be; good, bad: what is taken and what is refused.
local rules = {
    ttl = { must = A_LEASE, good = { 0.001, 30, 86400, 1e9 },
        bad = { 0, -1, 0.0009, 1.1e9, NAN, HUGE, -HUGE, "30", true, {} } },
    wait = { must = SECONDS, good = { 0, 0.5, HUGE },
        bad = { -0.001, NAN, -HUGE, "5", false, {} } },
    max_hold = { must = SECONDS, good = { 0, 60, HUGE },
        bad = { -1, NAN, -HUGE, "60", true } },
    renew = { must = BOOLEAN, good = { true, false }, bad = { 0, 1, "yes", {} } },
    fair = { must = BOOLEAN, good = { true, false }, bad = { 0, 1, "yes", {} } },
    timeout = { must = "a number of seconds from 0.001 to 3600", good = { 0.001, 0.5, 3600 },
        bad = { 0, -1, 3601, NAN, HUGE, "1", false } },
    drift_factor = { must = "a number from 0 to below 1", good = { 0, 0.01, 0.999 },
        bad = { -0.01, 1, 2, NAN, HUGE, "0.01", true } },
    restart_guard = { must = '"auto", a number of seconds, or false',
        good = { "auto", false, 0, 1.5, 86400 }, bad = { true, "off", -1, NAN, HUGE, "5", {} } },
    prefix = { must = "a string of at most 512 bytes",
        good = { "", "app:", "a\0b", ("p"):rep(512) }, bad = { ("p"):rep(513), 5, false, {} } },
    client_name = { must = "1 to 63 printable characters without a space",
        good = { "billing", ("n"):rep(63), "a:b/c" },
        bad = { "", "two words", "line\n", "\0", "\195\188", ("n"):rep(64), 5, false } },
    tls_verify = { must = BOOLEAN, good = { true, false }, bad = { 0, "no", {} } },
    tls_ca_file = { must = TEXT, good = { "/ca.pem" }, bad = { "", "a\0b", 5, true } },
    tls_ca_path = { must = TEXT, good = { "/certs" }, bad = { "", "a\0b", 5, false } },
    tls_cert = { must = TEXT, good = { "/cert.pem" }, bad = { "", "a\0b", 5, {} } },
    tls_key = { must = TEXT, good = { "/key.pem" }, bad = { "", "a\0b", 5, {} } },
    tls_server_name = { must = TEXT, good = { "redis.local" }, bad = { "", "a\0b", 5, {} } },
}

describe("option", function()
    for name, rule in pairs(rules) do
        it(name .. " takes what it may be", function()
            for _, value in ipairs(rule.good) do
                assert.has_no_error(function() redlock.new(with_option(name, value)) end)
            end
        end)

        it(name .. " is refused when it is anything else", function()
            local expected = ('redlock: option "%s" must be %s'):format(name, rule.must)
            for _, value in ipairs(rule.bad) do
                assert.equal(expected, message_of(with_option(name, value)))
            end
        end)
    end

    it("nodes is needed", function()
        assert.equal('redlock: option "nodes" is missing', message_of { ttl = 5 })
    end)

    it("nodes is a list of 1 to 32 URLs", function()
        local expected = 'redlock: option "nodes" must be a list of 1 to 32 URLs'
        local many = {}
        for index = 1, 32 do
            many[index] = "10.0.0." .. index
        end
        assert.has_no_error(function() redlock.new { nodes = many } end)
        many[33] = "10.0.0.33"
        for _, nodes in ipairs {
            many, {}, URL, 5, false, { URL, 6379 }, { { URL } }, { url = URL }, { URL, url = URL },
            { [1] = URL, [3] = "10.0.0.1" }, { [2] = URL },
        } do
            assert.equal(expected, message_of { nodes = nodes })
        end
    end)

    it("that is unknown is refused by its name", function()
        local function assert_unknown(name, settings)
            assert.equal(('redlock: there is no option "%s"'):format(name), message_of(settings))
        end
        assert_unknown("tls_verfy", with_option("tls_verfy", false))
        assert_unknown("TTL", with_option("TTL", 30))
        assert_unknown("1", { URL, nodes = { URL } })
        assert_unknown("true", with_option(true, 1))
    end)

    it("is not quoted where its name is no word, since it may hold a password", function()
        local url = "redis://:secret@10.0.0.1:6379"
        local expected = "redlock: there is no option of such a name (29 bytes, and no word)"
        assert.equal(expected, message_of { nodes = { URL }, [url] = true })
        assert.equal(expected, message_of { [url] = { URL } })
        assert.equal(expected, misuse.message("redlock.new(url, { [other] = 1 })",
            { redlock = redlock, url = URL, other = url }))
        assert.equal(expected, misuse.message("client:acquire('job', { [url] = 1 })",
            { client = redlock.new(URL), url = url }))
    end)

    it("is checked and taken also if it is inherited", function()
        local function inheriting(parent)
            return setmetatable({}, { __index = parent })
        end
        local function of(settings)
            return inheriting(inheriting(settings))
        end
        for name, rule in pairs(rules) do
            local expected = ('redlock: option "%s" must be %s'):format(name, rule.must)
            assert.equal(expected, message_of(of(with_option(name, rule.bad[1]))))
            assert.has_no_error(function() redlock.new(of(with_option(name, rule.good[1]))) end)
        end
        assert.equal('redlock: there is no option "TTL"', message_of(of(with_option("TTL", 30))))
        assert.equal('redlock: option "wait" must be ' .. SECONDS,
            misuse.message("client:acquire('job', terms)",
                { client = redlock.new(URL), terms = of { wait = -1 } }))
        local client = redlock.new(of { nodes = { "10.0.0.7:6379" }, prefix = "a:" })
        assert.equal("redlock.Client of 10.0.0.7:6379", tostring(client))
    end)

    it("is read once, so that another value later is not believed", function()
        local reads = {}
        local settings = setmetatable({}, { __index = function(_, name)
            reads[name] = (reads[name] or 0) + 1
            return name == "nodes" and { URL } or nil
        end })
        redlock.new(settings)
        for name, count in pairs(reads) do
            assert.equal(1, count, name)
        end
        assert.equal(1, reads.ttl)
    end)

    it("keeps its value when the table that it came in changes", function()
        local settings = { nodes = { URL }, prefix = "a:" }
        local client = redlock.new(settings)
        settings.nodes[1], settings.prefix = "redis://10.0.0.9", 5
        assert.equal("redlock.Client of 127.0.0.1:6379", tostring(client))
        assert.equal("job", client:lock("job").name)
    end)
end)

describe("terms", function()
    local node

    setup(function()
        node = quorum.start(1)
    end)

    teardown(function()
        servers.stop_all()
    end)

    after_each(function()
        quorum.close_clients()
        node:reset()
    end)

    local function lease_of(client, lock_options, acquire_options)
        local lock = assert(client:lock("job", lock_options):acquire(acquire_options))
        local left_ms = node:ask(1, "PTTL", "job")
        assert(lock:release())
        return math.ceil(left_ms / 100000) * 100
    end

    it("hold for a client, unless a lock, unless an acquire says otherwise", function()
        local client = node:client { ttl = 200, renew = false }
        assert.equal(200, lease_of(client))
        assert.equal(400, lease_of(client, { ttl = 400 }))
        assert.equal(600, lease_of(client, { ttl = 400 }, { ttl = 600 }))
        assert.equal(600, lease_of(client, nil, { ttl = 600 }))
        assert.equal(200, lease_of(client))
        assert.equal(400, lease_of(client, { ttl = 400 }, { wait = 1 }))
    end)

    it("leave the others as they were", function()
        local holder = assert(node:client():acquire "job")
        local client = node:client { wait = 0 }
        assert.equal("locked", select(3, client:acquire "job"))
        assert.equal("locked", select(3, client:acquire("job", { ttl = 5 })))
        assert.equal("timeout", select(3, client:acquire("job", { wait = 0.05 })))
        local waiting = client:lock("job", { wait = 0.05 })
        assert.equal("timeout", select(3, waiting:acquire { ttl = 5 }))
        assert.equal("locked", select(3, waiting:acquire { wait = 0 }))
        assert.is_true(holder:held())
    end)

    it("are one table for locks that say the same, and another where one term differs", function()
        local core = require "redlock.core"
        local client = node:client()
        local function terms_of(name, value)
            local given = { ttl = 7, wait = 1 }
            if name then
                given[name] = value
            end
            return core.companion(client:lock("job", given)).terms
        end
        assert.is_true(rawequal(terms_of(), terms_of()))
        local others = {
            ttl = 8, wait = 2, renew = false, max_hold = 3, fair = true, cohort = true,
            detach = true, at_least = 4,
        }
        for name, value in pairs(core.companion(client:lock "job").terms) do
            assert.not_equal(value, others[name])
            assert.equal(7, terms_of().ttl)
            assert.equal(others[name], terms_of(name, others[name])[name])
        end
    end)

    it("are 30 seconds of lease when nobody says anything", function()
        local lock = assert(quorum.new_client(node[1].url):acquire "job")
        local left_ms = node:ask(1, "PTTL", "job")
        assert.is_true(left_ms > 20000 and left_ms <= 30000)
        assert.is_true(lock:held())
    end)

    it("count less by the drift", function()
        local lock = assert(node:client({ drift_factor = 0.5 }):acquire("job", { ttl = 100 }))
        assert.is_true(lock:remaining() <= 50 - 0.002)
        assert.is_true(lock:remaining() > 0)
        assert.is_true(node:ask(1, "PTTL", "job") > 50000)
    end)
end)

describe("a URL", function()
    for url, name in pairs {
        ["redis://10.0.0.1"] = "10.0.0.1:6379",
        ["redis://10.0.0.1/"] = "10.0.0.1:6379",
        ["redis://10.0.0.1:7000/3"] = "10.0.0.1:7000",
        ["REDIS://10.0.0.1"] = "10.0.0.1:6379",
        ["rediss://cache.example:6380"] = "cache.example:6380",
        ["redis://[fd00::1]:7000"] = "[fd00::1]:7000",
        ["redis://[::1]"] = "[::1]:6379",
        ["redis://:secret@10.0.0.1"] = "10.0.0.1:6379",
        ["redis://app:secret@10.0.0.1:7000/2"] = "10.0.0.1:7000",
        ["redis://app:s/e@c:r?t@10.0.0.1"] = "10.0.0.1:6379",
        ["redis://a%3Ab:%40%2F%25@10.0.0.1"] = "10.0.0.1:6379",
        ["unix:///run/redis.sock"] = "/run/redis.sock",
        ["unix:///run/redis.sock?db=2"] = "/run/redis.sock",
        ["unix://app:secret@/run/redis.sock"] = "/run/redis.sock",
        ["unix:///run/with%20space"] = "/run/with space",
        ["10.0.0.1"] = "10.0.0.1:6379",
        ["cache.example:7000"] = "cache.example:7000",
        ["[::1]:7000"] = "[::1]:7000",
    } do
        it("may be " .. url, function()
            assert.equal("redlock.Client of " .. name, tostring(redlock.new(url)))
            assert.equal("redlock.Client of " .. name, tostring(redlock.new { nodes = { url } }))
        end)
    end

    local long_path = "unix:///" .. ("p"):rep(107)

    for url, problem in pairs {
        [""] = "it is empty",
        ["redis://10.0.0.1\0"] = "it is too long or holds a NUL",
        ["redis://" .. ("h"):rep(10000)] = "it is too long or holds a NUL",
        ["http://10.0.0.1"] = "the scheme must be redis, rediss or unix",
        ["redis+ssl://10.0.0.1"] = "the scheme must be redis, rediss or unix",
        ["redis://"] = "the host is missing",
        ["redis://:6379"] = "the host is missing",
        ["redis://[]"] = "the host is missing",
        ["redis://[::1"] = "the address is malformed",
        ["redis://[::1]x"] = "the address is malformed",
        ["redis://::1"] = "the host is missing",
        ["redis://fd00::1"] = "the port must be a number from 1 to 65535",
        ["redis://two words"] = "the host is too long or malformed",
        ["redis://" .. ("h"):rep(300)] = "the host is too long or malformed",
        ["redis://10.0.0.1:0"] = "the port must be a number from 1 to 65535",
        ["redis://10.0.0.1:65536"] = "the port must be a number from 1 to 65535",
        ["redis://10.0.0.1:"] = "the port must be a number from 1 to 65535",
        ["redis://10.0.0.1:-1"] = "the port must be a number from 1 to 65535",
        ["redis://10.0.0.1:port"] = "the port must be a number from 1 to 65535",
        ["redis://10.0.0.1/x"] = "the database must be a whole number",
        ["redis://10.0.0.1/-1"] = "the database must be a whole number",
        ["redis://10.0.0.1/0/1"] = "the database must be a whole number",
        ["redis://10.0.0.1/0?timeout=5"] = "the database must be a whole number",
        ["redis://secret@10.0.0.1"] = "the part before '@' must be user:password or :password",
        ["redis://app:@10.0.0.1"] = "the password is empty",
        ["redis://app:%4@10.0.0.1"] = "the password is too long or badly escaped",
        ["redis://app:%zz@10.0.0.1"] = "the password is too long or badly escaped",
        ["redis://app:%00@10.0.0.1"] = "the password is too long or badly escaped",
        ["redis://%:secret@10.0.0.1"] = "the user is too long or badly escaped",
        ["unix://"] = "the path of a Unix socket must begin with '/'",
        ["unix://run/redis.sock"] = "the path of a Unix socket must begin with '/'",
        ["unix:///run/redis.sock?db=x"] = "the database must be a whole number",
        ["unix:///run/redis.sock?password=x"] = "the only parameter is ?db=",
        [long_path] = "the path is too long (107 bytes) or badly escaped",
        ["10.0.0.1/3"] = "an address without a scheme is host:port alone",
        ["app:secret@10.0.0.1"] = "an address without a scheme is host:port alone",
        ["10.0.0.1:x"] = "the port must be a number from 1 to 65535",
    } do
        it("may not be " .. ("%q"):format(url):sub(1, 40), function()
            assert.equal("redlock: node 1: " .. problem, message_of(url))
            local nodes = { "redis://10.1.1.1", "redis://10.1.1.2", url }
            assert.equal("redlock: node 3: " .. problem, message_of { nodes = nodes })
        end)
    end

    for first, second in pairs {
        ["redis://10.0.0.1:6379"] = "redis://10.0.0.1:6379",
        ["redis://10.0.0.2"] = "10.0.0.2:6379",
        ["redis://10.0.0.3/0"] = "redis://10.0.0.3/1",
        ["redis://cache.example"] = "redis://CACHE.example",
        ["redis://a:b@10.0.0.4"] = "redis://c:d@10.0.0.4",
        ["redis://10.0.0.5"] = "rediss://10.0.0.5",
        ["redis://[::1]"] = "[::1]:6379",
        ["unix:///run/redis.sock"] = "unix:///run/redis.sock?db=1",
    } do
        it(("may not name a server twice: %s and %s"):format(first, second), function()
            local message = message_of { nodes = { first, "redis://10.9.9.9", second } }
            local pattern = "^redlock: nodes 1 and 3 are the same server, %S+: it has one vote$"
            assert.matches(pattern, message)
        end)
    end

    it("may name several servers of one host", function()
        local nodes = { "10.0.0.1:1", "10.0.0.1:2", "unix:///a", "unix:///b" }
        local client = redlock.new { nodes = nodes }
        assert.equal("redlock.Client of 10.0.0.1:1, 10.0.0.1:2, /a, /b", tostring(client))
    end)
end)

describe("TLS options", function()
    local function tls_message(options)
        options.nodes = { "rediss://10.0.0.1" }
        return message_of(options)
    end

    it("name files that can be read, or are refused at once", function()
        assert.matches("^redlock: TLS: the CA certificates cannot be read",
            tls_message { tls_ca_file = "/nowhere/ca.pem" })
        assert.matches("^redlock: TLS: the client certificate cannot be read",
            tls_message { tls_cert = "/nowhere/cert.pem" })
    end)
end)

describe("a user and a password", function()
    local USER, PASSWORD = "bookkeeper", "hunter2"
    local ESCAPED = "hunt%65r2"

    local function assert_unnamed(...)
        for index = 1, select("#", ...) do
            local text = tostring((select(index, ...)))
            for _, secret in ipairs { USER, PASSWORD, ESCAPED } do
                assert.is_nil(text:find(secret, 1, true), text)
            end
        end
    end

    local function assert_votes_unnamed(votes)
        for _, vote in ipairs(votes) do
            for _, field in pairs(vote) do
                assert_unnamed(field)
            end
        end
    end

    local function url_of(address, password)
        return ("redis://%s:%s@%s"):format(USER, password or PASSWORD, address)
    end

    teardown(function()
        fault.stop_all()
        servers.stop_all()
    end)

    after_each(function()
        quorum.close_clients()
    end)

    it("are never in what a client or a lock says of itself", function()
        local client = redlock.new(url_of("127.0.0.1:1", ESCAPED))
        assert_unnamed(client, client:lock "job")
    end)

    it("are never in what is raised about a URL or another option", function()
        local addresses = { "", ":", "[", "host:0", "host/x", "two words", "host:1:2", "%zz" }
        for _, address in ipairs(addresses) do
            assert_unnamed(message_of(url_of(address)))
            assert_unnamed(message_of(url_of(address, ESCAPED)))
        end
        for _, url in ipairs {
            "redis:/" .. USER .. ":" .. PASSWORD .. "@host", USER .. ":" .. PASSWORD .. "@host",
            "redis://" .. PASSWORD .. "@host", "http://" .. USER .. ":" .. PASSWORD .. "@host",
            "unix://" .. USER .. ":" .. PASSWORD .. "@host", url_of("host", PASSWORD .. "%z"),
            "unix://" .. USER .. ":" .. PASSWORD .. "@/path?" .. PASSWORD, url_of("host", ""),
        } do
            assert_unnamed(message_of(url))
        end
        assert_unnamed(message_of { nodes = { url_of "host", url_of("host", ESCAPED) } })
        assert_unnamed(message_of { nodes = url_of "host" })
        assert_unnamed(message_of { nodes = { url_of "host" }, ttl = -1 })
    end)

    it("are never in what is said of a node that is down", function()
        local client = quorum.new_client { nodes = { url_of "127.0.0.1:1" } }
        local _, message, _, votes = client:acquire("job", { wait = 0 })
        assert_unnamed(message)
        assert_votes_unnamed(votes)
        assert_votes_unnamed(client:info "job")
    end)

    it("are never in what is said of a node that refuses them", function()
        local server = servers.start_one { password = "another" }
        local client = quorum.new_client(url_of("127.0.0.1:" .. server.port))
        local _, message, code, votes = client:try "job"
        assert.equal("unavailable", code)
        assert.equal("refused the user or password", votes[1].vote)
        assert_unnamed(message)
        assert_votes_unnamed(votes)
    end)

    it("are never in what is said of a server that repeats them", function()
        local echo = fault.fake {
            answers = { ["*"] = ("-ERR unknown command, with args: '%s' '%s'\r\n"):format(
                USER, PASSWORD) },
        }
        local client = quorum.new_client(url_of("127.0.0.1:" .. echo.port))
        local _, message, code, votes = client:try "job"
        assert.equal("unavailable", code)
        assert_unnamed(message)
        assert_votes_unnamed(votes)
    end)
end)
