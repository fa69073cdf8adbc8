--- What happens to the packets of far clients (wire.lua).

return function(faults)
    -- Behaviours that come together are one.
    local function add(name, what, behaviour, counted)
        faults.add {
            name = name, group = "packets", counted = counted, what = "far clients: " .. what,
            inject = function(on)
                local function count()
                    return on.world.wire:stats()[counted]
                end
                local is_counted = counted and on.world.wire
                local before = is_counted and count()
                for key, value in pairs(behaviour) do
                    on.far[key] = value
                end
                on.world:treat_far(on.far)
                return {
                    heal = function()
                        for key in pairs(behaviour) do
                            on.far[key] = nil
                        end
                        on.world:treat_far(on.far)
                    end,
                    took = is_counted and function() return count() > before end,
                }
            end,
        }
    end

    add("packets-late", "packets come 10 to 60 ms late, and overtake one another",
        { delay = 0.01, jitter = 0.05 }, "late")
    add("packets-lost", "every fifth packet is lost", { loss = 0.2 }, "lost")
    add("packets-twice", "every third packet comes twice", { again = 0.3 }, "repeated")
    add("packets-changed", "a byte is changed in every tenth packet", { change = 0.1 }, "changed")
    add("packets-slow", "30 kB/s in each direction", { rate = 30000 })
    add("packets-blocked", "every packet is lost", { block = { all = true } }, "lost")
    add("packets-one-way", "every packet from a node is lost",
        { block = { all = true }, only = "replies" }, "lost")
end
