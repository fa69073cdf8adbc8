--- The nodes together: how many there are, whether they are several, and whether locks can be had.
-- @module redlock.command.doctor.set
-- @local

local core = require "redlock.core"
local figures = require "redlock.command.figures"

local set = {}

local ROUNDS = 5
local MEND = "mend what is said of the nodes above"
local RENEWALS = 6 -- a lease should have room for so many timeouts

local function majority(count)
    return math.floor(count / 2) + 1
end

local function judge_number(list, count)
    local survives = count - majority(count)
    if count == 1 then
        list:note("number", { advice = "three independent nodes survive the loss of one" },
            "a single node: without it there are no locks")
    elseif count % 2 == 0 then
        list:warning("number", { advice = "add a node, or leave one out" },
            "an even number: %d nodes survive the loss of %s, no more than %d would", count,
            survives == 0 and "none" or survives, count - 1)
    else
        list:fine("number", nil, "%d nodes, which survive the loss of %d", count, survives)
    end
end

local function count_reached(nodes)
    local reached = 0
    for _, node in ipairs(nodes) do
        reached = reached + (node.reached and 1 or 0)
    end
    return reached
end

--- Whether so many nodes were reached that locks can be had.
-- @treturn boolean
function set.has_majority(nodes)
    return count_reached(nodes) >= majority(#nodes)
end

local function judge_reachable(list, nodes)
    local reached, needed = count_reached(nodes), majority(#nodes)
    local more = { reached = reached, needed = needed, advice = MEND }
    local shown = ("%d of %s reached, %d needed"):format(reached, figures.count(#nodes, "node"),
        needed)
    if reached < needed then
        list:problem("majority", more, "%s: there are no locks", shown)
    elseif reached == needed and reached < #nodes then
        list:warning("majority", more, "%s: if another one fails there are no locks", shown)
    elseif reached < #nodes then
        list:warning("majority", more, shown)
    else
        more.advice = nil
        list:fine("majority", more, shown)
    end
end

-- One server under two addresses would have two votes.
local function judge_identity(list, nodes)
    local seen = {}
    for _, node in ipairs(nodes) do
        local id = node.fields and node.fields.run_id
        local twin = id and seen[id]
        if twin then
            list:problem("identity", {
                nodes = { twin.name, node.name }, advice = "name each server once",
            }, "%s and %s are the same server: it has two votes", twin.name, node.name)
        elseif id then
            seen[id] = node
        end
    end
end

-- For so long it is young, in seconds, 0 or less if it is not. Uptimes are whole seconds: it may be a
-- second younger.
local function youth(node, guard)
    return node.uptime and guard > 0 and guard + 1 - node.uptime or 0
end

local function count_young(nodes, guard, but)
    local young = 0
    for _, node in ipairs(nodes) do
        young = young + (node ~= but and youth(node, guard) > 0 and 1 or 0)
    end
    return young
end

-- By the library's rule: a node that restarted lately votes only if half of the others did so, too.
local function judge_age(node, nodes, guard)
    local more = { uptime = node.uptime, guard = guard }
    local ago = node.uptime > 0 and figures.time(node.uptime) or "less than 1 s"
    if count_young(nodes, guard, node) * 2 >= #nodes - 1 then
        node.findings:note("uptime", more, "started %s ago, like others, and so votes at once", ago)
        return
    end
    more.advice = "wait; and see why it restarted"
    node.findings:warning("uptime", more,
        "started %s ago, may have forgotten locks, and has no vote for another %s",
        ago, figures.time(youth(node, guard)))
end

local function judge_guard(list, nodes, guard)
    if #nodes == 1 then
        return
    elseif guard == 0 then
        list:note("restart guard", nil,
            "no restart guard: a node that restarts without its data grants what is held")
    end
    for _, node in ipairs(nodes) do
        if youth(node, guard) > 0 then
            judge_age(node, nodes, guard)
        end
    end
end

local function judge_times(list, settings)
    local timeout, ttl = figures.time(settings.timeout), figures.time(settings.ttl)
    if settings.ttl < RENEWALS * settings.timeout then
        list:warning("times", { advice = "a lease of at least six timeouts" },
            "a timeout of %s is long for a lease of %s, which is renewed every third of it",
            timeout, ttl)
    else
        list:fine("times", nil, "timeout %s, lease %s", timeout, ttl)
    end
end

-- ---- a real lock ----

local function timed(action)
    local before = core.clock()
    local result, message, code, votes = action()
    return core.clock() - before, result, message, code, votes
end

-- How long each took, or nil and what failed.
local function one_round(client, name, ttl)
    local acquiring, lock, message = timed(function()
        return client:acquire(name, { ttl = ttl, wait = 0, renew = false })
    end)
    if not lock then
        return nil, "acquired", message
    end
    local extending, extended, extend_message = timed(function() return lock:extend(ttl) end)
    local seen = client:info(name)
    local releasing, released, release_message = timed(function() return lock:release() end)
    if not extended then
        return nil, "extended", extend_message
    elseif not released then
        return nil, "released", release_message
    end
    return {
        acquire = acquiring, extend = extending, release = releasing, seen = seen,
        token = lock.token,
    }
end

local function absent_from(round)
    local nodes = {}
    for _, node in ipairs(round.seen or {}) do
        if node.token ~= round.token then
            nodes[#nodes + 1] = node.node
        end
    end
    return nodes
end

local function median_of(rounds, what)
    local times = {}
    for index, round in ipairs(rounds) do
        times[index] = round[what]
    end
    return figures.median(times)
end

--- Acquires, extends and releases a lock of a scratch name, some times.
-- @tparam List list of findings
-- @tparam redlock.Client client
-- @tparam string name
-- @tparam number ttl seconds: what programs ask for, since the restart guard goes by that
function set.try_lock(list, client, name, ttl)
    local rounds = {}
    for index = 1, ROUNDS do
        local round, what, message = one_round(client, name, ttl)
        if not round then
            list:problem("lock", { advice = MEND }, "no lock could be %s: %s", what,
                (message:gsub('^%l+: ".-": ', "")))
            return
        end
        rounds[index] = round
    end
    local more = {
        acquire = median_of(rounds, "acquire"),
        extend = median_of(rounds, "extend"),
        release = median_of(rounds, "release"),
    }
    local shown = ("a real lock: acquire %s, extend %s, release %s"):format(
        figures.time(more.acquire), figures.time(more.extend), figures.time(more.release))
    local absent = absent_from(rounds[ROUNDS])
    if absent[1] then
        more.absent, more.advice = absent, MEND
        list:warning("lock", more, "%s; but it did not stand on %s", shown, figures.list(absent))
    else
        list:fine("lock", more, shown)
    end
end

--- Judges the nodes together.
-- @tparam List list of findings
-- @tparam {table,...} nodes `name`, `findings`, `reached`, `fields` of INFO, `uptime`
-- @tparam table settings `guard`, `ttl`, `timeout` in seconds
function set.judge(list, nodes, settings)
    judge_number(list, #nodes)
    judge_reachable(list, nodes)
    judge_identity(list, nodes)
    judge_guard(list, nodes, settings.guard)
    judge_times(list, settings)
end

return set
