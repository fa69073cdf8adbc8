--- A job of the whole cluster: the timer of every worker on every machine asks for it once in a
-- period, and one of them all runs it. Here a "night" is a second.

-- luacheck: read globals ngx
local cache = require "cache"
local cluster = require "cluster"

local nightly = {}

local PERIOD = 1 -- seconds
local SHOWN = 100

local function job(night)
    cache.ask("LPUSH", "nightly:runs", ("night %d, by process %d"):format(night, ngx.worker.pid()))
end

-- A lock alone is not enough: a machine whose timer is late would find it free, and run the job
-- again. So it protects a note of the last run. Who waits in vain comes again with the next night;
-- if the worker that runs the job dies, its lease ends, and another one goes on.
local function run(is_exiting)
    if is_exiting then
        return
    end
    local night = math.floor(ngx.time() / PERIOD)
    local ran, message, code = cluster.client:with("nightly", { wait = PERIOD, ttl = 2 }, function()
        if (tonumber(cache.ask("GET", "nightly:last")) or 0) < night then
            job(night)
            cache.ask("SET", "nightly:last", night)
        end
    end)
    if not ran and code ~= "timeout" then
        ngx.log(ngx.WARN, message)
    end
end

--- In init_worker_by_lua.
function nightly.start()
    assert(ngx.timer.every(PERIOD, run))
end

--- Who ran it, the last first.
function nightly.show()
    local runs = cache.ask("LRANGE", "nightly:runs", 0, SHOWN - 1)
    ngx.say(table.concat(runs, "\n"))
end

return nightly
