--- Whether the user may do what the library does: each command is really run, on the keys of a scratch
-- name. ACL DRYRUN would do without keys, but few users may ask it.
-- @module redlock.command.doctor.rights
-- @local

local consoles = require "redlock.console"
local figures = require "redlock.command.figures"

local rights = {}

local NO_SCRIPT = ("0"):rep(40) -- no script has this SHA1
local LIFE_MS = "2000"
--- What the library needs, as the rule for an ACL names it: the word, and the command.
-- @tparam string key of a lock
-- @tparam string channel
-- @treturn {{string,{string,...}},...}
function rights.needed(key, channel)
    local fence, queue = consoles.side_key(key, "fence"), consoles.side_key(key, "queue")
    local claim = consoles.side_key(key, "claim")
    return {
        { "eval", { "EVAL", "return 1", "2", key, fence } },
        { "evalsha", { "EVALSHA", NO_SCRIPT, "2", key, queue } },
        { "set", { "SET", key, "doctor", "PX", LIFE_MS } },
        { "set", { "SET", fence, "1", "PX", LIFE_MS } },
        { "set", { "SET", claim, "doctor", "PX", LIFE_MS } },
        { "get", { "GET", key } },
        { "getrange", { "GETRANGE", fence, "0", "16" } },
        { "mget", { "MGET", fence, claim } },
        { "exists", { "EXISTS", key, fence } },
        { "pttl", { "PTTL", key } },
        { "expire", { "EXPIRE", fence, "2" } },
        { "zadd", { "ZADD", queue, "1", "doctor/1" } },
        { "pexpire", { "PEXPIRE", queue, LIFE_MS } },
        { "zcard", { "ZCARD", queue } },
        { "zrem", { "ZREM", queue, "doctor/2" } },
        { "zpopmin", { "ZPOPMIN", queue } },
        { "del", { "DEL", key, fence, claim, queue } },
        { "publish", { "PUBLISH", channel, "0 0 doctor" } },
        { "scan", { "SCAN", "0", "COUNT", "1" } },
        { "info", { "INFO", "server" } },
        { "client|setname", { "CLIENT", "SETNAME", "redlock-doctor" } },
    }
end

local function refusal(message)
    local lower = message:lower()
    local permission = message:find "^NOPERM" or lower:find("can't run this command", 1, true)
    if not permission then
        return "other"
    elseif lower:find("channel", 1, true) then
        return "channel"
    elseif lower:find("to access one", 1, true) or lower:find("a key", 1, true)
        or lower:find("the keys", 1, true) then
        return "key"
    end
    return "command"
end

-- What was refused, sorted by why.
local function sort_answers(needed, answers)
    local found = { command = {}, key = {}, channel = {}, other = {} }
    local seen = {}
    for index, answer in ipairs(answers) do
        local name, message = needed[index][1], answer.error
        if message and not (name == "evalsha" and message:find "^NOSCRIPT") then
            local why = refusal(message)
            local shown = why == "other" and message or name
            if not seen[shown] then
                found[why][#found[why] + 1] = shown
            end
            seen[shown] = true
        end
    end
    return found
end

-- Without these the library works, and lacks something.
local optional = {
    ["scan"] = { "note", "locks cannot be listed" },
    ["getrange"] = { "note", "locks cannot be listed" },
    ["info"] = { "warning", "there is no restart guard" },
    ["client|setname"] = { "note", "CLIENT LIST does not say who the connections are" },
}

local function grant(rule)
    return "ACL SETUSER (this user) " .. rule
end

local function report_commands(list, commands)
    local missing = {}
    for _, name in ipairs(commands) do
        local lesser = optional[name]
        if lesser then
            list[lesser[1]](list, "rights", { advice = grant("+" .. name), missing = { name } },
                "this user may not %s: %s", name:upper():gsub("|", " "), lesser[2])
        else
            missing[#missing + 1] = name
        end
    end
    if missing[1] then
        list:problem("rights", {
            advice = grant("+" .. table.concat(missing, " +")), missing = missing,
        }, "this user may not %s", figures.list(missing):upper():gsub(" AND ", " and "))
    end
end

local function report(list, found, scratch, count)
    local prefix = scratch.prefix
    report_commands(list, found.command)
    if found.key[1] then
        local keys = prefix == "" and "~*" or ("~%s* ~{%s*"):format(prefix, prefix)
        local which = prefix == "" and "of every name"
            or ("that begin with %s or {%s"):format(prefix, prefix)
        list:problem("keys", {
            advice = grant(keys) .. "; or name the prefix that it may use: --prefix",
        }, "this user may not use keys %s", which)
    end
    if found.channel[1] then
        list:problem("channels", { advice = grant "&redlock:*" },
            "this user may not use the channels redlock:*, so waiters are not woken")
    end
    for _, message in ipairs(found.other) do
        if not scratch.explained[message:match "^%u+"] then
            list:problem("commands", { advice = "see the server's log" }, "it refuses: %s", message)
        end
    end
    if not (found.command[1] or found.key[1] or found.channel[1] or found.other[1]) then
        list:fine("rights", nil, "this user may do all that is needed (%d commands)", count)
    end
end

local function count_names(needed)
    local seen, count = {}, 0
    for _, pair in ipairs(needed) do
        count = count + (seen[pair[1]] and 0 or 1)
        seen[pair[1]] = true
    end
    return count
end

--- Runs every command that the library needs, on a name of its own.
-- @tparam List list of findings
-- @tparam Console console
-- @tparam table scratch `prefix`, `key` and `channel`; `explained`, see server.explains()
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string what became of the connection
function rights.judge(list, console, scratch)
    local needed, commands = rights.needed(scratch.key, scratch.channel), {}
    for index, pair in ipairs(needed) do
        commands[index] = pair[2]
    end
    local answers, failure = console:ask_all(commands)
    if not answers then
        return nil, failure
    end
    report(list, sort_answers(needed, answers), scratch, count_names(needed))
    return true
end

return rights
