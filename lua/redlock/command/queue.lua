--- Who waits for a lock, as the nodes have it written down.
-- @module redlock.command.queue
-- @local

local consoles = require "redlock.console"
local core = require "redlock.core"

local queue = {
    MOST = 1000, -- entries that are read of a node's queue
}

local LAST = ("%d"):format(queue.MOST - 1)
local MARK = "[%w_-][%w_-][%w_-][%w_-][%w_-][%w_-][%w_-][%w_-]" -- the beginning of an inbox' id
local DISPUTED = "?"

local function entry_of(found, member)
    local entry = found[member]
    if not entry then
        local inbox, id = member:match "^(.*)/(%d+)$"
        entry = { member = member, inbox = inbox or member, id = id, nodes = 0, claims = 0 }
        found[member] = entry
        found[#found + 1] = entry
    end
    return entry
end

-- A member, its score, a member...
local function add_entries(found, reply)
    for index = 1, #reply - 1, 2 do
        local entry = entry_of(found, tostring(reply[index]))
        entry.nodes = entry.nodes + 1
        entry.arrival = entry.arrival or tonumber(reply[index + 1])
    end
end

-- What went wrong; nil if nothing.
local function read(line, key, found)
    local answers, failure = line:ask_all {
        { "ZRANGE", consoles.side_key(key, "queue"), "0", LAST, "WITHSCORES" },
        { "GET", consoles.side_key(key, "claim") },
    }
    local entries, claim = answers and answers[1], answers and answers[2]
    if not answers or type(entries.reply) ~= "table" then
        return "it does not show its waiters: " .. (failure or entries.error or "no list")
    end
    add_entries(found, entries.reply)
    if claim.reply then -- who was told that the lock is free, and has not come yet
        local entry = entry_of(found, tostring(claim.reply))
        entry.claims = entry.claims + 1
    end
end

-- The connections of inboxes bear names that say whose they are (csrc/io/loop.c). Anybody can give a
-- connection any name: where two say that they are somebody else's, neither is believed.
-- What went wrong; nil if nothing.
local function read_names(line, found)
    local list, failure = line:ask("CLIENT", "LIST", "TYPE", "pubsub")
    if type(list) ~= "string" then
        return "it does not say who its waiters are: " .. (failure or "no list")
    end
    local by_mark = {}
    for name in list:gmatch " name=(%S+)" do
        local client, process, mark = name:match("^(.+)@([^@]+)/(" .. MARK .. ")$")
        if mark then
            local who = process .. " " .. client
            by_mark[mark] = (by_mark[mark] or who) == who and who or DISPUTED
        end
    end
    for _, entry in ipairs(found) do
        local who = by_mark[entry.inbox:match("^redlock:(" .. MARK .. ")")]
        entry.waiter = entry.waiter or who ~= DISPUTED and who or nil
    end
end

local function has_unnamed(found)
    for _, entry in ipairs(found) do
        if not entry.waiter then
            return true
        end
    end
    return false
end

--- Reads the queues of all nodes that have answered.
-- @tparam {table,...} nodes as client:info() gives them
-- @tparam {Console,...} lines to them
-- @tparam string key the lock's
-- @treturn {table,...} in the order in which they are woken: `{ inbox, id, waiter = "HOST:PID
-- CLIENT_NAME" if it is known, nodes = on how many, claims = on how many it was told, waits = seconds, by
-- wall clocks }`
-- @treturn {string,...} what the nodes did not tell, and why, by the number of the node
function queue.read(nodes, lines, key)
    local found, refused = {}, {}
    for index, line in ipairs(lines) do
        if not nodes[index].error then
            refused[index] = read(line, key, found)
        end
    end
    for index, line in ipairs(lines) do
        if not nodes[index].error and has_unnamed(found) then
            local why = read_names(line, found)
            refused[index] = refused[index] or why
        end
    end
    local now = core.wall_clock()
    for _, entry in ipairs(found) do
        entry.waits = entry.arrival and math.max(0, now - entry.arrival / 1e6)
    end
    table.sort(found, function(a, b)
        local first, second = a.arrival or 0, b.arrival or 0
        return first < second or (first == second and a.member < b.member)
    end)
    return found, refused
end

return queue
