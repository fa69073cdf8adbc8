--- The host inside a cqueues controller: calls yield the coroutine.
--
-- Each controller in which somebody waits has a coroutine that polls the outbox's descriptor, takes
-- what there is, and signals the conditions of those who wait; also of those in other controllers.
-- @module redlock.host.cqueues
-- @local

local condition = require "cqueues.condition"
local core = require "redlock.core"
local cqueues = require "cqueues"
local Switchboard = require "redlock.switchboard"

local board
local pumps = setmetatable({}, { __mode = "k" }) -- by controller

-- ---- the pump ----

local function is_needed(pump)
    return pump.needed > 0 and pump.outbox == board:get_outbox() -- which is another after a fork
end

local function run_pump(controller, pump)
    local readable = { pollfd = core.outbox_fd(pump.outbox), events = "r" }
    while is_needed(pump) do
        board:take()
        if is_needed(pump) then
            cqueues.poll(readable, pump.idle)
        end
    end
    if pumps[controller] == pump then
        pumps[controller] = nil
    end
end

-- A controller's loop ends when nothing is left to run, so its pump ends with the last who waits.
local function need_pump(controller)
    local pump = pumps[controller]
    if not pump or pump.outbox ~= board:get_outbox() then
        pump = { needed = 0, idle = condition.new(), outbox = board:get_outbox() }
        pumps[controller] = pump
        controller:wrap(run_pump, controller, pump)
    end
    pump.needed = pump.needed + 1
    return pump
end

local function need_pump_no_more(pump)
    pump.needed = pump.needed - 1
    if pump.needed == 0 then
        pump.idle:signal()
    end
end

-- ---- waiting ----

local Slot = {}

-- A coroutine that is closed while it waits gives up its place.
function Slot:__close()
    if self.pump then
        need_pump_no_more(self.pump)
        self.pump = nil
    end
    if not self.ended then
        board:abandon(self)
    end
end

local function wait_once(slot)
    slot.ended = slot.done
    if slot.ended then
        return nil
    end
    slot.condition:wait()
    return true
end

local function wait(slot)
    slot.pump = need_pump(cqueues.running())
    -- The last value is closed however the loop is left (Lua 5.4). Before, what a coroutine leaves
    -- behind is abandoned when it is collected.
    for _ in wait_once, slot, nil, slot do -- luacheck: ignore 512
    end
    Slot.__close(slot)
    return true
end

board = Switchboard.new {
    weak = true,
    wait = wait,
    make_slot = function(slot)
        slot.condition = condition.new()
        setmetatable(slot, Slot)
    end,
    wake = function(slot)
        slot.condition:signal()
    end,
    start = function(body, ...)
        cqueues.running():wrap(body, ...)
    end,
    over = function(watch)
        need_pump_no_more(watch.pump)
    end,
}

-- ---- the host ----

local host = board:calls()

function host.watch(lock, fn)
    local watch = board:watch(lock, fn)
    if watch then
        watch.pump = need_pump(cqueues.running())
    end
    return watch
end

return host
