-- Where the redlock command has its nodes from, in which order; and that it keeps secrets.

local keeper = require "keeper"
local process = require "support.process"
local program = require "command.program"
local secrets = require "redlock.command.secrets"
local servers = require "servers"

local PASSWORD = "hunter2"

describe("the nodes of the redlock command", function()
    local server, folder

    setup(function()
        server = servers.start_one()
        folder = keeper.new()
        folder:settle()
        program.shell(("mkdir -p %s/config"):format(folder.dir))
    end)

    after_each(process.stop_all)

    teardown(function()
        folder:close()
        servers.stop_all()
    end)

    local function write(name, text, mode)
        local path = folder.dir .. "/" .. name
        local file = assert(io.open(path, "w"))
        file:write(text)
        file:close()
        program.shell(("chmod %s %s"):format(mode or "600", path))
        return path
    end

    local function remove(name)
        os.remove(folder.dir .. "/" .. name)
    end

    local function run(env, ...)
        return program.run({ "run", "job", "--try", ..., "--", "true" }, env)
    end

    local function nobody(port)
        return "redis://127.0.0.1:" .. port -- where nobody listens
    end

    local function asked(result)
        assert.equal(69, result.status)
        return result.errors:match "127%.0%.0%.1:(%d+)"
    end

    local function file_of(port)
        return ("return { nodes = { %q } }"):format(nobody(port))
    end

    it("come from --node before REDLOCK_NODES, and from that before a file", function()
        local env = { XDG_CONFIG_HOME = folder.dir .. "/config", REDLOCK_NODES = nobody(2) }
        write("config/redlock.lua", file_of(3))
        assert.equal("1", asked(run(env, "--node=" .. nobody(1))))
        assert.equal("2", asked(program.run({ "run", "job", "true" }, env)))
        env.REDLOCK_NODES = ""
        assert.equal("3", asked(program.run({ "run", "job", "true" }, env)))
        remove "config/redlock.lua"
    end)

    it("come from ~/.config, or from the file that is named", function()
        program.shell(("mkdir -p %s/.config"):format(folder.dir))
        write(".config/redlock.lua", file_of(4))
        local env = { HOME = folder.dir }
        assert.equal("4", asked(program.run({ "run", "job", "true" }, env)))
        local path = write("other.lua", file_of(5))
        assert.equal("5", asked(run(env, "--config=" .. path)))
        remove ".config/redlock.lua"
    end)

    it("may be several, with blanks or commas between them", function()
        local list = nobody(1) .. "," .. nobody(2) .. "  " .. server.url
        local result = program.run({ "run", "job", "true" }, { REDLOCK_NODES = list })
        assert.equal(69, result.status)
        assert.matches("of 3 nodes answered", result.errors)
    end)

    it("have to be named", function()
        local result = program.run { "run", "job", "true" }
        assert.equal(78, result.status)
        assert.matches("^redlock run: which nodes%?\nName them with %-%-node", result.errors)
    end)

    it("are checked", function()
        local result = run({}, "--node=redis://h:99999")
        assert.equal(78, result.status)
        assert.matches("node 1: the port must be", result.errors)
    end)

    describe("and other settings in a file", function()
        local function with(text)
            return run({}, "--config=" .. write("settings.lua", text))
        end

        it("hold, unless an option says something else", function()
            local text = ("return { nodes = %q, prefix = 'a:' }"):format(server.url)
            local path = write("settings.lua", text)
            local function key(...)
                local words = { "run", "job", "--config", path, ... }
                for _, word in ipairs { "--", "redis-cli", "-s", server.socket, "keys", "*:job" } do
                    words[#words + 1] = word
                end
                return program.run(words).output[1]
            end
            assert.equal("a:job", key())
            assert.equal("b:job", key("--prefix", "b:"))
        end)

        it("are checked, and the file is named", function()
            for text, message in pairs {
                ["return { nodes = 'h', tll = 5 }"] = 'settings.lua: there is no option "tll"',
                ["return { nodes = 'h', ttl = '5' }"] = 'settings.lua: option "ttl" must be',
                ["return 5"] = "settings.lua does not return a table\n",
                ["return {"] = "settings.lua:1: ",
                ["os.exit(0)"] = "settings.lua:1: attempt to index",
                ["return { nodes = 5 }"] = 'settings.lua: option "nodes" must be',
                ["\27Lua"] = "settings.lua: it is no text",
            } do
                local result = with(text)
                assert.equal(78, result.status)
                assert.is_truthy(result.errors:find(message, 1, true), result.errors)
            end
            local result = run({}, "--config=/nonexistent/file")
            assert.equal(78, result.status)
            assert.matches("/nonexistent/file: No such file", result.errors)
            result = run({}, "--config=" .. folder.dir)
            assert.equal(78, result.status)
            assert.is_truthy(result.errors:find(folder.dir .. ": Is a directory", 1, true))
        end)

        it("show no password where the file does not read", function()
            for _, text in ipairs {
                "return { nodes = 'redis://:%s", "return { nodes = 'redis://:'%s'@h' }",
                "return { nodes = { 'redis://:\"%s\n\"@h' } }", "return { nodes = redis://:%s@h }",
            } do
                local result = with(text:format(PASSWORD))
                assert.equal(78, result.status)
                assert.matches("settings.lua:1: ", result.errors)
                assert.is_nil(result.errors:find(PASSWORD, 1, true), result.errors)
            end
        end)

        it("are warned about when others can read a password there", function()
            local text = ("return { nodes = 'redis://:%s@127.0.0.1:1' }"):format(PASSWORD)
            local path = write("settings.lua", text, "644")
            local result = run({}, "--config=" .. path)
            assert.matches("holds a password, and everybody can read it%.\nTry: ", result.errors)
            assert.is_nil(result.errors:find(PASSWORD, 1, true))
            path = write("settings.lua", text, "640")
            assert.is_nil(run({}, "--config=" .. path).errors:find "chmod")
            local plain = write("settings.lua", file_of(1), "644")
            assert.is_nil(run({}, "--config=" .. plain).errors:find "chmod")
        end)
    end)

    describe("never show their passwords", function()
        local url = ("redis://user:%s@127.0.0.1:1"):format(PASSWORD)

        local function check(words, env)
            local result = program.run(words, env)
            local shown = result.errors .. table.concat(result.output, "\n")
            assert.is_true(#shown > 0)
            assert.is_nil(shown:find(PASSWORD, 1, true), shown)
        end

        it("in what is said about wrong command lines", function()
            check { "run", "--nod", url, "job", "true" }
            check { "run", "--nod=" .. url, "job", "true" }
            check { "run", url, url, "--node" }
            check { "run", "job", "--node", url .. ":x", "true" }
            check { "run", "job", "--node", "redis:/" .. url, "true" }
            check { "run", "job", "--wait", url, "true" }
            check { url }
            check { "completion", url }
            check { "completion", "bash", url }
            check { "run", "job", "--config", url, "true" }
        end)

        it("in what is said about nodes", function()
            check { "run", "job", "-v", "--node", url, "true" }
            check({ "run", "job", "-v", "true" }, { REDLOCK_NODES = url })
        end)

        it("in the list of processes, once the command runs", function()
            local locked = servers.start_one { password = PASSWORD }
            local node = locked.url:gsub("//", "//:" .. PASSWORD .. "@")
            local child = program.start { "run", "job", "--node", node, "-c", "echo $$; read line" }
            local pid = assert(child:wait_line "%d")
            for _, each in ipairs { child.pid, program.warden(child.pid), pid } do
                local arguments = program.shell(("cat /proc/%s/cmdline"):format(each))
                assert.is_nil(arguments:find(PASSWORD, 1, true))
            end
            local environment = program.shell(("tr '\\0' '\\n' </proc/%s/environ"):format(pid))
            assert.matches("REDLOCK_TOKEN", environment)
            assert.is_nil(environment:find(PASSWORD, 1, true))
            child:tell ""
            assert.equal(0, child:wait())
        end)

        it("whatever form the URL has", function()
            for _, text in ipairs {
                "redis://user:hunter2@host", "redis://:hunter2@host/5", "user:hunter2@host:1",
                "unix://:hunter2@/path", "a redis://u:a@hunter2@host b", "'redis://u:hunter2@h'",
                "--node=redis://u:hunter2@h", "redis://u:hunter2 @h", "redis://u:'hunter2@h",
            } do
                assert.is_nil(secrets.hide(text):find("hunter2", 1, true), text)
                assert.matches("@", secrets.hide(text))
            end
            assert.equal("redis://host:6379/1", secrets.hide "redis://host:6379/1")
            assert.equal("a redis://***@host b", secrets.hide "a redis://u:p@host b")
            assert.equal("a ***@b c", secrets.hide "a u@b c")
        end)

        it("and are known for such", function()
            for url_with in ("redis://u:p@h rediss://:p@h unix://:p@/x u:p@h:1"):gmatch "%S+" do
                assert.is_true(secrets.has_password(url_with), url_with)
            end
            local without = "redis://h redis://u@h h:1 unix:///a@b redis://h:1/2"
            for url_without in without:gmatch "%S+" do
                assert.is_false(secrets.has_password(url_without), url_without)
            end
        end)
    end)
end)
