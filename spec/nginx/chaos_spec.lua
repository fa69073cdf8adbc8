-- nginx: requests that end in random ways at random moments. Locks exclude, nothing is left, everybody is answered.

local http = require "support.http"
local keeper = require "keeper"
local nginx = require "support.nginx"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local REQUESTS = tonumber(os.getenv "REDLOCK_REQUESTS") or 1000
local AT_ONCE = 40
local NAMES = 3
local WORKERS = 2

local nodes, server

setup(function()
    nodes = quorum.start(3)
    server = nginx.start {
        nodes = nodes:urls(), workers = WORKERS, client = { client_name = "worker", timeout = 3 },
        http = "lua_check_client_abort on;",
    }
end)

teardown(function()
    nginx.stop_all()
    servers.stop_all()
end)

after_each(function()
    assert.is_nil(server:settle(nodes))
end)

-- The owner of a name notes itself; whoever finds another there that still holds its lock was not alone.
local PRELUDE = [[
    local name = "job" .. math.random(%d)
    local owners = ngx.shared.gates
    local function acquire(options)
        return client:acquire(name, options or { wait = math.random() * 0.5, ttl = 60 })
    end
    local function pause()
        ngx.sleep(math.random() * 0.01)
    end
    local function tenure(lock)
        local before = owners:get(name) or 0
        if lock.fence <= before then
            note("not alone", name, lock.fence, before)
        end
        owners:set(name, lock.fence)
        pause()
        if lock:held() and owners:get(name) ~= lock.fence then
            note("joined", name, lock.fence, owners:get(name))
        end
    end
]]

local PARTS = {
    release = [[
        local lock = acquire()
        if lock then
            tenure(lock)
            assert(lock:release())
        end
    ]],
    forget = [[
        local lock = acquire()
        if lock then
            tenure(lock)
        end
    ]],
    fail = [[
        local lock = acquire()
        if lock then
            tenure(lock)
        end
        error "on purpose"
    ]],
    leave = [[
        local lock = acquire()
        if lock then
            tenure(lock)
        end
        ngx.exit(503)
    ]],
    leave_while_waiting = [[
        ngx.thread.spawn(function()
            local lock = acquire()
            if lock then
                tenure(lock)
            end
        end)
        pause()
        ngx.exit(503)
    ]],
    kill_while_waiting = [[
        local thread = ngx.thread.spawn(function()
            local lock = acquire()
            if lock then
                tenure(lock)
            end
        end)
        pause()
        ngx.thread.kill(thread)
        pause()
    ]],
    turn_elsewhere = [[
        local lock = acquire()
        if lock then
            tenure(lock)
        end
        ngx.exec "/plain"
    ]],
    release_late = [[
        ngx.ctx.lock = acquire()
    ]],
    by_a_timer = [[
        assert(ngx.timer.at(0, function()
            local lock = acquire()
            if lock then
                tenure(lock)
                if math.random(2) == 1 then
                    assert(lock:release())
                end
            end
        end))
    ]],
    hand_to_a_timer = [[
        local lock = acquire { wait = 0.2, ttl = 60, detach = true }
        if lock then
            assert(ngx.timer.at(0, function()
                tenure(lock)
                assert(lock:release())
            end))
        end
    ]],
    extend_and_look = [[
        local lock = acquire()
        if lock then
            tenure(lock)
            assert(lock:extend(90))
            client:info(name)
            pause()
        end
    ]],
    with = [[
        client:with(name, { wait = 0.3, ttl = 60 }, tenure)
    ]],
    try_often = [[
        for _ = 1, 5 do
            local lock = client:try(name, { ttl = 60 })
            if lock then
                tenure(lock)
                lock:release()
            end
        end
    ]],
}

local RELEASE_LATE = "if ngx.ctx.lock then ngx.ctx.lock:release() end"

local titles = {}
for title in pairs(PARTS) do
    titles[#titles + 1] = title
end
table.sort(titles)

-- A seed that a failure tells, and REDLOCK_SEED plays again (as far as the moments allow).
local function new_seed()
    local high, low = keeper.random_bytes(2):byte(1, 2)
    return tonumber(os.getenv "REDLOCK_SEED") or high * 256 + low
end

local function begin_any()
    local title = titles[math.random(#titles)]
    local play = {
        [math.random(2) == 1 and "access" or "content"] = PRELUDE:format(NAMES) .. PARTS[title],
        log = title == "release_late" and RELEASE_LATE or nil,
    }
    local request = server:begin(play)
    request.title = title
    if math.random(4) == 1 then
        request.abort_at = request.begun_at + math.random() * 0.02
    end
    return request
end

-- Requests, so many at once, until there were enough; `meddle` is called after every hundred.
local function run(meddle)
    local requests, begun, unanswered = {}, 0, nil

    local function is_under_way(request)
        if request.abort_at and wait.now() > request.abort_at then
            request:abort()
        end
        return not request:ended()
    end

    local function begin_another()
        begun = begun + 1
        if begun % 100 == 0 then
            meddle(begun / 100)
        end
        return begin_any()
    end

    while begun < REQUESTS and not unanswered do
        for index = 1, AT_ONCE do
            local request = requests[index]
            if not request or not is_under_way(request) then
                local failure = request and request.failure
                if failure and failure ~= "aborted" then
                    unanswered = request.title .. ": " .. failure
                end
                requests[index] = begin_another()
            end
        end
        http.drive(0.001)
    end
    http.finish(requests)
    return unanswered
end

local function check(meddle, mend)
    local seed = new_seed()
    math.randomseed(seed)
    server:tolerate "on purpose"
    local unanswered = run(meddle)
    mend()
    local said = "seed " .. seed
    assert.is_nil(unanswered, said)
    assert.is_nil(nginx.left_behind(nodes, 20), said)
    assert.same({}, server:notes(), said)
end

describe("requests that end at random leave nothing, and have a lock one at a time,", function()
    local function nothing() end

    it("in good times", function()
        check(nothing, nothing)
        for _, node in ipairs(nodes) do
            assert.is_true(nginx.connections(node, "worker") <= 2 * WORKERS)
        end
    end)

    it("while a node hangs now and then", function()
        check(function(count)
            local node = nodes[1 + math.floor(count / 2) % #nodes]
            if count % 2 == 0 then
                node:pause()
            elseif node.paused then
                node:resume()
            end
        end, function()
            nodes:revive()
        end)
    end)

    it("while nginx reloads", function()
        local old = server:workers()
        check(function(count)
            if count % 3 == 0 then
                server:signal "HUP"
            end
        end, function()
            assert.is_true(nginx.await_end(old))
            assert.is_truthy(http.wait_until(function()
                return #server:workers() == WORKERS
            end))
        end)
    end)
end)
