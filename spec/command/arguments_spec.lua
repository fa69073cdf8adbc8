-- The words of the redlock command: help, options, and what is said about wrong ones.

local arguments = require "redlock.command.arguments"
local duration = require "redlock.command.duration"
local nearest = require "redlock.command.nearest"
local process = require "support.process"
local program = require "command.program"
local usage = require "redlock.command.usage"
local verbs = require "redlock.command.verbs"

describe("the redlock command", function()
    after_each(process.stop_all)

    local function says(words, status, pattern)
        local result = program.run(words)
        assert.equal(status, result.status)
        assert.matches(pattern, result.errors)
        assert.same({}, result.output)
    end

    it("shows its verbs", function()
        local asked, alone = program.run { "--help" }, program.run {}
        assert.equal(0, asked.status)
        assert.equal("", asked.errors)
        assert.equal(64, alone.status)
        assert.equal(table.concat(asked.output, "\n") .. "\n", alone.errors)
        for _, verb in ipairs(verbs.names) do
            assert.matches("\n  " .. verb .. " +%a", alone.errors)
        end
        assert.same(asked.output, program.run({ "help" }).output)
    end)

    it("shows its version", function()
        assert.same({ "redlock scm" }, program.run({ "--version" }).output)
    end)

    it("shows the help of each verb, in two ways, with every option, in 80 columns", function()
        for _, verb in ipairs(verbs.all()) do
            local first = program.run { verb.name, "--help" }
            assert.equal(0, first.status)
            assert.same(first.output, program.run({ "help", verb.name }).output)
            local text = table.concat(first.output, "\n") .. "\n"
            assert.equal(usage.of_verb(verb), text)
            for _, option in ipairs(arguments.options(verb)) do
                assert.is_truthy(text:find("--" .. option.long, 1, true))
            end
            for _, line in ipairs(first.output) do
                local is_example = line:find "^    "
                assert.is_true(#line < 80 or is_example ~= nil, line)
            end
        end
    end)

    it("says which verb may be meant", function()
        says({ "rum", "x" }, 64, '^redlock: there is no verb "rum"\nDid you mean: redlock run\n$')
        says({ "frobnicate" }, 64, "\nTry: redlock %-%-help\n$")
        says({ "help", "rum" }, 64, "Did you mean: redlock run")
    end)

    it("says which option may be meant", function()
        says({ "run", "x", "--wiat", "5s", "true" }, 64,
            "^redlock run: there is no option %-%-wiat\nDid you mean %-%-wait%? See: redlock run")
        says({ "run", "x", "-Z" }, 64, "there is no option %-Z\nTry: redlock run %-%-help\n$")
        says({ "--node", "x", "list" }, 64,
            '^redlock: there is no option "%-%-node" before the verb\nTry: redlock VERB OPTION')
    end)

    it("says what a value has to be", function()
        says({ "run", "x", "--wait", "soon", "true" }, 64,
            '%-%-wait takes a duration such as 250ms, 50s, 10m or 1h, or forever, not "soon"')
        says({ "run", "x", "--wait" }, 64, "%-%-wait takes a duration")
        says({ "run", "x", "--ttl", "0", "--node=h", "true" }, 64,
            "^redlock run: %-%-ttl must be a number of seconds from 0.001")
        says({ "run", "x", "--try=yes", "true" }, 64, "%-%-try takes no value")
        says({ "run", "x", "-E", "256", "true" }, 64, 'a number from 0 to 255, not "256"')
    end)

    it("says what is missing, or too much", function()
        says({ "run" }, 64, "NAME is missing\nUsage: redlock run NAME")
        says({ "run", "x" }, 64, "COMMAND is missing\nUsage: redlock run NAME")
        says({ "completion" }, 64, "bash or zsh is missing")
        says({ "completion", "bash", "zsh" }, 64, '"zsh" is one word too many')
        says({ "completion", "fish" }, 64, 'bash and zsh are known, not "fish"')
    end)

    it("says what is wrong with a name", function()
        says({ "run", "{a}:fence", "--node", "127.0.0.1:1", "true" }, 64, "a lock's key must not")
    end)

    local verb = {
        name = "verb", synopsis = "", words = { least = 0, most = math.huge },
        options = {
            { long = "wait", short = "w", value = "DURATION", kind = "wait", help = "" },
            { long = "quiet", short = "q", help = "" },
            { long = "very-loud", short = "v", help = "" },
            { long = "node", short = "n", value = "URL", many = true, help = "" },
        },
    }

    local function parse(text)
        local words = {}
        for word in text:gmatch "%S+" do
            words[#words + 1] = word
        end
        local given = arguments.parse(verb, words)
        return given.values, given.words
    end

    it("reads options in all ways in which they may be written", function()
        for _, text in ipairs { "-w 5s", "-w5s", "--wait 5s", "--wait=5s", "-qw5s", "-qw 5s" } do
            assert.equal(5, parse(text).wait)
        end
        local values, words = parse "a -qv --node=x b -n y -- -q -"
        assert.same({ quiet = true, very_loud = true, node = { "x", "y" } }, values)
        assert.same({ "a", "b", "-q", "-" }, words)
        assert.equal(math.huge, parse("-w forever").wait)
    end)

    it("reads durations", function()
        for text, seconds in pairs {
            ["250ms"] = 0.25, ["50s"] = 50, ["10m"] = 600, ["1h"] = 3600, ["5"] = 5,
            ["1.5m"] = 90, ["1h30m"] = 5400, ["0.5"] = 0.5, ["7d"] = 604800, ["2m3s4ms"] = 123.004,
        } do
            assert.near(seconds, duration.parse(text), 1e-9)
        end
        for text in ("s 5x 1m1h .5s 1e3 -5s 1s1s inf 0x5 5:00"):gmatch "%S+" do
            assert.is_nil(duration.parse(text), text)
        end
        assert.is_nil(duration.parse "")
        assert.is_nil(duration.parse "5 s")
    end)

    it("writes durations", function()
        for seconds, text in pairs {
            [0.34] = "340ms", [0.9999] = "1s", [7.5] = "7.5s", [9.99] = "10s", [59.97] = "1m",
            [130] = "2m10s", [3599.6] = "1h", [90061] = "1d1h", [0] = "0ms",
            [math.huge] = "for ever",
        } do
            assert.equal(text, duration.format(seconds))
        end
    end)

    it("finds the word that was meant", function()
        local known = { "wait", "try", "verbose", "tls-ca-file" }
        local meanings = { wiat = "wait", verb = "verbose", ["tls-ca"] = "tls-ca-file" }
        for typed, meant in pairs(meanings) do
            assert.equal(meant, nearest.of(typed, known))
        end
        assert.is_nil(nearest.of("frobnicate", known))
    end)
end)
