--- The redlock command, from its words to its exit code. Which verbs there are is in `verbs`.
-- @module redlock.command
-- @local

local arguments = require "redlock.command.arguments"
local exits = require "redlock.command.exits"
local secrets = require "redlock.command.secrets"
local system = require "redlock.command.system"
local terminal = require "redlock.command.terminal"
local usage = require "redlock.command.usage"
local verbs = require "redlock.command.verbs"

local command = {}

-- What a verb raised is its own failure (see exits.fail), an interrupt, or a bug of ours.
local function explain(problem, errors, who)
    if type(problem) ~= "table" and problem:find("interrupted!", 1, true) then
        system.obey(system.signals.INT)
    elseif type(problem) ~= "table" then
        problem = { code = exits.SOFTWARE, message = problem }
    end
    if problem.message then
        local message = problem.is_plain and problem.message or secrets.hide(problem.message)
        errors:write(errors:paint("red", who .. ": "), message, "\n")
    end
    if problem.message and problem.hint then
        errors:write(secrets.hide(problem.hint), "\n")
    end
    return problem.code
end

local function trace(problem)
    return type(problem) == "table" and problem or debug.traceback(tostring(problem), 2)
end

local function run_verb(verb, words, output, errors)
    local given = arguments.parse(verb, words)
    if given.values.help then
        output:write(usage.of_verb(verb))
        return exits.OK
    end
    given.output, given.errors = output, errors
    return verb.run(given) or exits.OK
end

-- What was to be said and could not be, must not look like success.
local function check_written(output)
    if output.trouble then
        exits.fail(exits.SYSTEM, "stdout: " .. output.trouble)
    end
end

local function run(words, output, errors)
    local first = words[1]
    if first == nil then
        errors:write(usage.overview())
        return exits.USAGE
    elseif first == "--help" or first == "-h" then
        output:write(usage.overview())
        return exits.OK
    elseif first == "--version" or first == "-V" then
        output:write(require("redlock")._VERSION, "\n")
        return exits.OK
    end
    return run_verb(verbs.find(first), { (table.unpack or unpack)(words, 2) }, output, errors)
end

--- Runs the command. Nothing is thrown.
-- @tparam {string,...} words what stands behind `redlock`
-- @treturn number the exit code
function command.main(words)
    system.occupy_standard()
    system.hide_credentials()
    local output, errors = terminal.new(io.stdout, 1), terminal.new(io.stderr, 2)
    local ok, result = xpcall(function()
        local code = run(words, output, errors)
        check_written(output)
        return code
    end, trace)
    if ok then
        return result
    end
    local verb = words[1] and verbs.exists(words[1])
    return explain(result, errors, verb and "redlock " .. words[1] or "redlock")
end

return command
