--- What processes have used so far: processor time, memory, Redis commands.

local shell = require "shell"
local uv = require "luv"

local usage = {}

local TICK_US = 10000

-- To the nanosecond, but without the threads that have ended.
local function cpu_us_of_threads(pid)
    local sum, folder = 0, ("/proc/%d/task"):format(pid)
    local scan = uv.fs_scandir(folder)
    local task = scan and uv.fs_scandir_next(scan)
    while task do
        local spent_ns = shell.read(("%s/%s/schedstat"):format(folder, task)):match("^%d+")
        sum = sum + (tonumber(spent_ns) or 0) / 1000
        task = uv.fs_scandir_next(scan)
    end
    return sum
end

-- Of all threads that ever were, in ticks that are complete.
local function cpu_us_in_ticks(pid)
    local stat = shell.read(("/proc/%d/stat"):format(pid)):match("%) (.*)") or ""
    local user, system = stat:match("^" .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
    return ((tonumber(user) or 0) + (tonumber(system) or 0)) * TICK_US
end

--- Processor time that a process has used.
-- @tparam number pid
-- @treturn number microseconds; 0 if it is gone
function usage.cpu_us(pid)
    return math.max(cpu_us_of_threads(pid), cpu_us_in_ticks(pid)) -- neither is ever too much
end

--- Processor time of several processes.
-- @tparam {table,...} processes each with a `pid`
-- @treturn number microseconds
function usage.cpu_us_of_all(processes)
    local sum = 0
    for _, process in ipairs(processes) do
        sum = sum + usage.cpu_us(process.pid)
    end
    return sum
end

--- Memory that a process has in use (RSS).
-- @tparam number pid
-- @treturn number bytes
function usage.memory(pid)
    local status = shell.read(("/proc/%d/status"):format(pid))
    return (tonumber(status:match("VmRSS:%s*(%d+)")) or 0) * 1024
end

--- Commands that Redis servers have run, those that scripts called among them.
-- @tparam {Server,...} nodes
-- @treturn number
function usage.commands(nodes)
    local sum = 0
    for _, node in ipairs(nodes) do
        for name, calls in node:cli("INFO", "commandstats"):gmatch("cmdstat_(%S-):calls=(%d+)") do
            sum = sum + (name == "info" and 0 or tonumber(calls))
        end
    end
    return sum
end

return usage
