-- nginx as the specs start it: it ends with them, its error log is read, and the client for it sees what comes.

local http = require "support.http"
local nginx = require "support.nginx"
local process = require "support.process"
local wait = require "support.wait"

local server

setup(function()
    server = nginx.start {
        nodes = { "127.0.0.1:1" }, workers = 2, http = "lua_check_client_abort on;",
    }
end)

teardown(function()
    nginx.stop_all()
    process.stop_all()
end)

local function are_alive(pids)
    for _, pid in ipairs(pids) do
        if not nginx.is_alive(pid) then
            return false
        end
    end
    return true
end

describe("nginx", function()
    it("ends with the process that started it, even if that is killed", function()
        local child = process.start [[
            local nginx = require "support.nginx"
            local server = nginx.start { nodes = { "127.0.0.1:1" }, workers = 2 }
            print(server.master .. " " .. table.concat(server:workers(), " "))
            io.read()
        ]]
        local pids = {}
        for pid in assert(child:wait_line("%d", 20)):gmatch "%d+" do
            pids[#pids + 1] = tonumber(pid)
        end
        assert.equal(3, #pids)
        assert.is_true(are_alive(pids))
        child:signal "KILL"
        assert.is_true(nginx.await_end(pids))
    end)

    it("leaves no worker when its master process is killed and it is closed", function()
        local another = nginx.start { nodes = { "127.0.0.1:1" }, workers = 2 }
        local workers = another:workers()
        another:signal "KILL"
        assert.is_true(nginx.await_end { another.master })
        assert.is_true(are_alive(workers))
        another:close()
        assert.is_true(nginx.await_end(workers))
    end)

    it("says what is wrong with its configuration", function()
        local ok, message = pcall(nginx.start, { nodes = {}, server = "no_such_directive;" })
        assert.is_false(ok)
        assert.is_truthy(message:find("no_such_directive", 1, true), message)
    end)
end)

describe("the error log", function()
    after_each(function()
        server:unprovoked()
    end)

    it("shows an error that no test has provoked", function()
        server:play "error 'unheard of'"
        assert.is_truthy(server:unprovoked():find "unheard of")
        assert.is_nil(server:unprovoked())
    end)

    it("shows none that was provoked", function()
        server:provoke "on purpose"
        server:play "error 'on purpose'"
        assert.is_nil(server:unprovoked())
    end)

    it("is to have what was provoked", function()
        server:provoke "on purpose"
        server:play "ngx.log(ngx.WARN, 'on purpose')"
        assert.equal("not logged: on purpose", server:unprovoked(0.1))
    end)

    it("shows that a worker crashed", function()
        local workers = server:workers()
        nginx.signal_worker(workers[1], "SEGV")
        assert.is_true(server:await_log "exited on signal 11")
        assert.is_truthy(server:unprovoked():find "exited on signal 11")
        server:await_workers {}
    end)
end)

describe("a request", function()
    it("has status, headers and body, in chunks or of a known length", function()
        local chunked = server:play [[
            ngx.status = 202
            ngx.header.Answer = "yes"
            ngx.print(("x"):rep(100000))
            ngx.flush(true)
            ngx.print "end"
        ]]
        assert.equal(202, chunked.status)
        assert.equal("yes", chunked.headers.answer)
        assert.equal(("x"):rep(100000) .. "end", chunked.body)
        local plain = server:get "/plain"
        assert.equal("5", plain.headers["content-length"])
        assert.equal("plain", plain.body)
    end)

    it("that is not answered in time, or not wholly, has failed", function()
        assert.equal("timeout", server:play("await 'never'", { seconds = 0.05 }).failure)
        assert.equal("closed", server:play("ngx.exit(444)").failure)
        local part = server:play "ngx.print 'part' ngx.flush(true) ngx.exit(ngx.ERROR)"
        assert.equal("closed", part.failure)
        assert.is_nil(part.body)
    end)

    it("that is aborted closes its connection", function()
        local request = server:begin [[
            ngx.on_abort(function() note "gone" ngx.exit(499) end)
            note "here"
            await "never"
        ]]
        assert.is_truthy(server:await_note "here")
        request:abort()
        assert.equal("aborted", request.failure)
        assert.is_truthy(server:await_note "gone")
    end)

    it("plays every byte of its Lua", function()
        local code = "ngx.print [==[\n+ % %41 \"'\t\\ \195\164]==]"
        assert.equal("+ % %41 \"'\t\\ \195\164", server:play(code).body)
    end)

    it("may be one of hundreds", function()
        local requests = {}
        for index = 1, 300 do
            requests[index] = server:begin(("await 'all' ngx.print(%d)"):format(index))
        end
        wait.sleep(0)
        server:open_gate "all"
        http.finish(requests)
        for index, request in ipairs(requests) do
            assert.equal(tostring(index), request.body)
        end
    end)
end)
