--- What a torture happens to: nodes, the ways to them, the store, and nginx. Everything on loopback
-- of a network of its own, where the machine allows that, and gone when this process is gone.
--
-- Clients reach the nodes by a *side*: `a` and `b` are a fault proxy (support/fault.lua) before
-- each node, `far` is a network of its own behind a wire (wire.lua), or such proxies too where
-- there is none.

local fault = require "support.fault"
local keeper = require "keeper"
local literal = require "support.literal"
local nginx = require "support.nginx"
local nodes = require "torture.nodes"
local servers = require "servers"
local system = require "torture.system"
local wait = require "support.wait"
local wire = require "torture.wire"

local world = {}

local World = {}
World.__index = World

local LOOPBACK = "127.0.0.1"

-- ---- starting ----

--- Leaves the network of this machine for one of its own, for this process and all that it starts.
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string why it could not be
function world.leave_network()
    local left, err = system.leave_network()
    if not left then
        return nil, err
    end
    local up = os.execute "ip link set lo up"
    assert(up == true or up == 0, "a network without a loopback is of no use")
    return true
end

-- A directory that goes when this process does.
local function new_directory()
    local child = keeper.new()
    child:start "exec sleep 1000000"
    assert(child:started())
    return child
end

local function start_wire(self, options)
    if options.network then
        self.wire, self.why_no_wire = wire.start(options.luas[1].command, self.dir)
    else
        self.why_no_wire = options.why_no_network
    end
end

local function urls_of(list, host)
    local urls = {}
    for index, each in ipairs(list) do
        urls[index] = ("redis://%s%s:%d"):format(nodes.credentials, host, each.port)
    end
    return urls
end

local function proxies_of(list)
    local proxies = {}
    for index, node in ipairs(list) do
        proxies[index] = fault.proxy(node)
    end
    return proxies
end

local function start_sides(self)
    self.sides = { a = proxies_of(self.nodes), b = proxies_of(self.nodes) }
    self.urls = { a = urls_of(self.sides.a, LOOPBACK), b = urls_of(self.sides.b, LOOPBACK) }
    if self.wire then
        self.urls.far = urls_of(self.nodes, wire.address)
    else
        self.sides.far = proxies_of(self.nodes)
        self.urls.far = urls_of(self.sides.far, LOOPBACK)
    end
end

--- Starts nodes, the store, and the ways between.
-- @tparam table options
--
--   * `nodes`: how many
--   * `network`: whether this process has left the machine's network; else `why_no_network`
--   * `luas`: list of `{ command, build }`
-- @treturn World with `dir`, `nodes`, `sides`, `urls`, `store` (the path of its socket)
function world.start(options)
    local self = setmetatable({ luas = options.luas, keeper = new_directory() }, World)
    self.dir = self.keeper.dir
    start_wire(self, options)
    local addresses = self.wire and LOOPBACK .. " " .. wire.address or LOOPBACK
    self.nodes = nodes.start(options.nodes, addresses)
    self.store_server = servers.start_one { config = { { "maxmemory", "0" } } }
    self.store = self.store_server.socket
    start_sides(self)
    return self
end

--- Writes what clients are told.
-- @treturn string the path
function World:save_settings(settings)
    local path = self.dir .. "/settings" -- always the same, since nginx reads it at each reload
    local told = { nodes = self.urls, store = self.store }
    for name, value in pairs(settings) do
        told[name] = value
    end
    local file = assert(io.open(path, "w"))
    file:write(literal.write(told))
    file:close()
    return path
end

--- Starts nginx, with a client in each worker, for settings that were saved.
function World:start_nginx(path)
    self.nginx = nginx.start {
        nodes = self.urls.b, workers = 2, level = "warn",
        http = "lua_check_client_abort on;",
        init = ('require("torture.programs.handler").init(%q)'):format(path),
        server = [[location = /work {
            content_by_lua_block { require("torture.programs.handler").work() }
        }]],
    }
    return self.nginx
end

--- Says how far clients are treated.
function World:describe()
    if self.wire then
        return "far clients: a network of their own, packets through TUN devices"
    end
    local words = "far clients: behind proxies, for want of a network of their own: %s"
    return words:format(self.why_no_wire)
end

-- ---- what faults need ----

--- Calls a function with every node that is up.
function World:each_node(act)
    for _, node in ipairs(self.nodes) do
        if node:is_up() then
            act(node)
        end
    end
end

--- Calls a function with the proxies before some nodes.
-- @tparam {Node,...} list
-- @tparam function act
-- @tparam[opt] string only the side, by default all
function World:each_proxy(list, act, only)
    for side, proxies in pairs(self.sides) do
        if not only or side == only then
            for _, node in ipairs(list) do
                act(proxies[node.index])
            end
        end
    end
end

--- Treats what far clients send and get, as `Wire:set` takes it. Where there is no wire, the
-- proxies do what TCP makes of it: packets that are lost or changed come later, those that come
-- twice are nothing.
function World:treat_far(behaviour)
    if self.wire then
        self.wire:set(behaviour)
        return
    end
    local blocked = behaviour.block or {}
    local bad = (behaviour.loss or 0) + (behaviour.change or 0)
    for index, proxy in ipairs(self.sides.far) do
        local is_blocked = blocked.all or blocked[self.nodes[index].port]
        proxy:set {
            delay_requests = 1000 * (behaviour.delay or 0),
            delay_replies = 1000 * (behaviour.delay or 0),
            jitter = 1000 * ((behaviour.jitter or 0) + bad),
            chunk = behaviour.rate and 100 or 65536,
            chunk_delay = behaviour.rate and 100000 / behaviour.rate or 0,
            hold_requests = is_blocked and behaviour.only ~= "replies" or false,
            hold_replies = is_blocked and behaviour.only ~= "requests" or false,
        }
    end
end

--- Waits until all nodes have been up for so long that the restart guard sees them as old.
function World:await_age(seconds)
    local function youngest()
        local age = math.huge
        for _, node in ipairs(self.nodes) do
            age = math.min(age, node:age())
        end
        return age
    end
    while youngest() < seconds do
        wait.sleep(0.05)
    end
end

-- ---- the end ----

--- Stops everything, clients that are left included.
function World:stop()
    if self.fleet then
        self.fleet:kill_all()
    end
    nginx.stop_all()
    fault.stop_all()
    if self.wire then
        self.wire:close()
    end
    servers.stop_all()
    self.keeper:close()
end

return world
