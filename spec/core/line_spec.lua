--- The waiters of one loop, in line by key and order of arrival.

local machine = require "machine"

-- Locks of one loop, numbered from 1, for the keys that are given.
local function locks_for(keys)
    local quorum, locks = machine.quorum { nodes = 1 }, {}
    for id, key in ipairs(keys) do
        locks[id] = quorum:lock(key, { id = id })
    end
    return locks
end

local function join_all(lines, locks)
    for _, lock in ipairs(locks) do
        assert.is_true(lines:join(lock))
    end
end

local function first_of_each(lines, locks)
    local firsts = {}
    for id, lock in ipairs(locks) do
        firsts[id] = lines:first(lock) or 0
    end
    return firsts
end

describe("a line", function()
    it("begins with who comes first, and is left in order of arrival", function()
        local lines, locks = machine.lines(1), locks_for { "a", "a", "a" }
        join_all(lines, locks)
        assert.same({ 1, 1, 1 }, first_of_each(lines, locks))
        assert.equal(2, lines:leave(locks[1]))
        assert.same({ 0, 2, 2 }, first_of_each(lines, locks))
        assert.equal(3, lines:leave(locks[2]))
        assert.is_nil(lines:leave(locks[3]))
        assert.same({ 0, 0, 0 }, first_of_each(lines, locks))
    end)

    it("has one first", function()
        local lines, locks = machine.lines(1), locks_for { "a", "a" }
        assert.is_false(lines:is_first(locks[1]))
        join_all(lines, locks)
        assert.is_true(lines:is_first(locks[1]))
        assert.is_false(lines:is_first(locks[2]))
    end)

    it("closes up when one leaves from its middle or its end", function()
        local lines, locks = machine.lines(1), locks_for { "a", "a", "a", "a" }
        join_all(lines, locks)
        assert.is_nil(lines:leave(locks[2]))
        assert.is_nil(lines:leave(locks[4]))
        assert.equal(3, lines:leave(locks[1]))
        assert.is_nil(lines:leave(locks[3]))
        assert.equal(0, lines:count())
    end)

    it("takes at its end who comes again", function()
        local lines, locks = machine.lines(1), locks_for { "a", "a" }
        join_all(lines, locks)
        lines:leave(locks[1])
        assert.is_true(lines:join(locks[1]))
        assert.equal(2, lines:first(locks[1]))
        assert.equal(1, lines:leave(locks[2]))
    end)

    it("is headed by a place that asks nobody, before all who are there and who come", function()
        local lines, locks = machine.lines(1), locks_for { "a", "a", "a", "b" }
        lines:join(locks[1])
        assert.is_true(lines:head(locks[2]))
        lines:join(locks[3])
        assert.is_true(lines:head(locks[4]))
        assert.same({ "nobody", "nobody", "nobody", "nobody" }, first_of_each(lines, locks))
        assert.is_false(lines:is_first(locks[1]))
        assert.equal(2, lines:count())
        assert.equal(1, lines:leave(locks[2]))
        assert.equal(3, lines:leave(locks[1]))
        assert.is_nil(lines:leave(locks[4]))
        assert.equal(1, lines:count())
    end)

    it("is not left by who stands in none", function()
        local lines, locks = machine.lines(1), locks_for { "a", "a" }
        lines:join(locks[1])
        assert.is_nil(lines:leave(locks[2]))
        assert.is_true(lines:is_first(locks[1]))
    end)

    it("is each key's own, whatever the bytes", function()
        local keys = { "a", "b", "a\0", "a\0b", "\0", ("x"):rep(1024), ("x"):rep(1023) }
        local lines, locks = machine.lines(1), locks_for(keys)
        join_all(lines, locks)
        assert.same({ 1, 2, 3, 4, 5, 6, 7 }, first_of_each(lines, locks))
        assert.equal(#keys, lines:count())
    end)

    it("goes by the bytes of its key, also when its first has gone with their copy", function()
        local lines, locks = machine.lines(1), locks_for { "a", "a" }
        join_all(lines, locks)
        lines:leave(locks[1])
        locks[1] = nil
        collectgarbage()
        local late = machine.quorum({ nodes = 1 }):lock("a", { id = 3 })
        lines:join(late)
        assert.equal(2, lines:first(late))
    end)

    it("is another's in other lines", function()
        local ours, theirs, locks = machine.lines(1), machine.lines(2), locks_for { "a", "a" }
        ours:join(locks[1])
        theirs:join(locks[2])
        assert.is_true(ours:is_first(locks[1]) and theirs:is_first(locks[2]))
    end)

    it("is over for all who stand in it when the lines are freed", function()
        local lines, locks = machine.lines(1), locks_for { "a", "a", "b" }
        join_all(lines, locks)
        lines:free()
        assert.same({ 0, 0, 0 }, first_of_each(lines, locks))
        assert.is_true(lines:join(locks[2]))
        assert.is_true(lines:is_first(locks[2]))
    end)
end)

-- What the lines are meant to be: key -> list of ids, in order of arrival.
local Model = {}
Model.__index = Model

function Model:join(key, id)
    self[key] = self[key] or {}
    table.insert(self[key], id)
end

function Model:leave(key, id)
    local line = self[key] or {}
    for place, each in ipairs(line) do
        if each == id then
            table.remove(line, place)
            self[key] = line[1] and line
            return place == 1 and line[1] or nil
        end
    end
end

function Model:count()
    local count = 0
    for _ in pairs(self) do
        count = count + 1
    end
    return count
end

-- Some keys have a long line, most a short one; the table grows and empties.
local function random_key(chance)
    return chance:jitter(3) == 0 and "busy" .. chance:jitter(3) or "key" .. chance:jitter(400)
end

local function check_firsts(lines, locks, keys, model)
    for id, lock in ipairs(locks) do
        local first = keys[id] and model[keys[id]][1]
        assert.equal(first, lines:first(lock))
        assert.equal(first == id, lines:is_first(lock))
    end
end

describe("lines", function()
    it("agree with plain lists through thousands of random changes over many keys", function()
        local chance, lines = machine.quorum { random = 20260314 }, machine.lines(99)
        local quorum, locks = machine.quorum { nodes = 1 }, {}
        local keys, model = {}, setmetatable({}, Model)
        for step = 1, 30000 do
            local id = 1 + chance:jitter(600)
            local filling = step % 10000 < 6000
            if keys[id] then
                if not filling or chance:jitter(3) == 0 then
                    assert.equal(model:leave(keys[id], id), lines:leave(locks[id]))
                    keys[id] = nil
                end
            elseif filling then
                keys[id] = random_key(chance)
                locks[id] = quorum:lock(keys[id], { id = id })
                model:join(keys[id], id)
                assert.is_true(lines:join(locks[id]))
            end
            assert.equal(model:count(), lines:count())
            if step % 500 == 0 then
                check_firsts(lines, locks, keys, model)
            end
        end
    end)
end)

describe("the hash under which lines are found", function()
    local function bytes_up_to(last)
        local bytes = {}
        for value = 0, last do
            bytes[value + 1] = string.char(value)
        end
        return table.concat(bytes)
    end

    it("is SipHash-2-4: the example in its paper's appendix", function()
        assert.equal("a129ca6149be45e5", machine.siphash(bytes_up_to(15), bytes_up_to(14)))
    end)

    it("is another under another secret", function()
        local secret, other = ("s"):rep(16), ("s"):rep(15) .. "t"
        assert.not_equal(machine.siphash(secret, "name"), machine.siphash(other, "name"))
    end)

    it("tells apart strings of zeros by their length", function()
        local seen = {}
        for length = 0, 40 do
            local hash = machine.siphash(("s"):rep(16), ("\0"):rep(length))
            assert.is_nil(seen[hash])
            seen[hash] = true
        end
    end)
end)
