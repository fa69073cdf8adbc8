--- 64 callers in one process, each with a name of its own: coroutines, promises, goroutines, threads.

local company = require "company"
local turns = require "turns"

local many_callers = {}

local CALLERS = 64

local COLUMNS = {
    { field = "pairs_per_second", title = "pairs/s", format = "%.0f", better = "more" },
    { field = "redis_us", title = "Redis CPU, us/pair", format = "%.2f", better = "less" },
    { field = "client_us", title = "own CPU, us/pair", format = "%.2f", better = "less" },
}

local function play(nodes, seconds)
    local line = ("many %d %g"):format(CALLERS, seconds)
    return function(entrant)
        local answer, used = company.ask_and_watch(entrant, nodes, line, seconds)
        if not answer then
            return nil, used
        end
        local count, took = answer:match("^(%d+) (%S+)$")
        return {
            pairs_per_second = count / took,
            client_us = used.client_us / count, redis_us = used.redis_us / count,
        }
    end
end

local function measure(options, node_count, name, title)
    local party = company.gather(options, node_count, "many")
    turns.play(party.entrants, 1, play(party.nodes, options.warmup))
    turns.play(party.entrants, options.rounds, play(party.nodes, options.seconds))
    party:leave()
    return {
        name = name, title = title, columns = COLUMNS,
        rows = turns.rows(party.entrants, COLUMNS),
    }
end

--- Scene 3.
-- @tparam table options of the run
-- @treturn {table,...} tables
function many_callers.all(options)
    return {
        measure(options, 1, "many_on_one", "One node, 64 callers in one process, 64 names"),
        measure(options, 5, "many_on_five", "Five nodes, 64 callers in one process, 64 names"),
    }
end

return many_callers
