--- Figures as people read them.
-- @module redlock.command.figures
-- @local

local figures = {}

local SIZES = { { 2 ^ 30, "GiB" }, { 2 ^ 20, "MiB" }, { 2 ^ 10, "KiB" } }

--- @tparam number seconds
-- @treturn string such as "0.12 ms" or "1.5 s"
function figures.time(seconds)
    if seconds >= 1 then
        return (seconds >= 100 and "%.0f s" or "%.3g s"):format(seconds)
    end
    local ms = seconds * 1000
    return (ms >= 10 and "%.0f ms" or ms >= 1 and "%.1f ms" or "%.2f ms"):format(ms)
end

--- @tparam number seconds
-- @treturn string in days; in hours below one
function figures.days(seconds)
    local days = math.floor(seconds / 86400)
    if days < 1 then
        return figures.count(math.floor(seconds / 3600), "hour")
    end
    return figures.count(days, "day")
end

--- @tparam number bytes
-- @treturn string such as "3.2 MiB"
function figures.bytes(bytes)
    for _, size in ipairs(SIZES) do
        if bytes >= size[1] then
            local number = bytes / size[1]
            return (number >= 10 and "%.0f %s" or "%.1f %s"):format(number, size[2])
        end
    end
    return ("%.0f bytes"):format(bytes)
end

--- @treturn number the one in the middle; of a sorted copy
function figures.median(values)
    local sorted = {}
    for index, value in ipairs(values) do
        sorted[index] = value
    end
    table.sort(sorted)
    local middle = math.floor((#sorted + 1) / 2)
    return #sorted % 2 == 1 and sorted[middle] or (sorted[middle] + sorted[middle + 1]) / 2
end

--- @tparam number count
-- @tparam string noun
-- @treturn string "1 node", "3 nodes"
function figures.count(count, noun)
    return ("%d %s%s"):format(count, noun, count == 1 and "" or "s")
end

--- @tparam {string,...} list
-- @treturn string "a, b and c"
function figures.list(list)
    if #list < 2 then
        return list[1] or ""
    end
    return table.concat(list, ", ", 1, #list - 1) .. " and " .. list[#list]
end

return figures
