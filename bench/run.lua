--- Measures acquire+release pairs beside bare hiredis, on one private Redis server and on five.
-- All contestants stay alive and run in turns, in short rounds, so that whatever else the machine
-- does hits all of them alike. Ratios are taken within a round, then the median over the rounds.
--
--     lua5.4 bench/run.lua [--nodes 1,5] [--rounds 9] [--seconds 0.3] [--json FILE]

local root = arg[0]:match("^(.*)bench/run%.lua$") or "./"
package.path = root .. "examples/?.lua;" .. package.path

local keeper = require "keeper"
local servers = require "servers"

local FLOOR = "build/bench/floor"
local SCRIPTS = "csrc/core/scripts"
local LUAS = { "lua5.4", "luajit" }

local function parse_options(words)
    local options = { nodes = "1,5", rounds = 9, seconds = 0.3 }
    for index = 1, #words, 2 do
        local name, value = words[index]:match("^%-%-(%a+)$"), words[index + 1]
        if not name or not value or not (options[name] or name == "json") then
            error("usage: bench/run.lua [--nodes 1,5] [--rounds N] [--seconds S] [--json FILE]", 0)
        end
        options[name] = type(options[name]) == "number" and assert(tonumber(value)) or value
    end
    return options
end

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

local function sorted(values)
    table.sort(values)
    return values
end

local function median(values)
    local list = sorted(values)
    local middle = math.floor((#list + 1) / 2)
    return #list % 2 == 1 and list[middle] or (list[middle] + list[middle + 1]) / 2
end

local function column(contestant, field)
    local values = {}
    for index, round in ipairs(contestant.rounds) do
        values[index] = round[field]
    end
    return values
end

local function ratio(contestant, floor)
    local values = {}
    for index, round in ipairs(contestant.rounds) do
        values[index] = round.pairs_per_second / floor.rounds[index].pairs_per_second
    end
    sorted(values)
    return { median = median(values), min = values[1], max = values[#values] }
end

local function summarise(contestants)
    local rows = {}
    for index, contestant in ipairs(contestants) do
        rows[index] = {
            name = contestant.name,
            pairs_per_second = median(column(contestant, "pairs_per_second")),
            acquire_p50_us = median(column(contestant, "p50")),
            acquire_p99_us = median(column(contestant, "p99")),
            to_floor_plain = ratio(contestant, contestants[1]),
            to_floor_scripts = ratio(contestant, contestants[2]),
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
    local function show(of)
        return ("%.2f (%.2f-%.2f)"):format(of.median, of.min, of.max)
    end
    for _, row in ipairs(rows) do
        print(("%-18s %10.0f %9.1f us %9.1f us   %-19s %s"):format(
            row.name, row.pairs_per_second, row.acquire_p50_us, row.acquire_p99_us,
            show(row.to_floor_plain), show(row.to_floor_scripts)))
    end
end

local function to_json(value)
    if type(value) ~= "table" then
        return type(value) == "number" and ("%.6g"):format(value) or ("%q"):format(value)
    end
    local parts = {}
    for _, element in ipairs(value) do
        parts[#parts + 1] = to_json(element)
    end
    if #parts > 0 then
        return "[" .. table.concat(parts, ",") .. "]"
    end
    for name, field in pairs(value) do
        parts[#parts + 1] = ("%q:%s"):format(name, to_json(field))
    end
    return "{" .. table.concat(sorted(parts), ",") .. "}"
end

local function write_json(path, results)
    local file = assert(io.open(path, "w"))
    file:write(to_json(results), "\n")
    file:close()
end

local function main()
    local options = parse_options(arg)
    local results = {}
    for count in options.nodes:gmatch("%d+") do
        local rows = measure(tonumber(count), options)
        print_rows(tonumber(count), rows)
        results[#results + 1] = { nodes = tonumber(count), contestants = rows }
    end
    print(("\nMedians of %d rounds; in brackets the smallest and largest ratio."):format(
        options.rounds))
    if options.json then
        write_json(options.json, results)
    end
end

main()
