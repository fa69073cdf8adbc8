-- What the README says is so: its code runs, its tables list what there is.

local keeper = require "keeper"
local process = require "support.process"
local program = require "command.program"
local redlock = require "redlock"
local quorum = require "support.quorum"
local servers = require "servers"

local load_text = loadstring or load -- luacheck: ignore 113

local function read(path)
    local file = assert(io.open(path))
    local text = file:read("*a")
    file:close()
    return text
end

local readme = read "README.md"

local function block(language, number)
    local found = 0
    for text in readme:gmatch("```" .. language .. "\n(.-)```\n") do
        found = found + 1
        if found == number then
            return text
        end
    end
    error("no block " .. number .. " of " .. language)
end

local function section(title)
    return assert(readme:match("\n## " .. title .. "\n(.-)\n## "), title)
end

-- The rows of a section's first table, without its head, as lists of cells.
local function rows(title)
    local list = {}
    for line in section(title):gmatch("|([^\n]+)|\n") do
        local cells = {}
        for cell in (line .. "|"):gmatch(" ?([^|]-) ?|") do
            cells[#cells + 1] = cell
        end
        list[#list + 1] = cells
    end
    return { (table.unpack or unpack)(list, 3) }
end

local function sorted(list)
    table.sort(list)
    return list
end

describe("the README", function()
    after_each(function()
        process.stop_all()
        servers.stop_all()
    end)

    it("begins with ten lines that run as they stand", function()
        local code = block("lua", 1)
        assert.is_true(select(2, code:gsub("[^\n]+", "")) <= 10)
        local server = servers.start_one()
        local lines, status, errors = process.run { code = code, env = { REDIS_URL = server.url } }
        assert.equal("", errors)
        assert.equal(0, status)
        local fence = assert(lines[1]:match("^order:42 is mine, with the fence (%d+)$"))
        assert.equal(fence, quorum.ballot(server:cli("GET", "{order:42}:fence")))
        assert.equal("0", server:cli("EXISTS", "order:42"))
    end)

    it("shows how it is used from the shell", function()
        local server, folder = servers.start_one(), keeper.new()
        folder:save("redlock", ('#!/bin/sh\nexec %s "$@"\n'):format(program.path))
        folder:settle()
        program.shell("chmod +x " .. folder.dir .. "/redlock")
        local path = folder.dir .. ":" .. os.getenv "PATH"
        local lines, status, errors = process.run {
            command = block("sh", 1), env = { REDIS_URL = server.url, PATH = path },
        }
        folder:close()
        assert.equal(0, status)
        assert.matches("^the report, with the fence %d+$", lines[1])
        assert.equal("not again: 75", lines[2])
        assert.matches('^redlock run: "report" is held by %S+:%d+ for %S+\n$', errors)
    end)

    it("names files and make targets that exist", function()
        local rules = assert(io.popen "cat Makefile spec/*/*.mk") -- as it includes them
        local makefile = rules:read "*a"
        rules:close()
        for path in readme:gmatch("%]%(([^)#]+)%)") do
            assert(io.open(path), path):close()
        end
        for _, before in ipairs { "\n    ", "`" } do
            for target in readme:gmatch(before .. "make ([a-z-]+)") do
                assert.is_truthy(makefile:find("\n" .. target .. ":", 1, true), target)
            end
        end
    end)

    describe("lists the options", function()
        local source = read "lua/redlock/options.lua"
        local table_of_options = {}
        for _, cells in ipairs(rows "Options") do
            table_of_options[cells[1]:match("^`([%a_]+)`$")] = cells
        end

        it("that there are", function()
            local known, listed = {}, {}
            for rules in source:gmatch("local %a+_rules = {\n(.-)\n}") do
                for name in rules:gmatch("    ([%a_]+) = ") do
                    known[#known + 1] = name
                end
            end
            for name in pairs(table_of_options) do
                listed[#listed + 1] = name
            end
            assert.is_true(#known > 10)
            assert.same(sorted(known), sorted(listed))
        end)

        it("with what they may be, in the words of the error", function()
            for name, cells in pairs(table_of_options) do
                local message = select(2, pcall(redlock.new, { nodes = { "a" }, [name] = print }))
                local rule = message:match(('option "%s" must be (.*)$'):format(name))
                assert.equal(rule, cells[4])
            end
        end)

        it("with their defaults", function()
            local options = require "redlock.options"
            local settings = options.client({ nodes = { "a" } }, nil, 1)
            local seen = 0
            for name, cells in pairs(table_of_options) do
                local default = settings.terms[name]
                if default == nil and name ~= "nodes" then
                    default = settings[name]
                end
                local code = cells[2]:match("^`(.*)`$")
                if code or default ~= nil then
                    assert.equal(default, load_text("return " .. tostring(code))(), name)
                    seen = seen + 1
                end
            end
            assert.equal(14, seen)
        end)
    end)

    it("lists the methods that there are", function()
        local server = servers.start_one()
        local client = redlock.new(server.url)
        local objects = { client = client, lock = client:lock "job" }
        local listed = { client = {}, lock = {} }
        for _, cells in ipairs(rows "Methods") do
            local object, method = cells[1]:match("^`(%a+):([%a_]+)%(")
            assert.equal("function", type(objects[object][method]), cells[1])
            table.insert(listed[object], method)
        end
        local known = {}
        for method in read("lua/redlock/client.lua"):gmatch("\nfunction Client:(%a[%a_]+)%(") do
            known[#known + 1] = method
        end
        assert.same(sorted(known), sorted(listed.client))
        known = {}
        for method in read("lua/redlock/lock.lua"):gmatch("\nfunction Lock:(%a[%a_]+)%(") do
            known[#known + 1] = method
        end
        assert.same(sorted(known), sorted(listed.lock))
        client:close()
    end)

    it("lists the codes that there are", function()
        local listed, known = {}, { "lost" }
        for _, cells in ipairs(rows "Errors") do
            listed[#listed + 1] = cells[1]:match("^`(%a+)`$")
        end
        for code in read("lua/redlock/failure.lua"):gmatch("\nfunction explain%.(%a+)%(") do
            known[#known + 1] = code
        end
        assert.same(sorted(known), sorted(listed))
    end)

    it("shows a script by which a store refuses a late write", function()
        local script, server = block("lua", 2), servers.start_one()
        local function write(fence, value)
            return server:cli("EVAL", script, 1, "record", ("%.0f"):format(fence), value)
        end
        local fence = 2 ^ 52
        assert.equal("1", write(fence, "first"))
        assert.equal("1", write(fence, "again"))
        assert.equal("1", write(fence + 1, "next"))
        assert.equal("0", write(fence, "late"))
        assert.equal("next", server:cli("HGET", "record", "value"))
    end)

    it("shows an SQL statement by which a store refuses a late write", function()
        if os.execute "command -v sqlite3 >/dev/null" ~= (_VERSION == "Lua 5.1" and 0 or true) then
            pending "sqlite3 is not here"
            return
        end
        local statement = block("sql", 1)
        local script = {
            "CREATE TABLE stock (id, amount, fence INTEGER);",
            "INSERT INTO stock VALUES (7, 100, 0);",
        }
        for _, write in ipairs { { 8, 90 }, { 8, 80 }, { 9, 70 }, { 8, 60 } } do
            local values = { fence = write[1], amount = write[2], id = 7 }
            script[#script + 1] = statement:gsub(":(%a+)", values) .. ";"
            script[#script + 1] = "SELECT changes(), amount FROM stock;"
        end
        local text = keeper.quote(table.concat(script, "\n"))
        local pipe = assert(io.popen("sqlite3 :memory: " .. text))
        assert.equal("1|90\n1|80\n1|70\n0|70\n", pipe:read("*a"))
        pipe:close()
    end)
end)
