--- Walks through the locks of all nodes, page by page.
--
-- Each round asks every node that is not through for its next page, by one operation like any other:
-- so it waits as the host does, and no server is held up for longer than a page. What a server says is
-- not trusted: a page that is none ends the walk of that node.
-- @module redlock.walk
-- @local

local core = require "redlock.core"
local failure = require "redlock.failure"
local sighting = require "redlock.sighting"

local walk = {}

local TRIES = 3 -- for a page, if a connection broke or a node was late
local TOKEN_SHOWN = 8 -- characters of it that stand in the fence

-- ---- a page ----

-- "length:bytes" at that place, and where the next is; or nothing.
local function field(page, at)
    local digits = page:match("^(%d+):", at)
    if not digits or #digits > 5 then
        return nil
    end
    local first = at + #digits + 1
    local last = first + tonumber(digits) - 1
    if last > #page then
        return nil
    end
    return page:sub(first, last), last + 1
end

local function whole(text)
    return text and text:match "^%-?%d+$" and #text <= 16 and tonumber(text) or nil
end

-- Ballot; and of whom it is, if the token says so.
local function read_fence(text, token)
    local ballot, rest = text:match "^(%d+)(.*)$"
    local owner = rest and rest:match("^ (.*)$")
    if not ballot or #ballot > 16 or (rest ~= "" and not owner) then
        return nil
    end
    local mark = owner and owner:sub(1, TOKEN_SHOWN + 1)
    local is_its = mark == token:sub(1, TOKEN_SHOWN) .. " "
    local holder = is_its and owner:sub(TOKEN_SHOWN + 2, TOKEN_SHOWN + 256) or nil
    return tonumber(ballot), holder ~= "" and holder or nil
end

local function describe(token, ttl_ms, fence, waiters)
    local ballot, holder = read_fence(fence, token)
    local left_ms = whole(ttl_ms)
    return {
        token = token,
        ttl = left_ms and (left_ms < 0 and math.huge or left_ms / 1000),
        fence = ballot,
        waiters = whole(waiters) or 0,
        holder = holder and failure.escape(holder),
        age = holder and sighting.age(ballot),
    }
end

-- The next cursor, and a list of keys and locks in turn; or nil if it is no page.
local function read_page(page)
    local found = {}
    local cursor, at = field(page, 1)
    if not cursor or not cursor:match "^%d+$" or #cursor > 20 then
        return nil
    end
    while at <= #page do
        local fields = {}
        for index = 1, 5 do
            fields[index], at = field(page, at)
            if not at then
                return nil
            end
        end
        local ttl_ms = whole(fields[3])
        if ttl_ms and ttl_ms >= -1 then
            found[#found + 1] = fields[1]
            found[#found + 1] = describe(fields[2], fields[3], fields[4], fields[5])
        end
    end
    return cursor, found
end

-- ---- merging ----

-- On most nodes, and among equals the one with the highest fence.
local function is_before(a, b)
    if a.votes ~= b.votes then
        return a.votes > b.votes
    end
    return (a.fence or 0) > (b.fence or 0)
end

-- What the nodes that bear one token say of it together.
local function add(group, node)
    group.votes = group.votes + 1
    group.holder = group.holder or node.holder
    group.age = group.age or node.age
    group.ttl = math.max(group.ttl or 0, node.ttl or 0)
    if node.fence then
        group.fence = math.max(group.fence or 0, node.fence)
    end
end

local function merge(name, nodes, count)
    local groups, first, waiters = {}, nil, 0
    for index = 1, count do
        local node = nodes[index]
        if node then
            local group = groups[node.token] or { name = name, token = node.token, votes = 0 }
            groups[node.token] = group
            add(group, node)
            waiters = math.max(waiters, node.waiters)
        end
    end
    for _, group in pairs(groups) do
        if not first or is_before(group, first) then
            first = group
        end
    end
    first.waiters, first.nodes, first.foreign = waiters, nodes, first.fence == nil
    return first
end

-- ---- the walk ----

-- The prefix is a name, and no pattern.
local function pattern_of(prefix, pattern)
    return prefix:gsub("[%*%?%[%]\\%^]", "\\%0") .. pattern
end

local Walk = {}
Walk.__index = Walk

local function new_walk(client, prefix, settings)
    local self = setmetatable({ prefix = prefix, settings = settings }, Walk)
    self.pattern = pattern_of(prefix, settings.pattern)
    self.began = core.clock()
    self.names, self.locks, self.pages = {}, 0, 0
    self.cursors, self.tries, self.nodes = {}, {}, {}
    for index, node in ipairs(core.nodes(client)) do
        self.cursors[index], self.tries[index] = "0", 0
        self.nodes[index] = { node = node }
    end
    self.left = #self.nodes -- that are not through
    return self
end

function Walk:note(index, key, lock)
    local name = key:sub(#self.prefix + 1)
    if key:sub(1, #self.prefix) ~= self.prefix or name == "" then
        return
    end
    if not self.names[name] then
        if self.locks >= self.settings.limit then
            self.why = "limit"
            return
        end
        self.names[name] = {}
        self.locks = self.locks + 1
    end
    lock.node = self.nodes[index].node
    self.names[name][index] = lock
end

function Walk:leave(index, err)
    self.cursors[index] = nil
    self.nodes[index].error = err
    self.left = self.left - 1
end

-- A node that was late, or whose connection broke, has another try.
function Walk:take(index, vote)
    if vote.vote ~= "granted" then
        self.tries[index] = self.tries[index] + 1
        if self.tries[index] == TRIES or vote.vote == "unreachable" or vote.text then
            self:leave(index, failure.reason(vote))
        end
        return
    end
    self.tries[index] = 0
    self.pages = self.pages + 1
    local cursor, found = read_page(vote.details or "")
    if not cursor then
        self:leave(index, "what it says is no page of locks")
        return
    end
    for at = 1, #found, 2 do
        self:note(index, found[at], found[at + 1])
    end
    if cursor == "0" then
        self:leave(index)
    else
        self.cursors[index] = cursor
    end
end

-- At its limit it goes on to the end, for the votes of the locks that it has.
function Walk:may_go_on()
    local progress, elapsed = self.settings.progress, core.clock() - self.began
    if progress and progress {
        pages = self.pages, locks = self.locks, nodes = self.left, elapsed = elapsed,
    } == false then
        self.why = "stopped"
    elseif elapsed >= self.settings.timeout and self.left > 0 then
        self.why = "timeout"
    end
    return self.left > 0 and (not self.why or self.why == "limit")
end

function Walk:failed_nodes()
    local failed = 0
    for _, node in ipairs(self.nodes) do
        failed = failed + (node.error and 1 or 0)
    end
    return failed
end

local function by_name(a, b)
    return a.name < b.name
end

function Walk:result()
    local list = {}
    for name, nodes in pairs(self.names) do
        list[#list + 1] = merge(name, nodes, #self.nodes)
    end
    table.sort(list, by_name)
    local why = self.why or self:failed_nodes() > 0 and "nodes" or nil
    return list, { complete = not why, why = why, pages = self.pages, nodes = self.nodes }
end

-- Every node said the same.
local function fail(self, votes)
    return nil, failure.message("unavailable", self.settings.pattern, votes), "unavailable",
        self.nodes
end

--- Runs it.
-- @tparam table host
-- @param client its handle
-- @tparam string prefix
-- @tparam table settings as options.walk() gives them
-- @return as Client:list
function walk.run(host, client, prefix, settings)
    local self = new_walk(client, prefix, settings)
    local key = settings.pattern ~= "" and settings.pattern or "*" -- for messages alone
    local votes
    repeat
        local result, cause
        result, votes, cause = host.inspect(client, key, "scan", self.pattern, settings.all,
            self.cursors)
        if result ~= true then
            return nil, failure.message(result, key, votes, nil, cause), result, self.nodes
        end
        for index, vote in ipairs(votes) do
            if self.cursors[index] then
                self:take(index, vote)
            end
        end
    until not self:may_go_on()
    if self:failed_nodes() == #self.nodes and self.locks == 0 then
        return fail(self, votes)
    end
    return self:result()
end

return walk
