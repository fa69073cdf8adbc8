--- The benchmark's peer: a lock on one or several Redis nodes as an OpenResty programmer writes it by
-- hand. Pooled cosockets, the nodes asked in parallel by light threads, a majority waited for; SET NX PX
-- to lock, a compare-and-delete script to unlock, sleep and back-off where the lock is taken.
-- Neither renewed nor fenced.
-- luacheck: globals ngx

local ffi = require "ffi"
local resp = require "resp"

local by_hand = {}

local Mutex = {}
Mutex.__index = Mutex

local TTL_MS = 30000
local TIMEOUT_MS = 500
local IDLE_MS = 60000
local POOL = { pool_size = 256 } -- for each node
local TOKEN_BYTES = 21
local FIRST_SLEEP, LONGEST_SLEEP = 0.001, 0.5 -- lua-resty-lock's; here with jitter

local COMPARE_AND_DELETE =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
local COMPARE_AND_DELETE_SHA1 = ngx.sha1_bin(COMPARE_AND_DELETE):gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
end)

ffi.cdef "int RAND_bytes(unsigned char *buffer, int size);" -- nginx brings OpenSSL along
local random_bytes = ffi.new("unsigned char[?]", TOKEN_BYTES)

local function make_token()
    assert(ffi.C.RAND_bytes(random_bytes, TOKEN_BYTES) == 1)
    return ngx.encode_base64(ffi.string(random_bytes, TOKEN_BYTES))
end

-- One command on one node, over a connection from the pool.
local function ask(port, request)
    local socket = ngx.socket.tcp()
    socket:settimeout(TIMEOUT_MS)
    local reply
    local ok, failure = socket:connect("127.0.0.1", port, POOL)
    if ok then
        ok, failure = socket:send(request)
    end
    if ok then
        reply, failure = resp.read(socket)
    end
    if reply == nil then
        socket:close()
    else
        socket:setkeepalive(IDLE_MS)
    end
    return reply, failure
end

local function lock_node(port, request)
    return ask(port, request) == "OK"
end

local function unlock_node(port, request, key, token)
    local reply, failure = ask(port, request)
    if reply == false and failure:find("^NOSCRIPT") then
        reply = ask(port, resp.request("EVAL", COMPARE_AND_DELETE, 1, key, token))
    end
    return reply == 1
end

-- Starts the work on all nodes, then waits until a majority succeeded or no longer can. They are
-- waited for one after the other: to wait for any of several is dearer, and those that were waited for
-- in vain would wake this thread later, out of whatever it is then doing. The price is that a slow
-- node can hold it up. Threads that were not waited for end by themselves.
local function on_majority(ports, work, ...)
    if #ports == 1 then
        return work(ports[1], ...)
    end
    local threads = {}
    for index, port in ipairs(ports) do
        threads[index] = ngx.thread.spawn(work, port, ...)
    end
    local majority, succeeded = math.floor(#ports / 2) + 1, 0
    for index, thread in ipairs(threads) do
        local _, success = assert(ngx.thread.wait(thread))
        succeeded = succeeded + (success and 1 or 0)
        if succeeded >= majority or succeeded + #ports - index < majority then
            break
        end
    end
    return succeeded >= majority
end

--- A mutex on these nodes.
-- @tparam {number,...} ports on 127.0.0.1
-- @treturn Mutex
function by_hand.new(ports)
    return setmetatable({ ports = ports }, Mutex)
end

--- Tries once.
-- @tparam string key
-- @treturn ?string the token that unlocks it; nil if it is taken, or too few nodes answer
function Mutex:try(key)
    local token = make_token()
    local request = resp.request("SET", key, token, "NX", "PX", TTL_MS)
    if on_majority(self.ports, lock_node, request) then
        return token
    end
    if #self.ports > 1 then
        self:unlock(key, token) -- what a minority granted
    end
end

--- Tries until it succeeds or the time is up.
-- @tparam string key
-- @tparam number wait seconds
-- @treturn ?string the token, or nil
function Mutex:lock(key, wait)
    local give_up_at = ngx.now() + wait
    local sleep = FIRST_SLEEP
    local token = self:try(key)
    while not token and ngx.now() < give_up_at do
        ngx.sleep(sleep * (1 + math.random()))
        sleep = math.min(sleep * 2, LONGEST_SLEEP)
        token = self:try(key)
    end
    return token
end

--- Unlocks on all nodes.
-- @tparam string key
-- @tparam string token
-- @treturn boolean whether it was still locked with that token, on a majority
function Mutex:unlock(key, token)
    local request = resp.request("EVALSHA", COMPARE_AND_DELETE_SHA1, 1, key, token)
    return on_majority(self.ports, unlock_node, request, key, token)
end

return by_hand
