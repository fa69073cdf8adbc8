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
    local by = who and ", held by " .. who or ""
    local text = ("waiting for %s%s"):format(failure.quote(run.name), by)
    run.reporter:progress(("%s; %ds"):format(text, math.floor(waited)))
    if waited >= state.noted then
        state.noted = math.max(state.noted, waited) * 2
        run.reporter:note(("%s (%s so far)"):format(text, duration.format(waited)))
    end
end

local function start(run)
    return run.loop:start(function()
        local lock, message, code, votes = run.lock:acquire()
        run.loop:post("answer", lock, message, code, votes)
    end)
end

local function take_signal(run, state, task, number)
    if number == signals.TSTP then
        run.reporter:clear()
        system.obey(number)
    elseif not harmless[number] then
        state.signal = state.signal or number
        run.loop:cancel(task)
    end
end

--- Waits for the lock.
-- @tparam table run `loop`, `client`, `lock`, `name`, `reporter`
-- @treturn[1] redlock.Lock
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string code as of lock:acquire(), or "signal"
-- @treturn[2] number the signal, with that code
function waiting.acquire(run)
    local state = { since = core.clock(), noted = 0 }
    local task = start(run)
    local tick = state.since + PATIENCE
    while true do
        local kind, value, message, code = run.loop:next(tick)
        if kind == "answer" then
            run.reporter:clear()
            if not value and state.signal then
                return nil, "interrupted", "signal", state.signal
            end
            return value, message, code
        elseif kind == "signal" then
            take_signal(run, state, task, value)
        elseif kind == "holder" then
            tell(run, state, value)
        else
            tick = core.clock() + PATIENCE
            if run.reporter.shows_progress or core.clock() - state.since >= state.noted then
                ask(run)
            end
        end
    end
end

return waiting
