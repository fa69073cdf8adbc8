--- What is made of a benchmark's rounds: medians, quartiles, ratios within a round, JSON.

local figures = {}

local function sorted(values)
    table.sort(values)
    return values
end

-- The value at a share of a sorted list, between its neighbours in proportion.
local function quantile(list, share)
    local place = 1 + (#list - 1) * share
    local below = math.floor(place)
    local above = math.min(below + 1, #list)
    return list[below] + (list[above] - list[below]) * (place - below)
end

--- Median and quartiles.
-- @tparam {number,...} values
-- @treturn {median=number,low=number,high=number}
function figures.spread(values)
    local list = sorted { (table.unpack or unpack)(values) }
    return { median = quantile(list, 0.5), low = quantile(list, 0.25), high = quantile(list, 0.75) }
end

--- Median and quartiles of one field over the rounds that have it.
-- @tparam {table,...} rounds
-- @tparam string field
-- @treturn ?{median=number,low=number,high=number} nil if none has it
function figures.over_rounds(rounds, field)
    local values = {}
    for _, round in ipairs(rounds) do
        values[#values + 1] = round[field]
    end
    return values[1] and figures.spread(values)
end

--- The median of one field over the rounds.
-- @tparam {table,...} rounds
-- @tparam string field
-- @treturn number
function figures.median(rounds, field)
    return figures.over_rounds(rounds, field).median
end

--- How one contestant's figure stands to another's. Ratios are taken within a round, so that
-- whatever else the machine did in that round hits both.
-- @tparam {table,...} rounds
-- @tparam {table,...} others the other's rounds, as many
-- @tparam string field
-- @treturn ?{median=number,low=number,high=number} with the quartiles; nil if no round has both
function figures.ratio(rounds, others, field)
    local values = {}
    for index, round in ipairs(rounds) do
        local other = others[index] and others[index][field]
        values[#values + 1] = round[field] and other and round[field] / other
    end
    return values[1] and figures.spread(values)
end

--- A ratio as text, the quartiles in brackets.
-- @tparam {median=number,low=number,high=number} ratio
-- @treturn string
function figures.show(ratio)
    return ("%.2f (%.2f-%.2f)"):format(ratio.median, ratio.low, ratio.high)
end

--- The value below which that share of a list lies.
-- @tparam {number,...} list is sorted by this
-- @tparam number percent
-- @treturn number
function figures.percentile(list, percent)
    sorted(list)
    return list[math.min(#list, math.floor(#list * percent / 100) + 1)]
end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r" }

local function quote(text)
    return '"' .. text:gsub('[%c"\\]', function(byte)
        return ESCAPES[byte] or ("\\u%04x"):format(byte:byte())
    end) .. '"'
end

local function to_json(value)
    if type(value) == "number" then
        return value == value and math.abs(value) ~= math.huge and ("%.6g"):format(value) or "null"
    elseif type(value) ~= "table" then
        return type(value) == "string" and quote(value) or tostring(value)
    end
    local parts = {}
    for _, element in ipairs(value) do
        parts[#parts + 1] = to_json(element)
    end
    if #parts > 0 then
        return "[" .. table.concat(parts, ",\n") .. "]"
    end
    for name, field in pairs(value) do
        parts[#parts + 1] = quote(name) .. ":" .. to_json(field)
    end
    return "{" .. table.concat(sorted(parts), ",") .. "}"
end

--- Writes numbers, strings, booleans, and tables of them as JSON; what is no finite number is null.
-- @tparam string path
-- @tparam table results
function figures.write_json(path, results)
    local file = assert(io.open(path, "w"))
    file:write(to_json(results), "\n")
    file:close()
end

return figures
