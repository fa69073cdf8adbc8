--- The checking store: a Redis of its own, healthy all the time, that refuses a fence lower than
-- one it has seen.

local redis = require "torture.redis"

local store = {}

local Store = {}
Store.__index = Store

-- KEYS the record; ARGV fence, token. The number of the write among all, or 0 if it was refused.
local WRITE = [[
    local highest = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
    if tonumber(ARGV[1]) < highest then
        return 0
    end
    redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'token', ARGV[2])
    return redis.call('INCR', 'writes')
]]

--- Connects at the first write.
-- @tparam function dial like `redis.dial`
-- @tparam string path of the store's Unix socket
function store.new(dial, path)
    return setmetatable({ dial = dial, path = path }, Store)
end

--- Writes under a lock, whether or not it is held.
-- @treturn number the number of the write among all, 0 if it was refused
-- @raise when the store does not answer: nothing is done to it
function Store:write(lock)
    self.connection = self.connection or redis.over(assert(self.dial(self.path)))
    local fence = ("%.0f"):format(lock.fence)
    return assert(self.connection:ask("EVAL", WRITE, 1, "record:" .. lock.name, fence, lock.token))
end

function Store:close()
    if self.connection then
        self.connection:close()
        self.connection = nil
    end
end

return store
