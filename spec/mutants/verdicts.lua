--- Reads what the checkers said, and prints the table.
--
--   verdicts.lua LIST FOLDER SEEDS [NAME]    all mutants, or the one of that name
--
-- Ends with 1 if one was not found, or something was found where no fault was planted.

local list, folder, seeds, only = dofile(arg[1]), arg[2], arg[3], arg[4]

-- "" if there is none.
local function output_of(name, checker)
    local file = io.open(("%s/%s/%s.output"):format(folder, name, checker), "rb")
    local text = file and file:read("*a") or ""
    if file then
        file:close()
    end
    return text
end

local function survival(text, within)
    if text:find "\nexit 0\n$" then
        return "survives " .. within
    end
    return text:find "\nexit %d+\n$" and "came to no end" or "could not be built or run"
end

-- The invariant, and where it was found broken: a seed or a scene. Else nil, and why not.
local function verdict_of(mutant)
    local text = output_of(mutant.name, mutant.by or "sim")
    if mutant.by then
        local scene, invariant = text:match("\n?(%w+) [^\n]*: broken: ([^\n]*): FAILED\n")
        if scene then
            return invariant, "scene " .. scene
        end
        return nil, survival(text, "every scene")
    end
    local seed, invariant = text:match('\nseed (%d+), at [%d.]+ s: "([^"]+)" does not hold')
    if seed then
        return invariant, "seed " .. seed
    end
    return nil, survival(text, (mutant.seeds or seeds) .. " schedules")
end

local failed, shown = 0, 0

local function report(mutant)
    local invariant, where = verdict_of(mutant)
    failed = failed + (invariant and 0 or 1)
    shown = shown + 1
    print(("%-32s %-38s %-18s %s"):format(mutant.name, mutant.falls,
        invariant or "NOT FOUND", where))
    if only then
        print(("  %s (%s)"):format(mutant.fault, mutant.file))
    end
    if only and not mutant.by and invariant then
        print(("  make sim-mutants MUTANT=%s SEED=%s"):format(only, where:match "%d+"))
    end
end

print(("%-32s %-38s %-18s %s"):format("mutant", "promise that falls", "found by", "at"))
for _, mutant in ipairs(list) do
    if not only or only == mutant.name then
        report(mutant)
    end
end
if shown == 0 then
    print("there is no mutant " .. only)
end

local plain = output_of("unmutated", "sim")
local is_clean = plain:match("\nexit 0\n$") ~= nil
print(("\n%d mutants, %d not found; without a fault %s in %s schedules"):format(
    shown, failed, is_clean and "nothing is violated" or "SOMETHING IS VIOLATED", seeds))
if not is_clean then
    print(plain:match("\nseed %d+, at [^\n]*\n[^\n]*\n[^\n]*\n") or plain)
end
os.exit(failed == 0 and shown > 0 and is_clean and 0 or 1)
