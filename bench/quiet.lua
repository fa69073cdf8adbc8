--- Makes the machine's answers repeatable, for all contestants alike.
-- The Redis servers get one processor and the contestants another, and on each of the two spins a
-- process that runs only when nobody else wants to (SCHED_IDLE). So no processor goes to sleep:
-- waking one costs five round trips in a virtual machine, and whether it does would be up to where
-- the scheduler puts whom. `--raw` leaves all of that as it is.

local driver = require "driver"
local shell = require "shell"

local quiet = {}

local SPIN = "sh -c 'echo spinning; while :; do :; done'"
local PATIENCE = 10 -- seconds

local spinners = {}

-- The first and the last that this process may use; nil when there is but one.
local function choose_processors()
    local list = shell.read("/proc/self/status"):match("Cpus_allowed_list:%s*(%S+)") or ""
    local first, last = list:match("^%d+"), list:match("%d+$")
    if first and first ~= last then
        return first, last
    end
end

local function spin(processor)
    local spinner = driver.start(SPIN, ("chrt --idle 0 taskset -c %s"):format(processor))
    assert(spinner:answer(PATIENCE))
    spinners[#spinners + 1] = spinner
end

--- Chooses the processors and keeps them awake.
-- @tparam table options of the run: `raw`, nothing of all this; `realtime`, servers and contestants go
-- before whatever else runs on the machine
-- @treturn table of it: `client`, the prefix of a driver's command; `text`, what was done in words
function quiet.begin(options)
    local first, last = choose_processors()
    local place = { realtime = options.realtime }
    place.client = options.realtime and "chrt --rr 1" or ""
    if options.raw or not first then
        place.text = options.raw and "unpinned (--raw)" or "one processor for all"
        return place
    end
    spin(first)
    spin(last)
    place.server, place.client = first, ("taskset -c %s %s"):format(last, place.client)
    place.text = ("servers on processor %s, contestants on processor %s, neither goes to sleep%s")
        :format(first, last, options.realtime and "; ahead of whatever else runs" or "")
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
    for _, spinner in ipairs(spinners) do
        spinner:stop("sigkill")
    end
    spinners = {}
end

return quiet
