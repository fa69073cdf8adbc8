-- `redlock doctor` on healthy nodes, and on nodes with one thing wrong at a time: each finding appears there, and
-- not on the healthy ones.

local certificates = require "support.certificates"
local fault = require "support.fault"
local json = require "support.json"
local process = require "support.process"
local program = require "command.program"
local servers = require "servers"
local socket = require "socket"
local terminal = require "command.terminal"
local wait = require "support.wait"

-- No test may come to that; all nodes are young by that guard, so that all vote; and on a busy machine
-- the clocks' rates cannot be told any finer.
local LONG = {
    "--timeout", "5s", "--ttl", "60s", "--restart-guard", "1h", "--drift-factor", "0.5",
}
local CLOCK_LIBRARY = "build/torture/clock.so"

local nodes -- three healthy ones, which no test changes
local started = {} -- by a test

local function start(options)
    local server = servers.start_one(options)
    started[#started + 1] = server
    return server
end

local function urls(list)
    local words = {}
    for _, url in ipairs(list) do
        words[#words + 1] = "--node"
        words[#words + 1] = type(url) == "table" and url.url or url
    end
    return words
end

local function join(...)
    local words = {}
    for _, list in ipairs { ... } do
        for _, word in ipairs(list) do
            words[#words + 1] = word
        end
    end
    return words
end

-- What the doctor found, its exit code, and all that it wrote.
local function examine(list, options)
    local quick = options and options.seconds or "0.2s"
    local words = join({ "doctor", "--json", "--seconds", quick }, LONG, urls(list), options or {})
    local result = program.run(words, nil, 30)
    assert.equal("", result.errors)
    local output = table.concat(result.output, "\n")
    return json.read(output), result.status, output
end

-- The finding of a check, of the node of that number or of all together.
local function find(result, where, check, severity)
    local list = where == "set" and result.set or result.nodes[where].findings
    for _, finding in ipairs(list) do
        if finding.check == check and (not severity or finding.severity == severity) then
            return finding
        end
    end
    error(("no %s%s in %s"):format(severity and severity .. " of " or "", check, where), 2)
end

local function has(result, where, check)
    return (pcall(find, result, where, check))
end

-- One thing is wrong, and nothing else.
local function graver_than_note(result)
    local found = {}
    local function look(where, list)
        for _, finding in ipairs(list) do
            if finding.severity ~= "fine" and finding.severity ~= "note" then
                found[#found + 1] = ("%s %s: %s"):format(where, finding.check, finding.severity)
            end
        end
    end
    for index, node in ipairs(result.nodes) do
        look(index, node.findings)
    end
    look("set", result.set)
    table.sort(found)
    return found
end

setup(function()
    nodes = servers.start(3)
end)

teardown(function()
    servers.stop_all()
    certificates.remove_all()
end)

after_each(function()
    terminal.close_all()
    process.stop_all()
    fault.stop_all()
    for _, server in ipairs(started) do
        server:close()
    end
    started = {}
end)

describe("the doctor of healthy nodes", function()
    it("looks at everything, and finds nothing", function()
        local result, status = examine(nodes, { seconds = "2s" })
        assert.same({}, graver_than_note(result))
        assert.equal(0, status)
        assert.equal(0, result.exit)
        for index = 1, 3 do
            for _, check in ipairs {
                "reachable", "round trip", "version", "role", "cluster", "persistence", "memory",
                "clients", "rights", "notification", "scripts", "slow log", "clock", "clock rate",
            } do
                assert.equal("fine", find(result, index, check).severity, check)
            end
        end
        for _, check in ipairs { "number", "majority", "times", "lock" } do
            assert.equal("fine", find(result, "set", check).severity, check)
        end
        assert.is_false(has(result, "set", "identity"))
        assert.is_true(find(result, "set", "lock").acquire > 0)
        assert.is_true(math.abs(find(result, 1, "clock").offset) < 1)
    end)

    it("says it in words, without colours in a pipe", function()
        local result = program.run(join({ "doctor", "--seconds", "1s" }, LONG, urls(nodes)))
        local output = table.concat(result.output, "\n")
        assert.equal(0, result.status)
        assert.equal("", result.errors)
        assert.matches("127%.0%.0%.1:" .. nodes[1].port .. "\n", output)
        assert.matches("The 3 nodes together\n", output)
        assert.matches("\nVerdict: all is well$", output)
        assert.is_nil(output:find("\27", 1, true))
        for _, line in ipairs(result.output) do
            assert.is_true(#line <= 80, line)
        end
    end)

    it("leaves nothing behind", function()
        examine(nodes)
        for _, node in ipairs(nodes) do
            assert.equal("", node:cli("KEYS", "*"))
        end
    end)
end)

describe("the doctor at a terminal", function()
    local function open(before, columns, seconds)
        local words = join({ "doctor", "--seconds", seconds or "2s" }, LONG, urls(nodes))
        local line = ("%s exec %s"):format(before, program.line(words))
        return terminal.open({ "sh", "-c", line }, columns or 100)
    end

    it("shows its progress, takes it away, and has colours", function()
        local screen = open("unset NO_COLOR; TERM=xterm", 100, "4s")
        screen:expect "redlock: watching the clocks: %d s"
        screen:expect "\r\27%[K"
        screen:expect "\27%[1m127%.0%.0%.1:%d+\27%[0m\r\n"
        screen:expect "  \27%[32mfine\27%[0m"
        screen:expect "\27%[1mVerdict: \27%[0m\27%[32mall is well\27%[0m"
        assert.equal(0, screen:wait())
    end)

    it("has none where they are not wanted, and keeps to the width", function()
        for _, before in ipairs { "NO_COLOR=1 TERM=xterm", "unset NO_COLOR; TERM=dumb" } do
            local screen = open("export " .. before .. ";", 60)
            screen:expect "Verdict: all is well"
            assert.equal(0, screen:wait())
            assert.is_nil(screen.text:find "\27%[%d*m")
            for line in screen.text:gsub("[^\n]*\27%[K", ""):gmatch "[^\r\n]+" do
                assert.is_true(#line <= 60, line)
            end
        end
    end)

    it("is ended by Ctrl-C, and leaves nothing behind", function()
        local screen = open("TERM=xterm", 100, "60s")
        screen:expect "watching the clocks"
        screen:type "\3"
        assert.equal(130, screen:wait())
        assert.is_nil(screen.text:find "Verdict")
        for _, node in ipairs(nodes) do
            assert.equal("", node:cli("KEYS", "*"))
        end
    end)
end)

describe("the doctor of one node", function()
    it("says that it is alone, and what a restart forgets", function()
        local result, status = examine { nodes[1] }
        assert.equal("note", find(result, "set", "number").severity)
        assert.equal("warning", find(result, 1, "persistence").severity)
        assert.equal(1, status)
    end)

    it("takes appendfsync always for safe, and no other", function()
        local config = { { "appendfsync", "always" } }
        local node = start { appendonly = true, config = config }
        local result, status = examine { node }
        assert.equal("fine", find(result, 1, "persistence").severity)
        assert.equal("fine", find(result, 1, "replay").severity)
        assert.equal(0, status)
        node:cli("CONFIG", "SET", "appendfsync", "everysec")
        assert.equal("warning", find(examine { node }, 1, "persistence").severity)
    end)

    it("cannot tell it from a user who may not CONFIG", function()
        local node = start { appendonly = true, users = { "locks on >secret ~* &* +@all -config" } }
        local result, status = examine { ("redis://locks:secret@127.0.0.1:%d"):format(node.port) }
        assert.equal("unknown", find(result, 1, "persistence").severity)
        assert.equal(1, status)
    end)
end)

describe("the doctor finds", function()
    it("a replica", function()
        local replica = start()
        replica:cli("REPLICAOF", "127.0.0.1", nodes[1].port)
        assert.is_truthy(wait.wait_until(function()
            return replica:cli("INFO", "replication"):find("master_link_status:up", 1, true)
        end, 20))
        local result, status = examine { nodes[1], nodes[2], replica }
        assert.equal("problem", find(result, 3, "role").severity)
        assert.equal("note", find(result, 1, "role").severity)
        assert.is_false(has(result, 3, "commands"))
        assert.equal(2, status)
    end)

    it("an even number of nodes", function()
        local result, status = examine { nodes[1], nodes[2] }
        assert.same({ "set number: warning" }, graver_than_note(result))
        assert.equal(1, status)
    end)

    it("a server under two addresses", function()
        local result, status = examine { nodes[1], nodes[2], "localhost:" .. nodes[2].port }
        assert.same({ "set identity: problem" }, graver_than_note(result))
        assert.equal(2, status)
    end)

    it("a cluster's node", function()
        local node = start { config = { { "cluster-enabled", "yes" } } }
        local result, status = examine { nodes[1], nodes[2], node }
        assert.equal("problem", find(result, 3, "cluster").severity)
        assert.equal(2, status)
    end)

    it("a node that is not there, and what that means for all", function()
        local node = start()
        node:stop()
        local result, status = examine { nodes[1], nodes[2], node }
        local finding = find(result, 3, "reachable")
        assert.equal("problem", finding.severity)
        assert.equal("Connection refused", finding.text)
        assert.is_string(finding.advice)
        assert.equal("warning", find(result, "set", "majority").severity)
        assert.equal(2, status)
        assert.is_false(has(result, 3, "round trip"))

        local gone = start()
        gone:stop()
        result = examine { nodes[1], node, gone }
        assert.equal("problem", find(result, "set", "majority").severity)
        assert.is_false(has(result, "set", "lock"))
    end)

    it("a node that hangs", function()
        local node = start()
        node:pause()
        local result = examine({ nodes[1], nodes[2], node }, { "--timeout", "0.3s" })
        assert.equal("no login within the timeout", find(result, 3, "reachable").text)
        node:resume()
    end)

    it("a server that is too old", function()
        local text = "# Server\r\nredis_version:4.0.14\r\nrole:master\r\n"
        local proxy = fault.proxy(nodes[3], {
            answers = { INFO = ("$%d\r\n%s\r\n"):format(#text, text) },
        })
        local result = examine { nodes[1], nodes[2], proxy }
        assert.equal("problem", find(result, 3, "version").severity)
        assert.equal("unknown", find(result, 3, "memory").severity)
    end)

    it("a log that cannot be written, and data that is being loaded", function()
        for line, text in pairs {
            ["aof_last_write_status:err"] = "written", ["loading:1"] = "loads",
        } do
            local info = "redis_version:7.0.15\r\nrole:master\r\n" .. line .. "\r\n"
            local proxy = fault.proxy(nodes[3], {
                answers = { INFO = ("$%d\r\n%s\r\n"):format(#info, info) },
            })
            local finding = find(examine { nodes[1], nodes[2], proxy }, 3, "disk")
            assert.equal("problem", finding.severity)
            assert.matches(text, finding.text)
        end
    end)

    it("a policy that evicts, as grave as there is a limit", function()
        local node = start { config = { { "maxmemory-policy", "allkeys-lru" } } }
        local result = examine { nodes[1], nodes[2], node }
        assert.same({ "3 memory: problem" }, graver_than_note(result))
        assert.matches("allkeys%-lru", find(result, 3, "memory").text)
        node:cli("CONFIG", "SET", "maxmemory", "0")
        assert.equal("note", find(examine { nodes[1], nodes[2], node }, 3, "memory").severity)
        node:cli("CONFIG", "SET", "maxmemory-policy", "volatile-ttl", "maxmemory", "64mb")
        assert.equal("problem", find(examine { nodes[1], nodes[2], node }, 3, "memory").severity)
    end)

    it("memory that is nearly full, and full", function()
        local node = start { config = { { "maxmemory", "8mb" } } }
        node:cli("SETRANGE", "filling", "6000000", "x")
        local result = examine { nodes[1], nodes[2], node }
        assert.same({ "3 memory: warning" }, graver_than_note(result))
        node:cli("SETRANGE", "filled", "3000000", "x")
        result = examine { nodes[1], nodes[2], node }
        assert.equal("problem", find(result, 3, "memory").severity)
        assert.is_false(has(result, 3, "commands"))
    end)

    it("a server that is nearly full of clients", function()
        local node = start { config = { { "maxclients", "12" } } }
        local guests = {}
        for index = 1, 9 do
            guests[index] = assert(socket.connect("127.0.0.1", node.port))
        end
        assert.is_true(wait.wait_until(function()
            local list = node:cli("CLIENT", "LIST")
            return select(2, list:gsub("fd=", "")) > #guests
        end))
        local result = examine { nodes[1], nodes[2], node }
        assert.same({ "3 clients: warning" }, graver_than_note(result))
        for _, guest in ipairs(guests) do
            guest:close()
        end
    end)

    it("a default user by whom locks are not read back", function()
        local users = { "default off nopass ~* &* -@all", "locks on >secret ~* &* +@all" }
        local node = start { appendonly = true, users = users }
        local url = ("redis://locks:secret@127.0.0.1:%d"):format(node.port)
        local result = examine { nodes[1], nodes[2], url }
        assert.same({ "3 replay: problem" }, graver_than_note(result))
    end)

    it("a timeout that is short for the round trip", function()
        local proxy = fault.proxy(nodes[3], { delay_replies = 30 })
        local list = { nodes[1], nodes[2], proxy }
        local result
        -- It may not be reached in so short a time.
        assert.is_truthy(wait.wait_until(function()
            result = examine(list, { "--timeout", "0.25s", "--ttl", "10s" })
            return has(result, 3, "round trip")
        end, 60))
        assert.equal("warning", find(result, 3, "round trip").severity)
        assert.is_true(find(result, 3, "round trip").median >= 0.03)
    end)

    it("a timeout that is long for the lease", function()
        local result = examine(nodes, { "--timeout", "5s", "--ttl", "10s" })
        assert.equal("warning", find(result, "set", "times").severity)
    end)

    it("notifications that do not arrive", function()
        local proxy = fault.proxy(nodes[3], { answers = { PUBLISH = ":0\r\n" } })
        local result = examine { nodes[1], nodes[2], proxy }
        assert.same({ "3 notification: problem" }, graver_than_note(result))
    end)

    it("a node that has restarted, and so has no vote", function()
        local list = servers.start(3)
        for _, server in ipairs(list) do
            started[#started + 1] = server
        end
        assert.is_truthy(wait.wait_until(function()
            for index = 1, 2 do
                local uptime = list[index]:cli("INFO", "server"):match "uptime_in_seconds:(%d+)"
                if tonumber(uptime) < 6 then
                    return false
                end
            end
            return true
        end, 20))
        list[3]:restart()
        local result, status = examine(list, { "--restart-guard", "4s" })
        assert.equal("warning", find(result, 3, "uptime").severity)
        assert.is_false(has(result, 1, "uptime"))
        assert.equal("warning", find(result, "set", "lock").severity)
        assert.same({ list[3].url:match "//(.*)" }, find(result, "set", "lock").absent)
        assert.equal(1, status)
    end)

    it("that the restart guard is off", function()
        local result = examine(nodes, { "--restart-guard", "off" })
        assert.equal("note", find(result, "set", "restart guard").severity)
        assert.equal("warning", find(result, 1, "persistence").severity)
    end)
end)

describe("the doctor sees our calls in the slow log", function()
    it("as a note, where they are no harm", function()
        local node = start { config = { { "slowlog-log-slower-than", "0" } } }
        examine { node } -- so that there are some
        local result = examine { nodes[1], nodes[2], node }
        local finding = find(result, 3, "slow log")
        assert.equal("note", finding.severity)
        assert.is_true(finding.count > 0)
        assert.same({}, graver_than_note(result))
    end)

    it("as a warning, where they take long", function()
        local sha1 = require("redlock.console").scripts().acquire
        local entry = ("*1\r\n*4\r\n:1\r\n:%d\r\n:900000\r\n*2\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n")
        local answers = { SLOWLOG = entry:format(os.time(), sha1) }
        local proxy = fault.proxy(nodes[3], { answers = answers })
        local result = examine { nodes[1], nodes[2], proxy }
        assert.same({ "3 slow log: warning" }, graver_than_note(result))
        assert.equal("acquire", find(result, 3, "slow log").script)
        proxy:set { answers = { SLOWLOG = entry:format(os.time() - 7200, sha1) } }
        assert.equal("fine", find(examine { nodes[1], nodes[2], proxy }, 3, "slow log").severity)
    end)
end)

describe("the doctor of rights", function()
    local node, url
    local unpack = table.unpack or unpack

    setup(function()
        node = servers.start_one { users = { "locks on >secret ~* &* +@all" } }
        url = ("redis://locks:secret@127.0.0.1:%d"):format(node.port)
    end)

    -- The README's rule.
    local function rule()
        local file = assert(io.open "README.md")
        local text = file:read "*a"
        file:close()
        return assert(text:match "user locks (on [^\n]*)")
    end

    local function allow(text)
        local words = {}
        for word in text:gmatch "%S+" do
            words[#words + 1] = word
        end
        assert.equal("OK", node:cli("ACL", "SETUSER", "locks", "reset", unpack(words)))
    end

    it("is content with the README's rule", function()
        allow(rule())
        local result = examine { nodes[1], nodes[2], url }
        assert.same({}, graver_than_note(result))
        assert.equal("fine", find(result, 3, "rights").severity)
        assert.equal("note", find(result, 3, "slow log").severity)
        assert.equal("note", find(result, 3, "scripts").severity)
    end)

    it("misses every word of that rule that is left out", function()
        local optional = {
            info = "warning", scan = "note", getrange = "note", ["client|setname"] = "note",
        }
        for word in rule():gmatch "%+(%S+)" do
            if word ~= "select" and word ~= "subscribe" then
                allow((rule():gsub("%+" .. word:gsub("%p", "%%%0") .. "%f[%s%z]", "", 1)))
                local finding = find(examine { url }, 1, "rights")
                assert.equal(optional[word] or "problem", finding.severity, word)
                assert.same({ word }, finding.missing)
                assert.matches("+" .. word, finding.advice, 1, true)
            end
        end
    end)

    it("misses the right to subscribe, and the channels", function()
        allow((rule():gsub("%+subscribe ", "")))
        assert.equal("problem", find(examine { url }, 1, "notification").severity)
        allow((rule():gsub("&redlock:%*", "&other:*")))
        local result = examine { url }
        assert.equal("problem", find(result, 1, "channels").severity)
        assert.equal("problem", find(result, 1, "notification").severity)
    end)

    it("misses keys, with the prefix that programs use", function()
        allow((rule():gsub("~%*", "~lock:* ~{lock:*")))
        local finding = find(examine { url }, 1, "keys")
        assert.equal("problem", finding.severity)
        assert.equal("this user may not use keys of every name", finding.text)
        assert.matches("(this user) ~*; or", finding.advice, 1, true)
        local result = examine({ url }, { "--prefix", "lock:" })
        assert.is_false(has(result, 1, "keys"))
        assert.equal("fine", find(result, 1, "rights").severity)
        allow((rule():gsub("~%*", "~lock:*")))
        assert.equal("problem", find(examine({ url }, { "--prefix", "lock:" }), 1, "keys").severity)
    end)

    it("says what it could not look at, which is not fine", function()
        allow((rule():gsub("%+info ", "")))
        local result, status = examine { nodes[1], nodes[2], url }
        assert.equal("unknown", find(result, 3, "INFO").severity)
        assert.equal("unknown", find(result, 3, "clock").severity)
        assert.is_false(has(result, 3, "role"))
        assert.equal(1, status)
    end)

    it("tells a wrong password, and shows none", function()
        allow(rule())
        local result, status, output = examine {
            nodes[1], nodes[2], (url:gsub("secret", "sup3rs3cr3t")),
        }
        local finding = find(result, 3, "reachable")
        assert.matches("^refused the user or password", finding.text)
        assert.equal(2, status)
        assert.is_nil(output:find("sup3rs3cr3t", 1, true))
        local closed = start { password = "s3cr3t" }
        result = examine { nodes[1], nodes[2], closed }
        assert.matches("^wants a password", find(result, 3, "reachable").text)
    end)
end)

describe("the doctor of clocks", function()
    local clock_file

    -- A server whose wall clock is off by what the file says.
    local function start_with_clock()
        clock_file = os.tmpname()
        local pwd = assert(io.popen "pwd")
        local library = pwd:read "*l" .. "/" .. CLOCK_LIBRARY
        pwd:close()
        return start { env = { LD_PRELOAD = library, TORTURE_CLOCK = clock_file } }
    end

    local function set_clock(seconds)
        local file = assert(io.open(clock_file, "r+b"))
        local rest = math.floor(seconds * 1e9)
        for _ = 1, 8 do -- a whole number of nanoseconds, the lowest byte first
            file:write(string.char(rest % 256))
            rest = math.floor(rest / 256)
        end
        file:close()
    end

    after_each(function()
        if clock_file then
            os.remove(clock_file)
        end
        clock_file = nil
    end)

    it("finds one that is ahead, and one that is behind", function()
        local node = start_with_clock()
        for _, seconds in ipairs { 120, -7200 } do
            set_clock(seconds)
            local result, status = examine { nodes[1], nodes[2], node }
            assert.same({ "3 clock: warning" }, graver_than_note(result))
            assert.is_true(math.abs(find(result, 3, "clock").offset - seconds) < 1)
            assert.matches(seconds > 0 and "ahead of the others" or "behind the others",
                find(result, 3, "clock").text)
            assert.equal(1, status)
        end
    end)

    it("asks INFO where TIME is refused", function()
        local node = start_with_clock()
        set_clock(120)
        node:cli("ACL", "SETUSER", "default", "-time")
        local finding = find(examine { nodes[1], nodes[2], node }, 3, "clock")
        assert.is_true(math.abs(finding.offset - 120) < 1)
    end)

    it("finds this host's, if all nodes agree on another time", function()
        local node = start_with_clock()
        set_clock(300)
        local result = examine { node, "localhost:" .. node.port }
        assert.equal("warning", find(result, "set", "clock").severity)
        assert.matches("behind", find(result, "set", "clock").text)
        assert.equal("fine", find(result, 1, "clock").severity)
    end)

    it("finds one that is set while it is watched", function()
        local node = start_with_clock()
        local child = program.start(join({ "doctor", "--json", "--seconds", "3s" }, LONG,
            urls { nodes[1], nodes[2], node }))
        assert.is_truthy(wait.wait_until(function() -- all else is done: the clock was looked at
            return nodes[1]:cli("--scan", "--pattern", "{redlock-doctor:*}:fence"):find ":fence"
                and tonumber(node:cli("INFO", "commandstats"):match "cmdstat_time:calls=(%d+)") >= 7
        end))
        set_clock(60)
        assert.equal(2, child:wait(20))
        local result = json.read(child:lines()[1])
        local finding = find(result, 3, "clock rate")
        assert.equal("problem", finding.severity)
        assert.matches("was set while we watched it, by %+60", finding.text)
        assert.equal("fine", find(result, 1, "clock rate").severity)
    end)

    it("finds one that runs too fast", function()
        local node = start_with_clock()
        local driver = process.start {
            args = { clock_file },
            code = [[
                local socket = require "socket"
                local start = socket.gettime()
                while true do
                    local rest = math.floor((socket.gettime() - start) * 0.03 * 1e9)
                    local bytes = {}
                    for index = 1, 8 do
                        bytes[index] = string.char(rest % 256)
                        rest = math.floor(rest / 256)
                    end
                    local file = assert(io.open(arg[1], "r+b"))
                    file:write(table.concat(bytes))
                    file:close()
                    socket.sleep(0.001)
                end
            ]],
        }
        local result = examine({ nodes[1], nodes[2], node }, {
            seconds = "3s", "--drift-factor", "0.01",
        })
        local finding = find(result, 3, "clock rate")
        assert.equal("problem", finding.severity)
        assert.is_true(finding.ppm > 15000 and finding.ppm < 60000, finding.ppm)
        assert.is_true(driver:running())
        assert.equal("fine", find(examine { nodes[1], nodes[2], node }, 3, "clock rate").severity)
    end)

    it("cannot tell a rate over a long round trip", function()
        local proxy = fault.proxy(nodes[3], { delay_replies = 100 })
        local result = examine({ nodes[1], nodes[2], proxy }, { "--drift-factor", "0.01" })
        assert.equal("unknown", find(result, 3, "clock rate").severity)
    end)
end)

describe("the doctor of TLS", function()
    local authority

    setup(function()
        authority = certificates.new_authority()
    end)

    local function start_secure(name, days)
        return start { tls = authority:issue(name, "IP:127.0.0.1", days) }
    end

    local function examine_secure(server, ...)
        return examine({ nodes[1], nodes[2], server }, { ... })
    end

    it("is content with a certificate of some months", function()
        local result = examine_secure(start_secure("good", 90), "--tls-ca-file", authority.ca)
        assert.same({}, graver_than_note(result))
        assert.is_true(find(result, 3, "TLS").days > 89)
        assert.is_false(has(result, 1, "TLS"))
    end)

    it("finds one that ends soon", function()
        local result = examine_secure(start_secure("short", 3), "--tls-ca-file", authority.ca)
        assert.same({ "3 TLS: warning" }, graver_than_note(result))
        assert.matches("ends in [23] days", find(result, 3, "TLS").text)
    end)

    it("finds one that has ended", function()
        local old = start_secure("old", -1)
        local result = examine_secure(old, "--tls-ca-file", authority.ca)
        assert.matches("certificate has expired", find(result, 3, "reachable").text)
        result = examine_secure(old, "--tls-no-verify")
        assert.equal("problem", find(result, 3, "TLS").severity)
        assert.equal("warning", find(result, 3, "verification").severity)
    end)

    it("finds an authority that nobody knows, and that nothing is verified", function()
        local node = start_secure("good", 90)
        local finding = find(examine_secure(node), 3, "reachable")
        assert.matches("^TLS: .*certificate", finding.text)
        assert.matches("--tls-ca-file", finding.advice, 1, true)
        local result = examine_secure(node, "--tls-no-verify")
        assert.same({ "3 verification: warning" }, graver_than_note(result))
    end)
end)
