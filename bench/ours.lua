--- The benchmark's contestant: this library, with its defaults. What is asked for stands in
-- bench/peers/README.md.
--
--     ours.lua blocking|cqueues|luv PORT...

local redlock = require "redlock"

local urls = {}
for index = 2, #arg do
    urls[index - 1] = "redis://127.0.0.1:" .. arg[index]
end
local client = redlock.new { nodes = urls }

local commands = {}

local function percentile(sorted, percent)
    return sorted[math.floor(#sorted * percent / 100) + 1] / 1000
end

-- Acquires and releases one name until the time is over.
function commands.pairs(seconds)
    local now = require("luv").hrtime -- nanoseconds
    local acquire_ns, count = {}, 0
    collectgarbage() -- every round starts alike
    local start, before = now(), now()
    local finish = start + seconds * 1e9
    while before < finish do
        local lock = assert(client:acquire("ours"))
        count = count + 1
        acquire_ns[count] = now() - before
        assert(lock:release())
        before = now()
    end
    table.sort(acquire_ns)
    return ("%d %.6f %.1f %.1f"):format(count, (before - start) / 1e9,
        percentile(acquire_ns, 50), percentile(acquire_ns, 99))
end

for line in io.lines() do
    local verb, rest = line:match("^(%a+) ?(.*)$")
    print(commands[verb](tonumber(rest)))
    io.stdout:flush()
end
client:close()
