--- The options that every verb takes which talks to the nodes, and the client that comes of them.
-- @module redlock.command.connection
-- @local

local configuration = require "redlock.command.configuration"
local exits = require "redlock.command.exits"
local options = require "redlock.options"
local redlock = require "redlock"

local connection = {}

--- As in a verb's description.
connection.options = {
    {
        long = "node", value = "URL", many = true, secret = true,
        help = "a node; once for each. redis://[[user]:password@]host[:port][/database], the same "
            .. "with rediss:// for TLS, or unix:///path. Other users of this machine may see "
            .. "command lines: passwords are better kept in the configuration file",
    },
    {
        long = "config", value = "FILE", kind = "file",
        help = "read this configuration file, and no other",
    },
    { long = "prefix", value = "TEXT", help = "stands before every name: the key is both" },
    {
        long = "timeout", value = "DURATION", kind = "duration",
        help = "how long a node may take for dial, TLS, login and reply together",
        default = "500ms",
    },
    {
        long = "drift-factor", value = "NUMBER", kind = "fraction",
        help = "the share of a lease by which clocks may run apart",
        default = "0.01",
    },
    {
        long = "restart-guard", value = "DURATION", kind = "guard",
        help = "how long a restarted node has no vote, since it may have lost its data; auto: the "
            .. "longest lease that is asked for here; or off",
        default = "auto",
    },
    {
        long = "client-name", value = "TEXT",
        help = "what CLIENT LIST shows of our connections",
        default = "redlock",
    },
    {
        long = "tls-ca-file", value = "FILE", kind = "file",
        help = "certificates to trust, PEM",
        default = "the system's",
    },
    {
        long = "tls-ca-path", value = "FOLDER", kind = "folder",
        help = "a folder of them, hashed",
        default = "the system's",
    },
    {
        long = "tls-cert", value = "FILE", kind = "file",
        help = "our certificate, PEM, if the nodes ask for one",
    },
    {
        long = "tls-key", value = "FILE", kind = "file",
        help = "its key, PEM",
        default = "in the certificate's file",
    },
    {
        long = "tls-server-name", value = "NAME",
        help = "the name that the nodes' certificates must bear",
        default = "the URL's host",
    },
    {
        long = "tls-no-verify",
        help = "believe any certificate: whoever is in between can be the node",
    },
}

local function add_given(settings, values)
    for _, option in ipairs(connection.options) do
        local name = option.long:gsub("%-", "_")
        local value = values[name]
        if value ~= nil and name ~= "node" and name ~= "config" and name ~= "tls_no_verify" then
            settings[name] = value
        end
    end
    if values.tls_no_verify then
        settings.tls_verify = false
    end
end

--- What redlock.new() is to be given: by the options, the environment and the configuration file.
-- @tparam table call as verb.run() gets it
-- @treturn table
-- @raise a failure, if there are no nodes or the file does not read
function connection.settings(call)
    local settings = configuration.read(call.values.config, call.errors)
    add_given(settings, call.values)
    settings.nodes = configuration.nodes(call.values.node, settings.nodes)
    return settings
end

-- What the library raises is the user's to read.
local function attempt(code, hint, fn, ...)
    local ok, result = pcall(fn, ...)
    if not ok then
        exits.misuse(result, code, hint)
    end
    return result
end

--- A client.
-- @tparam table call as verb.run() gets it
-- @tparam[opt] table more options of redlock.new(), which win
-- @treturn redlock.Client
-- @treturn table what it was made of
-- @raise a failure, if there are no nodes, or something about them is wrong
function connection.open(call, more)
    local settings = connection.settings(call)
    for name, value in pairs(more or {}) do
        settings[name] = value
    end
    local hint = ("Try: redlock %s --help"):format(call.verb.name)
    attempt(exits.USAGE, hint, options.client, settings, nil, 1)
    return attempt(exits.CONFIGURATION, nil, redlock.new, settings), settings
end

return connection
