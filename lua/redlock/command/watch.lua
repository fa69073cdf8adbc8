--- A list that is looked at again and again: in place on a terminal, one below the other elsewhere.
-- @module redlock.command.watch
-- @local

local core = require "redlock.core"
local figures = require "redlock.command.figures"
local handovers = require "redlock.command.handovers"
local json = require "redlock.command.json"
local listing = require "redlock.command.listing"
local Screen = require "redlock.command.screen"
local system = require "redlock.command.system"

local signals = system.signals

local watch = {}

local HELP = "q quits, s sorts by another column"
local ORDERS = { "name", "holder", "votes", "age", "lease", "waiters", "handovers" }

local function next_order(order)
    for index, name in ipairs(ORDERS) do
        if name == order then
            return ORDERS[index % #ORDERS + 1]
        end
    end
end

-- Looks once; nil, message and code if no node has answered.
local function look(view)
    local locks, walk, code = view.list()
    if not locks then
        return nil, walk, code
    end
    view.handovers:look(locks, core.clock())
    for _, lock in ipairs(locks) do
        lock.rate, lock.is_least = view.handovers:rate(lock.name)
    end
    return locks, walk
end

local function title(view, locks, failure)
    local what = locks and figures.count(#locks, "lock") or "no node answers"
    return ("redlock list: %s, every %s, by %s; %s%s"):format(what, figures.time(view.seconds),
        view.order, view.screen and HELP or os.date "%H:%M:%S", failure and "; " .. failure or "")
end

local function page(view, locks, failure)
    local lines = { title(view, locks, failure), "" }
    if not locks then
        return lines
    end
    listing.sort(locks, view.order)
    local height = view.output:height()
    local head, rows = listing.lines(locks, view.nodes, view.output:width(), true)
    lines[3] = head
    for index, row in ipairs(rows) do
        if view.screen and height and #lines == height - 1 and index < #rows then
            lines[#lines + 1] = ("... and %d more"):format(#rows - index + 1)
            break
        end
        lines[#lines + 1] = row
    end
    return lines
end

local function show(view, locks, failure)
    if view.json then
        local object = { locks = listing.objects(locks or {}), failure = failure }
        return view.output:write(json.write(object), "\n")
    end
    local lines = page(view, locks, failure)
    if view.screen then
        view.screen:draw(lines)
    else
        return view.output:write(table.concat(lines, "\n"), "\n\n")
    end
    return true
end

-- Steps aside while we are stopped.
local function stop(view)
    view.screen:leave()
    system.obey(signals.TSTP)
    view.screen = Screen.enter(view.output)
end

-- True: look again; false: it is over; nil: nothing that matters.
local function take_signal(view)
    local number = system.read_signal(view.fd)
    if number == signals.TSTP then
        if view.screen then
            stop(view)
        else
            system.obey(number)
        end
        return true
    elseif number == signals.WINCH or number == signals.CONT then
        return true
    elseif number then
        view.signal = number
        return false
    end
end

local function take_key(view)
    local key = view.screen:read_key()
    if key == "q" or key == nil then
        return false
    elseif key == "s" then
        view.order = next_order(view.order)
        return true
    end
end

-- Until it is time to look again (true), or over (false).
local function pause(view, moment)
    while true do
        local left = moment - core.clock()
        if left <= 0 then
            return true
        end
        local keys = view.screen and view.screen.keys
        local ready = system.poll({ view.fd, keys }, left)
        local verdict
        if ready[view.fd] then
            verdict = take_signal(view)
        elseif keys and ready[keys] then
            verdict = take_key(view)
        end
        if verdict ~= nil then
            return verdict
        end
    end
end

local function turn_until_over(view)
    repeat
        local begun = core.clock()
        local locks, walk = look(view)
        local failure = not locks and walk or view.doubt(walk)
        local is_open = show(view, locks, failure)
    until not is_open or not pause(view, math.max(begun + view.seconds, core.clock()))
end

--- Watches until somebody ends it.
-- @tparam table view `output`, `seconds` between two looks, `order`, `json`, `nodes` (how many), and
-- functions: `list()`, as client:list(), and `doubt(walk)`, what there is to say about it, or nil
-- @treturn ?number the signal that ended it
function watch.run(view)
    view.fd = system.catch_signals {
        signals.INT, signals.TERM, signals.HUP, signals.TSTP, signals.CONT, signals.WINCH,
    }
    view.handovers = handovers.new()
    view.screen = not view.json and view.output.is_terminal and Screen.enter(view.output) or nil
    local ok, problem = xpcall(turn_until_over, function(problem)
        return type(problem) == "string" and debug.traceback(problem, 2) or problem
    end, view)
    if view.screen then
        view.screen:leave()
    end
    if not ok then
        error(problem, 0)
    end
    return view.signal
end

return watch
