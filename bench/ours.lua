--- The benchmark's contestant: acquire and release through this library, with its defaults.
-- Arguments: the nodes' URLs. Each line "run COUNT" on stdin is answered by a line "pairs seconds
-- p50 p99", the percentiles being those of the acquire in microseconds.

local redlock = require "redlock"
local socket = require "socket" -- for a clock that is finer than os.time

local now = socket.gettime

local function measure(client, count)
    local acquire_seconds = {}
    local start = now()
    for index = 1, count do
        local before = now()
        local lock = assert(client:acquire("ours"))
        acquire_seconds[index] = now() - before
        assert(lock:release())
    end
    return now() - start, acquire_seconds
end

local function percentile(sorted, percent)
    return sorted[math.floor(#sorted * percent / 100) + 1] * 1e6
end

local client = redlock.new { nodes = { ... } }
for line in io.lines() do
    local count = assert(tonumber(line:match("^run (%d+)$")), line)
    collectgarbage() -- every round starts alike
    local seconds, acquire_seconds = measure(client, count)
    table.sort(acquire_seconds)
    print(("%d %.6f %.1f %.1f"):format(
        count, seconds, percentile(acquire_seconds, 50), percentile(acquire_seconds, 99)))
    io.stdout:flush()
end
client:close()
