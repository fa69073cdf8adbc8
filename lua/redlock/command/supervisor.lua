--- Runs a command while a lock is held: passes on what reaches us, stops and goes on with it, and
-- ends it when the lock is lost or its time is up. That it ends even if we cannot act is the warden's
-- work (csrc/io/warden.h).
-- @module redlock.command.supervisor
-- @local

local core = require "redlock.core"
local duration = require "redlock.command.duration"
local failure = require "redlock.failure"
local signal_names = require "redlock.command.signal_names"
local system = require "redlock.command.system"

local signals = system.signals

local Supervisor = {}
Supervisor.__index = Supervisor

local TICK = 1 -- seconds, at most, after which the lease is looked at
local SOON = 0.2 -- seconds within which a command stops, or goes on, that is able to

--- @tparam table run `loop`, `warden`, `job`, `lock`, `reporter`, `ttl`, `drift_factor`, `at_most`
-- (seconds or nil)
-- @treturn Supervisor
function Supervisor.new(run)
    local self = { run = run, job = run.job, state = {}, seen_stops = 0, early = {} }
    return setmetatable(self, Supervisor)
end

-- ---- why it has to end ----

local function finish(self, reason, text)
    if self.reason then
        return
    end
    self.reason = reason
    self.run.reporter:warn(text)
    self.run.warden:finish()
end

local function end_if_lost(self, message)
    local lock = self.run.lock
    if not lock:held() then
        message = message or failure.lost(lock.name, core.status(lock))
        finish(self, "lost", message .. "; ending the command")
        return true
    end
    return false
end

-- The last renewal is longer ago than a third of the lease; of which the drift is never left.
local function look_at_renewal(self)
    local run = self.run
    local left = run.lock:remaining()
    local is_late = left < run.ttl * (0.6 - run.drift_factor)
    if is_late and not self.is_late then
        run.reporter:warn(("the lease of %s could not be renewed yet; %s are left"):format(
            failure.quote(run.lock.name), duration.format(left)))
    elseif self.is_late and not is_late then
        run.reporter:warn("the lease is renewed again")
    end
    self.is_late = is_late
end

local function look_at_time(self)
    local run = self.run
    if not self.reason and not end_if_lost(self) then
        look_at_renewal(self)
    end
    run.warden:credit(run.lock)
    if self.end_at and core.clock() >= self.end_at then
        self.end_at = nil
        local text = "the command took longer than %s; ending it"
        finish(self, "too long", text:format(duration.format(run.at_most)))
    end
end

-- ---- stopping and going on ----

local function go_on(self)
    local warden = self.run.warden
    if not self.reason and not end_if_lost(self) then
        warden:credit(self.run.lock)
        warden:signal(signals.CONT, true)
    end
end

-- Waits, not long, until the command has stopped.
local function await_stop(self)
    local moment = core.clock() + SOON
    repeat
        local left = moment - core.clock()
        system.poll({ self.run.warden:fd() }, left)
        self.state = self.run.warden:look()
    until self.state.stopped or self.state.ended or left <= 0
    self.seen_stops = self.state.stops
end

-- Of its group all are stopped, whether they would or not.
local function stop_with(self, signal, whole_job)
    self.run.warden:signal(signals.STOP, true)
    await_stop(self)
    self.run.reporter:clear()
    self.job:stop(self.state.pid, signal, whole_job)
    go_on(self)
end

local function on_stop(self, signal)
    local todo = self.job:on_stop(self.state.pid, signal)
    if todo == "continue" then
        go_on(self)
    elseif todo == "suspend" then
        stop_with(self, signal == signals.STOP and signals.TSTP or signal, true)
    end
end

-- ---- signals ----

local on_signal = {}

on_signal[signals.TSTP] = function(self, number)
    self.run.warden:signal(number, true)
    await_stop(self)
    stop_with(self, number, false)
end

on_signal[signals.CONT] = go_on

local function pass_to_first(self, number)
    self.run.warden:signal(number, false)
end

on_signal[signals.USR1] = pass_to_first
on_signal[signals.USR2] = pass_to_first

local function pass_on(self, number)
    self.run.warden:signal(number, true)
end

local function take_signal(self, number)
    local act = on_signal[number] or pass_on
    if number ~= signals.WINCH and number ~= signals.CONT then
        self.run.reporter:note(signal_names.of(number) .. " is passed on")
    end
    act(self, number)
end

-- ---- the command ----

-- What reached us before there was a process to pass it on to is passed on now.
local function begin(self, pid)
    self.end_at = self.run.at_most and core.clock() + self.run.at_most
    self.run.reporter:note(("the command runs as process %d"):format(pid))
    for _, number in ipairs(self.early) do
        take_signal(self, number)
    end
end

local function look_at_command(self)
    local before, state = self.state, self.run.warden:look()
    self.state = state
    if state.pid and not before.pid then
        begin(self, state.pid)
    end
    if state.ending == "deadline" and not self.reason and not end_if_lost(self) then
        finish(self, "lost", "redlock was held up for longer than its lease; ending the command")
    end
    if state.stops ~= self.seen_stops then
        self.seen_stops = state.stops
        if state.stopped then
            on_stop(self, state.stopped)
        end
    end
end

local function is_over(state)
    if state.gone or state.failure then
        return true
    end
    return state.ended and (not state.ending or state.group_ended)
end

local function environment(lock)
    return {
        ("REDLOCK_FENCE=%.0f"):format(lock.fence),
        "REDLOCK_TOKEN=" .. lock.token,
        "REDLOCK_NAME=" .. lock.name,
    }
end

-- Somebody has killed the warden: then nobody guards the command, and it must not go on.
local function give_up(self)
    self.run.warden:signal(signals.KILL, true)
    self.reason = "unguarded"
end

local function begin_watching(self)
    local run = self.run
    run.loop:watch(run.warden:fd(), function()
        run.loop:post "command"
    end)
    run.lock:on_lost(function(_, message)
        end_if_lost(self, message)
    end)
end

local function conclude(self)
    local state = self.state
    self.run.loop:watch(self.run.warden:fd(), nil)
    if state.gone and not state.ended and not state.failure then
        give_up(self)
    end
    state.reason = self.reason
    state.had_terminal = state.pid ~= nil and self.job:take_back(state.pid)
    if state.had_terminal and (self.reason or state.killed) then
        self.job:mend_terminal()
    end
    return state
end

--- Starts the command and stays until it has ended.
-- @treturn table its state, as warden:look() gives it, with `reason`: nil if it ended by itself, "lost",
-- "too long", or "unguarded"; and `had_terminal`: the terminal's keys reached it, and not us
function Supervisor:guard()
    local run = self.run
    local period = math.min(TICK, run.ttl / 10)
    begin_watching(self)
    run.warden:start(run.lock, environment(run.lock), self.job:initial_terminal())
    while not is_over(self.state) do
        local moment = core.clock() + period
        local kind, number = run.loop:next(math.min(moment, self.end_at or moment))
        if kind == "signal" and not self.state.pid then
            table.insert(self.early, number)
        elseif kind == "signal" then
            take_signal(self, number)
        elseif kind == "command" then
            look_at_command(self)
        end
        look_at_time(self)
    end
    return conclude(self)
end

return Supervisor
