-- The benchmark measures what it says: each scene has figures, and who fails is told from who is slow. How fast
-- anything is, is no matter here.

package.path = "bench/?.lua;" .. package.path

local driver = require "driver"
local goals = require "goals"
local handovers = require "handovers"
local json = require "support.json"
local keeper = require "keeper"
local process = require "support.process"
local shell = require "shell"
local turns = require "turns"

local SHORT = "--rounds 2 --seconds 0.1 --warmup 0.05 --waiters 2,20 --locks 20,40 --ttl 1,1.2"
local NAMES = {
    "one_node", "five_nodes", "one_stopped", "one_killed", "many_on_one", "many_on_five",
    "processes", "callers", "waiters", "held_20", "held_40", "held_40_long", "start_up",
}
local MAY_BE_NOTHING = { -- of a short run
    lost = true, fewest = true, bytes = true, client_percent = true, redis_percent = true,
}

local child

local function alive(pid)
    return shell.read(("/proc/%d/stat"):format(pid)):find("%) [RSDT]") ~= nil
end

after_each(function()
    if child then
        child:stop("sigkill")
        child = nil
    end
end)

describe("a run of all scenes", function()
    local folder, results, output

    local function check_figure(column, value, where)
        assert.is_true(value.low <= value.median and value.median <= value.high, where)
        if column.field == "lost" then
            assert.are.equal(0, value.low, where) -- in the better round
        elseif not MAY_BE_NOTHING[column.field] then
            assert.is_true(value.low > 0, where)
        end
    end

    local function check_row(result, row)
        assert.is_nil(row.out, row.name)
        for _, column in ipairs(result.columns) do
            local where = ("%s, %s, %s"):format(result.name, row.name, column.title)
            check_figure(column, assert(row[column.field], where), where)
        end
    end

    local function check_tables()
        local names = {}
        for index, result in ipairs(results.tables) do
            names[index] = result.name
            assert.is_true(#result.rows > 0, result.name)
            for _, row in ipairs(result.rows) do
                check_row(result, row)
            end
        end
        assert.are.same(NAMES, names, output)
    end

    local function measure()
        folder = os.tmpname()
        os.remove(folder)
        output = shell.output(("%s bench/run.lua %s --contestants hiredis,ours --out %s"):format(
            process.interpreter, SHORT, keeper.quote(folder)))
        results = json.read(shell.read(folder .. "/results.json"))
    end

    local function forget()
        shell.output("rm -r " .. keeper.quote(folder))
    end

    -- Leases and rounds are short: a machine that stands still spoils them, but not every time.
    setup(function()
        measure()
        for _ = 1, 3 do
            if not pcall(check_tables) then
                forget()
                measure()
            end
        end
    end)

    teardown(forget)

    it("has every scene's table, and plausible figures in it", check_tables)

    it("says on which machine, what and how it measured", function()
        for _, name in ipairs { "machine", "processors", "redis", "command", "date" } do
            assert.is_true(#results.about[name] > 0, name)
        end
        assert.is_truthy(results.about.command:find(SHORT, 1, true))
        for _, one in ipairs(results.about.versions) do
            assert.is_truthy(one.version:find "%d", one.name)
            -- Of the other Lua there may be no build.
            assert.is_truthy((one.absent or "no build"):find "^no build", one.name)
        end
    end)

    it("draws what it shows", function()
        local markdown, count = shell.read(folder .. "/results.md"), 0
        for name in markdown:gmatch("%(%.%./bench/results/(%S+)%)") do
            assert.is_truthy(shell.read(folder .. "/" .. name):find("<svg", 1, true), name)
            count = count + 1
        end
        if shell.output("command -v gnuplot") ~= "" then
            assert.is_true(count >= 5, output)
        else
            assert.is_truthy(output:find "no plots: gnuplot is missing")
        end
    end)

    it("shows the same as text and in Markdown", function()
        local text = shell.read(folder .. "/results.txt")
        local markdown = shell.read(folder .. "/results.md")
        for _, result in ipairs(results.tables) do
            assert.is_truthy(text:find(result.title, 1, true))
            assert.is_truthy(markdown:find("### " .. result.title, 1, true))
        end
    end)
end)

describe("a driver", function()
    it("that does not answer is killed when its time is over", function()
        child = driver.start("sleep 600")
        local answer, reason = child:ask("pairs 1", 0.2)
        assert.is_nil(answer)
        assert.are.equal("no answer in 0.2 s", reason)
        assert.is_false(alive(child.pid))
    end)

    it("that ends is told with what it complained about", function()
        child = driver.start([[sh -c 'echo trace >&2; echo "KeyError: no lock" >&2; exit 3']])
        local answer, reason = child:ask("pairs 1", 60)
        assert.is_nil(answer)
        assert.are.equal("ended with status 3: KeyError: no lock", reason)
    end)

    it("may answer with a line that comes in many pieces", function()
        child = driver.start([[sh -c 'yes grant | head -n 100000 | tr "\n" " "; echo; echo next']])
        assert.are.equal(("grant "):rep(100000), child:answer(60))
        assert.are.equal("next", child:answer(60))
    end)

    it("ends with whoever started it", function()
        local code = [[
            package.path = "bench/?.lua;" .. package.path
            local child = require("driver").start("sh -c 'echo up; exec sleep 600'")
            assert(child:answer(60))
            print(child.pid)
            io.stdout:flush()
            os.execute("kill -KILL $PPID")]]
        local pid = tonumber(shell.output(("%s -e %s"):format(
            process.interpreter, keeper.quote(code))):match("^%d+"))
        local deadline = driver.now_ns() + 60e9
        while alive(pid) and driver.now_ns() < deadline do
            driver.sleep(0.01)
        end
        assert.is_false(alive(pid))
    end)
end)

describe("turns", function()
    it("begin with another entrant each round", function()
        local order = {}
        turns.play({ { name = "a" }, { name = "b" }, { name = "c" } }, 3, function(entrant)
            order[#order + 1] = entrant.name
            return {}
        end)
        assert.are.equal("cababcbca", table.concat(order))
    end)

    it("leave out who has failed, and keep the reason", function()
        local entrants = { { name = "a" }, { name = "b" } }
        turns.play(entrants, 3, function(entrant)
            if entrant.name == "b" then
                return nil, "no answer in 1 s"
            end
            return { pairs = 1 }
        end)
        local rows = turns.rows(entrants, { { field = "pairs" } })
        assert.are.equal(1, rows[1].pairs.median)
        assert.are.same({ name = "b", out = "no answer in 1 s" }, rows[2])
    end)
end)

describe("goals", function()
    local function judged(figure)
        return goals.judge { {
            name = "processes",
            rows = { { name = "ours, luajit", next_trips = { median = figure } } },
        } }[1]
    end

    it("are met, or not", function()
        assert.is_true(judged(4).met)
        assert.is_false(judged(4.1).met)
    end)

    it("name the column in which a peer is ahead of the best of ours", function()
        local more = { field = "pairs", title = "pairs/s", better = "more", format = "%.0f" }
        local less = { field = "p99", title = "p99", better = "less", format = "%.0f" }
        local function row(name, pairs_median, p99)
            return { name = name, pairs = { median = pairs_median }, p99 = { median = p99 } }
        end
        local behind = goals.behind { {
            title = "a scene", columns = { more, less },
            rows = { row("hiredis", 99, 1), row("ours, a", 10, 5), row("ours, b", 12, 9),
                row("peer", 11, 4) },
        } }
        assert.are.equal(1, #behind)
        assert.are.equal(less, behind[1].column)
        assert.are.same({ name = "ours, a", median = 5 }, behind[1].ours)
        assert.are.same({ name = "peer", median = 4 }, behind[1].peer)
    end)
end)

describe("what is made of grants", function()
    local SECOND = 1000000000

    local function measure(...)
        local grants = {}
        for process_number, answer in ipairs { ... } do
            handovers.read(answer, process_number, grants)
        end
        return handovers.measure(grants, select("#", ...), 0, SECOND)
    end

    it("counts from the first time that an owner let go", function()
        -- The first has it twice while the other waits; the last grant is too late to count.
        local figure = measure(
            "1 0 1000000 2000000 1 2000000 3000000 4000000",
            "1 0 7000000 8000000 1 8000000 1000000001 1000000002")
        assert.are.equal(1, figure.count)
        assert.are.equal(5, figure.next_p50_ms)
        assert.are.equal(3, figure.grants_per_second)
        assert.are.near(2 / 1.5, figure.most, 1e-9)
        assert.are.near(1 / 1.5, figure.fewest, 1e-9)
    end)

    it("is nothing where two owned the lock at the same time", function()
        local figure, reason = measure("1 0 1000000 5000000", "1 0 3000000 6000000")
        assert.is_nil(figure)
        assert.are.equal("two owners at the same time", reason)
    end)

    it("has no time to the next owner where it never changed hands", function()
        local figure = measure("1 0 1000000 2000000", "")
        assert.are.equal(0, figure.per_second)
        assert.is_nil(figure.next_p50_ms)
    end)

    it("is little where nobody ever had it", function()
        local figure = measure("", "")
        assert.are.equal(0, figure.per_second)
        assert.is_nil(figure.fewest)
    end)

    it("shows who got nothing", function()
        local figure = measure("1 0 1 2", "1 0 3 4", "")
        assert.are.equal(0, figure.fewest)
    end)
end)
