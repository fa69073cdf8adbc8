--- Writes plain values as one line of Lua, and reads them back.

local literal = {}

local load_text = loadstring or load -- luacheck: ignore 113

local writers = {}

--- Writes a value.
-- @tparam nil|boolean|number|string|table value tables hold only such values, and no cycle
-- @treturn string one line
function literal.write(value)
    return writers[type(value)](value)
end

writers["nil"] = tostring
writers.boolean = tostring

function writers.number(value)
    return ("%.17g"):format(value)
end

function writers.string(value)
    local escaped = value:gsub("[^%w ]", function(byte) return ("\\%03d"):format(byte:byte()) end)
    return '"' .. escaped .. '"'
end

function writers.table(value)
    local fields = {}
    for key, field in pairs(value) do
        fields[#fields + 1] = ("[%s]=%s"):format(literal.write(key), literal.write(field))
    end
    return "{" .. table.concat(fields, ",") .. "}"
end

--- Reads a value.
-- @tparam string text as `literal.write` made it
-- @return the value
function literal.read(text)
    return assert(load_text("return " .. text))()
end

return literal
