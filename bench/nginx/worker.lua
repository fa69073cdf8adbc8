--- Starts nginx with one worker, and knows when that has come to rest.

local http = require "socket.http"
local keeper = require "keeper"
local shell = require "shell"

local worker = {}

local Worker = {}
Worker.__index = Worker

local FIRST_PORT, PORTS, PORT_TRIES = 32000, 700, 10 -- above those of the Redis servers

http.TIMEOUT = 100 -- seconds; what is under way may take its time

-- Where the Lua module is not built in, it is loaded.
local function module_lines()
    local folder = shell.output("nginx -V"):match("%-%-modules%-path=(%S+)")
    local lines = {}
    for _, name in ipairs { "ndk_http_module", "ngx_http_lua_module" } do
        local path = folder and folder .. "/" .. name .. ".so"
        if path and io.open(path) then
            lines[#lines + 1] = "load_module " .. path .. ";"
        end
    end
    return table.concat(lines, "\n")
end

-- The worker has to read what its master's user may read.
local function user_line()
    local user, group = shell.output("id -un; id -gn"):match("^(%S+)\n(%S+)")
    return user == "root" and ("user %s %s;"):format(user, group) or ""
end

local function configuration(root, values)
    return (shell.read(root .. "bench/nginx/nginx.conf"):gsub("@(%u+)@", values))
end

--- Starts nginx with one worker, which knows these Redis servers.
-- @tparam string root of the checkout: empty, or with a slash at its end
-- @tparam {Server,...} nodes
-- @tparam boolean renew whether our locks are renewed
-- @tparam boolean cohort whether they are passed on within the worker
-- @treturn Worker with `url`, and `dir` where its files are
-- @raise when it does not come up
function worker.start(root, nodes, renew, cohort)
    local child, ports = keeper.new(), {}
    for index, node in ipairs(nodes) do
        ports[index] = node.port
    end
    for _ = 1, PORT_TRIES do
        local high, low = keeper.random_bytes(2):byte(1, 2)
        local port = FIRST_PORT + (high * 256 + low) % PORTS
        child:save("nginx.conf", configuration(root, {
            MODULES = module_lines(), USER = user_line(), PREFIX = child.dir, PORT = port,
            ROOT = shell.output("cd " .. keeper.quote(root .. ".") .. " && pwd"):match("[^\n]+"),
            RENEW = tostring(renew), COHORT = tostring(cohort), PORTS = table.concat(ports, ", "),
        }))
        child:start(
            ("exec nginx -p %s -c nginx.conf"):format(child.dir),
            ("test -s %s/nginx.pid"):format(child.dir))
        if child:started() then
            local url = "http://127.0.0.1:" .. port
            return setmetatable({ child = child, url = url, dir = child.dir }, Worker)
        end
        if not child:read("errors"):find("Address already in use", 1, true) then
            error("nginx: " .. child:read("errors") .. child:read("error.log"), 0)
        end
    end
    error("nginx found no free port", 0)
end

--- Ends nginx and removes its files.
function Worker:stop()
    self.child:stop()
    self.child:close()
end

--- What the error log holds.
-- @treturn string
function Worker:errors()
    return self.child:read("error.log")
end

--- Waits until nothing is under way.
-- @treturn number how many requests have locked and unlocked since the last time
-- @treturn number the worker's process id
-- @raise if it takes too long
function Worker:settle()
    local answer, status = http.request(self.url .. "/settled")
    if status ~= 200 then
        error(("the worker does not settle: %s\n%s"):format(
            tostring(status), self:errors():sub(-2000)), 0)
    end
    local completed, pid = answer:match("^(%d+) (%d+)\n$")
    return tonumber(completed), tonumber(pid)
end

return worker
