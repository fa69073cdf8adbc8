-- require "resty.redlock": what lua-resty-lock documents, among machines; and where it differs.

local http = require "support.http"
local nginx = require "support.nginx"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local INIT = [[
    resty_lock = require("resty.redlock").on {
        nodes = {nodes}, timeout = 10, restart_guard = false,
    }
]]

local nodes, server, elsewhere

setup(function()
    nodes = quorum.start(1)
    server = nginx.start { nodes = nodes:urls(), init = INIT }
end)

teardown(function()
    nginx.stop_all()
    servers.stop_all()
end)

before_each(function()
    elsewhere = nodes:client() -- a program on another machine
end)

after_each(function()
    quorum.close_clients()
    assert.is_nil(server:settle(nodes))
end)

local function lines_of(text)
    local lines = {}
    for line in text:gmatch "([^\n]*)\n" do
        lines[#lines + 1] = line
    end
    return lines
end

local SAY = "local function say(...) ngx.say(describe(...)) end "

-- The lines that a handler says; its `say` shows all results of a call.
local function run(code, on)
    local answer = (on or server):play(SAY .. code)
    assert.equal(200, answer.status, answer.failure)
    return lines_of(answer.body)
end

-- A request that runs the code, and then stays until the gate "go" is opened.
local function begin(code)
    local request = server:begin(SAY .. code .. [[ note "began" await "go" ]])
    assert(server:await_note "began")
    return request
end

local function ttl_of(key)
    return quorum.ask(nodes[1], "PTTL", key)
end

local function await_waiter(key)
    assert(http.wait_until(function() return nginx.queue_length(nodes, key) == 1 end))
end

describe("new()", function()
    it("takes any name where lua-resty-lock has that of a shared dictionary", function()
        assert.same({ "nil | dictionary not found", "nil | dictionary not found", "table" }, run [[
            say(resty_lock:new())
            say(resty_lock:new "")
            say(type(resty_lock:new "there_is_no_such_dictionary"))
        ]])
    end)

    it("takes every option that lua-resty-lock has", function()
        assert.same({ "0", "1" }, run [[
            local lock = resty_lock:new("my_locks", {
                exptime = 10, timeout = 1, step = 0.01, ratio = 3, max_step = 0.2,
            })
            say(lock:lock "a")
            say(lock:unlock())
        ]])
    end)

    it("makes leases of 30 s, or of exptime to the millisecond", function()
        local request = begin [[
            kept.plain = resty_lock:new "my_locks"
            kept.short = resty_lock:new("my_locks", { exptime = 25.125 })
            assert(kept.plain:lock "plain" and kept.short:lock "short")
        ]]
        local plain, short = ttl_of "my_locks:plain", ttl_of "my_locks:short"
        assert.is_true(plain > 25125 and plain <= 30000, plain)
        assert.is_true(short > 0 and short <= 25125, short)
        server:open_gate "go"
        request:finish()
    end)

    it("takes a timeout that is longer than exptime for exptime", function()
        local held = assert(elsewhere:acquire "my_locks:a")
        local answer = server:play(SAY .. [[
            say(resty_lock:new("my_locks", { exptime = 0.2, timeout = 3600 }):lock "a")
        ]])
        assert.equal("nil | timeout\n", answer.body)
        assert(held:release())
    end)

    it("raises misuse at the caller's line", function()
        local mistakes = {
            { [[resty_lock:new("d", { exptme = 1 })]], [[there is no option "exptme"]] },
            { [[resty_lock:new("d", { ttl = 1 })]],
                [[there is no option "ttl" here; there are exptime and timeout]] },
            { [[resty_lock:new("d", { exptime = 0 })]],
                [[option "exptime" must be a number of seconds from 0.001 to 1e+09]] },
            { [[resty_lock:new("d", { timeout = 0 / 0 })]],
                [[option "timeout" must be a number of seconds, 0 or more]] },
            { [[resty_lock:new("d", { renew = 1 })]], [[option "renew" must be true or false]] },
            { [[resty_lock:new("d", 5)]], "options must be a table, not number" },
            { [[resty_lock:new "d":lock {}]], "a key must be a string, not table" },
            { [[resty_lock:new "d":expire(math.huge)]],
                "what expire() takes must be a number of seconds from 0.001 to 1e+09" },
            { [[resty_lock:new "d":expire "1"]],
                "what expire() takes must be a number of seconds from 0.001 to 1e+09" },
            { [[resty_lock.new("d")]],
                "call it with a colon, on what on() returned: resty_lock:new()" },
            { [[resty_lock:new "d".lock("a")]], "call it with a colon: lock:lock()" },
            { [[resty.on { nodes = {} }]], [[option "nodes" must be a list of 1 to 32 URLs]] },
            { [[resty.on { node = "a" }]], [[there is no option "node"]] },
            { [[resty.on()]], "new() takes a URL or a table of options, not nil" },
            { [[resty.on "ftp://a"]], "node 1: the scheme must be redis, rediss or unix" },
            { [[resty:new("d", { exptime = 1 })]], [[option "nodes" is missing]] },
            { [[resty:new { nodes = { "a" }, exptime = "1" }]],
                [[option "exptime" must be a number of seconds from 0.001 to 1e+09]] },
            { [[resty:new { nodes = { "a" }, ttl = 1 }]],
                [[there is no option "ttl" here; there are exptime and timeout]] },
            { [[resty:new "d"]],
                [[new() takes a table with "nodes"; what on() returns knows them]] },
        }
        for _, mistake in ipairs(mistakes) do
            local lines = run(([[
                local resty = require "resty.redlock"
                local ok, message = pcall(function()
                    local _ = %s
                end)
                say(message)
            ]]):format(mistake[1]))
            assert.same({ "content:3: redlock: " .. mistake[2] }, lines, mistake[1])
        end
    end)
end)

describe("lock()", function()
    it("returns 0 for a lock that is free, and again after unlock()", function()
        assert.same({ "0", "1", "0", "1" }, run [[
            for _ = 1, 2 do
                local lock = resty_lock:new "my_locks"
                say(lock:lock "a")
                say(lock:unlock())
            end
        ]])
    end)

    it("returns for how many seconds it waited for another owner", function()
        local held = assert(elsewhere:acquire "my_locks:a")
        local began = wait.now()
        local request = server:begin [[
            local lock = resty_lock:new "my_locks"
            ngx.say(lock:lock "a")
            lock:unlock()
        ]]
        await_waiter "my_locks:a"
        local seen = wait.now()
        wait.sleep(0.2)
        local waited = wait.now() - seen
        held:release()
        local elapsed = tonumber(request:finish().body)
        assert.is_true(elapsed >= waited and elapsed <= wait.now() - began, elapsed)
    end)

    it("says timeout when another held it all the time, at once if the timeout is 0", function()
        assert.same({ "0", "nil | timeout", "nil | timeout", "1" }, run [[
            local first = resty_lock:new "my_locks"
            say(first:lock "a")
            say(resty_lock:new("my_locks", { timeout = 0.01 }):lock "a")
            say(resty_lock:new("my_locks", { timeout = 0 }):lock "a")
            say(first:unlock())
        ]])
    end)

    it("says locked when the object holds a lock, of this key or of another", function()
        assert.same({ "nil | locked", "nil | locked" }, run [[
            local lock = resty_lock:new "my_locks"
            assert(lock:lock "a")
            say(lock:lock "a")
            say(lock:lock "b")
            lock:unlock()
        ]])
    end)

    it("lets one of two light threads have the lock of one object, and tells the other", function()
        local held = assert(elsewhere:acquire "my_locks:b")
        local request = server:begin(SAY .. [[
            local lock = resty_lock:new "my_locks"
            local thread = ngx.thread.spawn(function() return lock:lock "b" end)
            say(lock:lock "a")
            note "has a"
            local _, elapsed, message = ngx.thread.wait(thread)
            say(elapsed, message)
            say(lock:unlock())
        ]])
        assert(server:await_note "has a")
        await_waiter "my_locks:b"
        held:release()
        assert.equal("0\nnil | locked\n1\n", request:finish().body)
    end)

    it("says what is wrong with a key that is none", function()
        assert.same({ "nil | nil key", "nil | empty key", "nil | key too long" }, run [[
            local lock = resty_lock:new "my_locks"
            say(lock:lock())
            say(lock:lock "")
            say(lock:lock(("x"):rep(65536)))
        ]])
    end)

    it("takes a number for its digits", function()
        assert.same({ "nil | timeout" }, run [[
            assert(resty_lock:new "my_locks":lock(42))
            say(resty_lock:new("my_locks", { timeout = 0 }):lock "42")
        ]])
    end)

    it("takes keys of up to 65535 bytes, any of them, each for a lock of its own", function()
        assert.same({ "0", "nil | timeout", "0", "0", "1", "1", "1" }, run [[
            local bytes = {}
            for byte = 0, 254 do
                table.insert(bytes, string.char(byte))
            end
            local long = table.concat(bytes):rep(257)
            assert(#long == 65535)
            local first, second, third = resty_lock:new "my_locks", resty_lock:new "my_locks",
                resty_lock:new "my_locks"
            say(first:lock(long))
            say(resty_lock:new("my_locks", { timeout = 0 }):lock(long))
            say(second:lock(long:sub(1, -2) .. "x"))
            say(third:lock(table.concat(bytes)))
            say(first:unlock())
            say(second:unlock())
            say(third:unlock())
        ]])
    end)

    it("takes a key that ends like what the library keeps beside a lock", function()
        assert.same({ "0", "0", "0", "0", "0" }, run(([[
            local function try(lock, key)
                say(lock:lock(key))
                lock:unlock()
            end
            for _, key in ipairs { "{a}:fence", "{a}:queue", "{a}:claim", "fence" } do
                try(resty_lock:new "my_{locks}", key)
            end
            local nodes = { "redis://127.0.0.1:%d" }
            try(require("resty.redlock"):new { nodes = nodes, prefix = "{app}:" }, "fence")
        ]]):format(nodes[1].port)))
    end)

    it("keeps the keys of different dictionaries apart", function()
        assert.same({ "0", "0", "0", "0", "0" }, run [[
            kept.locks = {}
            local names = {
                { "a", "b:c" }, { "a:b", "c" }, { "a%3Ab", "c" }, { "a%b", "c" }, { "b", "b:c" },
            }
            for _, pair in ipairs(names) do
                local lock = resty_lock:new(pair[1], { timeout = 0 })
                table.insert(kept.locks, lock)
                say(lock:lock(pair[2]))
            end
        ]])
    end)

    it("excludes who holds the key behind the dictionary's name, with any library", function()
        local held = assert(elsewhere:acquire "my_locks:a")
        assert.same({ "nil | timeout" }, run [[
            say(resty_lock:new("my_locks", { timeout = 0 }):lock "a")
        ]])
        held:release()
        local request = begin [[ kept.lock = resty_lock:new "my_locks"; say(kept.lock:lock "a") ]]
        assert.equal("locked", select(3, elsewhere:try "my_locks:a"))
        server:open_gate "go"
        assert.equal("0\n", request:finish().body)
    end)

    it("says which nodes are out of reach", function()
        local port = nginx.free_port()
        local lines = run(([[
            local on = require("resty.redlock").on
            say(on("redis://127.0.0.1:%d"):new "my_locks":lock "a")
        ]]):format(port))
        local expected = ('^nil | unavailable: "my_locks:a": 0 of 1 nodes answered, 1 needed: '
            .. "127%%.0%%.0%%.1:%d "):format(port)
        assert.matches(expected, lines[1])
    end)

    it("returns nil and the phase where it cannot wait", function()
        local take = [[ note(resty_lock:new "my_locks":lock "a") ]]
        server:play { header_filter = take, body_filter = take, log = take }
        assert(server:await_note " log ")
        local notes = server:notes()
        assert.equal(3, #notes)
        for index, phase in ipairs { "header_filter", "body_filter", "log" } do
            assert.matches("^nil | unavailable: .* " .. phase .. " ", notes[index])
        end
    end)
end)

describe("unlock()", function()
    it("says unlocked when nothing is held", function()
        assert.same({ "nil | unlocked", "1", "nil | unlocked" }, run [[
            local lock = resty_lock:new "my_locks"
            say(lock:unlock())
            assert(lock:lock "a")
            say(lock:unlock())
            say(lock:unlock())
        ]])
    end)

    it("wakes who waits", function()
        local request = begin [[ kept.lock = resty_lock:new "my_locks"; kept.lock:lock "a" ]]
        local waiter = server:begin(SAY .. [[
            local lock = resty_lock:new "my_locks"
            note "asks"
            note(lock:lock "a" > 0)
            say(lock:unlock())
        ]])
        assert(server:await_note "asks")
        run [[ kept.lock:unlock() ]]
        assert.equal("1\n", waiter:finish().body)
        assert.is_not_nil(server:await_note "true")
        server:open_gate "go"
        request:finish()
    end)

    it("says unlocked after the lease has ended, and lets the next owner be", function()
        assert.same({ "0", "nil | unlocked", "nil | timeout", "1" }, run [[
            local late = resty_lock:new("my_locks", { exptime = 1.5 })
            assert(late:lock "a")
            ngx.sleep(1.6)
            local next = resty_lock:new "my_locks"
            say(next:lock "a")
            say(late:unlock())
            say(resty_lock:new("my_locks", { timeout = 0 }):lock "a")
            say(next:unlock())
        ]])
    end)

    it("works in filters and in the log phase", function()
        local lock = [[
            ngx.ctx.lock = resty_lock:new("my_locks", { detach = true })
            assert(ngx.ctx.lock:lock "a")
        ]]
        for _, phase in ipairs { "header_filter", "body_filter", "log" } do
            local unlock = [[ note(ngx.get_phase(), ngx.ctx.lock:unlock()) ]]
            server:play { access = lock, [phase] = unlock }
            assert(server:await_note("^" .. phase .. " | 1$"))
            assert(elsewhere:acquire("my_locks:a", { wait = 10 })):release()
        end
    end)

    it("works in the log phase, though the request's end has released the lock there", function()
        server:play {
            access = [[
                ngx.ctx.lock = resty_lock:new "my_locks"
                assert(ngx.ctx.lock:lock "a")
            ]],
            log = [[ note(ngx.ctx.lock:unlock()) note(ngx.ctx.lock:unlock()) ]],
        }
        assert(server:await_note "unlocked")
        assert.same({ "1", "nil | unlocked" }, server:notes())
    end)
end)

describe("a lock that nobody unlocks", function()
    it("ends with its lease, which is a hard one", function()
        run [[
            kept.lock = resty_lock:new("my_locks", { exptime = 0.3, detach = true })
            assert(kept.lock:lock "a")
        ]]
        assert.is_not_nil(elsewhere:acquire("my_locks:a", { wait = 10 }))
        assert.same({ "nil | unlocked" }, run [[ say(kept.lock:unlock()) ]])
    end)

    it("ends when its object is collected", function()
        assert.same({ "true" }, run [[
            local function leave()
                assert(resty_lock:new "my_locks":lock "a")
            end
            leave()
            collectgarbage()
            collectgarbage()
            say(resty_lock:new "my_locks":lock "a" ~= nil)
        ]])
    end)

    it("ends with its request, in whatever way that ends", function()
        local lock = [[ kept.lock = resty_lock:new "my_locks"; assert(kept.lock:lock "a") ]]
        server:provoke "of no avail"
        for _, way in ipairs { "", "ngx.exit(444)", "error 'of no avail'", "ngx.exec '/plain'" } do
            server:play(lock .. " " .. way)
            assert(elsewhere:acquire("my_locks:a", { wait = 10 })):release()
        end
    end)

    it("outlives its request with detach, and can be unlocked in a timer", function()
        run [[
            local lock = resty_lock:new("my_locks", { detach = true })
            assert(lock:lock "a")
            ngx.timer.at(0, function()
                await "go"
                note(lock:unlock())
            end)
        ]]
        assert.equal("locked", select(3, elsewhere:try "my_locks:a"))
        server:open_gate "go"
        assert(server:await_note "^1$")
        assert.is_not_nil(elsewhere:acquire("my_locks:a", { wait = 10 }))
    end)

    it("lives longer than exptime with renew", function()
        local request = begin [[
            kept.lock = resty_lock:new("my_locks", { exptime = 3, renew = true })
            assert(kept.lock:lock "a")
        ]]
        local token = quorum.ask(nodes[1], "GET", "my_locks:a")
        wait.sleep(3.3)
        assert.equal(token, quorum.ask(nodes[1], "GET", "my_locks:a"))
        assert.same({ "1" }, run [[ say(kept.lock:unlock()) ]])
        server:open_gate "go"
        request:finish()
    end)
end)

describe("expire()", function()
    it("says unlocked when nothing is held", function()
        assert.same({ "nil | unlocked", "nil | unlocked", "nil | unlocked" }, run [[
            local lock = resty_lock:new("my_locks", { exptime = 2 })
            say(lock:expire())
            assert(lock:lock "a")
            assert(lock:unlock())
            say(lock:expire(1))
            assert(lock:lock "a")
            ngx.sleep(2.1)
            say(lock:expire(1))
        ]])
    end)

    it("says unlocked when the lock was lost", function()
        local request = begin [[
            kept.lock = resty_lock:new "my_locks"
            assert(kept.lock:lock "a")
        ]]
        quorum.ask(nodes[1], "DEL", "my_locks:a")
        assert.same({ "nil | unlocked", "nil | unlocked" }, run [[
            say(kept.lock:expire(60))
            say(kept.lock:unlock())
        ]])
        server:open_gate "go"
        request:finish()
    end)

    it("sets the lease to exptime from now, or to what it is told", function()
        local request = begin [[
            local lock = resty_lock:new("my_locks", { exptime = 10 })
            assert(lock:lock "a" and lock:lock "b" == nil)
            kept.lock = lock
        ]]
        assert.same({ "true" }, run [[ say(kept.lock:expire(40)) ]])
        local told = ttl_of "my_locks:a"
        assert.is_true(told > 30000 and told <= 40000, told)
        assert.same({ "1", "0" }, run [[
            say(kept.lock:unlock())
            say(kept.lock:lock "a")
            assert(kept.lock:expire())
        ]])
        server:open_gate "go"
        request:finish()
    end)

    it("keeps others out for so long again", function()
        assert.same({ "true", "nil | timeout", "true" }, run [[
            local lock = resty_lock:new("my_locks", { exptime = 4 })
            assert(lock:lock "a")
            ngx.sleep(2.1)
            say(lock:expire())
            ngx.sleep(2.1)
            say(resty_lock:new("my_locks", { timeout = 0 }):lock "a")
            say(resty_lock:new("my_locks", { timeout = 10 }):lock "a" > 0)
        ]])
    end)

    it("makes it end sooner, too", function()
        assert.same({ "true", "true", "nil | unlocked", "nil | unlocked" }, run [[
            local lock = resty_lock:new "my_locks"
            assert(lock:lock "a")
            say(lock:expire(2))
            local other = resty_lock:new("my_locks", { timeout = 10 })
            say(other:lock "a" > 0)
            say(lock:expire())
            say(lock:unlock())
        ]])
    end)

    it("means the last time that it was told, and this lock alone", function()
        assert.same({ "true", "true", "1", "0", "true" }, run [[
            local lock = resty_lock:new "my_locks"
            assert(lock:lock "a")
            assert(lock:expire(2))
            say(lock:expire(60))
            ngx.sleep(2.1)
            say(lock.redlock:held())
            assert(lock:expire(2))
            say(lock:unlock())
            say(lock:lock "b")
            ngx.sleep(2.1)
            say(lock.redlock:held())
        ]])
    end)
end)

describe("what on() returns", function()
    local ON = [[
        local on = require("resty.redlock").on
        local nodes = { "redis://127.0.0.1:%d" }
    ]]

    it("shares a client with all that have the same configuration", function()
        local lines = run(ON:format(nodes[1].port) .. [[
            local one = on(nodes[1])
            say(on(nodes[1]).client == one.client)
            say(on { nodes = nodes }.client == one.client)
            say(on(nodes[1], { timeout = 0.5, renew = true }).client == one.client)
            say(on(nodes[1], { timeout = 0.4 }).client == one.client)
            say(on(nodes[1], { prefix = "x" }).client == one.client)
        ]])
        assert.same({ "true", "true", "true", "false", "false" }, lines)
    end)

    it("costs no connection when it is called in each request", function()
        for _ = 1, 5 do
            assert.same({ "0" }, run(ON:format(nodes[1].port) .. [[
                local lock = on(nodes[1], { client_name = "often" }):new "my_locks"
                say(lock:lock "a")
                lock:unlock()
            ]]))
        end
        assert.equal(1, nginx.connections(nodes[1], "often"))
    end)

    it("gives its own terms to its locks, unless they have others", function()
        local lines = run(ON:format(nodes[1].port) .. [[
            local short = on(nodes[1], { ttl = 3, wait = 0, renew = true })
            local lock = short:new "my_locks"
            local other = short:new("my_locks", { exptime = 50, renew = false })
            assert(lock:lock "a" and other:lock "b")
            say(lock.redlock:remaining() < 3, other.redlock:remaining() > 40)
            say(short:new "my_locks":lock "a")
            ngx.sleep(3.3)
            say(lock:unlock())
            say(other:unlock())
        ]])
        assert.same({ "true | true", "nil | timeout", "1", "1" }, lines)
    end)

    it("puts its prefix before the dictionary's name", function()
        local request = begin(ON:format(nodes[1].port) .. [[
            kept.lock = on(nodes[1], { prefix = "app:" }):new "my_locks"
            assert(kept.lock:lock "a")
        ]])
        assert.equal("locked", select(3, elsewhere:try "app:my_locks:a"))
        server:open_gate "go"
        request:finish()
    end)

    it("has the client for what lua-resty-lock lacks", function()
        local lines = run [[
            local lock = resty_lock:new "my_locks"
            assert(lock:lock "a")
            say(resty_lock.client:info("my_locks:a")[1].fence == lock.redlock.fence)
            say((tostring(lock):gsub("held, .*%)", "held)")))
            lock:unlock()
            say(lock)
        ]]
        assert.same({
            "true",
            'resty.redlock.Lock redlock.Lock "my_locks:a" (held)',
            "resty.redlock.Lock (unlocked)",
        }, lines)
    end)

    it("has a new client when somebody closed the last one", function()
        local lines = run(ON:format(nodes[1].port) .. [[
            local class = on(nodes[1], { client_name = "closed" })
            class.client:close()
            say(class:new "my_locks":lock "a")
            say(on(nodes[1], { client_name = "closed" }):new "my_locks":lock "a")
        ]])
        assert.matches('^nil | closed: "my_locks:a": the client was closed$', lines[1])
        assert.equal("0", lines[2])
    end)

    it("is refused to the 65th configuration of a worker, and not to the others", function()
        local another = nginx.start { nodes = nodes:urls() }
        local lines = run(ON:format(nodes[1].port) .. [[
            for number = 1, 64 do
                on(nodes[1], { client_name = "client" .. number })
            end
            say(pcall(on, nodes[1], { client_name = "client65" }))
            local lock = on(nodes[1], { client_name = "client64" }):new "my_locks"
            say(lock:lock "a")
            lock:unlock()
        ]], another)
        assert.matches("^false | .*this worker has 64 clients already; requests should share one$",
            lines[1])
        assert.equal("0", lines[2])
        assert.is_nil(another:unprovoked())
    end)
end)

describe("the module's own new()", function()
    it("takes the nodes and the options of a lock in one table", function()
        local request = begin(([[
            local resty_redlock = require "resty.redlock"
            local nodes = { "redis://127.0.0.1:%d" }
            local plain = resty_redlock:new {
                nodes = nodes, exptime = 10, timeout = 1, node_timeout = 5,
            }
            local named = resty_redlock:new("my_locks", { nodes = nodes, node_timeout = 5 })
            say(plain.client == named.client)
            say(plain:lock "a")
            say(named:lock "a")
            kept.plain, kept.named = plain, named
        ]]):format(nodes[1].port))
        local plain, named = ttl_of "a", ttl_of "my_locks:a"
        assert.is_true(plain > 0 and plain <= 10000, plain)
        assert.is_true(named > 10000 and named <= 30000, named)
        server:open_gate "go"
        assert.equal("true\n0\n0\n", request:finish().body)
    end)

    it("has its methods in the module, as lua-resty-lock has", function()
        assert.same({ "0", "true", "1" }, run [[
            local resty_redlock = require "resty.redlock"
            local lock = resty_lock:new "my_locks"
            say(resty_redlock.lock(lock, "a"))
            say(resty_lock.expire(lock, 60))
            say(resty_redlock.unlock(lock))
        ]])
    end)
end)

describe("a worker that can run no more timers", function()
    it("has its locks all the same", function()
        local busy = nginx.start {
            nodes = nodes:urls(), init = INIT, http = "lua_max_running_timers 1;",
        }
        busy:play [[ ngx.timer.at(0, function() note "runs" await "end" end) ]]
        assert(busy:await_note "runs")
        busy:provoke "1 lua_max_running_timers are not enough"
        assert.same({ "0", "nil | timeout", "1" }, run([[
            local lock = resty_lock:new "my_locks"
            say(lock:lock "a")
            say(resty_lock:new("my_locks", { timeout = 0.1 }):lock "a")
            say(lock:unlock())
        ]], busy))
        busy:open_gate "end"
        assert.is_nil(busy:unprovoked())
    end)
end)
