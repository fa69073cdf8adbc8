--- What happens to nodes that forget nothing.

local wait = require "support.wait"

local LASTING = { "lasting" }
local LONGER = 1.4 -- leases

local KEEPS_DATA = "kill -9, later restarted with %s data (AOF, always)"

return function(faults)
    local take_nodes, do_each, each = faults.take_nodes, faults.do_each, faults.each

    -- A class that does something to some nodes, and then something else.
    local function add(class, begin, finish)
        class.group, class.profiles = "node", LASTING
        class.inject = function(on, this)
            local hit = take_nodes(on, this)
            do_each(hit, function(node) begin(node, on) end)
            return { heal = each(hit, function(node) finish(node, on) end) }
        end
        faults.add(class)
    end

    local function kill(node)
        node:kill()
    end

    local function restart_with_data(node)
        node:restart(true)
    end

    add({ name = "kill-node", takes = 2, what = "two nodes: " .. KEEPS_DATA:format "their" },
        kill, restart_with_data)

    add({
        name = "kill-all-nodes", takes = 5, ttls = 0.5,
        what = "all nodes at once: " .. KEEPS_DATA:format "their",
    }, kill, restart_with_data)

    faults.add {
        name = "leave-dead", group = "node", takes = 2, profiles = LASTING,
        what = "two nodes: kill -9, and dead until everybody has made progress without them",
        inject = function(on, class)
            local hit = take_nodes(on, class)
            do_each(hit, kill)
            return { heal = faults.nothing, after = each(hit, restart_with_data) }
        end,
    }

    local function pause(node)
        node:pause()
    end

    local function resume(node)
        node:resume()
    end

    add({
        name = "stop-node-briefly", takes = 2, ttls = 0.4,
        what = "two nodes: SIGSTOP for less than a lease",
    }, pause, resume)

    add({ name = "stop-node", takes = 2, what = "two nodes: SIGSTOP for longer than a lease" },
        pause, resume)

    add({
        name = "stop-majority", takes = 3, what = "three nodes: SIGSTOP for longer than a lease",
    }, pause, resume)

    -- Nobody else may ask it meanwhile, who would wait with it.
    local function occupy(node, ...)
        node.is_deaf = true
        node.occupied = node:send(...)
    end

    local function leave(node)
        node.occupied:close()
        node.occupied, node.is_deaf = nil, false
    end

    add({ name = "sleep-node", takes = 2, what = "two nodes: DEBUG SLEEP for longer than a lease" },
        function(node, on) occupy(node, "DEBUG", "SLEEP", on.ttl * LONGER) end, leave)

    add({ name = "busy-node", what = "one node: an endless script (BUSY), then SCRIPT KILL" },
        function(node) occupy(node, "EVAL", "while true do end", 0) end,
        function(node)
            wait.wait_until(function() return node:ask("SCRIPT", "KILL") == "OK" end)
            leave(node)
        end)

    add({
        name = "pause-clients", takes = 2,
        what = "two nodes: CLIENT PAUSE for longer than a lease",
    }, function(node, on)
        node:ask("CLIENT", "PAUSE", math.floor(on.ttl * LONGER * 1000))
        node.is_deaf = true
    end, function(node)
        node:ask "PING" -- is answered when it is over
        node.is_deaf = false
    end)

    local function set(name, value)
        return function(node)
            assert(node:ask("CONFIG", "SET", name, value))
        end
    end

    add({
        name = "fill-memory", takes = 3,
        what = "three nodes: out of memory, nothing is evicted (OOM)",
    }, set("maxmemory", "1"), set("maxmemory", "64mb"))

    add({
        name = "take-rights", takes = 3,
        what = "three nodes: the clients' user may do nothing any more (ACL, NOPERM)",
    }, function(node)
        assert(node:ask("ACL", "SETUSER", "locks", "-@all"))
    end, function(node)
        assert(node:grant_rights())
    end)

    add({
        name = "delete-user", takes = 3,
        what = "three nodes: the clients' user is gone, and with it its connections (WRONGPASS)",
    }, function(node)
        assert(node:ask("ACL", "DELUSER", "locks"))
    end, function(node)
        assert(node:grant_rights())
    end)

    add({
        name = "maxclients", takes = 3,
        what = "three nodes: all connections closed, and no more taken (maxclients)",
    }, function(node)
        set("maxclients", "1")(node)
        node:ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        node:ask("CLIENT", "KILL", "TYPE", "pubsub")
    end, set("maxclients", "1000"))

    local function add_light(name, what, act)
        faults.add {
            name = name, group = "light", what = what,
            inject = function(on)
                return {
                    heal = faults.nothing,
                    tick = function()
                        on.world:each_node(function(node) act(node, on) end)
                    end,
                }
            end,
        }
    end

    add_light("kill-connections", "all nodes: CLIENT KILL of all connections, again and again",
        function(node, on)
            local kind = on.random:pick { "normal", "pubsub" }
            node:ask("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        end)

    add_light("flush-scripts", "all nodes: SCRIPT FLUSH, again and again",
        function(node) node:ask("SCRIPT", "FLUSH") end)
end
