--- Writes what a run has measured into a folder: results.json, results.txt, results.md, and plots.

local figures = require "figures"
local goals = require "goals"
local keeper = require "keeper"
local hardware = require "hardware"
local plots = require "plots"
local shell = require "shell"
local tables = require "tables"

local results = {}

--- What a run is about: machine, programs, the command.
-- @tparam table options of the run
-- @treturn table
function results.describe(options)
    local versions = {}
    for index, contestant in ipairs(options.contestants) do
        versions[index] = {
            name = contestant.name, version = contestant.version or "?",
            absent = contestant.absent,
        }
    end
    return {
        machine = hardware.describe(),
        redis = shell.output("redis-server --version"):match("v=(%S+)"),
        processors = options.place.text, date = os.date("!%Y-%m-%d %H:%M UTC"),
        command = options.command, rounds = options.rounds, seconds = options.seconds,
        versions = versions,
    }
end

--- The same in lines of text.
-- @tparam table about
-- @treturn string
function results.heading(about)
    local versions, absent = {}, {}
    for _, one in ipairs(about.versions) do
        local list = one.absent and absent or versions
        list[#list + 1] = ("%s %s"):format(one.name, one.version)
            .. (one.absent and ": " .. one.absent or "")
    end
    return table.concat({
        about.date .. ": " .. about.command,
        about.machine,
        about.processors,
        "Redis " .. about.redis .. "; " .. table.concat(versions, "; "),
        "Absent: " .. (#absent > 0 and table.concat(absent, "; ") or "nobody"),
        ("Medians of %d rounds of %g s (fewer and longer ones in scenes 4 and 6), in brackets the "
            .. "quartiles."):format(about.rounds, about.seconds),
    }, "\n") .. "\n"
end

local function write(path, parts)
    local file = assert(io.open(path, "w"))
    file:write(table.concat(parts, "\n"))
    file:close()
end

-- In Markdown, seen from docs/.
local function markdown(about, list, pictures)
    local parts = { (results.heading(about):gsub("\n", "  \n")) }
    for _, line in ipairs(goals.lines(list)) do
        parts[#parts + 1] = "* " .. line
    end
    parts[#parts + 1] = ""
    for _, picture in ipairs(pictures) do
        parts[#parts + 1] = ("![%s](../bench/results/%s)\n"):format(picture.title, picture.name)
    end
    for _, result in ipairs(list) do
        parts[#parts + 1] = tables.markdown(result)
    end
    return parts
end

--- Writes all files; an older run's are replaced.
-- @tparam string folder is made if need be
-- @tparam table about
-- @tparam {table,...} list of tables
-- @treturn ?string what could not be drawn
function results.write(folder, about, list)
    assert(shell.output("mkdir -p " .. keeper.quote(folder)) == "", folder)
    local pictures, complaint = plots.draw(list, folder)
    local text = { results.heading(about) }
    for _, result in ipairs(list) do
        text[#text + 1] = tables.text(result)
    end
    text[#text + 1] = table.concat(goals.lines(list), "\n") .. "\n"
    write(folder .. "/results.txt", text)
    write(folder .. "/results.md", markdown(about, list, pictures))
    figures.write_json(folder .. "/results.json", {
        about = about, tables = list, goals = goals.judge(list),
    })
    return complaint
end

return results
