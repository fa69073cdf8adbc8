--- A job that takes longer than its lease, with and without the watchdog.
--
--     lua5.4 examples/watchdog.lua [NODE...]
--
-- The lease is short so that a lock whose owner died is soon free. The watchdog, a native thread, renews it while
-- the program sleeps, computes, or is blocked in C, until the lock is released or `max_hold` is over.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
require "checkout"
local redlock = require "redlock"
local servers = require "servers"

local LEASE, JOB = 1.5, 3.5 -- seconds

local urls = servers.urls(arg, 1)
local owner = redlock.new { nodes = urls, ttl = LEASE }
local other = redlock.new { nodes = urls, ttl = LEASE, renew = false }

local function run_job(title, terms)
    local lock = assert(owner:acquire("job", terms))
    os.execute(("sleep %g"):format(JOB)) -- nothing of Lua runs meanwhile
    local held = lock:held()
    local rival, _, code = other:try "job"
    local _, _, lost = lock:release()
    print(("%s: after the job the lock is %s; another owner is told %s; release says %s"):format(
        title, held and "held" or "lost", rival and "granted" or code, lost or "true"))
    if rival then
        rival:release()
    end
    return held
end

print(("a job of %g s under a lease of %g s"):format(JOB, LEASE))
local unwatched = run_job("renew = false", { renew = false })
local watched = run_job("renew = true", {})
local limited = run_job("max_hold = 1.6", { max_hold = 1.6 })
owner:close()
other:close()
servers.stop_all()
os.exit(watched and not unwatched and not limited and 0 or 1, true)
