--- Which verbs there are. Each is a module redlock.command.NAME that returns its description, from
-- which parsing, help, completion and the manual page are made:
--
--    name         "run"
--    summary      one line, with neither a verb's s at its front nor a full stop: "run a command ..."
--    synopsis     what stands behind the name, in one line: "NAME [OPTION...] -- COMMAND [ARGUMENT...]"
--    words        { least = 1, most = 1 }: how many words that are no options; huge: no limit. With
--                 stop = 2 the second ends the options: what follows are words, whatever they look like;
--                 command: they are another command; choices: what they may be
--    about        paragraphs, in lines that are filled anew; one that begins with two blanks is kept
--    options      { { long = "wait", short = "w", value = "DURATION", kind = "duration", help = "..." } }
--                 Without value: a switch. default: what holds without it, in words. kind: see
--                 redlock.command.values. many: may be repeated, and is a list. In `values` it stands as
--                 `wait`, with _ for -
--    connects     true: takes the options that say where the nodes are, too (redlock.command.connection)
--    exits        { { 0, "what that means" }, ... }
--    examples     { { "what it does", "redlock run ..." }, ... }
--    run(call)    call.values, call.words, call.output, call.errors (see redlock.command.terminal);
--                 returns the exit code, or nil for 0; or fails by redlock.command.exits.fail()
--
-- When a description changes, `make manual` writes docs/redlock.1 anew.
-- @module redlock.command.verbs
-- @local

local exits = require "redlock.command.exits"
local nearest = require "redlock.command.nearest"

local verbs = {}

--- Their names, in the order in which they are shown.
verbs.names = { "run", "list", "info", "release", "doctor", "bench", "completion", "help" }

--- Whether there is such a verb.
-- @treturn boolean
function verbs.exists(name)
    for _, known in ipairs(verbs.names) do
        if known == name then
            return true
        end
    end
    return false
end

--- A verb's description.
-- @tparam string name
-- @treturn table
-- @raise a usage failure, if there is none of that name
function verbs.find(name)
    if verbs.exists(name) then
        return require("redlock.command." .. name)
    end
    if name:sub(1, 1) == "-" then
        exits.fail(exits.USAGE, ("there is no option %q before the verb"):format(name),
            "Try: redlock VERB OPTION...; see: redlock --help")
    end
    local near = nearest.of(name, verbs.names)
    exits.fail(exits.USAGE, ("there is no verb %q"):format(name),
        near and ("Did you mean: redlock %s"):format(near) or "Try: redlock --help")
end

--- All descriptions, in order.
-- @treturn {table,...}
function verbs.all()
    local list = {}
    for index, name in ipairs(verbs.names) do
        list[index] = verbs.find(name)
    end
    return list
end

return verbs
