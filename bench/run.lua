--- The benchmark: all contestants do the same jobs on private Redis servers, in turns, in one run.
-- What it measures, and how, stands in docs/benchmarks.md.
--
--     lua5.4 bench/run.lua [--scenes 1,2] [--contestants ours,hiredis] [--rounds N] ...

local root = arg[0]:match("^(.*)bench/run%.lua$") or "./"
package.path = ("%sexamples/?.lua;%sbench/?.lua;%s"):format(root, root, package.path)

local command_line = require "command_line"
local contestants = require "contestants"
local contended = require "scenes.contended"
local figures = require "figures"
local kept_alive = require "scenes.kept_alive"
local machine = require "machine"
local many_callers = require "scenes.many_callers"
local one_caller = require "scenes.one_caller"
local quiet = require "quiet"
local servers = require "servers"
local shell = require "shell"
local start_up = require "scenes.start_up"
local tables = require "tables"

local USAGE = [[
usage: bench/run.lua [--scenes 1,2] [--contestants ours,hiredis] [--rounds N]
    [--seconds S] [--warmup S] [--locks 10000,100000] [--ttl S] [--raw] [--realtime]
    [--peers] [--out FOLDER]
    --scenes       1: one node, one caller; 2: five nodes, one caller, then with one stopped, then
                   killed; 3: 64 callers, 64 names; 4: one name, contended; 5: many locks kept
                   alive; 6: start-up. All unless given
    --contestants  beginnings of names; all unless given
    --rounds       how often each has its turn; a fifth of it in scene 4, a third in scene 6
    --seconds      how long a turn takes; ten times as long in scene 4
    --warmup       how long each runs before the first turn
    --locks        how many of them scene 5 keeps alive
    --ttl          the lease in scene 5, in seconds
    --raw          leaves it to the scheduler where everybody runs
    --realtime     servers and contestants go before whatever else runs; needs the right to do so
    --peers        with those that `make bench-peers` installs
    --out          where results.json, results.txt and the plots go]]
local DEFAULTS = {
    scenes = "1,2,3,4,5,6", contestants = "", rounds = 15, seconds = 0.2, warmup = 0.5,
    locks = "10000,100000", ttl = 10, raw = false,
    realtime = false, peers = false, out = "",
}
local SCENES = {
    one_caller.on_one_node, one_caller.on_five_nodes, many_callers.all, contended.all,
    kept_alive.all, start_up.all,
}

local function describe(options)
    return {
        machine = machine.describe(),
        redis = shell.output("redis-server --version"):match("v=(%S+)"),
        processors = options.place.text,
        rounds = options.rounds,
        seconds = options.seconds,
    }
end

local function say(text)
    print(text)
    io.stdout:flush()
end

local function play(options)
    local results = { about = describe(options), tables = {} }
    say(("%s, Redis %s\n%s\n"):format(
        results.about.machine, results.about.redis, results.about.processors))
    for _, number in ipairs(command_line.numbers(options.scenes)) do
        for _, result in ipairs(assert(SCENES[number], "no such scene")(options)) do
            if #result.rows > 0 then
                result.scene = number
                table.insert(results.tables, result)
                say(tables.text(result))
            end
        end
    end
    return results
end

local function main()
    local options = command_line.parse(arg, DEFAULTS, USAGE)
    options.locks = command_line.numbers(options.locks)
    options.contestants = contestants.choose(
        contestants.list(root, options.peers), options.contestants)
    options.place = quiet.begin(options)
    local results = play(options)
    quiet.finish()
    servers.stop_all()
    say(("Medians of %d rounds of %g s, in brackets the quartiles."):format(
        options.rounds, options.seconds))
    if options.out ~= "" then
        figures.write_json(options.out .. "/results.json", results)
    end
end

main()
