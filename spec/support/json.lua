--- Reads JSON (RFC 8259), and nothing else: what is not JSON raises.

local json = {}

local read_value

local function fail(text, at)
    error(("no JSON at %d: %s"):format(at, text:sub(at, at + 20)), 0)
end

local function skip(text, at)
    return text:match("^[ \t\r\n]*()", at)
end

local function expect(text, at, character)
    at = skip(text, at)
    if text:sub(at, at) ~= character then
        fail(text, at)
    end
    return at + 1
end

local escapes = {
    ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}

local function utf8(code)
    if code < 0x80 then
        return string.char(code)
    elseif code < 0x800 then
        return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64)
    end
    return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64,
        0x80 + code % 64)
end

local function read_string(text, at)
    local parts, first = {}, at
    while true do
        local plain, stop = text:match('^([^"\\%c]*)()', at)
        parts[#parts + 1] = plain
        local mark = text:sub(stop, stop)
        if mark == '"' then
            return table.concat(parts), stop + 1
        elseif mark ~= "\\" then
            fail(text, first)
        end
        local hex = text:match("^u(%x%x%x%x)", stop + 1)
        parts[#parts + 1] = hex and utf8(tonumber(hex, 16)) or escapes[text:sub(stop + 1, stop + 1)]
            or fail(text, stop)
        at = stop + (hex and 6 or 2)
    end
end

-- What stands between two brackets, with commas; `take` reads one.
local function read_list(text, at, close, take)
    at = skip(text, at)
    if text:sub(at, at) == close then
        return at + 1
    end
    while true do
        at = skip(text, take(at))
        local mark = text:sub(at, at)
        if mark == close then
            return at + 1
        elseif mark ~= "," then
            fail(text, at)
        end
        at = at + 1
    end
end

local function read_object(text, at)
    local object = {}
    return object, read_list(text, at, "}", function(place)
        local name, value
        name, place = read_string(text, expect(text, place, '"'))
        value, place = read_value(text, expect(text, place, ":"))
        object[name] = value
        return place
    end)
end

local function read_array(text, at)
    local list, count = {}, 0
    return list, read_list(text, at, "]", function(place)
        count = count + 1
        list[count], place = read_value(text, place)
        return place
    end)
end

local words = { ["true"] = true, ["false"] = false }

function read_value(text, at)
    at = skip(text, at)
    local first = text:sub(at, at)
    if first == "{" then
        return read_object(text, at + 1)
    elseif first == "[" then
        return read_array(text, at + 1)
    elseif first == '"' then
        return read_string(text, at + 1)
    end
    local word, behind = text:match("^(%l+)()", at)
    if word == "null" or words[word] ~= nil then
        return words[word], behind
    end
    local number, stop = text:match("^(%-?%d+%.?%d*[eE]?[+-]?%d*)()", at)
    return tonumber(number or fail(text, at)) or fail(text, at), stop
end

--- Reads one value.
-- @tparam string text
-- @return a table, string, number or boolean; nil for null
function json.read(text)
    local value, behind = read_value(text, 1)
    if skip(text, behind) <= #text then
        fail(text, behind)
    end
    return value
end

return json
