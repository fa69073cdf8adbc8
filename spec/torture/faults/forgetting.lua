--- What happens to nodes that forget leases or fences: under the guard, and outside of all
-- assumptions.

local judge = require "torture.judge"
local servers = require "servers"
local system = require "torture.system"
local wait = require "support.wait"

local FORGETFUL, BROKEN, LAWLESS = { "forgetful" }, { "broken" }, { "lawless" }

local DELETE_LOCKS = [[
    for _, key in ipairs(redis.call('KEYS', '*')) do
        if not string.find(key, ':fence$') and redis.call('PTTL', key) > tonumber(ARGV[1]) then
            redis.call('DEL', key)
        end
    end
    return 'OK'
]]

-- Deletes all but fences that would live for longer than so many ms.
local function delete_locks(node, ms)
    assert(node:ask("EVAL", DELETE_LOCKS, 0, ms))
end

local function restart_empty(node)
    node:restart(false)
end

-- Whether the judge has seen something by now. What is outside of the assumptions goes on until it
-- has: else nobody could tell that it would.
local function has_seen(on, kind)
    return function()
        return #judge.judge(on.fleet:sections()).findings[kind] > 0
    end
end

-- ---- ways ----

-- Nothing arrives, in either direction, and nothing of it will.
local function disconnect(on, nodes)
    local blocked = {}
    for _, node in ipairs(nodes) do
        blocked[node.port] = true
    end
    on.world:treat_far { block = blocked }
    on.world:each_proxy(nodes, function(proxy)
        proxy:set { hold_requests = true, hold_replies = true }
    end)
end

local function connect(on, nodes)
    on.world:treat_far {}
    on.world:each_proxy(nodes, function(proxy)
        proxy:cut { reset = true }
        proxy:set { hold_requests = false, hold_replies = false }
    end)
end

-- ---- replicas ----

local function start_replica(node)
    local server = node.server
    node.replica = servers.start_one {
        users = server.options.users,
        config = {
            { "replicaof", "127.0.0.1 " .. node.port },
            { "masteruser", "keeper" }, { "masterauth", server.secret },
        },
    }
end

local function is_in_sync(node)
    local link = node.replica:cli("INFO", "replication")
    return link:find("master_link_status:up", 1, true) ~= nil
end

local function are_in_sync(nodes)
    for _, node in ipairs(nodes) do
        if not is_in_sync(node) then
            return false
        end
    end
    return true
end

local function lead_to(on, node, port)
    on.world:each_proxy({ node }, function(proxy)
        proxy:aim(port)
        proxy:cut {}
    end)
end

-- It has stood still for a while: what it missed is forgotten.
local function promote(on, node)
    node:kill()
    node.replica:resume()
    assert(node.replica:cli("REPLICAOF", "NO", "ONE") == "OK")
    lead_to(on, node, node.replica.port)
end

local function demote(on, node)
    node:restart(true)
    lead_to(on, node, node.port)
    node.replica:close()
    node.replica = nil
end

return function(faults)
    local take_nodes, do_each, each = faults.take_nodes, faults.do_each, faults.each

    -- ---- under the guard: nothing else happens to nodes in such a round ----

    faults.add {
        name = "forget-nodes", group = "node", takes = 5, profiles = FORGETFUL, ages = true,
        what = "one or two nodes: kill -9, restarted without their data",
        inject = function(on, class)
            local hit = on.random:some(take_nodes(on, class), on.random:between(1, 2))
            do_each(hit, restart_empty)
            return { heal = faults.nothing }
        end,
    }

    faults.add {
        name = "forget-and-die", group = "node", takes = 5, profiles = FORGETFUL, ages = true,
        what = "one node: restarted without its data, while another is dead",
        inject = function(on, class)
            local hit = take_nodes(on, class)
            hit[1]:kill()
            restart_empty(hit[2])
            return { heal = function() hit[1]:restart(true) end }
        end,
    }

    -- What is granted while two nodes are out of reach stands on just a majority, of which two nodes
    -- then forget it: with the two that are back, they could grant it again.
    faults.add {
        name = "forget-grants", group = "node", takes = 5, ttls = 3.4, profiles = FORGETFUL,
        ages = true, alone = true,
        what = "two nodes: out of reach; when they are back, two others restart without their data",
        inject = function(on, class)
            local hit, until_when = take_nodes(on, class), wait.now() + 1.8 * on.ttl
            local function come_back()
                if until_when then
                    until_when = nil
                    connect(on, { hit[1], hit[2] })
                    do_each({ hit[3], hit[4] }, restart_empty)
                end
            end
            disconnect(on, { hit[1], hit[2] })
            return {
                heal = come_back,
                tick = function()
                    if until_when and wait.now() > until_when then
                        come_back()
                    end
                end,
            }
        end,
    }

    -- ---- outside ----

    faults.add {
        name = "forget-majority", group = "node", takes = 3, profiles = BROKEN,
        what = "three nodes: restarted without their data, too many to be guarded",
        inject = function(on, class)
            local hit, again_at = take_nodes(on, class), 0
            local function forget()
                if wait.now() > again_at then
                    do_each(hit, restart_empty)
                    again_at = wait.now() + 2 * on.ttl -- old enough to be asked again
                end
            end
            forget()
            return { heal = faults.nothing, tick = forget, took = has_seen(on, "overlap") }
        end,
    }

    -- Happens to every node that is up, again and again. It may end tenures: then it goes on until
    -- there were two owners.
    local function add_often(name, ends_tenures, what, act, finish)
        faults.add {
            name = name, group = "loss", profiles = BROKEN, what = "all nodes: " .. what,
            inject = function(on)
                return {
                    heal = function() on.world:each_node(finish or faults.nothing) end,
                    took = ends_tenures and has_seen(on, "overlap") or nil,
                    tick = function()
                        if on.random:between(1, 3) == 1 then
                            on.world:each_node(function(node) act(node, on) end)
                        end
                    end,
                }
            end,
        }
    end

    local function set_memory(node, policy, memory)
        assert(node:ask("CONFIG", "SET", "maxmemory-policy", policy))
        assert(node:ask("CONFIG", "SET", "maxmemory", memory))
    end

    add_often("delete-locks", true, "somebody deletes every key but the fences, now and then",
        function(node) delete_locks(node, 0) end)
    add_often("flush-all", true, "FLUSHALL, now and then",
        function(node) assert(node:ask "FLUSHALL") end)
    add_often("evict", false, "memory is full now and then, and a policy evicts any key",
        function(node, on) set_memory(node, "allkeys-random", on.random:pick { "1", "64mb" }) end,
        function(node) set_memory(node, "noeviction", "64mb") end)

    faults.add {
        name = "step-node", group = "node", takes = 5, profiles = BROKEN, alone = true,
        what = "one node: the clock jumps an hour ahead, and back; who stands on four is safe",
        inject = function(on, class)
            local node, since = on.random:pick(take_nodes(on, class)), system.clock()
            node:set_clock(3600)
            return {
                took = function()
                    for _, section in ipairs(on.fleet:sections()) do
                        if judge.is_safe(section) and section.own > since then
                            return true
                        end
                    end
                    return false
                end,
                heal = function()
                    node:set_clock(0)
                    delete_locks(node, 60000) -- what was set meanwhile would stand for an hour
                end,
            }
        end,
    }

    faults.add {
        name = "step-nodes", group = "node", takes = 3, profiles = BROKEN,
        what = "three nodes: the clock jumps an hour ahead, and back",
        inject = function(on, class)
            local hit = take_nodes(on, class)
            do_each(hit, function(node) node:set_clock(3600) end)
            return {
                heal = each(hit, function(node)
                    node:set_clock(0)
                    delete_locks(node, 60000)
                end),
            }
        end,
    }

    faults.add {
        name = "promote-replica", group = "node", takes = 3, profiles = BROKEN,
        what = "three nodes: die; a replica that missed the last writes is promoted",
        inject = function(on, class)
            local hit = take_nodes(on, class)
            do_each(hit, start_replica)
            assert(wait.wait_until(function() return are_in_sync(hit) end, 20), "no replica")
            do_each(hit, function(node) node.replica:pause() end)
            wait.sleep(on.ttl * 0.5)
            do_each(hit, function(node) promote(on, node) end)
            return { heal = each(hit, function(node) demote(on, node) end) }
        end,
    }

    faults.add {
        name = "forget-everything", group = "node", takes = 5, profiles = LAWLESS,
        what = "all nodes: restarted empty; new clients, an hour behind, come first",
        inject = function(on, class)
            local hit, known = take_nodes(on, class), {}
            for _, client in ipairs(on.fleet.clients) do
                known[#known + 1] = client
            end
            do_each(known, function(client) on.fleet:pause(client) end)
            do_each(hit, restart_empty)
            for _ = 1, 3 do
                on.fleet:spawn("wall", -3600)
            end
            return {
                heal = each(known, function(client) on.fleet:resume(client) end),
                took = has_seen(on, "inversion"),
            }
        end,
    }
end
