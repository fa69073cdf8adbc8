--- The benchmark's contestant: this library, with its defaults. What it is asked for stands in
-- bench/peers/README.md.
--
--     ours.lua blocking|cqueues|luv[,fair|,cohort] PORT...
--
-- The first is a script, which has one caller. In the others each caller is a coroutine. A fair one
-- comes behind whoever waits already; those of a cohort get the lock from one another.

local redlock = require "redlock"

local host, manner = arg[1]:match "^(%l+)(.*)$"
local urls = {}
for index = 2, #arg do
    urls[index - 1] = "redis://127.0.0.1:" .. arg[index]
end

local function connect()
    return redlock.new {
        nodes = urls, host = host, fair = manner == ",fair", cohort = manner == ",cohort",
    }
end

local client = connect()

local function now_ns()
    return require("luv").hrtime()
end

-- Runs that many callers at once, until all have returned.
local run = {}

function run.blocking(count, caller)
    if count > 1 then
        return "no: a script has one caller"
    end
    caller(1)
end

function run.cqueues(count, caller)
    local loop = require("cqueues").new()
    for index = 1, count do
        loop:wrap(caller, index)
    end
    assert(loop:loop())
end

function run.luv(count, caller)
    for index = 1, count do
        assert(coroutine.resume(coroutine.create(caller), index))
    end
    require("luv").run()
end

local function percentile(sorted, percent)
    return sorted[math.floor(#sorted * percent / 100) + 1] / 1000
end

local answer = {}

function answer.pairs(seconds)
    local acquire_ns, count = {}, 0
    collectgarbage() -- every round starts alike
    local start = now_ns()
    local before = start
    while before < start + seconds * 1e9 do
        local lock = assert(client:acquire("ours"))
        count = count + 1
        acquire_ns[count] = now_ns() - before
        assert(lock:release())
        before = now_ns()
    end
    table.sort(acquire_ns)
    return ("%d %.6f %.1f %.1f"):format(count, (before - start) / 1e9,
        percentile(acquire_ns, 50), percentile(acquire_ns, 99))
end

function answer.many(callers, seconds)
    collectgarbage()
    local count, start = 0, now_ns()
    local no = run[host](callers, function(index)
        local name = "ours:" .. index
        while now_ns() < start + seconds * 1e9 do
            assert(assert(client:acquire(name)):release())
            count = count + 1
        end
    end)
    return no or ("%d %.6f"):format(count, (now_ns() - start) / 1e9)
end

-- One that has waited in vain asks again. A release that a node did not answer is sent again by itself.
function answer.contend(callers, until_ns, apart)
    collectgarbage()
    local grants = {}
    local no = run[host](callers, function(index)
        local mine = apart == "apart" and connect() or client
        local asked = now_ns()
        while asked < until_ns do
            local lock = mine:acquire "ours"
            if lock then
                local acquired = now_ns()
                grants[#grants + 1] = ("%d %d %d %d"):format(index, asked, acquired, now_ns())
                lock:release()
                asked = now_ns()
            end
        end
        if mine ~= client then
            mine:close()
        end
    end)
    return no or table.concat(grants, " ")
end

local held = {}

function answer.hold(count, ttl)
    local start = now_ns()
    for index = 1, count do
        held[index] = assert(client:acquire("held:" .. index, { ttl = ttl }))
    end
    local seconds = (now_ns() - start) / 1e9
    collectgarbage()
    return ("%d %.6f"):format(#held, seconds)
end

function answer.first()
    assert(client:acquire("ours"))
    return "held"
end

for line in io.lines() do
    local verb, first, second, third = line:match("^(%a+) ?(%S*) ?(%S*) ?(%S*)$")
    print(answer[verb](tonumber(first), tonumber(second), third))
    io.stdout:flush()
end
os.exit(true) -- without a word to the nodes, as others end, too
