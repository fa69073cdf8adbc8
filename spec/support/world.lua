--- A small world in which clients compete for one lock: nodes, links and clocks that go wrong at
-- random, the same way for the same seed. The clients are the core's; the rest is a model.
--
-- Clients of one loop share its links, its quorum and its clock, and stand in line before they
-- wait. A loop may have a single client.
--
-- A link carries requests to a node and replies back, in order. When it breaks, some of what was
-- under way was run and the rest never will be; nobody is told which. Clocks run apart by less than
-- the clients allow for.

local machine = require "machine"

local world = {}

local World = {}
World.__index = World

local DRIFT = 0.01
local FENCE_TTL_S = 1e6

-- ---- chance ----

function World:chance(bound)
    return self.random:jitter(bound)
end

function World:between(low, high)
    return low + self:chance(high - low + 1)
end

function World:pick(list)
    return list[1 + self:chance(#list)]
end

-- ---- nodes: what the scripts do, without queues ----

local answers = {}

local function holder_of(node, now)
    if node.token and now * node.rate >= node.expires then
        node.token = nil
    end
    return node.token
end

function answers.acquire(node, request, now)
    local holder = holder_of(node, now)
    if holder == request.token then
        return "granted"
    end
    if holder then
        local left = math.ceil(node.expires - now * node.rate)
        return { reason = "held", ttl_ms = left, fence = node.fence }
    end
    if request.fence <= node.fence then
        return { reason = "outbid", fence = node.fence }
    end
    node.token, node.fence = request.token, request.fence
    node.expires = now * node.rate + request.ttl_ms
    return "granted"
end

function answers.extend(node, request, now)
    local holder = holder_of(node, now)
    if holder ~= request.token then
        return holder and "anothers" or "absent"
    end
    node.expires = math.max(node.expires, now * node.rate + request.ttl_ms)
    node.fence = math.max(node.fence, request.fence)
    return "granted"
end

function answers.release(node, request, now)
    local holder = holder_of(node, now)
    if holder and holder == request.token then
        node.token = nil
        return "granted"
    end
    return holder and "anothers" or "absent"
end

-- What a node may answer instead, without doing anything.
local refusals = {
    acquire = { "noscript", "busy", "loading", "oom", "readonly" },
    extend = { "noscript", "busy", "loading", "readonly" },
    release = { "noscript", "busy", "loading" },
}

function World:run(node, request)
    if self.faults and self:chance(60) == 0 then
        return self:pick(refusals[request.kind])
    end
    return answers[request.kind](node, request, self.now)
end

-- ---- clients ----

-- What a driver does before every input to a lock of the loop.
function World:top_up(loop)
    if loop.quorum.token == "" then
        self.tokens = self.tokens + 1
        loop.quorum:set { token = ("token%d"):format(self.tokens) }
    end
    loop.quorum:set { wall_us = math.max(1, 1e9 + self.now * 1000 + loop.skew_us) }
end

-- The first of a line asks the nodes, unless its wait is over; nobody else in it does.
local function check_line(line, now)
    for place, client in ipairs(line) do
        local stands_by = client.lock.state == "standing_by"
        if place > 1 then
            assert(stands_by, "asks the nodes before its turn")
        elseif stands_by then
            assert(client.lock:next_time() <= now, "is the first, and was not told")
        end
    end
end

function World:put(client, command, ...)
    self:top_up(client.loop)
    local arguments = { ... }
    arguments[#arguments + 1] = self.now
    client.lock[command](client.lock, (table.unpack or unpack)(arguments)) -- luacheck: ignore 113
    if client.in_line and client.lock.outcome ~= "pending" then
        self:move_up(client)
    end
    self:check(client)
    check_line(client.loop.line, self.now)
end

-- ---- the line of a loop ----

function World:acquire(client, terms)
    local loop, command = client.loop, "acquire"
    if terms.wait_ms > 0 then
        assert(loop.lines:join(client.lock))
        loop.line[#loop.line + 1], client.in_line = client, true
        command = loop.lines:is_first(client.lock) and "acquire" or "stand_by"
    end
    self:put(client, command, terms)
end

-- The client who becomes the first by that.
local function leave_line(client)
    local loop, place = client.loop, 1
    while loop.line[place] ~= client do
        place = place + 1
    end
    assert(place == 1 or client.lock.outcome ~= "acquired", "acquired before those who came first")
    table.remove(loop.line, place)
    client.in_line = false
    return loop.clients[loop.lines:leave(client.lock)]
end

-- It has ended, and those behind it move up.
function World:move_up(client)
    local lines, lock = client.loop.lines, client.lock
    if not lines:is_first(lock) then
        lock:copy_reasons(client.loop.clients[lines:first(lock)].lock)
    end
    local next_client = leave_line(client)
    while next_client and next_client.lock:share_verdict(lock) do
        self.shared = self.shared + 1
        next_client = leave_line(next_client)
    end
    if next_client then
        self.turns = self.turns + 1
        self:top_up(client.loop)
        next_client.lock:take_turn(lock:was_answered(), self.now)
    end
end

-- One owner at a time, and each with a higher fence than all before.
function World:check(client)
    local lock = client.lock
    if lock.state == "owned" and client.owned ~= lock.token then
        client.owned = lock.token
        self.grants, client.grants = self.grants + 1, client.grants + 1
        assert(lock.fence > self.highest_fence, "the fence did not rise")
        self.highest_fence = lock.fence
    end
    local owners = 0
    for _, each in ipairs(self.clients) do
        owners = owners + (each.lock:remaining(self.now) > 0 and 1 or 0)
    end
    assert(owners <= 1, "two owners at once")
end

function World:pull(client, index)
    local link = client.loop.links[index]
    if link.state == "down" then
        for _, unsent in ipairs(client.lock.unsent) do
            if unsent == index then
                self:put(client, "vote", index, client.lock.round, "unreachable")
            end
        end
    end
    if link.state ~= "up" then
        return
    end
    local request = client.lock:next_request(index, self.now)
    while request do
        request.client = client
        link[#link + 1] = request
        request = client.lock:next_request(index, self.now)
    end
end

-- The node runs the oldest request that has not been run.
function World:deliver(client, index)
    for _, request in ipairs(client.loop.links[index]) do
        if not request.answer then
            request.answer = self:run(self.nodes[index], request)
            return true
        end
    end
    return false
end

function World:deliver_all(client, index)
    repeat
        local delivered = self:deliver(client, index)
    until not delivered
end

-- The loop reads the oldest reply.
function World:reply(client, index)
    local link = client.loop.links[index]
    if not (link[1] and link[1].answer) then
        return false
    end
    local request = table.remove(link, 1)
    self:put(request.client, "vote", index, request.round, request.answer)
    return true
end

function World:break_link(client, index)
    local links = client.loop.links
    local link = links[index]
    for _ = 1, self:chance(#link + 1) do
        self:deliver(client, index)
    end
    links[index] = { state = self:pick { "down", "dialing" } }
    for _, request in ipairs(link) do
        self:put(request.client, "vote", index, request.round, "disconnected")
    end
end

function World:is_busy(client)
    for index = 1, #self.nodes do
        for _, request in ipairs(client.loop.links[index]) do
            if request.client == client then
                return true
            end
        end
    end
    return false
end

function World:decide(client)
    local lock = client.lock
    if lock.outcome == "lost" and lock.state == "idle" and not client.gave_back then
        client.gave_back = true -- what is lost may still stand somewhere
        self:put(client, "release")
    elseif lock.state == "idle" then
        if not lock:is_done() or self:is_busy(client) then
            return -- a new call begins with a new machine; here, when nothing is left of the old one
        end
        client.gave_back = false
        self:acquire(client, {
            ttl_ms = self:between(30, self:pick { 300, 3000 }),
            wait_ms = self:pick { 0, 300, 2000, math.huge },
            renew = self:chance(2) == 0, max_hold_ms = self:pick { 500, math.huge },
            fence_ttl_s = FENCE_TTL_S,
        })
    elseif lock.state == "owned" then
        if self:chance(3) == 0 then
            self:put(client, "extend", self:between(1, 3000))
        else
            self:put(client, "release")
        end
    elseif self:chance(4) == 0 then
        self:put(client, "cancel")
    end
end

-- ---- the course of events ----

function World:tell_time(client)
    local calls = 0
    while client.lock:next_time() <= self.now do
        calls = calls + 1
        assert(calls < 5, "wants to be called at once, again and again")
        self:put(client, "time")
        for index = 1, #self.nodes do
            self:pull(client, index)
        end
    end
end

-- No time passes before what is wanted was sent; that would be the driver's fault. Unless nodes
-- may hang, they run what they were sent before much time passes.
function World:pass(ms)
    for _, client in ipairs(self.clients) do
        for index = 1, #self.nodes do
            self:pull(client, index)
            if ms > 3 and not self.hangs then
                self:deliver_all(client, index)
            end
        end
    end
    self.now = self.now + ms
    for _, client in ipairs(self.clients) do
        if self:chance(4) > 0 then -- some are late
            self:tell_time(client)
        end
    end
end

-- What may happen, and how often.
local happenings = {
    { 20, function(self, client, index) self:pull(client, index) end },
    { 20, function(self, client, index) self:deliver(client, index) end },
    { 20, function(self, client, index) self:reply(client, index) end },
    { 10, function(self) self:pass(self:between(1, 3)) end },
    { 1, function(self) self:pass(self:between(1, self:pick { 30, 1000 })) end },
    { 5, function(self, client) self:decide(client) end },
    { 1, function(self, client, index) self:break_link(client, index) end },
    { 3, function(_, client, index) client.loop.links[index].state = "up" end },
    { 1, function(self, client, index) self:put(client, "wake", index, 0) end },
}

local weight = 0
for _, happening in ipairs(happenings) do
    weight = weight + happening[1]
end

--- One thing happens.
function World:step()
    local client, index = self:pick(self.clients), self:between(1, #self.nodes)
    local left = self:chance(weight)
    for _, happening in ipairs(happenings) do
        left = left - happening[1]
        if left < 0 then
            return happening[2](self, client, index)
        end
    end
end

local function for_each_link(self, act)
    local acted = false
    for _, client in ipairs(self.clients) do
        for index = 1, #self.nodes do
            acted = act(client, index) or acted
        end
    end
    return acted
end

-- Everything that is on its way arrives; no time passes.
function World:arrive()
    repeat
        local busy = for_each_link(self, function(client, index)
            self:pull(client, index)
            return self:deliver(client, index) or self:reply(client, index)
        end)
    until not busy
end

-- The next moment at which somebody who is not done has something to do.
function World:next_moment()
    local next_ms = math.huge
    for _, client in ipairs(self.clients) do
        if client.lock.state ~= "owned" and not client.lock:is_done() then
            next_ms = math.min(next_ms, client.lock:next_time())
        end
    end
    return next_ms
end

-- Everything arrives, and what is to be sent again after a pause does, too.
function World:settle()
    self:arrive()
    local next_ms = self:next_moment()
    while next_ms <= self.now + 1000 do
        self.now = math.max(self.now, next_ms)
        for _, client in ipairs(self.clients) do
            self:tell_time(client)
        end
        self:arrive()
        next_ms = self:next_moment()
    end
end

-- Nothing goes wrong any more.
function World:repair()
    self.faults = false
    for_each_link(self, function(client, index) client.loop.links[index].state = "up" end)
end

-- What is held, or was lost and may still stand somewhere, is given back.
function World:give_back()
    for _, client in ipairs(self.clients) do
        local lost = client.lock.state == "idle" and client.lock.outcome == "lost"
        if client.lock.state == "owned" or lost then
            self:put(client, "release")
        end
    end
end

--- Nothing goes wrong any more; all give back what they hold, and all of it arrives.
function World:heal()
    self:repair()
    for _, client in ipairs(self.clients) do
        self:put(client, "cancel")
    end
    self:settle()
    self:give_back()
    self:settle()
end

-- Time goes on to what is next, and those who come to own the lock give it back.
function World:go_on()
    local next_ms = self:next_moment()
    assert(next_ms < math.huge, "somebody waits, and nobody will do anything")
    self.now = math.max(self.now, next_ms)
    for _, client in ipairs(self.clients) do
        self:tell_time(client)
    end
    self:arrive()
    self:give_back()
    self:arrive()
end

local WAITS = { standing_by = true, acquiring = true, waiting = true }
local MOMENTS = 5000 -- far more than it takes

local function waits(client)
    return WAITS[client.lock.state]
end

function World:somebody_waits()
    for _, client in ipairs(self.clients) do
        if waits(client) then
            return true
        end
    end
    return false
end

-- What the nodes did not take, or not answer, while things went wrong is over.
function World:calm_down()
    local calm_ms = self.now + 1000
    self:arrive()
    self:give_back()
    self:arrive()
    while self:next_moment() < calm_ms do
        self:go_on()
    end
    self.now = calm_ms
end

-- All who do not wait come to wait for ever. How often each of them had owned the lock before.
function World:all_come()
    local before = {}
    for _, client in ipairs(self.clients) do
        if not waits(client) then
            before[client] = client.grants
            self:acquire(client, { ttl_ms = 1000, wait_ms = math.huge, fence_ttl_s = FENCE_TTL_S })
        end
    end
    return before
end

--- Nothing goes wrong any more; all who do not wait come to wait for ever, own the lock once, and
-- give it back. Fails if that takes for ever.
-- @treturn {string,...} the outcomes of those who came then and did not own it
function World:serve_all()
    self:repair()
    self:calm_down()
    local before, moments, unserved = self:all_come(), 0, {}
    self:arrive()
    while self:somebody_waits() do
        moments = moments + 1
        assert(moments < MOMENTS, "somebody is forgotten")
        self:go_on()
    end
    for client, grants in pairs(before) do
        unserved[#unserved + 1] = client.grants == grants and client.lock.outcome or nil
    end
    return unserved
end

--- The nodes on which a token still stands.
function World:orphans()
    local found = {}
    for index, node in ipairs(self.nodes) do
        found[#found + 1] = holder_of(node, self.now) and index
    end
    return found
end

--- A client takes the lock at once, with a single try.
-- @treturn string the outcome
function World:try(client)
    self:put(client, "acquire", { ttl_ms = 1000, fence_ttl_s = FENCE_TTL_S })
    self:settle()
    return client.lock.outcome
end

local function new_loop(seed, nodes, skew_us)
    local loop = { links = {}, clients = {}, line = {}, skew_us = skew_us }
    loop.quorum = machine.quorum {
        nodes = nodes, drift_factor = DRIFT, timeout_ms = 300, random = seed,
    }
    loop.lines = machine.lines(seed)
    for node = 1, nodes do
        loop.links[node] = { state = "up" }
    end
    return loop
end

function World:add_clients(loop, count)
    for id = 1, count do
        local client = { loop = loop, lock = loop.quorum:lock("name", { id = id }), grants = 0 }
        loop.clients[id] = client
        self.clients[#self.clients + 1] = client
    end
end

--- @tparam number seed from 1
-- @tparam[opt] table options `hangs`: nodes may hang for longer than leases last; `crowds`: loops
-- have several clients each
-- @treturn World with `nodes`, `clients`, and how many there were so far: `grants`, `turns` that
-- were taken after standing by, verdicts that were `shared` with the first
function world.new(seed, options)
    options = options or {}
    local random = machine.quorum { random = seed * 2654435761 }
    local self = setmetatable({
        random = random, hangs = options.hangs, faults = true, now = 1000, tokens = 0, grants = 0,
        turns = 0, shared = 0, highest_fence = 0, nodes = {}, clients = {},
    }, World)
    for index = 1, self:between(1, 5) do
        local slow = (self:chance(101) - 50) / 50 * (DRIFT / 2 - 0.001)
        self.nodes[index] = { fence = 0, rate = 1 + slow }
    end
    for index = 1, self:between(options.crowds and 1 or 2, 3) do
        local skew_us = self:pick { 0, -3600e6, 3600e6, -5000 }
        local loop = new_loop(seed * 31 + index, #self.nodes, skew_us)
        self:add_clients(loop, options.crowds and self:between(2, 5) or 1)
    end
    return self
end

return world
