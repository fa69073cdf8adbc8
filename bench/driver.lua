--- A driver: a child process that works with one contestant's locks, and is spoken to line by line.
-- It cannot outlive this process (setpriv), and cannot hold it up: whoever does not answer in time is
-- killed by its process id, and what it complained about is the reason. Waiting for it costs no processor.

local uv = require "luv"

local driver = {}

local Driver = {}
Driver.__index = Driver

local ERRORS_KEPT = 10000 -- bytes of what it wrote to stderr
local PATIENCE_MS = 2000 -- until a child that was told to end is killed

-- A line may be long, and come in many chunks.
local function keep_lines(self, chunk)
    local from, newline = 1, chunk:find("\n", 1, true)
    while newline do
        self.unread[#self.unread + 1] = chunk:sub(from, newline - 1)
        self.lines[#self.lines + 1] = table.concat(self.unread)
        self.unread, from = {}, newline + 1
        newline = chunk:find("\n", from, true)
    end
    self.unread[#self.unread + 1] = chunk:sub(from)
end

local function watch_pipes(self)
    self.stdout:read_start(function(_, chunk)
        if chunk then
            keep_lines(self, chunk)
        end
    end)
    self.stderr:read_start(function(_, chunk)
        self.errors = (self.errors .. (chunk or "")):sub(1, ERRORS_KEPT)
    end)
end

--- Starts a driver; does not wait for it.
-- @tparam string command shell text of one program
-- @tparam[opt] string prefix words before it, which run what follows, such as `taskset -c 1`
-- @treturn Driver with `pid`
function driver.start(command, prefix)
    local self = setmetatable({ lines = {}, unread = {}, errors = "" }, Driver)
    self.stdin, self.stdout, self.stderr = uv.new_pipe(), uv.new_pipe(), uv.new_pipe()
    local text = ("exec setpriv --pdeathsig KILL %s %s"):format(prefix or "", command)
    self.handle, self.pid = uv.spawn("sh", {
        args = { "-c", text },
        stdio = { self.stdin, self.stdout, self.stderr },
    }, function(status, signal)
        self.ended = signal ~= 0 and "signal " .. signal or "status " .. status
    end)
    assert(self.handle, self.pid)
    watch_pipes(self)
    return self
end

-- Runs the loop until `done` is true, or the time is over.
local function run_until(done, milliseconds)
    local late = false
    local timer = uv.new_timer()
    uv.update_time() -- the loop may not have run for a while
    timer:start(milliseconds, 0, function()
        late = true
    end)
    while not late and not done() do
        uv.run("once")
    end
    timer:close()
    uv.run("nowait") -- a handle that is not closed yet when Lua ends crashes luv
end

--- Writes one line to it.
-- @tparam string line
function Driver:tell(line)
    if not self.ended then
        self.stdin:write(line .. "\n")
    end
end

-- Of what it wrote to stderr, the line that says what is wrong: it names an error, or is the first.
local function complaint(self)
    local words = self.errors:match("[^\n]+")
    for line in self.errors:gmatch("[^\n]+") do
        if line:find("^%S*Error") or line:find("^%S*Exception") then
            words = line
        end
    end
    return words and ": " .. words:sub(1, 120) or ""
end

--- Waits for its next line.
-- @tparam number seconds how long; it is killed when they are over
-- @treturn[1] string the line
-- @treturn[2] nil
-- @treturn[2] string why there is none
function Driver:answer(seconds)
    run_until(function()
        return self.lines[1] or self.ended
    end, math.ceil(seconds * 1000))
    if self.lines[1] then
        return table.remove(self.lines, 1)
    elseif self.ended then
        return nil, "ended with " .. self.ended .. complaint(self)
    end
    self:stop("sigkill")
    return nil, ("no answer in %g s%s"):format(seconds, complaint(self))
end

--- Writes a line and waits for the answer, see `answer`.
-- @tparam string line
-- @tparam number seconds
function Driver:ask(line, seconds)
    self:tell(line)
    return self:answer(seconds)
end

--- Ends the child and returns when it is gone: first its input ends, then it is killed.
-- @tparam[opt] string signal what to send at once
function Driver:stop(signal)
    local function is_gone()
        return self.ended
    end
    if self.handle:is_closing() then
        return
    end
    self.stdin:close()
    if signal and not self.ended then
        self.handle:kill(signal)
    end
    run_until(is_gone, PATIENCE_MS)
    if not self.ended then
        self.handle:kill("sigkill")
        run_until(is_gone, PATIENCE_MS)
    end
    for _, handle in ipairs { self.stdout, self.stderr, self.handle } do
        handle:close()
    end
    uv.run("nowait")
end

--- The clock of all drivers: nanoseconds of CLOCK_MONOTONIC.
driver.now_ns = uv.hrtime

--- Waits.
-- @tparam number seconds
function driver.sleep(seconds)
    run_until(function() end, math.ceil(seconds * 1000))
end

return driver
