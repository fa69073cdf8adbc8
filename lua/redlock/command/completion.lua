--- redlock completion SHELL
-- @module redlock.command.completion
-- @local

local completion = {
    name = "completion",
    summary = "print what lets a shell complete redlock's words",
    synopsis = "bash|zsh",
    words = { least = 1, most = 1, choices = { "bash", "zsh" } },
    about = [[
`make install` puts both where the shells look for them. Where that was not done, a line in
~/.bashrc is enough, or, behind compinit, in ~/.zshrc.]],
    examples = {
        { "in ~/.bashrc", 'eval "$(redlock completion bash)"' },
        { "in ~/.zshrc", 'eval "$(redlock completion zsh)"' },
    },
}

function completion.run(call)
    local exits = require "redlock.command.exits"
    local shell = call.words[1]
    if shell ~= "bash" and shell ~= "zsh" then
        exits.fail(exits.USAGE, ('bash and zsh are known, not "%s"'):format(shell),
            "Try: redlock completion --help")
    end
    call.output:write(require("redlock.command.complete_" .. shell)())
end

return completion
