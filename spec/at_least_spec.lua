-- Locks that nobody else is to have before a time, however soon they are released: as cron jobs need
-- that many machines start.

local event_loops = require "support.event_loops"
local misuse = require "support.misuse"
local process = require "support.process"
local quorum = require "support.quorum"
local redlock = require "redlock"
local servers = require "servers"
local wait = require "support.wait"

local LONG, SHORT = 60, 0.8 -- seconds
local ALL_AT_ONCE = 8

local nodes

setup(function()
    nodes = quorum.start(3)
end)

teardown(function()
    servers.stop_all()
end)

after_each(function()
    process.stop_all()
    quorum.close_clients()
    assert.is_nil(nodes:key_for_ever())
    nodes:reset()
end)

local function collect_all()
    collectgarbage()
    collectgarbage()
end

-- Seconds that the token certainly stands on a majority.
local function rest(list)
    local rests = {}
    for index = 1, #list do
        rests[index] = list:ask(index, "PTTL", "job") / 1000
    end
    table.sort(rests)
    return rests[math.ceil(#rests / 2)]
end

for _, count in ipairs { 1, 3 } do
    describe(("on %d nodes"):format(count), function()
        local list, client

        local function is_kept()
            local left = rest(list)
            return left > LONG / 2 and left <= LONG * 1.02
        end

        setup(function()
            list = nodes:first(count)
        end)

        before_each(function()
            client = list:client { ttl = 5 }
        end)

        it("the lease is at least so long, by the owner's clock too", function()
            local lock = assert(client:acquire("job", { at_least = LONG }))
            assert.is_true(lock:remaining() > LONG / 2)
            assert.is_true(is_kept())
        end)

        it("a ttl that is longer stays", function()
            local lock = assert(client:acquire("job", { ttl = 2 * LONG, at_least = LONG }))
            assert.is_true(lock:remaining() > LONG)
            assert(lock:release())
            assert.is_true(is_kept(), rest(list))
        end)

        it("a release ends it for its owner, and for nobody else", function()
            local lock = assert(client:acquire("job", { at_least = LONG }))
            assert.is_true(lock:release())
            assert.is_false(lock:held())
            assert.equal(0, lock:remaining())
            assert.is_true(is_kept())
            assert.is_true(lock:release())
            local other, _, code = list:client():try "job"
            assert.is_nil(other)
            assert.equal("locked", code)
            local again
            again, _, code = client:try("job", { at_least = LONG })
            assert.is_nil(again)
            assert.equal("locked", code)
        end)

        it("who waits has it when the time is over, and not before", function()
            local began = wait.now()
            local lock = assert(client:acquire("job", { at_least = SHORT }))
            assert.is_true(lock:release())
            local other = assert(list:client():acquire("job", { wait = LONG }))
            assert.is_true(wait.now() - began >= SHORT)
            assert.is_true(other.fence > lock.fence)
        end)

        it("a waiter in the queue is not woken by it", function()
            local lock = assert(client:acquire("job", { at_least = LONG }))
            local waiter = process.start {
                code = [[
                    local client = require("redlock").new {
                        nodes = { (table.unpack or unpack)(arg) }, timeout = 10,
                    }
                    local lock = assert(client:acquire("job", { wait = 60 }))
                    print "mine"
                    io.read()
                ]],
                args = list:urls(),
            }
            assert.is_true(wait.wait_until(function()
                return list:ask(1, "ZCARD", "{job}:queue") == 1
            end, LONG / 2))
            assert.is_true(lock:release())
            assert.equal(1, list:ask(1, "ZCARD", "{job}:queue"))
            assert.equal(0, list:ask(1, "EXISTS", "{job}:claim"))
            list:ask_all("PEXPIRE", "job", 1) -- as if the time were over
            assert.is_truthy(waiter:wait_line("^mine$", LONG))
        end)

        it("is as free as any other once the time is over", function()
            local lock = assert(client:acquire("job", { ttl = LONG, at_least = 0.05 }))
            local left = lock:remaining()
            wait.wait_until(function() return lock:remaining() < left - 0.06 end)
            assert.is_true(lock:release())
            assert.is_true(list:comes_to(0, "job"))
        end)

        it("an extension goes beyond, and a release comes back to it", function()
            local lock = assert(client:acquire("job", { at_least = LONG }))
            assert(lock:extend(10 * LONG))
            assert.is_true(rest(list) > 5 * LONG)
            assert.is_true(lock:release())
            assert.is_true(is_kept(), rest(list))
        end)

        it("holds for what is garbage, ends its scope, or is closed with its client", function()
            for what, let_go in pairs {
                garbage = function()
                    assert(client:acquire("job", { at_least = LONG }))
                    collect_all()
                end,
                with = function()
                    assert(client:with("job", { at_least = LONG }, function() end))
                end,
                error = function()
                    pcall(client.with, client, "job", { at_least = LONG }, error)
                end,
                mutex = function()
                    local mutex = client:lock("job", { at_least = LONG })
                    assert(mutex:acquire())
                    assert(mutex:release())
                end,
                close = function()
                    local other = list:client { at_least = LONG }
                    local lock = assert(other:acquire("job", { ttl = 5 * LONG }))
                    other:close()
                    assert.is_false(lock:held())
                end,
                ["close without renewal"] = function()
                    local other = list:client { at_least = LONG, renew = false }
                    local lock = assert(other:acquire("job", { ttl = 5 * LONG }))
                    other:close()
                    assert.is_false(lock:held())
                end,
            } do
                let_go()
                assert.is_true(wait.wait_until(function()
                    collect_all()
                    return is_kept()
                end), what)
                list:ask_all("DEL", "job")
            end
        end)

        it("holds for an owner that dies", function()
            process.run {
                code = [[
                    local client = require("redlock").new {
                        nodes = { (table.unpack or unpack)(arg) }, timeout = 10, ttl = 1,
                    }
                    assert(client:acquire("job", { at_least = 60 }))
                    require("machine").exit(0)
                ]],
                args = list:urls(),
            }
            assert.is_true(is_kept())
        end)

        for name, loop in pairs { cqueues = event_loops.cqueues(), luv = event_loops.luv() } do
            it("holds in " .. name .. ", for many at once", function()
                loop.run(function()
                    for index = 1, ALL_AT_ONCE do
                        loop.spawn(function()
                            local lock = assert(client:acquire("job" .. index, { at_least = LONG }))
                            assert.is_true(lock:release())
                            assert.is_false(lock:held())
                        end)
                    end
                end)
                for index = 1, ALL_AT_ONCE do
                    assert.is_true(list:comes_to(count, "job" .. index))
                    local left = list:ask(1, "PTTL", "job" .. index)
                    assert.is_true(left > LONG * 500 and left <= LONG * 1020, left)
                end
            end)
        end
    end)
end

it("a loss still is one", function()
    local client = nodes:client { ttl = 1 }
    local lock = assert(client:acquire("job", { at_least = LONG }))
    nodes:ask_all("DEL", "job")
    assert.is_true(wait.wait_until(function() return not lock:held() end))
    local _, _, code = lock:release()
    assert.equal("lost", code)
    assert.equal(0, nodes:count "job")
end)

it("a node that is down for the release is told when it comes back", function()
    local client = nodes:client { timeout = 2 }
    local lock = assert(client:acquire("job", { ttl = 10 * LONG, at_least = LONG }))
    nodes[3]:pause()
    assert.is_true(lock:release())
    nodes[3]:resume()
    assert.is_true(wait.wait_until(function()
        local left = nodes:ask(3, "PTTL", "job")
        return left > 0 and left <= LONG * 1020
    end))
end)

describe("the option", function()
    it("is a number of seconds", function()
        for _, value in ipairs { -1, "1", 0 / 0, math.huge, 2e9, true } do
            local message = misuse.message('redlock.new { nodes = { "a" }, at_least = value }',
                { redlock = redlock, value = value })
            assert.equal('redlock: option "at_least" must be a number of seconds from 0 to 1e+09',
                message)
        end
    end)

    it("may be given to the client, the lock and the acquire", function()
        local client = nodes:client { at_least = LONG }
        assert.is_true(assert(client:acquire "a"):remaining() > 40)
        assert.is_true(assert(client:acquire("b", { at_least = 2 * LONG })):remaining() > LONG + 1)
        assert.is_true(assert(client:acquire("c", { at_least = 0 })):remaining() < 31)
        local mutex = client:lock "d"
        assert.is_true(assert(mutex:acquire { at_least = 2 * LONG }):remaining() > LONG + 1)
    end)
end)
