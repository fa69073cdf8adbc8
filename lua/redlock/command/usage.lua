--- Help, made from the verbs' descriptions.
-- @module redlock.command.usage
-- @local

local arguments = require "redlock.command.arguments"
local connection = require "redlock.command.connection"
local fill = require "redlock.command.fill"
local verbs = require "redlock.command.verbs"

local usage = {}

local WIDTH = 79
local INDENT = "  "

-- Two columns.
local function entry(head, text, column)
    local indent = (" "):rep(column)
    local lead = INDENT .. head
    if #lead + 2 > column then
        return lead .. "\n" .. indent .. fill(text, WIDTH - column, indent) .. "\n"
    end
    return lead .. (" "):rep(column - #lead) .. fill(text, WIDTH - column, indent) .. "\n"
end

--- How an option is written.
-- @treturn string "-w, --wait DURATION"
function usage.option(option)
    return (option.short and "-" .. option.short .. ", " or "") .. "--" .. option.long
        .. (option.value and " " .. option.value or "")
end

--- The paragraphs of a text, between empty lines.
-- @treturn {string,...}
function usage.split(text)
    local list = {}
    for paragraph in (text:gsub("\n+$", "") .. "\n\n"):gmatch "(.-)\n\n+" do
        list[#list + 1] = paragraph ~= "" and paragraph or nil
    end
    return list
end

-- They are filled anew, but for what is indented.
local function paragraphs(text)
    local list = usage.split(text)
    for index, paragraph in ipairs(list) do
        list[index] = paragraph:find "^  " and paragraph or fill(paragraph, WIDTH, "")
    end
    return table.concat(list, "\n\n")
end

--- What an option does, and what holds without it.
-- @treturn string
function usage.help(option)
    return option.help .. (option.default and (" (default: %s)"):format(option.default) or "")
end

local function list_options(title, options)
    local lines = { "\n", title, ":\n" }
    for _, option in ipairs(options) do
        lines[#lines + 1] = entry(usage.option(option), usage.help(option), 26)
    end
    return table.concat(lines)
end

local function list_exits(verb)
    if not verb.exits then
        return ""
    end
    local lines = { "\nExit codes:\n" }
    for _, pair in ipairs(verb.exits) do
        lines[#lines + 1] = entry(tostring(pair[1]), pair[2], 9)
    end
    return table.concat(lines)
end

local function list_examples(verb)
    if not verb.examples then
        return ""
    end
    local lines = { "\nExamples:\n" }
    for _, pair in ipairs(verb.examples) do
        lines[#lines + 1] = INDENT .. fill(pair[1], WIDTH - #INDENT, INDENT) .. ":\n"
        lines[#lines + 1] = "    " .. pair[2]:gsub("\n", "\n    ") .. "\n"
    end
    return table.concat(lines)
end

--- The help of a verb.
-- @tparam table verb
-- @treturn string
function usage.of_verb(verb)
    local summary = verb.summary:sub(1, 1):upper() .. verb.summary:sub(2) .. ".\n\n"
    local parts = {
        ("Usage: redlock %s %s\n\n"):format(verb.name, verb.synopsis),
        paragraphs(summary .. (verb.about or "")),
        "\n",
        list_options("Options", arguments.own_options(verb)),
    }
    if verb.connects then
        parts[#parts + 1] = list_options("Where the nodes are", connection.options)
    end
    parts[#parts + 1] = list_exits(verb)
    parts[#parts + 1] = list_examples(verb)
    return table.concat(parts)
end

--- The help of the command as a whole.
-- @treturn string
function usage.overview()
    local lines = { [[
Usage: redlock VERB [OPTION...] [WORD...]

Distributed locks on Redis, for the shell: on one node, or on a majority of
several independent ones.

Verbs:
]] }
    for _, verb in ipairs(verbs.all()) do
        lines[#lines + 1] = entry(verb.name, verb.summary, 14)
    end
    lines[#lines + 1] = [[

redlock VERB --help says more about each, redlock --version which one this is.
The nodes are named by --node URL (once for each), by the variable
REDLOCK_NODES, or in ~/.config/redlock.lua or /etc/redlock.lua:

    return { nodes = { "redis://10.0.0.1:6379", "redis://10.0.0.2:6379" } }
]]
    return table.concat(lines)
end

return usage
