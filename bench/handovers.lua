--- What happened to a lock for which several callers contended, made of everybody's grants.

local figures = require "figures"

local handovers = {}

--- Reads a driver's answer: for each grant the caller, when it asked, when it had the lock, when it
-- began to release it.
-- @tparam string answer
-- @tparam number process the driver's number
-- @tparam {table,...} grants are appended
function handovers.read(answer, process, grants)
    for caller, asked, acquired, released in answer:gmatch("(%d+) (%d+) (%d+) (%d+)") do
        grants[#grants + 1] = {
            caller = process .. "/" .. caller,
            asked = tonumber(asked), acquired = tonumber(acquired), released = tonumber(released),
        }
    end
end

-- In order of ownership, without what was granted too early or too late.
local function in_time(grants, from_ns, until_ns)
    local list = {}
    for _, grant in ipairs(grants) do
        if grant.acquired >= from_ns and grant.acquired < until_ns then
            list[#list + 1] = grant
        end
    end
    table.sort(list, function(a, b) return a.acquired < b.acquired end)
    return list
end

-- Milliseconds from when an owner lets go for the first time until another has the lock: one that
-- takes it again and again keeps the others waiting.
local function measure_changes(list)
    local milliseconds, let_go = {}, nil
    for index, grant in ipairs(list) do
        local before = list[index - 1]
        if before and before.released > grant.acquired then
            return nil, "two owners at the same time"
        elseif before and before.caller ~= grant.caller then
            milliseconds[#milliseconds + 1] = (grant.acquired - let_go) / 1e6
            let_go = nil
        end
        let_go = let_go or grant.released
    end
    return milliseconds
end

-- The fewest and the most grants of a caller, as shares of the mean.
local function shares(list, callers)
    local counts, fewest, most, served = {}, math.huge, 0, 0
    for _, grant in ipairs(list) do
        counts[grant.caller] = (counts[grant.caller] or 0) + 1
    end
    for _, count in pairs(counts) do
        fewest, most, served = math.min(fewest, count), math.max(most, count), served + 1
    end
    if #list == 0 then
        return nil
    end
    local mean = #list / callers
    return (served < callers and 0 or fewest) / mean, most / mean
end

--- The figures of one turn.
-- @tparam {table,...} grants
-- @tparam number callers how many contended
-- @tparam number from_ns what was granted earlier
-- @tparam number until_ns or later does not count
-- @treturn[1] table without what there is none of
-- @treturn[2] nil
-- @treturn[2] string why there are none
function handovers.measure(grants, callers, from_ns, until_ns)
    local list = in_time(grants, from_ns, until_ns)
    local changes, reason = measure_changes(list)
    if not changes then
        return nil, reason
    end
    local waits = {}
    for index, grant in ipairs(list) do
        waits[index] = (grant.acquired - grant.asked) / 1e6
    end
    local fewest, most = shares(list, callers)
    return {
        count = #changes,
        per_second = #changes / ((until_ns - from_ns) / 1e9),
        grants_per_second = #list / ((until_ns - from_ns) / 1e9),
        -- nil where the lock never changed hands
        next_p50_ms = figures.percentile(changes, 50),
        next_p99_ms = figures.percentile(changes, 99),
        wait_p99_ms = figures.percentile(waits, 99),
        fewest = fewest, most = most,
    }
end

return handovers
