--- What happens to clients.

local system = require "torture.system"
local wait = require "support.wait"

local SCRIPTS = { lua = true, luajit = true, far = true, ["far-luajit"] = true }
local ANY = {
    lua = true, luajit = true, far = true, ["far-luajit"] = true, cqueues = true, luv = true,
}

local PATIENCE = 30 -- seconds until somebody owns, or waits

return function(faults)
    local do_each, each = faults.do_each, faults.each

    -- Stops some of those that own or wait now, or will soon. What they have written tells what they
    -- did a moment ago; only of who stands still it is certain.
    local function stop_three(on, state, classes)
        local stopped = {}
        wait.wait_until(function()
            for _, client in ipairs(on.random:some(on.fleet:that(state, classes), 3)) do
                if on.fleet:pause(client, state) then
                    stopped[#stopped + 1] = client
                else
                    on.fleet:resume(client)
                end
            end
            return #stopped > 0
        end, PATIENCE)
        return stopped
    end

    local function add_stop(name, ttls, what)
        faults.add {
            name = name, group = "client", ttls = ttls, what = what,
            inject = function(on)
                local hit = stop_three(on, "writes", ANY)
                local owned = ttls > 1 and hit[1] and on.fleet:owned(hit[1])
                return {
                    heal = function()
                        if owned then -- somebody else gets it first
                            on.rival:take(owned, PATIENCE)
                        end
                        do_each(hit, function(client) on.fleet:resume(client) end)
                    end,
                    missed = #hit == 0,
                }
            end,
        }
    end

    add_stop("stop-owner-briefly", 0.4, "three clients that own: SIGSTOP for less than a lease")
    add_stop("stop-owner", 1.6, "three clients that own: SIGSTOP for longer than a lease")

    local function add_kill(name, state, what)
        faults.add {
            name = name, group = "client", ttls = 0.5, what = what,
            inject = function(on)
                local hit = stop_three(on, state, SCRIPTS)
                do_each(hit, function(client) on.fleet:kill(client) end)
                return {
                    heal = each(hit, function(client) on.fleet:spawn(client.class) end),
                    missed = #hit == 0,
                }
            end,
        }
    end

    add_kill("kill-owner", "owns", "three clients that own: kill -9")
    add_kill("kill-waiter", "waits", "three clients that wait: kill -9")

    faults.add {
        name = "fork", group = "client", needs = "fork",
        what = "clients fork while they own; parent and child go on",
        inject = function(on)
            local before = on.fleet:forks()
            on.fleet:order "fork"
            return {
                heal = faults.nothing, after = function() on.fleet:order "go" end,
                took = function() return on.fleet:forks() > before end,
            }
        end,
    }

    local STEPS = { -3600, -60, -1, 0, 1, 60, 3600 } -- seconds

    faults.add {
        name = "wall-clock", group = "client", profiles = { "lasting" },
        what = "some clients: the wall clock jumps, up to an hour back and forth",
        inject = function(on)
            return {
                heal = faults.nothing,
                tick = function()
                    for _, client in ipairs(on.fleet.clients) do
                        if client.clock then
                            on.fleet:set_clock(client, on.random:pick(STEPS))
                        end
                    end
                end,
            }
        end,
    }

    faults.add {
        name = "reload-nginx", group = "client", needs = "browser",
        what = "nginx: reload while requests own and wait",
        inject = function(on)
            on.world.nginx:signal "HUP"
            return { heal = faults.nothing }
        end,
    }

    faults.add {
        name = "kill-worker", group = "client", needs = "browser", ttls = 0.5,
        what = "nginx: kill -9 of a worker",
        inject = function(on)
            system.signal(on.random:pick(on.world.nginx:workers()), "KILL")
            return { heal = faults.nothing }
        end,
    }
end
