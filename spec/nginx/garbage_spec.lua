-- nginx: what becomes of a lock that no variable refers to any more.

local nginx = require "support.nginx"
local quorum = require "support.quorum"
local servers = require "servers"
local wait = require "support.wait"

local nodes, server

setup(function()
    nodes = quorum.start(1)
    server = nginx.start { nodes = nodes:urls() }
end)

teardown(function()
    nginx.stop_all()
    servers.stop_all()
end)

after_each(function()
    assert.is_nil(server:settle(nodes))
end)

local COLLECT = [[
    collectgarbage()
    collectgarbage()
    local node = client:info("job")[1]
    ngx.print(node.token and "held" or "free")
]]

local COLLECT_AND_WAIT = [[
    collectgarbage()
    collectgarbage()
    local node, ends_at = nil, ngx.now() + 20
    repeat
        ngx.sleep(0.01)
        node = client:info("job")[1]
    until not node.token or ngx.now() > ends_at
    ngx.print(node.token and "held" or "free")
]]

-- Calls whose light thread is killed while they wait; then how many slots the worker still keeps.
local KILL = [[
    for i = 1, 20 do
        local lock = assert(client:acquire("job " .. i))
        ngx.thread.kill(ngx.thread.spawn(function() lock:release() end))
        ngx.thread.kill(ngx.thread.spawn(function() client:info "job" end))
        ngx.thread.kill(ngx.thread.spawn(function() client:acquire("job " .. i) end))
    end
]]

describe("a call whose light thread is killed", function()
    it("leaves nothing in the worker once its request has ended", function()
        local function kilobytes()
            return tonumber(server:play([[
                collectgarbage() collectgarbage() ngx.print(collectgarbage "count")
            ]]).body)
        end
        local baseline = kilobytes()
        for _ = 1, 30 do
            server:play(KILL)
        end
        -- 1800 slots, with a semaphore each, would be far more.
        assert.is_true(wait.wait_until(function() return kilobytes() - baseline < 300 end))
    end)
end)

describe("a lock that is garbage", function()
    it("is held until its request ends", function()
        local reply = server:play {
            access = [[ assert(client:acquire("job", { ttl = 60 })) ]],
            content = COLLECT,
        }
        assert.equal("held", reply.body)
        assert.is_true(nodes:comes_to(0, "job", 10))
    end)

    it("is released when it is detached, for nobody else will", function()
        local reply = server:play {
            access = [[ assert(client:acquire("job", { ttl = 60, detach = true })) ]],
            content = COLLECT_AND_WAIT,
        }
        assert.equal("free", reply.body)
    end)

    it("is released with its client, when that is garbage too", function()
        local reply = server:play {
            access = [[
                local mine = require("redlock").new(client:info("job")[1].node, { timeout = 10 })
                assert(mine:acquire("job", { ttl = 60 }))
            ]],
            content = COLLECT,
        }
        assert.equal("free", reply.body)
    end)
end)
