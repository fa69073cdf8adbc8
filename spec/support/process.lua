--- Runs Lua code, a Lua file or a shell command in child processes, with the interpreter, LUA_PATH
-- and LUA_CPATH of this one. A child is killed when the spec's process ends, however it ends.

local keeper = require "keeper"
local wait = require "support.wait"

local process = {}

local Process = {}
Process.__index = Process

local LINE_BUFFERED = [[-e 'io.stdout:setvbuf "line"']] -- a line is seen when it is printed

local children = {} -- every child that was started and not closed: child -> true

local function first_line(command)
    local pipe = assert(io.popen(command, "r"))
    local line = pipe:read("*l")
    pipe:close()
    return line ~= "" and line or nil
end

-- The Makefile names it in LUA. Otherwise it is what this process was started as, or what the
-- system says that this process runs (behind valgrind that would be valgrind).
local function find_interpreter()
    local command = os.getenv("LUA")
    if command and command ~= "" then
        return command
    end
    local index = -1
    while arg and arg[index - 1] do
        index = index - 1
    end
    local name = arg and arg[index]
    if name and first_line("command -v " .. keeper.quote(name)) then
        return keeper.quote(name)
    end
    return keeper.quote(assert(first_line("readlink /proc/$PPID/exe"), "which Lua? set LUA"))
end

--- The command that runs this spec's Lua, for a shell.
process.interpreter = find_interpreter()

local function environment(variables)
    local text = {
        "unset LUA_INIT LUA_INIT_5_4 LUA_INIT_5_3 LUA_INIT_5_2",
        "unset LUA_PATH_5_4 LUA_PATH_5_3 LUA_PATH_5_2 LUA_CPATH_5_4 LUA_CPATH_5_3 LUA_CPATH_5_2",
        "export LUA_PATH=" .. keeper.quote(package.path),
        "export LUA_CPATH=" .. keeper.quote(package.cpath),
    }
    for name, value in pairs(variables or {}) do
        text[#text + 1] = ("export %s=%s"):format(name, keeper.quote(value))
    end
    return table.concat(text, "\n") .. "\n"
end

local function command_line(child, what)
    if what.command then
        return what.command
    end
    local file = what.file
    if what.code then
        file = child.keeper.dir .. "/code.lua"
        child.keeper:save("code.lua", what.code)
    end
    local words = { "exec", process.interpreter, LINE_BUFFERED, keeper.quote(file) }
    for _, argument in ipairs(what.args or {}) do
        words[#words + 1] = keeper.quote(argument)
    end
    return table.concat(words, " ")
end

local function launch(what)
    if type(what) == "string" then
        what = { code = what }
    end
    local child = setmetatable({ keeper = keeper.new() }, Process)
    child.keeper:start(environment(what.env) .. command_line(child, what))
    children[child] = true
    return child
end

--- Starts several children at once and returns when all of them have a process.
-- @tparam {table|string,...} list each as `process.start` takes it
-- @treturn {Process,...}
function process.start_all(list)
    local started = {}
    for index, what in ipairs(list) do
        started[index] = launch(what)
    end
    for _, child in ipairs(started) do
        child.pid = child.keeper:started()
    end
    return started
end

--- Starts a child.
-- @tparam table|string what Lua source, or a table with one of `code` (Lua source), `file` (a Lua
-- file) and `command` (shell text; begin the program with `exec`), and perhaps `args`, a list of
-- words, and `env`, a table of environment variables
-- @treturn Process with `pid`
function process.start(what)
    return process.start_all({ what })[1]
end

--- Runs a child to its end.
-- @tparam table|string what as `process.start` takes it
-- @tparam[opt=30] number seconds how long it may take
-- @treturn {string,...} the lines it printed
-- @treturn number|nil its exit status, 128 + the signal that killed it, nil when it took too long
-- @treturn string what it wrote to its standard error
function process.run(what, seconds)
    local child = process.start(what)
    local status = child:wait(seconds)
    local lines, errors = child:lines(), child:errors()
    child:close()
    return lines, status, errors
end

--- Kills every child that is still there.
function process.stop_all()
    local all = {}
    for child in pairs(children) do
        all[#all + 1] = child
    end
    for _, child in ipairs(all) do
        child:close()
    end
end

--- The complete lines that the child has printed so far.
-- @treturn {string,...}
function Process:lines()
    local lines = {}
    for line in self.keeper:read("output"):gmatch("([^\n]*)\n") do
        lines[#lines + 1] = line
    end
    return lines
end

--- What the child has written to its standard error so far.
-- @treturn string
function Process:errors()
    return self.keeper:read("errors")
end

--- Waits for a line that the child prints.
-- @tparam string pattern a Lua pattern
-- @tparam[opt=20] number seconds how long at most
-- @treturn[1] string the first line that matches
-- @treturn[2] nil
-- @treturn[2] string "timeout" or "ended", with what the child wrote to its standard error
function Process:wait_line(pattern, seconds)
    local ended
    local line = wait.wait_until(function()
        ended = not self:running()
        for _, line in ipairs(self:lines()) do
            if line:find(pattern) then
                return line
            end
        end
        return ended
    end, seconds)
    if type(line) == "string" then
        return line
    end
    return nil, (ended and "ended: " or "timeout: ") .. self:errors()
end

--- Waits until the child ends.
-- @tparam[opt=30] number seconds how long at most
-- @treturn[1] number its exit status, or 128 + the signal that killed it
-- @treturn[2] nil
-- @treturn[2] string "timeout"
function Process:wait(seconds)
    return wait.wait_until(function() return self.keeper:status() end, seconds or 30)
end

--- Whether the child is there.
-- @treturn boolean
function Process:running()
    return self.keeper:running()
end

--- Sends a signal.
-- @tparam string name "INT", "TERM", "STOP", "CONT", "KILL", ...
function Process:signal(name)
    self.keeper:signal(name)
end

--- Writes a line to the child's standard input.
-- @tparam string line
function Process:tell(line)
    self.keeper:tell(line)
end

--- Kills the child when it still runs, and forgets its output.
function Process:close()
    children[self] = nil
    self.keeper:close()
end

return process
