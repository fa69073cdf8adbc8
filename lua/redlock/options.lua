--- What options there are, what they default to, and what they may be. Misuse is raised at the
-- level that the caller names, in the words that a reader of the README knows.
-- @module redlock.options
-- @local

local hosts = require "redlock.host"

local options = {}

local NAME_MAX = 512 -- bytes
local NODES_MAX = 32
local SECONDS_MAX = 1e9 -- of a lease: about 31 years

local function fail(level, message, ...)
    error("redlock: " .. message:format(...), level + 1)
end

local function is_number(value)
    return type(value) == "number" and value == value
end

-- Each rule: what it must be, in words, and whether a value is.

local function seconds(least, most)
    local text = most == math.huge and "a number of seconds, %g or more (math.huge: no limit)"
        or "a number of seconds from %g to %g"
    return {
        text = text:format(least, most),
        is = function(value)
            return is_number(value) and value >= least and value <= most
        end,
    }
end

local boolean = {
    text = "true or false",
    is = function(value)
        return type(value) == "boolean"
    end,
}

local text = {
    text = "a string that is not empty",
    is = function(value)
        return type(value) == "string" and value ~= "" and not value:find "%z"
    end,
}

local prefix = {
    text = ("a string of at most %d bytes"):format(NAME_MAX),
    is = function(value)
        return type(value) == "string" and #value <= NAME_MAX
    end,
}

local fraction = {
    text = "a number from 0 to below 1",
    is = function(value)
        return is_number(value) and value >= 0 and value < 1
    end,
}

local guard = {
    text = '"auto", a number of seconds, or false',
    is = function(value)
        return value == "auto"
            or value == false
            or (is_number(value) and value >= 0 and value <= SECONDS_MAX)
    end,
}

local client_name = {
    text = "1 to 63 printable characters without a space",
    is = function(value)
        return type(value) == "string" and #value <= 63 and value:find "^[!-~]+$" ~= nil
    end,
}

local identity = {
    text = "a text of 1 to 100 bytes without control characters, or false",
    is = function(value)
        local is_text = type(value) == "string" and #value >= 1 and #value <= 100
        return value == false or (is_text and not value:find "[%z\1-\31\127]")
    end,
}

local host = {
    text = '"blocking", "nginx", "cqueues" or "luv"',
    is = function(value)
        return value == "blocking" or value == "nginx" or value == "cqueues" or value == "luv"
    end,
}

local node_list = {
    text = ("a list of 1 to %d URLs"):format(NODES_MAX),
    is = function(value)
        if type(value) ~= "table" or #value < 1 or #value > NODES_MAX then
            return false
        end
        local count = 0
        for index in pairs(value) do
            count = count + 1
            if type(index) ~= "number" or type(value[index]) ~= "string" then
                return false
            end
        end
        return count == #value
    end,
}

-- Terms may be given to the client, to a lock object and to a single acquire; the later wins.
local term_rules = {
    ttl = seconds(0.001, SECONDS_MAX),
    wait = seconds(0, math.huge),
    renew = boolean,
    max_hold = seconds(0, math.huge),
    fair = boolean,
    detach = boolean,
}

local term_defaults = {
    ttl = 30,
    wait = 5,
    renew = true,
    max_hold = math.huge,
    fair = false,
    detach = false,
}

local client_rules = {
    nodes = node_list,
    prefix = prefix,
    timeout = seconds(0.001, 3600),
    drift_factor = fraction,
    restart_guard = guard,
    client_name = client_name,
    identity = identity,
    host = host,
    tls_verify = boolean,
    tls_ca_file = text,
    tls_ca_path = text,
    tls_cert = text,
    tls_key = text,
    tls_server_name = text,
}

local client_defaults = {
    prefix = "",
    timeout = 0.5,
    drift_factor = 0.01,
    restart_guard = "auto",
    client_name = "redlock",
    tls_verify = true,
}

local function check(given, rules, more_rules, level)
    for name, value in pairs(given) do
        local rule = rules[name] or (more_rules and more_rules[name])
        if not rule then
            fail(level + 1, "there is no option %q", tostring(name))
        elseif not rule.is(value) then
            fail(level + 1, "option %q must be %s", name, rule.text)
        end
    end
end

local function merge(given, defaults, rules)
    local merged = {}
    for name in pairs(rules) do
        merged[name] = given[name]
        if merged[name] == nil then
            merged[name] = defaults[name]
        end
    end
    return merged
end

-- One table of what redlock.new() was given, in either form.
local function gather(given, opts, level)
    if type(given) ~= "string" and type(given) ~= "table" then
        fail(level + 1, "new() takes a URL or a table of options, not %s", type(given))
    elseif opts == nil then
        return type(given) == "string" and { nodes = { given } } or given
    elseif type(given) == "table" or type(opts) ~= "table" or opts.nodes ~= nil then
        fail(level + 1, "new() takes one table of options, or a URL and a table without nodes")
    end
    local gathered = { nodes = { given } }
    for name, value in pairs(opts) do
        gathered[name] = value
    end
    return gathered
end

--- Checks what redlock.new() was given.
-- @treturn table every client option, and `terms`
function options.client(given, opts, level)
    given = gather(given, opts, level)
    check(given, client_rules, term_rules, level)
    if given.nodes == nil then
        fail(level, 'option "nodes" is missing')
    end
    local missing = given.host and hosts.missing(given.host)
    if missing then
        fail(level, "host %q: %s", given.host, missing)
    end
    local settings = merge(given, client_defaults, client_rules)
    settings.terms = merge(given, term_defaults, term_rules)
    return settings
end

--- Checks the options of a lock or an acquire, over those that hold already.
-- @treturn table every term
function options.terms(given, defaults, level)
    if given == nil then
        return defaults
    elseif type(given) ~= "table" then
        fail(level, "options must be a table, not %s", type(given))
    end
    check(given, term_rules, nil, level)
    local renew, fair, detach = given.renew, given.fair, given.detach
    if renew == nil then
        renew = defaults.renew
    end
    if fair == nil then
        fair = defaults.fair
    end
    if detach == nil then
        detach = defaults.detach
    end
    -- What merge() would do, for a call that is made for every lock.
    return {
        ttl = given.ttl or defaults.ttl,
        wait = given.wait or defaults.wait,
        max_hold = given.max_hold or defaults.max_hold,
        renew = renew,
        fair = fair,
        detach = detach,
    }
end

--- Checks a lease in seconds.
function options.ttl(value, level)
    if not term_rules.ttl.is(value) then
        fail(level, "ttl must be %s", term_rules.ttl.text)
    end
end

-- What wire.c makes of another lock's name: "{name}:fence", or "name:fence" if the name has a tag.
local function is_side_key(key)
    local suffix = key:match ":(%l+)$"
    local is_ours = suffix == "fence" or suffix == "queue" or suffix == "claim"
    return is_ours and key:find "{[^}]+}" ~= nil
end

--- Checks a lock's name, and the key that it makes with the prefix before it.
function options.name(value, before, level)
    if type(value) ~= "string" then
        fail(level, "a lock's name must be a string, not %s", type(value))
    elseif #value < 1 or #value > NAME_MAX then
        fail(level, "a lock's name must have 1 to %d bytes, not %d", NAME_MAX, #value)
    elseif is_side_key(before .. value) then
        fail(level, "a lock's key must not have a {tag} and end in :fence, :queue or :claim")
    end
end

return options
