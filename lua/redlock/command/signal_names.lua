--- Signals as people call them.
-- @module redlock.command.signal_names
-- @local

local system = require "redlock.command.system"

local names = {}

local by_number = {}
for name, number in pairs(system.signals) do
    by_number[number] = "SIG" .. name
end

--- @tparam number number
-- @treturn string "SIGTERM"; "signal 42" for a rare one
function names.of(number)
    return by_number[number] or ("signal %d"):format(number)
end

return names
