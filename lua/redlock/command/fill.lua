--- Fills lines with words.
-- @module redlock.command.fill
-- @local

local utf8 = require "redlock.command.utf8"

--- A text in lines that are no longer than there is room, unless a word is.
-- @function fill
-- @tparam string text
-- @tparam number room columns
-- @tparam string indent what stands before every line but the first
-- @treturn string
return function(text, room, indent)
    local lines, line, width = {}, "", 0
    for word in text:gmatch "%S+" do
        local more = utf8.width(word)
        if line == "" then
            line, width = word, more
        elseif width + 1 + more > room then
            lines[#lines + 1], line, width = line, word, more
        else
            line, width = line .. " " .. word, width + 1 + more
        end
    end
    lines[#lines + 1] = line
    return table.concat(lines, "\n" .. indent)
end
