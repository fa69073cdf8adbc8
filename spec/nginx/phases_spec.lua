-- nginx, phase by phase: where a lock call yields the light thread, and what it says where nothing can yield.

local certificates = require "support.certificates"
local http = require "support.http"
local nginx = require "support.nginx"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local unpack = table.unpack or unpack

local nodes, server, holder, authority
local values = {} -- of the configuration

local LISTEN = [[
    listen 127.0.0.1:{tls_port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_certificate_by_lua_block { require("support.stage").play_told "ssl_certificate" }
    server_rewrite_by_lua_block { require("support.stage").play("first", "server_rewrite") }
]]

local SERVER = [[
    location /balanced {
        access_by_lua_block { require("support.stage").play("first", "access") }
        proxy_pass http://balanced;
    }
]]

local HTTP = [[
    upstream balanced {
        server 127.0.0.1:1;
        balancer_by_lua_block {
            require("support.stage").play("first", "balancer")
            assert(require("ngx.balancer").set_current_peer("127.0.0.1", {plain_port}))
        }
    }
    server {
        listen 127.0.0.1:{plain_port};
        location / { return 200 balanced; }
    }
    server {
        listen 127.0.0.1:{h2_port} ssl http2;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location /first {
            content_by_lua_block { require("support.stage").play_content "first" }
        }
    }
]]

setup(function()
    nodes = quorum.start(1)
    authority = certificates.new_authority()
    local issued = authority:issue("localhost", "DNS:localhost,IP:127.0.0.1")
    values = {
        certificate = issued.cert, key = issued.key, tls_port = nginx.free_port(),
        plain_port = nginx.free_port(), h2_port = nginx.free_port(),
    }
    server = nginx.start {
        nodes = nodes:urls(), listen = LISTEN, server = SERVER, http = HTTP, values = values,
    }
    holder = nodes:client()
end)

teardown(function()
    nginx.stop_all()
    quorum.close_clients()
    servers.stop_all()
    certificates.remove_all()
end)

after_each(function()
    assert.is_nil(server:settle(nodes))
end)

local function hold(options)
    return assert(holder:acquire("job", options or { ttl = 60 }))
end

local function is_free()
    return nodes:comes_to(0, "job")
end

-- Whether so many stand in the queue of the lock.
local function waits(count)
    return http.wait_until(function()
        return nginx.queue_length(nodes, "job") == count
    end) == true
end

-- `play_in(code)` has the phase play it, and returns the request that does so, if it is one of ours.
local yielding = {}

for _, phase in ipairs { "server_rewrite", "rewrite", "access", "content" } do
    yielding[phase] = function(code)
        return server:begin { [phase] = code }
    end
end

yielding["timer"] = function(code)
    return server:begin(("assert(ngx.timer.at(0, function() %s end))"):format(code))
end

yielding["light thread"] = function(code)
    return server:begin(([[
        assert(ngx.thread.wait(ngx.thread.spawn(function() %s end)))
    ]]):format(code))
end

yielding["coroutine"] = function(code)
    return server:begin(([[
        assert(coroutine.resume(coroutine.create(function() %s end)))
    ]]):format(code))
end

yielding["subrequest"] = function(code)
    return server:begin {
        content = [[ ngx.print(ngx.location.capture("/second").body) ]],
        second = { content = code },
    }
end

yielding["ssl_certificate"] = function(code)
    server:tell("ssl_certificate", code)
    local url = ("https://127.0.0.1:%d/plain"):format(values.tls_port)
    assert(os.execute(("(%s) >/dev/null 2>&1 &"):format(
        http.curl_command("--insecure", "--max-time", "20", url))))
end

local function names_of(places)
    local names = {}
    for name in pairs(places) do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end

for _, where in ipairs(names_of(yielding)) do
    local play_in = yielding[where]
    describe("in " .. where, function()
        it("a lock is acquired, extended and released", function()
            play_in [[
                local lock = assert(client:acquire("job", { ttl = 60 }))
                note("acquired", lock:held(), lock:extend(90), lock:remaining() > 80)
                note("released", lock:release(), lock:held())
            ]]
            assert.is_truthy(server:await_note "^released")
            local said = { "acquired | true | true | true", "released | true | false" }
            assert.same(said, server:notes())
        end)

        it("with() holds the lock for its body, and info() sees it", function()
            play_in [[
                local ok, token, own = client:with("job", function(lock)
                    return client:info("job")[1].token, lock.token
                end)
                note(ok, token == own, client:info("job")[1].token)
            ]]
            assert.equal("true | true | nil", server:await_note ".")
        end)

        it("list() sees a lock, and break_lock() takes it away", function()
            play_in [[
                local lock = assert(client:acquire("job", { ttl = 60 }))
                local seen = assert(client:list "j*")
                note(#seen, seen[1].token == lock.token, client:list("j*", {
                    progress = function(progress) return progress.pages < 1 end,
                })[1].name)
                local ok, report = client:break_lock "job"
                note(ok, report.token == lock.token, (select(3, client:break_lock "job")))
            ]]
            assert.is_truthy(server:await_note "lost$")
            assert.same({ "1 | true | job", "true | true | lost" }, server:notes())
        end)

        it("try() says who holds a lock, as everywhere", function()
            local lock = hold()
            play_in [[
                local lock, message, code, votes = client:try "job"
                note(lock, code, votes[1].vote, message)
            ]]
            local said = server:await_note "."
            assert.is_truthy(said:find '^nil | locked | held | locked: "job" is held', said)
            assert(lock:release())
        end)

        it("the worker serves others while a lock is waited for", function()
            local lock = hold()
            play_in [[
                local lock = assert(client:acquire("job", { wait = 60, ttl = 60 }))
                note("mine", lock:held(), lock:release())
            ]]
            assert.is_true(waits(1))
            assert.equal("plain", server:get("/plain").body)
            assert(lock:release())
            assert.equal("mine | true | true", server:await_note ".")
        end)
    end)
end

-- Where nothing can yield. What a phase plays has a lock of the same request in `kept.lock`.
local fixed = {}

local ACQUIRED = [[
    kept.lock = kept.lock or assert(client:acquire("held", { ttl = 60, detach = true }))
]]

for _, phase in ipairs { "header_filter", "body_filter", "log" } do
    fixed[phase] = function(code)
        return server:play { access = ACQUIRED, [phase] = code }
    end
end

fixed["set"] = function(code)
    return server:play { server_rewrite = ACQUIRED, set = code }
end

fixed["balancer"] = function(code)
    return server:play({ access = ACQUIRED, balancer = code }, { path = "/balanced" })
end

fixed["exit_worker"] = function(code)
    server:play(ACQUIRED)
    server:tell("exit_worker", code)
    assert.is_true(nginx.await_end((server:reload())))
end

for _, phase in ipairs(names_of(fixed)) do
    local play_in = fixed[phase]
    describe("in " .. phase, function()
        -- The calls that would have to wait.
        local calls = {
            acquire = 'client:acquire("job", { wait = 1 })',
            try = 'client:try "job"',
            with = 'client:with("job", function() note "ran" end)',
            info = 'client:info "job"',
            list = 'client:list()',
            ["break"] = 'client:break_lock "job"',
            extend = "kept.lock:extend(90)",
        }

        it("what would have to wait fails and says why", function()
            local codes = {}
            for name, call in pairs(calls) do
                codes[#codes + 1] = ([[
                    local result, message, code, votes = %s
                    note("%s", result, code, type(votes), message)
                ]]):format(call, name)
            end
            play_in(("do %s end kept.lock:release()"):format(table.concat(codes, " end do ")))
            assert.is_true(nodes:comes_to(0, "held"))
            for name in pairs(calls) do
                local said = server:await_note("^" .. name)
                local pattern = ("^%s | nil | unavailable | table | unavailable: .*in the %s phase")
                assert.is_truthy(said and said:find(pattern:format(name, phase)), said)
            end
            assert.equal(7, #server:notes())
        end)

        it("a lock is released, and the nodes are told", function()
            play_in [[ note(kept.lock:release(), kept.lock:held()) ]]
            assert.equal("true | false", server:await_note ".")
            assert.is_true(nodes:comes_to(0, "held"))
        end)
    end)
end

describe("a release that cannot wait", function()
    it("wakes the next in the queue", function()
        server:begin [[
            kept.lock = assert(client:acquire("job", { ttl = 60, detach = true }))
            note "first"
        ]]
        assert.is_truthy(server:await_note "first")
        server:begin [[ note("second", client:acquire("job", { wait = 60 })) ]]
        assert.is_true(waits(1))
        server:play { log = "kept.lock:release()" }
        assert.equal("second | lock", server:await_note "second")
    end)

    it("says of a lease that is over that it is lost", function()
        server:play {
            content = [[
                ngx.ctx.lock = assert(client:acquire("job", { ttl = 1.5, renew = false }))
                while ngx.ctx.lock:held() do
                    ngx.sleep(0.01)
                end
            ]],
            log = [[
                local released, message, code = ngx.ctx.lock:release()
                note(released, code, message)
            ]],
        }
        local said = server:await_note "."
        assert.is_truthy(said:find "^nil | lost | lost: ", said)
    end)

    it("of a lock that is released already is no error", function()
        server:play {
            content = [[
                ngx.ctx.lock = assert(client:acquire "job")
                assert(ngx.ctx.lock:release())
            ]],
            log = "note(ngx.ctx.lock:release())",
        }
        assert.equal("true", server:await_note ".")
    end)
end)

describe("init_by_lua", function()
    it("makes the client, and starts no thread and no connection in the master", function()
        assert.equal(1, nginx.threads(server.master))
        local sockets = 0
        for link in io.popen(("readlink /proc/%d/fd/*"):format(server.master)):lines() do
            sockets = sockets + (link:find "^socket:" and 1 or 0)
        end
        local listeners_and_channels = 4 + 2
        assert.is_true(sockets <= listeners_and_channels, sockets)
    end)

    it("cannot acquire: it says so", function()
        server:tell("init", [[
            local lock, message, code = client:acquire "job"
            note("init", lock, code, message)
        ]])
        server:reload()
        local said = server:await_note "^init"
        local pattern = "^init | nil | unavailable | unavailable: .*in the init phase"
        assert.is_truthy(said:find(pattern), said)
    end)
end)

describe("init_worker_by_lua", function()
    it("cannot acquire: it says so", function()
        server:tell("init_worker", [[
            local lock, message, code = client:acquire "job"
            note("worker", lock, code, message)
        ]])
        server:reload()
        local said = server:await_note "^worker"
        local pattern = "^worker | nil | unavailable | unavailable: .*in the init_worker phase"
        assert.is_truthy(said:find(pattern), said)
    end)

    it("uses the client through a timer", function()
        server:tell("init_worker", [[
            assert(ngx.timer.at(0, function()
                local lock = assert(client:acquire("job", { ttl = 60 }))
                note("worker", lock:held(), lock:extend(90), lock:release())
            end))
        ]])
        server:reload()
        assert.equal("worker | true | true | true", server:await_note "^worker")
    end)

    it("takes a lock that one of all workers gets", function()
        server:tell("init_worker", [[
            assert(ngx.timer.at(0, function()
                kept.lock = client:try("once", { ttl = 60, detach = true })
                note(kept.lock and "got it" or "did not")
            end))
        ]])
        server:reload()
        assert.is_truthy(server:await_note "got it")
        server:reload() -- the lock goes with the worker that holds it
        assert.is_true(wait.wait_until(function() return #server:notes() == 2 end))
        server:tell("init_worker", "kept.lock = nil")
        assert.is_true(nginx.await_end((server:reload())))
    end)
end)

describe("light threads of one request", function()
    it("get one lock in turn, and several locks at once", function()
        local request = server:play [[
            local inside, most, all = 0, 0, 0
            local function tenure()
                local lock = assert(client:acquire("job", { wait = 60 }))
                inside, all = inside + 1, all + 1
                most = math.max(most, inside)
                ngx.sleep(0.001)
                inside = inside - 1
                assert(lock:release())
            end
            local function own(number)
                return assert(assert(client:acquire("own" .. number)):release())
            end
            local threads = {}
            for number = 1, 20 do
                threads[number] = ngx.thread.spawn(tenure)
                threads[20 + number] = ngx.thread.spawn(own, number)
            end
            for _, thread in ipairs(threads) do
                assert(ngx.thread.wait(thread))
            end
            ngx.print(most, " ", all)
        ]]
        assert.equal("1 20", request.body)
    end)

    it("share a lock object: one of them acquires it", function()
        local request = server:play [[
            local lock = client:lock("job", { wait = 60 })
            local function acquire()
                local mine, message, code = lock:acquire()
                return mine and "mine" or code
            end
            local one, other = ngx.thread.spawn(acquire), ngx.thread.spawn(acquire)
            local _, first = ngx.thread.wait(one)
            local _, second = ngx.thread.wait(other)
            ngx.print(first, " ", second, " ", lock:release())
        ]]
        assert.equal("mine locked true", request.body)
    end)
end)

describe("subrequests", function()
    it("that run side by side get one lock in turn", function()
        local request = server:play {
            content = [[
                local all = {}
                for number = 1, 10 do
                    all[number] = { "/second" }
                end
                local answers = { ngx.location.capture_multi(all) }
                for _, answer in ipairs(answers) do
                    ngx.print(answer.body)
                end
            ]],
            second = {
                content = [[
                    local lock = assert(client:acquire("job", { wait = 60 }))
                    kept.inside = (kept.inside or 0) + 1
                    local inside = kept.inside
                    ngx.sleep(0.001)
                    kept.inside = kept.inside - 1
                    assert(lock:release())
                    ngx.print(inside)
                ]],
            },
        }
        assert.equal(("1"):rep(10), request.body)
    end)

    it("leave no lock behind when the request is over", function()
        local request = server:play {
            content = [[ ngx.print(ngx.location.capture("/second").body) ]],
            second = {
                content = [[
                    kept.lock = assert(client:acquire("job", { ttl = 60 }))
                    ngx.print(kept.lock:held())
                ]],
            },
        }
        assert.equal("true", request.body)
        assert.is_true(is_free())
    end)
end)

describe("the host that is named", function()
    local OF_NODE = "local named = redlock.new { nodes = { '%s' }, host = '%s', timeout = 10 } "

    local function of_node(host)
        return OF_NODE:format(nodes[1].url, host)
    end

    it("is nginx: as by itself", function()
        local request = server:play(of_node "nginx" .. [[
            ngx.print(assert(named:acquire "job"):release())
        ]])
        assert.equal("true", request.body)
    end)

    it("is blocking: it needs no phase that can yield", function()
        server:play {
            log = of_node "blocking" .. [[
                local lock = assert(named:acquire("job", { ttl = 60 }))
                note(lock:held(), lock:extend(90), lock:release())
                named:close()
            ]],
        }
        assert.equal("true | true | true", server:await_note ".")
    end)
end)

describe("HTTP/2", function()
    -- Has curl play it in some streams of one connection.
    local function play_in_streams(count, play)
        local arguments = { "--http2", "--insecure", "--parallel", "--max-time", "20" }
        for name, value in pairs(nginx.play_headers(play)) do
            arguments[#arguments + 1] = "--header"
            arguments[#arguments + 1] = ("%s: %s"):format(name, value)
        end
        for _ = 1, count do
            arguments[#arguments + 1] = ("https://127.0.0.1:%d/first"):format(values.h2_port)
        end
        return http.curl(unpack(arguments))
    end

    it("streams of one connection get one lock in turn", function()
        local output = play_in_streams(10, [[
            local lock = assert(client:acquire("job", { wait = 60 }))
            kept.inside = (kept.inside or 0) + 1
            local inside = kept.inside
            ngx.sleep(0.01)
            kept.inside = kept.inside - 1
            assert(lock:release())
            ngx.print("inside ", inside, " of connection ", ngx.var.connection)
        ]])
        local alone, connections = 0, {}
        local _, answered = output:gsub("\n200 2\n", "")
        assert.equal(10, answered, output)
        -- What curl writes of one answer may stand in the middle of another.
        for inside, connection in output:gmatch "inside (%d+) of connection (%d+)" do
            alone = alone + (inside == "1" and 1 or 0)
            connections[connection] = true
        end
        assert.equal(10, alone, output)
        local first = next(connections)
        assert.is_nil(next(connections, first), output)
    end)

    it("a stream that ends gives back what it holds", function()
        local output = play_in_streams(1, [[
            kept.lock = assert(client:acquire("job", { ttl = 60 }))
            ngx.print(kept.lock:held())
        ]])
        assert.is_truthy(output:find "true\n200 2\n", output)
        assert.is_true(is_free())
    end)
end)
