--- The core's promises in worlds where everything goes wrong at random (see support/world.lua).
--
-- REDLOCK_SEED=n runs that one world again; REDLOCK_WORLDS=n runs so many.

local world = require "support.world"

local STEPS = 600
local FIRST = tonumber(os.getenv("REDLOCK_SEED")) or 1
local COUNT = os.getenv("REDLOCK_SEED") and 1 or tonumber(os.getenv("REDLOCK_WORLDS")) or 500

-- Runs worlds, in which nodes may hang for long or not; says which it was if one fails.
local function each_world(hangs, act)
    for seed = FIRST, FIRST + COUNT - 1 do
        local ok, message = pcall(function()
            local here = world.new(seed, hangs)
            for _ = 1, STEPS do
                here:step()
            end
            act(here)
        end)
        if not ok then
            error(("REDLOCK_SEED=%d: %s"):format(seed, tostring(message)), 0)
        end
    end
end

describe("whatever goes wrong,", function()
    it("there is one owner at a time, and fences rise", function()
        local grants = 0
        each_world(true, function(here)
            grants = grants + here.grants
        end)
        assert.is_true(COUNT == 1 or grants >= COUNT, "too few grants to show anything")
    end)

    it("no token is left once all releases arrived, and the lock can be taken at once", function()
        each_world(false, function(here)
            here:heal()
            assert.same({}, here:orphans())
            assert.equal("acquired", here:try(here:pick(here.clients)))
        end)
    end)
end)
