--- Runs the redlock command as a shell would, in pipes.

local keeper = require "keeper"
local process = require "support.process"
local wait = require "support.wait"

local program = {}

--- The words before the verb, for a shell.
program.path = process.interpreter .. " bin/redlock"

--- The words for a verb that asks nodes, with a timeout that no test may come to.
-- @tparam {table,...} nodes with a `url`
-- @tparam string ... the verb, and its words
-- @treturn {string,...}
function program.words(nodes, ...)
    local words = { ... }
    words[#words + 1] = "--timeout"
    words[#words + 1] = "5s"
    for _, node in ipairs(nodes) do
        words[#words + 1] = "--node"
        words[#words + 1] = node.url
    end
    return words
end

--- A command line.
-- @tparam {string,...} words behind `redlock`
-- @treturn string
function program.line(words)
    local quoted = { program.path }
    for _, word in ipairs(words) do
        quoted[#quoted + 1] = keeper.quote(word)
    end
    return table.concat(quoted, " ")
end

--- Starts it.
-- @tparam {string,...} words
-- @tparam[opt] table env variables; REDLOCK_NODES is empty unless given, and HOME has no files
-- @tparam[opt] string before shell text that stands before the command line, such as `nohup`
-- @treturn Process
function program.start(words, env, before)
    local variables = { REDLOCK_NODES = "", HOME = "/nonexistent", XDG_CONFIG_HOME = "" }
    for name, value in pairs(env or {}) do
        variables[name] = value
    end
    local command = ("exec %s %s"):format(before or "", program.line(words))
    return process.start { command = command, env = variables }
end

--- Runs it to its end.
-- @treturn table `status`, `output` (lines), `errors`
function program.run(words, env, seconds)
    local child = program.start(words, env)
    local result = {
        status = child:wait(seconds or 60), output = child:lines(), errors = child:errors(),
    }
    child:close()
    return result
end

--- The output of a shell command, without its last newline.
function program.shell(command)
    local pipe = assert(io.popen(command .. " 2>&1"))
    local text = pipe:read("*a")
    pipe:close()
    return (text:gsub("\n$", ""))
end

--- Whether there is such a process; a zombie is none.
function program.exists(pid)
    local state = program.shell(("ps -o state= -p %s"):format(pid))
    return state ~= "" and state:sub(1, 1) ~= "Z"
end

--- Waits until a process is gone.
-- @treturn ?boolean true; nil if it stays
function program.await_end(pid, seconds)
    return wait.wait_until(function()
        return not program.exists(pid)
    end, seconds or 30)
end

--- The warden of a `redlock run`.
-- @tparam number pid of the run
-- @treturn number
function program.warden(pid)
    return tonumber(program.shell(("ps -o pid=,comm= --ppid %d | grep redlock-warden"):format(pid))
        :match "%d+")
end

return program
