-- The torture: what its judge finds in histories that are wrong, its tools, and a short run.

local history = require "torture.history"
local judge = require "torture.judge"
local nemesis = require "torture.nemesis"
local process = require "support.process"
local random = require "torture.random"
local system = require "torture.system"

local SECOND = 1e9 -- nanoseconds

teardown(function()
    process.stop_all()
end)

-- A tenure that was asked for at `ask`, and certainly held from `own` to `last`, in seconds.
local function tenure(what)
    local made = { client = "one", name = "job", class = "lua", ttl = 1000, writes = {}, stale = 0 }
    for name, value in pairs(what) do
        made[name] = value
    end
    made.ask, made.own = (what.ask or what.own) * SECOND, what.own * SECOND
    made.last = what.last and what.last * SECOND
    made.token = what.token or ("token %s %s"):format(what.own, what.fence)
    return made
end

local function findings_of(sections)
    local report, found = judge.judge(sections), {}
    for _, kind in ipairs(judge.kinds) do
        for _ = 1, #report.findings[kind] do
            found[#found + 1] = kind
        end
    end
    return found, report
end

describe("the judge", function()
    it("finds nothing wrong with owners who follow one another", function()
        local found, report = findings_of {
            tenure { own = 1, last = 2, fence = 10, writes = { 1, 2 } },
            tenure { ask = 1.5, own = 2.1, last = 3, fence = 11, writes = { 3 } },
            tenure { own = 1, last = 9, fence = 9, name = "another", writes = { 4 } },
        }
        assert.same({}, found)
        assert.equal(3, report.counts.tenures)
        assert.equal(1, report.counts.pairs)
        assert.equal(1, report.counts.outlived)
    end)

    it("finds two owners at once, also behind a third", function()
        local found, report = findings_of {
            tenure { own = 1, last = 5, fence = 10 },
            tenure { own = 2, last = 3, fence = 11 },
            tenure { own = 4.999, last = 6, fence = 12, client = "late" },
        }
        assert.same({ "overlap", "overlap" }, found)
        local text = report.findings.overlap[2].text
        assert.matches("one with 10", text)
        assert.matches("late with 12", text)
        assert.matches("for 1.0 ms", text)
    end)

    it("takes a belief to end with the last certain look", function()
        assert.same({}, (findings_of {
            tenure { own = 1, last = 2, fence = 10, lost = 5 * SECOND },
            tenure { own = 2, last = 3, fence = 11 },
            tenure { own = 2.5, fence = 12 }, -- was never certain of it
        }))
    end)

    it("finds a lower fence of who asked after another owned", function()
        assert.same({ "inversion" }, (findings_of {
            tenure { own = 1, fence = 11 }, tenure { ask = 1.1, own = 3, fence = 10 },
        }))
    end)

    it("finds a lower fence of who asked before, and owned after", function()
        assert.same({ "inversion" }, (findings_of {
            tenure { own = 1, last = 2, fence = 11 },
            tenure { ask = 0.5, own = 3, last = 4, fence = 10 },
        }))
    end)

    it("finds no order between those who asked at the same time and are not certain", function()
        assert.same({}, (findings_of {
            tenure { ask = 0.5, own = 1, fence = 11 }, tenure { ask = 0.5, own = 3, fence = 10 },
        }))
    end)

    it("finds a fence and a token that were given twice", function()
        assert.same({ "same fence" }, (findings_of {
            tenure { ask = 0, own = 1, fence = 10 }, tenure { ask = 0, own = 1.1, fence = 10 },
        }))
        assert.same({ "same token" }, (findings_of {
            tenure { own = 1, fence = 10, token = "same" },
            tenure { own = 1, fence = 11, token = "same", name = "another" },
        }))
    end)

    -- Owners that share a token: the first at `own`, then one each second.
    local function cohort(own, fences, changes)
        local tenures = {}
        for index, fence in ipairs(fences) do
            tenures[index] = tenure {
                ask = 0.5, own = own + index - 1, last = own + index - 0.9, fence = fence,
                token = "shared", shares = true,
            }
        end
        for name, value in pairs(changes or {}) do
            tenures[#tenures][name] = value
        end
        return tenures
    end

    it("finds nothing wrong with a token that a client's owners share", function()
        local found, report = findings_of(cohort(1, { 128, 129, 191 }))
        assert.same({}, found)
        assert.equal(2, report.counts.passed_on)
    end)

    it("finds a shared token beyond its client, its lock, its block, or who may share", function()
        for _, changes in ipairs {
            { client = "two" }, { name = "another" }, { fence = 192 }, { shares = false },
        } do
            assert.same({ "same token" }, (findings_of(cohort(1, { 128, 129 }, changes))))
        end
        assert.same({ "same fence", "same token" }, (findings_of {
            tenure { own = 1, fence = 128, token = "shared", shares = true },
            tenure { own = 1, fence = 128, token = "shared", shares = true },
        }))
    end)

    it("finds a lease that was passed on after another had been granted the lock", function()
        local sections = cohort(1, { 128, 129, 130 })
        sections[4] = tenure { ask = 1.2, own = 1.3, last = 1.9, fence = 192, client = "two" }
        assert.same({ "overtaken", "overtaken" }, (findings_of(sections)))
        sections[4].writes, sections[2].writes = { 2 }, { 1 } -- it writes late
        assert.same({ "overtaken", "overtaken", "overtaken" }, (findings_of(sections)))
    end)

    it("finds a lower fence of who asked for what was passed on after another owned", function()
        local sections = cohort(3, { 128, 129 })
        for _, each in ipairs(sections) do
            each.ask = 2.5 * SECOND
        end
        sections[3] = tenure { own = 1, last = 2, fence = 192, client = "two" }
        assert.same({ "inversion", "inversion" }, (findings_of(sections)))
    end)

    it("finds who has a lock before the time that an owner asked for", function()
        local function found(own, fence)
            return (findings_of {
                tenure { ask = 1, own = 1.1, last = 1.2, fence = 64, keeps = 500 },
                tenure { own = own, fence = fence },
            })
        end
        assert.same({ "too early" }, found(1.499, 128))
        assert.same({}, found(1.5, 128))
        assert.same({}, found(0.9, 0)) -- that was before
    end)

    it("finds a write of an earlier owner that the store took after one of a later", function()
        assert.same({ "inversion", "stale write", "store" }, (findings_of {
            tenure { own = 1, last = 2, fence = 11, writes = { 1, 4 } },
            tenure { own = 3, last = 4, fence = 10, writes = { 3 } },
        }))
        assert.same({ "stale write", "store" }, (findings_of {
            tenure { own = 1, last = 2, fence = 10, writes = { 1, 4 } },
            tenure { own = 3, last = 4, fence = 11, writes = { 3 } },
        }))
    end)

    it("finds a loss that was told too early, and one that was told twice", function()
        assert.same({ "told", "told" }, (findings_of {
            tenure { own = 1, last = 2, fence = 10, told = 1.5 * SECOND, times_told = 2 },
        }))
    end)

    it("finds keys that live too long", function()
        local function found(name, ms)
            return #judge.keys({ { name = name, ms = ms } }, 1000) > 0
        end
        assert.is_true(found("job", -1))
        assert.is_true(found("job", 1001))
        assert.is_false(found("job", 1000))
        assert.is_true(found("{job}:claim", 1001))
        assert.is_true(found("{job}:queue", 30001))
        assert.is_false(found("{job}:queue", 30000))
        assert.is_false(found("{job}:fence", 86400000))
        assert.is_true(found("{job}:fence", -1))
    end)

    it("finds what is left when all is over", function()
        local keys = { { name = "job" }, { name = "{job}:queue" }, { name = "{job}:fence" } }
        assert.same({ "job", "{job}:queue" }, judge.left_over(keys))
    end)

    it("finds a fence that a node has forgotten, or that fell", function()
        local memory = {}
        local function look(a, b)
            local keys = { { name = "a", fence = a }, { name = "b", fence = b } }
            return #judge.forgotten(keys, memory)
        end
        assert.equal(0, look(10, 20))
        assert.equal(0, look(11, 20))
        assert.equal(1, look(10, 20))
        assert.equal(1, look(10, nil))
    end)

    it("finds who has owned nothing since", function()
        local idle, busy = { saw = 5 }, { saw = 6 }
        assert.same({ idle }, judge.idle_since({ idle, busy }, 5))
    end)
end)

describe("a history", function()
    local path

    before_each(function()
        path = os.tmpname()
    end)

    after_each(function()
        os.remove(path)
    end)

    it("is read as it was written, while it is written", function()
        local writer, reader = history.writer(path), history.reader(path, "one", "lua")
        writer:note("ask", 1, "job", 1e15)
        writer:note("shares", 1)
        writer:note("keeps", 1, 250.4)
        reader:poll()
        local owns, waits = reader:state()
        assert.is_true(waits and not owns)
        writer:note("own", 1, 1e15 + 1, 2 ^ 53 - 1, "token", 1000)
        writer:note("held", 1, 1e15 + 2)
        writer:note("wrote", 1, 7)
        writer:note("stale", 1)
        reader:poll()
        owns = reader:state()
        assert.is_true(owns)
        assert.equal(1e15 + 2, reader.saw)
        writer:note("left", 1, 1e15 + 3, "true")
        writer:note("wrong", "this and that")
        writer:note("bye", 1e15 + 4)
        reader:poll()
        assert.is_false((reader:state()))
        assert.is_true(reader.said_bye)
        assert.same({ "this and that" }, reader.wrong)
        assert.same({
            client = "one", class = "lua", name = "job", ask = 1e15, own = 1e15 + 1,
            shares = true, keeps = 250,
            fence = 2 ^ 53 - 1, token = "token", ttl = 1000, last = 1e15 + 2, writes = { 7 },
            stale = 1, over = 1e15 + 3, code = "true",
        }, reader.sections[1])
        reader:close()
    end)

    it("that says something of a section that never began is wrong", function()
        local file = assert(io.open(path, "w"))
        file:write "held 7 20\nask 8 job 30\n"
        file:close()
        local reader = history.reader(path, "one", "lua")
        reader:poll()
        assert.same({ "of a section that never began: held 7 20" }, reader.wrong)
        assert.equal("job", reader.sections[8].name)
        reader:close()
    end)

    it("that ends in the middle of a line is read up to there", function()
        local file = assert(io.open(path, "w"))
        file:write "ask 1 job 10\nown 1 2"
        file:flush()
        local reader = history.reader(path, "one", "lua")
        reader:poll()
        assert.is_nil(reader.sections[1].own)
        file:write "0 5 token 1000\n"
        file:close()
        reader:poll()
        assert.equal(20, reader.sections[1].own)
        reader:close()
    end)
end)

describe("the nemesis", function()
    it("has each class once, and no more at a time than there is to take", function()
        local faults, classes = require "torture.faults", {}
        for index, class in ipairs(faults) do
            classes[index] = class
        end
        assert.is_true(#classes >= 20)
        for seed = 1, 20 do
            local seen = {}
            for _, round in ipairs(nemesis.draw(classes, random.new(seed), 6)) do
                local taken = {}
                assert.is_true(#round >= 1 and #round <= 6)
                for _, class in ipairs(round) do
                    taken[class.group] = (taken[class.group] or 0) + class.takes
                    seen[class.name] = (seen[class.name] or 0) + 1
                    assert.is_true(taken[class.group] <= faults.shares[class.group])
                end
            end
            for _, class in ipairs(classes) do
                assert.equal(1, seen[class.name])
            end
        end
    end)

    it("begins with clients, and holds each fault until it has had an effect", function()
        local events, looks = {}, 0
        local function class(name, group, took)
            return {
                name = name, group = group, ttls = 0,
                inject = function()
                    events[#events + 1] = "begin " .. name
                    return {
                        took = took,
                        tick = function() events[#events + 1] = "tick " .. name end,
                        heal = function() events[#events + 1] = "heal " .. name end,
                    }
                end,
            }
        end
        local late = class("late", "packets", function()
            looks = looks + 1
            return looks == 3
        end)
        nemesis.play({ late, class("owner", "client"), class("node", "node") }, {
            world = { nodes = {}, each_node = function() end }, ttl = 1, bound = 0, memories = {},
            fleet = { poll = function() end, workers = function() return {} end },
        })
        assert.same({
            "begin owner", "begin late", "begin node", "tick owner", "tick late", "tick node",
            "heal node", "heal owner", "tick late", "tick late", "heal late",
        }, events)
    end)

    it("draws the same from the same seed", function()
        local function draw(seed)
            local drawn = random.new(seed)
            return { drawn:between(1, 1000), drawn:part(), drawn:some({ 1, 2, 3, 4, 5 }, 3) }
        end
        assert.same(draw(7), draw(7))
        assert.not_same(draw(7), draw(8))
    end)
end)

describe("the torture", function()
    it("finds a process that is left", function()
        local lines = process.run([[
            local processes, system = require "torture.processes", require "torture.system"
            processes.mark()
            local pid = system.spawn { "sleep", "60", output = "/dev/null" }
            local path = ("/proc/%d/cmdline"):format(pid)
            assert(require("support.wait").wait_until(function()
                return io.open(path):read("*a"):find "^sleep"
            end))
            local left = processes.left(0.5)
            print(#left, left[1])
            system.signal(pid, "KILL")
            system.reap(pid, true)
            print(#processes.left())
        ]], 60)
        assert.matches("^1\t%d+ sleep 60", lines[1])
        assert.equal("0", lines[2])
    end)

    it("steps the wall clock of a program", function()
        local path = os.tmpname()
        finally(function() os.remove(path) end)
        local function time_there(step)
            assert(system.set_clock(path, step))
            local lines = process.run {
                command = "exec env LD_PRELOAD=build/torture/clock.so date +%s",
                env = { TORTURE_CLOCK = path },
            }
            return tonumber(lines[1]) - os.time()
        end
        assert.is_true(math.abs(time_there(0)) < 60)
        assert.is_true(math.abs(time_there(-7200.5) + 7200) < 60)
        assert.is_true(math.abs(time_there(3600) - 3600) < 60)
    end)

    it("is clean in a short run", function()
        local command = "exec %s spec/torture/run.lua --small --seed 1 --only %s"
        local lines, status, errors = process.run({
            command = command:format(process.interpreter,
                "kill-node,lose-replies,stop-owner,flush-scripts,packets-lost"),
            env = {
                LUA = os.getenv "LUA" or "lua5.4",
                REDLOCK_BUILD = os.getenv "REDLOCK_BUILD" or "build/lua5.4",
            },
        }, 300)
        local text = table.concat(lines, "\n") .. errors
        assert.equal(0, status, text)
        assert.matches("seed 1: %d+ passed, 0 failed", text)
        assert.matches("ok   lasting: one owner at a time", text)
    end)
end)
