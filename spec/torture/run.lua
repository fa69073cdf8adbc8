--- `make torture`: many clients on real servers, while a nemesis does to them whatever machines and
-- networks do. Their history is judged at the end.
--
--     make torture ARGS="[--minutes M] [--seed S] [--only CLASS,...] [--profile NAME,...] [--list]"
--
-- Without `--minutes` each class of fault comes once, as many at a time as there can be. `--small`
-- has a few clients, all of them on the Lua that runs this, and no nginx. `--proxies` stays in the
-- network of this machine, as is done where no other can be had. Ends with a table of the classes,
-- what was promised and held, and `N passed, M failed`.

local root = arg[0]:match "^(.*)spec/torture/run%.lua$" or "./"
package.path = root .. "bench/?.lua;" .. package.path

local command_line = require "command_line"
local faults = require "torture.faults"
local keeper = require "keeper"
local profiles = require "torture.profiles"
local torture = require "torture.torture"

local USAGE = [[
usage: make torture ARGS="[--minutes M] [--seed S] [--only CLASS,...] [--profile NAME,...] [--list]"
]]
local DEFAULTS = {
    minutes = 0, seed = 0, only = "", profile = "", list = false, small = false, proxies = false,
}

local given = command_line.parse(arg, DEFAULTS, USAGE)

local function runs(command)
    local status = os.execute(command)
    return status == true or status == 0
end

local function words_of(text, is_known)
    local words = {}
    for word in text:gmatch "[^,%s]+" do
        if not is_known(word) then
            io.stderr:write(("no such name: %s\n%s"):format(word, USAGE))
            os.exit(2)
        end
        words[#words + 1] = word
    end
    return words
end

local function new_seed()
    local high, low = keeper.random_bytes(2):byte(1, 2)
    return high * 256 + low + 1
end

local function write(text)
    io.stdout:write(text)
    io.stdout:flush()
end

local function small()
    return { { command = os.getenv "LUA", build = os.getenv "REDLOCK_BUILD" } }, torture.SMALL_FLEET
end

local function full()
    local luas = {}
    for _, name in ipairs { "lua5.4", "luajit" } do
        luas[#luas + 1] = { command = name, build = "build/" .. name }
    end
    return luas, torture.FLEET
end

if given.list then
    torture.list(print)
    os.exit(0)
end

local luas, fleet = (given.small and small or full)()
if fleet.browser and not runs "command -v nginx /usr/sbin/nginx >/dev/null" then
    print "there is no nginx here"
    fleet.browser = nil
end

local passed = torture.run {
    luas = luas, fleet = fleet, proxies = given.proxies, minutes = given.minutes,
    seed = given.seed > 0 and given.seed or new_seed(),
    only = words_of(given.only, faults.named),
    profiles = words_of(given.profile, function(name) return profiles[name] end),
    terminal = runs "test -t 1", write = write,
}
os.exit(passed and 0 or 1)
