--- All entrants take turns, round by round, each round beginning with another one. Who fails is out,
-- and the reason stands where its figures would.

local driver = require "driver"
local figures = require "figures"

local turns = {}

local SLOW_NS, FEW = 3e9, 3

--- Calls something for one entrant; an error puts it out.
-- @tparam table entrant gets `out`, the reason
-- @tparam function play is called with the entrant; returns a round's figures, or nil and the reason
-- @treturn ?table the figures
function turns.attempt(entrant, play)
    local ok, round, reason = pcall(play, entrant)
    if ok and round then
        return round
    end
    entrant.out = ok and (reason or "no reason") or tostring(round)
end

-- Plays a turn. One that takes long plays few.
local function take_turn(entrant, play)
    local from_ns = driver.now_ns()
    local figure = turns.attempt(entrant, play)
    entrant.is_slow = entrant.is_slow or driver.now_ns() - from_ns > SLOW_NS
    return figure
end

--- Plays all rounds; three for an entrant whose turns take more than three seconds.
-- @tparam {table,...} entrants each gets `rounds`, as many as were played, or `out`
-- @tparam number count of rounds
-- @tparam function play see `attempt`
function turns.play(entrants, count, play)
    for _, entrant in ipairs(entrants) do
        entrant.rounds = {}
    end
    for round = 1, count do
        for turn = 1, #entrants do
            local entrant = entrants[(round + turn) % #entrants + 1]
            if not entrant.out and (round <= FEW or not entrant.is_slow) then
                entrant.rounds[round] = take_turn(entrant, play)
            end
        end
    end
end

--- What was measured, as the rows of a table: for each column median and quartiles of the rounds.
-- @tparam {table,...} entrants
-- @tparam {table,...} columns
-- @tparam[opt] function extra is called with each row that has figures, and its entrant, to add to it
-- @treturn {table,...} each with `name`, and `out` or the columns' fields
function turns.rows(entrants, columns, extra)
    local rows = {}
    for index, entrant in ipairs(entrants) do
        local row = { name = entrant.name, out = entrant.out }
        for _, column in ipairs(row.out and {} or columns) do
            row[column.field] = figures.over_rounds(entrant.rounds, column.field)
        end
        if extra and not row.out then
            extra(row, entrant)
        end
        rows[index] = row
    end
    return rows
end

return turns
