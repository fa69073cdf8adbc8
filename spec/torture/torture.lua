--- A whole torture: acts, one after the other, and the verdict.

local act = require "torture.act"
local faults = require "torture.faults"
local nemesis = require "torture.nemesis"
local processes = require "torture.processes"
local profiles = require "torture.profiles"
local random = require "torture.random"
local report = require "torture.report"
local system = require "torture.system"
local verdict = require "torture.verdict"
local worlds = require "torture.world"

local torture = {}

-- Of each class how many: enough for every lock to be wanted by several, few enough for two slow
-- cores.
torture.FLEET = {
    lua = 6, luajit = 4, steady = 2, fork = 2, wall = 3, far = 3, ["far-luajit"] = 2,
    cqueues = 2, luv = 2, browser = 1,
}

-- For a spec: without nginx, and on one Lua.
torture.SMALL_FLEET = { lua = 3, steady = 1, fork = 1, far = 1, cqueues = 1, luv = 1 }

torture.NODES = 5
torture.TTL = 1 -- seconds
-- Seconds beyond the ttl in which everybody makes progress after healing: half of what clients wait.
torture.BOUND = 14

local function is_listed(name, list)
    for _, each in ipairs(list) do
        if each == name then
            return true
        end
    end
    return #list == 0
end

-- The classes of fault of a profile.
local function classes_of(profile, options)
    local classes = {}
    for _, class in ipairs(faults) do
        local can_be = not class.needs or options.fleet[class.needs]
        if class.profiles[profile] and can_be and is_listed(class.name, options.only) then
            classes[#classes + 1] = class
        end
    end
    return classes
end

--- Lists the classes.
function torture.list(print_line)
    for _, class in ipairs(faults) do
        local names = {}
        for _, profile in ipairs(profiles) do
            names[#names + 1] = class.profiles[profile.name] and profile.name or nil
        end
        print_line(("%-20s %-8s %-26s %s"):format(
            class.name, class.group, table.concat(names, " "), class.what))
    end
end

-- What of a class comes first: in a short run each comes in one profile.
local function without_those_done(classes, done)
    local left = {}
    for _, class in ipairs(classes) do
        if not done[class.name] then
            left[#left + 1] = class
            done[class.name] = true
        end
    end
    return left
end

local function settings_of(options, profile, number)
    return {
        name = ("%s-%d"):format(profile.name, number),
        prefix = ("%s-%d-"):format(profile.name, number),
        classes = profile.fleet or options.fleet,
        ttl = torture.TTL, bound = torture.TTL + torture.BOUND,
        counts = profile.counts, timeout = 0.3, pause = 0.12, seed = options.seed,
        hot = 2, cold = 12, long = 12, shared = 2,
    }
end

local function play_act(world, options, profile, number, classes, most)
    local settings = settings_of(options, profile, number)
    local rounds = nemesis.draw(classes, options.random, most)
    local result = act.play(world, settings, rounds, options.random, function(index, round)
        local names = {}
        for position, class in ipairs(round) do
            names[position] = class.name
        end
        options.tell(("%s %d, round %d of %d: %s"):format(
            profile.name, number, index, #rounds, table.concat(names, ", ")))
    end)
    return result, profile, settings.bound
end

local function play_all(world, options, total)
    local began, number = system.clock(), 0
    local done = {}
    repeat
        number = number + 1
        local long = options.minutes > 0
        for _, profile in ipairs(profiles) do
            local classes = classes_of(profile.name, options)
            classes = long and classes or without_those_done(classes, done)
            if is_listed(profile.name, options.profiles) and #classes > 0 then
                local most = long and options.random:between(1, 4) or math.huge
                total:add(play_act(world, options, profile, number, classes, most))
            end
        end
    until system.clock() - began >= options.minutes * 60e9
end

-- On a terminal one line, which changes.
local function say(options, text)
    if options.terminal then
        options.write("\r\27[K" .. text)
    else
        options.write(("%6.1f s  %s\n"):format((system.clock() - options.began) / 1e9, text))
    end
end

local function start_world(options)
    local left, why_not = nil, "it was asked for"
    if not options.proxies then
        left, why_not = worlds.leave_network()
    end
    if left then
        processes.own_network()
    end
    return worlds.start {
        nodes = torture.NODES, luas = options.luas, network = left, why_no_network = why_not,
    }
end

--- Runs.
-- @tparam table options
--
--   * `luas`: list of `{ command, build }`
--   * `fleet`: how many clients of each class
--   * `seed`; `minutes`: 0 for each class once; `only`, `profiles`: lists of names, empty for all
--   * `proxies`: whether to stay in the network of this machine
--   * `write`: a function; `terminal`: whether that is one
-- @treturn boolean whether all passed
function torture.run(options)
    options.random, options.began = random.new(options.seed), system.clock()
    options.tell = function(text) say(options, text) end
    options.write(("seed %d\n"):format(options.seed))
    processes.mark()
    local total, world = verdict.new(), nil
    local ok, err = xpcall(function()
        world = start_world(options)
        options.write(world:describe() .. "\n")
        play_all(world, options, total)
    end, debug.traceback)
    say(options, ok and "all is over" or "it ends here")
    if not ok then
        total:fail("the harness itself", tostring(err))
    end
    if world then
        total:take_log(world)
        total:take_packets(world)
        world:stop()
    end
    total:check_processes(processes.left())
    total:conclude()
    return report.print(total, options.seed, options.write)
end

return torture
