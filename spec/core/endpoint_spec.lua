--- Where a node is and how to log in, read from a URL.

local machine = require "machine"

local function parse(url)
    local endpoint, err = machine.endpoint(url)
    assert(endpoint, err)
    return endpoint
end

-- The fields that are given; the others have to be their defaults.
local function assert_endpoint(url, expected)
    local whole = {
        transport = "tcp", host = "h", port = 6379, user = "", password = "", database = 0,
    }
    for field, value in pairs(expected) do
        whole[field] = value
    end
    local endpoint = parse(url)
    endpoint.name = expected.name and endpoint.name
    assert.same(whole, endpoint)
end

local function assert_refused(url, pattern)
    local endpoint, err = machine.endpoint(url)
    assert.is_nil(endpoint, url)
    assert.matches(pattern, err)
end

describe("a URL", function()
    it("names host, port and database", function()
        assert_endpoint("redis://h", {})
        assert_endpoint("redis://h/", {})
        assert_endpoint("redis://h:1", { port = 1 })
        assert_endpoint("redis://h:65535", { port = 65535 })
        assert_endpoint("redis://h/3", { database = 3 })
        assert_endpoint("redis://h:7000/15", { port = 7000, database = 15 })
        assert_endpoint("redis://10.0.0.1:7000", { host = "10.0.0.1", port = 7000 })
        assert_endpoint("redis://a-b.example.org", { host = "a-b.example.org" })
    end)

    it("names user and password", function()
        assert_endpoint("redis://u:p@h", { user = "u", password = "p" })
        assert_endpoint("redis://:p@h", { password = "p" })
        assert_endpoint("redis://u:p@h:7000/2",
            { user = "u", password = "p", port = 7000, database = 2 })
        assert_endpoint("redis://u:a:b@h", { user = "u", password = "a:b" })
        assert_endpoint("redis://u:a@b@h", { user = "u", password = "a@b" })
        assert_endpoint("redis://u:a/b@h/1", { user = "u", password = "a/b", database = 1 })
    end)

    it("has a scheme in any case", function()
        assert_endpoint("REDIS://h", {})
        assert_endpoint("rediss://h", { transport = "tls" })
        assert_endpoint("ReDisS://:p@h:7001", { transport = "tls", port = 7001, password = "p" })
    end)

    it("holds IPv6 addresses in brackets", function()
        assert_endpoint("redis://[::1]", { host = "::1", name = "[::1]:6379" })
        assert_endpoint("redis://u:p@[fe80::1]:7000/4", {
            host = "fe80::1", port = 7000, user = "u", password = "p", database = 4,
            name = "[fe80::1]:7000",
        })
    end)

    it("names the path of a Unix socket", function()
        assert_endpoint("unix:///run/redis.sock", { transport = "unix", host = "/run/redis.sock" })
        assert_endpoint("unix://u:p@/run/redis.sock?db=2", {
            transport = "unix", host = "/run/redis.sock", user = "u", password = "p", database = 2,
            name = "/run/redis.sock",
        })
        assert_endpoint("UNIX://:p@/s", { transport = "unix", host = "/s", password = "p" })
        assert_endpoint("unix:///a%20b%3fc", { transport = "unix", host = "/a b?c" })
    end)

    it("names the path of a Unix socket with an '@' in it, which RFC 3986 allows", function()
        assert_endpoint("unix:///run/a@b.sock", { transport = "unix", host = "/run/a@b.sock" })
        assert_endpoint("unix:///run/a:b@c/s?db=1",
            { transport = "unix", host = "/run/a:b@c/s", database = 1 })
    end)

    it("without a scheme is host and port", function()
        assert_endpoint("h", {})
        assert_endpoint("h:7000", { port = 7000 })
        assert_endpoint("127.0.0.1:7000", { host = "127.0.0.1", port = 7000 })
        assert_endpoint("[::1]:7000", { host = "::1", port = 7000 })
        assert_endpoint("[::1]", { host = "::1" })
    end)

    it("may escape what is special in it", function()
        assert_endpoint("redis://u%40x:p%2fq%3A%25@h", { user = "u@x", password = "p/q:%" })
        assert_endpoint("redis://:%E2%82%AC@h", { password = "\226\130\172" })
        assert_endpoint("redis://%68", {})
        assert_endpoint("redis://%41.b:7000", { host = "A.b", port = 7000 })
    end)

    it("may be as long as its parts may be", function()
        local user, password = ("u"):rep(255), ("p"):rep(511)
        local host = ("h"):rep(200)
        assert_endpoint(("redis://%s:%s@%s"):format(user, password, host),
            { user = user, password = password, host = host })
        assert_endpoint("redis://" .. ("h"):rep(255), { host = ("h"):rep(255) })
        local path = "/" .. ("s"):rep(106)
        assert_endpoint("unix://" .. path, { transport = "unix", host = path })
    end)

    it("has a name for people, without credentials", function()
        for url, name in pairs {
            ["redis://user:secret@h:7000/3"] = "h:7000",
            ["rediss://:secret@h"] = "h:6379",
            ["redis://u:p@[::1]:7000"] = "[::1]:7000",
            ["unix://app:pa@/ss:secret@/run/s"] = "/run/s",
            ["unix://u:secret@/run/s?db=2"] = "/run/s",
            ["h"] = "h:6379",
        } do
            assert.equal(name, parse(url).name)
        end
        assert.equal(255 + 5, #parse("redis://" .. ("h"):rep(255)).name)
    end)
end)

describe("a URL is refused", function()
    it("that is empty, too long or holds a NUL", function()
        assert_refused("", "empty")
        assert_refused("redis://h/" .. ("0"):rep(1100), "too long")
        assert_refused("redis://h\0", "NUL")
        assert_refused("redis://u:p%00@h", "badly escaped")
    end)

    it("whose scheme is another", function()
        for _, url in ipairs {
            "http://h", "redis+tls://h", "://h", "redisx://h", " redis://h", "sentinel://h",
        } do
            assert_refused(url, "scheme")
        end
    end)

    it("whose host is missing or malformed", function()
        for _, url in ipairs {
            "redis://", "redis:///", "redis://:7000", "redis:///0", "redis://u:p@",
            "redis://u:p@/0", ":7000", "redis://[]", "redis://[]:7000", "redis://::1",
        } do
            assert_refused(url, "host is missing")
        end
        for _, url in ipairs {
            "redis://a b", "redis://%20", "redis://h%zz", "redis://h%", "h%4",
            "redis://" .. ("h"):rep(256),
        } do
            assert_refused(url, "host is too long or malformed")
        end
        for _, url in ipairs { "redis://[::1", "[::1", "redis://[::1]x", "redis://[::1]7000" } do
            assert_refused(url, "address is malformed")
        end
    end)

    it("whose port is no port", function()
        for _, port in ipairs {
            "", "0", "65536", "99999999999999999999", "-1", "+1", "1x", "x", " 1", "1 ", "0x10",
            "1.0", "%31", ":1",
        } do
            assert_refused("redis://h:" .. port, "port must be a number from 1 to 65535")
            assert_refused("h:" .. port, "port must be a number from 1 to 65535")
            assert_refused("redis://h:" .. port .. "/0", "port must be a number from 1 to 65535")
        end
        assert_refused("redis://fe80::1", "port must be")
    end)

    it("whose database is no whole number", function()
        for _, database in ipairs {
            "x", "-1", "1x", "1.5", "99999999", "1/2", "1?x=2", "0 ", "%31", "1000001",
        } do
            assert_refused("redis://h/" .. database, "database must be a whole number")
            assert_refused("unix:///s?db=" .. database, "database must be a whole number")
        end
    end)

    it("whose login is malformed", function()
        assert_refused("redis://user@h", "user:password or :password")
        assert_refused("redis://@h", "user:password or :password")
        assert_refused("redis://user:@h", "password is empty")
        assert_refused("unix://:@/s", "password is empty")
        assert_refused("redis://u%4:p@h", "user is too long or badly escaped")
        assert_refused("redis://u:p%xx@h", "password is too long or badly escaped")
        assert_refused("redis://" .. ("u"):rep(256) .. ":p@h", "user is too long")
        assert_refused("redis://:" .. ("p"):rep(512) .. "@h", "password is too long")
    end)

    it("whose Unix socket has no absolute path, a long one, or other parameters", function()
        assert_refused("unix://", "must begin with '/'")
        assert_refused("unix://run/s", "must begin with '/'")
        assert_refused("unix://:p@", "must begin with '/'")
        assert_refused("unix://?db=1", "must begin with '/'")
        assert_refused("unix:///" .. ("s"):rep(107), "path is too long")
        assert_refused("unix:///s%4", "badly escaped")
        assert_refused("unix:///s?", "only parameter")
        assert_refused("unix:///s?database=1", "only parameter")
        assert_refused("unix:///s?db=1&x=2", "whole number")
    end)

    it("without a scheme that is more than host and port", function()
        for _, url in ipairs { "user:secret@h", ":secret@h:7000", "h/0", "/run/redis.sock" } do
            assert_refused(url, "host:port alone")
        end
    end)

    it("in words that quote nothing of it", function()
        for _, url in ipairs {
            "redis://QQQQ@h", "redis://QQQQ:@h", "redis://:QQQQ%@h", "redis://QQQQ%:p@h",
            "redis://:QQQQ@", "redis://:QQQQ@h:QQQQ", "redis://:QQQQ@h/QQQQ", "QQQQ://:QQQQ@h",
            "unix://:QQQQ@QQQQ", "unix://:QQQQ@/QQQQ?QQQQ", "user:QQQQ@h", "redis://:QQQQ@[h",
            "redis://:QQQQ@h QQQQ", "redis://:QQQQ\0@h", "unix:///" .. ("Q"):rep(200),
        } do
            local endpoint, err = machine.endpoint(url)
            assert.is_nil(endpoint, url)
            assert.is_true(#err > 0)
            assert.is_nil(err:find("Q", 1, true))
        end
    end)
end)

describe("two URLs", function()
    local same = machine.same_endpoint

    it("name the same server whatever the login, database or encryption", function()
        assert.is_true(same("redis://h", "h:6379"))
        assert.is_true(same("redis://u:p@h:7000/1", "redis://h:7000/2"))
        assert.is_true(same("redis://h:7000", "rediss://h:7000"))
        assert.is_true(same("redis://EXAMPLE.org", "redis://example.ORG"))
        assert.is_true(same("unix:///s", "unix://:p@/s?db=3"))
        assert.is_true(same("redis://%68", "redis://h"))
    end)

    it("name different servers by host, port or path", function()
        assert.is_false(same("redis://h", "redis://i"))
        assert.is_false(same("redis://h:7000", "redis://h:7001"))
        assert.is_false(same("unix:///a", "unix:///b"))
        assert.is_false(same("redis://h", "unix:///h"))
    end)

    it("name different Unix sockets where only the case differs", function()
        assert.is_false(same("unix:///run/A.sock", "unix:///run/a.sock"))
    end)
end)
