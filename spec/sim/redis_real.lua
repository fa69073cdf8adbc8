--- A real Redis server whose wall clock the spec sets, and events that happen to it: those of
-- sim.redis_model.

local keeper = require "keeper"
local unix = require "socket.unix"
local wait = require "support.wait"

local real = {}

local Real = {}
Real.__index = Real

local PATIENCE = 10 -- seconds for what must come
local SILENCE = 0.2 -- seconds after which nothing more is taken to come, once a spec has failed

local function clock_path()
    local build = os.getenv "REDLOCK_BUILD" or ""
    return "build/sim" .. (build:match "^build/[^-]+(.*)$" or "") .. "/redis/clock.so"
end

local function absolute(path)
    local pipe = assert(io.popen("pwd"))
    local folder = pipe:read "*l"
    pipe:close()
    return folder .. "/" .. path
end

-- Eight bytes, the lowest first.
local function write_whole(number)
    local bytes = {}
    for index = 1, 8 do
        bytes[index] = string.char(number % 256)
        number = math.floor(number / 256)
    end
    return table.concat(bytes)
end

--- Moves the server's clock.
function Real:set_clock(now_ms)
    if now_ms ~= self.now_ms then
        self.now_ms = now_ms
        self.clock:seek "set"
        assert(self.clock:write(write_whole(now_ms)))
    end
end

local function launch(self)
    local dir = keeper.quote(self.keeper.dir)
    self.keeper:start(
        ("cd %s && LD_PRELOAD=%s SIM_CLOCK=clock exec redis-server --port 0 --save '' " ..
            "--unixsocket redis.sock --unixsocketperm 700"):format(dir,
            keeper.quote(absolute(clock_path()))),
        ("test \"$(redis-cli -s %s/redis.sock ping)\" = PONG"):format(dir))
    assert(self.keeper:started(), self.keeper:read "output")
    self.started_at_ms = self.now_ms
    self.control = self:connect()
end

function Real:connect()
    local connection = unix.stream()
    connection:settimeout(PATIENCE)
    assert(connection:connect(self.keeper.dir .. "/redis.sock"))
    return connection
end

--- Starts a server.
-- @tparam number now_ms what its clock shows
-- @treturn Real
function real.start(now_ms)
    local self = setmetatable({ keeper = keeper.new(), sessions = {} }, Real)
    self.keeper:settle()
    self.clock = assert(io.open(self.keeper.dir .. "/clock", "wb"))
    self.clock:setvbuf "no"
    self:set_clock(now_ms)
    launch(self)
    self.version = self:ask("INFO", "server"):match "redis_version:(%S+)"
    return self
end

function Real:close()
    self.keeper:close()
    self.clock:close()
end

-- One reply. What came of it, false and why, if no more comes.
local function read_reply(connection)
    local parts, left = {}, 1
    while left > 0 do
        local line, why, rest = connection:receive "*l"
        if not line then
            return table.concat(parts) .. (rest or ""), false, why
        end
        parts[#parts + 1] = line .. "\r\n"
        left = left - 1
        local kind, count = line:match "^([$*])(%d+)"
        if kind == "*" then
            left = left + tonumber(count)
        elseif kind == "$" then
            parts[#parts + 1] = connection:receive(tonumber(count) + 2) or ""
        end
    end
    return table.concat(parts), true
end

--- Sends a command on a connection that is no session.
-- @treturn string the reply's bytes
function Real:ask(...)
    assert(self.control:send(real.command(...)))
    local reply, whole, why = read_reply(self.control)
    return whole and reply or error(why)
end

--- The bytes of a command.
function real.command(...)
    local words = { ... }
    for index, word in ipairs(words) do
        word = tostring(word)
        words[index] = ("$%d\r\n%s\r\n"):format(#word, word)
    end
    return ("*%d\r\n%s"):format(#words, table.concat(words))
end

--- Takes what a session was sent.
-- @tparam number session
-- @tparam number count how many replies and messages are to come
-- @treturn string less, if they do not come
function Real:receive(session, count)
    local replies = {}
    for index = 1, count do
        local whole
        replies[index], whole = read_reply(self.sessions[session])
        if not whole then
            break
        end
    end
    return table.concat(replies)
end

--- Takes what a session was sent and nobody expected.
function Real:receive_rest(session)
    self.sessions[session]:settimeout(SILENCE)
    local bytes, _, rest = self.sessions[session]:receive "*a"
    self.sessions[session]:settimeout(PATIENCE)
    return bytes or rest or ""
end

--- Whether the server closed a session.
function Real:has_closed(session)
    local bytes, why = self.sessions[session]:receive(1)
    return bytes == nil and why == "closed"
end

-- The server is told of a connection that ends when it gets to it.
local function await_sessions(self)
    local count = 1
    for _ in pairs(self.sessions) do
        count = count + 1
    end
    assert(wait.wait_until(function()
        return self:ask("INFO", "clients"):find("connected_clients:" .. count .. "\r", 1, true)
    end, PATIENCE), "a session is still there")
end

local happen = {}

function happen.accept(self, session)
    self.sessions[session] = self:connect()
end

function happen.close(self, session)
    if self.sessions[session] then -- a restart may have ended it
        self.sessions[session]:close()
        self.sessions[session] = nil
        await_sessions(self)
    end
end

function happen.receive(self, session, now_ms, bytes)
    self:set_clock(now_ms)
    assert(self.sessions[session]:send(bytes))
end

function happen.look(self, now_ms)
    self:set_clock(now_ms)
end

function happen.restart(self, keeps_data, now_ms)
    for session, connection in pairs(self.sessions) do
        connection:close()
        self.sessions[session] = nil
    end
    assert(self:ask(keeps_data and "SAVE" or "FLUSHALL") == "+OK\r\n")
    self.control:close()
    self.keeper:stop()
    self:set_clock(now_ms)
    if not keeps_data then
        os.remove(self.keeper.dir .. "/dump.rdb")
    end
    launch(self)
end

--- Lets an event happen.
function Real:apply(event)
    happen[event[1]](self, event[2], event[3], event[4])
end

--- Ends all sessions, and forgets all keys and scripts.
function Real:clear()
    for session, connection in pairs(self.sessions) do
        connection:close()
        self.sessions[session] = nil
    end
    await_sessions(self)
    assert(self:ask "FLUSHALL" == "+OK\r\n")
    assert(self:ask("SCRIPT", "FLUSH") == "+OK\r\n")
end

return real
