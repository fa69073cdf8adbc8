--- redlock doctor
-- @module redlock.command.doctor
-- @local

local connection = require "redlock.command.connection"
local examination = require "redlock.command.doctor.examination"
local interrupt = require "redlock.command.interrupt"
local options = require "redlock.options"
local progress = require "redlock.command.progress"
local report = require "redlock.command.doctor.report"

local SECONDS = 3 -- that the clocks are watched

local doctor = {
    name = "doctor",
    summary = "examine the nodes, and say what is wrong and what to do",
    synopsis = "[OPTION...]",
    words = { least = 0, most = 0 },
    connects = true,
    about = [[
Connects to each node, and looks at its round trip, version, role, persistence,
memory, clients, clock, certificate, slow log and scripts. Runs each command
that the library needs on a scratch name, to see that this user may. Publishes
to an inbox of its own. Then acquires, extends and releases a lock over all
nodes. That takes some seconds, since a clock that runs wrong shows it no
sooner.

Run it as the user, and with the options, that your programs have. What this
user may not look at is said to be not seen, and is not taken for fine.
Nothing is changed but for keys that begin with the prefix and redlock-doctor:,
which are deleted at the end.]],
    options = {
        {
            long = "seconds", value = "DURATION", kind = "duration",
            help = "how long the clocks are watched; the longer, the finer", default = "3s",
        },
        { long = "json", help = "one JSON object instead of text" },
        {
            long = "ttl", value = "DURATION", kind = "duration",
            help = "the lease that your programs ask for", default = "30s",
        },
    },
    exits = {
        { 0, "all is well; there may be notes" },
        { 1, "there are warnings, or things that could not be looked at" },
        { 2, "there are problems: locks are not had, or are not safe" },
    },
    examples = {
        { "before a program is put to work", "redlock doctor --node redis://locks@10.0.0.1" },
        { "from a monitor", "redlock doctor --json" },
    },
}

-- How long a restarted node has no vote, in seconds.
local function guard_of(settings)
    local guard = settings.restart_guard
    return guard == "auto" and settings.ttl or guard or 0
end

function doctor.run(call)
    local values = call.values
    local client, given = connection.open(call, { ttl = values.ttl, host = "blocking" })
    local settings = options.client(given, nil, 1)
    settings.ttl = settings.terms.ttl
    settings.guard = guard_of(settings)
    local shown, signal = progress.new(call.errors), interrupt.catch()
    local result = examination.run(client, settings, values.seconds or SECONDS, function(text)
        shown:show(text)
    end, function()
        return signal:came()
    end)
    shown:clear()
    client:close()
    signal:obey()
    report[values.json and "json" or "text"](result, call.output)
    return report.exit_code(result)
end

return doctor
