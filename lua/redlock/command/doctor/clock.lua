--- The nodes' clocks: what they show, beside this host's wall clock; how fast they run, beside the clock
-- by which leases are judged here.
-- @module redlock.command.doctor.clock
-- @local

local core = require "redlock.core"
local figures = require "redlock.command.figures"

local clock = {}

local TRIES = 7 -- the one with the shortest round trip counts
local APART = 1 -- seconds: wall clocks that NTP keeps are much closer
local STEPPED = 0.1 -- a rate off by so much is no rate: somebody set the clock
local MILLION = 1e6

-- INFO tells it too, since Redis 6.2, to users who may not TIME.
local function ask_info(console)
    local text, message, refused = console:ask("INFO", "server")
    local stamp = type(text) == "string" and text:match "server_time_usec:(%d+)"
    if stamp then
        return tonumber(stamp) / MILLION
    end
    return nil, message or "INFO does not tell it", refused or text ~= nil
end

local function ask_time(console)
    local reply, message, refused = console:ask "TIME"
    local seconds = type(reply) == "table" and tonumber(reply[1])
    local fraction = seconds and tonumber(reply[2])
    if fraction then
        return seconds + fraction / MILLION
    end
    return nil, message or "a reply that is no time", refused
end

local function look(console, way)
    local wall, before = core.wall_clock(), core.clock()
    local shown, message, refused = way(console)
    local trip = core.clock() - before
    if not shown then
        return nil, message, refused
    end
    return {
        trip = trip,
        at = before + trip / 2,
        offset = shown - (wall + trip / 2), -- from this host's wall clock
        ahead = shown - (before + trip / 2), -- of a clock that nobody sets
    }
end

--- Looks at a node's clock.
-- @tparam Console console
-- @treturn[1] table sample `{ at, trip, offset, ahead }` in seconds, exact to half a trip
-- @treturn[2] nil
-- @treturn[2] string why not
function clock.sample(console)
    local best
    local way = ask_time
    for _ = 1, TRIES do
        local sample, message, refused = look(console, way)
        if not sample and refused and way == ask_time then
            way = ask_info
            sample, message = look(console, way)
        end
        if not sample then
            return nil, message
        elseif not best or sample.trip < best.trip then
            best = sample
        end
    end
    return best
end

local RATE = "its clock runs %s; drift_factor allows %.0f"

--- Judges how fast a node's clock runs.
-- @tparam List list of findings
-- @tparam table first sample
-- @tparam table second sample, some seconds later
-- @tparam number drift_factor
function clock.judge_rate(list, first, second, drift_factor)
    local elapsed, gained = second.at - first.at, second.ahead - first.ahead
    local rate, doubt = gained / elapsed, (first.trip + second.trip) / 2 / elapsed
    local certain = math.abs(rate) - doubt
    local more = { ppm = rate * MILLION, ppm_doubt = doubt * MILLION }
    local shown = ("%+.0f ppm (+-%.0f)"):format(more.ppm, math.max(more.ppm_doubt, 1))
    local allowed = drift_factor * MILLION
    if certain > STEPPED then
        more.advice = "let NTP slew it; a step ends leases early, or keeps them too long"
        list:problem("clock rate", more, "its clock was set while we watched it, by %+.3g s",
            gained)
    elseif certain > drift_factor then
        more.advice = "mend its time service; or give all clients a larger drift_factor"
        list:problem("clock rate", more, RATE, shown, allowed)
    elseif doubt > drift_factor then
        more.advice = "watch it for longer: --seconds"
        list:unknown("clock rate", more,
            "how fast its clock runs cannot be told over such a round trip: %s", shown)
    elseif certain > drift_factor / 2 then
        more.advice = "see what its time service does"
        list:warning("clock rate", more, RATE, shown, allowed)
    else
        list:fine("clock rate", more, "clock runs %s", shown)
    end
end

local function describe(seconds, whose)
    local side = seconds > 0 and "ahead of" or "behind"
    return ("%s %s %s"):format(figures.time(math.abs(seconds)), side, whose)
end

local ADVICE = "have NTP set it now, while no lock is held: set later, it ends leases early or "
    .. "keeps them too long"

local function judge_offset(node, middle, whose)
    local sample = node.sample
    local off, doubt = sample.offset - middle, sample.trip / 2
    local more = { offset = sample.offset, offset_doubt = doubt }
    if math.abs(off) - doubt > APART then
        more.advice = ADVICE
        node.findings:warning("clock", more, "its wall clock is %s", describe(off, whose))
    else
        node.findings:fine("clock", more, "clock %+.1f ms from this host's", sample.offset * 1000)
    end
end

--- Judges what the clocks show, beside the middle of all of them and this host's.
-- @tparam {table,...} nodes with `sample` and `findings`
-- @tparam List set findings about all nodes
function clock.judge_offsets(nodes, set)
    local shown = { 0 }
    for _, node in ipairs(nodes) do
        shown[#shown + 1] = node.sample and node.sample.offset
    end
    local middle = #shown > 2 and figures.median(shown) or 0
    for _, node in ipairs(nodes) do
        if node.sample then
            judge_offset(node, middle, #shown > 2 and "the others" or "this host's")
        end
    end
    if math.abs(middle) > APART then
        set:warning("clock", {
            offset = -middle,
            advice = "have NTP set it: who is behind stands too far ahead in queues, and needs a "
                .. "second round trip now and then",
        }, "this host's wall clock is %s", describe(-middle, "the nodes'"))
    end
end

return clock
