--- Connects the operations that engines run with those who wait for them, for the hosts that must
-- not block: one switchboard per host.
--
-- A call takes a slot, submits under the slot's tag, waits in the host's own way until the slot is
-- done, and concludes. Whoever is rung takes the tags out of the outbox, and the slots' waiters are
-- woken.
-- @module redlock.switchboard
-- @local

local core = require "redlock.core"
local failure = require "redlock.failure"

local Switchboard = {}
Switchboard.__index = Switchboard

--- A switchboard. What a host gives:
--
-- * `make_slot(slot)`: adds what the host needs to a new slot
-- * `wait(slot)`: returns once the slot is `done`; or false, if the wait was cancelled
-- * `wake(slot)`: whoever waits for the slot may go on
-- * `start(body, ...)`: runs a function in a coroutine of its own, soon
-- * `over(watch)`, optional: nothing more will come of the watch
-- * `weak`: slots are only kept by those who wait, and are abandoned when those are collected
-- @tparam table host
function Switchboard.new(host)
    return setmetatable({ host = host, pending = 0, lasting = 0 }, Switchboard)
end

-- In the child of a fork everything is new: what was under way is the parent's.
local function be_in_own_process(self)
    if self.generation == core.generation() then
        return
    end
    self.generation = core.generation()
    self.outbox = core.outbox()
    self.slots = setmetatable({}, self.host.weak and { __mode = "v" } or nil)
    self.watches = {}
    self.free = {}
    self.last_tag = 0
    self.pending = 0 -- what is still to come
    self.lasting = 0 -- of that, watches that no request ends
end

--- Where the engines put what they have to tell. The hosts read its bell.
function Switchboard:get_outbox()
    be_in_own_process(self)
    return self.outbox
end

local function next_tag(self)
    self.last_tag = self.last_tag + 1
    return self.last_tag
end

local function take_slot(self)
    local slot = table.remove(self.free)
    if not slot then
        slot = { handle = core.operation() }
        self.host.make_slot(slot)
    end
    slot.tag = next_tag(self) -- never twice: what comes late finds nobody
    slot.done = false
    self.slots[slot.tag] = slot
    return slot
end

local function free_slot(self, slot)
    self.slots[slot.tag] = nil
    self.free[#self.free + 1] = slot
end

-- A slot under which the operation is under way; or nil and what the call comes to.
local function begin(self, submit, ...)
    be_in_own_process(self)
    local slot = take_slot(self)
    local begun, votes = submit(slot.handle, self.outbox, slot.tag, ...)
    if begun ~= true then
        free_slot(self, slot)
        if begun == "released" then
            return nil, true
        end
        return nil, begun, votes
    end
    self.pending = self.pending + 1
    return slot
end

--- Nobody waits for the slot any more.
function Switchboard:abandon(slot)
    if not slot or self.slots[slot.tag] ~= slot then
        return
    end
    if not slot.done then
        self.pending = self.pending - 1
    end
    core.abandon(slot.handle)
    self.slots[slot.tag] = nil
end

--- Runs an operation, and waits for it.
-- @tparam function submit one of core.submit_*
-- @param lock the lock that is to be acquired; nil for the other operations
-- @param ... what submit takes besides handle, outbox and tag
-- @treturn boolean|string true, or a code
-- @treturn table votes
-- @treturn string what happened, if it was not the nodes that decided
function Switchboard:run(submit, lock, ...)
    local slot, result, votes = begin(self, submit, ...)
    if not slot then
        return result, votes
    end
    if not self.host.wait(slot) then
        self:abandon(slot)
        return "timeout", {}, "the wait was cancelled"
    end
    free_slot(self, slot)
    return core.conclude(slot.handle, lock)
end

--- The calls of a host whose coroutines can always wait.
-- @tparam[opt] function find_request what the calls are bound to
function Switchboard:calls(find_request)
    local calls = {}
    find_request = find_request or function() end

    function calls.acquire(lock, detach, ...)
        return self:run(core.submit_acquire, lock, lock, find_request(), detach, ...)
    end

    function calls.extend(lock, ttl)
        return self:run(core.submit_extend, nil, lock, find_request(), ttl)
    end

    function calls.release(lock)
        return self:run(core.submit_release, nil, lock, find_request())
    end

    function calls.inspect(client, key, ...)
        return self:run(core.submit_inspect, nil, client, find_request(), key, ...)
    end

    function calls.close(client)
        be_in_own_process(self)
        local slot = take_slot(self)
        if core.begin_close(client, self.outbox, slot.tag) then
            self.pending = self.pending + 1
            self.host.wait(slot)
            self:abandon(slot) -- the wait may have been cancelled
        else
            free_slot(self, slot)
        end
        core.close(client)
    end

    function calls.watch(lock, fn)
        return self:watch(lock, fn)
    end

    return calls
end

--- Runs `fn(lock, why)` in a coroutine once, when the lock was lost; never if it is released. Until
-- then the lock is not garbage.
-- @treturn table the watch; nil if the lock is not held, or is watched
function Switchboard:watch(lock, fn)
    be_in_own_process(self)
    local tag = next_tag(self)
    local watched, is_bound = core.watch(lock, self.outbox, tag)
    if not watched then
        return nil
    end
    local watch = { lock = lock, fn = fn, lasts = is_bound and 0 or 1 }
    self.watches[tag] = watch
    self.lasting = self.lasting + watch.lasts
    self.pending = self.pending + 1
    return watch
end

local losses = { expired = true, taken = true, gone = true }

-- The lock may have been acquired again meanwhile: what counts is what became of it then.
local function tell(self, watch, status)
    if losses[status] then
        self.host.start(watch.fn, watch.lock, failure.lost(watch.lock.name, status))
    end
end

-- A negative tag says that the request of that operation has ended: it is only cleared up.
local function settle(self, tag, status)
    local slot, watch = self.slots[tag], self.watches[tag]
    if tag < 0 then
        self:abandon(self.slots[-tag])
    elseif slot then
        slot.done = true
        self.pending = self.pending - 1
        self.host.wake(slot)
    elseif watch then
        self.watches[tag] = nil
        self.pending = self.pending - 1
        self.lasting = self.lasting - watch.lasts
        tell(self, watch, status)
        if self.host.over then
            self.host.over(watch)
        end
    end
end

--- Takes what there is to take.
function Switchboard:take()
    local tags, statuses = {}, {}
    repeat
        local count, more = core.take(self.outbox, tags, statuses)
        for index = 1, count do
            local tag = tags[index]
            settle(self, tag, statuses[tag])
        end
    until not more
end

return Switchboard
