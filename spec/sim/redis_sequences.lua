--- Random events for a Redis server and its model: the library's requests, other clients' commands,
-- sessions that come and go, and a clock that moves in steps small and large.

local machine = require "machine"
local real = require "sim.redis_real"

local sequences = {}

local unpack = table.unpack or unpack

local SESSIONS = 7
local SUBSCRIBERS = 5 -- the first of those that subscribe
local NAMES = { "a", "b", "{c}", "x{y}z", "n\0\r\n\255" }
local SIDES = { "fence", "queue", "claim" }
local TOKENS = { "one", "two", "three", "" }
local CHANNELS = { "redlock:x", "redlock:y", "redlock:z" }
local KINDS = { "acquire", "extend", "release", "inspect", "acquire_many", "extend_many",
    "release_many", "break" }
sequences.kinds = KINDS
local TTLS = { 1, 2, 10, 50, 1000, 30000 }
local STEPS_MS = { 1, 1, 1, 2, 9, 50, 500, 1000, 1001, 30000 }
local BALLOT = 1700000000000000

-- Numbers from a seed, the same under every Lua (Park and Miller's minimal generator).
local Dice = {}
Dice.__index = Dice

local function dice_of(seed)
    return setmetatable({ state = seed % 2147483646 + 1 }, Dice)
end

function Dice:below(count)
    self.state = self.state * 16807 % 2147483647
    return self.state % count
end

function Dice:one_of(list)
    return list[self:below(#list) + 1]
end

function Dice:one_in(count)
    return self:below(count) == 0
end

-- ---- what is asked

local function side_key(name, side)
    return (name:find "{.+}" and "%s:%s" or "{%s}:%s"):format(name, side)
end

local function any_key(dice)
    local name = dice:one_of(NAMES)
    return dice:one_in(2) and name or side_key(name, dice:one_of(SIDES))
end

local function any_channel(dice)
    return dice:one_of(CHANNELS)
end

local function any_waiter(dice)
    return any_channel(dice) .. "/" .. dice:below(3)
end

-- Redis 7.0 writes all digits of a score, later ones as few as will do: no zeros at the end.
local function any_arrival(dice)
    return BALLOT + 1 + dice:below(5)
end

local function any_number(dice)
    return dice:one_of { "0", "1", "-1", "2", "10", "999", "30000", "x", "", "1.5", "01",
        "9223372036854775807", "9223372036854775808", "-9223372036854775808", "inf" }
end

local function any_value(dice)
    return dice:one_of { "one", "two", "", "5", "v\0\r\n", ("9"):rep(17), "DEL", "zcard",
        "5 abcdefgh somebody", "7 ", "x y",
        "SUBSCRIBE", any_waiter(dice) }
end

local function any_request(dice)
    return {
        key = dice:one_of(NAMES),
        token = dice:one_of(TOKENS),
        ttl_ms = dice:one_of(TTLS),
        fence = dice:one_of { 1, 5, 10, BALLOT, BALLOT + dice:below(1000) },
        fence_ttl_s = dice:one_of { 1, 30, 86400, 86400 },
        identity = dice:one_of { "", "host:1 redlock" },
        waiter = dice:one_in(2) and any_waiter(dice) or "",
        arrival_us = any_arrival(dice),
        keep_ms = dice:one_of { 0, 0, 1, 500, 90000 },
        word = dice:one_of(TOKENS),
        queued = dice:one_in(2),
        fair = dice:one_in(3),
        steps_back = dice:one_in(3),
    }
end

-- The waiters of a batch have one inbox, and one identity.
local function any_requests(dice)
    local requests, inbox = {}, any_channel(dice)
    for index = 1, 1 + dice:below(4) do
        requests[index] = any_request(dice)
        requests[index].identity = requests[1].identity
        if requests[index].waiter ~= "" then
            requests[index].waiter = inbox .. "/" .. dice:below(3)
        end
    end
    return requests
end

local function request(dice)
    local kind = dice:one_of(KINDS)
    local asked = kind:find "_many$" and any_requests(dice) or any_request(dice)
    return machine.encode(kind, asked, dice:one_in(3))
end

local SCRIPTS = {
    "return redis.call('GET', KEYS[1])",
    "return {redis.pcall('GET', KEYS[1]), 1.9, ARGV[1]}",
    "return redis.call('ZPOPMIN', KEYS[1])",
    "return {#KEYS, #ARGV, KEYS, ARGV}",
    "local ok, err = pcall(redis.call, 'ZCARD', KEYS[1]) return {ok and 1 or 0, err}",
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\nreturn {redis.call('PTTL', KEYS[1])}",
    "local all = redis.call('MGET', unpack(KEYS)) return #all",
    "local reply = redis.call('SET', KEYS[1], 5) return reply",
    "local reply = redis.pcall(ARGV[1], KEYS[1], ARGV[2]) return reply",
    "x = 1",
    "return 1 +",
}

-- Words in small letters stand for one that is drawn.
local COMMANDS = {
    "GET key", "MGET key key key", "SET key value", "SET key value PX ttl", "SET key value EX 1",
    "SET key value nx Px ttl", "SET key value NX", "SET key value XX", "DEL key", "DEL key key",
    "EXISTS key key", "PTTL key", "PTTL key", "TTL key", "EXPIRE key 1", "PEXPIRE key ttl",
    "ZADD key arrival waiter", "ZADD key NX arrival waiter arrival waiter", "ZREM key waiter",
    "ZREM key waiter waiter", "ZPOPMIN key", "ZCARD key", "PUBLISH channel value",
    "PUBLISH channel value", "EVAL script keys key key value ttl",
    "EVAL script keys key key value ttl", "EVAL script keys key value ttl",
}

local ODD_COMMANDS = {
    "get", "GET key key", "set key", "SET key value PX number", "SET key value PX",
    "SET key value NX EX number", "SET key value FOO", "SET key value NX XX", "EXPIRE key number",
    "PEXPIRE key number", "EXPIRE key number value", "ZADD key score waiter",
    "ZADD key score waiter score waiter", "ZADD key NX score", "ZADD key waiter",
    "HSET key value value", "HSET key value value value value", "HSET key value", "FLUSHALL",
    "SCRIPT FLUSH", "SCRIPT FLUSH value", "SCRIPT LOAD script", "SCRIPT EXISTS sha1 sha1",
    "SCRIPT", "SCRIPT value", "EVALSHA sha1 number key", "EVALSHA value 0",
    "EVAL script number key", "SELECT database", "CLIENT SETNAME value", "CLIENT value",
    "AUTH value", "AUTH default value", "AUTH value value", "INFO server", "PING", "PING value",
    "FOO value key",
}

local SUBSCRIBER_COMMANDS = {
    "SUBSCRIBE channel", "SUBSCRIBE channel", "SUBSCRIBE channel channel", "UNSUBSCRIBE channel",
    "PING", "PING value", "GET key", "PUBLISH channel value", "CLIENT SETNAME value",
}

local words = {
    key = any_key,
    channel = any_channel,
    waiter = any_waiter,
    number = any_number,
    ttl = function(dice) return dice:one_of(TTLS) end,
    arrival = any_arrival,
    score = function(dice)
        return dice:one_of { "0", "-1", "1.5", "999", "1e3", "01", "inf", "-inf", "x", "", " 1",
            "nan" }
    end,
    value = any_value,
    script = function(dice) return dice:one_of(SCRIPTS) end,
    sha1 = function(dice) return (machine.script(dice:one_of(KINDS))) end,
    keys = function(dice) return dice:one_of { "0", "1", "2", "2", "3", "9" } end,
    database = function(dice) return dice:one_of { "0", "0", "1", "16" } end,
}

local function command(dice, list)
    local drawn = {}
    list = list or dice:one_in(4) and ODD_COMMANDS or COMMANDS
    for word in dice:one_of(list):gmatch "%S+" do
        drawn[#drawn + 1] = words[word] and words[word](dice) or word
    end
    return real.command(unpack(drawn))
end

-- ---- what happens

local Sequence = {}
Sequence.__index = Sequence

function Sequence:add(...)
    self.events[#self.events + 1] = { ... }
end

-- Whole, or in parts.
function Sequence:send(session, bytes)
    local dice = self.dice
    while #bytes > 1 and dice:one_in(20) do
        local first = 1 + dice:below(#bytes - 1)
        self:add("receive", session, self.now_ms, bytes:sub(1, first))
        bytes = bytes:sub(first + 1)
    end
    self:add("receive", session, self.now_ms, bytes)
end

function Sequence:restart()
    self:add("restart", self.dice:one_in(2), self.now_ms)
    for session = 1, SESSIONS do
        self:add("close", session)
        self:add("accept", session)
    end
end

function Sequence:replace_session()
    local session = 1 + self.dice:below(SESSIONS)
    self:add("close", session)
    self:add("accept", session)
end

-- Time goes on and another session speaks, or not.
function Sequence:move_on()
    local dice = self.dice
    if dice:one_in(2) then
        self.now_ms = self.now_ms + dice:one_of(STEPS_MS)
    end
    if dice:one_in(2) then
        self.session = 1 + dice:below(SUBSCRIBERS - 1)
    end
end

function Sequence:step()
    local dice = self.dice
    local what = dice:below(100)
    self:move_on()
    if what < 2 then
        self:replace_session()
    elseif what < 12 then
        local session = SUBSCRIBERS + dice:below(SESSIONS - SUBSCRIBERS + 1)
        self:send(session, command(dice, SUBSCRIBER_COMMANDS))
    elseif what < 40 then
        self:send(self.session, command(dice))
    else
        self:send(self.session, request(dice))
    end
end

-- Nobody was sent more than was compared, and the same is left under every key.
function Sequence:ask_what_is_left()
    for session = 1, SESSIONS do
        self:add("receive", session, self.now_ms, real.command("PING", "the end"))
    end
    self:add("accept", 0)
    for _, name in ipairs(NAMES) do
        for _, key in ipairs { name, side_key(name, "fence"), side_key(name, "queue"),
            side_key(name, "claim") } do
            for _, word in ipairs { "PTTL", "GET", "ZCARD", "ZPOPMIN", "ZPOPMIN", "EXISTS" } do
                self:add("receive", 0, self.now_ms, real.command(word, key))
            end
        end
    end
end

--- Draws events.
-- @tparam number seed
-- @tparam number count how many, about
-- @tparam number now_ms when the first happens
-- @tparam[opt] number restarts how often the server restarts, with or without its data
-- @treturn {table,...} as sim.redis_model takes them
-- @treturn number when the last happens
function sequences.draw(seed, count, now_ms, restarts)
    local self = setmetatable({ dice = dice_of(seed), now_ms = now_ms, session = 1, events = {} },
        Sequence)
    for session = 1, SESSIONS do
        self:add("accept", session)
    end
    for part = 0, restarts or 0 do
        if part > 0 then
            self:restart()
        end
        for _ = 1, count / (1 + (restarts or 0)) do
            self:step()
        end
    end
    self:ask_what_is_left()
    return self.events, self.now_ms
end

return sequences
