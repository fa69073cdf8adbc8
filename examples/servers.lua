--- Starts and stops private Redis servers, for the examples, the demo, the specs and the benchmark.
-- They listen on 127.0.0.1 only, on free ports, keep their files in a private directory, and cannot
-- outlive the program that started them (see keeper.lua). Needs `redis-server` and `redis-cli`.

local keeper = require "keeper"

local servers = {}

local Server = {}
Server.__index = Server

local FIRST_PORT, LAST_PORT = 20000, 31999 -- below the ports that systems give to outgoing calls
local PORT_TRIES = 20

local running = {} -- every server that was started and not closed: server -> true

local function port_taken(port)
    for server in pairs(running) do
        if server.port == port then
            return true
        end
    end
    return false
end

local function random_port()
    local port
    repeat
        local high, low = keeper.random_bytes(2):byte(1, 2)
        port = FIRST_PORT + (high * 256 + low) % (LAST_PORT - FIRST_PORT + 1)
    until not port_taken(port)
    return port
end

local function is_secured(options)
    return options.password ~= nil or options.users ~= nil
end

local function append_listener_lines(lines, server)
    local tls = server.options.tls
    if not tls then
        lines[#lines + 1] = "port " .. server.port
        return
    end
    lines[#lines + 1] = "port 0"
    lines[#lines + 1] = "tls-port " .. server.port
    lines[#lines + 1] = "tls-cert-file " .. tls.cert
    lines[#lines + 1] = "tls-key-file " .. tls.key
    lines[#lines + 1] = "tls-ca-cert-file " .. tls.ca
    lines[#lines + 1] = "tls-auth-clients " .. (tls.clients or "no")
end

local function append_user_lines(lines, server)
    local options = server.options
    if options.password then
        lines[#lines + 1] = "requirepass " .. options.password
    end
    for _, user in ipairs(options.users or {}) do
        lines[#lines + 1] = "user " .. user
    end
    if is_secured(options) then -- for ourselves, whatever the others may do
        lines[#lines + 1] = ("user keeper on >%s ~* &* +@all"):format(server.secret)
    end
end

local function configuration(server)
    local options = server.options
    local lines = {
        "bind 127.0.0.1",
        "protected-mode no",
        "daemonize no",
        ('dir "%s"'):format(server.keeper.dir),
        ('unixsocket "%s"'):format(server.socket),
        "unixsocketperm 700",
        ("save %s"):format(options.save or '""'),
        ("appendonly %s"):format(options.appendonly and "yes" or "no"),
        "maxmemory 64mb",
        "maxmemory-policy noeviction",
        "tcp-backlog 128",
        "repl-diskless-sync-delay 0",
    }
    append_listener_lines(lines, server)
    append_user_lines(lines, server)
    for _, directive in ipairs(options.config or {}) do
        lines[#lines + 1] = table.concat(directive, " ")
    end
    return table.concat(lines, "\n")
end

-- Over the Unix socket in the private directory: whoever answers there is our own process, and
-- neither TLS nor a password of the spec's stands in the way.
local function cli_command(server)
    local command = "redis-cli -s " .. keeper.quote(server.socket)
    if is_secured(server.options) then
        return ("REDISCLI_AUTH=%s %s --user keeper"):format(server.secret, command)
    end
    return "unset REDISCLI_AUTH; " .. command
end

local function environment(server)
    local text = {}
    for name, value in pairs(server.options.env or {}) do
        text[#text + 1] = ("export %s=%s; "):format(name, keeper.quote(value))
    end
    return table.concat(text)
end

local function launch(server, keep_data)
    local dir = keeper.quote(server.keeper.dir)
    local forget = "rm -rf dump.rdb appendonlydir appendonly.aof"
    server.paused = false
    server.keeper:save("redis.conf", configuration(server))
    server.keeper:start(
        ("cd %s; : >output; %s; %sexec redis-server %s/redis.conf"):format(
            dir, keep_data and ":" or forget, environment(server), dir),
        cli_command(server) .. " ping | grep -q PONG",
        server.options.start_timeout or 10)
end

local function move_to(server, port)
    local scheme = server.options.tls and "rediss" or "redis"
    server.port = port
    server.unix_url = "unix://" .. server.socket
    server.url = server.options.unixsocket and server.unix_url
        or ("%s://127.0.0.1:%d"):format(scheme, port)
end

-- Waits until the server answers PING. Where another program had the port, the next try is made
-- on another port, or on the same one when the server must keep it.
local function await(server, fixed_port, keep_data)
    for try = 1, PORT_TRIES do
        local pid, failure = server.keeper:started()
        if pid then
            server.pid = pid
            return
        end
        local log = server:log()
        if try == PORT_TRIES or not log:find("Failed listening on port", 1, true) then
            if not fixed_port then
                server:close()
            end
            error(("redis-server on port %d %s: %s"):format(
                server.port, failure == "late" and "does not answer" or "exited", log:sub(-600)), 3)
        end
        if not fixed_port then
            move_to(server, random_port())
        end
        launch(server, keep_data)
    end
end

local function create(options)
    local server = setmetatable({
        options = options, keeper = keeper.new(options.same_session),
    }, Server)
    server.socket = server.keeper.dir .. "/redis.sock"
    server.secret = keeper.random_name()
    move_to(server, random_port())
    running[server] = true
    launch(server)
    return server
end

--- Starts several servers at once and waits until each answers PING.
-- @tparam number count
-- @tparam[opt] table options for all of them:
--
--   * `config`: more directives, which win over ours: `{ { "maxmemory", "1mb" }, ... }`
--   * `unixsocket`: true to have the Unix socket in `url` (it is always in `unix_url`)
--   * `tls`: `{ cert = path, key = path, ca = path, clients = "no" | "optional" | "yes" }`; the
--     port then speaks TLS only; `clients` says who must show a certificate, by default nobody
--   * `password`: of the default user
--   * `users`: ACL lines, `{ "default off", "app on >secret ~* &* +@all", ... }`
--   * `save`: a save rule such as `"1 1"`; `appendonly`: true to log every write
--   * `env`: variables of its environment, name -> value
--   * `start_timeout`: seconds, by default 10
--   * `same_session`: true to let it stay in this process' session, see keeper.lua
-- @treturn {Server,...} with `port`, `url` (no credentials in it), `unix_url`, `socket`, `pid`
-- @raise when one does not come up, with the end of its log
function servers.start(count, options)
    local started = {}
    for index = 1, count do
        started[index] = create(options or {})
    end
    for _, server in ipairs(started) do
        await(server)
    end
    return started
end

--- Starts one server, see `servers.start`.
-- @tparam[opt] table options
-- @treturn Server
function servers.start_one(options)
    local server = create(options or {})
    await(server)
    return server
end

--- The nodes to work with: those that somebody names, or as many servers, which are started.
-- @tparam {string,...} given URLs, such as the arguments of a program
-- @tparam number count how many servers, if none are given
-- @treturn {string,...} URLs
-- @treturn {Server,...} what was started; empty if URLs were given
function servers.urls(given, count)
    local urls = {}
    if #given > 0 then
        for index, url in ipairs(given) do
            urls[index] = url
        end
        return urls, {}
    end
    local started = servers.start(count)
    for index, server in ipairs(started) do
        urls[index] = server.url
    end
    return urls, started
end

--- Kills every server that is still there and removes its files.
function servers.stop_all()
    local all = {}
    for server in pairs(running) do
        all[#all + 1] = server
    end
    for _, server in ipairs(all) do
        server:close()
    end
end

--- Whether the process is there (a paused one is).
-- @treturn boolean
function Server:alive()
    return self.keeper:running()
end

--- What the server has logged since it started.
-- @treturn string
function Server:log()
    return self.keeper:read("output") .. self.keeper:read("errors")
end

--- Runs redis-cli on this server, with all rights.
-- @tparam string|number ... the command and its arguments, without NUL bytes
-- @treturn string its output without the last newline
function Server:cli(...)
    if self.paused then
        error("this server is paused", 2)
    end
    local words = { cli_command(self) }
    for index = 1, select("#", ...) do
        words[index + 1] = keeper.quote((select(index, ...)))
    end
    local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1", "r"))
    local output = pipe:read("*a")
    pipe:close()
    return (output:gsub("\n$", ""))
end

--- Terminates the process (SIGTERM) and waits until it is gone.
function Server:stop()
    self.paused = false
    self.keeper:stop()
end

--- Kills the process (SIGKILL) and waits until it is gone, as in a crash.
function Server:kill()
    self.paused = false
    self.keeper:signal("KILL")
    self.keeper:stop()
end

--- Stops the process where it is (SIGSTOP): it hangs, its connections stay open.
function Server:pause()
    self.keeper:signal("STOP")
    self.paused = true
end

--- Lets a paused process go on (SIGCONT).
function Server:resume()
    self.keeper:signal("CONT")
    self.paused = false
end

--- Starts the server again on the same port, after stopping it when it runs.
-- @tparam[opt] table options `keep_data`: true to come back with the data it had; from a killed
-- server only what it had written by `save` or `appendonly` is left
function Server:restart(options)
    local keep_data = options ~= nil and options.keep_data or false
    if keep_data and self:alive() then
        self:resume()
        local answer = self:cli("SAVE")
        assert(answer == "OK", answer)
        self:stop()
    end
    self:kill()
    launch(self, keep_data)
    await(self, true, keep_data)
end

--- Kills the server for good and removes its files.
function Server:close()
    running[self] = nil
    self.keeper:close()
end

return servers
