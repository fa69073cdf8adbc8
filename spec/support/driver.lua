--- Drives one lock of the core by hand: the spec is the clock, the randomness and every node.
-- Requests that were pulled fly until the spec answers them, in order, node by node.

local machine = require "machine"

local driver = {}

local Driver = {}
Driver.__index = Driver

local START_MS = 1000000
local START_US = 1.7e15 -- wall clock

--- A lock on a fresh quorum.
-- @tparam[opt] table options `nodes` (3), `key`, `id`, `tallies`, and what `machine.quorum` takes
-- @treturn Driver with `lock`, `quorum`, and `now` in milliseconds
function driver.new(options)
    options = options or {}
    local self = setmetatable({ now = START_MS, wall_us = START_US, tokens = 0 }, Driver)
    local settings = { nodes = 3 }
    for name, value in pairs(options) do
        settings[name] = value
    end
    self.nodes = settings.nodes
    self.quorum = machine.quorum(settings)
    self.lock = self.quorum:lock(options.key or "name", options)
    self.flying, self.away = {}, {}
    for node = 1, self.nodes do
        self.flying[node] = {}
    end
    return self
end

--- What the driver of a real loop does before every input.
function Driver:top_up()
    if self.quorum.token == "" then
        self.tokens = self.tokens + 1
        self.quorum:set { token = ("token%023d"):format(self.tokens) }
    end
    self.quorum:set { wall_us = self.wall_us }
end

--- Puts a command, such as "acquire" or "time", to the lock, at the present moment.
-- @tparam string command
-- @param ... its arguments but the last, which is the time
-- @treturn Driver itself
function Driver:put(command, ...)
    local arguments = { ... }
    arguments[#arguments + 1] = self.now
    self:top_up()
    self.lock[command](self.lock, (table.unpack or unpack)(arguments)) -- luacheck: ignore 113
    return self
end

function Driver:acquire(terms)
    return self:put("acquire", terms or {})
end

--- Takes every request that the lock wants to send, but for nodes in `away`, which are out of reach.
-- @treturn {table,...} in the order of nodes, each with its `node`
function Driver:pull()
    local pulled = {}
    for node = 1, self.nodes do
        local request = not self.away[node] and self.lock:next_request(node, self.now)
        while request do
            request.node = node
            pulled[#pulled + 1] = request
            table.insert(self.flying[node], request)
            request = self.lock:next_request(node, self.now)
        end
    end
    return pulled
end

--- Answers the oldest request that flies to a node, after taking what the lock wants to send.
-- @tparam number node
-- @tparam string|table vote see `machine`
-- @treturn table the request that was answered
function Driver:answer(node, vote)
    self:pull()
    local request = assert(table.remove(self.flying[node], 1), "nothing flies to this node")
    self:put("vote", node, request.round, vote)
    return request
end

--- Grants what was owed, on every node where it flies first.
function Driver:settle_debts()
    self:pull()
    for node = 1, self.nodes do
        while self.flying[node][1] and self.flying[node][1].owed do
            self:answer(node, "granted")
        end
    end
end

--- Answers the present round of each node, in turn; what was owed before it is granted.
-- @tparam {string|table,...} votes
function Driver:answer_each(votes)
    self:settle_debts()
    self:pull()
    for node, vote in ipairs(votes) do
        self:answer(node, vote)
    end
    return self
end

--- The same vote from every node.
function Driver:answer_all(vote)
    local votes = {}
    for node = 1, self.nodes do
        votes[node] = vote
    end
    return self:answer_each(votes)
end

--- Answers all that flies, again and again, until the lock has nothing more to ask.
function Driver:answer_everything(vote)
    repeat
        local pulled = self:pull()
        for node = 1, self.nodes do
            while #self.flying[node] > 0 do
                self:answer(node, vote)
            end
        end
    until #pulled == 0
    return self
end

--- Lets time pass and tells the lock.
-- @tparam number ms
function Driver:pass(ms)
    self.now = self.now + ms
    self:put "time"
    assert(self.lock:next_time() > self.now, "the lock wants to be called at once, again and again")
    return self
end

--- Jumps to the moment that the lock names next, and tells it.
-- @treturn number how long that took in ms
function Driver:jump()
    local next_ms = self.lock:next_time()
    assert(next_ms < math.huge, "the lock waits for no moment")
    local passed = math.max(0, next_ms - self.now)
    self:pass(passed)
    return passed
end

--- An owned lock, granted by all nodes, with nothing flying.
function driver.owner(options, terms)
    return driver.new(options):acquire(terms):answer_all "granted"
end

return driver
