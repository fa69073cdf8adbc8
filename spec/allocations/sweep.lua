--- Runs a scenario again and again, and each time another allocation fails: the first, the second,
-- and so on until a run needs no more of them; then the next scenario.
--
--     sweep.lua SCENARIO[,...] [library|lua [one|rest [FIRST [LAST [STRIDE]]]]]
--
-- `one` fails alone, or with all the `rest` until the scenario is over. Afterwards there must have
-- been no crash and no hang, only failures that say what they are, nothing of the library's left
-- allocated, a client that is of use, and on the servers nothing without a time to live.

local allocations = require "allocations"
local certificates = require "support.certificates"
local leftovers = require "allocations.leftovers"
local machine = require "machine"
local quorum = require "support.quorum"
local scenarios = require "allocations.scenarios"
local servers = require "servers"
local wait = require "support.wait"

local unpack = table.unpack or unpack

local party, manner = arg[2] or "library", arg[3] or "one"
local first, last, stride = tonumber(arg[4]) or 1, tonumber(arg[5]) or 1e6, tonumber(arg[6]) or 1

local SECONDS = 40 -- after which a run hangs
local WARM_UPS = 3
local PROBLEMS_MAX = 20
local NEVER = 1e9
local LUA_TRIES = 3 -- an allocation that failed is tried again when Lua has collected

local chosen, scenario -- the name, and what it is
local problems = 0

local function complain(number, message, ...)
    problems = problems + 1
    print(("%s: %s allocation %d of %s: %s"):format(
        chosen, manner == "one" and "only" or "from", number, party, message:format(...)))
    leftovers.print_frames("failed", allocations.where())
    print(("    again: make allocations SCENARIO=%s PARTY=%s MANNER=%s FIRST=%d LAST=%d"):format(
        chosen, party, manner, number, number))
end

-- ---- the world of the runs ----

local function start_world()
    local authority = certificates.new_authority()
    local certificate = authority:issue("server", "DNS:localhost,IP:127.0.0.1")
    local secret = servers.start_one { password = "pass:word" }
    local world = {
        ca = authority.ca,
        plain = servers.start_one(),
        tls = servers.start_one { tls = certificate },
        unix = "unix://:pass%3Aword@" .. secret.socket .. "?db=3",
    }
    function world.ask(...)
        return quorum.ask(world.plain, ...)
    end
    function world.unaffected(fn)
        allocations.disarm()
        fn()
        allocations.resume(party)
    end
    return world
end

-- ---- a call ----

local function is_among(code, codes)
    for _, known in ipairs(codes) do
        if code == known then
            return true
        end
    end
    return false
end

-- What redlock.new() raises of TLS is OpenSSL's, which may blame the files that it was reading.
local function is_about_memory(message)
    return type(message) == "string" and (message:find("not enough memory", 1, true)
        or message:find("^redlock: TLS: ")) ~= nil
end

local function check_failure(codes, message, code)
    if not is_among(code, codes) then
        error(("failed with %q: %s"):format(code, message), 0)
    elseif message:sub(1, #code + 2) ~= code .. ": " then
        error(("the message is not that of %q: %s"):format(code, message), 0)
    end
end

-- Makes a call that may fail with these codes, or for want of memory. Its first result, or nothing.
local function try(codes, fn, ...)
    local results = { pcall(fn, ...) }
    local ok, result, message, code = unpack(results, 1, 4)
    if not ok and not is_about_memory(result) then
        error(("raised %q"):format(tostring(result)), 0)
    elseif ok and result == nil and code ~= nil then
        check_failure(codes, message, code)
    end
    return ok and result or nil
end

-- ---- a run ----

local function is_of_use(client, name, seconds)
    return wait.wait_until(function()
        local lock = client:acquire(name, { wait = 1, ttl = 5 })
        local extended = lock and lock:extend(6)
        return lock and lock:release() and extended
    end, seconds)
end

-- What OpenSSL had no memory for when it set up TLS, it does without, and does not say so: such a
-- client trusts no certificate. One that is made anew has to be of use.
local function check_anew(world, number)
    local in_openssl = leftovers.asked_by():find "^lib[cs][rs]" -- libcrypto, libssl
    local client = scenario.anew and in_openssl and scenario.anew(world)
    if not client or not is_of_use(client, world.name .. ":anew", 60) then
        complain(number, "the client is of no use any more")
    end
    if client then
        client:close()
    end
end

local function close(client)
    allocations.resume(party)
    local closed, message = pcall(client.close, client)
    allocations.disarm()
    if not closed then
        assert(is_about_memory(message), message)
        client:close()
    end
end

local function arm(number)
    local last_to_fail = number + (party == "lua" and LUA_TRIES - 1 or 0)
    allocations.arm(party, number, manner == "one" and last_to_fail or 2 * NEVER)
end

-- Whether anything failed: else it needs fewer allocations.
local function run(world, number)
    world.name = ("%s:%s:%d"):format(chosen, manner, number)
    local client = scenario.prepare and scenario.prepare(world)
    arm(number)
    local ok, result = pcall(scenario.run, world, try, client)
    allocations.disarm()
    if not ok and not is_about_memory(result) then
        complain(number, "%s", result)
    end
    client = ok and result or client
    if client and not is_of_use(client, world.name .. ":after", scenario.anew and 3 or 60) then
        check_anew(world, number)
    end
    if client then
        close(client)
    end
    world.held, world.other = nil, nil
    local _, failed = allocations.disarm()
    return failed > 0
end

-- In a process of its own, in which nothing has been set up.
local function run_cold(world, number)
    local pid = machine.fork()
    if pid == 0 then
        problems = 0
        local ok, failed = pcall(run, world, number)
        if not ok then
            complain(number, "%s", failed)
        end
        io.stdout:flush()
        machine.exit(problems > 0 and 1 or failed and 2 or 3)
    end
    local status = machine.waitpid(pid)
    if status == 1 then
        problems = problems + 1
    elseif status ~= 2 and status ~= 3 then
        complain(number, "it ended with status %s", tostring(status))
    end
    return status ~= 3
end

-- ---- all runs ----

local function run_guarded(world, number)
    allocations.deadline(SECONDS)
    allocations.mark()
    local failed = (scenario.cold and run_cold or run)(world, number)
    collectgarbage()
    collectgarbage()
    allocations.deadline(0)
    return failed
end

local function check_leftovers(number, baseline)
    local count = leftovers.count(baseline)
    if count > 0 then
        complain(number, "%d are left", count)
        leftovers.print_frames("left", allocations.new())
    end
end

local function sweep(world)
    for index = 1, scenario.cold and 0 or WARM_UPS do
        run_guarded(world, NEVER + index)
    end
    local runs, idle, number = 0, 0, first
    while number <= last and idle < 3 and problems < PROBLEMS_MAX do
        local baseline = allocations.live()
        idle = run_guarded(world, number) and 0 or idle + 1
        check_leftovers(number, baseline)
        runs = runs + 1
        number = number + stride
    end
    return runs, number - stride
end

local function check_servers(world)
    local key = quorum.of({ world.plain }):key_for_ever()
    if key then
        problems = problems + 1
        print(chosen .. ": without a time to live there is " .. key)
    end
end

io.stdout:setvbuf "line"
local world, all_problems = start_world(), 0
for name in arg[1]:gmatch "[^,]+" do
    local began = wait.now()
    chosen, scenario, problems = name, assert(scenarios[name], "there is no such scenario"), 0
    local runs, highest = sweep(world)
    check_servers(world)
    print(("%-9s %-7s %-4s %5d runs, up to allocation %5d, %5.1f s, %d problems"):format(
        chosen, party, manner, runs, highest, wait.now() - began, problems))
    all_problems = all_problems + problems
end
servers.stop_all()
certificates.remove_all()
os.exit(all_problems == 0 and 0 or 1)
