--- What goes on meanwhile, in one line of a terminal that is wiped at the end. Elsewhere: nothing.
-- @module redlock.command.progress
-- @local

local core = require "redlock.core"

local progress = {}

local Progress = {}
Progress.__index = Progress

local PATIENCE = 0.5 -- seconds: who is not kept longer is not told
local PAUSE = 0.1 -- seconds between two lines

--- @tparam Terminal errors see redlock.command.terminal
-- @treturn Progress
function progress.new(errors)
    local now = core.clock()
    return setmetatable({ errors = errors, since = now, shown_at = now - PAUSE }, Progress)
end

--- Shows what goes on, instead of what was shown before.
-- @tparam string text
function Progress:show(text)
    local now = core.clock()
    local is_time = now - self.since >= PATIENCE and now - self.shown_at >= PAUSE
    if not self.errors.is_terminal or not is_time then
        return
    end
    self.shown_at, self.is_shown = now, true
    self.errors:write("\r", text:sub(1, self.errors:width() - 1), "\27[K")
end

--- Wipes it.
function Progress:clear()
    if self.is_shown then
        self.errors:write "\r\27[K"
        self.is_shown = false
    end
end

return progress
