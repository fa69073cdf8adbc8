--- What bash is told for completing redlock's words, from the verbs' descriptions.
-- @module redlock.command.complete_bash
-- @local

local arguments = require "redlock.command.arguments"
local verbs = require "redlock.command.verbs"

local HEAD = [[
# Completion of redlock for bash, as `redlock completion bash` prints it.
_redlock() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
    local options=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '%s --help --version' -- "$word"))
        return
    fi
    case $verb in
]]

local TAIL = [[
    esac
    case $word in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    esac
}
complete -o bashdefault -F _redlock redlock
]]

-- Behind `--` stands another command, which is completed as one.
local COMMAND = [[
        local index
        for ((index = 2; index < COMP_CWORD; index++)); do
            if [ "${COMP_WORDS[index]}" = -- ]; then
                if declare -F _command_offset >/dev/null; then
                    _command_offset $((index + 1))
                elif [ "$COMP_CWORD" -eq $((index + 1)) ]; then
                    COMPREPLY=($(compgen -c -- "$word"))
                else
                    compopt -o default
                fi
                return
            fi
        done
]]

local FILES = [[compopt -o filenames; COMPREPLY=($(compgen %s -- "$word")); return]]
local CHOICES = [==[        [[ $word = -* ]] || COMPREPLY=($(compgen -W "%s" -- "$word"))]==]

local completes = { file = "-f", folder = "-d" }

-- What may stand behind options that take a value: a file, or what only the user knows.
local function list_values(options, lines)
    local by_action = { ["-f"] = {}, ["-d"] = {}, none = {} }
    for _, option in ipairs(options) do
        if option.value then
            local list = by_action[completes[option.kind] or "none"]
            list[#list + 1] = "--" .. option.long
            list[#list + 1] = option.short and "-" .. option.short or nil
        end
    end
    for _, action in ipairs { "-f", "-d", "none" } do
        if by_action[action][1] then
            local reply = action == "none" and "return" or FILES:format(action)
            local given = table.concat(by_action[action], "|")
            lines[#lines + 1] = ("        %s) %s ;;"):format(given, reply)
        end
    end
end

local function add_verb(verb, lines)
    local options, words = arguments.options(verb), {}
    for _, option in ipairs(options) do
        words[#words + 1] = "--" .. option.long
    end
    lines[#lines + 1] = ("    %s)"):format(verb.name)
    if verb.words.command then
        lines[#lines + 1] = COMMAND:gsub("\n$", "")
    end
    lines[#lines + 1] = "        case $before in"
    list_values(options, lines)
    lines[#lines + 1] = "        esac"
    lines[#lines + 1] = ("        options='%s'"):format(table.concat(words, " "))
    local choices = verb.words.choices
    if choices then
        lines[#lines + 1] = CHOICES:format(table.concat(choices, " "))
    end
    lines[#lines + 1] = "        ;;"
end

--- @treturn string
return function()
    local lines = { (HEAD:format(table.concat(verbs.names, " ")):gsub("\n$", "")) }
    for _, verb in ipairs(verbs.all()) do
        add_verb(verb, lines)
    end
    lines[#lines + 1] = TAIL
    return table.concat(lines, "\n")
end
