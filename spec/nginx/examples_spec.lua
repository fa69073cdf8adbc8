-- examples/openresty runs as it stands, and does on two machines what its texts say; so does what
-- the documentation shows.

local http = require "support.http"
local keeper = require "keeper"
local nginx = require "support.nginx"
local process = require "support.process"
local servers = require "servers"
local socket = require "socket"
local wait = require "support.wait"

local PATIENCE = 30 -- seconds

local example, ports

-- Two in a row, as the example takes them.
local function free_ports()
    local first, probe
    repeat
        first = nginx.free_port()
        probe = socket.bind("127.0.0.1", first + 1)
    until probe
    probe:close()
    return { first, first + 1 }
end

setup(function()
    ports = free_ports()
    example = process.start { file = "examples/openresty/run.lua", args = { ports[1] } }
    assert(example:wait_line("^Enter ends it%.$", PATIENCE))
end)

teardown(function()
    process.stop_all()
end)

after_each(function()
    http.abort_all()
    assert.equal("", example:errors())
end)

-- Sends so many requests at once, to the machines by turns.
local function open_many(count, path)
    local requests = {}
    for index = 1, count do
        requests[index] = http.open(ports[1 + index % 2], path)
    end
    return requests
end

describe("examples/openresty/report.lua", function()
    it("makes a report once for fifty requests at once, on two machines", function()
        local requests = open_many(50, "/report?name=weekly")
        http.finish(requests)
        local text = requests[1].body
        assert.matches("^report weekly number 1, by process %d+\n$", text)
        for _, request in ipairs(requests) do
            assert.equal(200, request.status)
            assert.equal(text, request.body)
        end
    end)
end)

describe("examples/openresty/orders.lua", function()
    local function changes_of(requests)
        local changes = {}
        for index, request in ipairs(requests) do
            assert.equal(200, request:finish().status)
            local from, to, fence = request.body:match "from ([%d.]+) to ([%d.]+), fence (%d+)"
            changes[index] = {
                from = tonumber(from), to = tonumber(to), fence = tonumber(fence),
            }
        end
        table.sort(changes, function(one, other) return one.from < other.from end)
        return changes
    end

    local function overlap(one, other)
        return one.from < other.to and other.from < one.to
    end

    it("changes an order once at a time, each with a higher fence", function()
        local changes = changes_of(open_many(12, "/orders/42"))
        assert.equal(12, #changes)
        for index = 2, #changes do
            assert.is_false(overlap(changes[index - 1], changes[index]))
            assert.is_true(changes[index - 1].fence < changes[index].fence)
        end
    end)

    it("changes different orders at the same time", function()
        local first, second = open_many(6, "/orders/1"), open_many(6, "/orders/2")
        first, second = changes_of(first), changes_of(second)
        local together = 0
        for _, one in ipairs(first) do
            for _, other in ipairs(second) do
                together = together + (overlap(one, other) and 1 or 0)
            end
        end
        assert.is_true(together > 0)
    end)

    it("frees the order at once when the client of a change loses patience", function()
        for _ = 1, 5 do
            local requests = open_many(2, "/orders/7")
            wait.sleep(0.02)
            requests[1]:abort()
            assert.equal(200, requests[2]:finish().status)
        end
        assert.equal(200, http.get(ports[1], "/orders/7").status)
    end)
end)

describe("examples/openresty/nightly.lua", function()
    local function runs()
        local nights = {}
        for night, pid in http.get(ports[1], "/runs").body:gmatch "night (%d+), by process (%d+)" do
            nights[#nights + 1] = { night = tonumber(night), pid = tonumber(pid) }
        end
        return nights
    end

    local function await_runs(count)
        local nights
        assert(http.wait_until(function()
            nights = runs()
            return #nights >= count
        end))
        return nights
    end

    it("runs the job once a second in one of all workers, also when that one is killed", function()
        local before = await_runs(2)
        nginx.signal_worker(before[1].pid, "KILL")
        local nights = await_runs(#before + 2)
        for index = 2, #nights do
            assert.is_true(nights[index].night < nights[index - 1].night)
        end
        assert.is_true(nights[1].pid ~= before[1].pid)
    end)
end)

local function output_of(command)
    local pipe = assert(io.popen(command))
    local output = pipe:read "*a"
    pipe:close()
    return output
end

local function read(path)
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    return text
end

describe("examples/openresty/nginx.conf", function()
    it("is valid as it stands", function()
        assert.matches("test is successful", output_of [[
            PATH="$PATH:/usr/sbin"; nginx -t -p examples/openresty -c nginx.conf 2>&1
        ]])
    end)
end)

describe("the documentation", function()
    after_each(function()
        servers.stop_all()
    end)

    local function blocks(path, language)
        return read(path):gmatch("```" .. language .. "\n(.-)```\n")
    end

    -- A whole configuration of what a text shows of it.
    local function whole(text)
        local modules = read("examples/openresty/nginx.conf"):match "\nload_module.-\n\n"
        local inner = text:match "^http {\n(.*)}\n$" or text
        return ([[
            %s
            events {}
            http {
                lua_package_path "$prefix/lua/?.lua;$prefix/lua/?/init.lua;;";
                lua_package_cpath "$prefix/build/luajit/?.so;;";
                %s
            }
        ]]):format(modules, inner)
    end

    it("shows configurations that nginx takes", function()
        local tested = 0
        for _, path in ipairs { "README.md", "docs/openresty.md" } do
            for text in blocks(path, "nginx") do
                if text:find "init_by_lua_block" then
                    local folder = keeper.new()
                    folder:save("nginx.conf", whole(text))
                    folder:settle()
                    assert.matches("test is successful", output_of(([[
                        PATH="$PATH:/usr/sbin"; nginx -t -p "$PWD" -e stderr -c %s 2>&1 \
                            -g "pid %s/nginx.pid;"
                    ]]):format(keeper.quote(folder.dir .. "/nginx.conf"), folder.dir)))
                    folder:close()
                    tested = tested + 1
                end
            end
        end
        assert.equal(2, tested)
    end)

    it("shows a program of many coroutines that runs as it stands", function()
        for text in blocks("README.md", "lua") do
            if text:find "cqueues" then
                local env = { REDIS_URL = servers.start_one().url }
                local lines, status, errors = process.run { code = text, env = env }
                assert.equal("", errors)
                assert.equal(0, status)
                table.sort(lines)
                assert.equal(3, #lines)
                for number, line in ipairs(lines) do
                    assert.matches(("^coroutine %d has the fence %%d+$"):format(number), line)
                end
                return
            end
        end
        error "the README shows no such program"
    end)
end)
