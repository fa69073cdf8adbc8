--- The command line of a benchmark.

local command_line = {}

--- Reads `--name value` and, where the default is a boolean, a bare `--name`.
-- @tparam {string,...} words the command line
-- @tparam table defaults name -> number, string or boolean; what is not named here is refused
-- @tparam string usage what to say then, before the program ends
-- @treturn table name -> value, of the default's type
function command_line.parse(words, defaults, usage)
    local given = {}
    for name, default in pairs(defaults) do
        given[name] = default
    end
    local index = 1
    while index <= #words do
        local name = words[index]:match("^%-%-(%a+)$")
        local kind = name and type(defaults[name])
        local value
        if kind == "boolean" then
            value = true
        elseif kind == "number" or kind == "string" then
            index = index + 1
            value = words[index]
            if kind == "number" then
                value = tonumber(value)
            end
        end
        if value == nil then
            io.stderr:write(usage, "\n")
            os.exit(2)
        end
        given[name] = value
        index = index + 1
    end
    return given
end

--- Reads a list such as `1,16,0.5`.
-- @tparam string text
-- @treturn {number,...}
function command_line.numbers(text)
    local list = {}
    for digits in text:gmatch("[%d%.]+") do
        list[#list + 1] = tonumber(digits)
    end
    return list
end

return command_line
