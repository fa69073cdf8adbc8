-- Listing what stands on the nodes: every lock, by name, page by page.

local event_loops = require "support.event_loops"
local fault = require "support.fault"
local inbox = require "support.inbox"
local misuse = require "support.misuse"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local unpack = table.unpack or unpack

local LONG = 60 -- seconds

local nodes

setup(function()
    nodes = quorum.start(3)
end)

teardown(function()
    servers.stop_all()
end)

after_each(function()
    fault.stop_all()
    inbox.close_all()
    quorum.close_clients()
    nodes:revive()
    nodes:reset()
end)

local function names(locks)
    local list = {}
    for index, lock in ipairs(locks) do
        list[index] = lock.name
    end
    return list
end

-- Locks as a client would have left them on a server, many at once.
local function make_locks(server, form, count)
    assert(quorum.ask(server, "EVAL", [[
        for i = 1, tonumber(ARGV[2]) do
            local key = string.format(ARGV[1], i)
            redis.call('SET', key, 'tokenoflock' .. i, 'PX', 600000)
            local fence = '1700000000000000 tokenofl host:1 x'
            redis.call('SET', '{' .. key .. '}:fence', fence, 'EX', 1000)
        end
        return 1
    ]], 0, form, count) == 1)
end

for _, count in ipairs { 1, 3 } do
    describe(("on %d nodes"):format(count), function()
        local list, client

        setup(function()
            list = nodes:first(count)
        end)

        before_each(function()
            client = list:client { identity = "the test" }
        end)

        local function hold(name, options)
            return list:everywhere(client, name, options)
        end

        it("there is nothing where nothing is held", function()
            local locks, walk = client:list()
            assert.same({}, locks)
            assert.is_true(walk.complete)
            assert.is_nil(walk.why)
            assert.equal(count, #walk.nodes)
            assert.equal("127.0.0.1:" .. list[1].port, walk.nodes[1].node)
        end)

        it("tells of each lock who holds it, and on how many nodes", function()
            local lock = hold("job", { ttl = LONG })
            local locks = assert(client:list())
            assert.equal(1, #locks)
            local seen = locks[1]
            assert.same({ "job", count, lock.token, lock.fence, false, 0 },
                { seen.name, seen.votes, seen.token, seen.fence, seen.foreign, seen.waiters })
            assert.matches(" redlock the test$", seen.holder)
            assert.is_true(seen.age >= 0 and seen.age < LONG)
            assert.is_true(seen.ttl > 0 and seen.ttl <= LONG)
            for index = 1, count do
                assert.equal("127.0.0.1:" .. list[index].port, seen.nodes[index].node)
                assert.equal(lock.token, seen.nodes[index].token)
            end
            assert(lock:release())
            assert.is_true(list:comes_to(0, "job"))
            assert.same({}, (client:list()))
        end)

        it("sorts by name, and leaves out what lies beside locks", function()
            local held = {}
            for index, name in ipairs { "b", "{tag}x", "a", "a:fence", "\0z", "c d" } do
                held[index] = hold(name)
            end
            assert.same({ "\0z", "a", "a:fence", "b", "c d", "{tag}x" }, names((client:list())))
            for _, lock in ipairs(held) do
                assert(lock:release())
            end
        end)

        it("counts who waits", function()
            local lock = hold "job"
            local ears = {}
            for index = 1, count do
                ears[index] = inbox.open(list[index])
                ears[index]:join("job", 1, 100)
                ears[index]:join("job", 2, 200)
            end
            assert.equal(2, client:list()[1].waiters)
            assert(lock:release())
        end)

        it("takes a pattern of names, and the prefix as it is", function()
            local settings = { prefix = "p*[x]?\\:" }
            local with_prefix = list:client(settings)
            local held = { hold "pzx:a", hold "other" }
            for _, name in ipairs { "job:1", "job:2", "order:1" } do
                local key = settings.prefix .. name
                held[#held + 1] = list:everywhere(with_prefix, name, nil, key)
            end
            assert.same({ "job:1", "job:2", "order:1" }, names((with_prefix:list())))
            assert.same({ "job:1", "job:2" }, names((with_prefix:list "job:*")))
            assert.same({ "job:1" }, names((with_prefix:list "job:[1]")))
            assert.same({}, names((with_prefix:list "nothing*")))
            assert.same({ "other" }, names((client:list "o*")))
        end)

        it("tells other libraries' locks if it is asked to", function()
            list:ask_all("SET", "theirs", "foreign", "PX", 60000)
            list:ask_all("SET", "for ever", "value")
            list:ask_all("HSET", "hash", "field", "1")
            local lock = hold "ours"
            assert.same({ "ours" }, names((client:list())))
            local locks = assert(client:list("*", { all = true }))
            assert.same({ "ours", "theirs" }, names(locks))
            assert.same({ false, true }, { locks[1].foreign, locks[2].foreign })
            assert.same({ "foreign", count }, { locks[2].token, locks[2].votes })
            assert.is_nil(locks[2].holder)
            assert.is_nil(locks[2].fence)
            assert(lock:release())
        end)

        it("another library's lock under a name of ours is not ours", function()
            assert(hold("job"):release())
            assert.is_true(list:comes_to(0, "job"))
            list:ask_all("SET", "job", "foreign", "PX", 60000)
            local seen = client:list()[1]
            assert.same({ "job", "foreign", false }, { seen.name, seen.token, seen.foreign })
            assert.is_nil(seen.holder)
            assert.is_nil(seen.age)
        end)

        it("without an end says so", function()
            local lock = hold "job"
            list:ask_all("PERSIST", "job")
            assert.equal(math.huge, client:list()[1].ttl)
            assert(lock:release())
        end)

        it("finds each of many locks once, among many other keys, and never by KEYS", function()
            list:ask_all("EVAL", "for i = 1, 20000 do redis.call('SET', 'x' .. i, i) end", 0)
            for index = 1, count do
                make_locks(list[index], "job%05d", 2000)
                list:ask(index, "CONFIG", "RESETSTAT")
            end
            local rounds, last = 0, nil
            local locks, walk = client:list("*", {
                progress = function(progress)
                    rounds, last = rounds + 1, progress
                end,
            })
            assert.is_true(walk.complete)
            assert.equal(2000, #locks)
            for index, lock in ipairs(locks) do
                assert.equal(("job%05d"):format(index), lock.name)
                assert.same({ count, "host:1 x" }, { lock.votes, lock.holder })
            end
            assert.is_true(rounds > 5)
            assert.same({ walk.pages, 2000, 0 }, { last.pages, last.locks, last.nodes })
            local stats = list[1]:cli("INFO", "commandstats")
            assert.is_nil(stats:find("cmdstat_keys:", 1, true))
            assert.is_truthy(stats:find("cmdstat_scan:", 1, true))
        end)

        it("takes names and holders that are as long as can be", function()
            for index = 1, count do
                make_locks(list[index], ("n"):rep(505) .. "%07d", 300)
            end
            local locks, walk = client:list()
            assert.is_true(walk.complete)
            assert.equal(300, #locks)
        end)

        it("ends when its progress says so, and when its time is over", function()
            make_locks(list[1], "job%05d", 2000)
            local locks, walk = client:list("*", { progress = function() return false end })
            assert.is_true(#locks > 0 and #locks < 2000)
            assert.same({ false, "stopped" }, { walk.complete, walk.why })
            locks, walk = client:list("*", { timeout = 0.001, progress = function()
                wait.wait_until(function() return false end, 0.002)
            end })
            assert.is_true(#locks < 2000)
            assert.same({ false, "timeout" }, { walk.complete, walk.why })
        end)

        it("has all votes of the locks that it has, if there are more than its limit", function()
            for index = 1, count do
                make_locks(list[index], "job%05d", 2000)
            end
            local locks, walk = client:list("*", { limit = 150 })
            assert.equal(150, #locks)
            assert.same({ false, "limit" }, { walk.complete, walk.why })
            for _, lock in ipairs(locks) do
                assert.equal(count, lock.votes)
            end
        end)

        it("changes nothing", function()
            local lock = hold("job", { renew = false })
            local before = list:ask(1, "DBSIZE")
            client:list("*", { all = true })
            assert.equal(before, list:ask(1, "DBSIZE"))
            assert.is_true(lock:held())
        end)

        for name, loop in pairs { cqueues = event_loops.cqueues(), luv = event_loops.luv() } do
            it("yields in " .. name .. ", at every page", function()
                for index = 1, count do
                    make_locks(list[index], "job%05d", 2000)
                end
                local turns, rounds, is_over = 0, 0, false
                loop.run(function()
                    loop.spawn(function()
                        repeat
                            turns = turns + 1
                            loop.sleep(0.001)
                        until is_over
                    end)
                    local locks = client:list { progress = function() rounds = rounds + 1 end }
                    is_over = true
                    assert.equal(2000, #locks)
                end)
                assert.is_true(turns > 1 and rounds > 5, turns)
            end)
        end

        it("of a client that is closed is closed", function()
            client:close()
            local locks, message, code = client:list()
            assert.is_nil(locks)
            assert.equal("closed", code)
            assert.matches("^closed: ", message)
        end)
    end)
end

describe("over three nodes", function()
    local function hold(name)
        return nodes:everywhere(nodes:client { ttl = LONG }, name)
    end

    it("tells how many bear the token that most bear", function()
        local lock = hold "job"
        nodes:ask(2, "DEL", "job")
        local seen = nodes:client():list()[1]
        assert.same({ 2, lock.token }, { seen.votes, seen.token })
        assert.is_nil(seen.nodes[2])
        nodes:ask(2, "SET", "job", "another", "PX", 60000)
        seen = nodes:client():list()[1]
        assert.same({ 2, lock.token, "another" }, { seen.votes, seen.token, seen.nodes[2].token })
        nodes:ask(3, "SET", "job", "another", "PX", 60000)
        assert.same({ 2, "another" }, (function(found)
            return { found.votes, found.token }
        end)(nodes:client():list()[1]))
    end)

    it("says which node did not answer", function()
        local lock = hold "job"
        nodes[3]:kill()
        local locks, walk = nodes:client({ timeout = 3 }):list()
        assert.same({ 2, lock.token }, { locks[1].votes, locks[1].token })
        assert.same({ false, "nodes" }, { walk.complete, walk.why })
        assert.matches("unreachable", walk.nodes[3].error)
        assert.is_nil(walk.nodes[1].error)
    end)

    it("does not wait for ever for one that hangs", function()
        local lock = hold "job"
        nodes[2]:pause()
        local locks, walk = nodes:client({ timeout = 2 }):list()
        assert.same({ 2, lock.token }, { locks[1].votes, locks[1].token })
        assert.equal("nodes", walk.why)
        assert.is_string(walk.nodes[2].error)
    end)

    it("without any node is unavailable", function()
        local urls = { "redis://127.0.0.1:1", "redis://127.0.0.1:2" }
        local locks, message, code, list = quorum.new_client({ nodes = urls }):list()
        assert.is_nil(locks)
        assert.equal("unavailable", code)
        assert.matches("^unavailable: ", message)
        assert.matches("unreachable", list[2].error)
    end)
end)

describe("a server that lies", function()
    local function field(text)
        return ("%d:%s"):format(#text, text)
    end

    local function page(...)
        local text = ""
        for _, each in ipairs { ... } do
            text = text .. field(each)
        end
        return text
    end

    local function lists(text, prefix)
        local answer = ("$%d\r\n%s\r\n"):format(#text, text)
        local server = fault.fake { answers = {
            CLIENT = "+OK\r\n", INFO = "$0\r\n\r\n", EVALSHA = answer, EVAL = answer,
        } }
        return quorum.new_client({ nodes = { server.url }, prefix = prefix, timeout = 10 }):list()
    end

    it("with a page that is none is left", function()
        for _, text in ipairs {
            "", "x", "1", "1:", "-1:0", "1:x", "5:0", "99999999999999999999:0", "00000001:0",
            page "", page "12345678901234567890123", page "-1", page "0" .. "3:ab",
            page("0", "job"), page("0", "job", "t", "1", "1"),
            page("0", "job", "t", "1", "1", "0") .. "7",
        } do
            local locks, message, code, list = lists(text)
            assert.is_nil(locks, text)
            assert.equal("unavailable", code, text)
            assert.is_string(message)
            assert.equal("what it says is no page of locks", list[1].error, text)
        end
    end)

    it("names no lock behind another prefix, and nothing that a terminal obeys", function()
        local text = page("0", "p:job", "tttttttttttt", "5000", "17 tttttttt a\27[2J\0b", "3",
            "other", "t", "5000", "17", "0", "p:", "t", "5000", "17", "0")
        local locks = assert(lists(text, "p:"))
        assert.same({ "job" }, names(locks))
        assert.same({ "a\\x1b[2J\\x00b", 17, 3, 5 },
            { locks[1].holder, locks[1].fence, locks[1].waiters, locks[1].ttl })
    end)

    it("says of a lock what is no number, and it counts for nothing", function()
        local text = page("0", "a", "t", "x", "17", "0", "b", "t", "5000", "x", "y", "c", "t",
            "5000", "99999999999999999999", "1e9", "d", "t", "-2", "17", "0")
        local locks = assert(lists(text))
        assert.same({ "b", "c" }, names(locks))
        for _, lock in ipairs(locks) do
            assert.same({ 0, true }, { lock.waiters, lock.foreign })
            assert.is_nil(lock.fence)
        end
    end)

    it("that never comes to an end is ended by the time", function()
        local locks, walk = (function(...)
            local answer = ("$%d\r\n%s\r\n"):format(#page "7", page "7")
            local server = fault.fake { answers = {
                CLIENT = "+OK\r\n", INFO = "$0\r\n\r\n", EVALSHA = answer, EVAL = answer,
            } }
            return quorum.new_client({ nodes = { server.url }, timeout = 10 }):list(...)
        end)("*", { timeout = 0.1 })
        assert.same({}, locks)
        assert.equal("timeout", walk.why)
    end)
end)

it("is misused at the caller's line", function()
    local client = nodes:client()
    for line, expected in pairs {
        ["client:list(7)"] = "redlock: a pattern must be a string of at most 512 bytes",
        ["client:list(('x'):rep(513))"] =
            "redlock: a pattern must be a string of at most 512 bytes",
        ["client:list('*', 1)"] = "redlock: options must be a table, not number",
        ["client:list('*', { al = true })"] = 'redlock: there is no option "al"',
        ["client:list { all = 1 }"] = 'redlock: option "all" must be true or false',
        ["client:list { limit = 0 }"] =
            'redlock: option "limit" must be a whole number of at least 1',
        ["client:list { progress = 1 }"] = 'redlock: option "progress" must be a function',
        ["client.list()"] = "redlock: call it with a colon: client:list()",
    } do
        assert.equal(expected, misuse.message(line, { client = client }))
    end
    assert.same({}, (client:list { all = true }))
    assert.same({}, (client:list(unpack { nil, { all = true } })))
end)
