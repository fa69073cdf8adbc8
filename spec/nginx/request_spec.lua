-- nginx: a lock ends with its request, and a waiter leaves the queue, whatever way the request ends.

local fault = require "support.fault"
local http = require "support.http"
local nginx = require "support.nginx"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local nodes, server, holder, proxy

local LONG = 60 -- seconds: leases and waits that no test outlives

setup(function()
    nodes = quorum.start(1)
    proxy = fault.proxy(nodes[1])
    server = nginx.start {
        nodes = nodes:urls(),
        http = "lua_check_client_abort on;",
        server = [[
            server_rewrite_by_lua_block { require("support.stage").play("first", "server_rewrite") }
            location /dead_end {
                access_by_lua_block { require("support.stage").play("first", "access") }
                proxy_pass http://127.0.0.1:{nobody};
            }
        ]],
        values = { nobody = nginx.free_port() },
    }
    holder = nodes:client()
end)

teardown(function()
    nginx.stop_all()
    quorum.close_clients()
    fault.stop_all()
    servers.stop_all()
end)

after_each(function()
    proxy:clear()
    assert.is_nil(server:settle(nodes))
end)

local function waits(count)
    return http.wait_until(function()
        return nginx.queue_length(nodes, "job") == count
    end) == true
end

local function is_free()
    return nodes:comes_to(0, "job", 10)
end

-- The ways in which a request can end, after `{before}`. `kills`: also while another of its light threads
-- is at work; `error`: what is logged; `aborts`: the client does it.
local ways = {
    {
        name = "comes to its end",
        play = { content = "{before}" },
    },
    {
        name = "fails in rewrite",
        play = { rewrite = "{before} error 'on purpose'" }, error = "on purpose", kills = true,
    },
    {
        name = "fails in access",
        play = { access = "{before} error 'on purpose'" }, error = "on purpose", kills = true,
    },
    {
        name = "fails in content",
        play = { content = "{before} error 'on purpose'" }, error = "on purpose", kills = true,
    },
    {
        name = "fails in header_filter",
        play = { content = "{before}", header_filter = "error 'on purpose'" },
        error = "on purpose",
    },
    {
        name = "fails in body_filter",
        play = { content = "{before}", body_filter = "error 'on purpose'" }, error = "on purpose",
    },
    {
        name = "fails in log",
        play = { content = "{before}", log = "error 'on purpose'" }, error = "on purpose",
    },
    {
        name = "has an upstream that is not there",
        play = { access = "{before}" }, path = "/dead_end", error = "connect%(%) failed",
    },
    {
        name = "exits in server_rewrite",
        play = { server_rewrite = "{before} ngx.exit(403)" }, kills = true,
    },
    {
        name = "exits in rewrite",
        play = { rewrite = "{before} ngx.exit(403)" }, kills = true,
    },
    {
        name = "exits in access",
        play = { access = "{before} ngx.exit(403)" }, kills = true,
    },
    {
        name = "exits in content",
        play = { content = "{before} ngx.exit(503)" }, kills = true,
    },
    {
        name = "exits after its answer",
        play = { content = "{before} ngx.say 'said' ngx.exit(200)" }, kills = true,
    },
    {
        name = "exits without an answer",
        play = { content = "{before} ngx.exit(444)" }, kills = true,
    },
    {
        name = "exits in header_filter",
        play = { content = "{before} ngx.say 'said'", header_filter = "ngx.exit(403)" },
    },
    {
        name = "exits in a light thread",
        play = { content = "{before} ngx.thread.wait(ngx.thread.spawn(ngx.exit, 503))" },
        kills = true,
    },
    {
        name = "redirects",
        play = { access = "{before} ngx.redirect '/plain'" }, kills = true,
    },
    {
        name = "goes on elsewhere by ngx.exec, in Lua,",
        play = {
            content = "{before} ngx.exec '/second'",
            second = { content = "ngx.say 'there'" },
        },
        kills = true,
    },
    {
        name = "goes on elsewhere by ngx.exec, without Lua,",
        play = { rewrite = "{before} ngx.exec '/plain'" }, kills = true,
    },
    {
        name = "goes on elsewhere by ngx.req.set_uri",
        play = { rewrite = "{before} ngx.req.set_uri('/plain', true)" }, kills = true,
    },
    {
        name = "is a subrequest and fails",
        play = {
            content = "ngx.location.capture '/second'",
            second = { content = "{before} error 'on purpose'" },
        },
        error = "on purpose", kills = true,
    },
    {
        name = "is aborted by its client in access",
        play = { access = "{before} await 'never'" }, aborts = true, kills = true,
    },
    {
        name = "is aborted by its client in content",
        play = { content = "{before} await 'never'" }, aborts = true, kills = true,
    },
    {
        name = "is aborted by its client, and told of it,",
        play = {
            content = "ngx.on_abort(function() ngx.exit(499) end) {before} await 'never'",
        },
        aborts = true, kills = true,
    },
    {
        name = "is a timer and comes to its end",
        play = { content = "assert(ngx.timer.at(0, function() {before} end))" },
    },
    {
        name = "is a timer and fails",
        play = {
            content = "assert(ngx.timer.at(0, function() {before} error 'on purpose' end))",
        },
        error = "on purpose", kills = true,
    },
    {
        name = "is a timer and exits",
        play = { content = "assert(ngx.timer.at(0, function() {before} ngx.exit(0) end))" },
        kills = true,
    },
}

local function with_before(play, before)
    local made = {}
    for phase, code in pairs(play) do
        made[phase] = type(code) == "table" and with_before(code, before)
            or code:gsub("{before}", function() return before end)
    end
    return made
end

-- Starts a request that will end in that way. Aborted ones wait until they are.
local function begin(way, before)
    if way.error then
        server:provoke(way.error)
    end
    local pause = way.aborts and "" or "await 'end'"
    local play = with_before(way.play, ("%s note 'ready' %s"):format(before, pause))
    local request = server:begin(play, { path = way.path or "/first" })
    assert.is_truthy(server:await_note "ready")
    return request
end

local function finish(way, request)
    if way.aborts then
        request:abort()
    else
        server:open_gate "end"
        request:finish()
    end
end

local HOLD = "kept.lock = assert(client:acquire('job', { ttl = 60 }))"
local WAIT = [[
    ngx.thread.spawn(function()
        kept.lock = client:acquire("job", { wait = 60, ttl = 60 })
        note("granted", kept.lock)
    end)
]]

-- A request that waits for the lock, gets it and releases it.
local function begin_next()
    local request = server:begin [[
        local lock = assert(client:acquire("job", { wait = 60, ttl = 60 }))
        ngx.print("mine ", lock:held(), " ", lock:release())
    ]]
    assert.is_true(waits(1))
    return request
end

local function is_next(request)
    return request:finish().body == "mine true true"
end

describe("a request that", function()
    for _, way in ipairs(ways) do
        it(way.name .. " gives the lock that it holds to the next at once", function()
            local request = begin(way, HOLD)
            local following = begin_next()
            finish(way, request)
            assert.is_true(is_next(following))
        end)
    end
end)

describe("a waiter leaves the queue, and is granted nothing, when its request", function()
    for _, way in ipairs(ways) do
        if way.kills then
            it(way.name, function()
                local lock = assert(holder:acquire("job", { ttl = LONG }))
                local request = begin(way, WAIT)
                assert.is_true(waits(1))
                finish(way, request)
                assert.is_true(waits(0))
                assert(lock:release())
                assert(assert(holder:try("job", { ttl = LONG })):release())
                assert.same({ "ready" }, server:notes())
            end)
        end
    end

    it("is aborted while its only light thread waits", function()
        local lock = assert(holder:acquire("job", { ttl = LONG }))
        local request = server:begin [[ client:acquire("job", { wait = 60, ttl = 60 }) ]]
        assert.is_true(waits(1))
        request:abort()
        assert.is_true(waits(0))
        assert(lock:release())
    end)

    it("ends and has killed the waiting light thread before", function()
        local lock = assert(holder:acquire("job", { ttl = LONG }))
        local request = server:begin [[
            local thread = ngx.thread.spawn(function()
                kept.lock = client:acquire("job", { wait = 60, ttl = 60 })
                note "granted"
            end)
            await "kill"
            note("killed", ngx.thread.kill(thread))
            await "end"
        ]]
        assert.is_true(waits(1))
        server:open_gate "kill"
        assert.equal("killed | 1", server:await_note ".")
        server:open_gate "end"
        request:finish()
        assert.is_true(waits(0))
        assert(lock:release())
        assert.same({ "killed | 1" }, server:notes())
    end)
end)

describe("behind a waiter whose request died", function()
    it("the others of the same worker get the lock in turn", function()
        local lock = assert(holder:acquire("job", { ttl = LONG }))
        local head = server:begin [[ client:acquire("job", { wait = 60, ttl = 60 }) ]]
        assert.is_true(waits(1))
        local others = {}
        for number = 1, 5 do
            others[number] = begin_next()
        end
        head:abort()
        others[3]:abort()
        assert(lock:release())
        for _, number in ipairs { 1, 2, 4, 5 } do
            assert.is_true(is_next(others[number]))
        end
    end)
end)

describe("a request", function()
    it("gives back all of a hundred locks when it fails", function()
        server:provoke "on purpose"
        server:play [[
            for number = 1, 100 do
                kept[number] = assert(client:acquire("job" .. number, { ttl = 60 }))
            end
            error "on purpose"
        ]]
        assert.is_nil(nginx.left_behind(nodes, 10))
    end)

    it("leaves its lock until its time is over, as at_least wants it", function()
        server:provoke "the request fails"
        server:play {
            content = [[
                kept.lock = assert(client:acquire("job", { ttl = 60, at_least = 40 }))
                error "the request fails"
            ]],
        }
        assert.is_true(wait.wait_until(function()
            local left = nodes:ask(1, "PTTL", "job")
            return left > 0 and left <= 40900
        end))
        server:play { content = "note(kept.lock:held(), kept.lock:release())" }
        assert.equal("false | true", server:await_note ".")
        nodes:ask_all("DEL", "job")
    end)

    it("holds its lock through an ngx.exec", function()
        server:play {
            content = HOLD .. " ngx.exec '/second'",
            second = { content = "note(kept.lock:held(), client:info('job')[1].token ~= nil)" },
        }
        assert.same({ "true | true" }, server:notes())
        assert.is_true(is_free())
    end)

    it("holds a lock from access through content, and may release it in the log phase", function()
        local request = server:play {
            access = "ngx.ctx.lock = assert(client:acquire('job', { ttl = 60 }))",
            content = "ngx.print(ngx.ctx.lock:held())",
            log = "note('released', ngx.ctx.lock:release())",
        }
        assert.equal("true", request.body)
        assert.equal("released | true", server:await_note "released")
    end)

    it("holds to its end what a light thread acquired that has ended", function()
        local request = server:play [[
            local thread = ngx.thread.spawn(function()
                kept.lock = assert(client:acquire("job", { ttl = 60 }))
            end)
            assert(ngx.thread.wait(thread))
            ngx.sleep(0.01)
            collectgarbage()
            ngx.print(kept.lock:held())
        ]]
        assert.equal("true", request.body)
        assert.is_true(is_free())
    end)

    it("is what a lock is bound to, not the connection that other requests use after it", function()
        local previous
        for number = 1, 20 do
            local request = server:play(([[
                local last = kept.lock
                kept.lock = assert(client:acquire("job", { wait = 60, ttl = 60 }))
                kept.connection = kept.connection or ngx.var.connection
                ngx.print(kept.connection == ngx.var.connection, " ", last and last:held())
            ]]), { keep = true, over = previous })
            assert.equal(number == 1 and "true nil" or "true false", request.body)
            previous = request
        end
        assert.is_true(is_free())
        assert.equal("plain", server:get({ path = "/plain", over = previous }).body)
    end)

    it("gives back what a light thread held that was killed", function()
        local request = server:begin [[
            local thread = ngx.thread.spawn(function()
                kept.lock = assert(client:acquire("job", { ttl = 60 }))
                note "held"
                await "never"
            end)
            await "kill"
            assert(ngx.thread.kill(thread))
        ]]
        assert.is_truthy(server:await_note "held")
        server:open_gate "kill"
        request:finish()
        assert.is_true(is_free())
    end)

    it("takes its lock with it from a timer that it was handed to", function()
        local request = server:begin(HOLD .. [[
            assert(ngx.timer.at(0, function()
                note("early", kept.lock:held())
                await "later"
                local released, message, code = kept.lock:release()
                note("later", kept.lock:held())
            end))
            await "end"
        ]])
        assert.equal("early | true", server:await_note "early")
        server:open_gate "end"
        request:finish()
        assert.is_true(is_free())
        server:open_gate "later"
        assert.equal("later | false", server:await_note "later")
    end)

    it("ends no lock that a later request acquired by the same object", function()
        local first = server:begin [[
            kept.lock = client:lock("job", { ttl = 60 })
            assert(kept.lock:acquire())
            assert(kept.lock:release())
            note "released"
            await "first"
        ]]
        assert.is_truthy(server:await_note "released")
        local second = server:begin [[
            assert(kept.lock:acquire())
            note "acquired"
            await "second"
            ngx.print(kept.lock:held())
        ]]
        assert.is_truthy(server:await_note "acquired")
        server:open_gate "first"
        first:finish()
        assert.equal("plain", server:get("/plain").body)
        server:open_gate "second"
        assert.equal("true", second:finish().body)
        assert.is_true(is_free())
    end)

    it("that fails in the body of with() has released the lock before", function()
        local request = server:play [[
            local ok, message = pcall(client.with, client, "job", { ttl = 60 }, function()
                error("on purpose", 0)
            end)
            local free = client:try "job"
            ngx.print(tostring(ok), " ", message, " ", free:release())
        ]]
        assert.equal("false on purpose true", request.body)
    end)
end)

-- The node's answers are held up by a proxy, so that the request dies before they come.
describe("an answer that comes when the request has died:", function()
    local deaths = {
        ["aborted"] = function(request)
            request:abort()
        end,
        ["failed"] = function(request)
            server:provoke "on purpose"
            server:open_gate "fail"
            request:finish()
        end,
    }

    -- Starts a request with a client of its own by the proxy, which knows the node and its scripts.
    -- It goes on when answers are held up, with `action` in a light thread of its own.
    local function begin_held_up(before, action)
        local request = server:begin(([[
            local client = redlock.new { nodes = { "%s" }, timeout = 20, restart_guard = false }
            assert(client:acquire("warm", { ttl = 60 })):extend(70)
            %s
            note "ready"
            await "go"
            ngx.thread.spawn(function() %s note "answered" end)
            note "under way"
            await "fail"
            error "on purpose"
        ]]):format(proxy.url, before, action))
        assert.is_truthy(server:await_note "ready")
        proxy:set { hold_replies = true }
        server:open_gate "go"
        assert.is_truthy(server:await_note "under way")
        return request
    end

    local function ttl_above(seconds)
        return http.wait_until(function()
            return nodes:ask(1, "PTTL", "job") > seconds * 1000
        end)
    end

    for _, how in ipairs { "aborted", "failed" } do
        it("a grant is given back, " .. how, function()
            local request = begin_held_up("", [[
                kept.lock = client:acquire("job", { ttl = 60 })
            ]])
            assert.is_true(nodes:comes_to(1, "job"))
            deaths[how](request)
            proxy:set { hold_replies = false }
            assert.is_true(is_free())
            assert.is_falsy(server:notes()[3])
        end)

        it("an extension saves no lock, " .. how, function()
            local request = begin_held_up(HOLD, "kept.lock:extend(600)")
            assert.is_true(ttl_above(500))
            deaths[how](request)
            proxy:set { hold_replies = false }
            assert.is_true(is_free())
        end)

        it("a release is no trouble, " .. how, function()
            local request = begin_held_up(HOLD, "kept.lock:release()")
            assert.is_true(nodes:comes_to(0, "job"))
            deaths[how](request)
            proxy:set { hold_replies = false }
            assert(assert(holder:try "job"):release())
        end)
    end
end)

describe("with detach = true", function()
    local RELEASE = "ngx.print(tostring(kept.lock:held()), ' ', tostring(kept.lock:release()))"

    local forms = {
        ["to acquire"] = [[ kept.lock = client:acquire("job", { ttl = 60, detach = true }) ]],
        ["to lock"] = [[ kept.lock = client:lock("job", { ttl = 60, detach = true }):acquire() ]],
        ["to lock:acquire"] = [[
            kept.lock = client:lock("job", { ttl = 60 }):acquire { detach = true }
        ]],
        ["to the client"] = ([[
            kept.client = redlock.new { nodes = {nodes}, detach = true, timeout = 10 }
            kept.lock = kept.client:acquire("job", { ttl = 60 })
        ]]),
    }

    for _, where in ipairs { "to acquire", "to lock", "to lock:acquire", "to the client" } do
        it(where .. ", a lock outlives its request", function()
            local code = forms[where]:gsub("{nodes}", "{ '" .. nodes[1].url .. "' }")
            server:play { content = code .. " ngx.exit(503)" }
            assert.equal("plain", server:get("/plain").body)
            assert.equal(1, nodes:count "job")
            assert.equal("true true", server:play(RELEASE).body)
            assert.is_true(is_free())
        end)
    end

    it("an outer detach is taken back by detach = false", function()
        server:play [[
            local lock = client:lock("job", { ttl = 60, detach = true })
            kept.lock = lock:acquire { detach = false }
        ]]
        assert.is_true(is_free())
    end)

    it("a lock is renewed after its request, until a timer releases it", function()
        server:play [[
            kept.lock = client:acquire("job", { ttl = 3, detach = true })
            assert(ngx.timer.at(0, function()
                await "release"
                note("released", kept.lock:held(), kept.lock:release())
            end))
        ]]
        local renewals, last = 0, nodes:ask(1, "PTTL", "job")
        assert.is_true(wait.wait_until(function()
            local left = nodes:ask(1, "PTTL", "job")
            renewals, last = renewals + (left > last and 1 or 0), left
            return renewals >= 2
        end))
        server:open_gate "release"
        assert.equal("released | true | true", server:await_note "released")
        assert.is_true(is_free())
    end)

    it("a waiter whose light thread dies leaves nothing behind either", function()
        local lock = assert(holder:acquire("job", { ttl = LONG }))
        local request = server:begin [[
            client:acquire("job", { wait = 60, ttl = 60, detach = true })
        ]]
        assert.is_true(waits(1))
        request:abort()
        assert.equal("plain", server:get("/plain").body)
        assert(lock:release())
        assert.is_true(is_free())
        assert.is_true(waits(0))
    end)
end)

describe("on_lost", function()
    local WATCH = [[
        kept.lock = assert(client:acquire("job", { ttl = 3, detach = %s }))
        kept.lock:on_lost(function(lock, why)
            ngx.sleep(0.001)
            note("lost", lock == kept.lock, lock:held(), why)
        end)
        note "ready"
    ]]
    local WATCH_IN_REQUEST = WATCH:format "false" .. "await 'end'"

    local function count_lost()
        local count = 0
        for _, line in ipairs(server:notes()) do
            count = count + (line:find "^lost" and 1 or 0)
        end
        return count
    end

    local losses = {
        ["was deleted"] = { function() nodes:ask(1, "DEL", "job") end, "is gone from the nodes" },
        ["was taken"] = {
            function() nodes:ask(1, "SET", "job", "other", "PX", 60000) end,
            "was taken by another",
        },
    }

    for _, what in ipairs { "was deleted", "was taken" } do
        it("is called once, in a light thread, for a lock that " .. what, function()
            local cause, words = losses[what][1], losses[what][2]
            local request = server:begin(WATCH_IN_REQUEST)
            assert.is_truthy(server:await_note "ready")
            cause()
            local said = server:await_note "^lost"
            assert.equal('lost | true | false | lost: "job" ' .. words, said)
            server:open_gate "end"
            request:finish()
            assert.equal(1, count_lost())
            nodes:ask(1, "DEL", "job")
        end)
    end

    it("is called when the lease runs out because no node answers", function()
        local request = server:begin(WATCH_IN_REQUEST)
        assert.is_truthy(server:await_note "ready")
        nodes[1]:pause()
        local said = server:await_note "^lost"
        nodes[1]:resume()
        assert.equal('lost | true | false | lost: "job" ran out of its lease', said)
        server:open_gate "end"
        request:finish()
        assert.equal(1, count_lost())
    end)

    it("is called for a detached lock, when its request is over", function()
        server:play(WATCH:format "true")
        nodes:ask(1, "DEL", "job")
        assert.is_truthy(server:await_note "^lost")
        assert.equal(1, count_lost())
    end)

    it("is not called for a lock that was released, or given back with its request", function()
        server:play(WATCH:format "false" .. "kept.lock:release()")
        server:play(WATCH:format "false")
        assert.is_true(is_free())
        local lock = assert(holder:try("job", { ttl = 60, renew = false }))
        local left = lock:remaining()
        assert.is_true(wait.wait_until(function() return lock:remaining() < left - 0.4 end))
        assert(lock:release())
        assert.equal(0, count_lost())
    end)

    it("that fails is logged, and harms nobody else", function()
        server:provoke "on purpose"
        local request = server:begin [[
            kept.lock = assert(client:acquire("job", { ttl = 3 }))
            kept.lock:on_lost(function() error "on purpose" end)
            note "ready"
            await "end"
            ngx.print "fine"
        ]]
        assert.is_truthy(server:await_note "ready")
        nodes:ask(1, "DEL", "job")
        assert.is_truthy(server:await_log "on purpose")
        server:open_gate "end"
        assert.equal("fine", request:finish().body)
    end)
end)
