-- luv alone: waits that somebody else ends, closed handles, calls outside of coroutines, errors, fork.

local build = require "support.build"
local event_loops = require "support.event_loops"
local inbox = require "support.inbox"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local uv = require "support.library" "luv"

local ALONE = 60 -- seconds: a lease that no test outlives

local loop = event_loops.luv()

local node, client, other

local function queue_length()
    return node:ask(1, "ZCARD", inbox.side("job", "queue"))
end

-- Starts a coroutine that waits for the lock; results in `seen`.
local function start_waiter(seen)
    return loop.spawn(function()
        seen.lock, seen.message, seen.code, seen.votes =
            client:acquire("job", { wait = ALONE, ttl = ALONE })
        seen.over = true
        if seen.lock and not seen.keeps then
            assert(seen.lock:release())
        end
    end)
end

-- Other coroutines that keep the connections busy until `traffic.over`.
local function start_traffic()
    local traffic = {}
    for index = 1, 10 do
        loop.spawn(function()
            while not traffic.over do
                assert(client:acquire("busy:" .. index)):release()
            end
        end)
    end
    return traffic
end

setup(function()
    node = quorum.start(1)
end)

teardown(function()
    servers.stop_all()
end)

before_each(function()
    client, other = node:client(), node:client()
end)

after_each(function()
    process.stop_all()
    quorum.close_clients()
    assert.is_nil(node:key_for_ever())
    node:reset()
end)

-- The ways in which another coroutine can end a wait. A closed one does not go on.
local ways = {
    { "resumed by somebody else", coroutine.resume, goes_on = true },
    coroutine.close and { "closed", coroutine.close } or nil,
}

for _, way in ipairs(ways) do
    local how, cancel, goes_on = way[1], way[2], way.goes_on

    describe("a coroutine that is " .. how .. " while it waits", function()
        it("gives up its place, and the next owner comes at once", function()
            loop.run(function()
                local held = assert(other:acquire("job", { ttl = ALONE }))
                local seen = {}
                local thread = start_waiter(seen)
                assert(loop.wait_until(function() return queue_length() == 1 end))
                assert(cancel(thread))
                assert.equal(goes_on, seen.over)
                assert(loop.wait_until(function() return queue_length() == 0 end))
                assert(held:release())
                assert(other:try "job"):release()
                assert.is_nil(seen.lock)
                if goes_on then
                    assert.equal("timeout", seen.code)
                    assert.matches('^timeout: "job": ', seen.message)
                    assert.same({}, seen.votes)
                end
            end)
        end)

        it("keeps the loop running no longer", function()
            local held = assert(other:acquire("job", { ttl = ALONE }))
            loop.run(function()
                local thread = start_waiter({})
                assert(loop.wait_until(function() return queue_length() == 1 end))
                assert(cancel(thread))
            end, 10)
            assert(held:release())
        end)

        it("leaves the others in the line as they stand", function()
            local had = {}
            loop.run(function()
                local held = assert(other:acquire("job", { ttl = ALONE }))
                local threads = {}
                for id = 1, 6 do
                    threads[id] = loop.spawn(function()
                        local lock = client:acquire("job", { wait = ALONE })
                        if lock then
                            had[#had + 1] = id
                            assert(lock:release())
                        end
                    end)
                end
                assert(loop.wait_until(function() return queue_length() == 1 end))
                for _, id in ipairs { 1, 3, 4, 6 } do
                    assert(cancel(threads[id]))
                end
                assert(held:release())
            end)
            assert.same({ 2, 5 }, had)
            assert.equal(0, queue_length())
        end)

        it("has given back what it is granted too late", function()
            loop.run(function()
                assert(client:acquire "warm"):release()
                node[1]:pause()
                local seen = { {}, {}, {} }
                for id = 1, 3 do
                    local thread = start_waiter(seen[id])
                    loop.sleep(0.01)
                    assert(cancel(thread))
                end
                node[1]:resume()
                assert(client:acquire("other")):release() -- behind all that
                assert(loop.wait_until(function() return node:count "job" == 0 end))
                assert.equal(0, queue_length())
                for id = 1, 3 do
                    assert.is_nil(seen[id].lock)
                end
            end)
        end)

        it("before anything was asked has asked nothing", function()
            loop.run(function()
                local traffic = start_traffic()
                loop.sleep(0.02)
                for turn = 1, 300 do
                    local seen = {}
                    assert(cancel(start_waiter(seen)))
                    assert.is_nil(seen.lock)
                    if turn % 10 == 0 then
                        loop.sleep(0)
                    end
                end
                traffic.over = true
                assert(other:acquire("job", { wait = 1 })):release()
            end)
            assert.equal(0, queue_length())
        end)

        it("for the answers to a release or an extension loses only those", function()
            loop.run(function()
                local lock = assert(client:acquire("job", { ttl = ALONE }))
                node[1]:pause()
                assert(cancel(loop.spawn(function() lock:extend(2 * ALONE) end)))
                assert(cancel(loop.spawn(function() lock:release() end)))
                assert.is_false(lock:held())
                node[1]:resume()
                assert(loop.wait_until(function() return node:count "job" == 0 end))
            end)
        end)

        it("for the end of its client has closed it all the same", function()
            loop.run(function()
                local held = assert(client:acquire("job", { ttl = ALONE }))
                local thread = loop.spawn(function() client:close() end)
                assert(cancel(thread))
                for index = 1, 10 do
                    local lock, message = other:acquire("other:" .. index)
                    assert(lock, message)
                    assert(lock:release())
                end
                assert(loop.wait_until(function() return node:count "job" == 0 end))
                assert.equal("closed", select(3, client:try "job"))
                assert.is_false(held:held())
            end)
        end)
    end)
end

if coroutine.close then
    describe("a coroutine that is closed", function()
        local bodies = {
            { "the lock that it was to close", [[
                local client, sleep = ...
                local lock <close> = assert(client:acquire("job", { ttl = 60 }))
                sleep(60)
            ]] },
            { "the lock with which it did something", [[
                local client, sleep = ...
                client:with("job", { ttl = 60 }, function() sleep(60) end)
            ]] },
        }
        for _, body in ipairs(bodies) do
            it("releases " .. body[1], function()
                loop.run(function()
                    local thread = coroutine.create(assert(load(body[2])))
                    assert(coroutine.resume(thread, client, coroutine.yield))
                    assert(loop.wait_until(function() return node:count "job" == 1 end))
                    loop.sleep(0.01)
                    assert(coroutine.close(thread))
                    assert(loop.wait_until(function() return node:count "job" == 0 end))
                end)
            end)
        end
    end)
end

describe("a call in no coroutine", function()
    it("blocks, also in a callback of the loop's", function()
        local lock
        local timer = uv.new_timer()
        timer:start(0, 0, function()
            timer:close()
            lock = client:acquire("job", { ttl = ALONE })
        end)
        uv.run()
        assert.equal(lock.token, node:ask(1, "GET", "job"))
        assert(lock:release())
        assert.equal(0, node:count "job")
    end)

    it("blocks where a coroutine cannot yield", function()
        loop.run(function()
            local lock
            local result = ("x"):gsub("x", function()
                lock = assert(client:acquire("job", { ttl = ALONE }))
                return "had"
            end)
            assert.equal("had", result)
            assert.equal(lock.token, node:ask(1, "GET", "job"))
            loop.sleep(0.05)
            table.sort({ 1, 2 }, function(left, right)
                lock:release()
                return left < right
            end)
            assert.equal(0, node:count "job")
        end)
    end)
end)

describe("a program", function()
    local function run_program(code)
        local lines, status, errors = process.run(([[
            local machine, uv = require "machine", require "luv"
            local redlock, wait = require "redlock", require "support.wait"
            local URL = %q
            local client = redlock.new { nodes = { URL }, timeout = 10 }

            local function spawn(body)
                assert(coroutine.resume(coroutine.create(body)))
            end
        ]]):format(node[1].url) .. code, 30)
        return table.concat(lines, "\n"), status, errors
    end

    it("may close all its handles, and go on with new ones", function()
        local output, status, errors = run_program [[
            for turn = 1, 3 do
                spawn(function()
                    assert(client:acquire "job"):release()
                    print("turn " .. turn)
                end)
                uv.run()
                uv.walk(function(handle)
                    if not handle:is_closing() then
                        handle:close()
                    end
                end)
                uv.run()
            end
        ]]
        assert.equal("", errors)
        assert.equal(0, status)
        assert.equal("turn 1\nturn 2\nturn 3", output)
    end)

    it("ends by what a function given to on_lost raises, after the others were told", function()
        local output, status, errors = run_program [[
            spawn(function()
                local locks = {}
                for index = 1, 3 do
                    locks[index] = assert(client:acquire("job:" .. index, { ttl = 10 }))
                    locks[index]:on_lost(function()
                        print("told " .. index)
                        if index == 1 then
                            error "raised on purpose"
                        end
                    end)
                end
                os.execute("redis-cli -u " .. URL .. " flushall >/dev/null")
                for index = 1, 3 do
                    spawn(function() locks[index]:extend(20) end)
                end
                wait.wait_until(function() -- they are told in one turn of the loop
                    return not (locks[1]:held() or locks[2]:held() or locks[3]:held())
                end)
            end)
            uv.run()
        ]]
        assert.matches("raised on purpose", errors)
        assert.not_equal(0, status)
        assert.equal("told 1\ntold 2\ntold 3", output)
    end)

    it("may end by an error while calls are under way", function()
        for _ = 1, 10 do
            local _, status, errors = run_program [[
                for index = 1, 50 do
                    spawn(function()
                        local lock = client:acquire("job:" .. index % 20)
                        if index > 40 then
                            client:close()
                        end
                        assert(lock and lock:release())
                    end)
                end
                uv.run "nowait"
                error "ended on purpose"
            ]]
            assert.matches("ended on purpose", errors)
            assert.equal(1, status)
        end
        assert.is_true(node:comes_to(0, "job:1"))
    end)

    -- The thread sanitizer knows no threads that a child starts.
    if not build.has "thread" then
        it("may be forked while some wait: the child holds nothing, and its calls block", function()
            local output, status, errors = run_program [[
                local held, had = assert(client:acquire("job", { ttl = 60 })), 0
                for _ = 1, 5 do
                    spawn(function()
                        local lock = assert(client:acquire("job", { wait = 60 }))
                        had = had + 1
                        assert(lock:release())
                    end)
                end
                for _ = 1, 50 do
                    uv.run "nowait"
                    wait.sleep(0.002)
                end
                local child = machine.fork()
                if child == 0 then
                    local ok, message = pcall(function()
                        assert(not held:held())
                        assert(select(3, held:release()) == "lost")
                        assert(select(3, client:try "job") == "locked")
                        local lock = assert(client:acquire("other", { ttl = 3 }))
                        wait.sleep(3.2)
                        assert(lock:held())
                        assert(lock:release())
                    end)
                    io.stderr:write(ok and "" or message)
                    machine.exit(ok and 0 or 1)
                end
                assert(machine.waitpid(child) == 0)
                assert(held:held())
                assert(held:release())
                uv.run()
                print(had)
            ]]
            assert.equal("", errors)
            assert.equal(0, status)
            assert.equal("5", output)
        end)
    end
end)
