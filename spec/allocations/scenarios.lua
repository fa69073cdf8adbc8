--- What programs do with redlock, in pieces: each is run over and over while an allocation fails.
--
-- A scenario has `prepare(world)`, in which nothing fails and which may return a client, and
-- `run(world, try, client)`, in which every call is made by `try(codes, fn, ...)`: it may fail with
-- one of these codes only, or with "not enough memory". What `run` returns is the client that has
-- to be of use afterwards; `anew(world)` makes another, where TLS is set up in `run`. One that is
-- `cold` runs in a process that has never made a client.

local event_loops = require "support.event_loops"
local redlock = require "redlock"
local wait = require "support.wait"
require "redlock.host.blocking"

local scenarios = {}

-- A node that is thought dead after so long costs that for every request that was not sent.
local TIMEOUT = 0.08

-- With what a call may fail. A lock that the engine has no memory to watch counts as lost.
local NOTHING = {}
local REACHES = { "unavailable" }
local TRIES = { "unavailable", "locked" }
local WAITS = { "unavailable", "timeout" }
local KEEPS = { "unavailable", "lost" }
local EVICTS = { "unavailable", "lost", "locked" }

local function new_client(world, nodes, options)
    local settings = {
        nodes = nodes, timeout = TIMEOUT, ttl = 5, wait = 0, restart_guard = false,
        tls_ca_file = world.ca,
    }
    for name, value in pairs(options or {}) do
        settings[name] = value
    end
    return redlock.new(settings)
end

-- Takes a lock, though the machine may be busy.
local function have(client, name, options)
    return assert(wait.wait_until(function()
        return client:acquire(name, options)
    end, 20))
end

-- With its connections, and its engine.
local function warm_client(world, nodes, options)
    local client = new_client(world, nodes, options)
    have(client, "warm:" .. world.name):release()
    return client
end

local function three(world)
    return { world.plain.url, world.unix, world.tls.url }
end

local function one(world)
    return { world.plain.url }
end

local function give_back(try, lock, codes)
    if lock then
        try(codes, lock.release, lock)
    end
end

-- ---- from nothing ----

-- The first lock of a client.
local function first_lock(nodes, options)
    return {
        run = function(world, try)
            local client = try(NOTHING, new_client, world, nodes(world), options)
            if not client then
                return nil
            end
            local lock = try(REACHES, client.try, client, world.name)
            give_back(try, lock, KEEPS)
            return client
        end,
    }
end

local function with_tls(scenario, nodes)
    scenario.anew = function(world)
        return new_client(world, nodes(world))
    end
    return scenario
end

local function of_five(world)
    local nodes = three(world)
    nodes[4], nodes[5] = "redis://127.0.0.1:1", "redis://[::1]:1" -- that nobody listens on
    return nodes
end

local function by_tls(world)
    return { world.tls.url }
end

scenarios.cold = first_lock(one)
scenarios.cold.cold = true

scenarios.tcp = first_lock(one)

scenarios.name = first_lock(function(world)
    return { "redis://localhost:" .. world.plain.port }
end)

scenarios.unix = first_lock(function(world) return { world.unix } end, { renew = false })

scenarios.tls = with_tls(first_lock(by_tls), by_tls)

scenarios.five = with_tls(first_lock(of_five), of_five)

scenarios.settings = with_tls({
    run = function(world, try)
        local client = try(NOTHING, new_client, world, { world.plain.url, world.tls.url }, {
            prefix = "prefix:", ttl = 3, wait = 0.1, renew = true, max_hold = 60, fair = true,
            detach = true, drift_factor = 0.02, restart_guard = "auto", client_name = "sweep",
            host = "blocking", tls_verify = true, tls_server_name = "localhost",
        })
        if client then
            try(NOTHING, tostring, client)
            local lock = try(NOTHING, client.lock, client, world.name, { ttl = 1, wait = 0 })
            try(NOTHING, tostring, lock)
        end
        return client
    end,
}, function(world) return { world.plain.url, world.tls.url } end)

-- ---- with a client that is connected ----

scenarios.calls = {
    prepare = function(world)
        return warm_client(world, one(world), { renew = false })
    end,
    run = function(world, try, client)
        local lock = try(REACHES, client.try, client, world.name)
        if lock then
            try(NOTHING, lock.held, lock)
            try(NOTHING, lock.remaining, lock)
            try(NOTHING, tostring, lock)
            try(REACHES, lock.extend, lock, 6)
            try(TRIES, client.try, client, world.name)
            try(REACHES, client.info, client, world.name)
            give_back(try, lock, REACHES)
            give_back(try, lock, REACHES)
        end
        try(REACHES, client.with, client, world.name .. ":with", { fair = true }, function(held)
            return held.fence
        end)
        return client
    end,
}

scenarios.objects = {
    prepare = function(world)
        return warm_client(world, three(world))
    end,
    run = function(world, try, client)
        local mutex = try(NOTHING, client.lock, client, world.name, { ttl = 2, renew = false })
        for _ = 1, 2 do
            if mutex and try(REACHES, mutex.acquire, mutex, { wait = 0.1 }) then
                give_back(try, mutex, REACHES)
            end
        end
        try(REACHES, client.try, client, world.name .. ":garbage")
        mutex = nil -- luacheck: ignore 311
        try(NOTHING, collectgarbage)
        try(REACHES, client.info, client, world.name)
        return client
    end,
}

-- Another owner's lease runs out, while one waits for it; and once one waits in vain.
scenarios.waiting = {
    prepare = function(world)
        world.other = warm_client(world, one(world), { renew = false })
        return warm_client(world, one(world))
    end,
    run = function(world, try, client)
        local others = try(REACHES, world.other.try, world.other, world.name, { ttl = 0.03 })
        local lock = try(WAITS, client.acquire, client, world.name, { wait = 0.5, fair = true })
        try(WAITS, world.other.acquire, world.other, world.name, { wait = 0.01 })
        give_back(try, lock, KEEPS)
        give_back(try, others, KEEPS)
        world.unaffected(function() world.other:close() end)
        return client
    end,
}

scenarios.watchdog = {
    prepare = function(world)
        return warm_client(world, { world.plain.url, world.unix })
    end,
    run = function(world, try, client)
        local options = { ttl = 0.3, max_hold = 10 }
        local first = try(REACHES, client.try, client, world.name, options)
        local second = try(REACHES, client.try, client, world.name .. ":2", options)
        wait.sleep(0.12)
        if first then
            try(KEEPS, first.extend, first, 0.4)
        end
        give_back(try, first, KEEPS)
        give_back(try, second, KEEPS)
        return client
    end,
}

-- It is deleted, and it is taken by another.
scenarios.lost = {
    prepare = function(world)
        return warm_client(world, one(world))
    end,
    run = function(world, try, client)
        local gone = try(REACHES, client.try, client, world.name)
        local taken = try(REACHES, client.try, client, world.name .. ":2")
        world.unaffected(function()
            world.ask("DEL", world.name)
            world.ask("SET", world.name .. ":2", "another's", "PX", 5000)
        end)
        if gone then
            try(KEEPS, gone.extend, gone, 7)
        end
        give_back(try, gone, KEEPS)
        give_back(try, taken, KEEPS)
        return client
    end,
}

-- What is held when the client is closed; what is tried is the close, which follows.
scenarios.close = {
    prepare = function(world)
        local client = warm_client(world, three(world))
        world.held = {}
        for index = 1, 40 do
            world.held[index] = have(client, world.name .. ":" .. index, { renew = index % 2 == 0 })
        end
        return client
    end,
    run = function(_, _, client)
        return client
    end,
}

-- Who looks at what others hold, and takes it away.
scenarios.operator = {
    prepare = function(world)
        world.other = warm_client(world, three(world), { identity = "held", renew = false })
        return warm_client(world, three(world))
    end,
    run = function(world, try, client)
        local lock = try(REACHES, world.other.try, world.other, world.name, { at_least = 0.2 })
        try(REACHES, client.list, client, world.name .. "*", { all = true })
        give_back(try, lock, KEEPS)
        try(EVICTS, client.break_lock, client, world.name)
        try(EVICTS, client.break_lock, client, world.name, { token = "x", any_type = true })
        world.unaffected(function() world.other:close() end)
        return client
    end,
}

-- ---- in event loops ----

-- Three who want one lock, and one who waits for another in vain and looks on.
local function many_at_once(loop, world, try, client)
    for _ = 1, 3 do
        loop.spawn(function()
            local lock = try(WAITS, client.acquire, client, world.name, { wait = 1 })
            if lock then
                try(NOTHING, lock.on_lost, lock, function() end)
                loop.sleep(0.002)
                try(KEEPS, lock.extend, lock, 6)
            end
            give_back(try, lock, KEEPS)
        end)
    end
    loop.spawn(function()
        try(WAITS, client.acquire, client, world.held_name, { wait = 0.02 })
        try(REACHES, client.info, client, world.name)
        local kept = { at_least = 0.05 }
        try(REACHES, client.with, client, world.name .. ":with", kept, function() end)
        try(REACHES, client.list, client, world.name .. "*")
        try(EVICTS, client.break_lock, client, world.name .. ":with")
    end)
end

local function in_loop(loop)
    return {
        prepare = function(world)
            local client
            loop.run(function()
                client = warm_client(world, one(world))
            end)
            world.held_name = world.name .. ":held"
            world.ask("SET", world.held_name, "another's", "PX", 20000)
            return client
        end,
        run = function(world, try, client)
            loop.run(function()
                many_at_once(loop, world, try, client)
            end)
            return client
        end,
    }
end

scenarios.cqueues = in_loop(event_loops.cqueues())
scenarios.luv = in_loop(event_loops.luv())

return scenarios
