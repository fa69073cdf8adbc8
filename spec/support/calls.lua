--- How often a server has run each command, by a client or in a script.

local quorum = require "support.quorum"

local calls = {}

--- Counts from here on.
-- @tparam table server with a `port`
function calls.reset(server)
    assert(quorum.ask(server, "CONFIG", "RESETSTAT"))
end

--- What was run since the last reset.
-- @tparam table server
-- @treturn table numbers by command in lower case; 0 for any that was not run
-- @treturn number all of them
function calls.count(server)
    local counts, total = {}, 0
    local stats = quorum.ask(server, "INFO", "commandstats")
    for command, count in stats:gmatch("cmdstat_(%S-):calls=(%d+)") do
        counts[command] = tonumber(count)
        total = total + tonumber(count)
    end
    return setmetatable(counts, { __index = function() return 0 end }), total
end

return calls
