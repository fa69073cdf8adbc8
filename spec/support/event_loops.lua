--- Event loops in which redlock's calls yield: cqueues and luv, by the same few verbs.
--
-- `run(body)` runs a function in a coroutine until the loop has nothing left to do. Within it,
-- `spawn(fn, ...)` starts another coroutine, `sleep(seconds)` lets others run,
-- `wait_until(condition)` waits without blocking them, and `outside(fn)` has a function called in no
-- coroutine, between two turns of the loop.

local library = require "support.library"
local wait = require "support.wait"

local unpack = table.unpack or unpack

local event_loops = {}

local PATIENCE = 60 -- seconds until a loop that goes on is taken to hang

local run -- the run that is under way: nil, or { deadline, failed, error, outside }

-- What a coroutine raises ends the run to which it belongs, and no other.
local function guard(fn)
    local mine = run
    return function(...)
        local ok, err = xpcall(fn, function(err)
            return type(err) == "string" and debug.traceback(err, 2) or err
        end, ...)
        if not ok and not mine.failed then
            mine.failed, mine.error = true, err
        end
    end
end

-- Runs `body` by `turn`, which is called until it says that nothing is left to do.
local function drive(self, body, seconds, turn)
    local results
    local mine = { deadline = wait.now() + (seconds or PATIENCE) }
    run = mine
    self.spawn(function()
        results = { n = 0, body() }
    end)
    repeat
        local idle = turn(math.min(0.1, math.max(0, mine.deadline - wait.now())))
        local late = wait.now() >= mine.deadline
        if mine.outside then
            mine.outside()
            mine.outside = nil
        end
    until idle or late or mine.failed
    run = nil
    if mine.failed then
        error(mine.error, 0)
    elseif wait.now() >= mine.deadline then
        error("the loop goes on and on", 3)
    end
    return unpack(results)
end

local function add_common(loop)
    function loop.outside(fn)
        local mine = run
        mine.outside = fn
        loop.stop()
        while mine.outside do
            loop.sleep(0.001)
        end
    end

    function loop.wait_until(condition, seconds)
        local deadline = wait.now() + (seconds or 20)
        repeat
            local result = condition()
            if result then
                return result
            end
            loop.sleep(0.002)
        until wait.now() >= deadline
        return nil, "timeout"
    end
    return loop
end

--- The cqueues library; `loop.controller` is that of the run.
function event_loops.cqueues()
    local cqueues = library "cqueues"
    local loop = { name = "cqueues", sleep = cqueues.sleep, stop = function() end }

    function loop.spawn(fn, ...)
        local controller = cqueues.running() or loop.controller
        return controller:wrap(guard(fn), ...)
    end

    function loop.run(body, seconds)
        local controller = cqueues.new()
        loop.controller = controller
        return drive(loop, body, seconds, function(left)
            assert(controller:step(left))
            return controller:empty()
        end)
    end

    return add_common(loop)
end

--- The luv library.
function event_loops.luv()
    local uv = library "luv"
    local loop = { name = "luv", stop = uv.stop }
    local timers = {}

    local function close(timer)
        timers[timer] = nil
        timer:stop()
        timer:close()
    end

    local function start_timer(seconds, fn)
        local timer = uv.new_timer()
        timers[timer] = true
        timer:start(math.ceil(seconds * 1000), 0, function()
            close(timer)
            fn()
        end)
        return timer
    end

    function loop.sleep(seconds)
        local thread = coroutine.running()
        local timer = start_timer(seconds, function()
            if coroutine.status(thread) == "suspended" then
                assert(coroutine.resume(thread))
            end
        end)
        coroutine.yield()
        if timers[timer] then
            close(timer)
        end
    end

    function loop.spawn(fn, ...)
        local thread = coroutine.create(guard(fn))
        assert(coroutine.resume(thread, ...))
        return thread
    end

    function loop.run(body, seconds)
        local function turn(left)
            local alarm = start_timer(left, uv.stop)
            alarm:unref()
            local goes_on = uv.run()
            if timers[alarm] then
                close(alarm)
                uv.run "nowait" -- for the handle to go
            end
            return not goes_on
        end
        local results = { pcall(drive, loop, body, seconds, turn) }
        for timer in pairs(timers) do
            close(timer)
        end
        if not results[1] then
            error(results[2], 0)
        end
        return unpack(results, 2)
    end

    return add_common(loop)
end

return event_loops
