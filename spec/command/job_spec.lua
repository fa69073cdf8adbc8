-- `redlock run` at a terminal: keys, the foreground, stopping and going on with an interactive shell.

local process = require "support.process"
local program = require "command.program"
local servers = require "servers"
local terminal = require "command.terminal"
local wait = require "support.wait"

local PROMPT = "ready> "
local CTRL_C, CTRL_Z = "\3", "\26"

describe("redlock run at a terminal", function()
    local server, shell

    setup(function()
        server = servers.start_one()
    end)

    local function variables(more)
        local words = { "env", "HOME=/nonexistent", "PS1=" .. PROMPT, "TERM=xterm" }
        words[#words + 1] = "REDLOCK_NODES=" .. server.url
        for _, variable in ipairs(more or {}) do
            words[#words + 1] = variable
        end
        return words
    end

    local function open(words, more)
        local all = variables(more)
        for _, word in ipairs(words) do
            all[#all + 1] = word
        end
        return terminal.open(all, 120)
    end

    -- A shell with job control, whose prompt is there.
    before_each(function()
        shell = open { "bash", "--norc", "--noprofile", "--noediting", "-i" }
        shell:expect(PROMPT)
    end)

    after_each(function()
        terminal.close_all()
        process.stop_all()
        server:cli("FLUSHALL")
    end)

    teardown(function()
        servers.stop_all()
    end)

    local function redlock(...)
        return program.line { "run", "job", ... }
    end

    local function enter(text)
        shell:type(text .. "\n")
    end

    local function expect_code(code)
        shell:expect(PROMPT)
        enter "echo code=$?"
        assert.equal(tostring(code), shell:expect "code=(%d+)")
        shell:expect(PROMPT)
    end

    local function is_held()
        return server:cli("EXISTS", "job") == "1"
    end

    local function state_of(pid)
        return program.shell("ps -o state= -p " .. pid)
    end

    local function await_state(pid, state)
        assert.equal(state, wait.wait_until(function()
            local now = state_of(pid)
            return now == state and now
        end))
    end

    -- A command that says who it is.
    local function start(text, ...)
        local words = { ... }
        words[#words + 1] = "-c"
        words[#words + 1] = "echo pid=$$; " .. text
        enter(redlock((table.unpack or unpack)(words)))
        return tonumber(shell:expect "pid=(%d+)")
    end

    -- One that waits, with a trap. It does not start processes all the time: a shell that is just about
    -- to (by vfork) cannot be stopped.
    local function start_waiting(trap, ...)
        local words = { ... }
        words[#words + 1] = "-c"
        words[#words + 1] = trap .. "; sleep 60 & echo pid=$$; wait; wait; wait"
        enter(redlock((table.unpack or unpack)(words)))
        return tonumber(shell:expect "pid=(%d+)")
    end

    -- What the shell has started, and stopped before it was itself, may take no notice of SIGTERM.
    local function start_to_lose()
        local trap = "trap 'echo told; exit 0' TERM"
        return start_waiting(trap, "--ttl", "3s", "--grace", "20s")
    end

    -- A shell that is just about to start a process may miss a SIGINT.
    local function await_sleep(pid)
        assert.is_truthy(wait.wait_until(function()
            return program.shell("ps -o comm= -p " .. pid) == "sleep"
        end))
    end

    local function supervisor_of(pid)
        return tonumber(program.shell("ps -o ppid= -p $(ps -o ppid= -p " .. pid .. ")"))
    end

    it("lets the command have the terminal, and the shell have it back", function()
        local pid = start "read line; echo got-$line"
        assert.equal(pid, shell:foreground())
        enter "text"
        shell:expect "got%-text"
        expect_code(0)
        assert.equal(shell.pty:pid(), shell:foreground())
    end)

    it("gives it back without a shell that would take it, too", function()
        local plain = open {
            "sh", "-c", redlock("-c", "read line; echo one-$line") .. "; read line; echo two-$line",
        }
        plain:type "text\n"
        plain:expect "one%-text"
        plain:type "text\n"
        plain:expect "two%-text"
        assert.equal(0, plain:wait())
    end)

    it("ends by Ctrl-C as the command does", function()
        await_sleep(start "exec sleep 60")
        shell:type(CTRL_C)
        expect_code(130)
        assert.is_false(is_held())
    end)

    it("leaves Ctrl-C to a command that knows what to do with it", function()
        start_waiting "trap 'echo caught; exit 5' INT"
        shell:type(CTRL_C)
        shell:expect "caught"
        expect_code(5)
    end)

    it("ends a script around it by Ctrl-C, too", function()
        enter(("bash -c 'for i in 1 2; do %s; done; echo ov''er'"):format(
            (redlock("-c", "echo pid=$$; exec sleep 60"):gsub("'", "'\\''"))))
        await_sleep(shell:expect "pid=(%d+)")
        shell:type(CTRL_C)
        expect_code(130)
        assert.is_nil(shell.text:find("over", 1, true))
    end)

    it("stops by Ctrl-Z with the command, and goes on with it", function()
        local pid = start "read line; echo got-$line"
        local ours = supervisor_of(pid)
        shell:type(CTRL_Z)
        shell:expect "Stopped"
        shell:expect(PROMPT)
        await_state(pid, "T")
        await_state(ours, "T")
        enter "fg"
        await_state(pid, "S")
        assert.is_truthy(wait.wait_until(function() return shell:foreground() == pid end))
        enter "text"
        shell:expect "got%-text"
        expect_code(0)
    end)

    it("goes on in the background, until it wants the terminal", function()
        local pid = start "read line; echo got-$line"
        shell:type(CTRL_Z)
        shell:expect "Stopped"
        shell:expect(PROMPT)
        enter "set -b; bg"
        shell:expect "Stopped" -- since it reads
        await_state(pid, "T")
        enter "fg"
        assert.is_truthy(wait.wait_until(function() return shell:foreground() == pid end))
        enter "text"
        shell:expect "got%-text"
        expect_code(0)
    end)

    it("does not let it go on when the lock was lost meanwhile", function()
        local pid = start_to_lose()
        shell:type(CTRL_Z)
        shell:expect "Stopped"
        shell:expect(PROMPT)
        assert.is_truthy(wait.wait_until(function() return not is_held() end))
        assert.equal("T", state_of(pid))
        enter "fg"
        shell:expect 'lost: "job" ran out of its lease; ending the command'
        shell:expect "told"
        expect_code(76)
    end)

    it("does not let it go on either when somebody else continues it", function()
        local pid = start_to_lose()
        shell:type(CTRL_Z)
        shell:expect "Stopped"
        shell:expect(PROMPT)
        assert.is_truthy(wait.wait_until(function() return not is_held() end))
        assert.is_truthy(wait.wait_until(function() -- the warden has sent SIGTERM
            return program.shell(("grep ShdPnd /proc/%d/status"):format(pid)):find "4%x%x%x$"
        end))
        program.shell(("kill -s CONT -- -%d"):format(pid))
        shell:expect "told"
        enter "fg"
        expect_code(76)
    end)

    it("stops the command when it is stopped alone", function()
        local pid = start_waiting ":"
        program.shell("kill -TSTP " .. supervisor_of(pid))
        shell:expect "Stopped"
        await_state(pid, "T")
        shell:expect(PROMPT)
        enter "fg"
        await_state(pid, "S")
        shell:type(CTRL_C)
        expect_code(130)
    end)

    it("stops a command that takes no notice of Ctrl-Z", function()
        local pid = start_waiting "trap '' TSTP"
        program.shell("kill -TSTP " .. supervisor_of(pid))
        shell:expect "Stopped"
        await_state(pid, "T")
        enter "kill %1; fg"
        expect_code(143)
    end)

    describe("in a pipeline", function()
        it("takes the terminal only when the command asks for it", function()
            local text = "echo pid=$$; sleep 0.2; read line </dev/tty; echo got-$line"
            enter(redlock("-c", text) .. " | cat")
            local pid = tonumber(shell:expect "pid=(%d+)")
            assert.is_true(shell:foreground() ~= pid)
            assert.is_truthy(wait.wait_until(function() return shell:foreground() == pid end))
            enter "text"
            shell:expect "got%-text"
            expect_code(0)
        end)

        it("stops by Ctrl-Z and goes on", function()
            local text = "trap 'echo cont' CONT; sleep 60 & echo pid=$$; wait; wait; wait"
            enter(redlock("-c", text) .. " | cat")
            local pid = tonumber(shell:expect "pid=(%d+)")
            shell:type(CTRL_Z)
            shell:expect "Stopped"
            await_state(pid, "T")
            shell:expect(PROMPT)
            enter "fg"
            shell:expect "\ncont\r" -- the shell shows its command, too
            shell:type(CTRL_C)
            shell:expect(PROMPT)
            assert.is_truthy(program.await_end(pid))
        end)
    end)

    describe("while it waits", function()
        local holder

        before_each(function()
            local words = { "run", "job", "--purpose", "a report", "-c", "echo held; read line" }
            holder = program.start(words, { REDLOCK_NODES = server.url })
            assert.equal("held", holder:wait_line "held")
        end)

        it("shows for whom, and takes that away", function()
            enter(redlock("-c", "echo mi''ne"))
            shell:expect 'redlock: waiting for "job", held by %S+:%d+ %(a report%) for %S+; %ds'
            holder:tell ""
            shell:expect "\r\27%[Kmine"
            expect_code(0)
        end)

        it("ends by Ctrl-C", function()
            enter(redlock "true")
            shell:expect 'waiting for "job"'
            shell:type(CTRL_C)
            expect_code(130)
            assert.equal("0", server:cli("ZCARD", "{job}:queue"))
        end)

        it("stops by Ctrl-Z, and waits on", function()
            enter(redlock("-c", "echo mi''ne"))
            shell:expect 'waiting for "job"'
            shell:type(CTRL_Z)
            shell:expect "Stopped"
            shell:expect(PROMPT)
            enter "fg"
            shell:expect 'waiting for "job"'
            holder:tell ""
            shell:expect "\27%[Kmine"
        end)
    end)

    it("leaves the terminal as it was when it has to end the command", function()
        start("stty -echo raw; exec sleep 60", "--at-most", "300ms")
        shell:expect "longer than 300ms"
        expect_code(124)
        enter "stty -a"
        shell:expect " icanon .* echo "
    end)

    it("ends with the terminal", function()
        local pid = start_waiting ":"
        local warden = tonumber(program.shell("ps -o ppid= -p " .. pid))
        shell:close()
        assert.is_truthy(program.await_end(pid))
        assert.is_truthy(program.await_end(warden))
        assert.is_truthy(wait.wait_until(function() return not is_held() end))
    end)

    it("shows colours, unless NO_COLOR is set", function()
        local function message(more)
            local lone = open({ "sh", "-c", program.path .. " run" }, more)
            assert.equal(64, lone:wait())
            return lone.text:match "^[^\n]+"
        end
        assert.equal("\27[31mredlock run: \27[0mNAME is missing\r", message())
        assert.equal("redlock run: NAME is missing\r", message { "NO_COLOR=1" })
        assert.equal("redlock run: NAME is missing\r", message { "TERM=dumb" })
    end)
end)
