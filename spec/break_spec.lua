-- Taking a lock away from whoever holds it.

local event_loops = require "support.event_loops"
local inbox = require "support.inbox"
local misuse = require "support.misuse"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local LONG = 60 -- seconds

local nodes

setup(function()
    nodes = quorum.start(3)
end)

teardown(function()
    servers.stop_all()
end)

after_each(function()
    process.stop_all()
    inbox.close_all()
    quorum.close_clients()
    nodes:revive()
    nodes:reset()
end)

-- The code of a call that has to fail.
local function code_of(result, message, code)
    assert.is_nil(result)
    assert.equal(code, message:match "^%a+")
    return code, message
end

for _, count in ipairs { 1, 3 } do
    describe(("on %d nodes"):format(count), function()
        local list, client, operator

        setup(function()
            list = nodes:first(count)
        end)

        before_each(function()
            client, operator = list:client { ttl = 3, identity = "evicted" }, list:client()
        end)

        -- Held on every node.
        local function hold(options)
            return list:everywhere(client, "job", options)
        end

        it("says from whom it was taken, and where", function()
            local lock = hold()
            local ok, report = operator:break_lock "job"
            assert.is_true(ok)
            assert.equal(count, report.votes)
            assert.equal(lock.token, report.token)
            assert.equal(lock.fence, report.fence)
            assert.matches(" redlock evicted$", report.holder)
            assert.is_true(report.age >= 0 and report.age < LONG)
            assert.equal(count, #report.nodes)
            for index, node in ipairs(report.nodes) do
                assert.equal("127.0.0.1:" .. list[index].port, node.node)
                assert.same({ true, lock.token }, { node.evicted, node.token })
                assert.is_nil(node.error)
            end
            assert.equal(0, list:count "job")
        end)

        it("the evicted finds out with its next renewal, and never has it again", function()
            local lock = hold()
            assert.is_true(operator:break_lock "job")
            assert.is_true(wait.wait_until(function() return not lock:held() end))
            assert.equal("lost", code_of(lock:release()))
            assert.equal(0, list:count "job")
        end)

        it("the next owner's fence is higher, and the evicted one does no harm to it", function()
            local lock = hold()
            assert.is_true(operator:break_lock "job")
            local next_lock = assert(operator:try "job")
            assert.is_true(next_lock.fence > lock.fence)
            assert.is_true(wait.wait_until(function() return not lock:held() end))
            assert.equal("lost", code_of(lock:release()))
            assert.equal("lost", code_of(lock:extend(10)))
            assert.is_true(next_lock:held())
            assert.is_true(list:count("job", next_lock.token) > count / 2)
            assert.is_true(next_lock:release())
        end)

        it("wakes who waits", function()
            local lock = hold { ttl = LONG }
            local waiter = process.start {
                code = [[
                    local client = require("redlock").new {
                        nodes = { (table.unpack or unpack)(arg) }, timeout = 10,
                    }
                    assert(client:acquire("job", { wait = 60 }))
                    print "mine"
                    io.read()
                ]],
                args = list:urls(),
            }
            assert.is_true(wait.wait_until(function()
                for index = 1, count do
                    if list:ask(index, "ZCARD", "{job}:queue") ~= 1 then
                        return false
                    end
                end
                return true
            end, LONG))
            assert.is_true(lock:held())
            assert.is_true(operator:break_lock "job")
            assert.is_truthy(waiter:wait_line("^mine$", LONG))
        end)

        it("takes it by a token alone, or not", function()
            local lock = hold()
            local code, message = code_of(operator:break_lock("job", { token = "another" }))
            assert.equal("lost", code)
            assert.matches("is not held by that token", message)
            assert.is_true(lock:held())
            assert.equal(count, list:count("job", lock.token))
            local ok, report = operator:break_lock("job", { token = lock.token })
            assert.is_true(ok)
            assert.equal(lock.token, report.token)
            assert.equal(0, list:count "job")
        end)

        it("of what nobody holds is lost", function()
            local code, message = code_of(operator:break_lock "job")
            assert.equal("lost", code)
            assert.equal('lost: "job" is held by nobody', message)
            assert.equal("lost", code_of(operator:break_lock("job", { token = "x" })))
        end)

        it("takes another library's lock", function()
            list:ask_all("SET", "job", "foreign", "PX", 60000)
            local ok, report = operator:break_lock "job"
            assert.is_true(ok)
            assert.same({ "foreign", count }, { report.token, report.votes })
            assert.is_nil(report.holder)
            assert.equal(0, list:count "job")
        end)

        it("takes another kind of lock if it is told to", function()
            list:ask_all("HSET", "job", "field", "1")
            list:ask_all("PEXPIRE", "job", 60000)
            local code, message = code_of(operator:break_lock "job")
            assert.equal("locked", code)
            assert.matches("another kind of lock", message)
            assert.equal(1, list:ask(1, "EXISTS", "job"))
            local ok, report = operator:break_lock("job", { any_type = true })
            assert.is_true(ok)
            assert.equal(count, report.votes)
            assert.is_nil(report.token)
            assert.equal(0, list:ask(1, "EXISTS", "job"))
        end)

        it("takes what is kept by at_least, too", function()
            assert(hold({ at_least = LONG }):release())
            assert.equal(count, list:count "job")
            assert.is_true(operator:break_lock "job")
            assert.is_true(assert(operator:try "job"):release())
        end)

        it("names with a prefix, and of any bytes", function()
            local settings = { prefix = "lock:*" }
            for _, name in ipairs { "a\0b", "{tag}x", ("n"):rep(500), "*" } do
                local lock = assert(list:client(settings):acquire(name, { renew = false }))
                assert.is_true(wait.wait_until(function()
                    return list:count("lock:*" .. name) == count
                end))
                local ok, report = list:client(settings):break_lock(name)
                assert.is_true(ok)
                assert.same({ lock.token, count }, { report.token, report.votes })
            end
        end)

        for name, loop in pairs { cqueues = event_loops.cqueues(), luv = event_loops.luv() } do
            it("yields in " .. name, function()
                local lock = hold()
                local went_on
                loop.run(function()
                    loop.spawn(function() went_on = true end)
                    local ok, report = operator:break_lock "job"
                    assert.is_true(ok)
                    assert.equal(lock.token, report.token)
                    assert.equal("lost", code_of(operator:break_lock "job"))
                end)
                assert.is_true(went_on)
            end)
        end

        it("of a client that is closed is closed", function()
            operator:close()
            assert.equal("closed", code_of(operator:break_lock "job"))
        end)
    end)
end

it("takes what failed attempts have left on some nodes, each by its token", function()
    nodes[1]:cli("SET", "job", "one", "PX", "60000")
    nodes[2]:cli("SET", "job", "two", "PX", "60000")
    nodes[3]:cli("SET", "job", "two", "PX", "60000")
    local ok, report = nodes:client():break_lock "job"
    assert.is_true(ok)
    assert.same({ "two", 3 }, { report.token, report.votes })
    assert.equal(0, nodes:count "job")
end)

it("does without a minority, and says which", function()
    local client = nodes:client { timeout = 3 }
    local lock = nodes:everywhere(client, "job", { ttl = LONG })
    nodes[3]:kill()
    local ok, report = nodes:client({ timeout = 3 }):break_lock "job"
    assert.is_true(ok)
    assert.equal(2, report.votes)
    assert.same({ true, true, false },
        { report.nodes[1].evicted, report.nodes[2].evicted, report.nodes[3].evicted })
    assert.matches("unreachable", report.nodes[3].error)
    assert.is_false(lock:extend(1) ~= nil)
end)

it("without a majority is unavailable, and says what was taken away all the same", function()
    local lock = nodes:everywhere(nodes:client(), "job", { ttl = LONG, renew = false })
    nodes[2]:kill()
    nodes[3]:kill()
    local operator = nodes:client { timeout = 3 }
    local result, message, code, votes = operator:break_lock "job"
    assert.equal("unavailable", code_of(result, message, code))
    assert.same({ true, false, false }, { votes[1].evicted, votes[2].evicted, votes[3].evicted })
    assert.equal(lock.token, votes[1].token)
end)

it("is misused at the caller's line", function()
    local client = nodes:client()
    for line, expected in pairs {
        ["client:break_lock()"] = "redlock: a lock's name must be a string, not nil",
        ["client:break_lock('a', 1)"] = "redlock: options must be a table, not number",
        ["client:break_lock('a', { tokn = 'x' })"] = 'redlock: there is no option "tokn"',
        ["client:break_lock('a', { token = '' })"] =
            'redlock: option "token" must be a string that is not empty',
        ["client:break_lock('a', { any_type = 1 })"] =
            'redlock: option "any_type" must be true or false',
        ["client.break_lock('a')"] = "redlock: call it with a colon: client:break_lock()",
    } do
        assert.equal(expected, misuse.message(line, { client = client }))
    end
end)
