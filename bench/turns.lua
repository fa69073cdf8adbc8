--- All entrants take turns, round by round, each round beginning with another one. Who fails is out,
-- and the reason stands where its figures would.

local turns = {}

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

--- Plays all rounds.
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
            if not entrant.out then
                entrant.rounds[round] = turns.attempt(entrant, play)
            end
        end
    end
end

return turns
