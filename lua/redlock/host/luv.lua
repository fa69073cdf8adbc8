--- The host inside a program that runs luv's loop: calls yield the coroutine.
--
-- One poll handle watches the outbox's descriptor while something is under way, so that the loop
-- ends when nothing is. Whoever else resumes a coroutine that waits here cancels the wait.
-- @module redlock.host.luv
-- @local

local core = require "redlock.core"
local Switchboard = require "redlock.switchboard"
local uv = require "luv"

local board
local poll, polled -- a handle, and the outbox that it watches
local failures = {}

-- ---- the poll handle ----

local function rest()
    if board.pending == 0 and poll and not poll:is_closing() then
        poll:stop()
    end
end

-- One coroutine that fails does not keep the others from being resumed.
local function on_readable()
    board:take()
    rest()
    if failures[1] then
        local text = table.concat(failures, "\n")
        failures = {}
        error(text, 0)
    end
end

local function need_poll()
    local outbox = board:get_outbox()
    if polled ~= outbox or poll:is_closing() then
        poll, polled = assert(uv.new_poll(core.outbox_fd(outbox))), outbox
    end
    poll:start("r", on_readable)
end

local function resume(thread, ...)
    local ok, err = coroutine.resume(thread, ...)
    if not ok then
        failures[#failures + 1] = debug.traceback(thread, err)
    end
end

-- ---- waiting ----

local Slot = {}

-- A coroutine that is closed while it waits gives up its place.
function Slot:__close()
    if not self.done then
        board:abandon(self)
        rest()
    end
end

local function wait_once(slot)
    if slot.done or slot.cancelled then
        return nil
    end
    coroutine.yield()
    slot.cancelled = not slot.done
    return true
end

local function wait(slot)
    slot.thread = coroutine.running()
    slot.cancelled = false
    need_poll()
    -- The last value is closed however the loop is left (Lua 5.4).
    for _ in wait_once, slot, nil, slot do -- luacheck: ignore 512
    end
    Slot.__close(slot)
    slot.thread = nil
    return slot.done
end

board = Switchboard.new {
    wait = wait,
    make_slot = function(slot)
        setmetatable(slot, Slot)
    end,
    wake = function(slot)
        resume(slot.thread)
    end,
    start = function(body, ...)
        resume(coroutine.create(body), ...)
    end,
}

-- ---- the host ----

local host = board:calls()

function host.watch(lock, fn)
    local watch = board:watch(lock, fn)
    if watch then
        need_poll()
    end
    return watch
end

return host
