--- The client processes of a torture, and what their histories say so far.

local history = require "torture.history"
local section = require "torture.section"
local system = require "torture.system"
local wait = require "support.wait"

local fleet = {}

local Fleet = {}
Fleet.__index = Fleet

local PROGRAMS = "spec/torture/programs/"
local CLOCK_LIBRARY = "build/torture/clock.so"

-- Kinds of clients: the program, the Lua that runs it, and its way to the nodes. `far`: in a
-- network of its own; `clock`: with a wall clock that can be stepped.
local CLASSES = {
    lua = { program = "script", lua = "lua5.4", side = "a" },
    luajit = { program = "script", lua = "luajit", side = "a" },
    fork = { program = "script", lua = "lua5.4", side = "a" },
    steady = { program = "script", lua = "luajit", side = "a" },
    wall = { program = "script", lua = "lua5.4", side = "a", clock = true },
    far = { program = "script", lua = "lua5.4", side = "far", far = true },
    ["far-luajit"] = { program = "script", lua = "luajit", side = "far", far = true },
    cqueues = { program = "coroutines", lua = "lua5.4", side = "b" },
    luv = { program = "coroutines", lua = "luajit", side = "b" },
    browser = { program = "browser", lua = "lua5.4", side = "b" },
}

--- Makes a fleet without clients.
-- @tparam table options `dir`; `settings`, the path of what clients are told; `network` of those
-- that are far; `luas`, list of `{ command, build }`
-- @treturn Fleet with `clients`, those that run
function fleet.new(options)
    local self = setmetatable({
        dir = options.dir, settings = options.settings, network = options.network,
        luas = options.luas, clients = {}, ended = {}, wrong = {}, count = 0, nginx = {},
    }, Fleet)
    self:order "go"
    return self
end

--- Tells all clients: "go", "fork" or "stop".
function Fleet:order(word)
    local path = self.dir .. "/orders"
    local file = assert(io.open(path .. ".new", "w"))
    file:write(word)
    file:close()
    assert(os.rename(path .. ".new", path))
end

-- The one that a class is meant for, if it is there.
local function lua_of(self, kind)
    for _, lua in ipairs(self.luas) do
        if lua.command == kind.lua then
            return lua
        end
    end
    return self.luas[1]
end

--- Starts a client.
-- @tparam string class
-- @tparam[opt=0] number step of its wall clock, if that can be stepped
-- @treturn table the client
function Fleet:spawn(class, step)
    local kind = CLASSES[class]
    local lua = lua_of(self, kind)
    self.count = self.count + 1
    local id = ("%s-%d"):format(class, self.count)
    local client = { id = id, class = class }
    client.clock = kind.clock and ("%s/%s.clock"):format(self.dir, id)
    local words = { "env", ("LUA_CPATH=%s/?.so;;"):format(lua.build) }
    if client.clock then
        assert(system.set_clock(client.clock, step or 0))
        words[#words + 1] = "LD_PRELOAD=" .. CLOCK_LIBRARY
        words[#words + 1] = "TORTURE_CLOCK=" .. client.clock
    end
    words[#words + 1] = lua.command
    words[#words + 1] = PROGRAMS .. kind.program .. ".lua"
    for _, word in ipairs { self.settings, id, class, kind.side } do
        words[#words + 1] = word
    end
    words.output = ("%s/%s.output"):format(self.dir, id)
    words.network = kind.far and self.network or nil
    client.output = words.output
    client.pid = assert(system.spawn(words))
    client.reader = history.reader(("%s/%s.history"):format(self.dir, id), id, class)
    self.clients[#self.clients + 1] = client
    return client
end

local function drop(self, client)
    for index, each in ipairs(self.clients) do
        if each == client then
            table.remove(self.clients, index)
        end
    end
    self.ended[#self.ended + 1] = client
end

-- ---- what they have written ----

local function read_output(client)
    local file = io.open(client.output)
    local text = file and file:read "*a" or ""
    if file then
        file:close()
    end
    return text:gsub("%s+$", ""):sub(-400)
end

-- Those that ended by themselves before they were told to.
local function notice_ends(self)
    for index = #self.clients, 1, -1 do
        local client = self.clients[index]
        client.status = system.reap(client.pid)
        if client.status and not client.killed then
            self.wrong[#self.wrong + 1] = ("%s ended with status %d: %s"):format(
                client.id, client.status, read_output(client))
            drop(self, client)
        end
    end
end

-- Workers of nginx write histories of their own.
local function find_workers(self)
    self.list = self.list or io.open(self.dir .. "/nginx.workers")
    while self.list do
        local name = self.list:read "*l"
        if not name then
            break
        end
        local path = ("%s/%s.history"):format(self.dir, name)
        self.nginx[#self.nginx + 1] = history.reader(path, name, "nginx")
    end
end

--- Reads what clients have written since the last look.
function Fleet:poll()
    notice_ends(self)
    find_workers(self)
    for _, client in ipairs(self.clients) do
        client.reader:poll()
    end
    for _, reader in ipairs(self.nginx) do
        reader:poll()
    end
end

-- All workers of nginx count as one client, since any of them may serve.
local function readers_of_nginx(self)
    local all = { client = "nginx", class = "nginx", saw = 0 }
    for _, reader in ipairs(self.nginx) do
        all.saw = math.max(all.saw, reader.saw)
    end
    return all
end

--- The histories of clients that run and are to make progress.
-- @treturn {table,...} each with `client`, `class`, `saw`
function Fleet:workers()
    local readers = {}
    for _, client in ipairs(self.clients) do
        if client.class == "browser" then
            readers[#readers + 1] = readers_of_nginx(self)
        elseif not client.paused then
            readers[#readers + 1] = client.reader
        end
    end
    return readers
end

local function all_readers(self)
    local readers = {}
    for _, list in ipairs { self.clients, self.ended } do
        for _, client in ipairs(list) do
            readers[#readers + 1] = client.reader
        end
    end
    for _, reader in ipairs(self.nginx) do
        readers[#readers + 1] = reader
    end
    readers[#readers + 1] = self.rival
    return readers
end

--- All sections that have been written down so far.
-- @treturn {table,...}
function Fleet:sections()
    local sections = {}
    for _, reader in ipairs(all_readers(self)) do
        reader:poll()
        for _, each in pairs(reader.sections) do
            sections[#sections + 1] = each
        end
    end
    return sections
end

--- The claims of clients that did not hold.
-- @treturn {string,...}
function Fleet:wrong_claims()
    local wrong = {}
    for _, reader in ipairs(all_readers(self)) do
        reader:poll()
        for _, text in ipairs(reader.wrong) do
            wrong[#wrong + 1] = reader.client .. ": " .. text
        end
    end
    return wrong
end

--- How often owners have forked so far.
function Fleet:forks()
    local forks = 0
    for _, reader in ipairs(all_readers(self)) do
        forks = forks + reader.forks
    end
    return forks
end

--- Reads no history any more.
function Fleet:close()
    for _, reader in ipairs(all_readers(self)) do
        reader:close()
    end
end

--- The name of a lock that a client owns, as far as is known, and under which it has yet to write.
-- @treturn ?string
function Fleet.owned(_, client)
    for _, each in pairs(client.reader.open) do
        if each.own and #each.writes + each.stale < section.WRITES then
            return each.name
        end
    end
end

local states = {}

function states.owns(client)
    return (client.reader:state())
end

function states.writes(client)
    return Fleet:owned(client) ~= nil
end

function states.waits(client)
    local owns, waits = client.reader:state()
    return waits and not owns
end

--- The clients, of some classes, that own a lock now; that have yet to write under one; or that
-- wait for one.
-- @tparam string state "owns", "writes" or "waits"
-- @tparam table classes a set
function Fleet:that(state, classes)
    self:poll()
    local found = {}
    for _, client in ipairs(self.clients) do
        if classes[client.class] and not client.paused and states[state](client) then
            found[#found + 1] = client
        end
    end
    return found
end

-- ---- what is done to them ----

function Fleet:kill(client)
    client.killed = true
    system.signal(client.pid, "KILL")
    client.status = system.reap(client.pid, true)
    client.reader:poll()
    drop(self, client)
end

local function has_stopped(client)
    local file = io.open(("/proc/%d/stat"):format(client.pid))
    local state = file and file:read("*a"):match "^.*%) (%a)"
    if file then
        file:close()
    end
    return state == "T"
end

--- Stops a client.
-- @tparam table client
-- @tparam[opt] string state see `that`
-- @treturn boolean whether it stands still, in that state
function Fleet.pause(_, client, state)
    client.paused = true
    system.signal(client.pid, "STOP")
    local stands = wait.wait_until(function() return has_stopped(client) end) == true
    client.reader:poll()
    return stands and (not state or states[state](client))
end

function Fleet.resume(_, client)
    client.paused = nil
    system.signal(client.pid, "CONT")
end

--- Steps the wall clock of a client that has one of its own.
function Fleet.set_clock(_, client, seconds)
    assert(system.set_clock(client.clock, seconds))
end

local function end_of(client)
    client.status = client.status or system.reap(client.pid)
    return client.status
end

-- Whether it ended as it should; else what is wrong.
local function check_end(client)
    client.reader:poll()
    local text = read_output(client)
    if client.status ~= 0 then
        return ("%s: status %d: %s"):format(client.id, client.status, text)
    elseif not client.reader.said_bye then
        return client.id .. ": ended without a word"
    elseif text ~= "" then
        return ("%s: said %s"):format(client.id, text)
    end
end

--- Tells all to stop, and waits for that.
-- @tparam number seconds
-- @treturn {string,...} what is wrong with how they ended
function Fleet:stop(seconds)
    notice_ends(self)
    self:order "stop"
    local all = self.clients
    wait.wait_until(function()
        for _, client in ipairs(all) do
            if not end_of(client) then
                return false
            end
        end
        return true
    end, seconds)
    local wrong = self.wrong
    for index = #all, 1, -1 do
        local client = all[index]
        if not end_of(client) then
            wrong[#wrong + 1] = ("%s did not end within %g s"):format(client.id, seconds)
            self:kill(client)
        else
            wrong[#wrong + 1] = check_end(client)
            drop(self, client)
        end
    end
    return wrong
end

--- Kills all that are left.
function Fleet:kill_all()
    while self.clients[1] do
        self:kill(self.clients[1])
    end
end

return fleet
