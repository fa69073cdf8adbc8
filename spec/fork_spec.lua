-- fork(): what was acquired belongs to the process that acquired it, and parent and child share no connection.

local build = require "support.build"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"

if build.has "thread" then
    describe("fork()", function()
        pending("is not for the thread sanitizer: it knows no threads that a child starts")
    end)
    return
end

local node

-- Programs run in a process of their own, since a fork of this one would hold what keeps the servers alive.
local PREAMBLE = [[
    local machine, redlock, wait = require "machine", require "redlock", require "support.wait"
    local NODE = { nodes = { %q }, timeout = 10 }
    local client = redlock.new(NODE)

    -- Seconds: a lease that is renewed after one of them, and so outlives a machine that stands
    -- still for a while; and longer than that.
    local SAFE, LONGER = 3, 3.2

    -- The allocator of older address sanitizers cannot bear a fork while another thread allocates:
    -- the child would wait for ever. So there the others have to be asleep.
    local fork = machine.fork
    if %s then
        function machine.fork()
            assert(wait.wait_until(function()
                local pipe = io.popen "cat /proc/$PPID/task/*/stat"
                local main, awake = pipe:read("*l"), 0
                for line in pipe:lines() do
                    awake = awake + (line:find "^%%d+ %%(.-%%) S" and 0 or 1)
                end
                pipe:close()
                return main and awake == 0
            end, 10))
            return fork()
        end
    end

    local function run(body)
        local ok, message = pcall(body)
        if not ok then
            print(message)
        end
        return ok and 0 or 1
    end

    -- Runs the function in a child, which then ends without any farewell.
    local function in_child(body)
        local pid = machine.fork()
        if pid == 0 then
            machine.exit(run(body))
        end
        assert(machine.waitpid(pid) == 0, "the child failed")
    end

    -- The connections that this process has open.
    local function sockets()
        local pipe, list = io.popen "ls -l /proc/$PPID/fd", {}
        for inode in pipe:read("*a"):gmatch("socket:%%[(%%d+)%%]") do
            list[#list + 1] = inode
        end
        pipe:close()
        return list
    end

    local function print_sockets(label, count)
        wait.wait_until(function() return #sockets() >= count end)
        for _, inode in ipairs(sockets()) do
            print(label .. " " .. inode)
        end
    end
]]

local function program(code)
    return PREAMBLE:format(node[1].url, tostring(build.has "address")) .. code
end

local function run(code)
    local lines, status, errors = process.run(program(code), 60)
    assert.equal(0, status, table.concat(lines, "\n") .. errors)
    return lines
end

setup(function()
    node = quorum.start(1)
end)

teardown(function()
    servers.stop_all()
end)

after_each(function()
    process.stop_all()
    quorum.close_clients()
    assert.is_nil(node:key_for_ever())
    node:reset()
end)

describe("after fork(), the child", function()
    it("owns no lock of its parent's", function()
        run [[
            local lock = assert(client:acquire("job", { ttl = 60 }))
            in_child(function()
                assert(lock:held() == false)
                assert(lock:remaining() == 0)
                assert(tostring(lock):find("another process", 1, true))
                for _, call in ipairs { "release", "extend" } do
                    local result, message, code = lock[call](lock, 5)
                    assert(result == nil and code == "lost", code)
                    assert(message:find("belongs to the process that acquired", 1, true))
                end
            end)
            assert(lock:held())
            assert(lock:extend(70))
            assert(lock:release())
        ]]
    end)

    local ways_to_end = {
        { "ends at once", "machine.exit(0)" },
        { "closes its Lua state", "os.exit(0, true)" },
        { "collects the lock", "lock = nil collectgarbage() collectgarbage() machine.exit(0)" },
        { "closes the client", "client:close() machine.exit(0)" },
        { "acquires more and closes its Lua state", "assert(client:try 'it') os.exit(0, true)" },
    }
    for _, way in ipairs(ways_to_end) do
        it("releases nothing of its parent's when it " .. way[1], function()
            run(([[
                local lock = assert(client:acquire("job", { ttl = 60 }))
                local token = lock.token
                local pid = machine.fork()
                if pid == 0 then
                    %s
                end
                assert(machine.waitpid(pid) == 0)
                assert(lock:held())
                local seen = client:info("job")[1]
                assert(seen.token == token)
                assert(lock:release())
            ]]):format(way[2]))
        end)
    end

    local clients = { { "its parent's client", "client" }, { "its own", "redlock.new(NODE)" } }
    for _, client in ipairs(clients) do
        it("acquires, keeps and releases locks with " .. client[1], function()
            run(([[
                local lock = assert(client:acquire("job", { ttl = 60 }))
                in_child(function()
                    local mine = %s
                    local _, _, code = mine:try "job"
                    assert(code == "locked", code)
                    local other = assert(mine:acquire("other", { ttl = SAFE }))
                    wait.sleep(LONGER)
                    assert(other:held())
                    assert(mine:info("other")[1].token == other.token)
                    assert(other:release())
                end)
                assert(client:try "other"):release()
                assert(lock:release())
            ]]):format(client[2]))
        end)
    end

    it("releases what it acquired itself when it closes its Lua state", function()
        run [[
            assert(client:acquire("job", { ttl = 60 }))
            local pid = machine.fork()
            if pid == 0 then
                assert(client:acquire("other", { ttl = 60 }))
                os.exit(0, true)
            end
            assert(machine.waitpid(pid) == 0)
            assert(client:try "other")
        ]]
    end)

    it("draws tokens of its own, as does every other child", function()
        local lines = run [[
            assert(client:acquire("first"))
            local function print_tokens(name)
                for index = 1, 10 do
                    print(assert(client:acquire(name .. index)).token)
                end
            end
            for child = 1, 3 do
                in_child(function() print_tokens("child" .. child) end)
            end
            print_tokens "parent"
        ]]
        local seen = {}
        for _, token in ipairs(lines) do
            assert.is_nil(seen[token])
            seen[token] = true
        end
        assert.equal(40, #lines)
    end)

    it("hears wake-ups in an inbox of its own", function()
        node:ask(1, "SET", "job", "foreign", "PX", 60000)
        local parent = process.start(program [[
            assert(not client:acquire("job", { wait = 2 }))
            in_child(function()
                assert(not client:acquire("job", { wait = 2 }))
                print "both have waited"
                io.read()
            end)
        ]])
        assert(parent:wait_line("both have waited"))
        local channels = node[1]:cli("PUBSUB", "CHANNELS", "redlock:*")
        local first, second = channels:match("^(%S+)\n(%S+)$")
        assert.is_truthy(second)
        assert.not_equal(first, second)
    end)

    it("has no connection in common with its parent", function()
        node:ask(1, "SET", "job", "foreign", "PX", 60000)
        local lines = run [[
            local lock = assert(client:acquire("renewed", { ttl = SAFE }))
            assert(not client:acquire("job", { wait = 2 }))
            print_sockets("parent", 3)
            in_child(function()
                local own = assert(client:acquire("child's", { ttl = SAFE }))
                assert(not client:acquire("job", { wait = 2 }))
                print_sockets("child", 3)
                assert(own:release())
            end)
            assert(lock:release())
        ]]
        local owners, counts = {}, { parent = 0, child = 0 }
        for _, line in ipairs(lines) do
            local owner, inode = line:match("^(%a+) (%d+)$")
            assert.is_nil(owners[inode])
            owners[inode] = owner
            counts[owner] = counts[owner] + 1
        end
        assert.same({ parent = 3, child = 3 }, counts) -- commands, inbox, watchdog
    end)

    it("may be forked again", function()
        run [[
            local lock = assert(client:acquire("job", { ttl = 60 }))
            in_child(function()
                local second = assert(client:acquire("second", { ttl = 60 }))
                in_child(function()
                    assert(not lock:held() and not second:held())
                    assert(client:acquire "third"):release()
                end)
                assert(second:held())
                assert(second:release())
            end)
            assert(lock:release())
        ]]
    end)
end)

describe("after fork(), the parent's lock", function()
    it("is still renewed, whatever the child does with the client", function()
        run [[
            local lock = assert(client:acquire("job", { ttl = SAFE }))
            in_child(function()
                local other = assert(client:acquire("other", { ttl = SAFE }))
                wait.sleep(LONGER)
                assert(other:held())
                client:close()
            end)
            assert(lock:held())
            wait.sleep(LONGER)
            assert(lock:held())
            assert(client:info("job")[1].token == lock.token)
            assert(lock:release())
        ]]
    end)

    it("is not kept by the child when the parent dies", function()
        local parent = process.start(program [[
            local lock = assert(client:acquire("job", { ttl = 0.5 }))
            in_child(function()
                local other = assert(client:acquire("other", { ttl = SAFE }))
                print "holds"
                wait.sleep(60)
                assert(other:release())
            end)
        ]])
        assert(parent:wait_line("holds"))
        parent:signal("KILL")
        parent:wait()
        assert.is_true(node:comes_to(0, "job"))
        assert.equal(1, node:count("other"))
    end)
end)

describe("a program that a process starts", function()
    it("inherits none of its connections", function()
        local lines = run [[
            local lock = assert(client:acquire "job")
            assert(not redlock.new(NODE):acquire("job", { wait = 0.3 }))
            os.execute "ls -l /proc/self/fd | grep -e socket -e eventfd; echo listed"
            assert(lock:release())
        ]]
        assert.same({ "listed" }, lines)
    end)
end)
