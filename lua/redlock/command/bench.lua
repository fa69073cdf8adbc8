--- redlock bench
-- @module redlock.command.bench
-- @local

local connection = require "redlock.command.connection"
local consoles = require "redlock.console"
local core = require "redlock.core"
local exits = require "redlock.command.exits"
local figures = require "redlock.command.figures"
local histogram = require "redlock.command.histogram"
local interrupt = require "redlock.command.interrupt"
local json = require "redlock.command.json"
local Loop = require "redlock.command.loop"
local progress = require "redlock.command.progress"
local scratch = require "redlock.command.scratch"

local MOST = { seconds = 3600, callers = 1000, names = 10000 }
local UNIT = { seconds = " seconds", callers = "", names = "" }
local TIRED = 20 -- failures in a row after which a caller ends
local CLEANING = 5 -- seconds, that deleting what is left may take on each node

local bench = {
    name = "bench",
    summary = "measure how fast locks are on these nodes",
    synopsis = "[OPTION...]",
    words = { least = 0, most = 0 },
    connects = true,
    about = [[
Acquires and releases locks for some seconds, and says how many pairs of that
there were in a second, and how long each half took. One caller is what a
program sees that does one thing at a time. Many callers share the connections
of one process, as the requests of a server do; if there are fewer names than
callers, they wait for one another.

Ctrl-C ends it sooner. The names begin with the prefix and redlock-bench:, and
are deleted at the end. The nodes are kept busy meanwhile, which their other
users notice.]],
    options = {
        {
            long = "seconds", value = "DURATION", kind = "period",
            help = "for how long", default = "3s",
        },
        {
            long = "callers", value = "NUMBER", kind = "count",
            help = "how many hold or want a lock at the same time", default = "1",
        },
        {
            long = "names", value = "NUMBER", kind = "count",
            help = "how many different locks", default = "as many as there are callers",
        },
        {
            long = "wait", value = "DURATION", kind = "wait",
            help = "how long a caller waits for a lock that another has", default = "5s",
        },
        {
            long = "ttl", value = "DURATION", kind = "duration",
            help = "the lease", default = "30s",
        },
        { long = "json", help = "one JSON object instead of text" },
    },
    exits = {
        { 0, "it was measured" },
        { 1, "it was measured, and some locks could not be had or released" },
        { 69, "no lock could be had at all" },
    },
    examples = {
        { "what a script sees", "redlock bench" },
        { "what a busy server sees", "redlock bench --callers 100" },
        { "ten that want the same lock", "redlock bench --callers 10 --names 1" },
    },
}

local function check(values, name)
    if values[name] and values[name] > MOST[name] then
        exits.fail(exits.USAGE, ("--%s takes at most %d%s"):format(name, MOST[name], UNIT[name]))
    end
end

local function note_failure(run, code, message)
    run.failures[code] = (run.failures[code] or 0) + 1
    run.failure = run.failure or { code = code, message = message }
    run.failed = run.failed + 1
end

-- One lock acquired and released. Whether both went well.
local function pair(run, name, counts)
    local before = core.clock()
    local lock, message, code = run.client:acquire(name, run.terms)
    local between = core.clock()
    if not lock then
        note_failure(run, code, message)
        return false
    end
    local released, release_message, release_code = lock:release()
    local after = core.clock()
    if not released then
        note_failure(run, release_code, release_message)
        return false
    end
    if counts then
        run.acquire:add(between - before)
        run.release:add(after - between)
    end
    return true
end

-- The first pair, which connects, is not counted.
local function call(run, number, tell)
    local turn, failures = 0, 0
    while core.clock() < run.deadline and failures < TIRED do
        local index = (number + turn * run.callers) % #run.names + 1
        local done = pair(run, run.names[index], turn > 0)
        failures = done and 0 or failures + 1
        turn = turn + 1
        tell(run)
    end
end

local function run_one(run, tell)
    call(run, 0, tell)
end

local function run_many(run, tell)
    local loop, left = Loop.new(), run.callers
    loop:serve(run.client)
    for number = 1, run.callers do
        loop:start(function()
            call(run, number - 1, tell)
            left = left - 1
            if left == 0 then
                loop:post "over"
            end
        end)
    end
    repeat until loop:next(core.clock() + 1) == "over"
end

local function prepare(call_, client)
    local values = call_.values
    local callers = values.callers or 1
    local seconds = values.seconds or 3
    local now = core.clock()
    return {
        client = client,
        callers = callers,
        names = scratch.names("bench", values.names or callers),
        terms = { ttl = values.ttl, wait = values.wait },
        started = now,
        deadline = now + seconds,
        acquire = histogram.new(),
        release = histogram.new(),
        failures = {},
        failed = 0,
    }
end

local function show_half(output, title, half)
    output:write(("\n%s: half within %s, 90 %% within %s, 99 %% within %s, all within %s\n"):format(
        title, figures.time(half:quantile(0.5)), figures.time(half:quantile(0.9)),
        figures.time(half:quantile(0.99)), figures.time(half.max)))
    output:write(table.concat(half:draw(), "\n"), "\n")
end

local function show(run, nodes, output)
    output:write(("%s, %s, %s: %.0f pairs a second, %d in %s\n"):format(
        figures.count(nodes, "node"), figures.count(run.callers, "caller"),
        figures.count(#run.names, "name"), run.acquire.count / run.elapsed, run.acquire.count,
        figures.time(run.elapsed)))
    show_half(output, "acquire", run.acquire)
    show_half(output, "release", run.release)
    for code, count in pairs(run.failures) do
        local text = ("%s: %s"):format(code, figures.count(count, "failure"))
        output:write("\n", output:paint("red", text), "\n")
    end
    if run.failure then
        output:write("the first: ", run.failure.message, "\n")
    end
end

local function write_json(run, nodes, output)
    output:write(json.write {
        nodes = nodes,
        callers = run.callers,
        names = #run.names,
        seconds = run.elapsed,
        pairs = run.acquire.count,
        rate = run.acquire.count / run.elapsed,
        acquire = run.acquire:summary(),
        release = run.release:summary(),
        failures = run.failures,
    }, "\n")
end

local function measure(run, signal, errors)
    local shown = progress.new(errors)
    local work = run.callers == 1 and run_one or run_many
    work(run, function()
        local left = math.max(run.deadline - core.clock(), 0)
        local is_time = shown:show(("%.0f s left, %d pairs so far"):format(left, run.acquire.count))
        if is_time and signal:came() then
            run.deadline = core.clock()
        end
    end)
    run.elapsed = core.clock() - run.started
    shown:clear()
end

function bench.run(call_)
    local values = call_.values
    for name in pairs(MOST) do
        check(values, name)
    end
    local client = connection.open(call_, { host = "blocking" })
    local lines = consoles.all(client, CLEANING)
    local run = prepare(call_, client)
    local signal = interrupt.catch()
    measure(run, signal, call_.errors)
    scratch.clean(lines, client.prefix, run.names)
    client.companion.host = "blocking"
    client:close()
    if run.acquire.count == 0 and run.failure then
        exits.fail(exits.of(run.failure.code), run.failure.message, "Try: redlock doctor")
    end
    local report = values.json and write_json or show
    report(run, #lines, call_.output)
    signal:obey()
    return run.failed > 0 and 1 or 0
end

return bench
