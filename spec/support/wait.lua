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

--- Does what can only be true if it is done in time; once more whenever it was not, since then it
-- says nothing.
-- @tparam number seconds
-- @tparam function act raises what is wrong, which is believed if it took less than that
function wait.in_time(seconds, act)
    local deadline = wait.now() + 60
    repeat
        local began = wait.now()
        local ok, err = pcall(act)
        if ok then
            return
        end
        local in_time = wait.now() - began < seconds
        if in_time or wait.now() > deadline then
            error(err, 0)
        end
    until false
end

return wait
