--- What is promised under which assumptions, and what a run has to show for it.

local profiles = {
    {
        name = "lasting", remembers = true,
        promises = { overlap = true, inversion = true, ["stale write"] = true },
        says = "inside: nothing is forgotten, wall clocks are anything",
    },
    {
        name = "forgetful", promises = { overlap = true, inversion = true, ["stale write"] = true },
        says = "inside: a minority forgets, guarded; wall clocks agree",
    },
    {
        name = "broken", counts = true, promises = { inversion = true, ["stale write"] = true },
        says = "outside: leases end early or are forgotten; wall clocks agree",
    },
    {
        name = "lawless", promises = {}, fleet = { lua = 4, luajit = 3, wall = 2 },
        says = "outside: fences are forgotten, and wall clocks disagree",
    },
}

for _, profile in ipairs(profiles) do
    for _, kind in ipairs { "same fence", "same token", "store", "told" } do
        profile.promises[kind] = true
    end
    profiles[profile.name] = profile
end
profiles.lawless.promises["same fence"] = nil

return profiles
