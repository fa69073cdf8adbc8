--- Draws the results as bar charts, SVG, with gnuplot. An error bar goes from quartile to quartile.

local plots = {}

-- Each chart: file, title, unit, whether the axis is logarithmic, and its series: a table's name and a
-- column's field, and what it is called.
local CHARTS = {
    {
        file = "pairs", title = "Acquire and release, one caller", unit = "pairs/s",
        { "one_node", "pairs_per_second", "one node" },
        { "five_nodes", "pairs_per_second", "five nodes" },
    },
    {
        file = "trouble", title = "Acquire on five nodes, 99th percentile", unit = "us", log = true,
        { "five_nodes", "acquire_p99_us", "all are well" },
        { "one_stopped", "acquire_p99_us", "one is stopped" },
        { "one_killed", "acquire_p99_us", "one is killed" },
    },
    {
        file = "many", title = "64 callers in one process, 64 names", unit = "pairs/s",
        { "many_on_one", "pairs_per_second", "one node" },
        { "many_on_five", "pairs_per_second", "five nodes" },
    },
    {
        file = "next_owner", title = "From release to the next owner", unit = "ms", log = true,
        { "processes", "next_p50_ms", "8 processes, median" },
        { "processes", "next_p99_ms", "8 processes, p99" },
        { "callers", "next_p50_ms", "64 callers, median" },
        { "callers", "next_p99_ms", "64 callers, p99" },
    },
    {
        file = "kept_alive", title = "Locks kept alive, processor time of client and Redis",
        unit = "% of a core", log = true,
        { "held_10000", "client_percent", "10 000, client" },
        { "held_10000", "redis_percent", "10 000, Redis" },
        { "held_100000", "client_percent", "100 000, client" },
        { "held_100000", "redis_percent", "100 000, Redis" },
    },
    {
        file = "start_up", title = "From the start of a process to its first lock", unit = "ms",
        log = true,
        { "start_up", "ms", "start-up" },
    },
}

local HEAD = [[
set terminal svg size 900,480 font "sans-serif,12" background "white"
set output %s
set title %s
set ylabel %s
set style data histograms
set style histogram errorbars gap 1.5 lw 1
set style fill solid 0.8 border -1
set boxwidth 0.9
set grid ytics
set xtics rotate by -30 nomirror
set ytics nomirror
set border 3
set key outside top center horizontal
set format y "%%g"
set datafile missing "-"
%s
]]

local function by_name(tables)
    local list = {}
    for _, result in ipairs(tables) do
        list[result.name] = result
    end
    return list
end

-- Only those series whose table was measured.
local function series_of(chart, tables)
    local list = {}
    for _, one in ipairs(chart) do
        if tables[one[1]] then
            list[#list + 1] = { rows = tables[one[1]].rows, field = one[2], title = one[3] }
        end
    end
    return list
end

local function find_row(rows, name)
    for _, row in ipairs(rows) do
        if row.name == name then
            return row
        end
    end
end

-- Names in the order of the tables, of those that have a figure in any series.
local function names_of(series)
    local names, seen = {}, {}
    for _, one in ipairs(series) do
        for _, row in ipairs(one.rows) do
            if row[one.field] and not seen[row.name] then
                seen[row.name] = true
                names[#names + 1] = row.name
            end
        end
    end
    return names
end

local function data_line(name, series)
    local cells = { ('"%s"'):format(name) }
    for _, one in ipairs(series) do
        local row = find_row(one.rows, name)
        local value = row and row[one.field]
        cells[#cells + 1] = value and ("%g %g %g"):format(value.median, value.low, value.high)
            or "- - -"
    end
    return table.concat(cells, " ")
end

local function plot_command(series)
    local parts = {}
    for index, one in ipairs(series) do
        local column = 3 * index - 1
        parts[index] = ("$data using %d:%d:%d:xtic(1) title '%s'"):format(
            column, column + 1, column + 2, one.title)
    end
    return "plot " .. table.concat(parts, ", ")
end

local function script_of(chart, series, path)
    local lines = { HEAD:format(
        ("'%s'"):format(path), ("'%s'"):format(chart.title), ("'%s'"):format(chart.unit),
        chart.log and "set logscale y" or "set yrange [0:*]") }
    lines[#lines + 1] = "$data << END"
    for _, name in ipairs(names_of(series)) do
        lines[#lines + 1] = data_line(name, series)
    end
    lines[#lines + 1] = "END"
    lines[#lines + 1] = plot_command(series)
    return table.concat(lines, "\n") .. "\n"
end

--- Draws every chart for which there are figures.
-- @tparam {table,...} tables
-- @tparam string folder
-- @treturn {string,...} the names of the files
-- @treturn ?string what gnuplot complained about
function plots.draw(tables, folder)
    local named, files = by_name(tables), {}
    for _, chart in ipairs(CHARTS) do
        local series = series_of(chart, named)
        if #series > 0 and #names_of(series) > 0 then
            local file = chart.file .. ".svg"
            local pipe = assert(io.popen("exec gnuplot -", "w"))
            pipe:write(script_of(chart, series, folder .. "/" .. file))
            if pipe:close() then
                files[#files + 1] = { name = file, title = chart.title }
            else
                return files, "no plots: gnuplot is missing, or failed"
            end
        end
    end
    return files
end

return plots
