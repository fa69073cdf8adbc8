--- Processes that wait for a lock: they print "<id> started", "<id> acquired <fence>" or "<id> failed <message>", and
-- "<id> released".

local inbox = require "support.inbox"
local keeper = require "keeper"
local literal = require "support.literal"
local process = require "support.process"
local quorum = require "support.quorum"
local wait = require "support.wait"

local waiter = {}

local PROGRAM = debug.getinfo(1, "S").source:match("^@(.*)waiter%.lua$") .. "waiter_program.lua"

--- Starts one.
-- @tparam table order
--
--   * `nodes`: URLs
--   * `name`: of the lock
--   * `wait`: seconds, or "for ever"
--   * `ttl`, `fair`: as acquire takes them; `timeout`: as redlock.new takes it
--   * `hold`: true to release only when it is told something
--   * `times`: how often it acquires and releases, by default once
--   * `linger`: true to end only when it is told something
--   * `count`: a file with a number to which each owner adds one, in two steps
-- @tparam[opt] table env variables
-- @treturn Process
function waiter.start(order, env)
    return process.start { file = PROGRAM, args = { literal.write(order) }, env = env }
end

--- Starts many as one child, with the ids 1, 2, ...
-- @tparam number count
-- @tparam table order
-- @treturn Process
function waiter.start_crowd(count, order)
    local program, argument = keeper.quote(PROGRAM), keeper.quote(literal.write(order))
    local one = ("%s %s %s $id"):format(process.interpreter, program, argument)
    return process.start {
        command = ("for id in $(seq %d); do %s & done; wait; echo all ended"):format(count, one),
    }
end

--- Waits until so many stand in the queue of a key, on every node of a quorum.
-- @treturn boolean whether it came to that
function waiter.stand(count, nodes, key, seconds)
    return wait.wait_until(function()
        for _, server in ipairs(nodes) do
            if quorum.ask(server, "ZCARD", inbox.side(key, "queue")) ~= count then
                return false
            end
        end
        return true
    end, seconds or 10) == true
end

--- The fences that owners of a crowd have printed, in the order in which they held the lock.
-- @treturn table list of `{ id, fence }`
function waiter.tenures(child)
    local list = {}
    for _, line in ipairs(child:lines()) do
        local id, fence = line:match("^(%d+) acquired (%d+)$")
        if id then
            list[#list + 1] = { id = tonumber(id), fence = tonumber(fence) }
        end
    end
    table.sort(list, function(a, b) return a.fence < b.fence end)
    return list
end

return waiter
