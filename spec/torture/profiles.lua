--- What is promised under which assumptions.
--
-- *Remembered* is a fence on a node as long as the node keeps its data, and the 24 hours are not
-- over. Two majorities share a node; if it remembers, the later owner's fence is higher, whatever
-- any clock says. If it has forgotten, the later fence is higher as long as it is drawn from a wall
-- clock that has passed the earlier one: as long as wall clocks agree, and none was ahead before.
--
-- *One owner at a time* needs more: the leases on a majority have to last as long as their owner
-- believes. The restart guard replaces what a minority has forgotten. A clock of a node that jumps
-- ahead ends its leases; one such node is harmless to a lock that stands on one node more than a
-- majority, and to no other.
--
-- So does a lease that is passed on: where it ends early on the nodes, its next owner is behind
-- whoever was granted the lock meanwhile, in fences as well. And so does a time before which nobody
-- else has the lock.
--
-- What the store refuses follows from the fences. Where those do not rise it may take the write of
-- an earlier owner, and refuse that of the present one.

local FENCED = { "inversion", "same fence", "stale write" }
local OWNED = { "overlap", "overtaken", "too early" }
local ALWAYS = { "same token", "store", "told" }

-- `promises`: the kinds of findings (see judge.lua) that there must not be. `remembers`: no node
-- forgets a fence. `counts`: clients count the nodes on which their locks stand. `fleet`: other
-- clients than usual.
local profiles = {
    {
        name = "lasting", remembers = true, promises = { OWNED, FENCED },
        says = "inside the assumptions: nothing is forgotten; wall clocks show anything",
    },
    {
        name = "forgetful", promises = { OWNED, FENCED },
        says = "inside: a minority of nodes forgets, and is guarded; wall clocks agree",
    },
    {
        name = "broken", counts = true, promises = { FENCED },
        says = "outside: leases end early, or a majority forgets; wall clocks agree",
    },
    {
        name = "lawless", promises = {}, fleet = { lua = 4, luajit = 3, wall = 2 },
        says = "outside: fences are forgotten, and wall clocks disagree",
    },
}

local function gather(set, kinds)
    for _, kind in ipairs(kinds) do
        if type(kind) == "table" then
            gather(set, kind)
        else
            set[kind] = true
        end
    end
    return set
end

for _, profile in ipairs(profiles) do
    profile.promises = gather(gather({}, profile.promises), ALWAYS)
    profiles[profile.name] = profile
end

return profiles
