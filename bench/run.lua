--- The benchmark: all contestants do the same jobs on private Redis servers, in turns, in one run.
-- What it measures, and how, stands in docs/benchmarks.md.
--
--     lua5.4 bench/run.lua [--scenes 1,2] [--contestants ours,hiredis] [--rounds N] ...

local root = arg[0]:match("^(.*)bench/run%.lua$") or "./"
package.path = ("%sexamples/?.lua;%sbench/?.lua;%s"):format(root, root, package.path)

local command_line = require "command_line"
local contestants = require "contestants"
local contended = require "scenes.contended"
local goals = require "goals"
local kept_alive = require "scenes.kept_alive"
local many_callers = require "scenes.many_callers"
local one_caller = require "scenes.one_caller"
local quiet = require "quiet"
local results = require "results"
local servers = require "servers"
local start_up = require "scenes.start_up"
local tables = require "tables"

local USAGE = [[
usage: bench/run.lua [--scenes 1,2] [--contestants ours,hiredis] [--rounds N]
    [--seconds S] [--warmup S] [--waiters 10,1000] [--locks 10000,100000] [--ttl 10,30]
    [--raw] [--spin] [--realtime] [--peers] [--out FOLDER]
    --scenes       1: one node, one caller; 2: five nodes, one caller, then with one stopped, then
                   killed; 3: 64 callers, 64 names; 4: one name, contended; 5: many locks kept
                   alive; 6: start-up. All unless given
    --contestants  beginnings of names; all unless given
    --rounds       how often each has its turn; a fifth of it in scene 4, a third in scene 6
    --seconds      how long a turn takes; ten times as long in scene 4
    --warmup       how long each runs before the first turn
    --waiters      how many of them scene 4 compares
    --locks        how many of them scene 5 keeps alive
    --ttl          the leases in scene 5, in seconds: of all, and of ours with most locks
    --raw          leaves it to the scheduler where everybody runs
    --spin         keeps processors awake by spinning, whatever else is possible
    --realtime     servers and contestants go before whatever else runs; needs the right to do so
    --peers        with those that `make bench-peers` installs
    --out          where results.json, results.txt, results.md and the plots go]]
local DEFAULTS = {
    scenes = "1,2,3,4,5,6", contestants = "", rounds = 15, seconds = 0.2, warmup = 0.5,
    waiters = "10,1000", locks = "10000,100000", ttl = "10,30", raw = false,
    spin = false, realtime = false, peers = false,
    out = "bench/results",
}
local SCENES = {
    one_caller.on_one_node, one_caller.on_five_nodes, many_callers.all, contended.all,
    kept_alive.all, start_up.all,
}

local function say(text)
    print(text)
    io.stdout:flush()
end

-- As one types it.
local function command_of(options)
    local words = {}
    for _, word in ipairs(arg) do
        if word ~= "--peers" then
            words[#words + 1] = word
        end
    end
    return (options.peers and "make bench-peers" or "make bench")
        .. (#words > 0 and (" ARGS='%s'"):format(table.concat(words, " ")) or "")
end

-- What was measured is written after each scene: a run that is interrupted was not in vain.
local function play(options, about)
    local list, complaint = {}, nil
    for _, number in ipairs(command_line.numbers(options.scenes)) do
        for _, result in ipairs(assert(SCENES[number], "no such scene")(options)) do
            if #result.rows > 0 then
                result.scene = number
                list[#list + 1] = result
                say(tables.text(result))
            end
        end
        complaint = results.write(options.out, about, list)
    end
    return list, complaint
end

local function main()
    local options = command_line.parse(arg, DEFAULTS, USAGE)
    options.command = command_of(options)
    options.locks = command_line.numbers(options.locks)
    options.ttl = command_line.numbers(options.ttl)
    options.waiters = command_line.numbers(options.waiters)
    options.contestants = contestants.choose(
        contestants.list(root, options.peers), options.contestants)
    options.place = quiet.begin(options)
    local about = results.describe(options)
    say(results.heading(about))
    local list, complaint = play(options, about)
    quiet.finish()
    servers.stop_all()
    say(table.concat(goals.lines(list), "\n"))
    say(complaint or "Written to " .. options.out)
end

main()
