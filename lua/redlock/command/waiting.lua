--- Acquires the lock for a command, and tells meanwhile who is waited for.
-- @module redlock.command.waiting
-- @local

local core = require "redlock.core"
local duration = require "redlock.command.duration"
local failure = require "redlock.failure"
local holder = require "redlock.command.holder"
local system = require "redlock.command.system"

local signals = system.signals

local waiting = {}

local PATIENCE = 1 -- seconds before anything is said
local PAUSE = 0.5 -- seconds before nodes that could not be asked are asked again

-- What does not end a program that waits.
local harmless = { [signals.CONT] = true, [signals.WINCH] = true }

-- Asks the nodes who holds it; the answer comes as an event.
local function ask(run)
    run.loop:start(function()
        local nodes = run.client:info(run.name)
        run.loop:post("holder", nodes and holder.describe(nodes))
    end)
end

local function tell(run, state, who)
    local waited = core.clock() - state.since
    local by = who and ", held by " .. who or state.was_warned and ", and for nodes" or ""
    local text = ("waiting for %s%s"):format(failure.quote(run.name), by)
    run.reporter:progress(("%s; %ds"):format(text, math.floor(waited)))
    if waited >= state.noted then
        state.noted = math.max(state.noted, waited) * 2
        run.reporter:note(("%s (%s so far)"):format(text, duration.format(waited)))
    end
end

-- Asks for the lock, for as long as is left of the wait.
local function start(run, state)
    state.again_at = nil
    state.task = run.loop:start(function()
        local left = math.max(0, state.since + run.wait - core.clock())
        local lock, message, code = run.lock:acquire { wait = left }
        run.loop:post("answer", lock, message, code)
    end)
end

-- The library gives up on nodes that it never reached. Who has asked for a wait is to have it: they
-- may be about to start.
local function may_try_again(run, state, code)
    return code == "unavailable" and run.is_patient and not state.signal
        and core.clock() < state.since + run.wait
end

local function try_later(run, state, message)
    if not state.was_warned then
        local limit = run.wait == math.huge and "" or " for " .. duration.format(run.wait)
        run.reporter:warn(("%s; trying on%s"):format(message, limit))
        state.was_warned = true
    end
    state.again_at = math.min(core.clock() + PAUSE, state.since + run.wait)
end

local function take_signal(run, state, number)
    if number == signals.TSTP then
        run.reporter:clear()
        system.obey(number)
    elseif not harmless[number] then
        state.signal = state.signal or number
        run.loop:cancel(state.task)
    end
end

local function conclude(run, state, lock, message, code)
    run.reporter:clear()
    if not lock and state.signal then
        return nil, "interrupted", "signal", state.signal
    end
    return lock, message, code
end

--- Waits for the lock.
-- @tparam table run `loop`, `client`, `lock`, `name`, `reporter`; `wait`, in seconds; `is_patient`: it
-- goes on while no majority of the nodes can be asked
-- @treturn[1] redlock.Lock
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code as of lock:acquire(), or "signal"
-- @treturn[2] number the signal, with that code
function waiting.acquire(run)
    local state = { since = core.clock(), noted = 0 }
    local tick = state.since + PATIENCE
    start(run, state)
    while true do
        local kind, value, message, code = run.loop:next(math.min(tick, state.again_at or tick))
        if kind == "answer" and may_try_again(run, state, code) then
            try_later(run, state, message)
        elseif kind == "answer" then
            return conclude(run, state, value, message, code)
        elseif kind == "signal" then
            take_signal(run, state, value)
            if state.signal and state.again_at then -- no call is under way whose end would tell
                return conclude(run, state)
            end
        elseif kind == "holder" then
            tell(run, state, value)
        elseif state.again_at and core.clock() >= state.again_at then
            start(run, state)
        else
            tick = core.clock() + PATIENCE
            if run.reporter.shows_progress or core.clock() - state.since >= state.noted then
                ask(run)
            end
        end
    end
end

return waiting
