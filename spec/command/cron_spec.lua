-- `redlock run` for jobs that cron starts on many machines whose clocks differ: --at-least, --once-per.

local clock = require "support.clock"
local process = require "support.process"
local program = require "command.program"
local servers = require "servers"
local terminal = require "command.terminal"
local wait = require "support.wait"

local MINUTES = 60

describe("redlock run on several machines", function()
    local server, nodes

    setup(function()
        server = servers.start_one()
        nodes = { REDLOCK_NODES = server.url }
    end)

    after_each(function()
        terminal.close_all()
        process.stop_all()
        server:cli("FLUSHALL")
    end)

    teardown(function()
        servers.stop_all()
    end)

    local function run(...)
        return program.run({ "run", "job", ... }, nodes)
    end

    -- A machine whose clock is off by so many seconds.
    local function run_on(shift, ...)
        local child = program.start({ "run", "job", ... }, nodes, "env " .. clock.shifted(shift))
        local status = child:wait(60)
        return { status = status, output = child:lines(), errors = child:errors() }
    end

    it("does a quick job once, though their clocks are two minutes apart", function()
        local why_not = clock.why_not()
        if why_not then
            pending(why_not)
            return
        end
        -- At the same moment by their clocks: that of the other comes later, or has been.
        for _, shift in ipairs { -2 * MINUTES, 2 * MINUTES } do
            assert.same({ "done" }, run("--at-least", "150s", "--", "echo", "done").output)
            local other = run_on(shift, "--at-least", "150s", "--try", "--", "echo", "done")
            assert.equal(75, other.status)
            assert.same({}, other.output)
            server:cli("DEL", "job") -- so much later
            other = run_on(shift, "--at-least", "150s", "--try", "--", "sh", "-c", "date +%s")
            assert.equal(0, other.status)
            assert.near(os.time() + shift, tonumber(other.output[1]), MINUTES)
            server:cli("FLUSHALL")
        end
    end)

    it("lets another do it once the time of --at-least is over", function()
        local began = wait.now()
        assert.equal(0, run("--at-least", "3s", "true").status)
        assert.equal("1", server:cli("EXISTS", "job"))
        assert.equal(0, run("--at-least", "1s", "true").status)
        assert.is_true(wait.now() - began >= 2.9)
    end)

    it("keeps the time also when the command fails, or when all of it is killed", function()
        assert.equal(1, run("--at-least", "60s", "false").status)
        assert.equal("1", server:cli("EXISTS", "job"))
        server:cli("FLUSHALL")
        local child = program.start({ "run", "job", "--at-least", "60s", "--ttl", "200ms", "-c",
            "echo up; read line" }, nodes)
        assert.equal("up", child:wait_line "up")
        child:signal "KILL"
        assert.is_true(tonumber(server:cli("PTTL", "job")) > 50000)
    end)

    it("keeps no time for a command that is not there", function()
        assert.equal(127, run("--at-least", "60s", "/nonexistent").status)
        assert.equal("0", server:cli("EXISTS", "job"))
    end)

    it("gives the lock back at once where the command took longer", function()
        assert.equal(0, run("--at-least", "100ms", "sleep", "0.3").status)
        assert.equal("0", server:cli("EXISTS", "job"))
    end)

    describe("with --once-per", function()
        it("runs it once in that time, and is content with that", function()
            assert.same({ "done" }, run("--once-per", "1h", "--", "echo", "done").output)
            local other = run("--once-per", "1h", "--", "echo", "done")
            assert.equal(0, other.status)
            assert.same({}, other.output)
            assert.equal("", other.errors)
        end)

        it("says so if asked, or to a person", function()
            local text = '"job" was started within the last 1h, %S+ ago by %S+:%d+'
            run("--once-per", "1h", "--purpose", "report", "true")
            local told = run("--once-per", "1h", "-v", "true").errors
            assert.matches("^redlock: " .. text .. " %(report%)\n$", told)
            local person = terminal.open({
                "env", "REDLOCK_NODES=" .. server.url, "sh", "-c",
                program.line { "run", "job", "--once-per", "1h", "true" },
            }, 150)
            assert.equal(0, person:wait())
            assert.matches(text, person.text)
        end)

        it("has the exit code that was asked for", function()
            run("--once-per", "1h", "true")
            assert.equal(9, run("--once-per", "1h", "-E", "9", "true").status)
        end)

        it("is told when the nodes cannot be asked", function()
            local result = program.run({ "run", "job", "--once-per", "1h", "true" },
                { REDLOCK_NODES = "127.0.0.1:1" })
            assert.equal(69, result.status)
        end)
    end)
end)
