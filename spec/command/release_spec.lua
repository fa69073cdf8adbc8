-- `redlock release NAME`: by its token, or by force, which shows whom it hits and asks first.

local process = require "support.process"
local program = require "command.program"
local quorum = require "support.quorum"
local servers = require "servers"
local terminal = require "command.terminal"
local wait = require "support.wait"

local nodes, client, lock

local function words(...)
    return program.words(nodes, "release", ...)
end

local function release(...)
    local result = program.run(words(...))
    return result.status, result.errors, table.concat(result.output, "\n")
end

local function stands()
    return nodes:count("job", lock.token)
end

setup(function()
    nodes = quorum.start(3)
end)

teardown(function()
    servers.stop_all()
end)

before_each(function()
    client = nodes:client { identity = "nightly report", renew = false }
    lock = nodes:everywhere(client, "job", { ttl = 60 })
end)

after_each(function()
    terminal.close_all()
    process.stop_all()
    quorum.close_clients()
    nodes:ask_all "FLUSHALL"
end)

describe("release by a token", function()
    it("releases what is held under it", function()
        local status, errors, output = release("job", "--token", lock.token)
        assert.equal("", errors)
        assert.equal(0, status)
        local expected = '"job" was released on 3 nodes, its fence was %.0f'
        assert.equal(expected:format(lock.fence), output)
        assert.equal(0, stands())
        local message, code = select(2, lock:release())
        assert.equal("lost", code, message)
    end)

    it("reads it from standard input, where nobody else sees it", function()
        local child = program.start(words("job", "--token", "-"))
        child:tell(lock.token)
        assert.equal(0, child:wait())
        assert.equal(0, stands())
    end)

    it("leaves alone what is held under another", function()
        local status, errors = release("job", "--token", "guessed")
        assert.equal(76, status)
        assert.matches("^redlock release: lost: ", errors)
        assert.equal(3, stands())
        assert.is_nil(errors:find(lock.token, 1, true))
    end)

    it("says that nobody holds it", function()
        local status, errors = release("no@thing", "--token", "some")
        assert.equal(76, status)
        assert.matches('"no@thing" is not held', errors, 1, true)
    end)
end)

describe("release by force", function()
    local function open(...)
        local line = ("TERM=xterm exec %s"):format(program.line(words("job", "--force", ...)))
        return terminal.open({ "sh", "-c", line }, 100)
    end

    it("shows who holds it, and asks", function()
        local screen = open()
        screen:expect '"job" is held by %S+ %(nightly report%) for %S+, on 3 of 3 nodes; '
        screen:expect "its lease ends in %S+\r\n"
        screen:expect "Take it away%? %[y/N%] "
        assert.equal(3, stands())
        screen:type "y\n"
        screen:expect(('"job" was released on 3 nodes, its fence was %.0f'):format(lock.fence))
        assert.equal(0, screen:wait())
        assert.equal(0, stands())
    end)

    it("does nothing for any other answer", function()
        for _, answer in ipairs { "n\n", "\n", "yup\n", "\4" } do
            local screen = open()
            screen:expect "%[y/N%] "
            screen:type(answer)
            assert.equal(1, screen:wait(), answer)
            assert.equal(3, stands())
        end
    end)

    it("does nothing on Ctrl-C", function()
        local screen = open()
        screen:expect "%[y/N%] "
        screen:type "\3"
        assert.equal(130, screen:wait())
        assert.equal(3, stands())
    end)

    it("hits nobody but whom it has shown", function()
        local screen = open()
        screen:expect "%[y/N%] "
        assert.is_true(lock:release())
        lock = assert(client:acquire("job", { ttl = 60 }))
        assert.is_true(wait.wait_until(function() return stands() == 3 end))
        screen:type "y\n"
        assert.equal(76, screen:wait())
        assert.equal(3, stands())
    end)

    it("does it without a question, if told to", function()
        local status, errors = release("job", "--force", "--yes")
        assert.equal(0, status)
        assert.matches('^"job" is held by .*%(nightly report%)', errors)
        assert.equal(0, stands())
    end)

    it("does nothing where there is nobody to ask", function()
        local status, errors = release("job", "--force")
        assert.equal(64, status)
        assert.matches("there is no terminal to ask at\nWith %-%-yes ", errors)
        assert.equal(3, stands())
    end)

    it("leaves the fence, so that the next owner's is higher", function()
        assert.equal(0, (release("job", "--force", "--yes")))
        for index = 1, 3 do
            local kept = nodes:ask(index, "GET", "{job}:fence")
            assert.equal(("%.0f"):format(lock.fence), kept:match "^%d+")
        end
        local next_lock = assert(client:acquire "job")
        assert.is_true(next_lock.fence > lock.fence)
    end)

    it("takes away what is no text only if told to", function()
        for index = 1, 3 do
            nodes:ask(index, "HSET", "theirs", "field", "1")
        end
        local status, errors = release("theirs", "--force", "--yes")
        assert.equal(75, status)
        assert.matches("%-%-any%-type", errors)
        assert.equal("hash", nodes:ask(1, "TYPE", "theirs"))
        assert.equal(0, (release("theirs", "--force", "--yes", "--any-type")))
        assert.equal("none", nodes:ask(1, "TYPE", "theirs"))
    end)

    it("says what it could not reach", function()
        for index = 1, 3 do
            nodes[index]:stop()
        end
        local status, errors = release("job", "--force", "--yes")
        assert.equal(69, status)
        assert.matches("Try: redlock doctor", errors)
        for index = 1, 3 do
            nodes[index]:restart()
        end
    end)
end)

describe("release", function()
    it("wants to be told how", function()
        for _, given in ipairs {
            {}, { "--token", "x", "--force" }, { "--token", "x", "--yes" },
        } do
            local status, errors = release("job", (table.unpack or unpack)(given))
            assert.equal(64, status)
            assert.matches("^redlock release: ", errors)
        end
        assert.equal(3, stands())
    end)
end)
