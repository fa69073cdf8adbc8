--- Starts two nginx with nginx.conf, the "machines", and three private Redis servers, their nodes.
--
--     lua5.4 examples/openresty/run.lua [PORT [NODE...]]
--
-- The machines listen on PORT, 8080 unless given, and the one above it. Enter or Ctrl-C ends
-- everything that was started.

local folder = arg[0]:match("^.*/") or "./"
package.path = folder .. "../?.lua;" .. package.path
local keeper = require "keeper"
local servers = require "servers"

local MACHINES = 2

local function read(path)
    local file = assert(io.open(path))
    local text = file:read("*a")
    file:close()
    return text
end

local function find_nginx()
    local pipe = assert(io.popen(
        "PATH=$PATH:/usr/sbin:/usr/local/openresty/bin; command -v openresty || command -v nginx"))
    local path = pipe:read "*l"
    pipe:close()
    return assert(path, "nginx is not here")
end

local nginx = find_nginx()

-- The port and the files of a machine are its own; and OpenResty has the Lua module built in.
local function configuration(port, dir)
    return (read(folder .. "nginx.conf")
        :gsub("127%.0%.0%.1:8080", "127.0.0.1:" .. port)
        :gsub("%.%./%.%./build/openresty", dir .. "/nginx")
        :gsub("load_module %S+;\n", nginx:find "openresty$" and "" or "%0"))
end

local COMMAND = "export REDLOCK_NODES=%s; cd %s && exec %s -p \"$PWD\" -c %s"

local function start_machine(port, urls)
    local machine = keeper.new()
    machine:save("nginx.conf", configuration(port, machine.dir))
    machine:start(
        COMMAND:format(
            keeper.quote(table.concat(urls, " ")),
            keeper.quote(folder),
            keeper.quote(nginx),
            keeper.quote(machine.dir .. "/nginx.conf")),
        ("[ -s %s/nginx.pid ]"):format(keeper.quote(machine.dir)))
    return machine
end

local function start_machines(first_port, urls)
    local machines = {}
    for index = 1, MACHINES do
        machines[index] = start_machine(first_port + index - 1, urls)
    end
    for _, machine in ipairs(machines) do
        local pid, failure = machine:started()
        assert(pid, ("nginx %s: %s"):format(tostring(failure), machine:read("errors")))
    end
    return machines
end

local TRY = [[
Two machines, on the ports %d and %d. What to try:

one of fifty requests makes the report
    curl -Z --no-progress-meter 'http://127.0.0.1:[%d-%d]/report?name=weekly&visitor=[1-25]'
changes of an order one after the other, whatever the machine
    curl -Z --no-progress-meter 'http://127.0.0.1:[%d-%d]/orders/42?change=[1-10]'
what ran once each second, and in which worker of the two machines
    curl -s http://127.0.0.1:%d/runs

Enter ends it.]]

local first_port = tonumber(arg[1] or 8080)
local last_port = first_port + MACHINES - 1
local urls = servers.urls({ (table.unpack or unpack)(arg, 2) }, 3)
local machines = start_machines(first_port, urls)
print(TRY:format(first_port, last_port, first_port, last_port, first_port, last_port, last_port))
io.stdout:flush()
io.read()
for _, machine in ipairs(machines) do
    io.stderr:write(machine:read("errors"))
    machine:close()
end
servers.stop_all()
