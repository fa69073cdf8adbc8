-- `redlock list`: every lock on the nodes, once or again and again, in pipes and at a terminal.

local json = require "support.json"
local process = require "support.process"
local program = require "command.program"
local quorum = require "support.quorum"
local servers = require "servers"
local terminal = require "command.terminal"
local wait = require "support.wait"

local nodes, client
local held -- so that no lock is garbage, and released, before its time

local function words(...)
    return program.words(nodes, "list", ...)
end

local function list(...)
    local result = program.run(words(...))
    return table.concat(result.output, "\n"), result.status, result.errors
end

local function locks(...)
    local output, status, errors = list("--json", ...)
    assert.equal("", errors)
    local read = json.read(output)
    return read.locks, status, read
end

local function names_of(found)
    local names = {}
    for index, lock in ipairs(found) do
        names[index] = lock.name
    end
    return names
end

-- Waits until it stands on all nodes: the last may be told a moment after the majority.
local function hold(name, options)
    local lock = nodes:everywhere(client, name, options)
    held[#held + 1] = lock
    return lock
end

setup(function()
    nodes = quorum.start(3)
end)

teardown(function()
    servers.stop_all()
end)

before_each(function()
    client, held = nodes:client { identity = "nightly report" }, {}
end)

after_each(function()
    terminal.close_all()
    process.stop_all()
    quorum.close_clients()
    nodes:ask_all "FLUSHALL"
end)

describe("list", function()
    it("has every lock that is held, with what is known of it", function()
        local first = hold("order:42", { ttl = 60 })
        hold("job", { ttl = 20 })
        local found, status, all = locks()
        assert.equal(0, status)
        assert.is_true(all.complete)
        assert.same({ "job", "order:42" }, names_of(found))
        local lock = found[2]
        assert.equal(3, lock.votes)
        assert.equal(first.fence, lock.fence)
        assert.matches(" redlock nightly report$", lock.holder)
        assert.is_true(lock.ttl > 0 and lock.ttl <= 60)
        assert.is_true(lock.age >= 0)
        assert.equal(0, lock.waiters)
        assert.is_false(lock.foreign)
        assert.equal(first.token:sub(1, 8) .. "..", lock.token)
    end)

    it("shows no token in full, and no password", function()
        local lock = hold "job"
        local output = list()
        assert.is_truthy(output:find(lock.token:sub(1, 8) .. "..", 1, true))
        assert.is_nil(output:find(lock.token, 1, true))
        assert.is_nil((list "--json"):find(lock.token, 1, true))
    end)

    it("takes a pattern", function()
        for _, name in ipairs { "order:1", "order:2", "job" } do
            hold(name)
        end
        assert.same({ "order:1", "order:2" }, names_of(locks "order:*"))
        assert.same({ "order:2" }, names_of(locks "*:[2-9]"))
        assert.same({}, names_of(locks "nothing*"))
    end)

    it("refuses a pattern that is longer than any name", function()
        local output, status, errors = list(("n"):rep(513))
        assert.equal("", output)
        assert.equal(64, status)
        assert.equal("redlock list: a pattern must be a string of at most 512 bytes\n", errors)
    end)

    it("takes the prefix away from names, and lists no others", function()
        hold "job"
        local other = nodes:client { prefix = "app:" }
        held[#held + 1] = nodes:everywhere(other, "job", nil, "app:job")
        assert.same({ "job" }, names_of(locks("--prefix", "app:")))
        assert.same({ "app:job", "job" }, names_of(locks()))
    end)

    it("has locks of other libraries when told to", function()
        nodes:ask_all("SET", "theirs", "some token", "PX", "60000")
        hold "ours"
        assert.same({ "ours" }, names_of(locks()))
        local found = locks "--all"
        assert.same({ "ours", "theirs" }, names_of(found))
        assert.is_true(found[2].foreign)
        assert.matches("theirs +3/3 +%(another library%)", (list "--all"))
    end)

    it("sorts as it is told", function()
        hold("a", { ttl = 60 })
        hold("b", { ttl = 20 })
        hold("c", { ttl = 40 })
        assert.same({ "b", "c", "a" }, names_of(locks("--sort", "lease")))
        nodes:ask(1, "ZADD", "{c}:queue", "1", "redlock:abc/1")
        assert.same({ "c", "a", "b" }, names_of(locks("--sort", "waiters")))
        assert.same({ "a", "b", "c" }, names_of(locks("--sort", "age")))
        nodes:ask(2, "DEL", "b")
        assert.same({ "b", "a", "c" }, names_of(locks("--sort", "votes")))
        local _, status, errors = list("--sort", "colour")
        assert.equal(64, status)
        assert.matches("%-%-sort takes one of name, ", errors)
    end)

    it("is as narrow as 80 columns in a pipe", function()
        hold(("long"):rep(40))
        hold "short"
        local output, status = list()
        assert.equal(0, status)
        for line in output:gmatch "[^\n]+" do
            assert.is_true(#line <= 80, line)
        end
        assert.matches("^name +votes +held by +for +lease", output)
        assert.matches("\nlonglong[long]*%.%. +3/3 +%S+ %(nightly report%)", output)
        assert.matches("\nshort +3/3 ", output)
    end)

    it("escapes names that would move the cursor", function()
        hold "a\27[2Jb\n\255"
        local output = list()
        assert.is_nil(output:find "[%z\1-\9\11-\31\127]")
        assert.is_truthy(output:find("\na\\x1b[2Jb\\x0a\\xff ", 1, true))
        assert.equal("a\27[2Jb\n\239\191\189", locks()[1].name)
    end)

    it("tells names apart for programs that differ in bytes that are no text", function()
        for _, name in ipairs { "a\254", "a\255", "aÿ" } do
            hold(name)
        end
        local found = locks()
        assert.same({ "aÿ", "a\239\191\189", "a\239\191\189" }, names_of(found))
        assert.is_nil(found[1].name_hex)
        assert.equal("61fe", found[2].name_hex)
        assert.equal("61ff", found[3].name_hex)
    end)

    it("says that there are none", function()
        local output, status = list()
        assert.equal("no locks", output)
        assert.equal(0, status)
    end)

    it("does not end well if nobody could read what it found", function()
        local line = program.line(words())
        local output = program.shell(("{ %s >/dev/full; echo code=$?; }"):format(line))
        assert.equal("redlock list: stdout: No space left on device\ncode=71", output)
        output = program.shell(("{ %s >&-; echo code=$?; }"):format(line))
        assert.equal("redlock list: stdout: Bad file descriptor\ncode=71", output)
    end)

    it("looks no more often than the nodes can bear", function()
        for _, every in ipairs { "0", "99ms" } do
            local _, status, errors = list("--watch", "--every", every)
            assert.equal(64, status)
            assert.matches("%-%-every takes a duration .*, at least 100ms", errors)
        end
    end)

    it("lists no more than --limit, and says that there are more", function()
        for _, name in ipairs { "a", "b", "c" } do
            hold(name)
        end
        local found, status = locks("--limit", "3")
        assert.equal(0, status)
        assert.equal(3, #found)
        local told = "redlock list: this is not all: there are more than --limit\n"
        local output, errors
        output, status, errors = list("--limit", "2")
        assert.equal(1, status)
        assert.equal(told, errors)
        local _, rows = output:gsub("\n[abc] +3/3 ", "")
        assert.equal(2, rows)
        output, status, errors = list("--limit=1", "--json")
        assert.equal(1, status)
        assert.equal(told, errors)
        local read = json.read(output)
        assert.same({ 1, 3, false }, { #read.locks, read.locks[1].votes, read.complete })
        _, status, errors = list("--limit", "0")
        assert.equal(64, status)
        assert.matches("%-%-limit takes a whole number from 1", errors)
    end)

    it("says which nodes it could not read", function()
        hold "job"
        nodes[3]:stop()
        local output, status, errors = list()
        assert.equal(1, status)
        assert.matches("job +2/3", output)
        assert.matches("this is not all: 127%.0%.0%.1:" .. nodes[3].port .. ": .*refused", errors)
        nodes[2]:stop()
        nodes[1]:stop()
        output, status, errors = list()
        assert.equal(69, status)
        assert.equal("", output)
        assert.matches("^redlock list: unavailable: ", errors)
        for index = 1, 3 do
            nodes[index]:restart()
        end
    end)

    it("walks through many keys, and shows at a terminal how far it is", function()
        local fill = "for i = 1, 30000 do redis.call('SET', 'filler:' .. i, 'x') end"
        for index = 1, 3 do
            nodes:ask(index, "CONFIG", "SET", "maxmemory", "0")
            nodes:ask(index, "EVAL", fill, 0)
        end
        hold "job"
        local line = ("TERM=xterm exec %s"):format(program.line(words()))
        local screen = terminal.open({ "sh", "-c", line }, 100)
        screen:expect("job +3/3", 30)
        assert.equal(0, screen:wait())
    end)
end)

describe("list --watch in a pipe", function()
    it("prints one look below the other, until it is ended", function()
        hold "job"
        local child = program.start(words("--watch", "--every", "200ms"))
        assert.is_truthy(wait.wait_until(function()
            local _, looks = table.concat(child:lines(), "\n"):gsub("redlock list: 1 lock, ", "")
            return looks >= 3
        end, 20))
        assert.is_nil(table.concat(child:lines(), "\n"):find("\27", 1, true))
        child:signal "TERM"
        assert.equal(143, child:wait())
    end)

    it("writes one object a look for programs, with hand-overs", function()
        local child = program.start(words("--watch", "--every", "100ms", "--json"))
        assert.is_truthy(wait.wait_until(function()
            local lock = hold "job"
            assert.is_true(lock:release())
            hold("job"):release()
            for _, line in ipairs(child:lines()) do
                for _, seen in ipairs(json.read(line).locks) do
                    if seen.handovers > 0 then
                        return true
                    end
                end
            end
        end, 20))
        child:signal "TERM"
        assert.equal(143, child:wait())
    end)

    it("ends when nobody reads it any more", function()
        hold "job"
        local line = program.line(words("--watch", "--every", "100ms"))
        local lines, status = process.run({
            command = ("{ %s; echo ended $? >&2; } | head -n 1"):format(line),
        }, 20)
        assert.equal(0, status)
        assert.matches("^redlock list: 1 lock, ", lines[1])
    end)
end)

describe("list --watch at a terminal", function()
    local function open(...)
        local line = ("trap : INT; TERM=xterm; stty -a; %s; echo code=$?; stty -a"):format(
            program.line(words("--watch", "--every", "200ms", ...)))
        return terminal.open({ "sh", "-c", line }, 100)
    end

    local COUNTED = "hot +3/3 +%S+ %(nightly report%) +%S+ +>?%d"

    -- The terminal is as it was.
    local function assert_restored(screen)
        local before, after = screen.text:match "^(.-)\27%[%?1049h.*\27%[%?25h\27%[%?1049l(.*)$"
        assert.is_truthy(before, screen.text)
        for _, flag in ipairs { "icanon", "echo", "isig" } do
            assert.matches("[%s;]" .. flag .. "[%s;]", before)
            assert.matches("[%s;]" .. flag .. "[%s;]", after)
        end
    end

    it("draws in place, and q ends it", function()
        hold "job"
        local screen = open()
        screen:expect "\27%[%?1049h\27%[%?25l"
        screen:expect "\27%[H\27%[1mredlock list: 1 lock, every 200 ms, by name"
        screen:expect "job +3/3 +%S+ %(nightly report%)"
        local lock = hold "another"
        screen:expect "redlock list: 2 locks"
        screen:expect "another +3/3"
        lock:release()
        screen:expect "redlock list: 1 lock, "
        screen:type "q"
        screen:expect "code=0"
        screen:wait()
        assert_restored(screen)
    end)

    it("sorts by the next column with s", function()
        hold "job"
        local screen = open()
        screen:expect "by name; "
        screen:type "s"
        screen:expect "by holder; "
        screen:type "ss"
        screen:expect "by age; "
        screen:type "q"
        assert.is_truthy(screen:wait())
    end)

    it("counts hand-overs", function()
        local screen = open "--sort=handovers"
        screen:expect "by handovers; "
        local deadline = wait.now() + 20
        repeat
            hold("hot"):release()
            local lock = hold "hot"
            wait.sleep(0.05)
            lock:release()
        until screen:look():find(COUNTED) or wait.now() > deadline
        screen:expect(COUNTED)
    end)

    it("gives the terminal back on Ctrl-C, on Ctrl-Z, and when it goes on again", function()
        hold "job"
        local screen = open()
        screen:expect "job +3/3"
        screen:type "\3"
        screen:expect "code=130"
        screen:wait()
        assert_restored(screen)

        local shell = terminal.open({ "sh", "-i" }, 100)
        shell:type("PS1='$ '; set -m\n")
        shell:type(program.line(words("--watch", "--every", "200ms")) .. "\n")
        shell:expect "job +3/3"
        shell:type "\26"
        shell:expect "\27%[%?25h\27%[%?1049l"
        shell:expect "Stopped"
        shell:type "fg\n"
        shell:expect "\27%[%?1049h"
        shell:expect "job +3/3"
        shell:type "q"
        shell:expect "\27%[%?25h\27%[%?1049l"
    end)

    it("says how many more there are than fit, and goes on while no node answers", function()
        for index = 1, 30 do
            hold(("job:%02d"):format(index))
        end
        local screen = open()
        screen:expect "%.%.%. and 10 more"
        for index = 1, 3 do
            nodes[index]:stop()
        end
        screen:expect("no node answers", 20)
        for index = 1, 3 do
            nodes[index]:restart()
        end
        screen:expect("redlock list: 0 locks", 20)
        screen:type "q"
        screen:expect "code=0"
    end)
end)
