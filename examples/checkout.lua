--- Lets an example run where it lies, from any working directory: it finds redlock in this checkout if it is not
-- installed, and starts other examples as processes of their own. To be required before redlock.

local keeper = require "keeper"

local checkout = {}

local folder = arg[0]:match("^.*/") or "./"

local function find_redlock()
    local root = folder .. "../"
    local lua = jit and "luajit" or "lua" .. _VERSION:match("%d%.%d")
    package.path = package.path .. (";%slua/?.lua;%slua/?/init.lua"):format(root, root)
    package.cpath = package.cpath .. (";%sbuild/%s/?.so"):format(root, lua)
end

local function interpreter()
    local index = -1
    while arg[index - 1] do
        index = index - 1
    end
    return arg[index]
end

--- The shell command that runs an example under the same Lua.
-- @tparam string name of the file, without `.lua`
-- @tparam {string|number,...} arguments
-- @treturn string
function checkout.command(name, arguments)
    local words = { "exec", keeper.quote(interpreter()), keeper.quote(folder .. name .. ".lua") }
    for _, argument in ipairs(arguments) do
        words[#words + 1] = keeper.quote(argument)
    end
    return table.concat(words, " ")
end

--- Sleeps. Ctrl-C ends the sleep and reaches this process, as it would not during os.execute.
-- @tparam number seconds
function checkout.sleep(seconds)
    local pipe = assert(io.popen(("sleep %.3f"):format(seconds), "r"))
    pipe:read("*a")
    pipe:close()
end

find_redlock()

return checkout
