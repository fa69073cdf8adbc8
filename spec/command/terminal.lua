--- A person at a terminal: types into a program in a pseudo-terminal, and waits for what it shows.

local pty = require "pty"
local wait = require "support.wait"

local terminal = {}

local Terminal = {}
Terminal.__index = Terminal

local open = {}

--- @tparam {string,...} words the program and its arguments
-- @tparam[opt] number columns
-- @treturn Terminal with `text`, all that was shown so far
function terminal.open(words, columns)
    local self = { pty = pty.open(words, 24, columns or 80), text = "", from = 1 }
    open[self] = true
    return setmetatable(self, Terminal)
end

--- Hangs up all terminals.
function terminal.close_all()
    for self in pairs(open) do
        self:close()
    end
end

--- Types.
function Terminal:type(text)
    self.pty:write(text)
end

--- Takes in what is shown.
-- @treturn string all of it so far
function Terminal:look()
    repeat
        local text = self.pty:read()
        self.text = self.text .. (text or "")
    until text == nil or text == ""
    return self.text
end

--- Waits for something to be shown, behind what was waited for before.
-- @tparam string pattern
-- @tparam[opt=30] number seconds
-- @treturn string what was shown; its captures, if it has some
-- @raise if that does not come
function Terminal:expect(pattern, seconds)
    local found = wait.wait_until(function()
        local first, last = self:look():find(pattern, self.from)
        return first and { first, last }
    end, seconds or 30)
    if not found then
        error(("%q was not shown in: %q"):format(pattern, self.text:sub(self.from)), 2)
    end
    local shown = self.text:sub(found[1], found[2])
    self.from = found[2] + 1
    return shown:match(pattern)
end

--- The process group that keys reach.
function Terminal:foreground()
    return self.pty:foreground()
end

--- Waits for the program's end.
-- @tparam[opt=30] number seconds
-- @treturn ?number its exit code, 128 + the signal that ended it
function Terminal:wait(seconds)
    return wait.wait_until(function()
        self:look()
        return self.pty:status()
    end, seconds or 30)
end

function Terminal:close()
    open[self] = nil
    self.pty:close()
end

return terminal
