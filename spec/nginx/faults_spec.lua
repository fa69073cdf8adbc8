-- nginx when things break: nodes hang, die and come back; workers crash, quit and are stopped.

local http = require "support.http"
local nginx = require "support.nginx"
local process = require "support.process"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"
local waiter = require "support.waiter"

local nodes, server, holder

-- A node that is silent fails after so many seconds. No test may need it to be much longer.
local TIMEOUT = 2.5

local function start(options)
    options = options or {}
    options.nodes = nodes:urls()
    options.client = { timeout = TIMEOUT, client_name = "worker" }
    return nginx.start(options)
end

setup(function()
    nodes = quorum.start(3)
    server = start()
    holder = nodes:client()
end)

teardown(function()
    nginx.stop_all()
    process.stop_all()
    quorum.close_clients()
    servers.stop_all()
end)

after_each(function()
    nodes:revive()
    process.stop_all()
    assert.is_nil(server:settle(nodes))
end)

local LOCK = [[
    local lock, message, code, votes = client:acquire("job", { wait = 10, ttl = 60 })
    ngx.print(lock and "mine " .. tostring(lock:release()) or message)
]]

local function works()
    return server:play(LOCK).body == "mine true"
end

-- Connections are made anew and everybody votes, without a reload.
local function recovers()
    return http.wait_until(function()
        local request = server:play [[
            local lock = client:acquire("job", { wait = 0, ttl = 60 })
            local votes = 0
            for _, node in ipairs(lock and client:info "job" or {}) do
                votes = votes + (node.token == lock.token and 1 or 0)
            end
            ngx.print(votes)
        ]]
        return request.body == tostring(#nodes)
    end)
end

local function each(first, last, action)
    for index = first, last do
        nodes[index][action](nodes[index])
    end
end

-- How a node breaks, what is said of it, and how it is mended.
local troubles = {
    { "hangs", "pause", "resume", "timed out" },
    { "is killed", "kill", "restart", "unreachable" },
}

for _, trouble in ipairs(troubles) do
    local what, break_it, mend_it, vote = trouble[1], trouble[2], trouble[3], trouble[4]

    describe("when one of three nodes " .. what, function()
        it("locks are had, and all nodes take part again when it is back", function()
            assert.is_truthy(recovers())
            each(3, 3, break_it)
            for _ = 1, 10 do
                assert.is_true(works())
            end
            each(3, 3, mend_it)
            assert.is_truthy(recovers())
        end)

        it("a lock that is held stays, and is released", function()
            local request = server:begin [[
                local lock = assert(client:acquire("job", { ttl = 3 }))
                note "ready"
                await "end"
                ngx.print(lock:held(), lock:extend(60), lock:release())
            ]]
            assert.is_truthy(server:await_note "ready")
            each(3, 3, break_it)
            nodes:ask(1, "SET", "longer than a lease", "x", "PX", 3300)
            assert.is_true(wait.wait_until(function()
                return nodes:ask(1, "EXISTS", "longer than a lease") == 0
            end))
            server:open_gate "end"
            assert.equal("truetruetrue", request:finish().body)
            each(3, 3, mend_it)
        end)
    end)

    describe("when all nodes " .. what:gsub("^is", "are"):gsub("hangs", "hang"), function()
        it("acquire fails with each node's reason, and others are served meanwhile", function()
            assert.is_truthy(recovers())
            each(1, 3, break_it)
            local request = server:begin [[
                local lock, message, code, votes = client:acquire("job", { wait = 0, ttl = 60 })
                ngx.print(code, "\n", message, "\n")
                for _, vote in ipairs(votes) do
                    ngx.print(vote.vote, "\n")
                end
            ]]
            assert.equal("plain", server:get("/plain").body)
            local body = request:finish().body
            assert.is_truthy(body:find "^unavailable\nunavailable: ", body)
            -- The verdict may be clear before the last has been heard.
            assert.is_true(select(2, body:gsub("\n" .. vote, "")) >= 2, body)
            for index = 1, 3 do
                assert.is_truthy(body:find("127.0.0.1:" .. nodes[index].port, 1, true), body)
            end
            each(1, 3, mend_it)
            assert.is_truthy(recovers())
        end)

        it("release fails with the reason, and the lock is not held", function()
            local request = server:begin [[
                local lock = assert(client:acquire("job", { ttl = 60, renew = false }))
                note "ready"
                await "end"
                local released, message, code = lock:release()
                ngx.print(tostring(released), " ", code, " ", tostring(lock:held()))
            ]]
            assert.is_truthy(server:await_note "ready")
            each(1, 3, break_it)
            server:open_gate "end"
            assert.equal("nil unavailable false", request:finish().body)
            each(1, 3, mend_it)
        end)

        it("a waiter gets the lock when they are back", function()
            assert.is_truthy(recovers())
            local lock = nodes:everywhere(holder, "job", { ttl = 12, renew = false })
            local request = server:begin [[
                local lock = assert(client:acquire("job", { wait = 60, ttl = 60 }))
                ngx.print(lock:release())
            ]]
            assert.is_true(waiter.stand(1, nodes, "job"))
            -- Answered behind the waiter's requests: so a majority has answered these, too.
            server:play [[ assert(client:info "job") ]]
            each(1, 3, break_it)
            assert.is_true(wait.wait_until(function() return not lock:held() end))
            each(1, 3, mend_it)
            assert.equal("true", request:finish().body)
        end)

        it("a hundred requests fail with reasons, and none is stuck", function()
            each(1, 3, break_it)
            local requests = {}
            for index = 1, 100 do
                requests[index] = server:begin [[
                    local lock, message, code = client:acquire("job", { wait = 20, ttl = 60 })
                    ngx.print(code)
                ]]
            end
            http.finish(requests)
            for _, request in ipairs(requests) do
                assert.equal("unavailable", request.body)
            end
            each(1, 3, mend_it)
            assert.is_truthy(recovers())
        end)
    end)
end

describe("a node that restarts empty", function()
    it("under load costs nobody a lock but an owner who stood on just a majority", function()
        local requests, answers = {}, {}
        local function keep_ten_busy()
            for index = 1, 10 do
                local request = requests[index]
                if request and request:ended() then
                    answers[#answers + 1] = request.body or request.failure
                    request = nil
                end
                requests[index] = request or server:begin(LOCK)
            end
        end
        local function serve(count)
            local goal = #answers + count
            return http.wait_until(function()
                keep_ten_busy()
                return #answers >= goal
            end)
        end
        for index = 1, 3 do
            assert.is_true(serve(50))
            nodes[index]:restart()
            assert.is_true(serve(50))
        end
        http.finish(requests)
        local lost = 0
        for _, answer in ipairs(answers) do
            if answer == "mine nil" then
                lost = lost + 1
            else
                assert.equal("mine true", answer)
            end
        end
        assert.is_true(lost <= 3, lost) -- one for each restart
    end)
end)

describe("a worker that is killed", function()
    local function kill_worker(of)
        local before = of:workers()
        of:provoke "exited on signal 9"
        nginx.signal_worker(before[1], "KILL")
        of:await_workers(before)
        assert.is_true(nginx.await_end(before))
    end

    it("leaves its locks for no longer than their leases", function()
        server:begin [[
            kept.lock = assert(client:acquire("job", { ttl = 2 }))
            note "ready"
            await "never"
        ]]
        assert.is_truthy(server:await_note "ready")
        kill_worker(server)
        assert.is_true(nodes:ask(1, "PTTL", "job") <= 2000)
        assert(assert(holder:acquire("job", { wait = 20 })):release())
        assert.is_true(works())
    end)

    it("does not keep the waiters behind it from being woken", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        server:begin [[ client:acquire("job", { wait = 60, ttl = 60 }) ]]
        assert.is_true(waiter.stand(1, nodes, "job"))
        local following = waiter.start {
            nodes = nodes:urls(), name = "job", wait = 30, ttl = 60, linger = true,
        }
        assert.is_true(waiter.stand(2, nodes, "job"))
        kill_worker(server)
        assert(lock:release())
        assert.is_truthy(following:wait_line("acquired", 10))
        assert.is_truthy(following:wait_line("released", 10))
    end)

    it("takes its connections with it", function()
        assert.is_true(works())
        assert.is_true(nginx.connections(nodes[1], "worker") > 0)
        kill_worker(server)
        assert.is_true(wait.wait_until(function()
            return nginx.connections(nodes[1], "worker") == 0
        end))
    end)
end)

describe("nginx that is told to", function()
    local HOLD = [[
        kept.lock = assert(client:acquire("job", { ttl = 60, detach = true }))
        note "ready"
    ]]

    local another

    before_each(function()
        another = start { workers = 2 }
    end)

    local function begin_holding(how)
        another:begin(HOLD .. how)
        assert.is_truthy(another:await_note "ready")
    end

    local function ends()
        return nginx.await_end { another.master }
    end

    local function is_free()
        return nodes:comes_to(0, "job", 10)
    end

    it("quit gives back what no request holds any more, and leaves no process", function()
        local workers = another:workers()
        begin_holding ""
        another:signal "QUIT"
        assert.is_true(ends())
        assert.is_true(nginx.await_end(workers))
        assert.is_true(is_free())
        assert.is_nil(another:unprovoked())
    end)

    it("quit lets requests end that hold a lock and that wait for it", function()
        local code = [[
            local lock = assert(client:acquire("job", { wait = 60, ttl = 4 }))
            note "ready"
            await "end"
            ngx.print(lock:held(), lock:release())
        ]]
        local first = another:begin(code)
        assert.is_truthy(another:await_note "ready")
        local second = another:begin(code)
        another:begin [[
            note "third"
            while not ngx.worker.exiting() do
                ngx.sleep(0.01)
            end
            ngx.shared.gates:set("end", true)
        ]]
        assert.is_truthy(another:await_note "third")
        assert.is_true(waiter.stand(1, nodes, "job"))
        another:signal "QUIT"
        assert.equal("truetrue", first:finish().body)
        assert.equal("truetrue", second:finish().body)
        assert.is_true(ends())
        assert.is_nil(another:unprovoked())
    end)

    it("stop gives back what is held, with the requests that hold it", function()
        begin_holding "await 'never'"
        another:signal "TERM"
        assert.is_true(ends())
        assert.is_true(is_free())
        assert.is_nil(another:unprovoked())
    end)

    it("stop takes waiters off the queue", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        another:begin [[ client:acquire("job", { wait = 60, ttl = 60 }) ]]
        assert.is_true(waiter.stand(1, nodes, "job"))
        another:signal "TERM"
        assert.is_true(ends())
        assert.is_true(waiter.stand(0, nodes, "job"))
        assert(lock:release())
        assert.is_true(is_free())
    end)

    for _, signal in ipairs { "QUIT", "TERM" } do
        it(signal .. " ends though no node answers", function()
            begin_holding ""
            each(1, 3, "pause")
            another:signal(signal)
            assert.is_true(ends())
            each(1, 3, "resume")
            nodes:ask_all("DEL", "job")
            assert.is_nil(another:unprovoked())
        end)
    end
end)

describe("a worker that is short of connections", function()
    local FEW = 64
    local short

    -- Takes all connections that there are, lets go of some, and uses locks for a while.
    local CODE = [[
        local taken = {}
        repeat
            local socket = ngx.socket.tcp()
            taken[#taken + 1] = socket:connect("127.0.0.1", %d) and socket or nil
        until taken[#taken] ~= socket
        for _ = 1, %d do
            table.remove(taken):close()
        end
        local function use()
            for _ = 1, 30 do
                local lock = assert(client:acquire("job", { wait = 10, ttl = 60 }))
                ngx.sleep(0.01)
                assert(lock:extend(90))
                assert(lock:release())
            end
        end
        local ok, message = pcall(use)
        for _, socket in ipairs(taken) do
            socket:close()
        end
        ngx.print(#taken > 20, " ", ok, " ", message)
    ]]

    setup(function()
        short = start { connections = FEW }
    end)

    after_each(function()
        assert.is_nil(short:settle(nodes))
    end)

    for free = 0, 4 do
        it("and has " .. free .. " left serves locks, and complains little", function()
            short:provoke "connections are not enough"
            short:tolerate "could not create fake connection"
            local request = short:play(CODE:format(nodes[1].port, free))
            assert.equal("true true nil", request.body)
            local count = short:count_logged "connections are not enough"
            assert.is_true(count < 20, count)
            short:reload() -- the next is to be a worker that never used a lock
        end)
    end
end)
