--- The manual page redlock(1), made from the verbs' descriptions: docs/redlock.1 (make manual).
-- @module redlock.command.manual
-- @local

local arguments = require "redlock.command.arguments"
local connection = require "redlock.command.connection"
local exits = require "redlock.command.exits"
local usage = require "redlock.command.usage"
local verbs = require "redlock.command.verbs"

local HEAD = [[
.\" Made by `make manual` from lua/redlock/command/: change that.
.TH REDLOCK 1 "" "redlock" "User Commands"
.SH NAME
redlock \- distributed locks on Redis, for the shell
.SH SYNOPSIS
]]

local DESCRIPTION = [[
Takes, shows and checks locks that stand on one Redis server, or on a majority of several
independent ones. They exclude the locks of the Lua library redlock, and of other libraries that
keep to the same convention: a plain key with the owner's token, set if it is absent, with a time to
live.

Durations are numbers with a unit, or several: 250ms, 50s, 1.5m, 1h30m, 7d. A bare number is
seconds.
]]

local CONFIGURATION = [[
The nodes are those of --node; without any, those of the variable REDLOCK_NODES; without that,
those of the configuration file. All programs that are to exclude one another have to name the same
nodes. There is no default: a lock on whatever server runs on each machine would lock out nobody
else.

The configuration file is the first that is there: that of --config, or
$XDG_CONFIG_HOME/redlock.lua (~/.config/redlock.lua), or /etc/redlock.lua. It returns a Lua table,
and is read with nothing else at hand. What options on the command line say wins over it. It may
hold each option of the library's redlock.new():

  return {
      nodes = { "redis://10.0.0.1", "redis://10.0.0.2", "redis://10.0.0.3" },
      prefix = "lock:",
      ttl = 20,
      timeout = 0.2,
  }

If it holds a password, nobody but its owner and group should be able to read it; otherwise there is
a warning. Passwords are never shown, and the command of redlock run is told none that was not in
its environment before.
]]

local EXIT_STATUS = "What each verb ends with stands there. All of them may also end with these:"

local EXITS = {
    { exits.USAGE, "the command line is wrong" },
    { exits.SOFTWARE, "a bug of redlock" },
    { exits.SYSTEM, "the system refused something, such as to write what was to be said" },
    { exits.CONFIGURATION, "no nodes were named, or the configuration file does not read" },
}

local ENVIRONMENT = {
    { "REDLOCK_NODES", "the nodes' URLs, with blanks or commas between them" },
    { "NO_COLOR", "if it is set and not empty, nothing is coloured" },
    { "XDG_CONFIG_HOME", "where redlock.lua is looked for, instead of ~/.config" },
}

local function escape(text)
    return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("^([.'])", "\\&%1"))
end

-- A paragraph that is indented stays as it is.
local function paragraphs(text)
    local list = {}
    for _, paragraph in ipairs(usage.split(text)) do
        local form = paragraph:find "^  " and ".nf\n%s\n.fi" or "%s"
        list[#list + 1] = form:format(escape(paragraph))
    end
    return table.concat(list, "\n.PP\n") .. "\n"
end

local function item(head, text)
    return (".TP\n%s\n%s\n"):format(head, escape(text))
end

local function option_head(option)
    local text = ("\\fB%s\\fR"):format(escape("--" .. option.long))
    if option.short then
        text = ("\\fB%s\\fR, %s"):format(escape("-" .. option.short), text)
    end
    return text .. (option.value and " \\fI" .. option.value .. "\\fR" or "")
end

local function list_options(options)
    local parts = {}
    for _, option in ipairs(options) do
        parts[#parts + 1] = item(option_head(option), usage.help(option) .. ".")
    end
    return table.concat(parts)
end

local function list_pairs(pairs_of_texts)
    local parts = {}
    for _, pair in ipairs(pairs_of_texts) do
        parts[#parts + 1] = item("\\fB" .. escape(tostring(pair[1])) .. "\\fR", pair[2] .. ".")
    end
    return table.concat(parts)
end

local function list_examples(examples)
    local parts = {}
    for _, example in ipairs(examples) do
        local text = example[1]:sub(1, 1):upper() .. example[1]:sub(2)
        parts[#parts + 1] = ("%s:\n.PP\n.nf\n    %s\n.fi\n"):format(
            escape(text), (escape(example[2]):gsub("\n", "\n    ")))
    end
    return table.concat(parts, ".PP\n")
end

local function describe(verb)
    local summary = verb.summary:sub(1, 1):upper() .. verb.summary:sub(2) .. "."
    local parts = {
        (".SH REDLOCK %s\n"):format(verb.name:upper()),
        ("\\fBredlock %s\\fR %s\n.PP\n"):format(verb.name, escape(verb.synopsis)),
        paragraphs(summary .. "\n\n" .. (verb.about or "")),
    }
    parts[#parts + 1] = list_options(arguments.own_options(verb))
    if verb.exits then
        parts[#parts + 1] = ".SS Exit codes\n" .. list_pairs(verb.exits)
    end
    if verb.examples then
        parts[#parts + 1] = ".SS Examples\n" .. list_examples(verb.examples)
    end
    return table.concat(parts)
end

--- @treturn string the page, for man(1)
return function()
    local parts = { HEAD }
    for _, verb in ipairs(verbs.all()) do
        local synopsis = escape(verb.synopsis)
        parts[#parts + 1] = ("\\fBredlock %s\\fR %s\n.br\n"):format(verb.name, synopsis)
    end
    parts[#parts + 1] = ".SH DESCRIPTION\n" .. paragraphs(DESCRIPTION)
    for _, verb in ipairs(verbs.all()) do
        parts[#parts + 1] = describe(verb)
    end
    parts[#parts + 1] = ".SH WHERE THE NODES ARE\n" .. paragraphs(CONFIGURATION)
    parts[#parts + 1] = ".PP\nAll verbs that talk to the nodes take these options:\n"
    parts[#parts + 1] = list_options(connection.options)
    parts[#parts + 1] = ".SH EXIT STATUS\n" .. paragraphs(EXIT_STATUS) .. list_pairs(EXITS)
    parts[#parts + 1] = ".SH ENVIRONMENT\n" .. list_pairs(ENVIRONMENT)
    parts[#parts + 1] = ".SH SEE ALSO\nflock(1), redis-cli(1)\n"
    return table.concat(parts)
end
