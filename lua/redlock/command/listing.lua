--- Locks as rows of a table, and as JSON.
-- @module redlock.command.listing
-- @local

local columns = require "redlock.command.columns"
local duration = require "redlock.command.duration"
local holder = require "redlock.command.holder"
local json = require "redlock.command.json"
local terminal = require "redlock.command.terminal"

local listing = {}

local NOBODY_KNOWS = "?" -- whose it is
local FOREIGN = "(another library)"

local all_columns = {
    { title = "name", field = "name", shrinks = true },
    { title = "votes", field = "votes", right = true, drop = 2 },
    { title = "held by", field = "holder", shrinks = true },
    { title = "for", field = "age", right = true },
    { title = "lease", field = "lease", right = true, drop = 1 },
    { title = "waiters", field = "waiters", right = true, drop = 3 },
    { title = "token", field = "token", drop = 4 },
    { title = "fence", field = "fence", right = true, drop = 5 },
}

-- Stands before the lease, in a table that is watched.
local rate_column = { title = "hand-overs/s", field = "rate", right = true }

local function number_of(value)
    return value or -1
end

-- What comes first: names from a to z, numbers from the largest.
local orders = {
    name = function(lock) return lock.name end,
    holder = function(lock) return lock.holder or "\255" end,
    votes = function(lock) return lock.votes end, -- the fewest: those are in doubt
    age = function(lock) return -number_of(lock.age) end,
    lease = function(lock) return lock.ttl or math.huge end, -- those that end first
    waiters = function(lock) return -number_of(lock.waiters) end,
    handovers = function(lock) return -number_of(lock.rate) end,
}

--- Sorts locks; those that are the same in this stay in the order of their names.
-- @tparam {table,...} locks
-- @tparam string order a key of `orders`, see redlock.command.values
function listing.sort(locks, order)
    local key = orders[order]
    table.sort(locks, function(a, b)
        local first, second = key(a), key(b)
        if first ~= second then
            return first < second
        end
        return a.name < b.name
    end)
end

local function show_rate(lock)
    if not lock.rate or lock.rate == 0 then
        return ""
    end
    return ((lock.is_least and ">" or "") .. "%.2g"):format(lock.rate)
end

local function row_of(lock, nodes)
    local who = lock.holder and holder.name(lock.holder) or lock.foreign and FOREIGN or NOBODY_KNOWS
    return {
        name = terminal.printable(lock.name),
        votes = ("%d/%d"):format(lock.votes, nodes),
        holder = who,
        age = lock.age and duration.format(lock.age) or "",
        lease = lock.ttl and duration.format(lock.ttl) or "",
        waiters = (lock.waiters or 0) > 0 and ("%d"):format(lock.waiters) or "",
        token = lock.token and holder.token(lock.token) or "",
        fence = lock.fence and ("%.0f"):format(lock.fence) or "",
        rate = show_rate(lock),
    }
end

--- Lays out locks for people.
-- @tparam {table,...} locks
-- @tparam number nodes how many there are
-- @tparam number room columns
-- @tparam boolean has_rates whether hand-overs were counted
-- @treturn string the titles
-- @treturn {string,...} a line for each lock
function listing.lines(locks, nodes, room, has_rates)
    local rows, list = {}, {}
    for index, lock in ipairs(locks) do
        rows[index] = row_of(lock, nodes)
    end
    for _, column in ipairs(all_columns) do
        if has_rates and column.field == "lease" then
            list[#list + 1] = rate_column
        end
        list[#list + 1] = column
    end
    return columns.lay_out(list, rows, room)
end

--- For programs.
-- @treturn table for json.write()
function listing.objects(locks)
    local list = {}
    for index, lock in ipairs(locks) do
        list[index] = {
            name = lock.name, votes = lock.votes, holder = lock.holder, age = lock.age,
            ttl = lock.ttl, fence = lock.fence, waiters = lock.waiters,
            token = lock.token and holder.token(lock.token), foreign = lock.foreign or false,
            handovers = lock.rate,
        }
    end
    return json.array(list)
end

return listing
