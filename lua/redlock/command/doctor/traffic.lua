--- What goes to a node and comes back: round trips, notifications, scripts, and how slow they were.
-- @module redlock.command.doctor.traffic
-- @local

local consoles = require "redlock.console"
local core = require "redlock.core"
local figures = require "redlock.command.figures"

local unpack = table.unpack or unpack

local traffic = {}

local TRIPS = 20
local ROOM = 10 -- a timeout should be so many median round trips
local SLOW_ENTRIES = 128
local RECENT = 3600 -- seconds

--- Measures round trips.
-- @treturn[1] {number,...} seconds, sorted
-- @treturn[2] nil
-- @treturn[2] string what became of the connection
function traffic.round_trips(list, console, key, timeout)
    local trips = {}
    for index = 1, TRIPS do
        local before = core.clock()
        local reply, message, refused = console:ask("EXISTS", key)
        if reply == nil and not refused then
            return nil, message
        end
        trips[index] = core.clock() - before
    end
    table.sort(trips)
    local median, least, most = figures.median(trips), trips[1], trips[#trips]
    local more = { median = median, min = least, max = most }
    local shown = ("round trip %s (%s to %s)"):format(figures.time(median), figures.time(least),
        figures.time(most))
    if timeout < ROOM * median or timeout < 2 * most then
        more.advice = ("a timeout of %s or more; or see why it is slow"):format(
            figures.time(math.max(ROOM * median, 4 * most)))
        list:warning("round trip", more, "%s, for which a timeout of %s is short", shown,
            figures.time(timeout))
    else
        list:fine("round trip", more, shown)
    end
    return trips
end

local function listen(ear, channel)
    local reply, message, refused = ear:ask("SUBSCRIBE", channel)
    if type(reply) == "table" and reply[1] == "subscribe" then
        return true
    end
    return nil, message or "a reply that is none to SUBSCRIBE", refused
end

--- Publishes to an inbox of our own, and hears it.
function traffic.notification(list, console, ear, channel)
    local subscribed, message = listen(ear, channel)
    if not subscribed then
        list:problem("notification", {
            advice = message:find "^NOPERM" and "ACL SETUSER (this user) +subscribe &redlock:*"
                or "waiters are not woken there: see the server's log",
        }, "it lets nobody subscribe: %s", message)
        return
    end
    local before = core.clock()
    local heard = console:ask("PUBLISH", channel, "0 0 doctor")
    local event = heard and heard ~= 0 and ear:hear()
    local took = core.clock() - before
    if type(event) == "table" and event[1] == "message" then
        list:fine("notification", { seconds = took }, "a notification takes %s",
            figures.time(took))
    elseif heard then -- who may not publish was told by the rights
        list:problem("notification", {
            advice = "is there a proxy in between that spreads connections? name the server",
        }, "what is published does not reach who has subscribed")
    end
end

--- Which of our scripts the server knows: it is given the others when they are first needed.
function traffic.scripts(list, console)
    local names, command = {}, { "SCRIPT", "EXISTS" }
    for name, sha1 in pairs(consoles.scripts()) do
        names[#names + 1] = name
        command[#command + 1] = sha1
    end
    local reply, message = console:ask(unpack(command))
    if type(reply) ~= "table" then
        list:note("scripts", nil, "which scripts it knows cannot be read: %s", message)
        return
    end
    local known = 0
    for index in ipairs(names) do
        known = known + (reply[index] == 1 and 1 or 0)
    end
    list:fine("scripts", { known = known, of = #names }, "knows %d of our %d scripts", known,
        #names)
end

-- The slowest of our calls since then, and how many there are.
local function slowest(entries, since)
    local names, count, worst = {}, 0, nil
    for name, sha1 in pairs(consoles.scripts()) do
        names[sha1] = name
    end
    for _, entry in ipairs(entries) do
        local call = type(entry) == "table" and entry[4]
        local name = type(call) == "table" and names[call[2]]
        local stamp, took = name and tonumber(entry[2]), name and tonumber(entry[3])
        if stamp and took and stamp >= since then
            count = count + 1
            if not worst or took > worst.took then
                worst = { took = took, script = name }
            end
        end
    end
    return count, worst
end

--- Calls of ours that the server found slow, in the last hour.
-- @tparam number now what the server's clock shows
function traffic.slow_log(list, console, now, timeout)
    local entries, message = console:ask("SLOWLOG", "GET", SLOW_ENTRIES)
    if type(entries) ~= "table" then
        list:note("slow log", nil, "the slow log cannot be read: %s", message)
        return
    end
    local count, worst = slowest(entries, now - RECENT)
    if not worst then
        list:fine("slow log", { count = 0 }, "no slow call of ours in the last hour")
        return
    end
    local seconds = worst.took / 1e6
    local is_grave = seconds > timeout / ROOM
    list[is_grave and "warning" or "note"](list, "slow log", {
        count = count, worst = seconds, script = worst.script,
        advice = is_grave and "what else ran then? does it swap? see SLOWLOG GET" or nil,
    }, "%s of ours in the slow log of the last hour; the slowest took %s (%s)",
        figures.count(count, "call"), figures.time(seconds), worst.script)
end

return traffic
