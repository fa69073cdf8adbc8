--- A table for people, as wide as their terminal.
-- @module redlock.command.columns
-- @local

local utf8 = require "redlock.command.utf8"

local columns = {}

local GAP = 2
local LEAST = 8 -- columns that one which may shrink keeps
local WANTED = 26 -- before it loses any, others are left out

local function widths_of(list, rows)
    local widths = {}
    for index, column in ipairs(list) do
        widths[index] = utf8.width(column.title)
        for _, row in ipairs(rows) do
            widths[index] = math.max(widths[index], utf8.width(row[column.field] or ""))
        end
    end
    return widths
end

local function total(widths)
    local sum = -GAP
    for _, width in ipairs(widths) do
        sum = sum + width + GAP
    end
    return sum
end

-- The columns that may be left out go, the one with the largest `drop` first.
local function drop(list, widths, room)
    while total(widths) > room do
        local victim
        for index, column in ipairs(list) do
            if column.drop and (not victim or column.drop > list[victim].drop) then
                victim = index
            end
        end
        if not victim then
            return
        end
        table.remove(list, victim)
        table.remove(widths, victim)
    end
end

-- Those that may shrink do, the widest first.
local function shrink(list, widths, room)
    local excess = total(widths) - room
    while excess > 0 do
        local widest
        for index, column in ipairs(list) do
            local is_wide = column.shrinks and widths[index] > LEAST
            if is_wide and (not widest or widths[index] > widths[widest]) then
                widest = index
            end
        end
        if not widest then
            return
        end
        widths[widest] = widths[widest] - 1
        excess = excess - 1
    end
end

local function pad(text, width, is_right)
    local missing = width - utf8.width(text)
    if missing < 0 then
        text = utf8.cut(text, width - 2) .. ".."
        missing = width - utf8.width(text)
    end
    local blanks = (" "):rep(missing)
    return is_right and blanks .. text or text .. blanks
end

local function line_of(list, widths, cell)
    local parts = {}
    for index, column in ipairs(list) do
        parts[index] = pad(cell(column), widths[index], column.right)
    end
    return (table.concat(parts, (" "):rep(GAP)):gsub(" +$", ""))
end

--- Lays out rows.
-- @tparam {table,...} list of columns: `title`; `field` of a row, printable text; `right`: aligned so;
-- `shrinks`: may be cut; `drop`: may be left out, the largest first
-- @tparam {table,...} rows
-- @tparam number room columns of the terminal
-- @treturn string the titles
-- @treturn {string,...} a line for each row
function columns.lay_out(list, rows, room)
    local chosen = {}
    for index, column in ipairs(list) do
        chosen[index] = column
    end
    local widths = widths_of(chosen, rows)
    local least = {}
    for index, column in ipairs(chosen) do
        least[index] = column.shrinks and math.min(widths[index], WANTED) or widths[index]
    end
    drop(chosen, least, room) -- rather than cut others to nothing
    widths = widths_of(chosen, rows)
    shrink(chosen, widths, room)
    local lines = {}
    for index, row in ipairs(rows) do
        lines[index] = line_of(chosen, widths, function(column) return row[column.field] or "" end)
    end
    return line_of(chosen, widths, function(column) return column.title end), lines
end

return columns
