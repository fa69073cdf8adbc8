--- The classes of fault, each with its name, what is done, and to what.
--
-- A class is `{ name, group, takes, what, ttls, profiles, alone, ages, needs, inject }`.
-- `inject(on, class)` begins it and returns `heal`, a function that ends it, and perhaps `tick`,
-- which is called again and again meanwhile, `took`, which tells whether it has had an effect,
-- `after`, which is called once everybody has made progress, and `missed`, true if there was nothing
-- to do it to. It lasts for `ttls` leases, and on until it has had its effect. What `counted` names
-- of the wire's counts (wire.lua) is that effect.
--
-- Classes come together as long as each finds what it takes of its group's share (`faults.shares`).
-- Of nodes, and of the ways to them, it takes as many as it hits, so that no two hit the same. One
-- that is `alone` has a round of its own; before one with `ages`, all nodes get old enough for the
-- restart guard; without clients of the class that it `needs` there is nothing to do it to.
--
-- `on` is `{ world, fleet, rival, random, ttl, free, far }`: with the harness as a client of its
-- own, the nodes that are still free, by group, and what happens to the packets of far clients.
--
-- Profiles (see profiles.lua) say what is promised while it goes on.

local faults = {
    shares = { node = 5, network = 5, light = 1, packets = 2, client = 2, loss = 1 },
}

local LONGER = 1.4 -- leases: longer than any that was granted before

local named = {}

--- Adds a class. Unless it says otherwise, it takes 1, lasts longer than a lease, and is for all
-- profiles but one.
function faults.add(class)
    class.takes = class.takes or 1
    class.ttls = class.ttls or LONGER
    class.profiles = class.profiles or { "lasting", "forgetful", "broken" }
    for _, profile in ipairs(class.profiles) do
        class.profiles[profile] = true
    end
    faults[#faults + 1] = class
    named[class.name] = class
end

--- The class of a name.
function faults.named(name)
    return named[name]
end

--- As many nodes as a class takes, that nothing else of its group happens to in this round.
function faults.take_nodes(on, class)
    local free = on.free[class.group]
    local taken = on.random:some(free, class.takes)
    assert(#taken == class.takes, "not enough nodes are free")
    for _, node in ipairs(taken) do
        for index = #free, 1, -1 do
            if free[index] == node then
                table.remove(free, index)
            end
        end
    end
    return taken
end

--- Does something to each of a list.
function faults.do_each(list, act)
    for _, item in ipairs(list) do
        act(item)
    end
end

--- A function that does something to each of a list.
function faults.each(list, act)
    return function()
        faults.do_each(list, act)
    end
end

function faults.nothing()
end

require "torture.faults.nodes"(faults)
require "torture.faults.ways"(faults)
require "torture.faults.packets"(faults)
require "torture.faults.clients"(faults)
require "torture.faults.forgetting"(faults)

return faults
