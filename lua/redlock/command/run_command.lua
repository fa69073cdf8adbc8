--- What `redlock run` does: the lock, the command, and the exit code that comes of both.
-- @module redlock.command.run_command
-- @local

local connection = require "redlock.command.connection"
local duration = require "redlock.command.duration"
local exits = require "redlock.command.exits"
local failure = require "redlock.failure"
local holder = require "redlock.command.holder"
local Job = require "redlock.command.job"
local Loop = require "redlock.command.loop"
local Reporter = require "redlock.command.reporter"
local signal_names = require "redlock.command.signal_names"
local Supervisor = require "redlock.command.supervisor"
local system = require "redlock.command.system"
local waiting = require "redlock.command.waiting"

local GRACE = 10 -- seconds
local NO_SUCH_FILE = 2 -- ENOENT

local signals = system.signals

local CAUGHT = {
    signals.TERM, signals.INT, signals.HUP, signals.QUIT, signals.USR1, signals.USR2, signals.WINCH,
    signals.TSTP, signals.CONT,
}

-- ---- what is asked for ----

local conflicts = {
    { "wait", "try" }, { "once_per", "wait" }, { "once_per", "at_least" }, { "quiet", "verbose" },
}

local function check(call)
    local given = call.values
    for _, pair in ipairs(conflicts) do
        if given[pair[1]] and given[pair[2]] then
            local names = ("--%s and --%s"):format(pair[1], pair[2]):gsub("_", "-")
            exits.fail(exits.USAGE, names .. " do not go together", "Try: redlock run --help")
        end
    end
    if given.shell and #call.words > 2 then
        exits.fail(exits.USAGE, "--shell takes the command as one word, in quotes",
            "Example: redlock run NAME --shell 'one && two'")
    end
end

local function command_of(call)
    if call.values.shell then
        return { "/bin/sh", "-c", call.words[2] }
    end
    return { (table.unpack or unpack)(call.words, 2) }
end

local function fail_to_run(call, failure_number, why)
    local command, hint = call.words[2], nil
    local code = failure_number == NO_SUCH_FILE and exits.NOT_FOUND or exits.NOT_EXECUTABLE
    if code == exits.NOT_FOUND and command:find "%s" and not call.values.shell then
        hint = "A whole shell command goes behind --shell"
    end
    return code, ("cannot run %q: %s"):format(command, why), hint
end

-- Before anybody waits for a lock, or is kept from it by --at-least.
local function check_command(call)
    local found, message, number = system.find_command(command_of(call)[1])
    if not found then
        local code, text, hint = fail_to_run(call, number, message)
        exits.fail(code, not call.values.quiet and text or nil, hint)
    end
end

-- The terms of the lock; what is not given is up to the configuration file.
local function terms_of(given)
    local wait = given.wait
    if given.try or given.once_per then
        wait = 0
    end
    return {
        ttl = given.ttl,
        wait = wait,
        fair = given.fair,
        at_least = given.once_per or given.at_least,
        identity = given.purpose,
        renew = true, -- whatever other programs are told by the file
        max_hold = math.huge,
    }
end

-- ---- the parts ----

local function open(call)
    local client, settings = connection.open(call, terms_of(call.values))
    local run = {
        client = client,
        name = call.words[1],
        ttl = settings.ttl or 30,
        drift_factor = settings.drift_factor or 0.01,
        wait = settings.wait or math.huge,
        is_patient = settings.wait ~= nil, -- a wrong address is no reason to wait for ever
        at_most = call.values.at_most,
        reporter = Reporter.new(call.errors, call.values.quiet, call.values.verbose),
        loop = Loop.new(),
    }
    run.loop:serve(client)
    local ok, lock = pcall(client.lock, client, run.name, { wait = run.wait })
    if not ok then
        exits.misuse(lock)
    end
    run.lock = lock
    return run
end

local function prepare(run, call)
    local fd, message = system.catch_signals(CAUGHT)
    if not fd then
        exits.fail(exits.SYSTEM, "signals cannot be caught: " .. message)
    end
    run.loop:watch(fd, function()
        for number in system.read_signal, fd do
            run.loop:post("signal", number)
        end
    end)
    run.job = Job.new() -- before the warden, who inherits the terminal
    run.warden, message = system.warden(command_of(call), call.values.grace or GRACE)
    if not run.warden then
        exits.fail(exits.SYSTEM, "no process to be had for the command: " .. message)
    end
end

local function close(run)
    run.loop:run(function()
        run.client:close()
    end)
    run.warden:dismiss()
end

-- If we fail in the midst of it, the lock would be released while the command runs.
local function guard(run)
    local ok, state = xpcall(function()
        return Supervisor.new(run):guard()
    end, debug.traceback)
    if not ok then
        run.warden:signal(signals.KILL, true)
        error(state, 0)
    end
    return state
end

-- ---- what comes of it ----

local function die(signal, whole_job)
    system.obey(signal, whole_job)
    return 128 + signal -- it was ignored
end

local function find_holder(run)
    local who, age
    run.loop:run(function()
        local nodes = run.client:info(run.name)
        if nodes then
            who, age = holder.find(nodes)
        end
    end)
    return who or "another", age
end

-- It is no failure that another has run it: that is what --once-per is for.
local function tell_once(run, period)
    local who, age = find_holder(run)
    run.reporter:tell(("%s was started within the last %s, %sby %s"):format(failure.quote(run.name),
        duration.format(period), age and duration.format(age) .. " ago " or "", who))
end

local function explain_conflict(run)
    local who, age = find_holder(run)
    local since = age and " for " .. duration.format(age) or ""
    local message = ("%s is held by %s%s"):format(failure.quote(run.name), who, since)
    if run.wait > 0 then
        message = ("%s; waited %s in vain"):format(message, duration.format(run.wait))
    end
    return message
end

-- The lock was not acquired: exit code, message, hint.
local function refuse(call, run, message, code)
    local given = call.values
    local exit_code, hint = exits.of(code), nil
    if exit_code == exits.LOCKED and given.once_per then
        tell_once(run, given.once_per)
        return given.conflict_exit_code or exits.OK
    elseif exit_code == exits.LOCKED then
        message = explain_conflict(run)
        exit_code = given.conflict_exit_code or exit_code
    elseif code == "unavailable" then
        hint = "Try: redlock doctor"
        if not run.is_patient then
            hint = hint .. "; with --wait DURATION it goes on trying for that long"
        elseif run.wait > 0 then
            message = ("%s; tried for %s"):format(message, duration.format(run.wait))
        end
    end
    return exit_code, message, hint
end

local function tell_end(run, state)
    local how = state.killed and "was killed by " .. signal_names.of(state.killed)
        or ("exited with %d"):format(state.exited)
    run.reporter:note("the command " .. how)
    return how
end

-- The lock is given back. If it was not ours any more, the command may not have been alone.
local function release(run, how)
    local ok, message, code
    run.loop:run(function()
        ok, message, code = run.lock:release()
    end)
    if ok then
        run.reporter:note(("%s is released"):format(failure.quote(run.name)))
    elseif code == "lost" then
        run.reporter:warn(("%s before the command had ended: it %s"):format(message, how))
        return "lost"
    else
        run.reporter:note(message .. "; it ends with its lease")
    end
end

local by_reason = { lost = exits.LOST, ["too long"] = exits.TOO_LONG, unguarded = exits.SYSTEM }

local function conclude(call, run, state)
    if state.failure then
        run.loop:run(function()
            run.lock:release()
        end)
        return fail_to_run(call, state.failure, state.why)
    elseif state.reason == "unguarded" then
        return exits.SYSTEM, "the warden of the command was killed, and so was the command"
    end
    local how = tell_end(run, state)
    local reason = state.reason
    if reason ~= "lost" then
        reason = release(run, how) or reason
    end
    return by_reason[reason] or state.exited or 128 + state.killed
end

--- @tparam table call
-- @treturn number the exit code
return function(call)
    check(call)
    check_command(call)
    local run = open(call)
    prepare(run, call)
    local lock, message, code, signal = waiting.acquire(run)
    local exit_code, hint
    local fail, state = exits.fail, {}
    if lock and not lock:held() then
        exit_code, message = exits.LOST, "the lease was over before the command was started"
    elseif lock then
        local text = "%s is ours, with the fence %.0f"
        run.reporter:note(text:format(failure.quote(run.name), lock.fence))
        state = guard(run)
        exit_code, message, hint = conclude(call, run, state)
    elseif code == "signal" then
        close(run)
        return die(signal, false)
    else
        exit_code, message, hint = refuse(call, run, message, code)
        fail = exits.tell
    end
    close(run)
    if state.killed == signals.INT and not state.reason then
        return die(signals.INT, state.had_terminal) -- so that a script around us ends, too
    elseif message and not call.values.quiet then
        fail(exit_code, message, hint)
    end
    return exit_code
end
