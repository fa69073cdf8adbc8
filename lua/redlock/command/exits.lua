--- What the command's exit codes mean, and how a verb ends with one. They are those of sysexits.h
-- where that has a fitting one.
-- @module redlock.command.exits
-- @local

local exits = {
    OK = 0,
    USAGE = 64, -- wrong words on the command line
    UNAVAILABLE = 69, -- no majority of the nodes could be asked
    SOFTWARE = 70, -- a bug of ours
    SYSTEM = 71, -- the system refused something
    LOCKED = 75, -- another holds the lock
    LOST = 76, -- the lock was lost while it was needed
    CONFIGURATION = 78, -- no nodes, or a file that does not read
    TOO_LONG = 124, -- as of timeout(1)
    NOT_EXECUTABLE = 126, -- as of the shell
    NOT_FOUND = 127,
}

--- Ends the verb: the message goes to stderr, behind the verb's name.
-- @tparam number code
-- @tparam string message
-- @tparam[opt] string hint what to do next, on a line of its own
function exits.fail(code, message, hint)
    error({ code = code, message = message, hint = hint }, 0)
end

--- Ends the verb for what became of a lock. That tells of its name and its holder, as they are: what
-- looks like a password in them is none.
-- @tparam number code
-- @tparam string message
-- @tparam[opt] string hint
function exits.tell(code, message, hint)
    error({ code = code, message = message, hint = hint, is_plain = true }, 0)
end

--- Ends the verb for what the library raised: as misuse, without the place in our sources, and with
-- options called by their names on the command line.
-- @param problem
-- @tparam[opt] number code
-- @tparam[opt] string hint
function exits.misuse(problem, code, hint)
    local message = tostring(problem):gsub("^.-redlock: ", "")
    message = message:gsub('option "([%a_]+)"', function(name)
        return "--" .. name:gsub("_", "-")
    end)
    exits.fail(code or exits.USAGE, message, hint)
end

local by_failure = {
    locked = exits.LOCKED,
    timeout = exits.LOCKED,
    unavailable = exits.UNAVAILABLE,
    lost = exits.LOST,
}

--- The exit code for a failure code of the library.
-- @tparam string code
-- @treturn number
function exits.of(code)
    return by_failure[code] or exits.SOFTWARE
end

return exits
