-- Child processes for the specs: they run as this one does, and are seen and stopped from here.

local process = require "support.process"
local wait = require "support.wait"

describe("a child process", function()
    after_each(function()
        process.stop_all()
    end)

    it("runs the same Lua with the same paths", function()
        local lines, status = process.run [[print(_VERSION, jit and jit.version)
            print(package.path) print(package.cpath)]]
        assert.equal(0, status)
        assert.equal(_VERSION .. "\t" .. tostring(jit and jit.version), lines[1])
        local function starts_with(text, start)
            return text:sub(1, #start) == start
        end
        assert.is_true(starts_with(lines[2], package.path))
        assert.is_true(starts_with(lines[3], package.cpath))
    end)

    it("is given arguments and variables as they are", function()
        local lines = process.run {
            code = "for index = 1, #arg do print(arg[index]) end print(os.getenv 'NOTE')",
            args = { "a b", "it's", "", "$HOME", 5 },
            env = { NOTE = "say \"it's\"" },
        }
        assert.same({ "a b", "it's", "", "$HOME", "5", "say \"it's\"" }, lines)
    end)

    it("tells how it ended", function()
        assert.equal(7, select(2, process.run "os.exit(7)"))
        local _, status, errors = process.run "error 'oops'"
        assert.equal(1, status)
        assert.matches("oops", errors)
        local lines, in_time = process.run({ command = "echo one; exec sleep 60" }, 0.2)
        assert.same({ "one" }, lines)
        assert.is_nil(in_time)
    end)

    it("is seen line by line, and hears us", function()
        local child = process.start [[
            for line in io.lines() do print("heard " .. line) end
        ]]
        child:tell("one  and two")
        assert.equal("heard one  and two", child:wait_line("^heard"))
        assert.same({ "heard one  and two" }, child:lines())
        assert.is_true(child:running())
        assert.equal("timeout: ", select(2, child:wait_line("never", 0.05)))
    end)

    it("does not keep us waiting for a line after it has ended", function()
        local child = process.start "io.stderr:write 'that was it' os.exit(1)"
        assert.equal("ended: that was it", select(2, child:wait_line("never", 60)))
    end)

    it("is sent signals", function()
        local child = process.start { command = "exec sleep 60" }
        child:signal("STOP")
        assert.is_true(child:running())
        child:signal("TERM")
        assert.equal("timeout", select(2, child:wait(0.05)))
        child:signal("CONT")
        assert.equal(128 + 15, child:wait())
        assert.is_false(child:running())
    end)

    it("starts with others at once", function()
        local list = {}
        for index = 1, 10 do
            list[index] = { code = "print(...) io.read()", args = { index } }
        end
        for index, child in ipairs(process.start_all(list)) do
            assert.equal(tostring(index), child:wait_line("%d"))
        end
    end)

    it("takes what it started along when it is closed", function()
        local child = process.start [[
            local pipe = io.popen("echo $$; exec sleep 60")
            print(pipe:read("*l"))
            pipe:read("*l")
        ]]
        local grandchild = assert(child:wait_line("%d"))
        child:close()
        assert.is_truthy(wait.wait_until(function()
            local pipe = io.popen("kill -0 " .. grandchild .. " 2>&1")
            local complaint = pipe:read("*a")
            pipe:close()
            return complaint ~= ""
        end))
    end)
end)

describe("wait_until", function()
    it("returns what the condition returned", function()
        local calls = 0
        assert.equal(3, wait.wait_until(function()
            calls = calls + 1
            return calls == 3 and calls
        end))
    end)

    it("gives up at the deadline", function()
        local before = wait.now()
        local result, failure = wait.wait_until(function() return false end, 0.05)
        assert.is_nil(result)
        assert.equal("timeout", failure)
        assert.is_true(wait.now() - before >= 0.05)
    end)
end)
