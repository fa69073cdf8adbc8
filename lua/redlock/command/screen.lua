--- A terminal that is drawn on as a whole, again and again, and that is as it was when it is left.
-- @module redlock.command.screen
-- @local

local system = require "redlock.command.system"
local utf8 = require "redlock.command.utf8"

local Screen = {}
Screen.__index = Screen

local KEYBOARD = 0 -- standard input
local ENTER = "\27[?1049h\27[?25l" -- another page, no cursor (xterm's control sequences)
local LEAVE = "\27[?25h\27[?1049l"
local TOP, REST_OF_LINE, REST_OF_PAGE = "\27[H", "\27[K", "\27[J"

--- Enters it.
-- @tparam Terminal output
-- @treturn Screen with `keys`: the descriptor on which keys come; nil if they are not ours
function Screen.enter(output)
    local self = setmetatable({ output = output }, Screen)
    self.saved = system.is_terminal(KEYBOARD) and system.take_keys(KEYBOARD) or nil
    self.keys = self.saved and KEYBOARD or nil
    io.stdin:setvbuf "no" -- so that poll() knows of every key
    output:write(ENTER)
    return self
end

--- Leaves it, however often.
function Screen:leave()
    if self.is_left then
        return
    end
    self.is_left = true
    self.output:write(LEAVE)
    if self.saved then
        system.give_keys(KEYBOARD, self.saved)
    end
end

--- Draws lines from the top; what does not fit is cut off.
-- @tparam {string,...} lines of printable text
function Screen:draw(lines)
    local height, width = self.output:height() or 24, self.output:width()
    local parts = {}
    for index = 1, math.min(#lines, height) do
        local text = utf8.cut(lines[index], width)
        parts[index] = (index == 1 and self.output:paint("bold", text) or text) .. REST_OF_LINE
    end
    self.output:write(TOP, table.concat(parts, "\n"), REST_OF_PAGE)
end

--- The key that was pressed, when there is one.
-- @treturn ?string
function Screen.read_key()
    return io.stdin:read(1)
end

return Screen
