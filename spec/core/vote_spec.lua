--- What a node's answer means: classes of error replies, and what follows from a reason.

local machine = require "machine"

local ERROR_WORDS = {
    LOADING = "loading", READONLY = "readonly", MASTERDOWN = "masterdown", BUSY = "busy",
    OOM = "oom", MISCONF = "misconf", NOREPLICAS = "noreplicas", CLUSTERDOWN = "clusterdown",
    MOVED = "moved", ASK = "ask", NOAUTH = "noauth", NOPERM = "noperm", WRONGPASS = "wrongpass",
    WRONGTYPE = "wrongtype", NOSCRIPT = "noscript",
}

local function reasons_that(quality)
    local words = {}
    for _, reason in ipairs(machine.reasons) do
        if machine.reason(reason)[quality] then
            words[#words + 1] = reason
        end
    end
    return words
end

describe("an error reply", function()
    it("is classified by its first word", function()
        for word, reason in pairs(ERROR_WORDS) do
            assert.equal(reason, machine.reason_of_error(word))
            assert.equal(reason, machine.reason_of_error(word .. " and more"))
            assert.equal(reason, machine.reason_of_error(word .. " "))
        end
    end)

    it("of another first word is unknown", function()
        for word in pairs(ERROR_WORDS) do
            for _, text in ipairs {
                word:lower(), word .. "X", "X" .. word, word:sub(1, -2), " " .. word, word .. "\0",
                "ERR " .. word, word .. ": text",
            } do
                assert.equal("unknown_error", machine.reason_of_error(text), text)
            end
        end
        for _, text in ipairs { "", " ", "ERR", "ERR unknown command", "\0", ("A"):rep(10000) } do
            assert.equal("unknown_error", machine.reason_of_error(text))
        end
    end)
end)

describe("a reason", function()
    it("has a few words for a log, none twice", function()
        local seen = {}
        for _, reason in ipairs(machine.reasons) do
            local text = machine.reason(reason).text
            assert.matches("^%l[%l%- ']+", text)
            assert.is_nil(seen[text])
            seen[text] = true
        end
    end)

    it("counts as an answer where the node ran the request, or would have", function()
        assert.same({ "granted", "held", "outbid", "absent", "anothers", "wrongtype" },
            reasons_that "answer")
    end)

    it("is harmless where the request has certainly changed nothing", function()
        assert.same({ "held", "outbid", "guarded", "wrongtype", "noscript", "bad_fence" },
            reasons_that "harmless")
    end)

    it("is undelivered where the request may not have come through, and may in a moment", function()
        assert.same({ "disconnected", "stalled", "loading", "busy", "noscript" },
            reasons_that "undelivered")
    end)
end)
