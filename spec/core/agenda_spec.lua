--- Which of many is due next.

local machine = require "machine"

local NEVER = math.huge

local function agenda_for(slots)
    local agenda = machine.agenda()
    assert.is_true(agenda:reserve(slots))
    return agenda
end

local function take_all(agenda, now_ms)
    local slots = {}
    local slot = agenda:take(now_ms)
    while slot do
        slots[#slots + 1] = slot
        slot = agenda:take(now_ms)
    end
    return slots
end

-- What the agenda is meant to be: slot -> moment.
local function earliest(plan)
    local first = NEVER
    for _, at_ms in pairs(plan) do
        first = math.min(first, at_ms)
    end
    return first
end

describe("the agenda", function()
    it("that is empty names no moment and gives nothing", function()
        local agenda = machine.agenda()
        assert.equal(NEVER, agenda:next())
        assert.is_nil(agenda:take(0))
        assert.is_nil(agenda:take(NEVER))
    end)

    it("gives slots in the order of their moments, whatever the order of planning", function()
        local agenda = agenda_for(8)
        for slot, at_ms in ipairs { 50, 20, 70, 10, 60, 30, 40 } do
            agenda:set(slot, at_ms)
        end
        assert.equal(10, agenda:next())
        assert.same({ 4, 2, 6, 7, 1, 5, 3 }, take_all(agenda, 1000))
        assert.equal(NEVER, agenda:next())
    end)

    it("gives what is due now or was due before, and nothing else", function()
        local agenda = agenda_for(3)
        agenda:set(0, 99)
        agenda:set(1, 100)
        agenda:set(2, 101)
        assert.same({ 0, 1 }, take_all(agenda, 100))
        assert.equal(101, agenda:next())
    end)

    it("moves a slot's moment forth and back", function()
        local agenda = agenda_for(3)
        agenda:set(0, 10)
        agenda:set(1, 20)
        agenda:set(2, 30)
        agenda:set(0, 25)
        assert.equal(20, agenda:next())
        agenda:set(2, 5)
        assert.same({ 2, 1, 0 }, take_all(agenda, 100))
    end)

    it("takes a slot off, also one that is not on", function()
        local agenda = agenda_for(3)
        agenda:set(0, 10)
        agenda:set(1, 20)
        agenda:set(0, NEVER)
        agenda:set(2, NEVER)
        assert.same({ 1 }, take_all(agenda, 100))
    end)

    it("keeps what is planned when it is given more room", function()
        local agenda = agenda_for(2)
        agenda:set(0, 10)
        agenda:set(1, 5)
        assert.is_true(agenda:reserve(100))
        assert.is_true(agenda:reserve(1))
        agenda:set(99, 7)
        assert.same({ 1, 99, 0 }, take_all(agenda, 100))
    end)

    it("agrees with a plain list through thousands of random changes", function()
        local quorum = machine.quorum { random = 20240229 }
        local agenda, plan = agenda_for(64), {}
        for _ = 1, 20000 do
            local slot = quorum:jitter(64)
            local what = quorum:jitter(10)
            if what < 6 then
                plan[slot] = quorum:jitter(1000)
                agenda:set(slot, plan[slot])
            elseif what < 8 then
                plan[slot] = nil
                agenda:set(slot, NEVER)
            else
                local now_ms = quorum:jitter(300)
                local first = earliest(plan)
                local taken = agenda:take(now_ms)
                assert.equal(first <= now_ms, taken ~= nil)
                if taken then
                    assert.equal(first, plan[taken])
                    plan[taken] = nil
                end
            end
            assert.equal(earliest(plan), agenda:next())
        end
    end)
end)
