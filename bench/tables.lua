--- The results as tables, for a terminal and in Markdown.

local tables = {}

local function cell(column, value)
    if not value then
        return "-"
    end
    local text = column.format:format(value.median)
    local low, high = column.format:format(value.low), column.format:format(value.high)
    return (low == text and high == text) and text or ("%s (%s-%s)"):format(text, low, high)
end

local function cells_of(result, row)
    local cells = { row.name }
    for _, column in ipairs(result.columns) do
        cells[#cells + 1] = cell(column, row[column.field])
    end
    return cells
end

-- All lines of a table: its head, then each contestant that has figures.
local function lines_of(result)
    local head = { "" }
    for _, column in ipairs(result.columns) do
        head[#head + 1] = column.title
    end
    local lines = { head }
    for _, row in ipairs(result.rows) do
        if not row.out then
            lines[#lines + 1] = cells_of(result, row)
        end
    end
    return lines
end

local function widths_of(lines)
    local widths = {}
    for _, cells in ipairs(lines) do
        for index, text in ipairs(cells) do
            widths[index] = math.max(widths[index] or 0, #text)
        end
    end
    return widths
end

local function pad(text, width, left)
    local blanks = (" "):rep(width - #text)
    return left and text .. blanks or blanks .. text
end

--- One table as plain text.
-- @tparam table result
-- @treturn string
function tables.text(result)
    local lines = lines_of(result)
    local widths, text = widths_of(lines), { result.title }
    for _, cells in ipairs(lines) do
        local padded = {}
        for index, content in ipairs(cells) do
            padded[index] = pad(content, widths[index], index == 1)
        end
        text[#text + 1] = table.concat(padded, "  "):gsub("%s+$", "")
    end
    for _, row in ipairs(result.rows) do
        if row.out then
            text[#text + 1] = ("%s: %s"):format(row.name, row.out)
        end
    end
    return table.concat(text, "\n") .. "\n"
end

--- One table in Markdown.
-- @tparam table result
-- @treturn string
function tables.markdown(result)
    local text = { "### " .. result.title, "" }
    for index, cells in ipairs(lines_of(result)) do
        text[#text + 1] = "| " .. table.concat(cells, " | ") .. " |"
        if index == 1 then
            text[#text + 1] = "|---|" .. ("--:|"):rep(#cells - 1)
        end
    end
    text[#text + 1] = ""
    for _, row in ipairs(result.rows) do
        if row.out then
            text[#text + 1] = ("* %s: %s"):format(row.name, row.out)
        end
    end
    return table.concat(text, "\n") .. "\n"
end

return tables
