--- A job that cron starts on every machine at the same moment, and that one of them runs.
--
--     lua5.4 examples/cron.lua [NODE...]           plays it, with a process for each machine
--
-- A lock alone is not enough: a machine whose clock is late would find it free again, and run the job once more. So
-- the lock protects a note of the last run, and whoever holds it looks there first. The others wait rather
-- than try: if the machine that runs the job dies, its lease ends, and the next one runs it.

package.path = (arg[0]:match("^.*/") or "./") .. "?.lua;" .. package.path
local checkout = require "checkout"
local keeper = require "keeper"
local redlock = require "redlock"
local servers = require "servers"

local MACHINES = 4

-- The note is shared: a file on a common disk, a row in a database.
local function read_last_run(note)
    local file = io.open(note)
    local last_run = file and file:read("*n") or 0
    if file then
        file:close()
    end
    return last_run
end

local function write_last_run(note, run)
    local file = assert(io.open(note, "w"))
    file:write(("%d\n"):format(run))
    file:close()
end

-- What cron starts on each machine. In real life the run is the hour or the minute that it is for.
local function be_machine(note, run, ...)
    local client = redlock.new { nodes = { ... }, ttl = 3, wait = 60 }
    assert(client:with("report", function(lock)
        if read_last_run(note) >= run then
            print "it was run"
            return
        end
        print "runs it"
        io.stdout:flush()
        checkout.sleep(1) -- the job
        assert(lock:held())
        write_last_run(note, run)
        print "has run it"
    end))
    client:close()
end

-- At a given moment cron starts the job on all machines.
local function start_machines(note, run, urls)
    local machines = {}
    for index = 1, MACHINES do
        local arguments = { "machine", note, run }
        for _, url in ipairs(urls) do
            arguments[#arguments + 1] = url
        end
        machines[index] = keeper.new()
        machines[index]:start(checkout.command("cron", arguments))
    end
    return machines
end

local function count(machines, words)
    local found = 0
    for _, machine in ipairs(machines) do
        if machine:read("output"):find(words, 1, true) then
            found = found + 1
        end
    end
    return found
end

local function all_ended(machines)
    for _, machine in ipairs(machines) do
        machine:started()
        if machine:running() then
            return false
        end
        assert(machine:status() == 0 or machine:status() > 128, machine:read("errors"))
    end
    return true
end

local function kill_who_runs(machines)
    while count(machines, "runs it") == 0 do
        checkout.sleep(0.02)
    end
    for _, machine in ipairs(machines) do
        if machine:read("output"):find("runs it", 1, true) then
            machine:signal("KILL")
        end
    end
end

local function play_run(note, run, urls, accident)
    local machines = start_machines(note, run, urls)
    if accident then
        kill_who_runs(machines)
    end
    while not all_ended(machines) do
        checkout.sleep(0.05)
    end
    local has_run, found_run = count(machines, "has run it"), count(machines, "it was run")
    print(("run %d: %d machines started it%s, %d ran it, %d found that it was run"):format(
        run, MACHINES, accident and ", one was killed while it ran" or "", has_run, found_run))
    for _, machine in ipairs(machines) do
        machine:close()
    end
    return has_run == 1
end

local function play()
    local urls = servers.urls(arg, 1)
    local shared = keeper.new() -- for its folder
    shared:settle()
    local note = shared.dir .. "/last_run"
    local good = play_run(note, 1, urls)
    good = play_run(note, 2, urls, true) and good
    good = play_run(note, 3, urls) and good
    shared:close()
    servers.stop_all()
    return good
end

if arg[1] == "machine" then
    be_machine(arg[2], tonumber(arg[3]), (table.unpack or unpack)(arg, 4))
else
    os.exit(play() and 0 or 1, true)
end
