--- Where the nodes are, and other settings: the configuration file, and the variable REDLOCK_NODES.
--
-- The file returns a table of redlock.new()'s options. The first of these is read, and no other:
-- --config FILE, $XDG_CONFIG_HOME/redlock.lua (~/.config/redlock.lua), /etc/redlock.lua. What options
-- on the command line say wins over it. Nodes come from --node, else from REDLOCK_NODES, else from
-- the file.
-- @module redlock.command.configuration
-- @local

local exits = require "redlock.command.exits"
local options = require "redlock.options"
local secrets = require "redlock.command.secrets"

local configuration = {}

local SYSTEM_FILE = "/etc/redlock.lua"
local READABLE_BY_OTHERS = 4 -- of the mode's last digit

local function user_file()
    local home = os.getenv "HOME"
    local folder = os.getenv "XDG_CONFIG_HOME"
    if not folder or folder:sub(1, 1) ~= "/" then
        folder = home and home ~= "" and home .. "/.config"
    end
    return folder and folder .. "/redlock.lua"
end

local function read_text(path)
    local file, message, number = io.open(path, "rb")
    local text
    if file then
        text, message, number = file:read "*a"
        message = message and path .. ": " .. message
        file:close()
    end
    return text, message, number
end

-- The text of the first file that is there, and its path; one that is named must be.
local function find(named)
    local candidates = named and { named } or { user_file() or SYSTEM_FILE, SYSTEM_FILE }
    for _, path in ipairs(candidates) do
        local text, message, number = read_text(path)
        if text then
            return text, path
        elseif named or number ~= 2 then -- ENOENT
            exits.fail(exits.CONFIGURATION, message)
        end
    end
end

-- The parser quotes what it stumbles over, which may be half a password.
local function without_quotes(message)
    local is_cut = message:find "near '?<eof>'?$"
    return is_cut and message or (message:gsub(" near .*$", ""))
end

local function evaluate(text, path)
    local chunk, message
    local nothing = {}
    if text:sub(1, 1) == "\27" then
        message = path .. ": it is no text"
    elseif setfenv then -- luacheck: ignore 113
        chunk, message = loadstring(text, "=" .. path) -- luacheck: ignore 113
        if chunk then
            setfenv(chunk, nothing) -- luacheck: ignore 113
        end
    else
        chunk, message = load(text, "=" .. path, "t", nothing)
    end
    if not chunk then
        exits.fail(exits.CONFIGURATION, without_quotes(message))
    end
    local ok, result = pcall(chunk)
    if not ok then
        exits.fail(exits.CONFIGURATION, result)
    elseif type(result) ~= "table" then
        exits.fail(exits.CONFIGURATION, path .. " does not return a table",
            [[It has to look like: return { nodes = { "redis://127.0.0.1:6379" } }]])
    end
    return result
end

-- What redlock.new() would say about it; nodes may come from elsewhere.
local function check(settings, path)
    local whole = {}
    for name, value in pairs(settings) do
        whole[name] = value
    end
    whole.nodes = whole.nodes or { "elsewhere" }
    local ok, message = pcall(options.client, whole, nil, 1)
    if not ok then
        message = tostring(message):gsub("^.-redlock: ", "")
        exits.fail(exits.CONFIGURATION, ("%s: %s"):format(path, message))
    end
end

local function holds_password(settings)
    for _, url in ipairs(type(settings.nodes) == "table" and settings.nodes or {}) do
        if type(url) == "string" and secrets.has_password(url) then
            return true
        end
    end
    return false
end

local function warn(settings, path, errors)
    local mode = require("redlock.command.system").file_mode(path)
    if mode and math.floor(mode % 8 / READABLE_BY_OTHERS) == 1 and holds_password(settings) then
        errors:write(errors:paint("yellow", "redlock: "),
            path, " holds a password, and everybody can read it.\nTry: chmod o-r ", path, "\n")
    end
end

--- Reads the configuration file, if there is one.
-- @tparam[opt] string named the file that is to be read
-- @param errors where warnings go, see redlock.command.terminal
-- @treturn table settings, which the caller may change
-- @treturn ?string the file's path
-- @raise a failure, if the file does not read
function configuration.read(named, errors)
    local text, path = find(named)
    if not text then
        return {}
    end
    local settings = evaluate(text, path)
    if type(settings.nodes) == "string" then
        settings.nodes = { settings.nodes }
    end
    check(settings, path)
    warn(settings, path, errors)
    return settings, path
end

local function split(text)
    local list = {}
    for url in text:gmatch "[^%s,]+" do
        list[#list + 1] = url
    end
    return list[1] and list
end

--- The nodes, by the one who says so first: the command line, the environment, the file.
-- @tparam[opt] {string,...} given by --node
-- @tparam[opt] {string,...} configured by the file
-- @treturn {string,...}
-- @raise a failure, if nobody does
function configuration.nodes(given, configured)
    local nodes = given or split(os.getenv "REDLOCK_NODES" or "") or configured
    if nodes then
        return nodes
    end
    exits.fail(exits.CONFIGURATION, "which nodes?", ([[
Name them with --node redis://HOST:PORT, once for each; or in the variable
REDLOCK_NODES; or in %s:
  return { nodes = { "redis://10.0.0.1:6379", "redis://10.0.0.2:6379", "redis://10.0.0.3:6379" } }]]
    ):format(user_file() or SYSTEM_FILE))
end

return configuration
