--- A console: any command to one node of a client, for programs that look after the nodes. It blocks,
-- over a connection of its own, with the node's TLS, login and database.
-- @module redlock.console
-- @local

local core = require "redlock.core"

local Console = {}
Console.__index = Console

local console = {}

--- A console to one node. It connects when it is first asked.
-- @tparam redlock.Client client
-- @tparam number index of the node, from 1
-- @tparam number timeout seconds: for dial, TLS and login together, and for each answer
-- @treturn Console with `name`, the node's address
function console.new(client, index, timeout)
    return setmetatable({
        core = core.console.new(client.handle, index),
        name = core.nodes(client.handle)[index],
        timeout = timeout,
    }, Console)
end

--- Consoles to all nodes.
-- @treturn {Console,...}
function console.all(client, timeout)
    local list = {}
    for index in ipairs(core.nodes(client.handle)) do
        list[index] = console.new(client, index, timeout)
    end
    return list
end

--- Connects and logs in, unless that was done.
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string why not
function Console:open()
    return core.console.open(self.core, self.timeout)
end

--- Asks one command and waits for its reply.
-- @tparam string|number ... the command's words, of any bytes
-- @return[1] the reply: a string, a number, false for none, or a list of such (an error in it is
-- `{ error = text }`)
-- @treturn[2] nil
-- @treturn[2] string what the server said, or what became of the connection
-- @treturn[2] ?boolean true if the server said it: the connection goes on then
function Console:ask(...)
    local ok, message = self:open()
    if not ok then
        return nil, message
    end
    core.console.send(self.core, ...)
    return core.console.receive(self.core, self.timeout)
end

--- Asks many commands at once.
-- @tparam {{string|number,...},...} commands
-- @treturn[1] {table,...} for each `{ reply = ... }` or `{ error = text }`
-- @treturn[2] nil
-- @treturn[2] string what became of the connection
function Console:ask_all(commands)
    local ok, failure = self:open()
    if not ok then
        return nil, failure
    end
    for _, words in ipairs(commands) do
        core.console.send(self.core, (table.unpack or unpack)(words))
    end
    local answers = {}
    for index in ipairs(commands) do
        local reply, message, refused = core.console.receive(self.core, self.timeout)
        if reply == nil and not refused then
            return nil, message
        end
        answers[index] = { reply = reply, error = message }
    end
    return answers
end

--- What the server says next without being asked, to a subscriber.
-- @return as ask
function Console:hear()
    return core.console.receive(self.core, self.timeout)
end

--- What INFO says.
-- @treturn[1] table field -> text
-- @treturn[2] nil
-- @treturn[2] string as ask
-- @treturn[2] ?boolean as ask
function Console:info()
    local text, message, refused = self:ask "INFO"
    if type(text) ~= "string" then
        return nil, message or "a reply that is no text", refused or text ~= nil
    end
    local fields = {}
    for name, value in text:gmatch "([%w_]+):([^\r\n]*)" do
        fields[name] = value
    end
    return fields
end

--- What the server showed of itself when the connection was made.
-- @treturn ?table `{ valid = seconds left, doubt = what a verification says against it }`
function Console:certificate()
    return core.console.certificate(self.core)
end

--- @treturn string "tcp", "tls" or "unix"
function Console:transport()
    return core.console.transport(self.core)
end

--- Ends the connection.
function Console:close()
    core.console.close(self.core)
end

--- The name of what stands on a node beside a lock.
-- @tparam string key the lock's
-- @tparam string side "fence", "queue" or "claim"
-- @treturn string
console.side_key = core.console.side_key

--- The scripts that the library runs on the servers.
-- @treturn table name -> SHA1
console.scripts = core.console.scripts

return console
