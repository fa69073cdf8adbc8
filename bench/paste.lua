--- Puts the results of a run, results.md, into docs/benchmarks.md, between two comments.
--
--     lua5.4 bench/paste.lua [bench/results/results.md [docs/benchmarks.md]]

local source, target = arg[1] or "bench/results/results.md", arg[2] or "docs/benchmarks.md"
local BEGIN, END = "<!-- results: make bench-docs writes them -->\n", "<!-- end of results -->\n"

local function read(path)
    local file = assert(io.open(path))
    local text = file:read("*a")
    file:close()
    return text
end

local text = read(target)
local _, before = text:find(BEGIN, 1, true)
local after = text:find(END, 1, true)
if not (before and after and before < after) then
    error(target .. " has no place for results", 0)
end
local file = assert(io.open(target, "w"))
file:write(text:sub(1, before), "\n", read(source), "\n", text:sub(after))
file:close()
