--- A lock over five independent nodes goes on while two of them are lost, and says why when a third is.
--
--     lua5.4 examples/quorum.lua [NODE...]
--
-- Nodes that are given are only used; without arguments, five private servers are started and then killed and
-- paused in turn.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local checkout = require "checkout"
local redlock = require "redlock"
local servers = require "servers"

local TURNS = 50

local urls, nodes = servers.urls(arg, 5)
local client = redlock.new { nodes = urls, ttl = 3 }
local last_fence = 0

local function take_turns(title)
    for _ = 1, TURNS do
        local lock = assert(client:acquire "turn")
        assert(lock.fence > last_fence, "a fence did not increase")
        last_fence = lock.fence
        lock:release()
    end
    print(("%s: %d turns, each with a higher fence than the one before"):format(title, TURNS))
end

take_turns(("%d nodes"):format(#urls))
local held_throughout = assert(client:acquire "report")

if #nodes > 0 then
    nodes[1]:kill()
    take_turns "one was killed"
    nodes[2]:pause()
    take_turns "another one hangs"
    checkout.sleep(3.5) -- longer than the lease of `report`: three nodes are enough to renew it
    local state = held_throughout:held() and "still held" or "lost"
    print("the lock that was acquired before is " .. state)
    assert(held_throughout:release())

    nodes[3]:pause()
    local _, message = client:try "turn"
    print("a third one hangs: " .. message)
    nodes[3]:resume()
    take_turns "the third is back"
end

client:close()
servers.stop_all()
os.exit(true, true)
