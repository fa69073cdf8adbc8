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

--- Starts many as one child, with the ids 1, 2, ... What they print stands in the order in which it was printed.
-- @tparam number count
-- @tparam table order
-- @tparam[opt] table env a list of words NAME=value, in turn for each of them
-- @treturn Process
function waiter.start_crowd(count, order, env)
    local program, argument = keeper.quote(PROGRAM), keeper.quote(literal.write(order))
    local commands = {}
    for id = 1, count do
        local words = env and env[(id - 1) % #env + 1] or ""
        commands[id] = ("env %s %s %s %s %d &"):format(
            words, process.interpreter, program, argument, id)
    end
    commands[count + 1] = "wait; echo all ended"
    return process.start { command = table.concat(commands, "\n") }
end

--- Waits until so many stand in the queue of a key: on a majority of nodes, and on each that has the key. On one that
-- has not, perhaps since it was slow to answer who owns the lock, nobody waits.
-- @treturn boolean whether it came to that
function waiter.stand(count, nodes, key, seconds)
    return wait.wait_until(function()
        local standing = 0
        for _, server in ipairs(nodes) do
            if quorum.ask(server, "ZCARD", inbox.side(key, "queue")) == count then
                standing = standing + 1
            elseif count == 0 or quorum.ask(server, "EXISTS", key) == 1 then
                return false
            end
        end
        return standing > #nodes / 2
    end, seconds or 20) == true
end

--- What the owners have printed so far, in the order in which they held the lock.
-- @treturn table list of `{ id, fence }`
function waiter.tenures(child)
    local list = {}
    for _, line in ipairs(child:lines()) do
        local id, fence = line:match("^(%d+) acquired (%d+)$")
        if id then
            list[#list + 1] = { id = tonumber(id), fence = tonumber(fence) }
        end
    end
    return list
end

return waiter
