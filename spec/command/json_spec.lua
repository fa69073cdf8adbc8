-- The JSON that the command writes: what another program reads is what was meant.

local json = require "redlock.command.json"
local reader = require "support.json"

local function same(value)
    assert.same(value, reader.read(json.write(value)))
end

describe("what is written as JSON", function()
    it("is read as it was", function()
        same { a = 1, b = { 1, 2, { c = "d" } }, e = true, f = false, g = -1.5 }
        same { big = 2 ^ 52 + 1, small = 1.5e-05 }
        same "plain"
    end)

    it("is one line, with the names in their order", function()
        local text = json.write { c = 0.5, b = "x\ny", a = { 1, 2 } }
        assert.equal('{"a":[1,2],"b":"x\\ny","c":0.5}', text)
    end)

    it("tells empty lists from empty objects", function()
        assert.equal("{}", json.write {})
        assert.equal("[]", json.write(json.array {}))
    end)

    it("has no number for what is none", function()
        assert.equal("[null,null,null]", json.write { math.huge, -math.huge, 0 / 0 })
    end)

    it("escapes what has to be, and leaves UTF-8 alone", function()
        same '"\\/\b\f\n\r\t\0\1\31\127'
        same "grüße, 世界, 🔒"
    end)

    it("is UTF-8 for any bytes", function()
        for bytes, text in pairs {
            ["\255"] = "?", ["a\195"] = "a?", ["\192\128"] = "??", ["\237\160\128"] = "???",
            ["\244\144\128\128"] = "????", ["ü\128ü"] = "ü?ü",
        } do
            local expected = text:gsub("?", "\239\191\189")
            assert.equal(expected, reader.read(json.write(bytes)))
        end
    end)

    it("has the bytes of an object's text beside it, if that is no UTF-8", function()
        local mark = "\239\191\189"
        local text = json.write { a = "\255\0ü", b = mark }
        assert.equal(('{"a":"%s\\u0000ü","a_hex":"ff00c3bc","b":"%s"}'):format(mark, mark), text)
    end)
end)
