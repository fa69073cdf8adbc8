-- `redlock bench`: what it measures, what it says of failures, and that it leaves nothing behind.

local fault = require "support.fault"
local histogram = require "redlock.command.histogram"
local json = require "support.json"
local process = require "support.process"
local program = require "command.program"
local servers = require "servers"
local terminal = require "command.terminal"

local nodes

local function words(list, ...)
    return program.words(list, "bench", ...)
end

local function bench(list, ...)
    local result = program.run(words(list, ...), nil, 60)
    return table.concat(result.output, "\n"), result.status, result.errors
end

local function measure(list, ...)
    local output, status, errors = bench(list, "--json", ...)
    assert.equal("", errors)
    return json.read(output), status
end

local function assert_empty()
    for _, node in ipairs(nodes) do
        assert.equal("", node:cli("KEYS", "*"))
    end
end

setup(function()
    nodes = servers.start(3)
end)

teardown(function()
    servers.stop_all()
end)

after_each(function()
    terminal.close_all()
    process.stop_all()
    fault.stop_all()
end)

describe("a histogram", function()
    it("tells quantiles to within two percent", function()
        local times = histogram.new()
        for index = 1, 1000 do
            times:add(index / 1000)
        end
        for _, share in ipairs { 0.5, 0.9, 0.99 } do
            local told = times:quantile(share)
            assert.is_true(told >= share and told <= share * 1.025, told)
        end
        assert.equal(1, times:quantile(1))
        assert.equal(1, times.max)
        assert.is_true(math.abs(times:summary().mean - 0.5005) < 1e-9)
    end)

    it("has a bar for every step between the first and the last, and counts each once", function()
        local times = histogram.new()
        for _, seconds in ipairs { 0.0009, 0.0015, 0.0016, 0.09 } do
            times:add(seconds)
        end
        local ends, sum = {}, 0
        for index, bar in ipairs(times:bars()) do
            ends[index] = ("%g=%d"):format(bar.up_to, bar.count)
            sum = sum + bar.count
        end
        assert.equal("0.001=1 0.002=2 0.005=0 0.01=0 0.02=0 0.05=0 0.1=1", table.concat(ends, " "))
        assert.equal(4, sum)
        assert.equal(7, #times:draw())
    end)

    it("takes nothing, next to nothing and very much", function()
        local times = histogram.new()
        assert.equal(0, times:quantile(0.5))
        assert.same({}, times:bars())
        times:add(0)
        times:add(1e6)
        assert.equal(1e6, times:quantile(1))
        assert.equal(2, times:summary().count)
    end)
end)

describe("bench", function()
    it("measures pairs of one caller", function()
        local result, status = measure(nodes, "--seconds", "300ms")
        assert.equal(0, status)
        assert.is_true(result.pairs > 0)
        assert.equal(result.pairs, result.acquire.count)
        assert.equal(result.pairs, result.release.count)
        assert.is_true(math.abs(result.rate - result.pairs / result.seconds) < 0.01 * result.rate)
        for _, half in ipairs { result.acquire, result.release } do
            assert.is_true(half.p50 > 0 and half.p50 <= half.p90 and half.p90 <= half.p99)
            assert.is_true(half.p99 <= half.max and half.max <= result.seconds)
        end
        assert.same({}, result.failures)
        assert_empty()
    end)

    it("measures pairs of many callers at once", function()
        local result, status = measure(nodes, "--seconds", "1s", "--callers", "40")
        assert.equal(0, status)
        assert.equal(40, result.names)
        assert.is_true(result.pairs > 0)
        assert_empty()
    end)

    it("has callers wait for one another, if there are fewer names", function()
        local result, status = measure(nodes, "--seconds", "500ms", "--callers", "5",
            "--names", "1", "--wait", "30s")
        assert.equal(0, status)
        assert.is_true(result.pairs > 0)
        assert_empty()
    end)

    it("counts what failed by its code, and says so by its exit code", function()
        local result, status = measure(nodes, "--seconds", "500ms", "--callers", "5",
            "--names", "1", "--wait", "0")
        assert.equal(1, status)
        assert.is_true(result.failures.locked > 0)
        assert.is_true(result.pairs > 0)
        assert_empty()
    end)

    it("draws a histogram in no more than 80 columns", function()
        local output, status = bench(nodes, "--seconds", "300ms")
        assert.equal(0, status)
        assert.matches("^3 nodes, 1 caller, 1 name: %d+ pairs a second, %d+ in [%d.]+ m?s\n",
            output)
        assert.matches("\nacquire: half within ", output)
        assert.matches("\nrelease: half within .*\n  <= +[%d.]+ ms  #+ +%d+%.%d%d %%  %d+", output)
        for line in output:gmatch "  <= [^\n]+" do
            assert.is_true(#line <= 80, line)
        end
    end)

    it("ends with 69 where no lock is to be had, and says what to do", function()
        local gone = servers.start_one()
        gone:stop()
        local output, status, errors = bench({ gone }, "--seconds", "10s")
        assert.equal("", output)
        assert.equal(69, status)
        assert.matches("^redlock bench: unavailable: .*refused", errors)
        assert.matches("\nTry: redlock doctor\n$", errors)
        gone:close()
    end)

    it("refuses to go on for days", function()
        for option, value in pairs { seconds = "2h", callers = "1001", names = "10001" } do
            local _, status, errors = bench(nodes, "--" .. option, value)
            assert.equal(64, status)
            assert.matches("--" .. option .. " takes at most", errors, 1, true)
        end
    end)

    it("shows its progress at a terminal; Ctrl-C ends it, and it says what it has", function()
        local line = { "sh", "-c", "exec " .. program.line(words(nodes, "--seconds", "1h")) }
        local screen = terminal.open(line)
        screen:expect "%d+ s left, %d+ pairs so far"
        screen:type "\3"
        screen:expect "pairs a second"
        screen:expect "release: half within"
        assert.equal(130, screen:wait())
        assert_empty()
    end)
end)
