--- The contestants of a scene, each with its driver, around the same Redis servers.

local driver = require "driver"
local quiet = require "quiet"
local servers = require "servers"

local company = {}

local Company = {}
Company.__index = Company

local PATIENCE = 20 -- seconds that an answer may take beyond what was asked for

--- The Redis servers of a scene, on their processor.
-- @tparam table options of the run
-- @tparam number count
-- @treturn {Server,...}
function company.start_nodes(options, count)
    local nodes = servers.start(count, { config = { { "maxmemory", "2gb" } } })
    for _, node in ipairs(nodes) do
        quiet.place_server(options.place, node.pid)
    end
    return nodes
end

--- The command of a contestant's driver.
-- @tparam table contestant
-- @tparam {Server,...} nodes
-- @treturn string
function company.command(contestant, nodes)
    local words = { contestant.command }
    for _, node in ipairs(nodes) do
        words[#words + 1] = node.port
    end
    return table.concat(words, " ")
end

--- Starts one driver for each contestant; who is absent is out.
-- @tparam table options of the run
-- @tparam number node_count
-- @tparam string plays what they have to do: "alone" or "crowd"
-- @treturn Company `nodes`, and `entrants`: each with `name`, `driver` and `out`
function company.gather(options, node_count, plays)
    local nodes, entrants = company.start_nodes(options, node_count), {}
    for _, contestant in ipairs(options.contestants) do
        if (contestant.plays or plays) == plays then
            local entrant = { name = contestant.name, out = contestant.absent }
            if not entrant.out then
                local command = company.command(contestant, nodes)
                entrant.driver = driver.start(command, options.place.client)
            end
            entrants[#entrants + 1] = entrant
        end
    end
    return setmetatable({ nodes = nodes, entrants = entrants }, Company)
end

--- Asks an entrant's driver for something.
-- @tparam table entrant
-- @tparam string line
-- @tparam number seconds that it will take
-- @treturn[1] string the answer
-- @treturn[2] nil
-- @treturn[2] string why there is none
function company.ask(entrant, line, seconds)
    local answer, reason = entrant.driver:ask(line, seconds + PATIENCE)
    if answer and answer:find("^no: ") then
        return nil, answer:sub(5)
    end
    return answer, reason
end

--- Ends all drivers and servers.
function Company:leave()
    for _, entrant in ipairs(self.entrants) do
        if entrant.driver then
            entrant.driver:stop()
        end
    end
    for _, node in ipairs(self.nodes) do
        node:close()
    end
end

return company
