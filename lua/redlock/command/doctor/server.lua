--- What a server says of itself by INFO and CONFIG, judged.
-- @module redlock.command.doctor.server
-- @local

local figures = require "redlock.command.figures"

local server = {}

local LEAST_VERSION = 5
local FULL = 0.8 -- of maxmemory or maxclients: from here on it is near
local REPLAYS_AS_USER = 7 -- since this version the append-only file is read as the default user

local function number(fields, name)
    return tonumber(fields[name])
end

-- A setting that INFO does not tell, or not in this version; or nil and why it is not known.
local function setting(console, name)
    local reply, message = console:ask("CONFIG", "GET", name)
    if type(reply) == "table" and type(reply[2]) == "string" then
        return reply[2]
    end
    return nil, message or "no such setting"
end

local function version(list, fields)
    local text = fields.redis_version
    local major = text and tonumber(text:match "^%d+")
    local name = "Redis"
    if fields.valkey_version then
        name, text = "Valkey", fields.valkey_version
    end
    if not major then
        list:unknown("version", { advice = "is this a Redis server?" },
            "INFO does not say which version it is")
    elseif major < LEAST_VERSION then
        list:problem("version", { version = text, advice = "upgrade it" },
            "%s %s is too old: the scripts need Redis %d or later", name, text, LEAST_VERSION)
    else
        list:fine("version", { version = text }, "%s %s", name, text)
    end
end

local function role(list, fields)
    local replicas = number(fields, "connected_slaves") or 0
    if fields.redis_mode == "sentinel" then
        list:problem("role", { advice = "name the server that it watches" },
            "this is a Sentinel, which keeps no locks")
    elseif fields.role == "slave" then
        list:problem("role", {
            advice = "name independent masters only; or make it one: REPLICAOF NO ONE",
        }, "a replica, of %s:%s: it takes no locks", fields.master_host, fields.master_port)
    elseif fields.role ~= "master" then
        list:unknown("role", nil, "INFO does not say whether it is a master or a replica")
    elseif replicas > 0 then
        list:note("role", { advice = "let no replica take over by itself" },
            "a master with %s: one that takes over may not know every lock",
            figures.count(replicas, "replica"))
    else
        list:fine("role", nil, "a master")
    end
end

local function cluster(list, fields)
    if fields.cluster_enabled == "1" then
        list:problem("cluster", { advice = "use single servers: cluster-enabled no" },
            "it runs in cluster mode: it refuses the locks of other slots")
    elseif fields.cluster_enabled == "0" then
        list:fine("cluster", nil, "no cluster")
    end
end

-- Whether each write is on disk before it is answered; nil, and why, if that cannot be told.
local function logs_always(console, fields)
    if fields.aof_enabled ~= "1" then
        return false, "appendonly no"
    end
    local fsync, message = setting(console, "appendfsync")
    if not fsync then
        return nil, message
    end
    return fsync == "always", "appendfsync " .. fsync
end

local AFTER_RESTART = "appendonly yes and appendfsync always; without them, let the longest lease "
    .. "pass after a restart before the node serves again"

-- With several nodes the guard covers a restart; with one nobody can tell what was forgotten.
local function persistence(list, console, fields, terms)
    if terms.nodes > 1 and terms.guard > 0 then
        list:fine("persistence", nil, fields.aof_enabled == "1" and "an append-only file"
            or "no append-only file, but the restart guard")
        return
    end
    local always, how = logs_always(console, fields)
    local why = terms.nodes > 1 and "the restart guard is off"
        or "a single node has no restart guard"
    if always then
        list:fine("persistence", nil, how)
    elseif always == nil then
        list:unknown("persistence", {
            advice = "let this user +config|get; or see yourself that it is always",
        }, "%s, and appendfsync cannot be read: %s", why, how)
    else
        list:warning("persistence", { advice = AFTER_RESTART },
            "%s, and with %s a restart forgets locks that are held", why, how)
    end
end

-- By the reply of ACL GETUSER, which names keys as a list before Redis 7.
local function may_write_all(reply)
    local fields = {}
    for index = 1, #reply, 2 do
        fields[reply[index]] = reply[index + 1]
    end
    local keys = fields.keys
    local has_keys = keys == "~*" or (type(keys) == "table" and keys[1] == "*")
    return has_keys and tostring(fields.commands):find("+@all", 1, true) ~= nil
end

local REPLAY_ADVICE = "ACL SETUSER default off ~* &* +@all: nobody can log in as it, and it keeps "
    .. "its rights"

-- Redis 7 replays what scripts wrote as the default user.
local function replay(list, console, fields)
    local major = tonumber((fields.redis_version or ""):match "^%d+")
    if fields.aof_enabled ~= "1" or not major or major < REPLAYS_AS_USER then
        return
    end
    local reply, message = console:ask("ACL", "GETUSER", "default")
    if type(reply) ~= "table" then
        list:unknown("replay", {
            advice = "let this user +acl|getuser; or see yourself: user default off ~* &* +@all",
        }, "whether the append-only file is read back whole depends on the default user's rights, "
            .. "which cannot be read: %s", message or "there is no such user")
    elseif may_write_all(reply) then
        list:fine("replay", nil, "the append-only file is read back whole")
    else
        list:problem("replay", { advice = REPLAY_ADVICE },
            "the append-only file is read back as the default user, who has too few rights: a "
            .. "restart forgets locks and fences")
    end
end

local function evictions(fields)
    local count = number(fields, "evicted_keys") or 0
    return count > 0 and figures.count(count, "key") .. " evicted so far" or "none evicted so far"
end

local KEEP = "CONFIG SET maxmemory-policy noeviction, and the same in its configuration file"

local function memory(list, fields)
    local limit, used = number(fields, "maxmemory"), number(fields, "used_memory")
    local policy = fields.maxmemory_policy
    if not limit or not used or not policy then
        list:unknown("memory", nil, "INFO does not say how memory is limited")
        return
    end
    local more = { maxmemory = limit, used_memory = used, policy = policy }
    local share = limit > 0 and used / limit or 0
    local shown = ("%s of %s used"):format(figures.bytes(used), figures.bytes(limit))
    if policy ~= "noeviction" then
        more.advice = KEEP
        if limit > 0 then
            list:problem("memory", more,
                "maxmemory-policy %s may evict a lock that is held: %s, %s", policy, shown,
                evictions(fields))
        else
            list:note("memory", more,
                "maxmemory-policy %s would evict locks, if there were a maxmemory", policy)
        end
    elseif share >= FULL then
        more.advice = "raise maxmemory; or see what fills it: redis-cli --bigkeys"
        list[share >= 1 and "problem" or "warning"](list, "memory", more,
            "%s: without room no lock can be acquired", shown)
    elseif limit > 0 then
        list:fine("memory", more, "%s, noeviction", shown)
    else
        list:fine("memory", more, "%s used, without a limit", figures.bytes(used))
    end
end

local function clients(list, console, fields)
    local connected = number(fields, "connected_clients")
    local most = number(fields, "maxclients") or tonumber((setting(console, "maxclients")))
    if not connected or not most then
        list:unknown("clients", {
            advice = "let this user +config|get; or look at maxclients yourself",
        }, "how many clients it takes cannot be read")
        return
    end
    local more = { connected = connected, maxclients = most }
    if connected >= FULL * most then
        more.advice = "raise maxclients; or see who they are: CLIENT LIST"
        list:warning("clients", more, "%d of %d clients: soon nobody else is let in", connected,
            most)
    else
        list:fine("clients", more, "%d of %d clients", connected, most)
    end
end

local function disk(list, fields)
    if fields.aof_last_write_status == "err" then
        list:problem("disk", { advice = "see its log, and the room on its disk" },
            "the append-only file cannot be written: it refuses locks")
    elseif fields.loading == "1" then
        list:problem("disk", { advice = "wait; INFO persistence says how far it is" },
            "it still loads its data, and refuses locks")
    end
end

--- Which error replies what INFO said explains already, by their first word.
-- @tparam table fields of INFO
-- @treturn table word -> true
function server.explains(fields)
    local limit, used = number(fields, "maxmemory") or 0, number(fields, "used_memory") or 0
    local is_cluster = fields.cluster_enabled == "1"
    return {
        READONLY = fields.role == "slave",
        MOVED = is_cluster,
        CLUSTERDOWN = is_cluster,
        LOADING = fields.loading == "1",
        MISCONF = fields.aof_last_write_status == "err",
        OOM = limit > 0 and used >= FULL * limit,
    }
end

--- Judges what INFO said.
-- @tparam List list of findings
-- @tparam Console console
-- @tparam table fields of INFO
-- @tparam table terms how many `nodes` there are, and `guard`, in seconds
function server.judge(list, console, fields, terms)
    version(list, fields)
    role(list, fields)
    cluster(list, fields)
    disk(list, fields)
    persistence(list, console, fields, terms)
    replay(list, console, fields)
    memory(list, fields)
    clients(list, console, fields)
end

return server
