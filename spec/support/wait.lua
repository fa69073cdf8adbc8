--- Waits for a condition with a deadline, instead of sleeping for luck.

local socket = require "socket"

local wait = {}

wait.sleep = socket.sleep -- seconds, fractions allowed
wait.now = socket.gettime -- seconds, only to be compared with one another

--- Polls until the condition holds.
-- @tparam function condition called again and again until it returns something true
-- @tparam[opt=20] number seconds how long at most
-- @return[1] what the condition returned
-- @treturn[2] nil
-- @treturn[2] string "timeout"
function wait.wait_until(condition, seconds)
    local deadline = wait.now() + (seconds or 20)
    local pause = 0.001
    while true do
        local result = condition()
        if result then
            return result
        end
        if wait.now() >= deadline then
            return nil, "timeout"
        end
        wait.sleep(pause)
        pause = math.min(pause * 1.5, 0.02)
    end
end

return wait
