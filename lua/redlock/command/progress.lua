--- What goes on, for who is kept waiting at a terminal.
-- @module redlock.command.progress
-- @local

local core = require "redlock.core"
local Reporter = require "redlock.command.reporter"

local progress = {}

local Progress = {}
Progress.__index = Progress

local PATIENCE = 0.5 -- seconds: who is not kept longer is not told
local PAUSE = 0.1 -- seconds between two lines

--- @tparam Terminal errors see redlock.command.terminal
-- @treturn Progress
function progress.new(errors)
    local now = core.clock()
    local reporter = Reporter.new(errors, false, false)
    return setmetatable({ reporter = reporter, next = now + PATIENCE }, Progress)
end

--- Shows what goes on, instead of what was shown before. May be called often.
-- @tparam string text
-- @treturn boolean true if it was time to, also where there is nobody to show it to
function Progress:show(text)
    local now = core.clock()
    if now >= self.next then
        self.next = now + PAUSE
        self.reporter:progress(text)
        return true
    end
    return false
end

--- Takes it away.
function Progress:clear()
    self.reporter:clear()
end

return progress
