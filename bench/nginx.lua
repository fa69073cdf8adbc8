--- Measures lock + unlock per request in one nginx worker, under wrk, beside the same work written by
-- hand on pooled cosockets (bench/nginx/by_hand.lua), on one private Redis server and on five. Our
-- locks have the terms that a user has who sets none: fenced, and renewed (--lease: not renewed).
--
-- The contestants take turns, in short rounds, so that whatever else the machine does hits all of
-- them alike. Ratios are taken within a round, then the median over the rounds.
--
--     lua5.4 bench/nginx.lua [--connections 1,16,128] [--nodes 1,5] [--rounds 5] [--seconds 2]
--         [--quick] [--lease] [--json FILE]

local root = arg[0]:match("^(.*)bench/nginx%.lua$") or "./"
package.path = root .. "examples/?.lua;" .. root .. "bench/?.lua;" .. package.path

local command_line = require "command_line"
local figures = require "figures"
local http = require "socket.http"
local keeper = require "keeper"
local servers = require "servers"

local USAGE = [[
usage: bench/nginx.lua [--connections 1,16,128] [--nodes 1,5] [--rounds N] [--seconds S] [--quick]
    [--lease] [--json FILE]
    --seconds  whole seconds a run, which is what wrk can
    --quick    128 connections, 2 rounds of 1 second
    --lease    our locks with renew = false]]
local DEFAULTS = {
    connections = "1,16,128", nodes = "1,5", rounds = 5, seconds = 2, quick = false, lease = false,
    json = "",
}
local GOALS = {
    { nodes = 1, field = "requests_per_second", at_least = 2.5, what = "requests/s" },
    { nodes = 5, field = "requests_per_second", at_least = 6, what = "requests/s" },
    { nodes = 5, field = "redis_us", at_most = 0.25, what = "Redis CPU" },
}
local GOAL_CONNECTIONS = 128
local FIRST_PORT, PORTS, PORT_TRIES = 32000, 700, 10 -- above those of the servers
local PATIENCE = 75 -- seconds that a response may take; longer than anybody waits for a lock

http.TIMEOUT = 100 -- /settled may take its time

local function output_of(command)
    local pipe = assert(io.popen(command .. " 2>&1", "r"))
    local text = pipe:read("*a")
    pipe:close()
    return text
end

local function read_file(path)
    local file = io.open(path)
    if not file then
        return ""
    end
    local text = file:read("*a")
    file:close()
    return text
end

--- nginx --------------------------------------------------------------------------------------

-- Where the Lua module is not built in, it is loaded.
local function module_lines()
    local folder = output_of("nginx -V"):match("%-%-modules%-path=(%S+)")
    local lines = {}
    for _, name in ipairs { "ndk_http_module", "ngx_http_lua_module" } do
        local path = folder and folder .. "/" .. name .. ".so"
        if path and io.open(path) then
            lines[#lines + 1] = "load_module " .. path .. ";"
        end
    end
    return table.concat(lines, "\n")
end

-- The worker has to read what its master's user may read.
local function user_line()
    local user, group = output_of("id -un; id -gn"):match("^(%S+)\n(%S+)")
    return user == "root" and ("user %s %s;"):format(user, group) or ""
end

local function configuration(values)
    return (read_file(root .. "bench/nginx/nginx.conf"):gsub("@(%u+)@", values))
end

local function start_nginx(nodes, renew)
    local child, ports = keeper.new(), {}
    for index, node in ipairs(nodes) do
        ports[index] = node.port
    end
    for _ = 1, PORT_TRIES do
        local high, low = keeper.random_bytes(2):byte(1, 2)
        local port = FIRST_PORT + (high * 256 + low) % PORTS
        child:save("nginx.conf", configuration {
            MODULES = module_lines(), USER = user_line(), PREFIX = child.dir, PORT = port,
            ROOT = output_of(("cd ./%s && pwd"):format(root)):match("[^\n]+"),
            RENEW = tostring(renew), PORTS = table.concat(ports, ", "),
        })
        child:start(
            ("exec nginx -p %s -c nginx.conf"):format(child.dir),
            ("test -s %s/nginx.pid"):format(child.dir))
        if child:started() then
            return { child = child, url = "http://127.0.0.1:" .. port }
        end
        if not child:read("errors"):find("Address already in use", 1, true) then
            error("nginx: " .. child:read("errors") .. child:read("error.log"), 0)
        end
    end
    error("nginx found no free port", 0)
end

local function stop_nginx(nginx)
    nginx.child:stop()
    nginx.child:close()
end

-- Waits until nothing is under way: what has been done since the last time, and the worker's pid.
local function settle(nginx)
    local answer, status = http.request(nginx.url .. "/settled")
    if status ~= 200 then
        error(("the worker does not settle: %s\n%s"):format(
            tostring(status), nginx.child:read("error.log"):sub(-2000)), 0)
    end
    local completed, worker = answer:match("^(%d+) (%d+)\n$")
    return tonumber(completed), tonumber(worker)
end

--- One run ------------------------------------------------------------------------------------

local WRK = "exec wrk -t 1 -c %d -d %ds --timeout %ds -s %sbench/nginx/wrk.lua %s%s %s"

local function wrk(nginx, path, connections, seconds, check)
    local output = output_of(WRK:format(
        connections, seconds, PATIENCE, root, nginx.url, path, check and "-- check" or ""))
    local numbers = {}
    for number in (output:match("\nrun ([%d ]+)") or ""):gmatch("%d+") do
        numbers[#numbers + 1] = tonumber(number)
    end
    if #numbers ~= 6 then
        error("wrk: " .. output, 0)
    end
    return {
        requests_per_second = numbers[1] / numbers[2] * 1e6,
        p50 = numbers[3], p99 = numbers[4], errors = numbers[5] + numbers[6],
    }
end

-- Microseconds of processor time that the servers have used so far.
local function redis_cpu_us(nodes)
    local sum = 0
    for _, node in ipairs(nodes) do
        local info = node:cli("INFO", "cpu")
        for _, field in ipairs { "used_cpu_user", "used_cpu_sys" } do
            sum = sum + assert(tonumber(info:match(field .. ":([%d.]+)")), info) * 1e6
        end
    end
    return sum
end

-- Microseconds of processor time that a process has used so far, where there is a /proc.
local function process_cpu_us(pid)
    local fields = {}
    for field in (read_file(("/proc/%d/stat"):format(pid)):match("%) (.*)") or ""):gmatch("%S+") do
        fields[#fields + 1] = field
    end
    return ((tonumber(fields[12]) or 0) + (tonumber(fields[13]) or 0)) * 10000
end

local function flush(nodes)
    for _, node in ipairs(nodes) do
        node:cli("FLUSHALL", "SYNC")
    end
end

local function fail_on_errors(bench, contestant, run)
    local log = bench.nginx.child:read("error.log")
    if run.errors > 0 or log:find("[error]", 1, true) or log:find("[alert]", 1, true) then
        error(("%s: %d errors, which makes its figures none\n%s"):format(
            contestant.path, run.errors, log:sub(-2000)), 0)
    end
end

-- What was cut off when wrk ended is finished and counted: else it would be work without a lock.
local function run(bench, contestant, connections, seconds)
    flush(bench.nodes)
    local _, worker = settle(bench.nginx)
    local nodes = { (table.unpack or unpack)(bench.nodes, 1, contestant.nodes) }
    local redis_before, worker_before = redis_cpu_us(nodes), process_cpu_us(worker)
    local result = wrk(bench.nginx, contestant.path, connections, seconds)
    local completed = settle(bench.nginx)
    result.worker_us = (process_cpu_us(worker) - worker_before) / completed
    result.redis_us = (redis_cpu_us(nodes) - redis_before) / completed
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
    local result = wrk(bench.nginx, contestant.path, connections, 1, true)
    fail_on_errors(bench, contestant, result)
    settle(bench.nginx)
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

--- Printing -----------------------------------------------------------------------------------

local function machine()
    local model = read_file("/proc/cpuinfo"):match("model name%s*:%s*([^\n]+)") or "?"
    local kilobytes = tonumber(read_file("/proc/meminfo"):match("MemTotal:%s*(%d+)") or 0)
    return ("%d x %s, %.0f GiB, %s; %s, Redis %s, %s"):format(
        output_of("nproc"), model, kilobytes / 1024 ^ 2, output_of("uname -sr"):match("[^\n]+"),
        output_of("nginx -v"):match("nginx/%S+"),
        output_of("redis-server --version"):match("v=(%S+)"), output_of("wrk -v"):match("wrk %S+"))
end

local function label(row)
    local nodes = row.nodes == 1 and "1 node" or row.nodes .. " nodes"
    return ("%-7s %4d"):format(nodes, row.connections)
end

local RATIOS = "%-12s   %-20s %-20s %-20s %-20s %s"

local function print_ratios(rows)
    print("\n" .. RATIOS:format(
        "ours/by hand", "requests/s", "p50", "p99", "Redis CPU per lock",
        rows[1].of_ceiling and "of the ceiling" or ""))
    for _, row in ipairs(rows) do
        local ratios = row.ratios
        print(RATIOS:format(
            label(row), figures.show(ratios.requests_per_second), figures.show(ratios.p50),
            figures.show(ratios.p99), figures.show(ratios.redis_us),
            row.of_ceiling and figures.show(row.of_ceiling) or ""))
    end
end

local function print_contestant(name, medians)
    print(("%-21s %10.0f %12.0f %12.0f %16s %16.1f"):format(
        name, medians.requests_per_second, medians.p50, medians.p99,
        medians.redis_us == 0 and "" or ("%.1f"):format(medians.redis_us), medians.worker_us))
end

local function print_figures(rows, unit)
    print(("\n%-21s %10s %12s %12s %16s %16s"):format(
        "", unit, "p50, us", "p99, us", "Redis, us/lock", "worker, us/lock"))
    for index, row in ipairs(rows) do
        print_contestant(label(row) .. " ours", row.ours)
        print_contestant(label(row) .. " by hand", row.hand)
        local following = rows[index + 1]
        if row.none and not (following and following.connections == row.connections) then
            print_contestant(("no lock %4d"):format(row.connections), row.none)
        end
    end
end

local function print_goals(rows)
    for _, goal in ipairs(GOALS) do
        for _, row in ipairs(rows) do
            if row.nodes == goal.nodes and row.connections == GOAL_CONNECTIONS then
                local ratio = row.ratios[goal.field].median
                local met = goal.at_least and ratio >= goal.at_least
                    or goal.at_most and ratio <= goal.at_most
                print(("goal, %s, %s: %s %g: %.2f, %s"):format(
                    label(row), goal.what, goal.at_least and "at least" or "at most",
                    goal.at_least or goal.at_most, ratio, met and "met" or "MISSED"))
            end
        end
    end
end

local function print_all(bench, own, shared)
    print("\nEach request its own lock: acquire and release, one worker")
    print_ratios(own)
    print_figures(own, "requests/s")
    print("\nAll requests the one lock: each waits for its turn")
    print_ratios(shared)
    print_figures(shared, "handovers/s")
    print()
    print_goals(own)
    print(("Medians of %d rounds of %d s; in brackets the smallest and largest ratio."):format(
        bench.rounds, bench.seconds))
end

--- The whole ----------------------------------------------------------------------------------

local function parse(words)
    local options = command_line.parse(words, DEFAULTS, USAGE)
    if options.quick then
        options.connections, options.rounds, options.seconds = "128", 2, 1
    end
    return options
end

local function main()
    local options = parse(arg)
    print(machine())
    -- Every lock leaves its fence behind for a day; a run makes some hundred thousand.
    local nodes = servers.start(5, { config = { { "maxmemory", "2gb" } } })
    local bench = {
        nodes = nodes, nginx = start_nginx(nodes, not options.lease),
        node_counts = command_line.numbers(options.nodes),
        rounds = options.rounds, seconds = options.seconds,
    }
    local own = {}
    for _, connections in ipairs(command_line.numbers(options.connections)) do
        for _, row in ipairs(measure(bench, "own", connections)) do
            own[#own + 1] = row
        end
    end
    local shared = measure(bench, "shared", GOAL_CONNECTIONS)
    stop_nginx(bench.nginx)
    servers.stop_all()
    print_all(bench, own, shared)
    if options.json ~= "" then
        figures.write_json(options.json, { own = own, shared = shared })
    end
end

main()
