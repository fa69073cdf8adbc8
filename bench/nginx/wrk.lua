--- wrk's script. Prints one line for bench/nginx.lua: what the run came to, and how many errors there
-- were. With the argument "check" every answer is looked at; that slows wrk down, so it is for the
-- warm-up. In a measured run wrk itself counts each status above 399.
-- luacheck: globals init setup response done bad

local threads = {}

local function look(status, _, body)
    if status ~= 200 or body ~= "ok\n" then
        bad = bad + 1
    end
end

function init(arguments)
    bad = 0
    if arguments[1] == "check" then
        response = look
    end
end

function setup(thread)
    threads[#threads + 1] = thread
end

function done(summary, latency)
    local errors = summary.errors
    local unlike = 0
    for _, thread in ipairs(threads) do
        unlike = unlike + thread:get("bad")
    end
    print(("run %d %d %d %d %d %d %d"):format(
        summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), latency.max,
        errors.connect + errors.read + errors.write + errors.timeout, errors.status + unlike))
end
