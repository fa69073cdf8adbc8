--- What happens between clients and nodes, by fault proxies (support/fault.lua).

local NO_END = 1e15 -- bytes
local HEALTHY = {
    chunk = 65536, chunk_delay = 0, jitter = 0, delay_requests = 0, delay_replies = 0,
    hold_requests = false, hold_replies = false,
    close_after = NO_END, close_requests_after = NO_END,
}

local GARBAGE = {
    "\0\255\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n", "*99999999\r\n",
    "\r\n\r\n", "$-7\r\n", ":12345678901234567890123\r\n",
}

return function(faults)
    local take_nodes = faults.take_nodes

    -- What a proxy is told, and what it was before.
    local function healthy(changes)
        local before = {}
        for name in pairs(changes) do
            before[name] = HEALTHY[name]
        end
        return before
    end

    -- A behaviour of the proxies before some nodes; of one side alone, if one is named.
    local function add(name, takes, what, changes, side)
        local holds = changes.hold_requests or changes.hold_replies
        faults.add {
            name = name, group = "network", takes = takes, what = what,
            inject = function(on, class)
                local hit = take_nodes(on, class)
                local cut = holds and on.random:between(1, 2) == 1
                on.world:each_proxy(hit, function(proxy) proxy:set(changes) end, side)
                return {
                    heal = function()
                        on.world:each_proxy(hit, function(proxy)
                            if cut then -- what was held back never arrives; else it arrives late
                                proxy:cut { reset = true }
                            end
                            proxy:set(healthy(changes))
                        end, side)
                    end,
                }
            end,
        }
    end

    local SILENCE = { hold_requests = true, hold_replies = true }

    add("partition-node", 2, "two nodes: silence from and to everybody", SILENCE)
    add("partition-clients", 3, "some clients: silence from and to a majority", SILENCE, "a")
    add("lose-requests", 3, "three nodes: hear nothing; what was said arrives late, or never",
        { hold_requests = true })
    add("lose-replies", 3, "three nodes: do what they are asked; replies arrive late, or never",
        { hold_replies = true })
    add("delay", 3, "three nodes: 20 ms later in both directions, and up to 60 ms more",
        { delay_requests = 20, delay_replies = 20, jitter = 60 })
    add("byte-by-byte", 2, "two nodes: a byte at a time, in both directions", { chunk = 1 })
    add("trickle", 2, "two nodes: 5 kB/s for each connection", { chunk = 50, chunk_delay = 10 })

    faults.add {
        name = "cut-anywhere", group = "network", takes = 2,
        what = "two nodes: connections end after any number of bytes, in either direction",
        inject = function(on, class)
            local hit = take_nodes(on, class)
            local function set(replies, requests)
                on.world:each_proxy(hit, function(proxy)
                    proxy:set { close_after = replies, close_requests_after = requests }
                end)
            end
            return {
                heal = function() set(NO_END, NO_END) end,
                tick = function() set(on.random:between(1, 300), on.random:between(1, 3000)) end,
            }
        end,
    }

    faults.add {
        name = "half-open", group = "network", takes = 3,
        what = "three nodes: connections end for the node alone, the clients hear nothing, ever",
        inject = function(on, class)
            on.world:each_proxy(take_nodes(on, class), function(proxy) proxy:half_open() end)
            return { heal = faults.nothing }
        end,
    }

    faults.add {
        name = "refuse", group = "network", takes = 2,
        what = "two nodes: connections are reset, and new ones refused",
        inject = function(on, class)
            local hit = take_nodes(on, class)
            on.world:each_proxy(hit, function(proxy)
                proxy:refuse()
                proxy:cut { reset = true }
            end)
            return {
                heal = function()
                    on.world:each_proxy(hit, function(proxy) proxy:listen() end)
                end,
            }
        end,
    }

    faults.add {
        name = "garbage", group = "network", takes = 2,
        what = "two nodes: bytes that are no reply, between replies",
        inject = function(on, class)
            local hit = take_nodes(on, class)
            return {
                heal = faults.nothing,
                tick = function()
                    local bytes = on.random:pick(GARBAGE)
                    on.world:each_proxy(hit, function(proxy) proxy:inject(bytes) end)
                end,
            }
        end,
    }
end
