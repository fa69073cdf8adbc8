--- UTF-8, of which Lua 5.1 knows nothing: where a character ends, and how much room it takes.
-- @module redlock.command.utf8
-- @local

local utf8 = {}

-- First byte from, to -> how long; what the second byte must be at least and at most (RFC 3629, 4).
local forms = {
    { 0xC2, 0xDF, 2, 0x80, 0xBF },
    { 0xE0, 0xE0, 3, 0xA0, 0xBF },
    { 0xE1, 0xEC, 3, 0x80, 0xBF },
    { 0xED, 0xED, 3, 0x80, 0x9F },
    { 0xEE, 0xEF, 3, 0x80, 0xBF },
    { 0xF0, 0xF0, 4, 0x90, 0xBF },
    { 0xF1, 0xF3, 4, 0x80, 0xBF },
    { 0xF4, 0xF4, 4, 0x80, 0x8F },
}

local function form_of(first)
    for _, form in ipairs(forms) do
        if first >= form[1] and first <= form[2] then
            return form
        end
    end
end

--- How many bytes the character at a place has.
-- @tparam string text
-- @tparam number at
-- @treturn ?number nil if there is none
function utf8.length(text, at)
    local first, second = text:byte(at, at + 1)
    if first < 0x80 then
        return 1
    end
    local form = form_of(first)
    if not form or not second or second < form[4] or second > form[5] then
        return nil
    end
    local rest = text:sub(at + 2, at + form[3] - 1)
    return #rest == form[3] - 2 and not rest:find "[^\128-\191]" and form[3] or nil
end

--- Goes through a text.
-- @tparam string text
-- @return an iterator: the bytes of each character, and whether they are one
function utf8.characters(text)
    local at = 1
    return function()
        if at > #text then
            return nil
        end
        local length = utf8.length(text, at)
        local bytes = text:sub(at, at + (length or 1) - 1)
        at = at + #bytes
        return bytes, length ~= nil
    end
end

--- Whether a text is UTF-8 from one end to the other.
-- @tparam string text
-- @treturn boolean
function utf8.is_valid(text)
    for _, is_character in utf8.characters(text:find "[\128-\255]" and text or "") do
        if not is_character then
            return false
        end
    end
    return true
end

-- Those of East Asia, and pictures, take two columns: about right, without tables.
local function width_of(character)
    local first = character:byte()
    return (first >= 0xE3 and first <= 0xED or first >= 0xF0) and 2 or 1
end

--- How many columns of a terminal a text takes.
-- @tparam string text without control characters
-- @treturn number
function utf8.width(text)
    if not text:find "[\128-\255]" then
        return #text
    end
    local width = 0
    for character in utf8.characters(text) do
        width = width + width_of(character)
    end
    return width
end

--- The beginning of a text that fits.
-- @tparam string text
-- @tparam number most columns
-- @treturn string
function utf8.cut(text, most)
    local parts, width = {}, 0
    for character in utf8.characters(text) do
        width = width + width_of(character)
        if width > most then
            break
        end
        parts[#parts + 1] = character
    end
    return table.concat(parts)
end

return utf8
