--- What options there are, what they default to, and what they may be. Misuse is raised at the
-- level that the caller names, in the words that a reader of the README knows.
-- @module redlock.options
-- @local

local hosts = require "redlock.host"

local options = {}

local NAME_MAX = 512 -- bytes
local NODES_MAX = 32
local SECONDS_MAX = 1e9 -- of a lease: about 31 years
local INHERITED_MAX = 10 -- tables in a row that are looked through for names

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
    cohort = boolean,
    detach = boolean,
    at_least = seconds(0, SECONDS_MAX),
}

local term_defaults = {
    ttl = 30,
    wait = 5,
    renew = true,
    max_hold = math.huge,
    fair = false,
    cohort = false,
    detach = false,
    at_least = 0,
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

-- A name that is no word may be a URL that came to the wrong place, with a password in it.
local function refuse_name(name, level)
    if type(name) == "string" and not name:find "^[%a_][%w_]*$" then
        fail(level + 1, "there is no option of such a name (%d bytes, and no word)", #name)
    end
    fail(level + 1, "there is no option %q", tostring(name))
end

local function parent_of(given)
    local meta = getmetatable(given)
    local index = type(meta) == "table" and rawget(meta, "__index")
    return type(index) == "table" and index or nil
end

-- What it inherits from tables counts like its own.
local function check_names(given, rules, more_rules, level)
    for _ = 1, INHERITED_MAX do
        for name in next, given do
            if not rules[name] and not (more_rules and more_rules[name]) then
                refuse_name(name, level + 1)
            end
        end
        given = parent_of(given)
        if not given then
            return
        end
    end
end

-- Read once, since what is inherited may be another value each time.
local function read(given, name, rules, defaults, level)
    local value = given[name]
    if value == nil then
        return defaults[name]
    elseif not rules[name].is(value) then
        fail(level + 1, "option %q must be %s", name, rules[name].text)
    end
    return value
end

local function read_all(given, rules, defaults, level)
    local values = {}
    for name in pairs(rules) do
        values[name] = read(given, name, rules, defaults, level + 1)
    end
    return values
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
    return setmetatable({ nodes = { given } }, { __index = opts })
end

--- Checks what redlock.new() was given.
-- @treturn table every client option, and `terms`
function options.client(given, opts, level)
    given = gather(given, opts, level)
    check_names(given, client_rules, term_rules, level)
    local settings = read_all(given, client_rules, client_defaults, level)
    settings.terms = read_all(given, term_rules, term_defaults, level)
    if settings.nodes == nil then
        fail(level, 'option "nodes" is missing')
    end
    local missing = settings.host and hosts.missing(settings.host)
    if missing then
        fail(level, "host %q: %s", settings.host, missing)
    end
    return settings
end

--- Checks the options of a lock or an acquire, over those that hold already.
-- @tparam[opt] table last terms that were checked before, to be given again if these say the same
-- @treturn table every term
function options.terms(given, defaults, level, last)
    if given == nil then
        return defaults
    elseif type(given) ~= "table" then
        fail(level, "options must be a table, not %s", type(given))
    end
    check_names(given, term_rules, nil, level)
    -- What read_all() would do, for a call that is made for every lock.
    local ttl = read(given, "ttl", term_rules, defaults, level)
    local wait = read(given, "wait", term_rules, defaults, level)
    local max_hold = read(given, "max_hold", term_rules, defaults, level)
    local renew = read(given, "renew", term_rules, defaults, level)
    local fair = read(given, "fair", term_rules, defaults, level)
    local cohort = read(given, "cohort", term_rules, defaults, level)
    local detach = read(given, "detach", term_rules, defaults, level)
    local at_least = read(given, "at_least", term_rules, defaults, level)
    if last and last.ttl == ttl and last.wait == wait and last.max_hold == max_hold
        and last.renew == renew and last.fair == fair and last.cohort == cohort
        and last.detach == detach and last.at_least == at_least
    then
        return last
    end
    return {
        ttl = ttl, wait = wait, max_hold = max_hold, renew = renew, fair = fair, cohort = cohort,
        detach = detach, at_least = at_least,
    }
end

-- Options of a call, that are no options of a client or a lock.

local any_function = {
    text = "a function",
    is = function(value)
        return type(value) == "function"
    end,
}

local count = {
    text = "a whole number of at least 1",
    is = function(value)
        return is_number(value) and value >= 1 and value % 1 == 0
    end,
}

local of_eviction = { token = text, any_type = boolean }

local of_walk = {
    all = boolean,
    timeout = seconds(0.001, math.huge),
    limit = count,
    progress = any_function,
}

local walk_defaults = { all = false, timeout = 60, limit = 100000 }

local function check_call(given, rules, defaults, level)
    if given ~= nil and type(given) ~= "table" then
        fail(level + 1, "options must be a table, not %s", type(given))
    end
    check_names(given or {}, rules, nil, level + 1)
    return (read_all(given or {}, rules, defaults, level + 1)) -- no tail call: it would hide a level
end

--- Checks what break_lock() was given.
-- @treturn table `token`, `any_type`
function options.eviction(given, level)
    return (check_call(given, of_eviction, {}, level)) -- no tail call: it would hide a level
end

--- Checks what list() was given.
-- @treturn table `pattern`, `all`, `timeout`, `limit`, `progress`
function options.walk(pattern, given, level)
    if pattern ~= nil and (type(pattern) ~= "string" or #pattern > NAME_MAX) then
        fail(level, "a pattern must be a string of at most %d bytes", NAME_MAX)
    end
    local checked = check_call(given, of_walk, walk_defaults, level)
    checked.pattern = pattern or "*"
    return checked
end

--- Checks a lease in seconds.
function options.ttl(value, level)
    if not term_rules.ttl.is(value) then
        fail(level, "ttl must be %s", term_rules.ttl.text)
    end
end

-- What wire.c makes of another lock's name: "{name}:fence", or "name:fence" if the name has a tag.
local side_suffixes = { [":fence"] = true, [":queue"] = true, [":claim"] = true }

local function is_side_key(key)
    return side_suffixes[key:sub(-6)] and key:find "{[^}]+}" ~= nil
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
