--- What is left on the nodes when all clients have ended.

local judge = require "torture.judge"
local redlock = require "redlock"
local wait = require "support.wait"

local leftovers = {}

local LOCK, QUEUE = "^[^{]", "^{(.*)}:queue$"
local PATIENCE = 10 -- seconds: a claim is gone in one, a queue would take 30

local function list(world, pattern)
    local left = {}
    for _, node in ipairs(world.nodes) do
        for _, name in ipairs(judge.left_over(node:keys())) do
            left[#left + 1] = name:find(pattern) and name or nil
        end
    end
    return left
end

local function await_none(world, pattern, seconds)
    local left
    wait.wait_until(function()
        left = list(world, pattern)
        return #left == 0
    end, seconds)
    return left
end

-- A release tells the first of a queue, and drops those that do not hear.
local function hand_over_all(world)
    local client = redlock.new {
        nodes = world.urls.a, timeout = 10, ttl = 10, restart_guard = false,
    }
    local names, count = {}, 0
    for _, key in ipairs(list(world, QUEUE)) do
        names[key:match(QUEUE)] = true
    end
    for name in pairs(names) do
        count = count + 1
        assert(assert(client:acquire(name, { wait = 20 })):release())
    end
    client:close()
    return count
end

--- Finds locks that outlive their leases, and whatever but fences is left once each lock whose queue
-- is not empty was handed over one more time.
-- @tparam World world
-- @tparam number ttl seconds
-- @treturn {string,...} what is wrong with locks
-- @treturn {string,...} keys that are left
-- @treturn number how many queues there were
function leftovers.find(world, ttl)
    local outlived = {}
    for index, name in ipairs(await_none(world, LOCK, ttl + 3)) do
        outlived[index] = name .. " outlived its lease"
    end
    local count = hand_over_all(world)
    return outlived, await_none(world, ".", PATIENCE), count
end

return leftovers
