--- What machine this is.

local shell = require "shell"

local hardware = {}

--- Processors, memory and kernel, in one line.
-- @treturn string
function hardware.describe()
    local model = shell.read("/proc/cpuinfo"):match("model name%s*:%s*([^\n]+)") or "?"
    local kilobytes = tonumber(shell.read("/proc/meminfo"):match("MemTotal:%s*(%d+)") or 0)
    return ("%d x %s, %.0f GiB, %s"):format(tonumber(shell.output("nproc")) or 0, model,
        kilobytes / 1024 ^ 2, shell.output("uname -sr"):match("[^\n]+"))
end

return hardware
