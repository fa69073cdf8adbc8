-- cqueues alone: nested and abandoned controllers, coroutines within coroutines, errors, fork.

local build = require "support.build"
local cqueues = require "support.library" "cqueues"
local auxlib = require "cqueues.auxlib"
local inbox = require "support.inbox"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local ALONE = 60 -- seconds: a lease that no test outlives

local node, client, other

local function queue_length()
    return node:ask(1, "ZCARD", inbox.side("job", "queue"))
end

-- Turns controllers in turn until the condition holds.
local function turn_until(condition, ...)
    local controllers = { ... }
    return wait.wait_until(function()
        for _, controller in ipairs(controllers) do
            assert(controller:step(0.002))
        end
        return condition()
    end, 20)
end

-- Runs a function in a coroutine of a controller of its own, to its end.
local function run(body)
    assert(cqueues.new():wrap(body):loop(20))
end

local function collect_all()
    collectgarbage()
    collectgarbage()
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

-- A controller with so many coroutines that wait for the lock.
local function controller_with_waiters(count)
    local controller = cqueues.new()
    for _ = 1, count do
        controller:wrap(function()
            error(client:acquire("job", { wait = ALONE, ttl = ALONE }) and "acquired")
        end)
    end
    return controller
end

describe("a controller that is dropped and collected", function()
    it("takes its waiters out of the queue, and the next owner comes at once", function()
        local held = assert(other:acquire("job", { ttl = ALONE }))
        local controller = controller_with_waiters(10)
        assert(turn_until(function() return queue_length() == 1 end, controller))
        controller = nil -- luacheck: ignore 311
        assert.is_truthy(wait.wait_until(function()
            collect_all()
            return queue_length() == 0
        end))
        assert(held:release())
        local mine = assert(other:try "job")
        assert.equal(mine.token, node:ask(1, "GET", "job"))
    end)

    it("gives back what one of them was granted meanwhile, and so on to the last", function()
        local held = assert(other:acquire("job", { ttl = ALONE }))
        local controller = controller_with_waiters(10)
        assert(turn_until(function() return queue_length() == 1 end, controller))
        assert(held:release())
        assert.is_true(node:comes_to(1, "job"))
        controller = nil -- luacheck: ignore 311
        -- LuaJIT may keep for a while what a loop that it compiled has used.
        assert.is_true(wait.wait_until(function()
            collect_all()
            return node:count "job" == 0
        end))
        assert.equal(0, queue_length())
    end)

    it("gives back a grant that arrives too late", function()
        run(function() assert(client:acquire "warm"):release() end) -- it is connected
        local controller = controller_with_waiters(3)
        node[1]:pause()
        assert(controller:step(0))
        controller = nil -- luacheck: ignore 311
        collect_all()
        node[1]:resume()
        assert.is_true(node:comes_to(0, "job"))
        assert.equal(0, queue_length())
    end)

    it("lets those of another controller go on", function()
        local held = assert(other:acquire("job", { ttl = ALONE }))
        local controller = controller_with_waiters(5)
        assert(turn_until(function() return queue_length() == 1 end, controller))
        local living, had = cqueues.new(), 0
        for _ = 1, 5 do
            living:wrap(function()
                local lock = assert(client:acquire("job", { wait = ALONE }))
                had = had + 1
                assert(lock:release())
            end)
        end
        assert(living:step(0))
        controller = nil -- luacheck: ignore 311
        collect_all()
        assert(held:release())
        assert(turn_until(function()
            collect_all()
            return had == 5
        end, living))
    end)
end)

describe("several controllers", function()
    local order

    -- Waits in its turn and notes that it had the lock.
    local function join(controller, id)
        controller:wrap(function()
            local lock = assert(client:acquire("job", { wait = ALONE }))
            order[#order + 1] = id
            cqueues.sleep(0.001)
            assert(lock:release())
        end)
        assert(controller:step(0))
    end

    before_each(function()
        order = {}
    end)

    it("have waiters for one lock, in order of arrival over all of them", function()
        local held = assert(other:acquire("job", { ttl = ALONE }))
        local first, second = cqueues.new(), cqueues.new()
        for id = 1, 10 do
            join(id % 2 == 0 and first or second, id)
        end
        assert(held:release())
        assert(turn_until(function() return first:empty() and second:empty() end, first, second))
        assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, order)
    end)

    it("may be nested, with waiters in each", function()
        local outer, inner = cqueues.new(), cqueues.new()
        for id = 1, 5 do
            join(outer, id)
            join(inner, 5 + id)
        end
        local ended
        outer:wrap(function() ended = inner:loop() end)
        assert(outer:loop(20))
        assert.is_true(ended)
        assert.equal(10, #order)
    end)

    it("do without one that is not run", function()
        local held = assert(other:acquire("job", { ttl = ALONE }))
        local idle, living = cqueues.new(), cqueues.new()
        join(living, 1)
        join(living, 2)
        join(idle, 3)
        assert(held:release())
        assert(living:loop(20))
        assert.same({ 1, 2 }, order)
        assert(idle:loop(20))
        assert.same({ 1, 2, 3 }, order)
    end)
end)

describe("a coroutine within a coroutine", function()
    it("waits if it was wrapped by auxlib, and goes on", function()
        local held = assert(other:acquire("job", { ttl = ALONE }))
        local controller, seen = cqueues.new(), {}
        controller:wrap(function()
            local next_value = auxlib.wrap(function()
                local lock = assert(client:acquire("job", { wait = ALONE }))
                coroutine.yield "acquired"
                assert(lock:release())
                return "released"
            end)
            seen = { next_value(), next_value() }
        end)
        assert(turn_until(function() return queue_length() == 1 end, controller))
        assert(held:release())
        assert(controller:loop(20))
        assert.same({ "acquired", "released" }, seen)
    end)

    if coroutine.close then
        it("gives up its place when it is closed", function()
            local held = assert(other:acquire("job", { ttl = ALONE }))
            local controller, inner, reached = cqueues.new(), nil, nil
            controller:wrap(function()
                inner = coroutine.create(function()
                    client:acquire("job", { wait = ALONE })
                    reached = true
                end)
                auxlib.resume(inner)
            end)
            assert(turn_until(function() return queue_length() == 1 end, controller))
            controller:wrap(function()
                assert(coroutine.close(inner))
            end)
            assert(turn_until(function() return queue_length() == 0 end, controller))
            assert.is_nil(reached)
            assert(held:release())
            assert(other:try "job"):release()
        end)
    end
end)

if coroutine.close then
    describe("a coroutine that is closed", function()
        it("gives up its place, wherever it stands in the line", function()
            local held = assert(other:acquire("job", { ttl = ALONE }))
            local controller, threads, had = cqueues.new(), {}, {}
            for id = 1, 6 do
                controller:wrap(function()
                    -- One of the controller's own it would resume, closed or not, in the end.
                    threads[id] = coroutine.create(function()
                        local lock = assert(client:acquire("job", { wait = ALONE }))
                        had[#had + 1] = id
                        assert(lock:release())
                    end)
                    auxlib.resume(threads[id])
                end)
                assert(controller:step(0))
            end
            assert(turn_until(function() return queue_length() == 1 end, controller))
            for _, id in ipairs { 1, 3, 4, 6 } do
                assert(coroutine.close(threads[id]))
            end
            assert(held:release())
            assert(turn_until(function() return #had == 2 end, controller))
            assert.is_true(node:comes_to(0, "job"))
            assert.same({ 2, 5 }, had)
            assert.equal(0, queue_length())
        end)

        it("gives back what it was granted, also when it was told of that already", function()
            for _ = 1, 20 do
                local controller, thread = cqueues.new(), nil
                controller:wrap(function()
                    thread = coroutine.running()
                    client:acquire("job", { wait = ALONE, ttl = ALONE })
                end)
                assert(controller:step(0))
                assert.is_true(node:comes_to(1, "job"))
                wait.sleep(0.005)
                assert(controller:step(0)) -- it is woken, or goes on
                assert(coroutine.close(thread))
                collectgarbage "stop"
                local is_free = node:comes_to(0, "job")
                collectgarbage "restart"
                assert.is_true(is_free)
            end
        end)

        local ways = {
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
        for _, way in ipairs(ways) do
            it("by another releases " .. way[1], function()
                local thread, sleeps
                local body = assert(load(way[2]))
                local controller, closed, message = cqueues.new(), nil, nil
                controller:wrap(function()
                    thread = coroutine.running()
                    body(client, function(seconds)
                        sleeps = true
                        cqueues.sleep(seconds)
                    end)
                end)
                assert(turn_until(function() return sleeps end, controller))
                assert.equal(1, node:count "job")
                controller:wrap(function() closed, message = coroutine.close(thread) end)
                assert(turn_until(function() return closed ~= nil end, controller))
                assert.is_true(closed, message)
                assert.is_true(node:comes_to(0, "job"))
            end)
        end
    end)
end

describe("where the coroutine cannot yield", function()
    it("a call blocks", function()
        run(function()
            local lock, result
            result = ("x"):gsub("x", function()
                lock = assert(client:acquire("job", { ttl = ALONE }))
                return "had"
            end)
            assert.equal("had", result)
            assert.equal(lock.token, node:ask(1, "GET", "job"))
            table.sort({ 1, 2 }, function(left, right)
                lock:release()
                return left < right
            end)
            assert.is_nil(node:ask(1, "GET", "job"))
        end)
    end)
end)

describe("a function given to on_lost that raises", function()
    it("ends alone, as an error of the loop's", function()
        local controller, told = cqueues.new(), {}
        controller:wrap(function()
            for index = 1, 3 do
                local lock = assert(client:acquire("job:" .. index, { ttl = 0.2, renew = false }))
                assert(lock:on_lost(function()
                    told[index] = true
                    error("raised by " .. index)
                end))
            end
        end)
        local messages = {}
        for message in controller:errors(20) do
            messages[#messages + 1] = message:match "raised by %d"
        end
        table.sort(messages)
        assert.same({ "raised by 1", "raised by 2", "raised by 3" }, messages)
        assert.same({ true, true, true }, told)
    end)
end)

-- The thread sanitizer knows no threads that a child starts.
if not build.has "thread" then
    describe("after fork(),", function()
        local PREAMBLE = [[
            local cqueues, machine = require "cqueues", require "machine"
            local redlock, wait = require "redlock", require "support.wait"
            local client = redlock.new { nodes = { %q }, timeout = 10 }

            local function run(body)
                assert(cqueues.new():wrap(body):loop(10))
            end

            local function in_child(body)
                local pid = machine.fork()
                if pid == 0 then
                    local ok, message = pcall(body)
                    io.stderr:write(ok and "" or message .. "\n")
                    machine.exit(ok and 0 or 1)
                end
                return pid
            end

            local function await(pid)
                assert(machine.waitpid(pid) == 0, "the child failed")
            end
        ]]

        local function run_program(code)
            local lines, status, errors = process.run(PREAMBLE:format(node[1].url) .. code, 30)
            assert.equal(0, status, table.concat(lines, "\n") .. errors)
            assert.equal("", errors)
        end

        it("a child holds nothing, and runs a loop of its own", function()
            run_program [[
                local lock
                run(function() lock = assert(client:acquire("job", { ttl = 60 })) end)
                await(in_child(function()
                    assert(not lock:held())
                    run(function()
                        local _, _, code = lock:release()
                        assert(code == "lost")
                        assert(select(3, client:try "job") == "locked")
                        local mine = assert(client:acquire("other", { ttl = 3 }))
                        cqueues.sleep(3.2)
                        assert(mine:held())
                        assert(mine:release())
                    end)
                end))
                assert(lock:held())
                run(function()
                    assert(client:try "other"):release()
                    assert(lock:release())
                end)
            ]]
        end)

        it("those who wait in the parent are the parent's alone", function()
            run_program [[
                local held = assert(client:acquire("job", { ttl = 60 }))
                local controller, had = cqueues.new(), 0
                for _ = 1, 5 do
                    controller:wrap(function()
                        local lock = assert(client:acquire("job", { wait = 60 }))
                        had = had + 1
                        assert(lock:release())
                    end)
                end
                for _ = 1, 50 do
                    assert(controller:step(0.01))
                end
                local child = in_child(function()
                    run(function()
                        assert(client:acquire("job", { wait = 60 })):release()
                    end)
                    assert(had == 0)
                end)
                assert(held:release())
                assert(controller:loop(20))
                assert(had == 5)
                await(child)
            ]]
        end)

        it("a child goes on in a coroutine of its parent's", function()
            run_program [[
                local held = assert(client:acquire("job", { ttl = 60 }))
                local controller, is_child = cqueues.new(), nil
                controller:wrap(function()
                    assert(client:acquire("job", { wait = 60 })):release()
                end)
                controller:wrap(function()
                    cqueues.sleep(0.1)
                    local child = in_child(function()
                        is_child = true
                        controller:reset()
                        assert(client:acquire "other"):release()
                    end)
                    await(child)
                    assert(held:release())
                end)
                assert(controller:loop(5))
                if is_child then
                    machine.exit(2) -- it waited in vain
                end
                assert(controller:empty())
            ]]
        end)
    end)
end
