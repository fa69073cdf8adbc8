--- The words of a command line, by a verb's description (see redlock.command.verbs).
--
-- An option is `--long VALUE`, `--long=VALUE`, `-s VALUE` or `-sVALUE`; switches may be joined, `-qv`. `--`
-- ends the options.
-- @module redlock.command.arguments
-- @local

local connection = require "redlock.command.connection"
local exits = require "redlock.command.exits"
local nearest = require "redlock.command.nearest"
local secrets = require "redlock.command.secrets"
local values = require "redlock.command.values"

local arguments = {}

local HELP = { long = "help", short = "h", help = "this text" }

--- The options that are a verb's own, in the order in which they are shown.
-- @treturn {table,...}
function arguments.own_options(verb)
    local list = { (table.unpack or unpack)(verb.options or {}) }
    list[#list + 1] = HELP
    return list
end

--- Every option that a verb takes: its own, then those that say where the nodes are.
-- @treturn {table,...}
function arguments.options(verb)
    local list = arguments.own_options(verb)
    for _, option in ipairs(verb.connects and connection.options or {}) do
        list[#list + 1] = option
    end
    return list
end

local function fail(verb, message, hint)
    exits.fail(exits.USAGE, message, hint or ("Try: redlock %s --help"):format(verb.name))
end

local function find(verb, field, name)
    local known = {}
    for _, option in ipairs(arguments.options(verb)) do
        if option[field] == name then
            return option
        end
        known[#known + 1] = option.long
    end
    if field == "short" then
        fail(verb, ("there is no option -%s"):format(name))
    end
    local near = nearest.of(name, known)
    fail(verb, ("there is no option --%s"):format(secrets.hide(name)),
        near and ("Did you mean --%s? See: redlock %s --help"):format(near, verb.name))
end

local function put(reader, option, text, shown)
    local kind = values[option.kind or "text"]
    local value = text
    if option.value then
        value = kind.read(text)
    end
    if value == nil then
        -- What is wrong about a secret is not shown.
        local given = option.secret and "" or (', not "%s"'):format(text)
        fail(reader.verb, ("%s takes %s%s"):format(shown, kind.text, given))
    end
    local name = option.long:gsub("%-", "_")
    if option.many then
        local list = reader.values[name] or {}
        list[#list + 1] = value
        value = list
    end
    reader.values[name] = value
end

-- The word behind the option.
local function take_value(reader, option, shown)
    local text = reader.rest[reader.index + 1]
    if text == nil then
        fail(reader.verb, ("%s takes %s"):format(shown, values[option.kind or "text"].text))
    end
    reader.index = reader.index + 1
    return text
end

local function read_long(reader, word)
    local name, text = word:match "^%-%-([^=]*)=(.*)$"
    local option = find(reader.verb, "long", name or word:sub(3))
    local shown = "--" .. option.long
    if not option.value and text then
        fail(reader.verb, shown .. " takes no value")
    elseif not option.value then
        text = true
    end
    put(reader, option, text or take_value(reader, option, shown), shown)
end

local function read_short(reader, word)
    local index = 2
    while index <= #word do
        local letter = word:sub(index, index)
        local option = find(reader.verb, "short", letter)
        local shown, rest = "-" .. letter, word:sub(index + 1)
        if not option.value then
            put(reader, option, true, shown)
            index = index + 1
        else
            put(reader, option, rest ~= "" and rest or take_value(reader, option, shown), shown)
            return
        end
    end
end

local function read_word(reader, word)
    local stop = reader.verb.words.stop
    if reader.ended or (stop and #reader.words >= stop) or not word:find "^%-." then
        reader.words[#reader.words + 1] = word
    elseif word == "--" then
        reader.ended = true
    elseif word:sub(1, 2) == "--" then
        read_long(reader, word)
    else
        read_short(reader, word)
    end
end

-- The words that the synopsis shows, but for those that may be left out.
local function names_of(synopsis)
    local names = {}
    for name in synopsis:gsub("%b[]", ""):gmatch "%S+" do
        names[#names + 1] = name:gsub("|", " or ")
    end
    return names
end

local function check_words(verb, words)
    local least, most = verb.words.least, verb.words.most
    local synopsis = ("Usage: redlock %s %s"):format(verb.name, verb.synopsis)
    if #words < least then
        local name = names_of(verb.synopsis)[#words + 1] or "something"
        fail(verb, name .. " is missing", synopsis)
    elseif #words > most then
        fail(verb, ('"%s" is one word too many'):format(words[most + 1]), synopsis)
    end
end

--- Reads the words behind a verb.
-- @tparam table verb
-- @tparam {string,...} rest
-- @treturn table `verb`, `values` (what the options say) and `words` (the others)
-- @raise a usage failure
function arguments.parse(verb, rest)
    local reader = { verb = verb, rest = rest, index = 1, values = {}, words = {} }
    while reader.index <= #rest do
        read_word(reader, rest[reader.index])
        reader.index = reader.index + 1
    end
    if not reader.values.help then
        check_words(verb, reader.words)
    end
    return reader
end

return arguments
