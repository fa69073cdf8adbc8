--- What is written to, and whether that is a terminal: colours and width.
-- @module redlock.command.terminal
-- @local

local terminal = {}

local Terminal = {}
Terminal.__index = Terminal

local WIDTH = 80 -- where it cannot be told

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

--- Writes texts.
function Terminal:write(...)
    self.file:write(...)
    self.file:flush()
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

--- A text as a terminal may show it: what would move its cursor is written as \x1b.
-- @tparam string text
-- @treturn string
function terminal.printable(text)
    return (text:gsub("%c", function(character)
        return ("\\x%02x"):format(character:byte())
    end))
end

return terminal
