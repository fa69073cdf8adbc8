--- Stampede protection: a cached report is made anew by one request of the whole cluster. The
-- others that come meanwhile wait, and read it then. Written as for lua-resty-lock, but for one
-- line.

-- luacheck: read globals ngx
local cache = require "cache"
local cluster = require "cluster"
local resty_lock = require("resty.redlock").on { nodes = cluster.nodes }

local report = {}

local LIFETIME = 5 -- seconds
local EFFORT = 0.3 -- seconds

local function make(name)
    ngx.sleep(EFFORT) -- the hard work
    local number = cache.ask("INCR", "report-number:" .. name)
    return ("report %s number %s, by process %d"):format(name, number, ngx.worker.pid())
end

local function fail(message)
    ngx.log(ngx.ERR, "no report: ", message)
    return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
end

function report.serve()
    local name = ngx.var.arg_name or "daily"
    local key = "report:" .. name
    local text = cache.ask("GET", key)
    if not text then
        local lock = resty_lock:new("reports", { exptime = 10, timeout = 10 })
        local elapsed, message = lock:lock(name)
        if not elapsed then
            return fail(message)
        end
        text = cache.ask("GET", key) -- whoever held the lock may have made it
        if not text then
            text = make(name)
            cache.ask("SET", key, text, "EX", LIFETIME)
        end
        lock:unlock()
    end
    ngx.say(text)
end

return report
