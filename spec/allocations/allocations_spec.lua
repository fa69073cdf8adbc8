--- A thin sweep: where memory runs out in the common calls, nothing crashes, hangs or is lost.
-- There is more of it: `make allocations`.

local build = require "support.build"

local BUILD = assert(os.getenv("REDLOCK_BUILD"), "run by make, or after `make env`")
local LUA = assert(os.getenv("LUA"), "run by make, or after `make env`")

local SCENARIOS = { "cold", "tcp", "calls", "objects", "lost", "operator", "close" }
local STRIDE = 6 -- so many allocations are passed over

-- What each sweep has to say in the end.
local function sweep(scenarios)
    local command = "ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 LD_PRELOAD=%s "
        .. "%s spec/allocations/sweep.lua %s library one 1 1000000 %d 2>&1"
    local switch, list = BUILD .. "/allocations.so", table.concat(scenarios, ",")
    local pipe = assert(io.popen(command:format(switch, LUA, list, STRIDE)))
    local output = pipe:read("*a")
    pipe:close()
    return output
end

describe("where memory runs out", function()
    if build.has "thread" then
        pending("under another: the thread sanitizer must have every allocation first")
        return
    end

    it("the common calls fail cleanly, and the client is of use afterwards", function()
        local output = sweep(SCENARIOS)
        for _, scenario in ipairs(SCENARIOS) do
            local line = ("\n" .. output):match("\n" .. scenario .. " +library [^\n]*")
            local runs, problems = (line or ""):match "(%d+) runs.* (%d+) problems"
            assert.equal("0", problems, output)
            assert.is_true(tonumber(runs) >= 5, output)
        end
    end)
end)
