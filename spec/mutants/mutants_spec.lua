--- The check of the checkers: every fault is still where it is to be planted; one that is planted is
-- found, and what is none is not.

if jit then
    return -- what is built and run depends on no Lua of the spec's: once is enough
end

local keeper = require "keeper"

local LIST = "spec/mutants/list.lua"

-- Its output and exit code. Without what make tells its children.
local function run(command)
    local pipe = io.popen(("env -i PATH=%s %s 2>&1; echo $?"):format(
        keeper.quote(os.getenv "PATH"), command))
    local output, code = pipe:read("a"):match "^(.-)(%d+)\n$"
    pipe:close()
    return output, tonumber(code)
end

local function write(path, text)
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
end

-- A folder with a copy of csrc.
local function copy_of_sources()
    local folder = os.tmpname()
    os.remove(folder)
    assert.equal(0, select(2, run(("cp -r csrc %s"):format(folder))))
    return folder
end

local function plant(list, name, folder)
    return run(("lua5.4 spec/mutants/plant.lua %s %s %s"):format(list, name, folder))
end

describe("the list of mutants", function()
    local folder

    setup(function() folder = copy_of_sources() end)
    teardown(function() run("rm -r " .. folder) end)

    it("has at least 24, each with all that is said of one, and a name of its own", function()
        local names, list = {}, dofile(LIST)
        assert.is_true(#list >= 24)
        for _, mutant in ipairs(list) do
            for _, field in ipairs { "name", "fault", "falls", "file", "was", "is" } do
                assert.is_string(mutant[field], mutant.name)
            end
            assert.is_true(mutant.by == nil or mutant.by == "exhaustive", mutant.name)
            assert.not_equal(mutant.was, mutant.is, mutant.name)
            assert.is_nil(names[mutant.name], mutant.name)
            names[mutant.name] = true
        end
    end)

    it("names text that stands once in today's sources", function()
        for _, mutant in ipairs(dofile(LIST)) do
            run(("cp csrc/%s %s/%s"):format(mutant.file, folder, mutant.file))
            local output, code = plant(LIST, mutant.name, folder)
            assert.equal(0, code, output)
            local _, same = run(("cmp -s csrc/%s %s/%s"):format(mutant.file, folder, mutant.file))
            assert.equal(1, same, mutant.name)
        end
    end)
end)

describe("a mutant", function()
    local list, folder = os.tmpname()

    setup(function()
        folder = copy_of_sources()
        write(list, [[return {
            { name = "bold", file = "core/quorum.c", was = "Vigna", is = "" },
        }]])
    end)
    teardown(function()
        run("rm -r " .. folder)
        os.remove(list)
    end)

    it("whose text is not there, or is there twice, is an error", function()
        write(folder .. "/core/quorum.c", "something else\n")
        local output, code = plant(list, "bold", folder)
        assert.equal(1, code)
        assert.matches("mutants: bold: this is not in core/quorum.c any more", output)
        write(folder .. "/core/quorum.c", "Vigna and Vigna\n")
        output, code = plant(list, "bold", folder)
        assert.equal(1, code)
        assert.matches("mutants: bold: this is in core/quorum.c more than once", output)
    end)

    it("that is not in the list is an error", function()
        local output, code = plant(list, "meek", folder)
        assert.equal(1, code)
        assert.matches("mutants: there is no meek", output)
    end)
end)

describe("make sim-mutants", function()
    local list = os.tmpname()

    teardown(function() os.remove(list) end)

    local function make(arguments)
        return run(("make sim-mutants MUTANT_FILE=%s MUTANT_SEEDS=40 %s"):format(list, arguments))
    end

    it("tells what found which, and fails if one survives or cannot be built", function()
        write(list, [[return {
            { name = "spec-known", fault = "", falls = "one owner", file = "core/lock.c",
              was = "return rlk_count(nodes) >= rlk_majority(lock->quorum);",
              is = "return rlk_count(nodes) >= rlk_majority(lock->quorum) - 1;" },
            { name = "spec-searched", fault = "", falls = "one owner", file = "core/lock.c",
              was = "return rlk_count(nodes) >= rlk_majority(lock->quorum);",
              is = "return rlk_count(nodes) >= rlk_majority(lock->quorum) - 1;",
              by = "exhaustive" },
            { name = "spec-nothing", fault = "nothing", falls = "nothing", file = "core/quorum.c",
              was = "Vigna 2016", is = "Vigna, 2016" },
            { name = "spec-gone", fault = "", falls = "", file = "core/quorum.c",
              was = "?", is = "" },
        }]])
        local output, code = make "JOBS=2"
        assert.equal(2, code, output)
        assert.matches("\nspec%-known +one owner +[a-z ]+ +seed %d+\n", output)
        assert.matches("\nspec%-searched +one owner +[a-z ]+ +scene %a+\n", output)
        assert.matches("\nspec%-nothing +nothing +NOT FOUND +survives 40 schedules\n", output)
        assert.matches("\nspec%-gone +NOT FOUND +could not be built or run\n", output)
        assert.matches("\n4 mutants, 2 not found; without a fault nothing is violated in 40 "
            .. "schedules\n", output)

        output, code = make "MUTANT=spec-known"
        assert.equal(0, code, output)
        local seed = output:match "\n  make sim%-mutants MUTANT=spec%-known SEED=(%d+)\n"
        assert.matches("does not hold", (make("MUTANT=spec-known SEED=" .. seed)))

        output, code = make "MUTANT=spec-unheard-of"
        assert.equal(2, code)
        assert.matches("there is no mutant spec%-unheard%-of", output)
    end)
end)
