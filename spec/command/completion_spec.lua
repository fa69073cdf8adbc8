-- Completion in bash and zsh: what a user has who presses Tab; and the manual page.

local arguments = require "redlock.command.arguments"
local keeper = require "keeper"
local manual = require "redlock.command.manual"
local process = require "support.process"
local program = require "command.program"
local terminal = require "command.terminal"
local verbs = require "redlock.command.verbs"

describe("completion", function()
    local folder

    -- Both files, and a command `redlock` in PATH, in a folder of their own.
    setup(function()
        folder = keeper.new()
        folder:settle()
        program.shell(("mkdir %s/bin %s/zsh"):format(folder.dir, folder.dir))
        program.shell(("printf '#!/bin/sh\\n' >%s/bin/redlock; chmod +x %s/bin/redlock"):format(
            folder.dir, folder.dir))
        for shell, name in pairs { bash = "redlock.bash", zsh = "zsh/_redlock" } do
            local script = program.run { "completion", shell }
            assert.equal(0, script.status)
            local file = assert(io.open(folder.dir .. "/" .. name, "w"))
            file:write(table.concat(script.output, "\n"), "\n")
            file:close()
        end
    end)

    after_each(function()
        terminal.close_all()
        process.stop_all()
    end)

    teardown(function()
        folder:close()
    end)

    local function type_into(...)
        local path = "PATH=" .. folder.dir .. "/bin:" .. os.getenv "PATH"
        local words = { "env", "HOME=/nonexistent", "PS1=ready> ", "TERM=dumb", path, ... }
        return terminal.open(words, 120)
    end

    describe("in bash", function()
        -- What is offered for the last of the words.
        local function offered(...)
            local words = { "redlock", ... }
            local quoted = {}
            for index, word in ipairs(words) do
                quoted[index] = keeper.quote(word)
            end
            local script = ([[. %s/redlock.bash; COMP_WORDS=(%s); COMP_CWORD=%d
                compopt() { :; }; _redlock; printf '%%s\n' "${COMPREPLY[@]}"]]):format(
                folder.dir, table.concat(quoted, " "), #words - 1)
            return program.shell("bash --norc -c " .. keeper.quote(script))
        end

        it("offers the verbs", function()
            local all = table.concat(verbs.names, "\n")
            assert.equal(all .. "\n--help\n--version", offered "")
            assert.equal("run", offered "ru")
            assert.equal(all, offered("help", ""))
            assert.equal("bash\nzsh", offered("completion", ""))
        end)

        it("offers each verb's options", function()
            for _, verb in ipairs(verbs.all()) do
                local expected = {}
                for _, option in ipairs(arguments.options(verb)) do
                    expected[#expected + 1] = "--" .. option.long
                end
                assert.equal(table.concat(expected, "\n"), offered(verb.name, "--"))
            end
            assert.equal("--wait", offered("run", "job", "--wa"))
        end)

        it("offers files where one is wanted, and nothing behind other values", function()
            assert.equal("README.md", offered("run", "--config", "READ"))
            assert.equal("csrc", offered("run", "--tls-ca-path", "csr"))
            assert.equal("", offered("run", "--wait", "--"))
        end)

        it("offers commands behind --", function()
            assert.matches("\nprintf\n", "\n" .. offered("run", "job", "--", "print") .. "\n")
            assert.equal("", offered("run", "job", "--", "ls", "--wa"))
        end)

        it("works at a keyboard", function()
            local bash = type_into("INPUTRC=/dev/null", "bash", "--norc", "--noprofile", "-i")
            bash:expect "ready> "
            bash:type((". %s/redlock.bash\n"):format(folder.dir))
            bash:expect "ready> "
            bash:type "redlock ru\tjob --at-m\t"
            bash:expect "redlock run job %-%-at%-most $"
        end)
    end)

    describe("in zsh", function()
        -- That starts with such lines in its .zshrc.
        local function open(lines)
            local file = assert(io.open(folder.dir .. "/.zshrc", "w"))
            file:write("PROMPT='ready> '; unsetopt prompt_sp; autoload -U compinit\n", lines, "\n")
            file:close()
            local zsh = type_into("ZDOTDIR=" .. folder.dir, "zsh", "-d", "-i")
            zsh:expect "ready> "
            return zsh
        end

        it("is a script that zsh can read", function()
            assert.equal("", program.shell(("zsh -f -n %s/zsh/_redlock"):format(folder.dir)))
        end)

        it("works at a keyboard", function()
            local zsh = open(("fpath=(%s/zsh $fpath); compinit -u -D"):format(folder.dir))
            zsh:type "redlock ru\t"
            zsh:expect "redlock ru\7?n $"
            zsh:type "job --at-m\t"
            zsh:expect "o?st[= ]$"
            zsh:type "\b 5m -- ls --auth\t"
            zsh:expect "o?r $"
        end)

        it("is taken up by eval, too", function()
            local zsh = open(('compinit -u -D; eval "$(cat %s/zsh/_redlock)"'):format(folder.dir))
            zsh:type "redlock compl\t"
            zsh:expect "redlock compl\7?etion $"
            zsh:type "z\t"
            zsh:expect "zsh $"
        end)
    end)
end)

describe("the manual page", function()
    local file = assert(io.open "docs/redlock.1")
    local page = file:read "*a"
    file:close()

    it("is what the command says of itself (or else: make manual)", function()
        assert.equal(manual(), page)
    end)

    it("has every verb, option, exit code and example", function()
        local plain = page:gsub("\\f[BIR]", ""):gsub("\\%-", "-"):gsub("\\e", "\\")
        for _, verb in ipairs(verbs.all()) do
            local synopsis = ("redlock %s %s"):format(verb.name, verb.synopsis)
            assert.is_truthy(plain:find(synopsis, 1, true))
            for _, option in ipairs(arguments.options(verb)) do
                local shown = "--" .. option.long .. (option.value and " " .. option.value or "")
                assert.is_truthy(plain:find(shown .. "\n", 1, true), shown)
            end
            for _, pair in ipairs(verb.exits or {}) do
                local text = ("\n%s\n%s"):format(pair[1], pair[2])
                assert.is_truthy(plain:find(text, 1, true), pair[2])
            end
            for _, pair in ipairs(verb.examples or {}) do
                assert.is_truthy(plain:find(pair[2]:gsub("\n", "\n    "), 1, true), pair[2])
            end
        end
    end)
end)
