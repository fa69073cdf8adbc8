--- Writes JSON (RFC 8259).
-- @module redlock.command.json
-- @local

local utf8 = require "redlock.command.utf8"

local json = {}

-- An array, also when it is empty.
local ARRAY = {}

local REPLACEMENT = "\239\191\189" -- U+FFFD

local escapes = {
    ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
    ["\t"] = "\\t",
}

-- JSON is text: for a byte that is none stands a mark.
local function to_utf8(text)
    if utf8.is_valid(text) then
        return text
    end
    local parts = {}
    for bytes, is_character in utf8.characters(text) do
        parts[#parts + 1] = is_character and bytes or REPLACEMENT
    end
    return table.concat(parts)
end

local function to_hex(text)
    return (text:gsub(".", function(byte)
        return ("%02x"):format(byte:byte())
    end))
end

local function write_string(text)
    return '"' .. to_utf8(text):gsub('[%c"\\]', function(character)
        return escapes[character] or ("\\u%04x"):format(character:byte())
    end) .. '"'
end

local function write_number(number)
    if number ~= number or number == math.huge or number == -math.huge then
        return "null"
    elseif number == math.floor(number) and math.abs(number) < 2 ^ 53 then
        return ("%.0f"):format(number)
    end
    return (("%.6g"):format(number):gsub(",", "."))
end

--- Marks a list, so that it is an array also when it is empty.
-- @tparam table list
-- @treturn table the list
function json.array(list)
    return setmetatable(list, ARRAY)
end

local write

local function write_array(list)
    local parts = {}
    for index, value in ipairs(list) do
        parts[index] = write(value)
    end
    return "[" .. table.concat(parts, ",") .. "]"
end

local function write_object(object)
    local fields = {}
    for name, value in pairs(object) do
        fields[#fields + 1] = write_string(name) .. ":" .. write(value)
        if type(value) == "string" and not utf8.is_valid(value) then
            fields[#fields + 1] = write_string(name .. "_hex") .. ":" .. write_string(to_hex(value))
        end
    end
    table.sort(fields)
    return "{" .. table.concat(fields, ",") .. "}"
end

function write(value)
    local kind = type(value)
    if kind == "string" then
        return write_string(value)
    elseif kind == "number" then
        return write_number(value)
    elseif kind ~= "table" then
        return kind == "boolean" and tostring(value) or "null"
    elseif getmetatable(value) == ARRAY or value[1] ~= nil then
        return write_array(value)
    end
    return write_object(value)
end

--- A value as JSON, in one line. Numbers without a limit, and what is no number, are null. A text
-- that is no UTF-8 has a U+FFFD for each byte that is to blame; where it is an object's, under NAME, all
-- of its bytes stand in hexadecimal under NAME_hex.
-- @tparam string|number|boolean|table value a table with something at 1 is an array, see `json.array`
-- @treturn string
function json.write(value)
    return write(value)
end

return json
