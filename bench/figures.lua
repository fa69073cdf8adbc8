--- What is made of a benchmark's rounds: medians, ratios within a round, JSON.

local figures = {}

local function sorted(values)
    table.sort(values)
    return values
end

local function median(values)
    local list = sorted(values)
    local middle = math.floor((#list + 1) / 2)
    return #list % 2 == 1 and list[middle] or (list[middle] + list[middle + 1]) / 2
end

--- The median of one field over the rounds.
-- @tparam {table,...} rounds
-- @tparam string field
-- @treturn number
function figures.median(rounds, field)
    local values = {}
    for index, round in ipairs(rounds) do
        values[index] = round[field]
    end
    return median(values)
end

--- How one contestant's figure stands to another's. Ratios are taken within a round, so that
-- whatever else the machine did in that round hits both.
-- @tparam {table,...} rounds
-- @tparam {table,...} others the other's rounds, as many
-- @tparam string field
-- @treturn {median=number,min=number,max=number}
function figures.ratio(rounds, others, field)
    local values = {}
    for index, round in ipairs(rounds) do
        values[index] = round[field] / others[index][field]
    end
    sorted(values)
    return { median = median(values), min = values[1], max = values[#values] }
end

--- A ratio as text, the smallest and the largest in brackets.
-- @tparam {median=number,min=number,max=number} ratio
-- @treturn string
function figures.show(ratio)
    return ("%.2f (%.2f-%.2f)"):format(ratio.median, ratio.min, ratio.max)
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

--- Writes numbers, plain strings, and tables of them as JSON.
-- @tparam string path
-- @tparam table results
function figures.write_json(path, results)
    local file = assert(io.open(path, "w"))
    file:write(to_json(results), "\n")
    file:close()
end

return figures
