-- How the command finds its library: in a checkout, and where `make install` puts it. (`make check-rock`
-- does it for the rock.)

local keeper = require "keeper"
local process = require "support.process"
local program = require "command.program"

describe("the command in a checkout", function()
    local folder

    setup(function()
        folder = keeper.new()
        folder:settle()
    end)

    teardown(function()
        folder:close()
    end)

    -- With nothing but its own path to go by.
    local function run(path)
        return program.shell(("unset %s; %s %s --version"):format(
            "LUA_PATH LUA_CPATH LUA_PATH_5_4 LUA_CPATH_5_4", process.interpreter,
            keeper.quote(path)))
    end

    it("finds its library, also when it is called by a link, or a link to one", function()
        local checkout = program.shell "pwd"
        local link, other = folder.dir .. "/it's a link", folder.dir .. "/another"
        local target = keeper.quote(checkout .. "/bin/redlock")
        program.shell(("ln -s %s %s"):format(target, keeper.quote(link)))
        program.shell(("ln -s %s %s"):format(keeper.quote "it's a link", keeper.quote(other)))
        for _, path in ipairs { "bin/redlock", checkout .. "/bin/redlock", link, other } do
            assert.equal("redlock scm", run(path))
        end
    end)

    it("says what to do where there is none", function()
        local copy = folder.dir .. "/copy"
        program.shell(("cp bin/redlock %s"):format(keeper.quote(copy)))
        local told = "redlock: its library cannot be loaded: module 'redlock.command' not found:\n"
            .. "In a checkout, `make` builds it; `make install` or LuaRocks installs it."
        assert.equal(told, run(copy))
    end)
end)

describe("make install", function()
    local folder

    setup(function()
        folder = keeper.new()
        folder:settle()
        local make = process.start {
            command = ("exec make -s install LUA=%s BUILD=%s PREFIX=%s/usr >/dev/null"):format(
                assert(os.getenv "LUA"), assert(os.getenv "REDLOCK_BUILD"), folder.dir),
            env = { MAKEFLAGS = "", MAKELEVEL = "", SANITIZE = "" },
        }
        assert.equal(0, make:wait(120), make:errors())
    end)

    teardown(function()
        folder:close()
        process.stop_all()
    end)

    -- Elsewhere, with none of this checkout's paths.
    local function run(words)
        local ours = "LUA_PATH LUA_CPATH LUA_PATH_5_4 LUA_CPATH_5_4 REDLOCK_BUILD"
        local command = ("unset %s; cd /; %s/usr/bin/redlock %s"):format(ours, folder.dir, words)
        return program.shell(command)
    end

    it("brings a command that finds its library and its Lua", function()
        assert.equal("redlock scm", run "--version")
        assert.matches("^Usage: redlock run NAME", run "run --help")
    end)

    it("brings the manual page and what completes words", function()
        for path, start in pairs {
            ["share/man/man1/redlock.1"] = '.\\" Made by',
            ["share/bash-completion/completions/redlock"] = "# Completion of redlock for bash",
            ["share/zsh/site-functions/_redlock"] = "#compdef redlock\n",
        } do
            local file = assert(io.open(folder.dir .. "/usr/" .. path), path)
            assert.equal(start, file:read(#start))
            file:close()
        end
    end)
end)
