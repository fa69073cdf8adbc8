--- One act of a torture: a fleet of clients under the faults of one profile, and what can be said
-- of its history.

local Fleet = require "torture.fleet"
local history = require "torture.history"
local judge = require "torture.judge"
local leftovers = require "torture.leftovers"
local nemesis = require "torture.nemesis"
local redis = require "torture.redis"
local redlock = require "redlock"
local section = require "torture.section"
local store = require "torture.store"
local wait = require "support.wait"

local act = {}

local START = 60 -- seconds until everybody has owned something for the first time
local STOP = 60 -- seconds until everybody has ended
local ENOUGH = 60 -- seconds until there is something to judge

local function append(list, more)
    for _, item in ipairs(more) do
        list[#list + 1] = item
    end
end

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

-- Until there are owners and fences to compare, and each kind of client has done what it is there for:
-- faults may have kept everybody from that.
local function await_enough(fleet, classes)
    local has_loops = classes.cqueues or classes.luv
    wait.wait_until(function()
        fleet:poll()
        local counts = judge.judge(fleet:sections()).counts
        return counts.pairs > 0 and counts.fences > 0 and counts.accepted > 0 and counts.kept > 0
            and (counts.outlived > 0 or not classes.steady)
            and (counts.passed_on > 0 or not has_loops)
    end, ENOUGH)
end

local function play_rounds(rounds, on, result, tell)
    for index, round in ipairs(rounds) do
        tell(index, round)
        local played = nemesis.play(round, on)
        result.rounds[index] = played
        append(result.keys, played.keys)
        append(result.forgotten, played.forgotten)
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
-- `keys`, `forgotten`, `queues` (findings), `handed_over`, `forks`, `sections`
function act.play(world, settings, rounds, random, tell)
    settings.dir = make_directory(world, settings.name)
    empty(world)
    local fleet = start_fleet(world, settings)
    world.fleet = fleet -- for who has to end it all
    local rival = new_rival(world, settings, fleet)
    local on = {
        world = world, rival = rival, fleet = fleet, random = random,
        ttl = settings.ttl, bound = settings.bound, memories = {},
    }
    local result = { rounds = {}, keys = {}, forgotten = {}, late = await_all(fleet) }
    play_rounds(rounds, on, result, tell)
    await_enough(fleet, settings.classes)
    result.wrong = fleet:stop(STOP)
    rival:close()
    local outlived
    outlived, result.queues, result.handed_over = leftovers.find(world, settings.ttl)
    append(result.keys, outlived)
    append(result.wrong, fleet:wrong_claims())
    result.sections, result.forks = fleet:sections(), fleet:forks()
    fleet:close()
    result.report = judge.judge(result.sections)
    return result
end

return act
