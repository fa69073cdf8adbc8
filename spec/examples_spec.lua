-- The examples and the demo run as they stand, and come out as their texts say.

local keeper = require "keeper"
local process = require "support.process"
local servers = require "servers"
local wait = require "support.wait"

local TIME = 120 -- seconds, for what takes a few

-- Once more where the machine stood still for longer than an example's nodes have time to answer.
local function run_example(name, arguments)
    local lines, status, errors
    for _ = 1, 4 do
        lines, status, errors = process.run(
            { file = "examples/" .. name .. ".lua", args = arguments }, TIME)
        if not errors:find "unavailable" then
            break
        end
    end
    assert.equal("", errors)
    assert.equal(0, status)
    return lines
end

local function output_of(command)
    local pipe = assert(io.popen(command))
    local output = pipe:read("*a")
    pipe:close()
    return output
end

-- Processes whose command line names the port: the server on it, and who was told to use it.
local function count_users(port)
    local pattern = "127.0.0.1:" .. port:sub(1, -2) .. "[" .. port:sub(-1) .. "]" -- does not find itself
    local found = output_of(("grep -lsa '%s' /proc/[0-9]*/cmdline"):format(pattern))
    return select(2, found:gsub("\n", ""))
end

local function ports_of(line)
    local ports = {}
    for port in line:match("ports ([%d, ]+)%."):gmatch("%d+") do
        ports[#ports + 1] = port
    end
    return ports
end

local function all_gone(ports)
    return wait.wait_until(function()
        for _, port in ipairs(ports) do
            if count_users(port) > 0 then
                return false
            end
        end
        return true
    end)
end


describe("the example", function()
    after_each(function()
        process.stop_all()
        servers.stop_all()
    end)

    it("stock.lua oversells without the lock, and sells exactly the stock with it", function()
        local lines = run_example "stock"
        assert.equal(3, #lines)
        local stock = tonumber(lines[1]:match("^%d+ processes sell a stock of (%d+)$"))
        local orders, oversold = lines[2]:match("^without a lock: (%d+) orders, oversold by (%d+)$")
        assert.equal(stock, orders - oversold)
        assert.is_true(tonumber(oversold) > 0)
        assert.equal(("with a lock: %d orders, oversold by 0"):format(stock), lines[3])
    end)

    it("watchdog.lua keeps a lock through a job that is longer than its lease", function()
        assert.same({
            "a job of 3.5 s under a lease of 1.5 s",
            "renew = false: after the job the lock is lost; another owner is told granted; "
                .. "release says lost",
            "renew = true: after the job the lock is held; another owner is told locked; "
                .. "release says true",
            "max_hold = 1.6: after the job the lock is lost; another owner is told granted; "
                .. "release says lost",
        }, run_example "watchdog")
    end)

    it("quorum.lua goes on without two of five nodes, and says why not without three", function()
        local lines = run_example "quorum"
        local turns = ": 50 turns, each with a higher fence than the one before"
        assert.equal("5 nodes" .. turns, lines[1])
        assert.equal("one was killed" .. turns, lines[2])
        assert.equal("another one hangs" .. turns, lines[3])
        assert.equal("the lock that was acquired before is still held", lines[4])
        assert.matches(
            '^a third one hangs: unavailable: "turn": %d of 5 nodes answered, 3 needed: ', lines[5])
        assert.equal("the third is back" .. turns, lines[6])
        assert.equal(6, #lines)
    end)

    it("fencing.lua has the store refuse who was stopped for longer than the lease", function()
        assert.same({
            "the slow one holds the lock, and is stopped before it writes",
            "its lease ran out; the next owner's write is accepted",
            "the slow one goes on: its write is refused, its release says lost",
            "the store holds the value of the next owner",
        }, run_example "fencing")
    end)

    it("cron.lua runs the job on one of many machines, on another if that one dies", function()
        assert.same({
            "run 1: 4 machines started it, 1 ran it, 3 found that it was run",
            "run 2: 4 machines started it, one was killed while it ran, 1 ran it, "
                .. "2 found that it was run",
            "run 3: 4 machines started it, 1 ran it, 3 found that it was run",
        }, run_example "cron")
    end)

    it("with_cqueues.lua loses no deposit, and blocks nobody", function()
        assert.same({
            "20 deposits, the balance is 20; something else ran all the time meanwhile",
            'the one who writes the report is told: lost: "report" ran out of its lease',
        }, run_example "with_cqueues")
    end)

    it("with_luv.lua lets one who waits go, and the next comes in its place", function()
        assert.same({
            "the first prints",
            "the second gives up: timeout",
            "the third prints",
        }, run_example "with_luv")
    end)

    it("uses the nodes that it is given", function()
        local node = servers.start_one()
        run_example("fencing", { node.url })
        assert.not_equal("", node:cli("GET", "{balance}:fence"))
        run_example("quorum", { node.url })
        assert.not_equal("", node:cli("GET", "{turn}:fence"))
    end)

    it("finds what it needs from any working directory", function()
        local here = output_of("pwd"):gsub("\n", "")
        local build = os.getenv "REDLOCK_BUILD" or ""
        local plain = build == "build/lua5.4" or build == "build/luajit"
        local child = process.start {
            command = ("cd /; exec %s %s"):format(
                process.interpreter, keeper.quote(here .. "/examples/fencing.lua")),
            env = {
                LUA_PATH = ";;",
                LUA_CPATH = plain and ";;" or ("%s/%s/?.so;;"):format(here, build),
            },
        }
        assert.equal(0, child:wait(TIME), child:errors())
        assert.equal("the store holds the value of the next owner", child:lines()[4])
    end)
end)

describe("the demo", function()
    local fake

    before_each(function()
        fake = nil
    end)

    after_each(function()
        process.stop_all()
        if fake then
            fake:close()
        end
    end)

    it("oversells without a lock and never with one, and leaves nothing behind", function()
        local lines = run_example("demo", { 60, 4 })
        local text = table.concat(lines, "\n") .. "\n"
        assert.matches("\n   after %d+ orders: the node on port %d+ was killed\n", text)
        assert.matches("\n   after %d+ orders: the node on port %d+ was paused, and hangs\n", text)
        local orders, oversold = text:match(
            "\nwithout a lock +(%d+) +(%d+) +%- +%- +%d+ +%- +[%d.]+ s\n")
        assert.equal(60, orders - oversold)
        assert.is_true(tonumber(oversold) > 0)
        for _, phase in ipairs { "one node", "five nodes" } do
            assert.matches("\n" .. phase .. " +60 +0 +%d+ ms +%d+ ms +%d+ +yes +[%d.]+ s\n", text)
        end
        assert.matches("\nThe locks kept their promises%. [^\n]+ stopped%.\n$", text)
        assert.is_true(all_gone(ports_of(lines[1])))
    end)

    it("fails when the locks did not keep their promises, and so does stock.lua", function()
        fake = keeper.new()
        fake:save("redlock.lua", [[
            local client = {}
            function client:with(_, body) return true, body { fence = 1 } end
            function client:close() end
            return { new = function() return client end }
        ]])
        fake:settle()
        local env = { LUA_PATH = fake.dir .. "/?.lua;" .. package.path }
        local lines, status = process.run(
            { file = "examples/demo.lua", args = { 30, 3 }, env = env }, TIME)
        assert.equal(1, status)
        local text = table.concat(lines, "\n")
        assert.matches("\none node +%d+ +[1-9]%d* +%d+ ms +%d+ ms +%d+ +NO ", text)
        assert.matches("\nTHE LOCKS DID NOT KEEP THEIR PROMISES%.", text)
        assert.equal(1, select(2, process.run({ file = "examples/stock.lua", env = env }, TIME)))
    end)

    it("stops everything that it started on Ctrl-C, also in the middle of a phase", function()
        local demo = process.start {
            command = ("exec script -qefc %s /dev/null"):format(
                keeper.quote(process.interpreter .. " examples/demo.lua 100 4")),
        }
        local ports = ports_of(assert(demo:wait_line("^Five private Redis servers", 30)))
        assert.equal(5, #ports)
        assert(demo:wait_line("was killed", TIME))
        assert.is_true(count_users(ports[1]) > 4) -- the server and the sellers
        demo:tell("\3")
        assert.equal(130, demo:wait(30))
        assert(demo:wait_line("^Interrupted%. Everything that was started has been stopped%."))
        assert.is_true(all_gone(ports))
    end)
end)
