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
        for _, bytes in ipairs {
            "\255", "a\195", "\192\128", "\237\160\128", "\244\144\128\128", "\128",
        } do
            local read = reader.read(json.write(bytes))
            local expected = bytes:gsub("[\128-\255]", function(byte)
                return string.char(0xC0 + math.floor(byte:byte() / 64), 0x80 + byte:byte() % 64)
            end)
            assert.equal(expected, read)
        end
    end)
end)
