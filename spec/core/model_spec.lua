--- The core's promises in worlds where everything goes wrong at random (see support/world.lua).
--
-- REDLOCK_SEED=n runs that one world again; REDLOCK_WORLDS=n runs so many.

local world = require "support.world"

local STEPS = 600
local FIRST = tonumber(os.getenv("REDLOCK_SEED")) or 1
local COUNT = os.getenv("REDLOCK_SEED") and 1 or tonumber(os.getenv("REDLOCK_WORLDS")) or 500

-- Runs worlds of a kind (see world.new); says which it was if one fails.
local function each_world(options, act)
    for seed = FIRST, FIRST + COUNT - 1 do
        local ok, message = pcall(function()
            local here = world.new(seed, options)
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
        each_world({ hangs = true }, function(here)
            grants = grants + here.grants
        end)
        assert.is_true(COUNT == 1 or grants >= COUNT, "too few grants to show anything")
    end)

    it("no token is left once all releases arrived, and the lock can be taken at once", function()
        each_world({}, function(here)
            here:heal()
            assert.same({}, here:orphans())
            assert.equal("acquired", here:try(here:pick(here.clients)))
        end)
    end)
end)

describe("whatever goes wrong where several clients of a loop stand in line,", function()
    it("one owns the lock at a time, and each line is served in order of arrival", function()
        local turns, shared = 0, 0
        each_world({ hangs = true, crowds = true }, function(here)
            turns, shared = turns + here.turns, shared + here.shared
        end)
        assert.is_true(COUNT == 1 or turns >= COUNT, "too few turns to show anything")
        assert.is_true(COUNT < 100 or shared >= 10, "too few verdicts were shared")
    end)

    it("nobody is forgotten once nothing goes wrong any more", function()
        each_world({ crowds = true }, function(here)
            assert.same({}, here:serve_all())
            assert.same({}, here:orphans())
        end)
    end)
end)
