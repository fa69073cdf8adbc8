--- What is written to, and whether that is a terminal: colours and width.
-- @module redlock.command.terminal
-- @local

local utf8 = require "redlock.command.utf8"

local terminal = {}

local Terminal = {}
Terminal.__index = Terminal

local WIDTH = 80 -- where it cannot be told
local BROKEN_PIPE = 32 -- EPIPE: whoever read it has read enough

local colours = { red = "31", green = "32", yellow = "33", blue = "34", bold = "1", dim = "2" }

local function wants_colour()
    local refused = os.getenv "NO_COLOR"
    return (not refused or refused == "") and os.getenv "TERM" ~= "dumb"
end

--- @tparam file file io.stdout or io.stderr
-- @tparam number fd its descriptor
-- @treturn Terminal with `is_terminal`
function terminal.new(file, fd)
    local is_terminal = require("redlock.command.system").is_terminal(fd)
    return setmetatable({
        file = file,
        fd = fd,
        is_terminal = is_terminal,
        has_colour = is_terminal and wants_colour(),
    }, Terminal)
end

--- Writes texts. What keeps them from being written stands in `trouble` from then on.
-- @treturn boolean false if they could not be written, or nobody reads them any more
function Terminal:write(...)
    local written, message, number = self.file:write(...)
    if written then
        written, message, number = self.file:flush()
    end
    if not written and number ~= BROKEN_PIPE then
        self.trouble = self.trouble or message
    end
    return written ~= nil
end

--- A text in a colour, where there are colours.
-- @tparam string colour red, green, yellow, blue, bold or dim
-- @tparam string text
-- @treturn string
function Terminal:paint(colour, text)
    return self.has_colour and ("\27[%sm%s\27[0m"):format(colours[colour], text) or text
end

--- How many columns it has; 80 if that cannot be told.
-- @treturn number
function Terminal:width()
    local columns = self.is_terminal and require("redlock.command.system").columns(self.fd)
    return columns or WIDTH
end

--- How many lines it has; nil if there is no end of them.
-- @treturn ?number
function Terminal:height()
    return self.is_terminal and require("redlock.command.system").rows(self.fd) or nil
end

local function escape(bytes)
    return (bytes:gsub(".", function(byte)
        return ("\\x%02x"):format(byte:byte())
    end))
end

-- The control characters beyond ASCII, and those that turn the direction of what is written.
local function is_harmful(character)
    return character:find "^\194[\128-\159]" or character:find "^\226\128[\170-\174]"
        or character:find "^\226\129[\166-\169]"
end

--- A text as a terminal may show it: what would move its cursor, or is no text, is written as \x1b.
-- @tparam string text
-- @treturn string
function terminal.printable(text)
    local shown = text:gsub("%c", escape)
    if not shown:find "[\128-\255]" then
        return shown
    end
    local parts = {}
    for bytes, is_character in utf8.characters(shown) do
        local is_fine = is_character and not is_harmful(bytes)
        parts[#parts + 1] = is_fine and bytes or escape(bytes)
    end
    return table.concat(parts)
end

return terminal
