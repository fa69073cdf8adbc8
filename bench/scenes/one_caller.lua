--- One caller acquires and releases: on one node, on five, and on five of which one is stopped, then
-- killed.

local company = require "company"
local figures = require "figures"
local turns = require "turns"

local one_caller = {}

local ANSWER = "^(%d+) (%S+) (%S+) (%S+)$"

local function play(nodes, seconds)
    return function(entrant)
        local answer, used = company.ask_and_watch(entrant, nodes, "pairs " .. seconds, seconds)
        if not answer then
            return nil, used
        end
        local count, took, p50, p99 = answer:match(ANSWER)
        return {
            pairs_per_second = count / took,
            acquire_p50_us = tonumber(p50), acquire_p99_us = tonumber(p99),
            client_us = used.client_us / count, redis_us = used.redis_us / count,
        }
    end
end

local COLUMNS = {
    { field = "pairs_per_second", title = "pairs/s", format = "%.0f", better = "more" },
    { field = "acquire_p50_us", title = "acquire p50, us", format = "%.1f", better = "less" },
    { field = "acquire_p99_us", title = "acquire p99, us", format = "%.1f", better = "less" },
    { field = "client_us", title = "own CPU, us/pair", format = "%.1f", better = "less" },
    { field = "redis_us", title = "Redis CPU, us/pair", format = "%.1f", better = "less" },
}

local function with_columns(...)
    local columns = { ... }
    for index, column in ipairs(COLUMNS) do
        table.insert(columns, index, column)
    end
    return columns
end

-- Neither compares one contestant with another, beyond what the other columns do.
local OF_FLOOR = { field = "of_floor", title = "of hiredis", format = "%.2f" }
local OF_HEALTHY = { field = "p99_of_healthy", title = "p99 to healthy", format = "%.2f" }

local function compare_with_floor(entrants)
    local floor = entrants[1]
    return function(row, entrant)
        if floor.name == company.FLOOR and not floor.out then
            row.of_floor = figures.ratio(entrant.rounds, floor.rounds, "pairs_per_second")
        end
    end
end

-- Some need a while until they are as fast as they get, or know that a node is out of reach.
local function measure(entrants, nodes, options)
    turns.play(entrants, 1, play(nodes, options.warmup))
    turns.play(entrants, options.rounds, play(nodes, options.seconds))
end

local function healthy(party, options, name, title)
    measure(party.entrants, party.nodes, options)
    return {
        name = name, title = title, columns = with_columns(OF_FLOOR),
        rows = turns.rows(party.entrants, COLUMNS, compare_with_floor(party.entrants)),
    }
end

--- Scene 1.
-- @tparam table options of the run
-- @treturn {table,...} tables
function one_caller.on_one_node(options)
    local party = company.gather(options, 1, "pairs")
    local result = healthy(party, options, "one_node", "One node, one caller")
    party:leave()
    return { result }
end

-- Bare hiredis would wait for the missing node for ever.
local function without_floor(entrants)
    local others = {}
    for _, entrant in ipairs(entrants) do
        if not entrant.name:find("^hiredis") then
            others[#others + 1] = entrant
        end
    end
    return others
end

local function troubled(party, options, name, title, healthy_p99)
    local entrants = without_floor(party.entrants)
    party:readmit(entrants, options)
    measure(entrants, party.nodes, options)
    return {
        name = name, title = title, columns = with_columns(OF_HEALTHY),
        rows = turns.rows(entrants, COLUMNS, function(row)
            row.p99_of_healthy = healthy_p99[row.name] and figures.spread {
                row.acquire_p99_us.median / healthy_p99[row.name],
            }
        end),
    }
end

--- Scene 2.
-- @tparam table options of the run
-- @treturn {table,...} tables
function one_caller.on_five_nodes(options)
    local party = company.gather(options, 5, "pairs")
    local results = { healthy(party, options, "five_nodes", "Five nodes, one caller") }
    local p99 = {}
    for _, row in ipairs(results[1].rows) do
        p99[row.name] = row.acquire_p99_us and row.acquire_p99_us.median
    end
    local last = party.nodes[5]
    last:pause()
    results[2] = troubled(party, options, "one_stopped", "Five nodes, one of them stopped", p99)
    last:resume()
    last:kill()
    results[3] = troubled(party, options, "one_killed", "Five nodes, one of them killed", p99)
    party:leave()
    return results
end

return one_caller
