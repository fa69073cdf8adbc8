--- Locks of names that nobody else has, and that leave nothing behind.
-- @module redlock.command.scratch
-- @local

local consoles = require "redlock.console"
local core = require "redlock.core"

local scratch = {}

local BATCH = 500 -- keys in one command

--- Names that were never used before.
-- @tparam string verb
-- @tparam number count
-- @treturn {string,...} "redlock-VERB:..."
function scratch.names(verb, count)
    local names = {}
    local moment = core.wall_clock() * 1e6
    local stem = ("redlock-%s:%.0f-%06d:"):format(verb, moment, math.random(0, 999999))
    for index = 1, count do
        names[index] = stem .. index
    end
    return names
end

local function add_batches(commands, keys)
    for first = 1, #keys, BATCH do
        local command = { "DEL" }
        for index = first, math.min(first + BATCH - 1, #keys) do
            command[#command + 1] = keys[index]
        end
        commands[#commands + 1] = command
    end
end

--- Deletes what was left on the nodes, fences and all: such names are never used again. What cannot be
-- deleted ends by itself, the last of it after a day.
-- @tparam {Console,...} lines to the nodes
-- @tparam string prefix
-- @tparam {string,...} names
function scratch.clean(lines, prefix, names)
    local keys, commands = {}, {}
    for _, name in ipairs(names) do
        local key = prefix .. name
        keys[#keys + 1] = key
        for _, side in ipairs { "fence", "queue", "claim" } do
            keys[#keys + 1] = consoles.side_key(key, side)
        end
    end
    add_batches(commands, keys)
    for _, line in ipairs(lines) do
        line:ask_all(commands)
        line:close()
    end
end

return scratch
