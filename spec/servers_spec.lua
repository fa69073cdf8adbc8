-- The private Redis servers: they come up, obey, and never outlive the program that started them.

local keeper = require "keeper"
local process = require "support.process"
local servers = require "servers"
local socket = require "socket"
local wait = require "support.wait"

local function directories()
    local list = {}
    local parent = os.getenv("TMPDIR") or "/tmp"
    local pipe = io.popen("ls -d " .. keeper.quote(parent) .. "/redlock-* 2>/dev/null")
    for line in pipe:lines() do
        list[line] = true
    end
    pipe:close()
    return list
end

local function process_exists(pid)
    local pipe = io.popen(("kill -0 %d 2>&1"):format(pid))
    local complaint = pipe:read("*a")
    pipe:close()
    return complaint == ""
end

local function port_answers(port)
    local connection = socket.connect("127.0.0.1", port)
    if connection then
        connection:close()
    end
    return connection ~= nil
end

local function info(server, field)
    return server:cli("INFO"):match(field .. ":([^\r\n]*)")
end

-- A program that starts two servers and a child, and says where they are.
local OWNER = [[
    local nodes = require("servers").start(2)
    local child = require("support.process").start("io.read()")
    print(nodes[1].pid, nodes[2].pid, child.pid, nodes[1].keeper.dir)
]]

-- In a process group of its own, so that a signal to the group hits nobody else.
local function start_owner(rest)
    local code = ("io.stdout:setvbuf 'line' %s %s"):format(OWNER, rest)
    local owner = process.start {
        command = ("exec setsid %s -e %s"):format(process.interpreter, keeper.quote(code)),
    }
    local line = assert(owner:wait_line("redlock"))
    local first, second, child, dir = line:match("(%d+)%s+(%d+)%s+(%d+)%s+(%S+)")
    owner.pids, owner.dir = { tonumber(first), tonumber(second), tonumber(child) }, dir
    return owner
end

local function all_gone(owner)
    return wait.wait_until(function()
        for _, pid in ipairs(owner.pids) do
            if process_exists(pid) then
                return false
            end
        end
        return not directories()[owner.dir]
    end)
end

describe("servers", function()
    after_each(function()
        servers.stop_all()
        process.stop_all()
    end)

    it("start five that answer, each by itself", function()
        local nodes = servers.start(5)
        assert.equal(5, #nodes)
        for index, node in ipairs(nodes) do
            assert.equal("OK", node:cli("SET", "number", index))
        end
        for index, node in ipairs(nodes) do
            assert.equal(tostring(index), node:cli("GET", "number"))
            assert.equal(tostring(node.pid), info(node, "process_id"))
            assert.equal(tostring(node.port), info(node, "tcp_port"))
            assert.equal("redis://127.0.0.1:" .. node.port, node.url)
        end
    end)

    it("listen on 127.0.0.1 only, save nothing, and bound their memory", function()
        local node = servers.start_one()
        assert.equal("bind\n127.0.0.1", node:cli("CONFIG", "GET", "bind"))
        assert.equal("save", (node:cli("CONFIG", "GET", "save"):gsub("%s+$", "")))
        assert.equal("appendonly\nno", node:cli("CONFIG", "GET", "appendonly"))
        assert.is_true(tonumber(info(node, "maxmemory")) > 0)
    end)

    it("take any argument on redis-cli's command line", function()
        local node = servers.start_one()
        local key = [[a 'key' "of" $HOME `id` \ {tag};]]
        node:cli("SET", key, "")
        assert.equal(key, node:cli("KEYS", "*"))
        assert.equal("", node:cli("GET", key))
    end)

    it("take another port when the first is taken", function()
        local taken = servers.start_one()
        local port, offset = taken.port, taken.port - 20000
        taken:close()
        local other = assert(socket.bind("127.0.0.1", port))
        local random_bytes, picks = keeper.random_bytes, 0
        keeper.random_bytes = function(count)
            picks = picks + (count == 2 and 1 or 0)
            if count == 2 and picks == 1 then
                return string.char(math.floor(offset / 256), offset % 256)
            end
            return random_bytes(count)
        end
        finally(function()
            keeper.random_bytes = random_bytes
            other:close()
        end)
        local node = servers.start_one()
        assert.is_true(picks > 1)
        assert.not_equal(port, node.port)
        assert.equal("PONG", node:cli("PING"))
    end)

    it("say in their log why they do not come up", function()
        local before = directories()
        local ok, message = pcall(servers.start_one, { config = { { "no-such-thing", "1" } } })
        assert.is_false(ok)
        assert.matches("no%-such%-thing", message)
        assert.same(before, directories())
    end)

    it("can be killed and started again on the same port, empty", function()
        local node = servers.start_one()
        local port, pid = node.port, node.pid
        node:cli("SET", "key", "value")
        node:kill()
        assert.is_false(node:alive())
        assert.is_false(process_exists(pid))
        assert.is_false(port_answers(port))
        node:restart()
        assert.is_true(node:alive())
        assert.equal(port, node.port)
        assert.not_equal(pid, node.pid)
        assert.equal("0", node:cli("DBSIZE"))
    end)

    it("can be started again with their data", function()
        local node = servers.start_one()
        node:cli("SET", "key", "value")
        node:restart { keep_data = true }
        assert.equal("value", node:cli("GET", "key"))
        node:restart()
        assert.equal("", node:cli("GET", "key"))
    end)

    it("keep what an append-only file holds through a crash", function()
        local always = { { "appendfsync", "always" } }
        local node = servers.start_one { appendonly = true, config = always }
        node:cli("SET", "key", "value")
        node:kill()
        node:restart { keep_data = true }
        assert.equal("value", node:cli("GET", "key"))
    end)

    it("stop when told", function()
        local node = servers.start_one()
        node:stop()
        assert.is_false(node:alive())
        assert.is_false(port_answers(node.port))
    end)

    it("notice that one has ended by itself", function()
        local node = servers.start_one()
        node:cli("SHUTDOWN", "NOSAVE")
        assert.is_true(wait.wait_until(function() return not node:alive() end))
        node:restart()
        assert.equal("PONG", node:cli("PING"))
    end)

    it("hang while paused, with their connections open", function()
        local node = servers.start_one()
        local connection = assert(socket.connect("127.0.0.1", node.port))
        node:pause()
        connection:send("PING\r\n")
        connection:settimeout(0.1)
        assert.equal("timeout", select(2, connection:receive("*l")))
        assert.is_true(node:alive())
        assert.has_error(function() node:cli("PING") end, "this server is paused")
        node:resume()
        connection:settimeout(5)
        assert.equal("+PONG", connection:receive("*l"))
        connection:close()
    end)

    it("can be stopped and closed while paused", function()
        local nodes = servers.start(2)
        nodes[1]:pause()
        nodes[2]:pause()
        nodes[1]:stop()
        assert.is_false(process_exists(nodes[1].pid))
        local pid = nodes[2].pid
        nodes[2]:close()
        assert.is_false(process_exists(pid))
    end)

    it("take more directives", function()
        local node = servers.start_one { config = { { "maxmemory", "3mb" }, { "databases", "2" } } }
        assert.equal("maxmemory\n3145728", node:cli("CONFIG", "GET", "maxmemory"))
        assert.matches("out of range", node:cli("-n", "2", "GET", "key"))
    end)

    it("answer on a Unix socket", function()
        local node = servers.start_one { unixsocket = true }
        assert.equal("unix://" .. node.socket, node.url)
        local pipe = io.popen("redis-cli -s " .. keeper.quote(node.url:sub(8)) .. " PING")
        assert.equal("PONG\n", pipe:read("*a"))
        pipe:close()
    end)

    it("have users and passwords, and obey us all the same", function()
        local node = servers.start_one {
            users = { "default off", "app on >secret ~lock:* &* +@all" },
        }
        local function cli(arguments)
            local pipe = io.popen(("redis-cli -p %d %s 2>&1"):format(node.port, arguments))
            local output = pipe:read("*a")
            pipe:close()
            return output
        end
        assert.matches("NOAUTH", cli("PING"))
        assert.matches("PONG", cli("--user app --pass secret PING"))
        assert.matches("NOPERM", cli("--user app --pass secret GET other"))
        assert.equal("OK", node:cli("SET", "other", "1"))

        node = servers.start_one { password = "word" }
        assert.matches("NOAUTH", cli("PING"))
        assert.matches("PONG", cli("--pass word PING"))
        assert.equal("PONG", node:cli("PING"))
    end)

    it("speak TLS", function()
        local files = keeper.new()
        finally(function() files:close() end)
        files:start(([[
            cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
                -keyout key.pem -out cert.pem
        ]]):format(files.dir))
        files:started()
        assert.equal(0, wait.wait_until(function() return files:status() end, 20))
        local cert, key = files.dir .. "/cert.pem", files.dir .. "/key.pem"
        local node = servers.start_one { tls = { cert = cert, key = key, ca = cert } }
        assert.equal("rediss://127.0.0.1:" .. node.port, node.url)
        assert.equal("PONG", node:cli("PING"))
        local pipe = io.popen(("redis-cli -p %d --tls --cacert %s PING"):format(node.port, cert))
        assert.equal("PONG\n", pipe:read("*a"))
        pipe:close()
    end)

    it("leave nothing behind when stopped", function()
        local before = directories()
        local nodes = servers.start(3)
        servers.stop_all()
        for _, node in ipairs(nodes) do
            assert.is_false(port_answers(node.port))
        end
        assert.same(before, directories())
    end)
end)

describe("when the owner ends, its servers and children end", function()
    after_each(function()
        process.stop_all()
    end)

    it("after a normal end", function()
        assert.is_true(all_gone(start_owner("")))
    end)

    it("after an error", function()
        assert.is_true(all_gone(start_owner("error 'oops'")))
    end)

    it("after os.exit", function()
        assert.is_true(all_gone(start_owner("os.exit(3)")))
    end)

    it("after kill -9", function()
        local owner = start_owner("io.read()")
        assert.is_true(process_exists(owner.pids[1]))
        owner:signal("KILL")
        assert.is_true(all_gone(owner))
    end)

    it("after kill -9 while one of them is paused", function()
        local owner = start_owner("nodes[1]:pause() print 'paused' io.read()")
        assert(owner:wait_line("paused"))
        owner:signal("KILL")
        assert.is_true(all_gone(owner))
    end)

    -- As a terminal does on Ctrl-C: the signal goes to all processes of the group.
    for _, signal in ipairs { "INT", "TERM", "HUP", "KILL" } do
        it("after SIG" .. signal .. " to the whole process group", function()
            local owner = start_owner("print 'waiting' io.popen('exec sleep 60'):read() print 'on'")
            assert(owner:wait_line("waiting"))
            os.execute(("kill -s %s -- -%d"):format(signal, owner.pid))
            assert.is_true(all_gone(owner))
            assert.is_nil(owner:wait_line("^on$"))
        end)
    end
end)
