--- A client inside nginx: what a request does in a worker. Each worker writes a history of its own.

-- luacheck: globals ngx

local history = require "torture.history"
local redlock = require "redlock"
local section = require "torture.section"
local settings = require "torture.programs.settings"
local store = require "torture.store"

local handler = {}

local told, client, writer

--- For the master process.
function handler.init(path)
    told = settings.read(path)
    told.orders = settings.orders(told)
    client = redlock.new {
        nodes = told.nodes.b, timeout = told.timeout, client_name = "nginx",
    }
end

local function open_history()
    math.randomseed(told.seed + ngx.worker.pid())
    local name = ("nginx-%d"):format(ngx.worker.pid())
    writer = history.writer(("%s/%s.history"):format(told.dir, name))
    local list = assert(io.open(told.dir .. "/nginx.workers", "a"))
    list:write(name, "\n")
    list:close()
end

local function dial(path)
    local connection = ngx.socket.tcp()
    connection:settimeout(10000)
    local ok, err = connection:connect("unix:" .. path)
    return ok and connection, err
end

--- Answers a request: one section.
function handler.work()
    if not writer then
        open_history()
    end
    local own_store = store.new(dial, told.store)
    local had = section.run {
        client = client, writer = writer, settings = told, sleep = ngx.sleep, store = own_store,
        orders = told.orders,
    }
    own_store:close()
    ngx.say(had and "had" or "not")
end

return handler
