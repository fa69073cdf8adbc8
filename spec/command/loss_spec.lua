-- `redlock run` when the lock is lost, or when redlock itself is stopped or killed: the command does
-- not go on without its lock.

local process = require "support.process"
local program = require "command.program"
local servers = require "servers"
local wait = require "support.wait"

-- Seconds: of a lease that is to be lost, and of one that is to last on a busy machine.
local TTL, LONG_TTL = 0.6, 3

describe("redlock run, when the lock is lost,", function()
    local server

    before_each(function()
        server = servers.start_one()
    end)

    after_each(function()
        process.stop_all()
        servers.stop_all()
    end)

    local LATE = 'redlock: the lease of "job" could not be renewed yet; [^\n]+ left\n'
        .. "redlock: the lease is renewed again\n"

    local WORK = "echo $$; while :; do sleep 0.02; done"

    -- Runs a shell text whose first line of output is its process.
    local function start(text, ...)
        local words = { "run", "job", "--ttl", TTL .. "s", ... }
        words[#words + 1] = "--shell"
        words[#words + 1] = text
        local child = program.start(words, { REDLOCK_NODES = server.url })
        child.command = assert(child:wait_line "^%d+$")
        return child
    end

    local function pause_client_commands()
        assert.equal("OK", server:cli("CLIENT", "PAUSE", "60000", "ALL"))
    end

    it("asks the command to end, and says so", function()
        local child = start("trap 'echo saving; exit 0' TERM; " .. WORK, "--ttl", LONG_TTL)
        server:cli("DEL", "job")
        assert.equal(76, child:wait())
        assert.equal("saving", child:lines()[2])
        local told = 'redlock: lost: "job" is gone from the nodes; ending the command\n'
        assert.matches(told, child:errors())
        assert.equal("0", server:cli("EXISTS", "job"))
    end)

    it("leaves it to another who has taken it", function()
        local child = start(WORK, "--ttl", LONG_TTL)
        server:cli("SET", "job", "another's")
        assert.equal(76, child:wait())
        assert.matches("was taken by another", child:errors())
        assert.equal("another's", server:cli("GET", "job"))
    end)

    it("kills the command after the grace", function()
        local child = start("trap 'echo no' TERM; " .. WORK, "--grace", "2s")
        server:cli("DEL", "job")
        assert.equal(76, child:wait())
        assert.equal("no", child:lines()[2])
        assert.is_false(program.exists(child.command))
    end)

    it("sends SIGTERM once", function()
        local child = start("trap 'echo once' TERM; " .. WORK, "--grace", "2s")
        pause_client_commands()
        assert.equal(76, child:wait())
        assert.same({ child.command, "once" }, child:lines())
    end)

    it("ends it when the nodes are dead for a lease", function()
        local child = start(WORK, "--ttl", LONG_TTL)
        server:kill()
        assert.equal(76, child:wait())
        assert.matches("could not be renewed yet", child:errors())
        assert.matches("ran out of its lease", child:errors())
        assert.is_false(program.exists(child.command))
    end)

    it("ends it when they hang", function()
        local child = start(WORK)
        server:pause()
        assert.equal(76, child:wait())
        assert.is_false(program.exists(child.command))
    end)

    it("lets it go on when a node is back in time", function()
        local child = start("echo $$; read line; echo done", "--ttl", "6s")
        server:pause()
        assert.is_truthy(wait.wait_until(function()
            return child:errors():find "could not be renewed yet"
        end))
        server:resume()
        assert.is_truthy(wait.wait_until(function()
            return child:errors():find "the lease is renewed again"
        end))
        child:tell ""
        assert.equal(0, child:wait())
    end)

    it("tells it from a command that ended by itself just then", function()
        local child = start("echo $$; read line", "--ttl", "60s")
        server:cli("DEL", "job")
        child:tell ""
        assert.equal(76, child:wait())
        assert.matches("before the command had ended: it exited with 0", child:errors())
    end)

    it("goes on while a majority of the nodes is there", function()
        local others = servers.start(2)
        local urls = table.concat({ server.url, others[1].url, others[2].url }, " ")
        local words = { "run", "job", "--ttl", LONG_TTL, "-c", "echo $$; read line" }
        local child = program.start(words, { REDLOCK_NODES = urls })
        assert.is_truthy(child:wait_line "%d")
        local token
        assert.is_true(wait.wait_until(function() -- a node may be slower than the majority
            token = others[1]:cli("GET", "job")
            return token ~= "" and others[2]:cli("GET", "job") == token
        end))
        server:kill()
        wait.sleep(1.1 * LONG_TTL) -- a lease that would be over
        assert.equal(token, others[1]:cli("GET", "job"))
        child:tell ""
        assert.equal(0, child:wait())
        -- Unless the machine stood still.
        assert.equal("", (child:errors():gsub(LATE, "")))
    end)

    describe("since redlock itself", function()
        it("is stopped, ends the command", function()
            local child = start("trap 'echo told; exit 0' TERM; " .. WORK)
            child:signal "STOP"
            assert.is_truthy(program.await_end(child.command))
            assert.equal("told", child:lines()[2])
            assert.is_true(child:running())
            child:signal "CONT"
            assert.equal(76, child:wait())
            assert.matches("ran out of its lease", child:errors())
        end)

        it("is stopped, kills what does not end within the grace", function()
            local child = start("trap '' TERM; " .. WORK, "--grace", "100ms")
            child:signal "STOP"
            assert.is_truthy(program.await_end(child.command))
            child:signal "CONT"
            assert.equal(76, child:wait())
        end)

        it("is stopped for less than its lease, does nothing", function()
            local child = start("echo $$; read line; echo done", "--ttl", "60s")
            child:signal "STOP"
            child:signal "CONT"
            child:tell ""
            assert.equal(0, child:wait())
        end)

        it("is killed, ends the command when its lease is over, and the warden with it", function()
            local child = start("trap 'echo told; exit 0' TERM; " .. WORK)
            local warden = assert(program.warden(child.pid))
            child:signal "KILL"
            assert.is_truthy(program.await_end(child.command))
            assert.equal("told", child:lines()[2])
            assert.is_truthy(program.await_end(warden))
        end)

        it("is killed, lets the command come to its end within the lease", function()
            local child = start("echo $$; read line; echo done", "--ttl", "60s")
            local warden = assert(program.warden(child.pid))
            child:signal "KILL"
            assert.is_true(program.exists(child.command))
            child:tell ""
            assert.is_truthy(program.await_end(warden))
            assert.equal("done", child:lines()[2])
        end)

        it("is killed, does not leave behind a command that is stopped", function()
            local child = start(WORK)
            local warden = assert(program.warden(child.pid))
            program.shell("kill -STOP " .. child.command)
            child:signal "KILL"
            assert.is_truthy(program.await_end(child.command))
            assert.is_truthy(program.await_end(warden))
        end)

        it("is killed, kills what of the group does not end", function()
            local stubborn = [[sh -c 'trap "" TERM; echo $$; while :; do sleep 0.02; done']]
            local child = start(stubborn .. " & wait", "--grace", "100ms")
            local warden = assert(program.warden(child.pid))
            child:signal "KILL"
            assert.is_truthy(program.await_end(child.command))
            assert.is_truthy(program.await_end(warden))
        end)

        it("is killed while it waits, leaves no process behind", function()
            local holder = start("echo $$; read line", "--ttl", "60s")
            local child = program.start({ "run", "job", "true" }, { REDLOCK_NODES = server.url })
            assert.is_truthy(wait.wait_until(function()
                return server:cli("ZCARD", "{job}:queue") == "1"
            end))
            local warden = assert(program.warden(child.pid))
            child:signal "KILL"
            assert.is_truthy(program.await_end(warden))
            holder:tell ""
            assert.equal(0, holder:wait())
        end)
    end)

    it("kills the command if its warden was killed", function()
        local child = start(WORK, "--ttl", "60s")
        program.shell("kill -KILL " .. assert(program.warden(child.pid)))
        assert.equal(71, child:wait())
        assert.matches("the warden of the command was killed", child:errors())
        assert.is_truthy(program.await_end(child.command))
        assert.equal("0", server:cli("EXISTS", "job"))
    end)
end)
