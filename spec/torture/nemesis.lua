--- Does the faults, in rounds: some classes at a time, then all is healed, and everybody has to
-- make progress before the next round. What comes when is drawn from the seed.

local faults = require "torture.faults"
local judge = require "torture.judge"
local system = require "torture.system"
local wait = require "support.wait"

local nemesis = {}

local TICK = 0.12 -- seconds
local POLL = 0.03
local PATIENCE = 30 -- seconds beyond its time for which a fault is held that has had no effect yet

local function may_join(class, round, most)
    local first = round[1]
    return not first or #round < most and not class.alone and not first.alone
end

-- Those of a list that fit into one round, and those that are left.
local function fill_round(classes, most)
    local round, left, taken = {}, {}, {}
    for _, class in ipairs(classes) do
        local after = (taken[class.group] or 0) + class.takes
        if may_join(class, round, most) and after <= faults.shares[class.group] then
            taken[class.group] = after
            round[#round + 1] = class
        else
            left[#left + 1] = class
        end
    end
    return round, left
end

--- Draws rounds in which each class comes once.
-- @tparam {table,...} classes
-- @tparam Random random
-- @tparam number most how many may come together
-- @treturn {{table,...},...}
function nemesis.draw(classes, random, most)
    local left, rounds = random:some(classes, #classes), {}
    while #left > 0 do
        rounds[#rounds + 1], left = fill_round(left, most)
    end
    return rounds
end

local function copy(list)
    local copied = {}
    for index, item in ipairs(list) do
        copied[index] = item
    end
    return copied
end

-- Those of clients, and all others.
local function part(list, group_of)
    local of_clients, others = {}, {}
    for _, each in ipairs(list) do
        local of = group_of(each) == "client" and of_clients or others
        of[#of + 1] = each
    end
    return of_clients, others
end

local function group_of_class(class)
    return class.group
end

local function group_of_begun(each)
    return each.class.group
end

-- Clients first: while nothing else has happened, some own and some wait.
local function begin(round, on)
    local begun = {}
    for _, class in ipairs(round) do
        if class.ages then
            on.world:await_age(on.ttl + 2)
        end
    end
    on.free, on.far = { node = copy(on.world.nodes), network = copy(on.world.nodes) }, {}
    local of_clients, others = part(round, group_of_class)
    for _, classes in ipairs { of_clients, others } do
        for _, class in ipairs(classes) do
            local each = class.inject(on, class)
            each.class = class
            begun[#begun + 1] = each
        end
    end
    return begun
end

local function longest(round)
    local ttls = 0
    for _, class in ipairs(round) do
        ttls = math.max(ttls, class.ttls)
    end
    return ttls
end

-- Until `is_over` says so.
local function hold(begun, on, is_over)
    repeat
        for _, each in ipairs(begun) do
            if each.tick then
                each.tick()
            end
        end
        on.fleet:poll()
        wait.sleep(TICK)
    until is_over()
end

-- Those that have had their effect, and those that have not.
local function part_by_effect(begun)
    local took, late = {}, {}
    for _, each in ipairs(begun) do
        local list = (not each.took or each.took()) and took or late
        list[#list + 1] = each
    end
    return took, late
end

-- Clients last: those that were stopped go on in a world that has gone on.
local function heal(begun)
    local of_clients, others = part(begun, group_of_begun)
    for _, list in ipairs { others, of_clients } do
        for _, each in ipairs(list) do
            each.heal()
        end
    end
end

-- Each for its time. Those that have had no effect by then go on without the others, which may be
-- what kept it from them.
local function hold_and_heal(begun, on, seconds)
    local until_when = wait.now() + seconds
    hold(begun, on, function() return wait.now() > until_when end)
    local took, late = part_by_effect(begun)
    heal(took)
    until_when = wait.now() + PATIENCE
    while #late > 0 and wait.now() < until_when do
        hold(late, on, function() return true end)
        took, late = part_by_effect(late)
        heal(took)
    end
    heal(late)
end

-- Waits until everybody has owned something since then.
local function await_progress(on, since, bound)
    local idle
    wait.wait_until(function()
        on.fleet:poll()
        idle = judge.idle_since(on.fleet:workers(), since)
        wait.sleep(POLL)
        return #idle == 0
    end, bound)
    return idle
end

local function add(findings, node, texts)
    for _, text in ipairs(texts) do
        findings[#findings + 1] = ("node %d: %s"):format(node.index, text)
    end
end

local function check_keys(on, result)
    on.world:each_node(function(node)
        local keys = node:keys()
        on.memories[node] = on.memories[node] or {}
        add(result.keys, node, judge.keys(keys, on.ttl * 1000))
        add(result.forgotten, node, judge.forgotten(keys, on.memories[node]))
    end)
end

--- Does one round.
-- @tparam {table,...} round classes
-- @tparam table on see faults.lua, with `bound`: seconds after healing in which everybody has to
-- make progress; `memories`, the fences of each node
-- @treturn table `classes`, `from`, `healed`, `recovered` (times), `missed` (names of classes that
-- found nothing to do), `idle` (names of clients that made no progress), `keys` and `forgotten`
-- (findings)
function nemesis.play(round, on)
    local result = {
        classes = round, missed = {}, idle = {}, keys = {}, forgotten = {}, from = system.clock(),
    }
    local begun = begin(round, on)
    hold_and_heal(begun, on, on.ttl * longest(round))
    result.healed = system.clock()
    for _, reader in ipairs(await_progress(on, result.healed, on.bound)) do
        result.idle[#result.idle + 1] = reader.client
    end
    result.recovered = system.clock()
    check_keys(on, result)
    for _, each in ipairs(begun) do
        if each.after then
            each.after()
        end
        if each.missed then
            result.missed[#result.missed + 1] = each.class.name
        end
    end
    return result
end

return nemesis
