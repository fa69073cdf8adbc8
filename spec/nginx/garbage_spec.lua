-- nginx: what becomes of a lock that no variable refers to any more.

local nginx = require "support.nginx"
local quorum = require "support.quorum"
local servers = require "servers"

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
            content = COLLECT:gsub("local node", "ngx.sleep(0.2) local node"),
        }
        assert.equal("free", reply.body)
    end)

    it("is released with its client, when that is garbage too", function()
        local reply = server:play {
            access = [[
                local mine = require("redlock").new(client:info("job")[1].node)
                assert(mine:acquire("job", { ttl = 60 }))
            ]],
            content = COLLECT,
        }
        assert.equal("free", reply.body)
    end)
end)
