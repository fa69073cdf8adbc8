--- Which of several words somebody may have meant.
-- @module redlock.command.nearest
-- @local

local nearest = {}

-- How many letters have to be put in, taken out or changed.
local function distance(one, other)
    local row = {}
    for column = 0, #other do
        row[column] = column
    end
    for line = 1, #one do
        local corner
        corner, row[0] = row[0], line
        for column = 1, #other do
            local change = corner + (one:byte(line) == other:byte(column) and 0 or 1)
            corner = row[column]
            row[column] = math.min(change, corner + 1, row[column - 1] + 1)
        end
    end
    return row[#other]
end

--- The word that is like the given one.
-- @tparam string word
-- @tparam {string,...} known
-- @treturn ?string nil if none is
function nearest.of(word, known)
    local best, least = nil, math.ceil(#word / 3) + 1
    for _, candidate in ipairs(known) do
        local far = distance(word, candidate)
        local begins = #word >= 2 and candidate:sub(1, #word) == word
        if begins then
            far = math.min(far, 1)
        end
        if far < least then
            best, least = candidate, far
        end
    end
    return best
end

return nearest
