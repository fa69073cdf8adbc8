--- What a client's program is told: `SETTINGS ID CLASS`, the path of a literal, its own name and
-- what kind of client it is. In the literal: `nodes` (URLs by side), `store` (a port), `dir`,
-- `prefix`, `ttl`, `pause` and how many names.

local history = require "torture.history"
local literal = require "support.literal"

local settings = {}

local function read_file(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read "*a"
    file:close()
    return text
end

--- Reads the settings.
function settings.read(path)
    return literal.read(read_file(path))
end

-- Sixteen bits of a name, for programs that are to differ from one another.
local function hash(text)
    local sum = 0
    for index = 1, #text do
        sum = (sum * 31 + text:byte(index)) % 65521
    end
    return sum
end

--- A function that says what the harness wants now.
function settings.orders(told)
    local path = told.dir .. "/orders"
    return function()
        return read_file(path)
    end
end

--- What the program works with.
-- @tparam {string,...} words its arguments
-- @treturn table the settings, and `id`, `class`, `writer`, `orders` (a function: what the harness
-- wants now)
function settings.take(words)
    local told = settings.read(words[1])
    told.id, told.class = words[2], words[3]
    math.randomseed(told.seed + hash(told.id))
    told.writer = history.writer(told.dir .. "/" .. told.id .. ".history")
    told.orders = settings.orders(told)
    return told
end

return settings
