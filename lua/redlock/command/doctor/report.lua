--- An examination as text and as JSON.
-- @module redlock.command.doctor.report
-- @local

local findings = require "redlock.command.doctor.findings"
local json = require "redlock.command.json"
local terminal = require "redlock.command.terminal"
local fill = require "redlock.command.fill"
local figures = require "redlock.command.figures"

local report = {}

local COLUMN = 11 -- where texts begin
local LEAST_WIDTH = 50

local colours = {
    fine = "green", note = "blue", unknown = "yellow", warning = "yellow", problem = "red",
}
local titles = { unknown = "not seen" }

local function write_entry(output, colour, title, text, width)
    output:write("  ", output:paint(colour, title), (" "):rep(COLUMN - 2 - #title),
        fill(terminal.printable(text), width - COLUMN, (" "):rep(COLUMN)), "\n")
end

local function write_finding(output, finding, width)
    local severity = finding.severity
    write_entry(output, colours[severity], titles[severity] or severity, finding.text, width)
    if finding.advice then
        write_entry(output, "dim", "  do", finding.advice, width)
    end
end

-- What is wrong first, the gravest at the top; what is fine in one paragraph.
local function write_group(output, title, list, width)
    output:write(output:paint("bold", terminal.printable(title)), "\n")
    local fine = {}
    for index = #findings.severities, 1, -1 do
        local severity = findings.severities[index]
        for _, finding in ipairs(list) do
            if finding.severity == severity and severity == "fine" then
                fine[#fine + 1] = finding.text
            elseif finding.severity == severity then
                write_finding(output, finding, width)
            end
        end
    end
    if fine[1] then
        write_entry(output, colours.fine, "fine", table.concat(fine, "; "), width)
    end
    output:write "\n"
end

local function lists_of(result)
    local lists = { result.set }
    for _, node in ipairs(result.nodes) do
        lists[#lists + 1] = node.findings
    end
    return lists
end

local function count(lists, severity, noun)
    local number = findings.count(lists, severity)
    return number > 0 and figures.count(number, noun) or nil
end

local function verdict(lists)
    local parts = {}
    parts[#parts + 1] = count(lists, "problem", "problem")
    parts[#parts + 1] = count(lists, "warning", "warning")
    local unseen = findings.count(lists, "unknown")
    if unseen > 0 then
        parts[#parts + 1] = unseen == 1 and "1 thing that could not be looked at"
            or unseen .. " things that could not be looked at"
    end
    return parts[1] and figures.list(parts) or "all is well"
end

--- The exit code: 0, 1 or 2.
-- @treturn number
function report.exit_code(result)
    return findings.exit_code(findings.worst(lists_of(result)))
end

--- Writes it for people.
-- @tparam table result of examination.run()
-- @tparam Terminal output
function report.text(result, output)
    local width = math.max(output:width(), LEAST_WIDTH)
    for _, node in ipairs(result.nodes) do
        write_group(output, node.name, node.findings, width)
    end
    local title = #result.nodes == 1 and "Its locks" or "The %d nodes together"
    write_group(output, title:format(#result.nodes), result.set, width)
    local lists = lists_of(result)
    local worst = findings.worst(lists)
    local colour = colours[worst == "note" and "fine" or worst]
    output:write(output:paint("bold", "Verdict: "), output:paint(colour, verdict(lists)), "\n")
end

local function copy(list)
    local copied = {}
    for index, finding in ipairs(list) do
        copied[index] = finding
    end
    return json.array(copied)
end

--- Writes it for programs: one object in one line.
function report.json(result, output)
    local lists = lists_of(result)
    local worst = findings.worst(lists)
    local nodes = {}
    for index, node in ipairs(result.nodes) do
        nodes[index] = { node = node.name, findings = copy(node.findings) }
    end
    output:write(json.write {
        verdict = worst,
        exit = findings.exit_code(worst),
        nodes = json.array(nodes),
        set = copy(result.set),
    }, "\n")
end

return report
