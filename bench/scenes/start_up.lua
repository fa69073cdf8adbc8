--- From the start of a process until it holds its first lock.

local company = require "company"
local contestants = require "contestants"
local driver = require "driver"
local turns = require "turns"

local start_up = {}

local COLUMNS = {
    { field = "ms", title = "start to first lock, ms", format = "%.1f", better = "less" },
}
local PATIENCE = 20 -- seconds

local function play(options, nodes)
    return function(entrant)
        nodes[1]:cli("FLUSHALL", "SYNC") -- the last one has not released it
        local from_ns = driver.now_ns()
        local process = driver.start(company.command(entrant.contestant, nodes),
            options.place.client)
        process:tell("first")
        local answer, reason = company.answer(process, PATIENCE)
        local ms = (driver.now_ns() - from_ns) / 1e6
        process:stop()
        return answer and { ms = ms }, reason
    end
end

--- Scene 6.
-- @tparam table options of the run
-- @treturn {table,...} tables
function start_up.all(options)
    local nodes, entrants = company.start_nodes(options, 1), {}
    for _, contestant in ipairs(options.contestants) do
        if contestants.plays(contestant, "first") then
            entrants[#entrants + 1] = { name = contestant.name, contestant = contestant }
        end
    end
    turns.play(entrants, 1, play(options, nodes))
    turns.play(entrants, math.ceil(options.rounds / 3), play(options, nodes))
    nodes[1]:close()
    return { {
        name = "start_up", title = "Start-up", columns = COLUMNS,
        rows = turns.rows(entrants, COLUMNS),
    } }
end

return start_up
