--- Measures lock + unlock per request in one nginx worker, under wrk, beside the same work written by
-- hand on pooled cosockets (bench/nginx/by_hand.lua), on one private Redis server and on five. Our
-- locks have the terms that a user has who sets none: fenced, and renewed (--lease: not renewed; --cohort:
-- passed on within the worker).
--
-- The contestants take turns, in short rounds, so that whatever else the machine does hits all of
-- them alike. Ratios are taken within a round, then the median over the rounds.
--
--     lua5.4 bench/nginx.lua [--connections 1,16,128] [--nodes 1,5] [--rounds 5] [--seconds 2]
--         [--quick] [--lease] [--cohort] [--hold] [--json FILE]

local root = arg[0]:match("^(.*)bench/nginx%.lua$") or "./"
package.path = ("%sexamples/?.lua;%sbench/?.lua;%sbench/nginx/?.lua;%s"):format(
    root, root, root, package.path)

local command_line = require "command_line"
local figures = require "figures"
local report = require "report"
local servers = require "servers"
local shell = require "shell"
local usage = require "usage"
local worker = require "worker"

local USAGE = [[
usage: bench/nginx.lua [--connections 1,16,128] [--nodes 1,5] [--rounds N] [--seconds S] [--quick]
    [--lease] [--cohort] [--hold] [--json FILE]
    --seconds  whole seconds a run, which is what wrk can
    --quick    128 connections, 2 rounds of 1 second
    --lease    our locks with renew = false
    --cohort   our locks with cohort = true
    --hold     measures nothing: starts all, says where, and ends with its input; for profilers]]
local DEFAULTS = {
    connections = "1,16,128", nodes = "1,5", rounds = 5, seconds = 2, quick = false, lease = false,
    cohort = false, hold = false, json = "",
}
local SHARED_CONNECTIONS = 128
local PATIENCE = 75 -- seconds that a response may take; longer than anybody waits for a lock

--- One run ------------------------------------------------------------------------------------

local WRK = "exec wrk -t 1 -c %d -d %ds --timeout %ds -s %sbench/nginx/wrk.lua %s%s %s"

local function wrk(of, path, connections, seconds, check)
    local output = shell.output(WRK:format(
        connections, seconds, PATIENCE, root, of.url, path, check and "-- check" or ""))
    local numbers = {}
    for number in (output:match("\nrun ([%d ]+)") or ""):gmatch("%d+") do
        numbers[#numbers + 1] = tonumber(number)
    end
    if #numbers ~= 7 then
        error("wrk: " .. output, 0)
    end
    return {
        requests_per_second = numbers[1] / numbers[2] * 1e6,
        p50 = numbers[3], p99 = numbers[4], longest = numbers[5],
        errors = numbers[6] + numbers[7],
    }
end

local function flush(nodes)
    for _, node in ipairs(nodes) do
        node:cli("FLUSHALL", "SYNC")
    end
end

local function fail_on_errors(bench, contestant, run)
    local log = bench.worker:errors()
    if run.errors > 0 or log:find("[error]", 1, true) or log:find("[alert]", 1, true) then
        error(("%s: %d errors, which makes its figures none\n%s"):format(
            contestant.path, run.errors, log:sub(-2000)), 0)
    end
end

-- What was cut off when wrk ended is finished and counted: else it would be work without a lock.
local function run(bench, contestant, connections, seconds)
    flush(bench.nodes)
    local _, pid = bench.worker:settle()
    local nodes = { (table.unpack or unpack)(bench.nodes, 1, contestant.nodes) }
    local redis_before, worker_before = usage.cpu_us_of_all(nodes), usage.cpu_us(pid)
    local result = wrk(bench.worker, contestant.path, connections, seconds)
    local completed = bench.worker:settle()
    result.worker_us = (usage.cpu_us(pid) - worker_before) / completed
    result.redis_us = (usage.cpu_us_of_all(nodes) - redis_before) / completed
    fail_on_errors(bench, contestant, result)
    return result
end

--- Contestants and rounds ---------------------------------------------------------------------

-- All that run in turns for one number of connections: no lock at all, then each pair.
local function list_contestants(node_counts, kind)
    local list = {}
    if kind == "own" then
        list[1] = { path = "/none", nodes = 0, rounds = {} }
    end
    for _, count in ipairs(node_counts) do
        for _, name in ipairs { "hand", "ours" } do
            local path = ("/%d/%s/%s"):format(count, kind, name)
            list[#list + 1] = { path = path, nodes = count, rounds = {} }
        end
    end
    return list
end

local function warm_up(bench, contestant, connections)
    local result = wrk(bench.worker, contestant.path, connections, 1, true)
    fail_on_errors(bench, contestant, result)
    bench.worker:settle()
end

local function summarise(contestant)
    local medians = { path = contestant.path }
    for name in pairs(contestant.rounds[1]) do
        medians[name] = figures.median(contestant.rounds, name)
    end
    return medians
end

local function make_row(ours, hand, none)
    local row = { nodes = ours.nodes, ours = summarise(ours), hand = summarise(hand), ratios = {} }
    for name in pairs(row.ours) do
        if name ~= "path" and name ~= "errors" then
            row.ratios[name] = figures.ratio(ours.rounds, hand.rounds, name)
        end
    end
    if none then
        row.none = summarise(none)
        row.of_ceiling = figures.ratio(ours.rounds, none.rounds, "requests_per_second")
    end
    return row
end

local function measure(bench, kind, connections)
    local list = list_contestants(bench.node_counts, kind)
    for _, contestant in ipairs(list) do
        warm_up(bench, contestant, connections)
    end
    for round = 1, bench.rounds do
        for turn = 1, #list do -- another one begins each round
            local contestant = list[(round + turn) % #list + 1]
            contestant.rounds[round] = run(bench, contestant, connections, bench.seconds)
        end
    end
    local rows, none = {}, kind == "own" and list[1] or nil
    for index = none and 2 or 1, #list, 2 do
        local row = make_row(list[index + 1], list[index], none)
        row.kind, row.connections = kind, connections
        rows[#rows + 1] = row
    end
    return rows
end

--- The whole ----------------------------------------------------------------------------------

local function parse(words)
    local options = command_line.parse(words, DEFAULTS, USAGE)
    if options.quick then
        options.connections, options.rounds, options.seconds = "128", 2, 1
    end
    return options
end

-- Each contestant can now be asked for by hand, and its processes looked at.
local function hold(bench)
    local _, pid = bench.worker:settle()
    local pids = {}
    for index, node in ipairs(bench.nodes) do
        pids[index] = node.pid
    end
    print(("worker %d, Redis %s; the error log is %s/error.log"):format(
        pid, table.concat(pids, " "), bench.worker.dir))
    for _, kind in ipairs { "own", "shared" } do
        for _, contestant in ipairs(list_contestants(bench.node_counts, kind)) do
            print(bench.worker.url .. contestant.path)
        end
    end
    io.stdout:flush()
    io.read("*a")
end

local function measure_all(bench, options)
    local own = {}
    for _, connections in ipairs(command_line.numbers(options.connections)) do
        for _, row in ipairs(measure(bench, "own", connections)) do
            own[#own + 1] = row
        end
    end
    return own, measure(bench, "shared", SHARED_CONNECTIONS)
end

local function main()
    local options = parse(arg)
    print(report.machine())
    io.stdout:flush()
    -- Every lock leaves its fence behind for a day; a run makes some hundred thousand.
    local nodes = servers.start(5, { config = { { "maxmemory", "2gb" } } })
    local bench = {
        nodes = nodes, worker = worker.start(root, nodes, not options.lease, options.cohort),
        node_counts = command_line.numbers(options.nodes),
        rounds = options.rounds, seconds = options.seconds,
    }
    local own, shared
    if options.hold then
        hold(bench)
    else
        own, shared = measure_all(bench, options)
    end
    bench.worker:stop()
    servers.stop_all()
    if own then
        report.print(own, shared, bench.rounds, bench.seconds)
    end
    if own and options.json ~= "" then
        figures.write_json(options.json, { own = own, shared = shared })
    end
end

main()
