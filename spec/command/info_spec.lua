-- `redlock info NAME`: who holds a lock, what each node has, who waits, and what the exit code says.

local inbox = require "support.inbox"
local json = require "support.json"
local process = require "support.process"
local program = require "command.program"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local nodes, client

local function info_of(list, ...)
    local result = program.run(program.words(list, "info", ...))
    return table.concat(result.output, "\n"), result.status, result.errors
end

local function info(...)
    return info_of(nodes, ...)
end

local function look(name, ...)
    local output, status, errors = info(name, "--json", ...)
    assert.equal("", errors)
    return json.read(output), status
end

setup(function()
    nodes = quorum.start(3)
    client = nodes:client { identity = "nightly report" }
end)

teardown(function()
    quorum.close_clients()
    servers.stop_all()
end)

after_each(function()
    process.stop_all()
    inbox.close_all()
    nodes:ask_all "FLUSHALL"
end)

describe("info of a lock that is held", function()
    local lock

    local function all_answer()
        for _, node in ipairs(client:info "order:42") do
            if node.error then
                return false
            end
        end
        return true
    end

    -- A node that was started again a moment ago is asked for its vote once it has been dialed.
    before_each(function()
        assert.is_true(wait.wait_until(all_answer))
        lock = nodes:everywhere(client, "order:42", { ttl = 60 })
    end)

    after_each(function()
        lock:release()
    end)

    it("says who holds it, and what each node has", function()
        local seen, status = look "order:42"
        assert.equal(0, status)
        assert.equal("held", seen.state)
        assert.equal(3, seen.votes)
        assert.equal(lock.fence, seen.fence)
        assert.matches(" redlock nightly report$", seen.holder)
        assert.is_true(seen.ttl > 0 and seen.ttl <= 60)
        assert.is_true(seen.age >= 0 and seen.age < 60)
        for index, node in ipairs(seen.nodes) do
            assert.equal(nodes[index].url:match "//(.*)", node.node)
            assert.equal(lock.fence, node.fence)
            assert.equal(0, node.waiters)
        end
    end)

    it("says it in words that fit the width", function()
        local output, status = info "order:42"
        assert.equal(0, status)
        assert.matches("^order:42\n  held by  .*%(nightly report%), for ", output)
        assert.matches("on 3 of 3 nodes\n", output)
        assert.matches(("fence    %.0f\n"):format(lock.fence), output)
        for line in output:gmatch "[^\n]+" do
            assert.is_true(#line <= 80, line)
        end
    end)

    it("shows the token shortened, and in full only when told to", function()
        for _, output in ipairs { (info "order:42"), (info("order:42", "--json")) } do
            assert.is_nil(output:find(lock.token, 1, true))
            assert.is_truthy(output:find(lock.token:sub(1, 8) .. "..", 1, true))
        end
        assert.is_truthy((info("order:42", "--full")):find(lock.token, 1, true))
        assert.equal(lock.token, look("order:42", "--full").token)
    end)

    it("lists the waiters in the order of their arrival, from all nodes", function()
        local boxes = {}
        for index, node in ipairs(nodes) do
            boxes[index] = inbox.open(node)
        end
        local now = os.time() * 1e6
        boxes[1]:join("order:42", 7, ("%.0f"):format(now - 3e6))
        boxes[2]:join("order:42", 8, ("%.0f"):format(now - 9e6))
        local seen = look "order:42"
        assert.equal(2, #seen.queue)
        assert.equal("8", seen.queue[1].id)
        assert.equal(boxes[2].channel, seen.queue[1].inbox)
        assert.is_true(seen.queue[1].waits >= 9 and seen.queue[1].waits < 60)
        assert.equal("7", seen.queue[2].id)
        assert.equal(1, seen.queue[2].nodes)
        assert.equal(1, seen.nodes[1].waiters)
        local first = boxes[2].channel:match ":(........)" .. "/8 "
        assert.matches("place +waiter +waits +on nodes\n +1  " .. first, (info "order:42"))
    end)

    it("says who waits, if that is told", function()
        local words = { "run", "order:42", "--client-name", "a@b/c", "true" }
        local named = program.start(words, { REDLOCK_NODES = table.concat(nodes:urls(), " ") })
        assert.is_truthy(wait.wait_until(function()
            return nodes:ask(1, "ZCARD", inbox.side("order:42", "queue")) == 1
        end))
        local box = inbox.open(nodes[1])
        box:join("order:42", 7, ("%.0f"):format((os.time() + 1000) * 1e6))
        local output = info "order:42"
        local host = program.shell "hostname"
        assert.is_truthy(output:find(("\n    1  %s:%d (a@b/c) "):format(host, named.pid), 1, true))
        assert.matches("\n    2  " .. box.channel:match ":(........)" .. "/7 ", output)
        local queue = look("order:42").queue
        assert.equal(("%s:%d a@b/c"):format(host, named.pid), queue[1].waiter)
        assert.matches("^redlock:%S+$", queue[1].inbox)
        assert.is_nil(queue[2].waiter)
        named:close()
    end)

    it("believes no connection that says it is another's inbox", function()
        local box = inbox.open(nodes[1])
        box:join("order:42", 7, ("%.0f"):format(os.time() * 1e6))
        local mark = box.channel:match ":(........)"
        for _, host in ipairs { "one", "another" } do
            inbox.open(nodes[1], ("redlock@%s:1/%s"):format(host, mark))
            local told = host == "one" and "one:1 redlock" or nil
            assert.equal(told, look("order:42").queue[1].waiter)
        end
        assert.matches("\n    1  " .. mark .. "/7 ", (info "order:42"))
    end)

    it("says that there are more waiters than it lists", function()
        local many = [[for i = 1, 1500 do redis.call('ZADD', KEYS[1], i, 'redlock:x/' .. i) end]]
        nodes:ask(1, "EVAL", many, 1, inbox.side("order:42", "queue"))
        local output = info "order:42"
        assert.matches("\n 1000  x/1000 [^\n]+\n%.%.%. and 500 more$", output)
        local seen = look "order:42"
        assert.equal(1000, #seen.queue)
        assert.equal(1500, seen.nodes[1].waiters)
    end)

    it("says what is left where the lease was renewed, if one node missed that", function()
        nodes:ask(1, "PEXPIRE", "order:42", "20000")
        local seen = look "order:42"
        assert.is_true(seen.nodes[1].ttl <= 20)
        assert.equal(math.max(seen.nodes[2].ttl, seen.nodes[3].ttl), seen.ttl)
    end)

    it("says of whom it was told that the lock is free", function()
        nodes:ask(1, "SET", inbox.side("order:42", "claim"), "redlock:abc/9", "PX", "60000")
        local seen = look "order:42"
        assert.is_true(seen.queue[1].told)
        assert.equal(0, seen.queue[1].nodes)
        assert.matches("was told, and is to come", (info "order:42"))
    end)

    it("shows what a node said instead of an answer", function()
        nodes[3]:stop()
        local output, status = info "order:42"
        assert.equal(0, status)
        assert.matches("on 2 of 3 nodes", output)
        assert.matches(nodes[3].port .. "  unreachable *\n", output)
        assert.matches(nodes[3].port .. ": unreachable %(Connection refused%)", output)
        nodes[3]:restart()
    end)

    it("cannot tell when too few nodes answer", function()
        nodes[2]:stop()
        nodes[3]:stop()
        local seen, status = look "order:42"
        assert.equal("unknown", seen.state)
        assert.equal(69, status)
        nodes[2]:restart()
        nodes[3]:restart()
    end)
end)

describe("info of a lock that is not held", function()
    it("says so", function()
        local seen, status = look "nothing"
        assert.equal("free", seen.state)
        assert.equal(1, status)
        assert.matches("nobody holds it", (info "nothing"))
    end)

    it("tells what stands on too few nodes from what is held", function()
        nodes:ask(1, "SET", "left", "a token of somebody", "PX", "60000")
        local seen, status = look "left"
        assert.equal("partly", seen.state)
        assert.equal(1, seen.votes)
        assert.equal(1, status)
        assert.matches("on too few nodes", (info "left"))
    end)

    it("escapes what would move the cursor, or turn the text", function()
        local name = "a\27[31m\n\194\155\226\128\174\255ü"
        nodes:ask_all("SET", name, "t\27]0;title\7oken", "PX", "60000")
        local output, status = info(name, "--full")
        assert.equal(0, status)
        assert.is_nil(output:find "[%z\1-\9\11-\31\127]")
        assert.matches("^a\\x1b%[31m\\x0a\\xc2\\x9b\\xe2\\x80\\xae\\xffü\n", output)
        assert.matches("t\\x1b%]0;title\\x07oken", output)
        local seen = look(name, "--full")
        assert.equal("t\27]0;title\7oken", seen.token)
        assert.equal("611b5b33316d0ac29be280aeffc3bc", seen.name_hex)
    end)

    it("shows a token that is no text in hexadecimal, too, in full for programs", function()
        nodes:ask_all("SET", "order", "1234567ü\255", "PX", "60000")
        assert.matches("  token    1234567ü%.%., on 3", (info "order"))
        local seen = look("order", "--full")
        assert.equal("31323334353637c3bcff", seen.token_hex)
        assert.equal(seen.token_hex, seen.nodes[2].token_hex)
        assert.is_nil(look("order").token_hex)
    end)

    it("knows a lock of another kind", function()
        for index = 1, 3 do
            nodes:ask(index, "HSET", "redisson", "field", "1")
        end
        local output, status = info "redisson"
        assert.equal(0, status)
        assert.matches("\n  state    held by another kind of lock", output)
        assert.matches(nodes[1].port .. "  held by another kind of lock *\n", output)
        assert.equal("foreign", look("redisson").state)
    end)

    it("refuses a name that is none", function()
        local _, status, errors = info(("x"):rep(513))
        assert.equal(64, status)
        assert.matches("^redlock info: a lock's name must have 1 to 512 bytes", errors)
    end)
end)

describe("info for a user who may do no more than lock", function()
    it("says that it may not see the waiters, if there are some", function()
        local file = assert(io.open "README.md")
        local rule = assert(file:read("*a"):match "user locks (on [^\n]*)")
        file:close()
        local node = servers.start_one { users = { "locks " .. rule } }
        local url = ("redis://locks:secret@127.0.0.1:%d"):format(node.port)
        node:cli("SET", "job", "token", "PX", "60000")
        local output, status = info_of({ { url = url } }, "job")
        assert.equal(0, status)
        assert.is_nil(output:find("does not show", 1, true))
        node:cli("ZADD", inbox.side("job", "queue"), "1", "redlock:abc/1")
        output = info_of({ { url = url } }, "job")
        assert.matches("it does not show its waiters: NOPERM", output)
        assert.is_nil(output:find("secret", 1, true))
        output = info_of({ { url = url } }, "job", "--json")
        assert.matches("^it does not show its waiters", json.read(output).nodes[1].refused)
        node:cli("ACL", "SETUSER", "locks", "+zrange")
        output = info_of({ { url = url } }, "job")
        assert.matches("\n    1  abc/1 ", output)
        assert.matches("it does not say who its waiters are: NOPERM[^\n]+client|list", output)
        node:cli("ACL", "SETUSER", "locks", "+client|list")
        output = info_of({ { url = url } }, "job")
        assert.is_nil(output:find("NOPERM", 1, true))
        node:close()
    end)
end)
