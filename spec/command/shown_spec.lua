-- What stands on a screen: names of any bytes, tables that fit, and how often locks changed hands.

local columns = require "redlock.command.columns"
local handovers = require "redlock.command.handovers"
local terminal = require "redlock.command.terminal"
local utf8 = require "redlock.command.utf8"

describe("UTF-8", function()
    it("is told from other bytes", function()
        local parts = {}
        for bytes, is_character in utf8.characters "aü世🔒\255\195\237\160\128" do
            parts[#parts + 1] = is_character and bytes or ("<%02x>"):format(bytes:byte())
        end
        assert.equal("a ü 世 🔒 <ff> <c3> <ed> <a0> <80>", table.concat(parts, " "))
    end)

    it("has widths, and is cut between characters", function()
        assert.equal(6, utf8.width "aü世🔒")
        assert.equal("aü", utf8.cut("aü世🔒", 3))
        assert.equal("aü世", utf8.cut("aü世🔒", 4))
        assert.equal("", utf8.cut("世", 1))
    end)
end)

describe("a printable text", function()
    it("is what it was, if that does no harm", function()
        assert.equal("order:42 grüße 世界", terminal.printable "order:42 grüße 世界")
    end)

    it("has no control character of any kind, nothing that turns it, and no broken byte", function()
        assert.equal("\\x00\\x1b[m\\x7f", terminal.printable "\0\27[m\127")
        assert.equal("\\xc2\\x9b1m", terminal.printable "\194\1551m")
        assert.equal("a\\xe2\\x80\\xaeb", terminal.printable "a\226\128\174b")
        assert.equal("a\\xe2\\x81\\xa6b", terminal.printable "a\226\129\166b")
        assert.equal("\\xff\\xc3", terminal.printable "\255\195")
    end)
end)

describe("columns", function()
    local list = {
        { title = "name", field = "name", shrinks = true },
        { title = "n", field = "n", right = true },
        { title = "more", field = "more", drop = 2 },
        { title = "most", field = "most", drop = 1 },
    }
    local rows = {
        { name = "a rather long name of a lock", n = "5", more = "x", most = "yyyy" },
        { name = "b", n = "12345", more = "xx" },
    }

    it("are as wide as what is in them", function()
        local head, lines = columns.lay_out(list, rows, 80)
        assert.equal("name                              n  more  most", head)
        assert.same({
            "a rather long name of a lock      5  x     yyyy",
            "b                             12345  xx",
        }, lines)
    end)

    it("are left out in their order, and then cut, until they fit", function()
        for room = 15, 80 do
            local head, lines = columns.lay_out(list, rows, room)
            for _, line in ipairs { head, lines[1], lines[2] } do
                assert.is_true(#line <= room, line)
            end
        end
        assert.equal("name" .. (" "):rep(30) .. "n  most", (columns.lay_out(list, rows, 42)))
        assert.equal("name" .. (" "):rep(25) .. "n", (columns.lay_out(list, rows, 30)))
        local _, lines = columns.lay_out(list, rows, 15)
        assert.equal("a rath..      5", lines[1])
    end)
end)

describe("hand-overs", function()
    local function look(counter, fence, now)
        counter:look({ { name = "job", fence = fence } }, now)
    end

    it("are counted by fences, over the last seconds", function()
        local counter = handovers.new()
        look(counter, 1, 0)
        assert.equal(0, counter:rate "job")
        look(counter, 1, 1)
        assert.equal(0, counter:rate "job")
        look(counter, 2, 2)
        look(counter, 3, 3)
        look(counter, 3, 4)
        local rate, is_least = counter:rate "job"
        assert.equal(0.5, rate)
        assert.is_false(is_least)
        for now = 5, 30 do
            look(counter, 3, now)
        end
        assert.equal(0, counter:rate "job")
    end)

    it("may be more, if every look saw one", function()
        local counter = handovers.new()
        for now = 0, 5 do
            look(counter, now, now)
        end
        local rate, is_least = counter:rate "job"
        assert.equal(1, rate)
        assert.is_true(is_least)
    end)

    it("are none for a lock that is new, and one if it was free in between", function()
        local counter = handovers.new()
        counter:look({}, 0)
        look(counter, 1, 1)
        assert.equal(0, counter:rate "job")
        counter:look({}, 2)
        look(counter, 2, 4)
        assert.equal(0.25, counter:rate "job")
    end)
end)
