--- What a node says of a lock, as users get it.
-- @module redlock.sighting
-- @local

local core = require "redlock.core"
local failure = require "redlock.failure"

local sighting = {}

--- About how long a lock is held, by wall clocks. A ballot is that of whoever holds it, in
-- microseconds, unless it had to be above a higher one.
-- @tparam number fence
-- @treturn number seconds
function sighting.age(fence)
    return math.max(0, core.wall_clock() - fence / 1e6)
end

--- What a node answered to an inspection.
-- @tparam table vote
-- @treturn table `{ node, token, ttl, fence, waiters, holder, age }` or `{ node, error }`
function sighting.of(vote)
    if vote.vote ~= "granted" then
        return { node = vote.node, error = failure.reason(vote) }
    end
    return {
        node = vote.node,
        token = vote.text,
        ttl = vote.ttl,
        fence = vote.fence,
        waiters = vote.waiters,
        holder = vote.details and failure.escape(vote.details),
        age = vote.details and vote.fence and sighting.age(vote.fence),
    }
end

return sighting
