--- The contestants of a scene, each with its drivers, around the same Redis servers.

local contestants = require "contestants"
local driver = require "driver"
local quiet = require "quiet"
local servers = require "servers"
local usage = require "usage"

local company = {}

local Company = {}
Company.__index = Company

--- What all are compared with.
company.FLOOR = "hiredis"

local PATIENCE = 20 -- seconds that an answer may take beyond what was asked for

--- The Redis servers of a scene, on their processor.
-- @tparam table options of the run
-- @tparam number count
-- @treturn {Server,...}
function company.start_nodes(options, count)
    local nodes = servers.start(count, {
        config = { { "maxmemory", "2gb" } }, same_session = true, -- see quiet.lua
    })
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

local function start_drivers(entrant, nodes, options, processes)
    entrant.out, entrant.drivers = nil, {}
    for index = 1, processes do
        entrant.drivers[index] = driver.start(company.command(entrant.contestant, nodes),
            options.place.client)
    end
end

--- Starts the drivers of all contestants that play and are not absent.
-- @tparam table options of the run
-- @tparam number node_count
-- @tparam string contest
-- @tparam[opt=1] number processes how many drivers each has
-- @treturn Company `nodes`, and `entrants`: each with `name`, `drivers` and `out`
function company.gather(options, node_count, contest, processes)
    local nodes, entrants = company.start_nodes(options, node_count), {}
    for _, contestant in ipairs(options.contestants) do
        if contestants.plays(contestant, contest) then
            local entrant = { name = contestant.name, contestant = contestant }
            start_drivers(entrant, nodes, options, processes or 1)
            entrants[#entrants + 1] = entrant
        end
    end
    return setmetatable({ nodes = nodes, entrants = entrants }, Company)
end

--- Starts anew, with one driver, who went out.
-- @tparam {table,...} entrants
-- @tparam table options of the run
function Company:readmit(entrants, options)
    for _, entrant in ipairs(entrants) do
        if entrant.out then
            for _, process in ipairs(entrant.drivers) do
                process:stop()
            end
            start_drivers(entrant, self.nodes, options, 1)
        end
    end
end

--- Waits for a driver's answer.
-- @tparam Driver process
-- @tparam number seconds that it will take
-- @treturn[1] string the answer
-- @treturn[2] nil
-- @treturn[2] string why there is none
function company.answer(process, seconds)
    local answer, reason = process:answer(seconds + PATIENCE)
    if answer and answer:find("^no: ") then
        return nil, answer:sub(5)
    end
    return answer, reason
end

--- Asks an entrant's first driver for something, see `answer`.
-- @tparam table entrant
-- @tparam string line
-- @tparam number seconds
function company.ask(entrant, line, seconds)
    entrant.drivers[1]:tell(line)
    return company.answer(entrant.drivers[1], seconds)
end

--- The same; also tells how much processor time went by meanwhile.
-- @tparam table entrant
-- @tparam {Server,...} nodes
-- @tparam string line
-- @tparam number seconds
-- @treturn[1] string the answer
-- @treturn[1] {client_us=number,redis_us=number}
-- @treturn[2] nil
-- @treturn[2] string why there is none
function company.ask_and_watch(entrant, nodes, line, seconds)
    local client_us = usage.cpu_us(entrant.drivers[1].pid)
    local redis_us = usage.cpu_us_of_all(nodes)
    local answer, reason = company.ask(entrant, line, seconds)
    if not answer then
        return nil, reason
    end
    return answer, {
        client_us = usage.cpu_us(entrant.drivers[1].pid) - client_us,
        redis_us = usage.cpu_us_of_all(nodes) - redis_us,
    }
end

--- Ends all drivers and servers.
function Company:leave()
    for _, entrant in ipairs(self.entrants) do
        for _, process in ipairs(entrant.drivers) do
            process:stop()
        end
    end
    for _, node in ipairs(self.nodes) do
        node:close()
    end
end

return company
