-- Who holds a lock: what a client tells the nodes of itself with each grant, and what others read of it.

local event_loops = require "support.event_loops"
local inbox = require "support.inbox"
local misuse = require "support.misuse"
local process = require "support.process"
local quorum = require "support.quorum"
local redlock = require "redlock"
local servers = require "servers"
local wait = require "support.wait"

local FENCE = inbox.side("job", "fence")
local PURPOSE = "nightly report, ünïcode"
local CROWD = 20

local nodes

local function own_name()
    local pipe = assert(io.popen "echo $(uname -n):$PPID")
    local name = pipe:read "*l"
    pipe:close()
    return name
end

setup(function()
    nodes = quorum.start(3)
end)

teardown(function()
    servers.stop_all()
end)

after_each(function()
    process.stop_all()
    quorum.close_clients()
    assert.is_nil(nodes:key_for_ever())
    nodes:reset()
end)

for _, count in ipairs { 1, 3 } do
    describe(("on %d nodes"):format(count), function()
        local list

        local function holders()
            local found = {}
            for index, node in ipairs(assert(list:client():info "job")) do
                found[index] = node.holder or false
            end
            return found
        end

        -- Once the last node has heard of what a majority has granted.
        local function assert_holder(expected)
            local found
            assert.is_true(wait.wait_until(function()
                found = holders()
                for index = 1, count do
                    if found[index] ~= expected then
                        return false
                    end
                end
                return true
            end), tostring(found[count]))
        end

        local function age()
            return list:client():info("job")[1].age
        end

        setup(function()
            list = nodes:first(count)
        end)

        it("a holder is known by host, process and client's name", function()
            local lock = assert(list:client({ client_name = "shop" }):acquire "job")
            assert_holder(own_name() .. " shop")
            assert(lock:release())
            assert_holder(false)
        end)

        it("what it is for stands behind that", function()
            local lock = assert(list:client({ identity = PURPOSE }):acquire "job")
            assert_holder(own_name() .. " redlock " .. PURPOSE)
            assert(lock:release())
        end)

        it("who tells nothing is not known, nor is the one before him taken for him", function()
            assert(assert(list:client():acquire "job"):release())
            local lock = list:everywhere(list:client { identity = false }, "job")
            assert_holder(false)
            assert.equal(("%.0f"):format(lock.fence), list:ask(1, "GET", FENCE))
        end)

        it("another library's lock has no holder, whoever had it before", function()
            assert(assert(list:client():acquire "job"):release())
            list:ask_all("SET", "job", "foreign", "PX", 60000)
            assert_holder(false)
            assert.is_nil(age())
        end)

        it("the fence says who had it last", function()
            local lock = assert(list:client():acquire "job")
            local mark = ("%.0f %s %s redlock"):format(lock.fence, lock.token:sub(1, 8), own_name())
            assert_holder(own_name() .. " redlock")
            assert.equal(mark, list:ask(1, "GET", FENCE))
            assert(lock:release())
            assert.equal(mark, list:ask(1, "GET", FENCE))
            assert.equal(lock.fence, list:client():info("job")[1].fence)
        end)

        it("an extension that puts the fence back, or raises it, puts back the holder", function()
            local lock = assert(list:client():acquire "job")
            list:ask_all("DEL", FENCE)
            assert(lock:extend(60))
            assert_holder(own_name() .. " redlock")
            list:ask_all("SET", FENCE, "17 whatever else", "EX", 1000)
            assert(lock:extend(60))
            assert_holder(own_name() .. " redlock")
            assert(lock:extend(70))
            assert_holder(own_name() .. " redlock")
            assert(lock:release())
        end)

        it("locks that travel together each have their holder", function()
            local loop = event_loops.cqueues()
            local client = list:client { identity = PURPOSE }
            local seen = {}
            loop.run(function()
                for index = 1, CROWD do
                    loop.spawn(function()
                        local lock = assert(client:acquire("job" .. index))
                        loop.wait_until(function()
                            seen[index] = client:info(lock.name)[count].holder
                            return seen[index]
                        end)
                        assert(lock:release())
                    end)
                end
            end)
            for index = 1, CROWD do
                assert.equal(own_name() .. " redlock " .. PURPOSE, seen[index])
            end
        end)

        it("the age is that of the tenure, and does not end with a renewal", function()
            local lock = assert(list:client():acquire "job")
            assert_holder(own_name() .. " redlock")
            local first = age()
            assert.is_true(first >= 0 and first < 60, first)
            assert(lock:extend(60))
            assert.is_true(age() >= first)
            assert(lock:release())
            assert_holder(false)
            assert.is_nil(age())
        end)

        it("a ballot from the future is no age below 0", function()
            list:ask_all("SET", FENCE, ("%.0f"):format((os.time() + 3600) * 1e6), "EX", 1000)
            local lock = assert(list:client():acquire "job")
            assert_holder(own_name() .. " redlock")
            assert.equal(0, age())
            assert(lock:release())
        end)
    end)
end

it("after a fork the holder is the child", function()
    local lines = process.run {
        code = [[
            local machine, redlock = require "machine", require "redlock"
            local client = redlock.new(arg[1], { timeout = 10 })
            local parents, childs = assert(client:acquire "parent's"), nil
            local pid = machine.fork()
            if pid == 0 then
                childs = assert(client:acquire "child's")
                local function first(name)
                    return tostring(client:info(name)[1].holder):match ":(%d+) redlock$"
                end
                print(first "parent's", first "child's")
                io.stdout:flush()
                assert(childs:release())
                machine.exit(0)
            end
            print(pid)
            io.stdout:flush()
            machine.waitpid(pid)
            assert(parents:release())
        ]],
        args = { nodes[1].url },
    }
    local text = table.concat(lines, "\n")
    local child = text:match "^(%d+)\n" or text:match "\n(%d+)$"
    local parent, holder = text:match "(%d+)\t(%d+)"
    assert.equal(child, holder)
    assert.not_equal(child, parent)
end)

describe("what a server says of a holder", function()
    local token = ("T"):rep(28)

    local function holder_of(mark)
        nodes:ask(1, "SET", "job", token, "PX", 60000)
        nodes:ask(1, "SET", FENCE, mark, "PX", 60000)
        local node = nodes:first(1):client():info("job")[1]
        return node.holder, node
    end

    it("is shown without what a terminal would obey", function()
        assert.equal("a\\x1b[2Jb\\x00\\x0a\\x7f", (holder_of("7 TTTTTTTT a\27[2Jb\0\n\127")))
    end)

    it("is cut short", function()
        assert.equal(("x"):rep(255), (holder_of("7 TTTTTTTT " .. ("x"):rep(100000))))
    end)

    it("is nothing, unless it is whole and of that token", function()
        for _, mark in ipairs {
            "7", "7 ", "7 TTTTTTTT", "7 TTTTTTTT ", "7 TTTTTTT x", "7 TTTTTTTTx y", "7 tTTTTTTT x",
            "7  TTTTTTTT x",
        } do
            local holder, node = holder_of(mark)
            assert.is_nil(holder, mark)
            assert.equal(7, node.fence, mark)
        end
    end)

    it("does not make a fence of what is none", function()
        for _, mark in ipairs {
            "7x", "", " 7 TTTTTTTT x", "x TTTTTTTT y", "-7 TTTTTTTT x", "7\0 TTTTTTTT x",
        } do
            local _, node = holder_of(mark)
            assert.equal("the key of its fence holds no fence", node.error, mark)
        end
    end)
end)

describe("the option", function()
    it("takes a short text or false", function()
        for _, value in ipairs { true, 7, "", ("x"):rep(101), "a\nb", "a\0b", "\127", {} } do
            local message = misuse.message('redlock.new { nodes = { "a" }, identity = value }',
                { redlock = redlock, value = value })
            assert.equal('redlock: option "identity" must be a text of 1 to 100 bytes without'
                .. " control characters, or false", message)
        end
        redlock.new({ nodes = { "a" }, identity = ("x"):rep(100) }):close()
    end)

    it("is the client's, and not a lock's", function()
        assert.equal('redlock: there is no option "identity"', misuse.message(
            'client:lock("job", { identity = "x" })', { client = nodes:first(1):client() }))
    end)
end)
