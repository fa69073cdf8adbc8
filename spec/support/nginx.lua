--- Starts a real nginx with the Lua module, on free ports of 127.0.0.1 and in a directory of its
-- own, and looks at its processes and its error log. It and its workers end with the spec's
-- process, however that ends: they live in the keeper's process group (see keeper.lua).

local http = require "support.http"
local inbox = require "support.inbox"
local keeper = require "keeper"
local literal = require "support.literal"
local quorum = require "support.quorum"
local socket = require "socket"
local wait = require "support.wait"

local nginx = {}

local Nginx = {}
Nginx.__index = Nginx

local FIRST_PORT, LAST_PORT = 20000, 31999 -- below the ports that systems give to outgoing calls
local PATIENCE = 60 -- seconds
local PLACES = { "first", "second" }
local LEVELS = { "error", "crit", "alert", "emerg" }

local running = {} -- every nginx that was started and not closed: nginx -> true

local function output_of(command)
    local pipe = assert(io.popen(command, "r"))
    local output = pipe:read("*a")
    pipe:close()
    return output
end

local function random_port()
    while true do
        local high, low = keeper.random_bytes(2):byte(1, 2)
        local port = FIRST_PORT + (high * 256 + low) % (LAST_PORT - FIRST_PORT + 1)
        local probe = socket.bind("127.0.0.1", port)
        if probe then
            probe:close()
            return port
        end
    end
end

local WITH_SBIN = [[PATH="$PATH:/usr/sbin:/usr/local/sbin"; ]]

-- Debian builds the Lua module apart from nginx; OpenResty builds it in.
local function module_lines()
    local built = output_of(WITH_SBIN .. "nginx -V 2>&1")
    local folder = built:match("%-%-modules%-path=(%S+)") or ""
    local lines = {}
    for _, name in ipairs { "ndk_http_module", "ngx_http_lua_module" } do
        local path = ("%s/%s.so"):format(folder, name)
        local file = io.open(path, "rb")
        if file then
            file:close()
            lines[#lines + 1] = ("load_module %s;"):format(path)
        end
    end
    return table.concat(lines, "\n")
end

local function is_root()
    return output_of("id -u") == "0\n"
end

local checkout = output_of("pwd"):gsub("\n$", "")

-- Where this build's LuaJIT module lies: nginx runs no other Lua.
local function build_folder()
    local named = os.getenv("REDLOCK_BUILD") or ""
    return checkout .. "/" .. (named:find("luajit", 1, true) and named or "build/luajit")
end

local CONFIGURATION = [[
{modules}
{user}
daemon off;
worker_processes {workers};
pid {dir}/nginx.pid;
lock_file {dir}/nginx.lock;
error_log {dir}/error.log {level};
{main}
events {
    worker_connections {connections};
}
http {
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    client_body_buffer_size 64k;
    large_client_header_buffers 8 32k;
    keepalive_requests 1000000;
    lua_package_path "{checkout}/lua/?.lua;{checkout}/lua/?/init.lua;{checkout}/spec/?.lua;;";
    lua_package_cpath "{build}/?.so;;";
    lua_shared_dict notes 2m;
    lua_shared_dict gates 1m;
    lua_socket_log_errors off;
    init_by_lua_block {
        require("support.stage").init({client})
        require("support.stage").play_told "init"
        {init}
    }
    init_worker_by_lua_block { require("support.stage").play_told "init_worker" }
    exit_worker_by_lua_block { require("support.stage").play_told "exit_worker" }
    {http}
    server {
        listen 127.0.0.1:{port};
        {listen}
        location = /plain { return 200 plain; }
        location = /open { content_by_lua_block { require("support.stage").open() } }
        location = /tell { content_by_lua_block { require("support.stage").tell() } }
        location = /notes { content_by_lua_block { require("support.stage").notes() } }
        location = /reset { content_by_lua_block { require("support.stage").reset() } }
        {places}
        {server}
    }
}
]]

-- A place whose every phase plays what the request brings along.
local PLACE = [[
        location /@ {
            set_by_lua_block $played_at_@ { require("support.stage").play("@", "set") }
            rewrite_by_lua_block { require("support.stage").play("@", "rewrite") }
            access_by_lua_block { require("support.stage").play("@", "access") }
            content_by_lua_block { require("support.stage").play_content "@" }
            header_filter_by_lua_block { require("support.stage").play("@", "header_filter") }
            body_filter_by_lua_block { require("support.stage").play_body "@" }
            log_by_lua_block { require("support.stage").play("@", "log") }
        }
]]

local function places_text()
    local texts = {}
    for index, place in ipairs(PLACES) do
        texts[index] = PLACE:gsub("@", place)
    end
    return table.concat(texts)
end

-- Parts may have names of others in them, so they are filled in until none is left.
local function fill_in(text, parts)
    local count
    repeat
        text, count = text:gsub("{(%l[%l%d_]*)}", function(name)
            local part = parts[name]
            return part ~= nil and tostring(part) or nil
        end)
        local left = false
        for name in text:gmatch("{(%l[%l%d_]*)}") do
            left = left or parts[name] ~= nil
        end
    until count == 0 or not left
    return text
end

local function client_settings(options)
    local settings = { nodes = options.nodes, timeout = 10, restart_guard = false }
    for name, value in pairs(options.client or {}) do
        settings[name] = value
    end
    return settings
end

local function configuration(self)
    local options = self.options
    local parts = {
        modules = module_lines(), user = is_root() and "user root;" or "",
        dir = self.keeper.dir, checkout = checkout, build = build_folder(),
        port = self.port, places = places_text(), client = literal.write(client_settings(options)),
        nodes = literal.write(options.nodes),
        connections = options.connections or 2048,
        workers = options.workers or 1, level = options.level or "notice",
    }
    for _, name in ipairs { "main", "init", "http", "listen", "server" } do
        parts[name] = options[name] or ""
    end
    for name, value in pairs(options.values or {}) do
        parts[name] = value
    end
    return fill_in(CONFIGURATION, parts)
end

local COMMAND = WITH_SBIN .. [[
unset LUA_PATH LUA_CPATH LUA_INIT
cd {dir}; rm -f nginx.pid
exec nginx -p {dir} -c {dir}/nginx.conf -e {dir}/error.log
]]

local function launch(self)
    local dir = { dir = self.keeper.dir }
    self.keeper:save("nginx.conf", configuration(self))
    self.keeper:start(fill_in(COMMAND, dir), fill_in("[ -s {dir}/nginx.pid ]", dir), PATIENCE)
    local failure
    self.master, failure = self.keeper:started()
    if not self.master then
        local log = self:log()
        self:close()
        error(("nginx %s: %s"):format(failure, log:sub(-2000)), 3)
    end
end

--- Starts nginx and waits until its workers run.
-- @tparam table options text of the configuration has `{port}`, `{dir}`, `{nodes}` (a Lua list of
-- the URLs), `{checkout}` and the names in `values` filled in:
--
--   * `nodes`: URLs; `client`: more settings of the client that the master process makes
--   * `workers`: by default 1; `level` of the error log, by default "notice"
--   * `main`, `http`, `server`: text for these places of the configuration; `listen`: more sockets
--   * `init`: Lua for init_by_lua, when the client is there
--   * `values`: more to fill in
-- @treturn Nginx with `port` and `master`, its process id
-- @raise when it does not come up, with its error log
function nginx.start(options)
    local self = setmetatable({
        options = options, keeper = keeper.new(), port = random_port(),
        log_read = 0, provoked = {}, tolerated = {},
    }, Nginx)
    running[self] = true
    launch(self)
    self:await_workers {}
    return self
end

--- A port that nobody listens on, for `values`.
nginx.free_port = random_port

--- Kills every nginx that is still there.
function nginx.stop_all()
    local all = {}
    for self in pairs(running) do
        all[#all + 1] = self
    end
    for _, self in ipairs(all) do
        self:close()
    end
end

-- Processes.

local function is_among(value, list)
    for _, member in ipairs(list) do
        if member == value then
            return true
        end
    end
    return false
end

--- Whether a process is there, and no zombie.
-- @tparam number pid
function nginx.is_alive(pid)
    local file = io.open(("/proc/%d/stat"):format(pid))
    local state = file and (file:read("*a") or ""):match("^%d+ %(.*%) (%a)")
    if file then
        file:close()
    end
    return state ~= nil and state ~= "Z" and state ~= "X"
end

-- A worker that will take no more requests calls itself so.
local function is_shutting_down(pid)
    local file = io.open(("/proc/%d/cmdline"):format(pid))
    local title = file and file:read("*a") or ""
    if file then
        file:close()
    end
    return title == "" or title:find("shutting down", 1, true) ~= nil
end

--- The process ids of its workers, those included that are shutting down.
-- @treturn {number,...}
function Nginx:workers()
    local pids = {}
    for line in output_of("cat /proc/[0-9]*/stat 2>/dev/null"):gmatch("[^\n]+") do
        local pid, state, parent = line:match("^(%d+) %(.*%) (%a) (%d+)")
        if tonumber(parent) == self.master and state ~= "Z" then
            pids[#pids + 1] = tonumber(pid)
        end
    end
    return pids
end

--- Waits until all workers run that there should be.
-- @tparam {number,...} but process ids that do not count
-- @treturn {number,...} the others' process ids
function Nginx:await_workers(but)
    local fresh
    assert(http.wait_until(function()
        fresh = {}
        for _, pid in ipairs(self:workers()) do
            if not is_among(pid, but) and not is_shutting_down(pid) then
                fresh[#fresh + 1] = pid
            end
        end
        return #fresh == (self.options.workers or 1)
    end), "the workers of nginx do not come up")
    return fresh
end

--- Reloads (SIGHUP) and waits until the new workers run and the old ones take no more requests.
-- Requests that are open are served meanwhile.
-- @treturn {number,...} the old workers
-- @treturn {number,...} the new workers
function Nginx:reload()
    local old = self:workers()
    self.keeper:signal("HUP")
    local fresh = self:await_workers(old)
    assert(http.wait_until(function()
        for _, pid in ipairs(old) do
            if not is_shutting_down(pid) then
                return false
            end
        end
        return true
    end), "the old workers of nginx do not shut down")
    return old, fresh
end

--- Waits until these processes are gone, while requests that are open are served.
-- @treturn boolean whether they went
function nginx.await_end(pids, seconds)
    return http.wait_until(function()
        for _, pid in ipairs(pids) do
            if nginx.is_alive(pid) then
                return false
            end
        end
        return true
    end, seconds) == true
end

--- Sends a signal to the master process: "QUIT" (after the last request), "TERM" (now), "HUP", ...
function Nginx:signal(name)
    self.keeper:signal(name)
end

--- Sends a signal to one of its workers.
function nginx.signal_worker(pid, name)
    assert(output_of(("kill -s %s %d 2>&1"):format(name, pid)) == "")
end

--- How many file descriptors a process has.
function nginx.descriptors(pid)
    local listed = output_of(("ls /proc/%d/fd 2>/dev/null"):format(pid))
    return select(2, listed:gsub("\n", "\n"))
end

--- How many threads a process has.
function nginx.threads(pid)
    local listed = output_of(("ls /proc/%d/task 2>/dev/null"):format(pid))
    return select(2, listed:gsub("\n", "\n"))
end

--- How many KiB of memory a process has.
function nginx.memory(pid)
    local file = assert(io.open(("/proc/%d/status"):format(pid)))
    local text = file:read("*a")
    file:close()
    return tonumber(text:match("VmRSS:%s*(%d+) kB"))
end

-- The error log.

--- The whole error log so far.
-- @treturn string
function Nginx:log()
    return self.keeper:read("error.log") .. self.keeper:read("errors")
end

--- Announces an error that the test provokes: it has to be logged, and is none.
-- @tparam string pattern a Lua pattern
function Nginx:provoke(pattern)
    self.provoked[#self.provoked + 1] = pattern
end

--- Announces errors that the test may provoke.
-- @tparam string pattern a Lua pattern
function Nginx:tolerate(pattern)
    self.tolerated[#self.tolerated + 1] = pattern
end

local function is_failure(line)
    for _, level in ipairs(LEVELS) do
        if line:find("[" .. level .. "]", 1, true) then
            return true
        end
    end
    return false
end

local function matches(line, patterns, seen)
    local found = false
    for _, pattern in ipairs(patterns) do
        if line:find(pattern) then
            seen[pattern], found = true, true
        end
    end
    return found
end

local function new_log(self)
    return self.keeper:read("error.log"):sub(self.log_read + 1)
end

--- Counts what was logged since the last test.
-- @tparam string pattern a Lua pattern
function Nginx:count_logged(pattern)
    return select(2, new_log(self):gsub(pattern, ""))
end

--- Waits until the error log has a line with a pattern, since the last test.
-- @treturn boolean whether it came
function Nginx:await_log(pattern, seconds)
    return http.wait_until(function() return self:count_logged(pattern) > 0 end, seconds) == true
end

-- What of level error or above was logged since the last look, and was not announced; or what was
-- announced and not logged.
local function unexpected(self)
    local seen = {}
    for line in new_log(self):gmatch("[^\n]+") do
        if is_failure(line) and not matches(line, self.provoked, seen)
            and not matches(line, self.tolerated, seen) then
            return line
        end
    end
    for _, pattern in ipairs(self.provoked) do
        if not seen[pattern] then
            return "not logged: " .. pattern
        end
    end
    return nil
end

--- The first line of level error or above that was logged since the last look and was not provoked,
-- or what was provoked and did not come.
-- @tparam[opt=20] number seconds how long it may take to come
-- @treturn ?string
function Nginx:unprovoked(seconds)
    local line
    wait.wait_until(function()
        line = unexpected(self)
        return not (line and line:find("^not logged"))
    end, seconds)
    self.log_read, self.provoked, self.tolerated = #self.keeper:read("error.log"), {}, {}
    return line
end

-- Requests.

--- Sends a request, see `http.open`.
-- @tparam table|string what perhaps with a `port`, of another socket than the first
-- @treturn Request
function Nginx:open(what)
    return http.open(type(what) == "table" and what.port or self.port, what)
end

--- Sends a request and waits for its answer.
-- @treturn Request
function Nginx:get(what)
    return self:open(what):finish()
end

local function encode(code)
    return (code:gsub("[%c%%+\128-\255]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

local function add_parts(headers, place, parts)
    for phase, code in pairs(parts) do
        if type(code) == "string" then
            headers[("Play-%s-%s"):format(place, (phase:gsub("_", "-")))] = encode(code)
        end
    end
end

--- The headers by which a request brings along what is to be played.
-- @tparam string|table play Lua for the content phase; or a table with Lua by phase (`set`,
-- `rewrite`, `access`, `content`, `header_filter`, `body_filter`, `log`, as well as
-- `server_rewrite` and `balancer` where the configuration has them), and perhaps `second`, such a
-- table for the place /second, to which /first may turn
function nginx.play_headers(play)
    play = type(play) == "string" and { content = play } or play
    local headers = {}
    add_parts(headers, "first", play)
    add_parts(headers, "second", play.second or {})
    return headers
end

--- Has a request play Lua in its phases, see `stage.lua`; does not wait for its answer.
-- @tparam string|table play see `nginx.play_headers`
-- @tparam[opt] table what further fields of `http.open`
-- @treturn Request
function Nginx:begin(play, what)
    local request = { path = "/first", headers = nginx.play_headers(play) }
    for name, value in pairs(what or {}) do
        request[name] = value
    end
    return self:open(request)
end

--- Has a request play Lua in its phases, and waits for its answer.
-- @treturn Request
function Nginx:play(play, what)
    return self:begin(play, what):finish()
end

--- Opens a gate that something played awaits.
function Nginx:open_gate(name)
    assert(self:get("/open?gate=" .. name).status == 200)
end

--- Tells what is to be played in a phase without a request: `init`, `init_worker` and `exit_worker` (at
-- the next reload), or those of the configuration that ask for `stage.play_told`.
-- @tparam string phase
-- @tparam string code Lua
function Nginx:tell(phase, code)
    assert(self:get({ path = "/tell?phase=" .. phase, body = code }).status == 200)
end

--- What was noted so far.
-- @treturn {string,...}
function Nginx:notes()
    local list = {}
    for line in assert(self:get("/notes").body):gmatch("[^\n]+") do
        list[#list + 1] = line
    end
    return list
end

--- Waits until something was noted.
-- @tparam string pattern
-- @treturn ?string
function Nginx:await_note(pattern, seconds)
    return http.wait_until(function()
        for _, line in ipairs(self:notes()) do
            if line:find(pattern) then
                return line
            end
        end
    end, seconds)
end

-- What is left behind.

local LEFT = [[
    local left = {}
    for _, key in ipairs(redis.call('KEYS', '*')) do
        if not string.find(key, ':fence$') then
            left[#left + 1] = key
        end
    end
    return table.concat(left, ' ')
]]

--- Waits until no lock, no waiter and no claim is left on any node.
-- @tparam {table,...} nodes
-- @treturn ?string what is left
function nginx.left_behind(nodes, seconds)
    local left
    wait.wait_until(function()
        left = ""
        for _, node in ipairs(nodes) do
            left = left .. quorum.ask(node, "EVAL", LEFT, 0)
        end
        return left == ""
    end, seconds)
    return left ~= "" and left or nil
end

--- How many stand in the queue of a lock, at most, on any node.
function nginx.queue_length(nodes, name)
    local most = 0
    for _, node in ipairs(nodes) do
        most = math.max(most, quorum.ask(node, "ZCARD", inbox.side(name, "queue")))
    end
    return most
end

--- How many connections of redlock clients a node has.
-- @tparam table node
-- @tparam[opt="redlock"] string name the `client_name`
function nginx.connections(node, name)
    local list = quorum.ask(node, "CLIENT", "LIST")
    return select(2, list:gsub("%f[%S]name=" .. (name or "redlock") .. "%f[%s@]", ""))
end

--- As it was at the start, for the next test: no request is open, no gate and no note is left, and the
-- nodes are empty.
-- @tparam Quorum nodes all of them up
-- @treturn ?string what is wrong: something was left on the nodes, or was logged
function Nginx:settle(nodes)
    http.abort_all()
    local left = nginx.left_behind(nodes)
    local reset = self:get("/reset")
    local logged = self:unprovoked()
    nodes:ask_all "FLUSHALL"
    return left and "left behind: " .. left
        or logged
        or reset.status ~= 200 and ("no reset: %s"):format(reset.failure or reset.status)
        or nil
end

--- Kills it and removes its files.
function Nginx:close()
    running[self] = nil
    self.keeper:close()
end

return nginx
