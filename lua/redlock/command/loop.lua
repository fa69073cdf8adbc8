--- The loop of a verb that waits for several things at once: locks, signals, a child.
--
-- What happens is put into one queue, and taken out by next(), which waits in one poll. Calls of the
-- library run in tasks: coroutines that yield until the engine has their answer.
-- @module redlock.command.loop
-- @local

local core = require "redlock.core"
local Switchboard = require "redlock.switchboard"
local system = require "redlock.command.system"

local Loop = {}
Loop.__index = Loop

local function resume(task)
    local ok, problem = coroutine.resume(task)
    if not ok then
        error(type(problem) == "string" and debug.traceback(task, problem) or problem, 0)
    end
end

local function make_host(self)
    local board = Switchboard.new {
        make_slot = function() end,
        wait = function(slot)
            local task = coroutine.running()
            slot.task, slot.cancelled, self.slots[task] = task, false, slot
            while not slot.done and not slot.cancelled do
                coroutine.yield()
            end
            self.slots[task] = nil
            return slot.done
        end,
        wake = function(slot)
            resume(slot.task)
        end,
        start = function(body, ...)
            body(...)
        end,
    }
    return board, board:calls()
end

--- @treturn Loop
function Loop.new()
    local self = setmetatable({ queue = {}, sources = {}, slots = {} }, Loop)
    self.board, self.host = make_host(self)
    return self
end

--- The client's calls wait in this loop from now on, in tasks.
-- @tparam redlock.Client client
function Loop:serve(client)
    client.companion.host = self.host
end

--- Runs a function as a task. It begins at once.
-- @tparam function body
-- @treturn thread the task
function Loop.start(_, body)
    local task = coroutine.create(body)
    resume(task)
    return task
end

--- The call that a task waits for fails.
function Loop:cancel(task)
    local slot = self.slots[task]
    if slot then
        slot.cancelled = true
        resume(task)
    end
end

--- Puts something into the queue.
-- @tparam string kind
-- @param ... what there is to say
function Loop:post(kind, ...)
    self.queue[#self.queue + 1] = { kind, ... }
end

--- Has a function called whenever a descriptor is readable.
-- @tparam number fd
-- @tparam ?function fn nil: no longer
function Loop:watch(fd, fn)
    self.sources[fd] = fn
end

local function turn(self, seconds)
    local outbox = core.outbox_fd(self.board:get_outbox())
    local fds = { outbox }
    for fd in pairs(self.sources) do
        fds[#fds + 1] = fd
    end
    local ready = system.poll(fds, seconds)
    if ready[outbox] then
        self.board:take()
    end
    for fd, fn in pairs(self.sources) do
        if ready[fd] then
            fn()
        end
    end
end

--- Takes the next out of the queue, and waits for it.
-- @tparam number moment on core.clock(), in seconds: how long at most
-- @return kind, and what there is to say; or nil at that moment
function Loop:next(moment)
    while true do
        local event = table.remove(self.queue, 1)
        if event then
            return (table.unpack or unpack)(event, 1, 5)
        end
        local left = moment - core.clock()
        if left <= 0 then
            return nil
        end
        turn(self, left)
    end
end

--- Runs a function as a task, and waits for its end; what else happens stays in the queue.
-- @tparam function body
function Loop:run(body)
    local over = false
    self:start(function()
        body()
        over = true
    end)
    while not over do
        turn(self, 1)
    end
end

return Loop
