--- One act of a torture: a fleet of clients under the faults of one profile, and what can be said
-- of its history.

local Fleet = require "torture.fleet"
local history = require "torture.history"
local judge = require "torture.judge"
local nemesis = require "torture.nemesis"
local redis = require "torture.redis"
local redlock = require "redlock"
local section = require "torture.section"
local store = require "torture.store"
local wait = require "support.wait"

local act = {}

local START = 30 -- seconds until everybody has owned something for the first time
local STOP = 20 -- seconds until everybody has ended

-- ---- before ----

local function make_directory(world, name)
    local dir = world.dir .. "/" .. name
    assert(os.execute("mkdir " .. dir))
    return dir
end

local function set_nginx(world, path, settings)
    if settings.classes.browser then
        if world.nginx then
            world.nginx:reload()
        else
            world:start_nginx(path)
        end
        settings.nginx = world.nginx.port
        world:save_settings(settings)
    end
end

-- As in a new installation, but for the servers' age.
local function empty(world)
    for _, node in ipairs(world.nodes) do
        node:set_clock(0)
        assert(node:ask "FLUSHALL")
    end
end

local function start_fleet(world, settings)
    local path = world:save_settings(settings)
    set_nginx(world, path, settings)
    local fleet = Fleet.new {
        dir = settings.dir, settings = path, luas = world.luas,
        network = world.wire and world.wire.network,
    }
    local classes = {}
    for class in pairs(settings.classes) do
        classes[#classes + 1] = class
    end
    table.sort(classes)
    for _, class in ipairs(classes) do
        for _ = 1, settings.classes[class] do
            fleet:spawn(class)
        end
    end
    return fleet
end

-- The harness as a client, which takes what others have lost.
local function new_rival(world, settings, fleet)
    local client = redlock.new { nodes = world.urls.b, timeout = settings.timeout }
    local writer = history.writer(settings.dir .. "/rival.history")
    local worker = {
        client = client, writer = writer, settings = settings, sleep = wait.sleep,
        store = store.new(redis.dial, world.store), orders = function() return "go" end,
    }
    fleet.rival = history.reader(settings.dir .. "/rival.history", "rival", "rival")
    return {
        take = function(_, name, seconds)
            return section.run(worker, { name = name, hold = 0, wait = seconds })
        end,
        close = function()
            client:close()
            worker.store:close()
        end,
    }
end

local function await_all(fleet)
    local idle
    wait.wait_until(function()
        fleet:poll()
        idle = judge.idle_since(fleet:workers(), 0)
        return #idle == 0
    end, START)
    local names = {}
    for index, reader in ipairs(idle) do
        names[index] = reader.client
    end
    return names
end

-- ---- after ----

-- Until somebody has held for much longer than a lease, which faults may have kept everybody from.
local function await_long_tenure(fleet, ttl)
    wait.wait_until(function()
        fleet:poll()
        local longest = 0
        for _, client in ipairs(fleet.clients) do
            longest = math.max(longest, client.reader.longest)
        end
        return longest > 2.5 * ttl * 1e9
    end, 12 * ttl)
end

-- Locks go with their leases. What stands in queues is told at a release, and dropped if it does
-- not hear.
local function look_for_leftovers(world, settings, result)
    local client = redlock.new { nodes = world.urls.a, timeout = 2, ttl = 2, restart_guard = false }
    local function left_over(matching)
        local left = {}
        for _, node in ipairs(world.nodes) do
            for _, name in ipairs(judge.left_over(node:keys())) do
                if not matching or name:find(matching) then
                    left[#left + 1] = name
                end
            end
        end
        return left
    end
    local function go(matching, seconds)
        local left
        wait.wait_until(function()
            left = left_over(matching)
            return #left == 0
        end, seconds)
        return left
    end
    for _, name in ipairs(go("^[^{]", settings.ttl + 1)) do
        result.keys[#result.keys + 1] = name .. " outlived its lease"
    end
    local names = {}
    for _, key in ipairs(left_over ":queue$") do
        names[key:match "^{(.*)}:queue$"] = true
    end
    for name in pairs(names) do
        result.handed_over = result.handed_over + 1
        assert(assert(client:acquire(name, { wait = 10 })):release())
    end
    client:close()
    result.queues = go(nil, 2)
end

local function count_classes(sections)
    local tenures = {}
    for _, each in ipairs(sections) do
        tenures[each.class] = (tenures[each.class] or 0) + (each.own and 1 or 0)
    end
    return tenures
end

-- What came to pass in the rounds of each class.
local function tell_rounds(rounds, sections)
    for _, round in ipairs(rounds) do
        round.tenures, round.lost, round.stale = 0, 0, 0
    end
    local function round_of(time)
        for _, round in ipairs(rounds) do
            if time >= round.from and time <= round.recovered then
                return round
            end
        end
    end
    for _, each in ipairs(sections) do
        local round = each.own and round_of(each.own)
        if round and each.own <= round.healed then
            round.tenures = round.tenures + 1
        end
        local lossy = each.lost and round_of(each.lost)
        if lossy then
            lossy.lost = lossy.lost + 1
            lossy.stale = lossy.stale + each.stale
        end
    end
end

--- Plays an act.
-- @tparam table world
-- @tparam table settings what clients are told, with `name`, `ttl`, `bound` and `classes`, how many
-- clients of each
-- @tparam {{table,...},...} rounds see nemesis.lua
-- @tparam table random
-- @tparam function tell called before each round with its number and the classes
-- @treturn table `rounds`, `report` (see judge.lua), `wrong` (clients), `late` (never began),
-- `keys`, `queues`, `tenures` by class, `forks`, `sections`
function act.play(world, settings, rounds, random, tell)
    settings.dir = make_directory(world, settings.name)
    empty(world)
    local fleet = start_fleet(world, settings)
    world.fleet = fleet -- for who has to end it all
    local rival = new_rival(world, settings, fleet)
    local on = {
        world = world, rival = rival, fleet = fleet, random = random,
        ttl = settings.ttl, bound = settings.bound,
        memories = {},
    }
    local result = {
        rounds = {}, keys = {}, forgotten = {}, queues = {}, handed_over = 0, forks = 0,
        late = await_all(fleet),
    }
    for index, round in ipairs(rounds) do
        tell(index, round)
        result.rounds[index] = nemesis.play(round, on)
        for _, kind in ipairs { "keys", "forgotten" } do
            for _, text in ipairs(result.rounds[index][kind]) do
                result[kind][#result[kind] + 1] = text
            end
        end
    end
    if settings.classes.steady then
        await_long_tenure(fleet, settings.ttl)
    end
    local wrong = fleet:stop(STOP)
    rival:close()
    look_for_leftovers(world, settings, result)
    local claims
    result.sections, claims = fleet:sections()
    for _, text in ipairs(claims) do
        wrong[#wrong + 1] = text
    end
    for _, client in ipairs(fleet.ended) do
        result.forks = result.forks + client.reader.forks
    end
    result.wrong, result.tenures = wrong, count_classes(result.sections)
    result.report = judge.judge(result.sections)
    tell_rounds(result.rounds, result.sections)
    return result
end

return act
