--- Locks across machines in the shape of lua-resty-lock, for nginx.
--
--     local resty_lock = require("resty.redlock").on "redis://10.0.0.1:6379"
--
-- stands where `require "resty.lock"` stood, and the rest of the handler stays as it is:
--
--     local lock, err = resty_lock:new("my_locks", { exptime = 10, timeout = 5 })
--     local elapsed, err = lock:lock(key)
--     local ok, err = lock:unlock()
--
-- No shared dictionary is needed: its name becomes a part of the key on Redis.
--
-- @module resty.redlock

local Client = require "redlock.client"
local core = require "redlock.core"
local options = require "redlock.options"

-- luacheck: read globals ngx
local ngx = ngx or error("resty.redlock is for nginx; elsewhere there is redlock", 2)

local CLASSES_MAX = 256
local CLIENTS_MAX = 64 -- in a worker
local DICT_MAX = 128 -- bytes
local KEY_MAX = 65535 -- bytes, as in a shared dictionary
local NAME_MAX = 512 -- bytes, of a lock's name on Redis
local LEASE = { least = 0.001, most = 1e9, words = "a number of seconds from 0.001 to 1e+09" }
local WAIT = { least = 0, most = math.huge, words = "a number of seconds, 0 or more" }

local redlock = { _VERSION = "redlock scm" }

local methods = { _VERSION = redlock._VERSION }
local Class = { __index = methods }
local Lock = { __index = methods }

local function fail(level, message, ...)
    error("redlock: " .. message:format(...), level + 1)
end

-- ---- clients: one for each configuration, as long as the worker lives ----

local clients, client_count = {}, 0

-- The same text for the same value, and for no other.
local function describe(value)
    local kind = type(value)
    if kind == "string" then
        return #value .. ":" .. value
    elseif kind == "number" then
        return ("%.17g"):format(value)
    elseif kind ~= "table" then
        return tostring(value)
    end
    local fields = {}
    for key, field in pairs(value) do
        fields[#fields + 1] = describe(key) .. "=" .. describe(field)
    end
    if #fields > 1 then
        table.sort(fields)
    end
    return "{" .. table.concat(fields, ",") .. "}"
end

local function client_of(settings, terms, level)
    local id = describe(settings)
    local client = clients[id]
    if client and not core.is_closed(client.handle) then
        return client
    elseif not client and client_count >= CLIENTS_MAX then
        fail(level, "this worker has %d clients already; requests should share one", client_count)
    end
    settings.terms = terms
    local new_client = Client.new(settings, level + 1)
    client_count = client_count + (client and 0 or 1)
    clients[id] = new_client
    return new_client
end

-- ---- classes: what on() returns ----

-- By what on() was given. When they are too many, all are forgotten, and made again.
local classes, class_count = {}, 0

local function new_class(settings, opts, level)
    local given = opts or settings
    local checked = options.client(settings, opts, level + 1)
    local terms = checked.terms
    terms.renew = type(given) == "table" and given.renew or false
    checked.terms = nil
    return setmetatable({ client = client_of(checked, terms, level + 1), terms = terms }, Class)
end

local function class_on(settings, opts, level)
    local id = settings
    if type(settings) ~= "string" or opts ~= nil then
        id = describe(settings) .. describe(opts)
    end
    local class = classes[id]
    if class and not core.is_closed(class.client.handle) then
        return class
    end
    class = new_class(settings, opts, level + 1)
    if class_count >= CLASSES_MAX then
        classes, class_count = {}, 0
    end
    class_count = class_count + 1
    classes[id] = class
    return class
end

-- ---- options ----

-- Waiters are woken: there are no steps of a poll.
local without_use = { step = true, ratio = true, max_step = true }

-- Not a number is neither less nor more than anything.
local function check_seconds(what, value, range, level)
    local fits = type(value) == "number" and value >= range.least and value <= range.most
    if not fits then
        fail(level, "%s must be %s", what, range.words)
    end
end

local function translate(opts, defaults, level)
    local terms = {}
    for name, value in pairs(opts) do
        if name == "exptime" then
            check_seconds('option "exptime"', value, LEASE, level + 1)
            terms.ttl = value
        elseif name == "timeout" then
            check_seconds('option "timeout"', value, WAIT, level + 1)
            terms.wait = value
        elseif name == "ttl" or name == "wait" then
            fail(level, "there is no option %q here; there are exptime and timeout", name)
        elseif not without_use[name] then
            terms[name] = value
        end
    end
    if terms.wait then
        terms.wait = math.min(terms.wait, terms.ttl or defaults.ttl)
    end
    return terms
end

local function terms_of(opts, defaults, level)
    if opts == nil then
        return defaults
    elseif type(opts) ~= "table" then
        fail(level, "options must be a table, not %s", type(opts))
    end
    local terms = translate(opts, defaults, level + 1)
    return (options.terms(terms, defaults, level + 1)) -- no tail call: it would hide a level
end

-- ---- keys ----

-- What stands before the keys of a dictionary. The first colon ends its name, so that what two
-- dictionaries hold never meets.
local function prefix_of(dict)
    return dict:gsub("[%%:]", { ["%"] = "%25", [":"] = "%3A" }) .. ":"
end

local function digest(key)
    return "sha1:" .. ngx.sha1_bin(key):gsub(".", function(byte)
        return ("%02x"):format(byte:byte())
    end)
end

-- A key may be longer than a lock's name, and may end like what the library keeps beside a lock.
-- It often comes from a request, which must not fail for that.
local function name_of(lock, key)
    local name = lock.prefix .. key
    local suffix = (lock.client.prefix .. name):match ":(%l+)$"
    if #name > NAME_MAX or suffix == "fence" or suffix == "queue" or suffix == "claim" then
        return lock.prefix .. digest(key)
    end
    return name
end

local function check_key(key, level)
    if type(key) == "number" then
        return tostring(key)
    elseif not key then
        return nil, "nil key"
    elseif type(key) ~= "string" then
        fail(level, "a key must be a string, not %s", type(key))
    elseif key == "" then
        return nil, "empty key"
    elseif #key > KEY_MAX then
        return nil, "key too long"
    end
    return key
end

-- ---- the methods of a lock, and of what makes them ----

local function check_self(lock, method)
    if getmetatable(lock) ~= Lock then
        error(("redlock: call it with a colon: lock:%s()"):format(method), 3)
    end
end

local function holds(lock)
    return lock.redlock ~= nil and lock.redlock:held()
end

local function new_lock(class, dict, opts, level)
    if dict ~= nil and (type(dict) ~= "string" or dict == "" or #dict > DICT_MAX) then
        return nil, "dictionary not found"
    end
    return setmetatable({
        client = class.client,
        prefix = dict and prefix_of(dict) or "",
        terms = terms_of(opts, class.terms, level + 1),
    }, Lock)
end

--- Makes a lock object. It is for one light thread: another one makes its own.
-- @tparam string dict where lua-resty-lock has the name of a shared dictionary: locks of different
-- names have nothing to do with each other
-- @tparam[opt] table opts `exptime` (the lease, by default 30) and `timeout` (how long `lock`
-- waits, by default 5; at most `exptime`; 0: it tries once) in seconds; `renew` (by default false:
-- the lease is a hard limit), `max_hold`, `fair`, `cohort`, `detach`, `at_least` as for redlock. `step`,
-- `ratio` and `max_step` are taken and have no use
-- @treturn[1] resty.redlock.Lock
-- @treturn[2] nil
-- @treturn[2] string "dictionary not found", where the name is none
-- @raise what is wrong with the options, at the caller's line
function methods:new(dict, opts)
    if getmetatable(self) ~= Class then
        error("redlock: call it with a colon, on what on() returned: resty_lock:new()", 2)
    end
    local lock, message = new_lock(self, dict or false, opts, 3)
    return lock, message
end

-- As in lua-resty-lock, a lock whose object is garbage is unlocked; a lock of redlock's own would last
-- until its request ends.
local function let_go_with(lock, grant)
    local guard = newproxy(true) -- luacheck: globals newproxy
    getmetatable(guard).__gc = function()
        pcall(core.let_go, grant)
    end
    lock.guard = guard
end

--- Acquires the lock of a key, among all who ask the same nodes.
-- @tparam string key 1 to 65535 bytes, any of them
-- @treturn[1] number for how many seconds it waited for another owner; 0 if there was none
-- @treturn[2] nil
-- @treturn[2] string "timeout" (another holds it still), "locked" (this very object holds a lock),
-- "nil key", "empty key", "key too long", or a message that begins with `unavailable` or `closed`
function methods:lock(key)
    check_self(self, "lock")
    local text, problem = check_key(key, 3)
    if not text then
        return nil, problem
    elseif holds(self) then
        return nil, "locked"
    end
    local grant, message, code = self.client:acquire(name_of(self, text), self.terms)
    if not grant then
        return nil, (code == "timeout" or code == "locked") and "timeout" or message
    elseif holds(self) then -- by another light thread, meanwhile
        grant:release()
        return nil, "locked"
    end
    self.redlock = grant
    let_go_with(self, grant)
    return grant.waited
end

--- Releases the lock, and wakes who waits for it.
-- @treturn[1] number 1
-- @treturn[2] nil
-- @treturn[2] string "unlocked" (it is not held, perhaps not any more), or a message that begins
-- with `unavailable` or `closed`: what the nodes were not told ends with the lease
function methods:unlock()
    check_self(self, "unlock")
    local grant = self.redlock
    if not grant then
        return nil, "unlocked"
    end
    self.redlock = nil
    local released, message, code = grant:release() -- true also where the request's end released it
    if released then
        return 1
    end
    return nil, code == "lost" and "unlocked" or message
end

-- The nodes never shorten a lease: what is to end sooner is released then. A worker that exits
-- runs its timers too early.
local function end_in(lock, time)
    local grant, ending = lock.redlock, {}
    local planned, message = ngx.timer.at(time, function(is_early)
        if not is_early and lock.ending == ending and lock.redlock == grant then
            lock.redlock = nil
            grant:release()
        end
    end)
    if planned then
        lock.ending = ending
        return true
    end
    return nil, message
end

--- Sets when the lease ends.
-- @tparam[opt] number time in so many seconds; by default `exptime`
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string "unlocked" (it is not held, perhaps not any more), or a message that begins
-- with `unavailable` or `closed`: the lease goes on as it was
function methods:expire(time)
    check_self(self, "expire")
    if time ~= nil then
        check_seconds("what expire() takes", time, LEASE, 3)
    end
    if not holds(self) then
        return nil, "unlocked"
    end
    time = time or self.terms.ttl
    if time < self.redlock:remaining() then
        return end_in(self, time)
    end
    local extended, message, code = self.redlock:extend(time)
    if extended then
        self.ending = nil
        return true
    end
    return nil, code == "lost" and "unlocked" or message
end

function Lock:__tostring()
    return "resty.redlock.Lock " .. (self.redlock and tostring(self.redlock) or "(unlocked)")
end

function Class:__tostring()
    return "resty.redlock on " .. tostring(self.client)
end

-- ---- the module ----

-- lua-resty-lock has them here too.
redlock.lock, redlock.unlock, redlock.expire = methods.lock, methods.unlock, methods.expire

--- What stands where `require "resty.lock"` stood: makes locks on these nodes. It may be called in
-- each request, since a worker has one client for each configuration and keeps it.
-- @tparam string|table settings as for `redlock.new`. `ttl`, `wait`, `renew` (here by default
-- false), `max_hold`, `fair`, `cohort`, `detach` and `at_least` are what its locks have unless `new` says
-- otherwise
-- @tparam[opt] table opts as for `redlock.new`
-- @treturn table with `new`; its `client` is the redlock.Client
-- @raise what is wrong with the settings, at the caller's line; and at the 65th configuration
function redlock.on(settings, opts)
    return (class_on(settings, opts, 3)) -- no tail call: it would hide the caller's line
end

local lock_options = {
    exptime = true, timeout = true, step = true, ratio = true, max_step = true, ttl = true,
    wait = true, renew = true, max_hold = true, fair = true, cohort = true, detach = true,
    at_least = true,
}

--- Makes a lock object from one table that has the nodes too.
-- @tparam[opt] string dict as for `new` above; without it the key stands on Redis as it is
-- @tparam table opts those of `new` above, and those of `redlock.new`; its `timeout` is
-- `node_timeout` here
-- @treturn resty.redlock.Lock as from `new` above
-- @raise as `on`
function redlock:new(dict, opts)
    if self ~= redlock then
        error("redlock: call it with a colon: redlock:new()", 2)
    elseif opts == nil and type(dict) == "table" then
        dict, opts = nil, dict
    end
    if type(opts) ~= "table" then
        error('redlock: new() takes a table with "nodes"; what on() returns knows them', 2)
    end
    local of_lock, of_client = {}, {}
    for name, value in pairs(opts) do
        local part = lock_options[name] and of_lock or of_client
        part[name == "node_timeout" and "timeout" or name] = value
    end
    local lock, message = new_lock(class_on(of_client, nil, 3), dict, of_lock, 3)
    return lock, message
end

return redlock
