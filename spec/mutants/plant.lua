--- Plants the faults of a list.
--
--   plant.lua LIST                prints the names of all, each with what must find it, as name/checker
--   plant.lua LIST NAME FOLDER    plants one in that copy of csrc, and prints the source to be compiled
--   plant.lua LIST NAME           prints in how many schedules it must be found, if that is its own

local list = dofile(arg[1])

local function fail(...)
    io.stderr:write("mutants: ", string.format(...), "\n")
    os.exit(1)
end

local function find(name)
    for _, mutant in ipairs(list) do
        if mutant.name == name then
            return mutant
        end
    end
    fail("there is no %s", name)
end

-- The text with the fault in it.
local function change(text, mutant)
    local from, to = text:find(mutant.was, 1, true)
    if not from then
        fail("%s: this is not in %s any more:\n%s", mutant.name, mutant.file, mutant.was)
    elseif text:find(mutant.was, from + 1, true) then
        fail("%s: this is in %s more than once:\n%s", mutant.name, mutant.file, mutant.was)
    end
    return text:sub(1, from - 1) .. mutant.is .. text:sub(to + 1)
end

local function plant(mutant, folder)
    local path = folder .. "/" .. mutant.file
    local file = assert(io.open(path, "rb"))
    local text = change(file:read("*a"), mutant)
    file:close()
    file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

local name, folder = arg[2], arg[3]
if name and not folder then
    print(find(name).seeds or "")
elseif name then
    local mutant = find(name)
    plant(mutant, folder)
    print(mutant.file:match("%.lua$") and "core/scripts.c" or mutant.file)
else
    for _, mutant in ipairs(list) do
        print(mutant.name .. "/" .. (mutant.by or "sim"))
    end
end
