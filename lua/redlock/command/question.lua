--- A question to who sits at the terminal.
-- @module redlock.command.question
-- @local

local interrupt = require "redlock.command.interrupt"
local system = require "redlock.command.system"

local question = {}

local KEYBOARD = 0 -- standard input
local HOUR = 3600 -- seconds

--- Whether there is somebody to be asked.
-- @tparam Terminal errors where questions are put
-- @treturn boolean
function question.can_ask(errors)
    return errors.is_terminal and system.is_terminal(KEYBOARD)
end

--- Asks, and waits for a line.
-- @tparam Terminal errors
-- @tparam string text
-- @treturn boolean true for y or yes; anything else is no
function question.ask(errors, text)
    local signal = interrupt.catch()
    errors:write(text, " [y/N] ")
    repeat
        local ready = system.poll({ KEYBOARD, signal.fd }, HOUR)
        if signal:came() then
            errors:write "\n"
            signal:obey()
        end
    until ready[KEYBOARD]
    local line = io.stdin:read "*l"
    local answer = line and line:lower():match "^%s*(%a*)%s*$"
    return answer == "y" or answer == "yes"
end

return question
