--- redlock help [VERB]
-- @module redlock.command.help
-- @local

local help = {
    name = "help",
    summary = "show what redlock does, or how a verb is used",
    synopsis = "[VERB]",
    words = { least = 0, most = 1, choices = require("redlock.command.verbs").names },
    examples = { { "how locks are taken", "redlock help run" } },
}

function help.run(call)
    local usage = require "redlock.command.usage" -- which describes us, too
    local name = call.words[1]
    if name then
        call.output:write(usage.of_verb(require("redlock.command.verbs").find(name)))
    else
        call.output:write(usage.overview())
    end
end

return help
