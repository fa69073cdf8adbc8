--- What a check came to: how grave it is, what was found, what to do about it.
-- @module redlock.command.doctor.findings
-- @local

local findings = {}

local List = {}
List.__index = List

--- How grave: the later, the graver. What could not be looked at is not fine, unless it would only
-- have been worth a note.
findings.severities = { "fine", "note", "unknown", "warning", "problem" }

local rank, exit_codes = {}, { fine = 0, note = 0, unknown = 1, warning = 1, problem = 2 }
for index, severity in ipairs(findings.severities) do
    rank[severity] = index
end

--- An empty list.
function findings.new()
    return setmetatable({}, List)
end

local function adder(severity)
    return function(self, check, more, text, ...)
        local finding = { check = check, severity = severity, text = text }
        if select("#", ...) > 0 then
            finding.text = text:format(...)
        end
        for name, value in pairs(more or {}) do
            finding[name] = value
        end
        self[#self + 1] = finding
    end
end

-- Each takes the check's name; a table of `advice`, what to do, and figures for programs, or nil; and what
-- was found, which is formatted with what stands behind it.
for _, severity in ipairs(findings.severities) do
    List[severity] = adder(severity)
end

--- The gravest of some lists.
-- @tparam {List,...} lists
-- @treturn string severity
function findings.worst(lists)
    local worst = "fine"
    for _, list in ipairs(lists) do
        for _, finding in ipairs(list) do
            if rank[finding.severity] > rank[worst] then
                worst = finding.severity
            end
        end
    end
    return worst
end

--- How many there are of a severity.
-- @treturn number
function findings.count(lists, severity)
    local count = 0
    for _, list in ipairs(lists) do
        for _, finding in ipairs(list) do
            count = count + (finding.severity == severity and 1 or 0)
        end
    end
    return count
end

--- The exit code for a severity: 0, 1 or 2.
-- @treturn number
function findings.exit_code(severity)
    return exit_codes[severity]
end

return findings
