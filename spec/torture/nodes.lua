--- The nodes of a torture: Redis servers that log every write, with a user for the clients, a clock
-- that can be stepped, and a line of ours to each that no fault touches.

local redis = require "torture.redis"
local servers = require "servers"
local system = require "torture.system"
local wait = require "support.wait"

local unpack = table.unpack or unpack

local nodes = {}

local Node = {}
Node.__index = Node

local CLOCK_LIBRARY = "build/torture/clock.so"

-- What the README says that a user needs.
local USER = "on >secret ~* &redlock:* -@all +eval +evalsha +get +mget +set +del +exists "
    .. "+expire +pexpire +pttl +zadd +zrem +zpopmin +zcard +publish +subscribe +info +select "
    .. "+client|setname"

nodes.credentials = "locks:secret@"

local function output_of(command)
    local pipe = assert(io.popen(command, "r"))
    local output = pipe:read "*a"
    pipe:close()
    return output
end

-- The clock's file lies in the server's directory, where it is started.
local function configuration(addresses)
    local library = output_of "pwd":gsub("\n", "") .. "/" .. CLOCK_LIBRARY
    local config = {
        { "# clock", "clock", library },
        { "bind", addresses },
        { "appendfsync", "always" },
        { "lua-time-limit", "200" },
        { "maxclients", "1000" },
    }
    if tonumber(output_of("redis-server --version"):match "v=(%d+)") >= 7 then
        config[#config + 1] = { "enable-debug-command", "local" }
    end
    return config
end

--- Starts nodes.
-- @tparam number count
-- @tparam string addresses that they listen on
-- @treturn {Node,...}
function nodes.start(count, addresses)
    local list = {}
    local started = servers.start(count, {
        users = { "default off ~* &* +@all", "locks " .. USER }, appendonly = true,
        config = configuration(addresses),
    })
    for index, server in ipairs(started) do
        list[index] = setmetatable({
            index = index, server = server, clock = server.keeper.dir .. "/clock",
            port = server.port, since = wait.now(),
        }, Node)
    end
    return list
end

local function dial(self)
    local line = redis.over(assert(redis.dial(self.server.socket)))
    assert(line:ask("AUTH", "keeper", self.server.secret))
    return line
end

--- Asks as the keeper, who may do anything.
-- @return the reply
-- @treturn ?string the text of an error
function Node:ask(...)
    self.line = self.line or dial(self)
    return self.line:ask(...)
end

--- Sends a command over a line of its own, whose answer nobody waits for.
function Node:send(...)
    local line = dial(self)
    line:send(...)
    return line
end

local function hang_up(self)
    if self.line then
        self.line:close()
        self.line = nil
    end
end

--- Whether the process runs, and would answer.
function Node:is_up()
    return not self.is_deaf and not self.server.paused and self.server:alive()
end

function Node:kill()
    hang_up(self)
    self.server:kill()
end

--- Starts it again, with what it had logged or with nothing.
function Node:restart(with_data)
    hang_up(self)
    if self.server:alive() then
        self.server:kill()
    end
    self.server:restart { keep_data = with_data }
    self.since = wait.now()
end

function Node:pause()
    self.server:pause()
end

function Node:resume()
    self.server:resume()
end

--- How long it has been up, in seconds.
function Node:age()
    return wait.now() - self.since
end

--- Steps its clock to so many seconds beside the true one.
function Node:set_clock(seconds)
    assert(system.set_clock(self.clock, seconds))
end

--- Gives the clients' user all its rights, whether or not it is there.
function Node:grant_rights()
    local words = { "reset" }
    for word in USER:gmatch "%S+" do
        words[#words + 1] = word
    end
    return self:ask("ACL", "SETUSER", "locks", unpack(words))
end

local KEYS = [[
    local list = {}
    for _, key in ipairs(redis.call('KEYS', '*')) do
        list[#list + 1] = key
        list[#list + 1] = redis.call('PTTL', key)
        list[#list + 1] = string.find(key, ':fence$')
            and string.match(redis.call('GET', key), '^%d*') or ''
    end
    return list
]]

--- All its keys.
-- @treturn {table,...} `{ name, ms, fence }`: how long it still lives, and its value if it is a
-- fence
function Node:keys()
    local list, keys = assert(self:ask("EVAL", KEYS, 0)), {}
    for index = 1, #list, 3 do
        local name, ms, fence = unpack(list, index, index + 2)
        keys[#keys + 1] = { name = name, ms = ms, fence = tonumber(fence) }
    end
    return keys
end

return nodes
