-- `redlock run` in pipes: what it runs, what it says, how it ends.

local keeper = require "keeper"
local process = require "support.process"
local program = require "command.program"
local servers = require "servers"
local terminal = require "command.terminal"
local wait = require "support.wait"

describe("redlock run", function()
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
        return program.run({ "run", ... }, nodes)
    end

    local function start(...)
        return program.start({ "run", ... }, nodes)
    end

    -- Holds the lock until its standard input is told to end.
    local function hold(name)
        local holder = start(name, "--", "sh", "-c", "echo held; read line; echo done")
        assert.equal("held", holder:wait_line "held")
        return holder
    end

    it("runs a command under the lock, and releases it", function()
        local result = run("job", "--", "sh", "-c", "redis-cli -s $0 get job", server.socket)
        assert.equal("", result.errors)
        assert.equal(0, result.status)
        assert.matches("^%S+$", result.output[1])
        assert.equal("0", server:cli("EXISTS", "job"))
    end)

    it("tells the command what it holds", function()
        local result = run("a job", "--", "sh", "-c",
            [[echo "$REDLOCK_NAME"; echo $REDLOCK_FENCE; echo $REDLOCK_TOKEN
            redis-cli -s $0 get "a job"]], server.socket)
        assert.equal("a job", result.output[1])
        assert.equal(server:cli("GET", "{a job}:fence"):match "^%d+", result.output[2])
        assert.equal(result.output[4], result.output[3])
    end)

    it("adds nothing else to its environment", function()
        local function names(words)
            local child = process.start { command = "exec " .. words, env = nodes }
            assert.equal(0, child:wait())
            local list = {}
            for _, line in ipairs(child:lines()) do
                local name = line:match "^([%w_]+)="
                list[#list + 1] = name ~= "_" and name or nil
            end
            table.sort(list)
            return table.concat(list, " ")
        end
        local plain = names "env"
        local under = names(program.line { "run", "job", "env" })
        assert.equal(plain, (under:gsub("REDLOCK_FENCE ", ""):gsub("REDLOCK_NAME ", "")
            :gsub("REDLOCK_TOKEN ", ""):gsub(" REDLOCK_TOKEN", "")))
        assert.matches("REDLOCK_TOKEN", under)
    end)

    it("has the command's exit code", function()
        assert.equal(0, run("job", "true").status)
        assert.equal(7, run("job", "--", "sh", "-c", "exit 7").status)
        assert.equal(255, run("job", "--", "sh", "-c", "exit 255").status)
    end)

    it("has 128 and the signal's number if one killed the command", function()
        assert.equal(137, run("job", "--", "sh", "-c", "kill -KILL $$").status)
        assert.equal(143, run("job", "--", "sh", "-c", "kill -TERM $$").status)
        assert.equal(139, run("job", "--", "sh", "-c", "kill -SEGV $$").status)
    end)

    it("has the shell's exit codes for what cannot be run", function()
        local result = run("job", "--", "/nonexistent/command")
        assert.equal(127, result.status)
        assert.equal('redlock run: cannot run "/nonexistent/command": No such file or directory\n',
            result.errors)
        assert.equal(126, run("job", "--", "/etc/passwd").status)
        assert.equal(127, run("job", "--", "").status)
        assert.equal("0", server:cli("EXISTS", "job"))
        assert.matches("%-%-shell", run("job", "true && true").errors)
    end)

    it("says nothing of a command that cannot be run, with --quiet", function()
        local result = run("job", "--quiet", "--", "/nonexistent/command")
        assert.equal(127, result.status)
        assert.equal("", result.errors)
    end)

    it("looks for the command in PATH, and where there is none, as the system does", function()
        local line = program.line { "run", "job", "--node", server.url, "--", "true" }
        for path, status in pairs {
            ["PATH=/nonexistent::/bin:"] = 0, ["-u PATH"] = 0, ["PATH=/nonexistent"] = 127,
            ["PATH=/etc:"] = 127,
        } do
            local interpreter = program.shell("command -v " .. process.interpreter)
            local words = line:gsub("^%S+", interpreter)
            local child = process.start { command = ("exec env %s %s"):format(path, words) }
            assert.equal(status, child:wait(), path)
        end
    end)

    it("passes its input and output on, and other descriptors", function()
        local child = process.start {
            command = ("printf 'one\ntwo\n' | %s 3</etc/hostname | cat"):format(
                program.line { "run", "job", "--", "sh", "-c", "cat; cat <&3; echo err >&2" }),
            env = nodes,
        }
        assert.equal(0, child:wait())
        assert.same({ "one", "two", program.shell "cat /etc/hostname" }, child:lines())
        assert.equal("err\n", child:errors())
    end)

    it("leaves the command's own options to it", function()
        assert.same({ "--wait -n" }, run("job", "echo", "--wait", "-n").output)
        assert.same({ "--help" }, run("job", "--try", "--", "printf", "%s\n", "--help").output)
        assert.same({ "-- x" }, run("job", "--", "echo", "--", "x").output)
    end)

    it("hands one text to a shell", function()
        assert.same({ "1", "2" }, run("job", "--shell", "echo 1 && echo 2").output)
        local result = run("job", "-c", "echo", "1")
        assert.equal(64, result.status)
        assert.matches("in quotes", result.errors)
    end)

    it("runs the command in a process group of its own", function()
        local output = run("job", "--", "sh", "-c", "ps -o pgid=,pid= -p $$").output
        local group, pid = output[1]:match "(%d+)%s+(%d+)"
        assert.equal(pid, group)
    end)

    it("leaves signals to the command as they were", function()
        -- From the 29th on there are some that only C libraries know.
        local probe = "awk '/^Sig(Blk|Ign)/ { print $1, substr($2, 10) }' /proc/self/status"
        local plain = process.run { command = "trap '' USR2; exec " .. probe }
        local words = { "run", "job", "--shell", probe }
        local child = program.start(words, nodes, "env --ignore-signal=USR2")
        assert.equal(0, child:wait())
        assert.same(plain, child:lines())
        assert.matches("%x+[89ac]%x%x$", child:lines()[2])
    end)

    it("lets one command run at a time, of many that are started", function()
        local folder = keeper.new()
        folder:save("count", "0")
        folder:settle()
        local add = ("read n <%s/count; sleep 0.01; echo $((n + 1)) >%s/count"):format(
            folder.dir, folder.dir)
        local line = program.line { "run", "job", "--shell", add }
        local list = {}
        for index = 1, 5 do
            list[index] = { command = ("for i in 1 2 3 4; do %s; done"):format(line), env = nodes }
        end
        for _, child in ipairs(process.start_all(list)) do
            assert.equal(0, child:wait(60))
            assert.equal("", child:errors())
        end
        assert.equal("20\n", folder:read "count")
        folder:close()
    end)

    it("leaves no process behind", function()
        local holder = hold "job"
        local warden = assert(program.warden(holder.pid))
        holder:tell ""
        assert.equal(0, holder:wait())
        assert.is_false(program.exists(warden))
    end)

    describe("when another holds the lock", function()
        it("waits for its turn", function()
            local first = hold "job"
            local second = start("job", "--", "echo", "second")
            assert.is_truthy(wait.wait_until(function()
                return server:cli("ZCARD", "{job}:queue") == "1"
            end))
            assert.same({}, second:lines())
            first:tell ""
            assert.equal(0, second:wait())
            assert.same({ "second" }, second:lines())
            assert.equal("", second:errors())
        end)

        it("says whom it waits for, with --verbose", function()
            local first = hold "job"
            local second = start("job", "-v", "--", "true")
            assert.is_truthy(wait.wait_until(function()
                return second:errors():find 'waiting for "job", held by '
            end))
            first:tell ""
            assert.equal(0, second:wait())
            assert.matches('"job" is ours, with the fence %d+', second:errors())
        end)

        it("gives up at once with --try, and after the time of --wait", function()
            hold "job"
            local result = run("job", "--try", "--", "echo", "no")
            assert.equal(75, result.status)
            assert.matches('^redlock run: "job" is held by [^\n]+\n$', result.errors)
            assert.same({}, result.output)
            result = run("job", "--wait", "100ms", "--", "echo", "no")
            assert.equal(75, result.status)
            assert.matches('"job" is held by .*; waited 100ms in vain', result.errors)
        end)

        it("says who that is, and what for", function()
            local holder = start("job", "--purpose", "nightly report", "-c", "echo held; read line")
            assert.equal("held", holder:wait_line "held")
            local result = run("job", "--try", "--", "true")
            assert.matches('"job" is held by %S+:%d+ %(nightly report%) for %d+', result.errors)
        end)

        it("says it in full where a name or a purpose has an @", function()
            local holder = start("a@b", "--purpose", "for a@b:c", "-c", "echo held; read line")
            assert.equal("held", holder:wait_line "held")
            local result = run("a@b", "--try", "--", "true")
            assert.matches('"a@b" is held by %S+:%d+ %(for a@b:c%) for %d+', result.errors)
        end)

        it("has the exit code that was asked for, and says nothing with --quiet", function()
            hold "job"
            local result = run("job", "-n", "-q", "-E", "9", "--", "echo", "no")
            assert.equal(9, result.status)
            assert.equal("", result.errors)
        end)

        it("leaves the queue when it is ended", function()
            hold "job"
            local second = start("job", "--", "echo", "no")
            assert.is_truthy(wait.wait_until(function()
                return server:cli("ZCARD", "{job}:queue") == "1"
            end))
            second:signal "TERM"
            assert.equal(143, second:wait())
            assert.equal("0", server:cli("ZCARD", "{job}:queue"))
            assert.same({}, second:lines())
        end)
    end)

    it("says what keeps the nodes from being asked", function()
        local nobody = { REDLOCK_NODES = "127.0.0.1:1" }
        local result = program.run({ "run", "job", "--", "true" }, nobody)
        assert.equal(69, result.status)
        assert.matches("^redlock run: unavailable: ", result.errors)
        assert.matches("Try: redlock doctor", result.errors)
    end)

    describe("while no majority of the nodes can be asked", function()
        local others, environment

        -- All but one are dead.
        before_each(function()
            others = servers.start(3)
            others[1]:kill()
            others[2]:kill()
            local urls = { others[1].url, others[2].url, others[3].url }
            environment = { REDLOCK_NODES = table.concat(urls, " ") }
        end)

        after_each(function()
            for _, other in ipairs(others) do
                other:close()
            end
        end)

        local function start_asking(...)
            return program.start({ "run", "job", ... }, environment)
        end

        local function run_asking(...)
            return program.run({ "run", "job", ... }, environment)
        end

        -- It has found out that it has to wait for nodes.
        local function start_waiting(...)
            local child = start_asking(...)
            assert.is_truthy(wait.wait_until(function()
                return child:errors():find "; trying on"
            end))
            return child
        end

        it("goes on trying for the time of --wait, and says so once", function()
            local child = start_waiting("--wait", "1h", "-c", "echo done")
            wait.sleep(1.2) -- it has tried again
            others[1]:restart()
            assert.equal(0, child:wait())
            assert.same({ "done" }, child:lines())
            assert.matches('^redlock: unavailable: "job": [01] of 3 nodes answered, 2 needed: '
                .. "[^\n]+; trying on for 1h\n$", child:errors())
        end)

        it("waits for the lock, too, where they come back with it", function()
            others[1]:restart()
            local holder = start_asking("--timeout", "5s", "-c", "echo held; read line")
            assert.equal("held", holder:wait_line "held")
            others[1]:pause()
            local child = start_asking("--wait", "forever", "-c", "echo done")
            assert.is_truthy(wait.wait_until(function()
                return child:errors():find "; trying on\n$"
            end))
            others[1]:resume()
            assert.is_truthy(wait.wait_until(function()
                return others[1]:cli("ZCARD", "{job}:queue") == "1"
            end))
            assert.same({}, child:lines())
            holder:tell ""
            assert.equal(0, child:wait())
            assert.same({ "done" }, child:lines())
        end)

        it("has 69 when the wait is over, and says how long it tried", function()
            local result = run_asking("--wait", "1s", "-c", "echo no")
            assert.equal(69, result.status)
            assert.same({}, result.output)
            local first, last = result.errors:match "^(redlock: [^\n]+)\n(redlock run: [^\n]+)\n"
            assert.matches("; trying on for 1s$", first)
            assert.matches("unavailable: .*; tried for 1s$", last)
        end)

        it("says nothing with --quiet", function()
            local result = run_asking("--wait", "1s", "-q", "-c", "echo no")
            assert.equal(69, result.status)
            assert.equal("", result.errors)
        end)

        it("answers at once with --try, and where no wait was asked for", function()
            for _, option in ipairs { "--try", "--wait=0", "--once-per=1h", "--verbose" } do
                local result = run_asking(option, "--", "true")
                assert.equal(69, result.status)
                assert.is_nil(result.errors:find "trying on")
            end
        end)

        it("ends at once when it is told to", function()
            for signal, status in pairs { TERM = 143, HUP = 129 } do
                local child = start_waiting("--wait", "1h", "--", "true")
                child:signal(signal)
                assert.equal(status, child:wait())
            end
        end)

        it("tells a person that it waits for nodes, until they are there, or Ctrl-C", function()
            local line = program.line { "run", "job", "--wait", "1h", "-c", "echo done" }
            local words = {
                "env", "REDLOCK_NODES=" .. environment.REDLOCK_NODES, "sh", "-c", "exec " .. line,
            }
            local person, other = terminal.open(words, 250), terminal.open(words, 250)
            for _, screen in ipairs { person, other } do
                screen:expect "; trying on for 1h"
                screen:expect 'waiting for "job", and for nodes; %d+s'
            end
            other:type "\3"
            assert.equal(130, other:wait())
            others[1]:restart()
            person:expect "done"
            assert.equal(0, person:wait())
        end)
    end)

    describe("passes on", function()
        local function trap(signal)
            return ([[trap 'echo got %s; exit 3' %s
                echo ready; while :; do sleep 0.05; done]]):format(signal, signal)
        end

        for _, signal in ipairs { "TERM", "HUP", "USR1", "USR2" } do
            it("SIG" .. signal, function()
                local child = start("job", "--", "sh", "-c", trap(signal))
                assert.equal("ready", child:wait_line "ready")
                child:signal(signal)
                assert.equal(3, child:wait())
                assert.equal("got " .. signal, child:lines()[2])
                assert.equal("0", server:cli("EXISTS", "job"))
            end)
        end

        it("TERM to the whole group, USR1 to the command alone", function()
            local child = start("job", "--", "sh", "-c",
                "trap : USR1; sleep 60 & echo $!; while ! wait; do echo again; done; echo over")
            local sleeper = child:wait_line "^%d+$"
            child:signal "USR1"
            assert.equal("again", child:wait_line "again")
            assert.is_true(program.exists(sleeper))
            child:signal "TERM"
            assert.equal(143, child:wait())
            assert.is_truthy(program.await_end(sleeper))
        end)

        it("no HUP under nohup", function()
            local words = { "run", "job", "-c", "echo ready; read line; echo done" }
            local child = program.start(words, nodes, "nohup")
            assert.equal("ready", child:wait_line "ready")
            child:signal "HUP"
            child:tell ""
            assert.equal(0, child:wait())
            assert.equal("done", child:lines()[2])
        end)
    end)

    describe("with --at-most", function()
        it("ends the command", function()
            local result = run("job", "--at-most", "200ms", "--", "sleep", "60")
            assert.equal(124, result.status)
            assert.equal("redlock: the command took longer than 200ms; ending it\n", result.errors)
            assert.equal("0", server:cli("EXISTS", "job"))
        end)

        it("kills it, and what else is in its group, after the grace", function()
            local child = start("job", "--at-most", "2s", "--grace", "2s", "--", "sh", "-c",
                [[trap 'echo no' TERM
                sh -c 'trap "" TERM; echo $$; while :; do sleep 0.1; done' &
                while :; do sleep 0.05; done]])
            local other = child:wait_line "^%d+$"
            assert.equal(124, child:wait())
            assert.equal("no", child:lines()[2])
            assert.is_false(program.exists(other))
        end)

        it("lets it go on through its last work within the grace", function()
            local result = run("job", "--at-most", "2s", "--", "sh", "-c",
                "trap 'sleep 0.3; echo saved; exit 0' TERM; while :; do sleep 0.05; done")
            assert.equal(124, result.status)
            assert.same({ "saved" }, result.output)
        end)
    end)

    it("is not held up by a pipe that nobody reads", function()
        local folder = keeper.new()
        folder:settle()
        local text = "echo up; read line; echo done"
        local words = { "run", "job", "--ttl", "3s", "-v", "-c", text }
        local child = process.start {
            command = ([[mkfifo %s/pipe; exec 4<>%s/pipe
                dd if=/dev/zero of=%s/pipe bs=64k count=1 oflag=nonblock status=none
                exec %s 2>&4]]):format(folder.dir, folder.dir, folder.dir, program.line(words)),
            env = nodes,
        }
        assert.equal("up", child:wait_line "up")
        local token = server:cli("GET", "job")
        wait.sleep(3.3) -- longer than a lease
        assert.equal(token, server:cli("GET", "job"))
        child:tell ""
        assert.equal(0, child:wait())
        assert.equal("done", child:lines()[2])
        folder:close()
    end)

    it("does not take for a late renewal what the drift takes from the lease", function()
        local result = run("job", "--drift-factor", "0.4", "--", "true")
        assert.equal(0, result.status)
        assert.equal("", result.errors)
    end)

    it("says nothing to the nodes where its own output is closed", function()
        local folder = keeper.new()
        folder:settle()
        local ours = "/proc/$(ps -o ppid= $PPID | tr -d ' ')/fd/[012]"
        local theirs = "test ! -e /proc/$$/fd/0 && test ! -e /proc/$$/fd/2"
        local text = ("%s && readlink %s >%s/seen"):format(theirs, ours, folder.dir)
        local line = program.line { "run", "job", "--node", server.url, "-v", "-c", text }
        local code = program.shell(("{ %s <&- >&- 2>&-; echo $?; }"):format(line))
        assert.equal("0", code)
        assert.equal(("/dev/null\n"):rep(3), program.shell(("cat %s/seen; echo"):format(
            folder.dir)))
        folder:close()
    end)

    it("does not wait for what the command leaves behind", function()
        local result = run("job", "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
        assert.equal(0, result.status)
        assert.is_true(program.exists(result.output[1]))
        program.shell("kill " .. result.output[1])
    end)

    it("refuses options that do not go together", function()
        for _, words in ipairs {
            "--wait=1s --try", "--once-per=1h --at-least=1s", "--quiet --verbose",
        } do
            local one, other = words:match "(%S+) (%S+)"
            local result = run("job", one, other, "--", "true")
            assert.equal(64, result.status)
            assert.matches("do not go together", result.errors)
        end
    end)
end)
