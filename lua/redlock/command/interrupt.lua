--- Ctrl-C and its like, for verbs that have to tidy up before they go.
-- @module redlock.command.interrupt
-- @local

local system = require "redlock.command.system"

local signals = system.signals

local interrupt = {}

local Interrupt = {}
Interrupt.__index = Interrupt

--- From now on nothing ends us by itself: the verb has to ask.
-- @treturn Interrupt with `fd`, readable when a signal has come; nil if that cannot be had
function interrupt.catch()
    local fd = system.catch_signals { signals.INT, signals.TERM, signals.HUP }
    return setmetatable({ fd = fd }, Interrupt)
end

--- Whether a signal has come that ends us.
-- @treturn boolean
function Interrupt:came()
    self.signal = self.signal or (self.fd and system.read_signal(self.fd))
    return self.signal ~= nil
end

--- If a signal has come: ends us as that signal does, so that a shell knows.
function Interrupt:obey()
    if self:came() then
        system.obey(self.signal)
    end
end

return interrupt
