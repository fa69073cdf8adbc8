--- Makes the machine's answers repeatable, for all contestants alike.
-- The Redis servers get one processor and the contestants another, and neither goes to sleep when it
-- has nothing to do: waking one costs five round trips in a virtual machine, and whether it does would
-- be up to where the scheduler puts whom. `--raw` leaves all of that as it is.
--
-- Where we may, the kernel is told that nobody can wait (/dev/cpu_dma_latency), so that it looks for
-- work instead of sleeping. Elsewhere a process spins on each of the two that runs only when nobody else
-- wants to (SCHED_IDLE). Linux may share out time by session first (autogroup); such a spinner is the
-- last only among the processes of its own session, so all have to stay in ours.

local driver = require "driver"
local shell = require "shell"

local quiet = {}

local DEMAND = [[sh -c 'exec 3>/dev/cpu_dma_latency &&
    printf "\0\0\0\0" >&3 && echo awake && cat']] -- 0 microseconds, as an int
local SPIN = "sh -c 'echo awake; while :; do :; done'"
local PATIENCE = 10 -- seconds

local helpers = {}

-- The first and the last that this process may use; nil when there is but one.
local function choose_processors()
    local list = shell.read("/proc/self/status"):match("Cpus_allowed_list:%s*(%S+)") or ""
    local first, last = list:match("^%d+"), list:match("%d+$")
    if first and first ~= last then
        return first, last
    end
end

-- A child that keeps processors awake as long as it lives.
local function start_helper(command, prefix)
    local helper = driver.start(command, prefix)
    local answer = helper:answer(PATIENCE)
    if answer ~= "awake" then
        return false
    end
    helpers[#helpers + 1] = helper
    return true
end

local function stay_awake(spin, ...)
    if not spin and start_helper(DEMAND) then
        return "neither goes to sleep (/dev/cpu_dma_latency)"
    end
    for _, processor in ipairs { ... } do
        assert(start_helper(SPIN, ("chrt --idle 0 taskset -c %s"):format(processor)))
    end
    return "neither goes to sleep (spinning at SCHED_IDLE)"
end

--- Chooses the processors and keeps them awake.
-- @tparam table options of the run: `raw`, nothing of all this; `spin`, by spinning in any case;
-- `realtime`, servers and contestants go before whatever else runs on the machine
-- @treturn table of it: `client`, the prefix of a driver's command; `text`, what was done in words
function quiet.begin(options)
    local first, last = choose_processors()
    local place = { realtime = options.realtime }
    place.client = options.realtime and "chrt --rr 1" or ""
    if options.raw or not first then
        place.text = options.raw and "unpinned (--raw)" or "one processor for all"
        return place
    end
    place.server, place.client = first, ("taskset -c %s %s"):format(last, place.client)
    place.text = ("servers on processor %s, contestants on processor %s, %s%s"):format(
        first, last, stay_awake(options.spin, first, last),
        options.realtime and "; ahead of whatever else runs" or "")
    return place
end

local function order(expected, command, ...)
    local said = shell.output(command:format(...))
    assert(said:find(expected, 1, true), said)
end

--- Moves a server to its processor.
-- @tparam table place what `begin` returned
-- @tparam number pid
function quiet.place_server(place, pid)
    if place.server then
        order("new affinity", "taskset -a -p -c %s %d", place.server, pid)
    end
    if place.realtime then
        order("", "chrt -a --rr -p 1 %d", pid)
    end
end

--- Ends what `begin` began.
function quiet.finish()
    for _, helper in ipairs(helpers) do
        helper:stop("sigkill")
    end
    helpers = {}
end

return quiet
