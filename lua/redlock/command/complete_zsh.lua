--- What zsh is told for completing redlock's words, from the verbs' descriptions.
-- @module redlock.command.complete_zsh
-- @local

local arguments = require "redlock.command.arguments"
local verbs = require "redlock.command.verbs"

local HEAD = [[
#compdef redlock
# Completion of redlock for zsh, as `redlock completion zsh` prints it.
_redlock() {
    local curcontext=$curcontext state line
    if (( CURRENT == 2 )); then
        local -a verbs=(
]]

local MIDDLE = [==[
        )
        if [[ $PREFIX == -* ]]; then
            compadd -- --help --version
        else
            _describe -t verbs verb verbs
        fi
        return
    fi
    local verb=$words[2]
    shift words
    (( CURRENT-- ))
    case $verb in]==]

-- As a file of $fpath it is called at once; evaluated, it has to be announced.
local TAIL = [==[
    esac
}
if [[ $funcstack[1] == _redlock ]]; then
    _redlock "$@"
else
    compdef _redlock redlock
fi
]==]

local function quote(text)
    return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- What _arguments takes for special within its brackets, and behind colons.
local function escape(text)
    return (text:gsub("[%[%]:\\]", "\\%0"))
end

-- A name, and a command, which is completed as one.
local COMMAND = [['1:lock name: ' '2:command: _command_names -e' \
            '*::argument:{ shift words; (( CURRENT-- )); _normal }']]

-- Behind `--` nothing is ours any more.
local BEHIND = [[
        local index=${words[(i)--]}
        if (( index < CURRENT )); then
            shift $index words
            (( CURRENT -= index ))
            _normal
            return
        fi
]]

local actions = { file = "_files", folder = "_files -/" }

local function specification(option)
    local many = option.many and "*" or ""
    local value = option.value
        and (":%s:%s"):format(escape(option.value:lower()), actions[option.kind] or " ") or ""
    local about = ("[%s]"):format(escape(option.help))
    local long = "--" .. option.long .. (option.value and "=" or "")
    if not option.short then
        return quote(many .. long .. about .. value)
    end
    local short = "-" .. option.short .. (option.value and "+" or "")
    local exclusive = many ~= "" and many or ("(-%s --%s)"):format(option.short, option.long)
    return ("%s{%s,%s}%s"):format(quote(exclusive), short, long, quote(about .. value))
end

local function words_of(verb)
    local choices = verb.words.choices
    if choices then
        return quote(("1:word:(%s)"):format(table.concat(choices, " ")))
    elseif verb.words.command then
        return COMMAND
    end
    return verb.words.most > 0 and quote(("%s:word: "):format(verb.words.most == 1 and "1" or "*"))
end

local function add_verb(verb, lines)
    local behind = verb.words.command and BEHIND or ""
    lines[#lines + 1] = ("    %s)\n%s        _arguments -S -s \\"):format(verb.name, behind)
    for _, option in ipairs(arguments.options(verb)) do
        lines[#lines + 1] = ("            %s \\"):format(specification(option))
    end
    lines[#lines + 1] = ("            %s\n        ;;"):format(words_of(verb) or "")
end

--- @treturn string
return function()
    local lines = { (HEAD:gsub("\n$", "")) }
    for _, verb in ipairs(verbs.all()) do
        lines[#lines + 1] = "            " .. quote(verb.name .. ":" .. verb.summary)
    end
    lines[#lines + 1] = MIDDLE
    for _, verb in ipairs(verbs.all()) do
        add_verb(verb, lines)
    end
    lines[#lines + 1] = TAIL
    return table.concat(lines, "\n")
end
