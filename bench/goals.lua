--- The goals beside what was measured, and where a peer is ahead.

local goals = {}

-- Of one table's column, for each row of ours. `over` names the column that it is divided by.
local GOALS = {
    { table = "one_node", field = "of_floor", at_least = 0.90,
        text = "one node, pairs/s of bare hiredis" },
    { table = "five_nodes", field = "of_floor", at_least = 0.90,
        text = "five nodes, pairs/s of bare hiredis" },
    { table = "one_stopped", field = "p99_of_healthy", at_most = 1.25,
        text = "one of five nodes stopped, p99 to that of five healthy ones" },
    { table = "processes", field = "next_trips", at_most = 4,
        text = "release to the next owner, another process, p50 in round trips" },
    { table = "processes", field = "next_p99_ms", at_most = 5,
        text = "release to the next owner, another process, p99 in ms" },
    { table = "waiters", field = "commands_1000", over = "commands_10", at_most = 1.1,
        text = "commands per hand-over with 1000 waiters to those with 10" },
    { table = "held_100000_long", field = "client_percent", at_most = 5,
        text = "100 000 locks, lease 30 s, % of a core" },
    { table = "held_100000_long", field = "bytes", at_most = 512,
        text = "100 000 locks, bytes each" },
}

local function is_ours(name)
    return name:find("^ours") ~= nil
end

local function is_floor(name)
    return name:find("^hiredis") ~= nil
end

local function by_name(tables)
    local list = {}
    for _, result in ipairs(tables) do
        list[result.name] = result
    end
    return list
end

local function figure_of(row, goal)
    local value = row[goal.field]
    local over = goal.over and row[goal.over]
    if not value or goal.over and not over then
        return nil
    end
    return value.median / (over and over.median or 1)
end

local function judge(goal, row)
    local figure = figure_of(row, goal)
    if not figure then
        return nil
    end
    local met = goal.at_least and figure >= goal.at_least or goal.at_most and figure <= goal.at_most
    return {
        text = goal.text, name = row.name, figure = figure, met = met and true or false,
        goal = ("%s %g"):format(goal.at_least and ">=" or "<=", goal.at_least or goal.at_most),
    }
end

--- Judges every goal whose table was measured.
-- @tparam {table,...} tables
-- @treturn {table,...} each `{ text, name, goal, figure, met }`
function goals.judge(tables)
    local named, list = by_name(tables), {}
    for _, goal in ipairs(GOALS) do
        for _, row in ipairs(named[goal.table] and named[goal.table].rows or {}) do
            if is_ours(row.name) then
                list[#list + 1] = judge(goal, row)
            end
        end
    end
    return list
end

-- The best median of a column among the rows that `belongs` chooses.
local function best(rows, column, belongs)
    local found
    for _, row in ipairs(rows) do
        local value = belongs(row.name) and row[column.field]
        local median = value and value.median
        local better = median and (not found
            or column.better == "more" and median > found.median
            or column.better == "less" and median < found.median)
        if better then
            found = { name = row.name, median = median }
        end
    end
    return found
end

--- Where the best peer is ahead of the best of ours.
-- @tparam {table,...} tables
-- @treturn {table,...} each `{ title, column, ours, peer }`, the latter two `{ name, median }`
function goals.behind(tables)
    local list = {}
    for _, result in ipairs(tables) do
        for _, column in ipairs(result.columns) do
            local ours = best(result.rows, column, is_ours)
            local peer = best(result.rows, column, function(name)
                return not is_ours(name) and not is_floor(name)
            end)
            if ours and peer and (column.better == "more" and peer.median > ours.median
                or column.better == "less" and peer.median < ours.median) then
                list[#list + 1] = {
                    title = result.title, column = column, ours = ours, peer = peer,
                }
            end
        end
    end
    return list
end

--- Both as lines of text, each of which can be an item of a list.
-- @tparam {table,...} tables
-- @treturn {string,...}
function goals.lines(tables)
    local lines = {}
    for _, one in ipairs(goals.judge(tables)) do
        lines[#lines + 1] = ("%s: %s: %.3g, goal %s, %s"):format(
            one.text, one.name, one.figure, one.goal, one.met and "met" or "MISSED")
    end
    for _, one in ipairs(goals.behind(tables)) do
        local format = one.column.format
        lines[#lines + 1] = ("behind a peer: %s, %s: %s " .. format .. ", %s " .. format):format(
            one.title, one.column.title, one.peer.name, one.peer.median,
            one.ours.name, one.ours.median)
    end
    return lines
end

return goals
