--- Many callers want one name, and each that has it lets go of it at once: eight processes of one
-- caller, 64 callers in one process; and whether more waiters cost more.

local company = require "company"
local driver = require "driver"
local figures = require "figures"
local handovers = require "handovers"
local turns = require "turns"
local usage = require "usage"

local contended = {}

local PROCESSES, CALLERS = 8, 64
local SETTLE, MARGIN = 0.3, 0.1 -- shares of the time: until all have asked; before it is over
local DRAIN = 30 -- seconds until those who still waited when the time was over have had their turn

local COLUMNS = {
    { field = "per_second", title = "hand-overs/s", format = "%.0f", better = "more" },
    { field = "next_p50_ms", title = "to next owner p50, ms", format = "%.3f", better = "less" },
    { field = "next_p99_ms", title = "p99, ms", format = "%.2f", better = "less" },
    { field = "next_trips", title = "p50, round trips", format = "%.1f", better = "less" },
    { field = "wait_p99_ms", title = "wait p99, ms", format = "%.1f", better = "less" },
    { field = "commands", title = "commands/hand-over", format = "%.1f", better = "less" },
    { field = "fewest", title = "fewest grants/mean", format = "%.2f", better = "more" },
    { field = "most", title = "most grants/mean", format = "%.2f", better = "less" },
}

local function tell_all(entrant, line)
    for _, process in ipairs(entrant.drivers) do
        process:tell(line)
    end
end

local function gather_grants(entrant)
    local grants = {}
    for number, process in ipairs(entrant.drivers) do
        local answer, reason = company.answer(process, DRAIN)
        if not answer then
            return nil, reason
        end
        handovers.read(answer, number, grants)
    end
    return grants
end

-- What all drivers of an entrant do at once. The first part, until all have asked, does not count.
local function play(nodes, callers, line, seconds)
    return function(entrant)
        tell_all(entrant, line:format(driver.now_ns() + math.floor(seconds * 1e9)))
        driver.sleep(seconds * SETTLE)
        local commands, from_ns = usage.commands(nodes), driver.now_ns()
        driver.sleep(seconds * (1 - SETTLE - MARGIN))
        local until_ns = driver.now_ns()
        commands = usage.commands(nodes) - commands
        local grants, reason = gather_grants(entrant)
        if not grants then
            return nil, reason
        end
        local round
        round, reason = handovers.measure(grants, callers, from_ns, until_ns)
        if round and round.count > 0 then
            round.commands = commands / round.count
        end
        return round, reason
    end
end

-- A round trip takes longer in one round than in another: bare hiredis says how long.
local function play_beside_round_trips(nodes, callers, line, seconds)
    local contest = play(nodes, callers, line, seconds)
    return function(entrant)
        if entrant.name == company.FLOOR then
            local answer, reason = company.ask(entrant, "pairs " .. seconds / 10, seconds)
            return answer and { next_p50_ms = answer:match("^%S+ %S+ (%S+)") / 1000 }, reason
        end
        return contest(entrant)
    end
end

-- All but bare hiredis; where it is there, hand-overs are counted in round trips, too.
local function rows_of(entrants, columns)
    local others, floor = {}, entrants[1]
    for _, entrant in ipairs(entrants) do
        if entrant.name ~= company.FLOOR then
            others[#others + 1] = entrant
        end
    end
    return turns.rows(others, columns, function(row, entrant)
        if floor.name == company.FLOOR and not floor.out and row.next_p50_ms then
            row.next_trips = figures.ratio(entrant.rounds, floor.rounds, "next_p50_ms")
        end
    end)
end

local function long(options)
    return math.max(1, math.ceil(options.rounds / 5)), options.seconds * 10
end

local function measure(options, setting)
    local party = company.gather(options, 1, setting.name, setting.processes)
    local rounds, seconds = long(options)
    local callers = setting.processes * setting.callers
    local line = ("contend %d %%d"):format(setting.callers)
    local turn = play_beside_round_trips(party.nodes, callers, line, seconds)
    turns.play(party.entrants, 1, turn)
    turns.play(party.entrants, rounds, turn)
    party:leave()
    return {
        name = setting.name, title = setting.title, columns = COLUMNS,
        rows = rows_of(party.entrants, COLUMNS),
    }
end

local function crowd_columns(waiters)
    local columns = {}
    for _, count in ipairs(waiters) do
        columns[#columns + 1] = {
            field = "commands_" .. count, title = ("commands/hand-over, %d waiters"):format(count),
            format = "%.1f", better = "less",
        }
    end
    for _, count in ipairs(waiters) do
        columns[#columns + 1] = {
            field = "per_second_" .. count, title = ("hand-overs/s, %d waiters"):format(count),
            format = "%.0f", better = "more",
        }
    end
    return columns
end

-- Each caller has connections of its own, as in a process of its own.
local function play_crowds(nodes, waiters, seconds)
    return function(entrant)
        local round = {}
        for _, count in ipairs(waiters) do
            local line = ("contend %d %%d apart"):format(count + 1)
            local figure, reason = play(nodes, count + 1, line, seconds)(entrant)
            if not figure then
                return nil, reason
            end
            round["commands_" .. count] = figure.commands
            round["per_second_" .. count] = figure.per_second
        end
        return round
    end
end

local function measure_crowds(options)
    local party = company.gather(options, 1, "waiters")
    local _, seconds = long(options)
    local columns = crowd_columns(options.waiters)
    turns.play(party.entrants, 1, play_crowds(party.nodes, options.waiters, seconds))
    party:leave()
    return {
        name = "waiters", title = "One name, few waiters and many, each with its own connections",
        columns = columns, rows = rows_of(party.entrants, columns),
    }
end

--- Scene 4.
-- @tparam table options of the run
-- @treturn {table,...} tables
function contended.all(options)
    return {
        measure(options, {
            name = "processes", title = "One name, eight processes of one caller",
            processes = PROCESSES, callers = 1,
        }),
        measure(options, {
            name = "callers", title = "One name, 64 callers in one process",
            processes = 1, callers = CALLERS,
        }),
        measure_crowds(options),
    }
end

return contended
