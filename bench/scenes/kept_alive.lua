--- One process holds many locks over three leases, and renews them.

local company = require "company"
local contestants = require "contestants"
local driver = require "driver"
local turns = require "turns"
local usage = require "usage"

local kept_alive = {}

local LEASES = 3
local ACQUIRE = 120 -- seconds that acquiring them may take

-- Distinct names that are locked; side keys end otherwise.
local COUNT = [[
local names, count = {}, 0
for _, key in ipairs(redis.call("KEYS", "*held:*")) do
    local name = key:match("held:%d+$")
    if name and not names[name] then
        names[name], count = true, count + 1
    end
end
return count]]

local COLUMNS = {
    { field = "client_percent", title = "own CPU, % of a core", format = "%.2f", better = "less" },
    { field = "redis_percent", title = "Redis CPU, % of a core", format = "%.2f", better = "less" },
    { field = "bytes", title = "bytes/lock", format = "%.0f", better = "less" },
    { field = "acquired", title = "acquired/s", format = "%.0f", better = "more" },
    { field = "lost", title = "lost", format = "%.0f", better = "less" },
}

local function cpu_percent(entrant, node, ttl)
    local client_us, redis_us = usage.cpu_us(entrant.drivers[1].pid), usage.cpu_us(node.pid)
    driver.sleep(ttl)
    client_us = usage.cpu_us(entrant.drivers[1].pid) - client_us
    redis_us = usage.cpu_us(node.pid) - redis_us
    return client_us / ttl / 1e4, redis_us / ttl / 1e4
end

-- Each lease is a round.
local function watch(entrant, node, count, ttl, figure)
    entrant.rounds = {}
    for lease = 1, LEASES do
        local client_percent, redis_percent = cpu_percent(entrant, node, ttl)
        entrant.rounds[lease] = {
            client_percent = client_percent, redis_percent = redis_percent,
            bytes = figure.bytes, acquired = figure.acquired,
        }
    end
    local lost = count - tonumber(node:cli("EVAL", COUNT, 0))
    for _, round in ipairs(entrant.rounds) do
        round.lost = lost
    end
end

local function hold(entrant, node, count, ttl)
    local answer, reason = company.ask(entrant, "pairs 0.2", 0.2)
    local memory = usage.memory(entrant.drivers[1].pid)
    if answer then
        answer, reason = company.ask(entrant, ("hold %d %g"):format(count, ttl), ACQUIRE)
    end
    if not answer then
        return nil, reason
    end
    local acquired, seconds = answer:match("^(%d+) (%S+)$")
    watch(entrant, node, count, ttl, {
        bytes = (usage.memory(entrant.drivers[1].pid) - memory) / count,
        acquired = acquired / seconds,
    })
    return true
end

-- One after the other: with so much to do, two would disturb each other.
local function measure(options, list, count, ttl, name)
    local entrants = {}
    for index, contestant in ipairs(list) do
        local mine = setmetatable({ contestants = { contestant } }, { __index = options })
        local party = company.gather(mine, 1, "hold")
        local entrant = party.entrants[1]
        turns.attempt(entrant, function()
            return hold(entrant, party.nodes[1], count, ttl)
        end)
        entrants[index] = entrant
        party:leave()
    end
    return {
        name = name,
        title = ("%d locks held over three leases of %g s"):format(count, ttl),
        columns = COLUMNS, rows = turns.rows(entrants, COLUMNS),
    }
end

local function keepers(options, pattern)
    local list = {}
    for _, contestant in ipairs(options.contestants) do
        if contestants.plays(contestant, "hold") and contestant.name:find(pattern) then
            list[#list + 1] = contestant
        end
    end
    return list
end

--- Scene 5.
-- @tparam table options of the run
-- @treturn {table,...} tables
function kept_alive.all(options)
    local results, common, long = {}, options.ttl[1], options.ttl[2]
    for _, count in ipairs(options.locks) do
        results[#results + 1] = measure(options, keepers(options, ""), count, common,
            "held_" .. count)
    end
    local most, ours = options.locks[#options.locks], keepers(options, "^ours")
    if long and #ours > 0 then
        results[#results + 1] = measure(options, ours, most, long, ("held_%d_long"):format(most))
    end
    return results
end

return kept_alive
