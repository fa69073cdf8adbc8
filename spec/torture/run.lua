--- `make torture`: many clients on real servers, while a nemesis does to them whatever machines and
-- networks do. Their history is judged at the end.
--
--     make torture ARGS="[--minutes M] [--seed S] [--only CLASS,...] [--profile NAME,...] [--list]"
--
-- `--small` has a few clients, all of them on the Lua that runs this, and no nginx. Without
-- `--minutes` each class of fault comes once, as many at a time as there can be. Ends with a table
-- of the classes, with what was promised and held, and with `N passed, M failed`.

local root = arg[0]:match "^(.*)spec/torture/run%.lua$" or "./"
package.path = root .. "bench/?.lua;" .. package.path

local command_line = require "command_line"
local keeper = require "keeper"

local torture = require "torture.torture"

local USAGE = [[
usage: make torture ARGS="[--minutes M] [--seed S] [--only CLASS,...] [--profile NAME,...] [--list]"
]]
local DEFAULTS = { minutes = 0, seed = 0, only = "", profile = "", list = false, small = false }

local given = command_line.parse(arg, DEFAULTS, USAGE)

local function words_of(text)
    local words = {}
    for word in text:gmatch "[^,%s]+" do
        words[#words + 1] = word
    end
    return words
end

local function new_seed()
    local high, low = keeper.random_bytes(2):byte(1, 2)
    return high * 256 + low + 1
end

if given.list then
    torture.list(print)
    os.exit(0)
end

local luas = { { command = os.getenv "LUA", build = os.getenv "REDLOCK_BUILD" } }
if not given.small then
    luas = {
        { command = "lua5.4", build = "build/lua5.4" },
        { command = "luajit", build = "build/luajit" },
    }
end

local function write(text)
    io.stdout:write(text)
    io.stdout:flush()
end

local passed = torture.run {
    luas = luas, fleet = given.small and torture.SMALL_FLEET or torture.FLEET,
    minutes = given.minutes, seed = given.seed > 0 and given.seed or new_seed(),
    only = words_of(given.only), profiles = words_of(given.profile),
    terminal = os.execute "test -t 1" == true, write = write,
}
os.exit(passed and 0 or 1)
