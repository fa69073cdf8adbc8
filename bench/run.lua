--- Measures acquire+release pairs beside bare hiredis, on one private Redis server and on five.
-- All contestants stay alive and run in turns, in short rounds, so that whatever else the machine
-- does hits all of them alike. Ratios are taken within a round, then the median over the rounds.
--
--     lua5.4 bench/run.lua [--nodes 1,5] [--rounds 9] [--seconds 0.3] [--json FILE]

local root = arg[0]:match("^(.*)bench/run%.lua$") or "./"
package.path = root .. "examples/?.lua;" .. root .. "bench/?.lua;" .. package.path

local command_line = require "command_line"
local figures = require "figures"
local keeper = require "keeper"
local servers = require "servers"

local FLOOR = "build/bench/floor"
local SCRIPTS = "csrc/core/scripts"
local LUAS = { "lua5.4", "luajit" }

local USAGE = "usage: bench/run.lua [--nodes 1,5] [--rounds N] [--seconds S] [--json FILE]"
local DEFAULTS = { nodes = "1,5", rounds = 9, seconds = 0.3, json = "" }

local function file_exists(path)
    local file = io.open(path)
    if file then
        file:close()
    end
    return file ~= nil
end

--- Contestants --------------------------------------------------------------------------------

local function command_of_ours(lua, nodes)
    local words = {
        "export LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='build/" .. lua .. "/?.so;;'",
        "unset LUA_PATH_5_4 LUA_CPATH_5_4; exec", lua, "bench/ours.lua",
    }
    words[1] = words[1] .. ";"
    for _, node in ipairs(nodes) do
        words[#words + 1] = node.url
    end
    return table.concat(words, " ")
end

local function command_of_floor(mode, nodes)
    local words = { "exec", FLOOR, mode }
    for _, node in ipairs(nodes) do
        words[#words + 1] = node.port
    end
    return table.concat(words, " ")
end

local function list_commands(nodes)
    local list = {
        { name = "floor, plain", command = command_of_floor("plain", nodes) },
        { name = "floor, scripts", command = command_of_floor("scripts " .. SCRIPTS, nodes) },
    }
    for _, lua in ipairs(LUAS) do
        if file_exists(root .. "build/" .. lua .. "/redlock/core.so") then
            list[#list + 1] = { name = "ours, " .. lua, command = command_of_ours(lua, nodes) }
        else
            print(("ours, %s: not built (make LUA=%s)"):format(lua, lua))
        end
    end
    return list
end

-- Its answers come through a pipe with a name, on which we block: polling would cost the others.
local function start(contestant)
    local child = keeper.new()
    local pipe = keeper.quote(child.dir .. "/replies")
    child:start(
        ("mkfifo %s; cd %s; %s >%s"):format(
            pipe, keeper.quote(root), contestant.command, pipe),
        "test -p " .. pipe)
    assert(child:started(), contestant.name)
    contestant.child = child
    contestant.replies = assert(io.open(child.dir .. "/replies", "r"))
    contestant.rounds = {}
end

local function run(contestant, pairs_wanted)
    contestant.child:tell(("run %d"):format(pairs_wanted))
    local line = contestant.replies:read("*l")
    if not line then
        error(contestant.name .. " ended: " .. contestant.child:read("errors"), 0)
    end
    local count, seconds, p50, p99 = line:match("^(%S+) (%S+) (%S+) (%S+)$")
    return { pairs_per_second = count / seconds, p50 = tonumber(p50), p99 = tonumber(p99) }
end

local function warm_up(contestant, seconds)
    run(contestant, 200)
    local rate = run(contestant, 1000).pairs_per_second
    contestant.pairs = math.max(math.floor(rate * seconds), 100)
end

--- Measuring and printing ---------------------------------------------------------------------

local function summarise(contestants)
    local rows, floor, with_scripts = {}, contestants[1].rounds, contestants[2].rounds
    for index, contestant in ipairs(contestants) do
        rows[index] = {
            name = contestant.name,
            pairs_per_second = figures.median(contestant.rounds, "pairs_per_second"),
            acquire_p50_us = figures.median(contestant.rounds, "p50"),
            acquire_p99_us = figures.median(contestant.rounds, "p99"),
            to_floor_plain = figures.ratio(contestant.rounds, floor, "pairs_per_second"),
            to_floor_scripts = figures.ratio(contestant.rounds, with_scripts, "pairs_per_second"),
        }
    end
    return rows
end

local function measure(node_count, options)
    local contestants = list_commands(servers.start(node_count))
    for _, contestant in ipairs(contestants) do
        start(contestant)
        warm_up(contestant, options.seconds)
    end
    for round = 1, options.rounds do
        for turn = 1, #contestants do -- another one begins each round
            local contestant = contestants[(round + turn) % #contestants + 1]
            contestant.rounds[round] = run(contestant, contestant.pairs)
        end
    end
    for _, contestant in ipairs(contestants) do
        contestant.replies:close()
        contestant.child:close()
    end
    servers.stop_all()
    return summarise(contestants)
end

local function print_rows(node_count, rows)
    print(("\n%-18s %10s %12s %12s   %-19s %s"):format(
        node_count == 1 and "one node" or node_count .. " nodes",
        "pairs/s", "acquire p50", "acquire p99", "to floor, plain", "to floor, scripts"))
    for _, row in ipairs(rows) do
        print(("%-18s %10.0f %9.1f us %9.1f us   %-19s %s"):format(
            row.name, row.pairs_per_second, row.acquire_p50_us, row.acquire_p99_us,
            figures.show(row.to_floor_plain), figures.show(row.to_floor_scripts)))
    end
end

local function main()
    local options = command_line.parse(arg, DEFAULTS, USAGE)
    local results = {}
    for _, count in ipairs(command_line.numbers(options.nodes)) do
        local rows = measure(count, options)
        print_rows(count, rows)
        results[#results + 1] = { nodes = count, contestants = rows }
    end
    print(("\nMedians of %d rounds; in brackets the smallest and largest ratio."):format(
        options.rounds))
    if options.json ~= "" then
        figures.write_json(options.json, results)
    end
end

main()
