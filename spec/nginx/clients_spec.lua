-- nginx with many clients: several in one worker, one in each of several workers, a new one in each request.

local certificates = require "support.certificates"
local http = require "support.http"
local nginx = require "support.nginx"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local WORKERS = 2

local nodes, server, uncached, uncached_at_first, holder

-- Clients with nodes of their own, beside the one that the specs play with.
local CLIENTS = [[
    CLIENTS = {}
    for index, urls in ipairs {urls} do
        CLIENTS[index] = redlock.new {
            nodes = urls, timeout = 10, restart_guard = false, client_name = "client" .. index,
        }
    end
]]

local function list(urls)
    return "{ '" .. table.concat(urls, "', '") .. "' }"
end

local function url_lists()
    local urls = nodes:urls()
    return ("{ %s, %s, %s }"):format(list { urls[1] }, list { urls[2] }, list(urls))
end

-- Fills in the nodes' URLs.
local function with_urls(code)
    return (code:gsub("{urls}", function() return list(nodes:urls()) end))
end

-- What the workers have of each kind.
local function resources(of)
    local sums = { descriptors = 0, threads = 0 }
    for _, pid in ipairs(of:workers()) do
        sums.descriptors = sums.descriptors + nginx.descriptors(pid)
        sums.threads = sums.threads + nginx.threads(pid)
    end
    return sums
end

setup(function()
    nodes = quorum.start(3)
    server = nginx.start {
        nodes = nodes:urls(),
        init = "local redlock = require 'redlock' " .. CLIENTS, values = { urls = url_lists() },
    }
    uncached = nginx.start {
        nodes = nodes:urls(), workers = WORKERS, http = "lua_code_cache off;",
        client = { client_name = "uncached" },
    }
    uncached:provoke "lua_code_cache is off"
    uncached_at_first = resources(uncached)
    holder = nodes:client()
end)

teardown(function()
    nginx.stop_all()
    certificates.remove_all()
    quorum.close_clients()
    servers.stop_all()
end)

after_each(function()
    assert.is_nil(server:settle(nodes))
    assert.is_nil(uncached:settle(nodes))
end)

-- Whether nothing of what was used since is left.
local function comes_back_to(before, of)
    local now
    return http.wait_until(function()
        now = resources(of)
        return now.descriptors <= before.descriptors and now.threads <= before.threads
    end) or ("%d descriptors, %d threads; before %d, %d"):format(
        now.descriptors, now.threads, before.descriptors, before.threads)
end

describe("clients of different nodes in one worker", function()
    it("have locks of one name each, on their own nodes", function()
        local request = server:begin [[
            for index = 1, 2 do
                kept[index] = assert(CLIENTS[index]:try("job", { ttl = 60 }))
            end
            note(kept[1].token, kept[2].token)
            await "end"
            ngx.print(kept[1]:release(), kept[2]:release())
        ]]
        local said = server:await_note "."
        local values = nodes:values "job"
        assert.equal(said, ("%s | %s"):format(values[1], values[2]))
        assert.is_nil(values[3])
        server:open_gate "end"
        assert.equal("truetrue", request:finish().body)
    end)

    it("exclude one another where their nodes are a majority of the others'", function()
        local request = server:play [[
            local first = assert(CLIENTS[1]:try("job", { ttl = 60 }))
            local second = assert(CLIENTS[2]:try("job", { ttl = 60 }))
            local third, _, code = CLIENTS[3]:try "job"
            ngx.print(tostring(third), " ", code)
            first:release()
            second:release()
            ngx.print(" ", assert(CLIENTS[3]:try "job"):release())
        ]]
        assert.equal("nil locked true", request.body)
    end)

    it("wait side by side, and each is woken by its own nodes", function()
        local lock = nodes:everywhere(holder, "job", { ttl = 60 })
        local requests = {}
        for index = 1, 3 do
            requests[index] = server:begin(([[
                local lock = assert(CLIENTS[%d]:acquire("job", { wait = 60, ttl = 60 }))
                ngx.print(lock:release())
            ]]):format(index))
        end
        assert.is_true(http.wait_until(function()
            return nodes:ask(1, "ZCARD", "{job}:queue") == 2
                and nodes:ask(2, "ZCARD", "{job}:queue") == 2
                and nodes:ask(3, "ZCARD", "{job}:queue") == 1
        end))
        assert(lock:release())
        http.finish(requests)
        for _, request in ipairs(requests) do
            assert.equal("true", request.body)
        end
    end)

    it("have a thread and at most two connections a node each", function()
        local worker = server:workers()[1]
        local USE_ALL = [[
            for _, client in ipairs(CLIENTS) do
                assert(assert(client:acquire "warm"):release())
            end
            ngx.print "used"
        ]]
        assert.equal("used", server:play(USE_ALL).body)
        local threads = nginx.threads(worker)
        local requests = {}
        for index = 1, 30 do
            requests[index] = server:begin(USE_ALL)
        end
        http.finish(requests)
        assert.equal(threads, nginx.threads(worker))
        for index = 1, 3 do
            for node = 1, 3 do
                local count = nginx.connections(nodes[node], "client" .. index)
                assert.is_true(count <= 2, count)
            end
        end
    end)

    it("may be closed: what one holds goes, who waits fails, and the others go on", function()
        local lock = assert(holder:acquire("job", { ttl = 60 }))
        local request = server:begin(with_urls [[
            local another = redlock.new { nodes = {urls}, timeout = 10 }
            local own = assert(another:acquire("own", { ttl = 60, detach = true }))
            local kept_one = assert(client:acquire("kept", { ttl = 60 }))
            local waits = ngx.thread.spawn(function()
                return select(3, another:acquire("job", { wait = 60, ttl = 60 }))
            end)
            note "ready"
            await "close"
            another:close()
            local _, code = ngx.thread.wait(waits)
            ngx.print(code, " ", own:held(), " ", select(3, another:try "job"), " ",
                kept_one:held(), " ", kept_one:release())
        ]])
        assert.is_truthy(server:await_note "ready")
        assert.is_true(http.wait_until(function()
            return nginx.queue_length(nodes, "job") == 1
        end))
        server:open_gate "close"
        assert.equal("closed false closed true true", request:finish().body)
        assert.is_true(nodes:comes_to(0, "own", 10))
        assert(lock:release())
    end)
end)

describe("a client that a request makes", function()
    local MAKE = [[
        local own = redlock.new { nodes = {urls}, timeout = 10, client_name = "short" }
        local lock = assert(own:acquire("own" .. ngx.var.connection, { ttl = 60 }))
        ngx.print(lock:release())
    ]]

    local function play_often(code)
        local requests = {}
        for index = 1, 50 do
            requests[index] = server:begin(with_urls(code))
        end
        http.finish(requests)
        for _, request in ipairs(requests) do
            assert.equal("true", request.body)
        end
    end

    local function is_gone()
        return http.wait_until(function()
            return nginx.connections(nodes[1], "short") == 0
        end)
    end

    it("leaves nothing when it is closed", function()
        server:play [[ assert(client:acquire "warm"):release() ]]
        local before = resources(server)
        play_often(MAKE .. " own:close()")
        assert.is_true(comes_back_to(before, server))
        assert.is_truthy(is_gone())
    end)

    it("leaves nothing when it is garbage", function()
        server:play [[ assert(client:acquire "warm"):release() ]]
        local before = resources(server)
        play_often(MAKE)
        server:play "collectgarbage() collectgarbage()"
        assert.is_true(comes_back_to(before, server))
        assert.is_truthy(is_gone())
    end)
end)

describe("a client", function()
    it("reaches its node by name, or over a Unix socket", function()
        for _, url in ipairs { "redis://localhost:" .. nodes[1].port, nodes[1].unix_url } do
            local request = server:play(([[
                local own = redlock.new { nodes = { "%s" }, timeout = 10 }
                local lock = assert(own:acquire("job", { ttl = 60 }))
                ngx.print(client:info("job")[1].token == lock.token, lock:release())
                own:close()
            ]]):format(url))
            assert.equal("truetrue", request.body)
        end
    end)

    it("speaks TLS, beside nginx's own", function()
        local issued = certificates.new_authority():issue("node", "DNS:localhost,IP:127.0.0.1")
        local node = servers.start_one { tls = issued }
        local request = server:play(([[
            local own = redlock.new("%s", { tls_ca_file = "%s", timeout = 10 })
            local first = assert(own:acquire("job", { ttl = 60 }))
            local _, _, code = own:try "job"
            ngx.print(code, first:extend(90), first:release())
            own:close()
        ]]):format(node.url, issued.ca))
        node:close()
        assert.equal("lockedtruetrue", request.body)
    end)
end)

describe("without a master process", function()
    it("the client of init_by_lua serves", function()
        local lone = nginx.start { nodes = nodes:urls(), main = "master_process off;", workers = 0 }
        local code = [[
            local lock = assert(client:acquire("job", { wait = 60, ttl = 60 }))
            ngx.sleep(0.001)
            ngx.print(lock:held(), lock:release())
        ]]
        local requests = {}
        for index = 1, 20 do
            requests[index] = lone:begin(code)
        end
        http.finish(requests)
        for _, request in ipairs(requests) do
            assert.equal("truetrue", request.body)
        end
        lone:play [[ kept.lock = assert(client:acquire("job", { ttl = 60, detach = true })) ]]
        lone:signal "QUIT"
        assert.is_true(nginx.await_end { lone.master })
        assert.is_true(nodes:comes_to(0, "job"))
        assert.is_nil(lone:unprovoked())
    end)
end)

describe("with lua_code_cache off", function()
    local function play_many(count, code)
        local requests = {}
        for index = 1, count do
            requests[index] = uncached:begin(code)
        end
        http.finish(requests)
        return requests
    end

    it("locks exclude one another, in turn", function()
        local requests = play_many(30, [[
            local lock = assert(client:acquire("job", { wait = 60, ttl = 60 }))
            local inside = ngx.shared.gates:incr("inside", 1, 0)
            ngx.sleep(0.001)
            ngx.shared.gates:incr("inside", -1)
            ngx.print(inside, " ", lock:release())
        ]])
        for _, request in ipairs(requests) do
            assert.equal("1 true", request.body)
        end
    end)

    it("a lock that is left behind goes with its request", function()
        assert.equal("true", uncached:play([[
            ngx.print(assert(client:acquire("job", { ttl = 60 })):held())
        ]]).body)
        assert.is_true(nodes:comes_to(0, "job", 10))
    end)

    it("a lock that is waited for goes to the next when its holder's request fails", function()
        uncached:provoke "on purpose"
        local dying = uncached:begin [[
            local lock = assert(client:acquire("job", { ttl = 60 }))
            note "ready"
            await "end"
            error "on purpose"
        ]]
        assert.is_truthy(uncached:await_note "ready")
        local following = uncached:begin [[
            ngx.print(assert(client:acquire("job", { wait = 60, ttl = 60 })):release())
        ]]
        assert.is_true(http.wait_until(function()
            return nginx.queue_length(nodes, "job") == 1
        end))
        uncached:open_gate "end"
        dying:finish()
        assert.equal("true", following:finish().body)
    end)

    it("threads, descriptors and connections of a request do not stay", function()
        for _, request in ipairs(play_many(50, [[
            ngx.print(assert(client:acquire("own" .. ngx.var.connection, { ttl = 60 })):release())
        ]])) do
            assert.equal("true", request.body)
        end
        assert.is_true(comes_back_to(uncached_at_first, uncached))
        assert.is_true(wait.wait_until(function()
            return nginx.connections(nodes[1], "uncached") == 0
        end))
    end)
end)
