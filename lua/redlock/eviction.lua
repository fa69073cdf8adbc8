--- Takes a lock away from whoever holds it.
--
-- It looks first, and then takes away by the tokens that it saw: a request that is held up, or sent
-- again, can then hit nobody who acquired the lock later.
-- @module redlock.eviction
-- @local

local failure = require "redlock.failure"
local sighting = require "redlock.sighting"

local eviction = {}

local OTHER_KIND = "" -- in the place of a token

-- The tokens that were seen, each once; those on most nodes first.
local function tokens_of(votes)
    local counts, tokens = {}, {}
    for _, vote in ipairs(votes) do
        local token = vote.vote == "granted" and vote.text
        if token then
            if not counts[token] then
                tokens[#tokens + 1] = token
            end
            counts[token] = (counts[token] or 0) + 1
        end
    end
    table.sort(tokens, function(a, b)
        return counts[a] > counts[b] or (counts[a] == counts[b] and a < b)
    end)
    return tokens
end

local function is_other_kind(vote)
    return vote.vote == "held by another kind of lock"
end

local function count(list, is)
    local number = 0
    for _, element in ipairs(list) do
        number = number + (is(element) and 1 or 0)
    end
    return number
end

-- What stood on each node, to be completed by what became of it.
local function look(votes)
    local nodes = {}
    for index, vote in ipairs(votes) do
        nodes[index] = sighting.of(vote)
        nodes[index].evicted = false
    end
    return nodes
end

local function note(nodes, votes)
    for index, vote in ipairs(votes) do
        local node = nodes[index]
        if vote.vote == "granted" then
            node.evicted, node.error = true, nil
        elseif not vote.answered then
            node.error = failure.reason(vote)
        end
    end
end

local function has_answered(vote)
    return vote.answered
end

-- Of the nodes that were evicted from: by whom it was held.
local function report(nodes, token)
    local found = { votes = 0, token = token ~= OTHER_KIND and token or nil, nodes = nodes }
    for _, node in ipairs(nodes) do
        if node.evicted then
            found.votes = found.votes + 1
            if node.token == found.token then
                found.holder = found.holder or node.holder
                found.age = found.age or node.age
                found.fence = node.fence and math.max(found.fence or 0, node.fence) or found.fence
            end
        end
    end
    return found
end

local function explain(what, name)
    return ("%s: %s %s"):format(what.code, failure.quote(name), what.text)
end

local failures = {
    nobody = { code = "lost", text = "is held by nobody" },
    not_so = { code = "lost", text = "is not held by that token" },
    other_kind = { code = "locked", text = "is held by another kind of lock" },
    meanwhile = { code = "locked", text = "was taken by another meanwhile" },
}

local function fail(what, name, nodes)
    return nil, explain(failures[what], name), failures[what].code, nodes
end

-- Why nothing was taken away.
local function judge(seen, opts, tokens)
    if opts.token then
        return "not_so"
    elseif count(seen, is_other_kind) > 0 then
        return "other_kind"
    end
    return #tokens > 0 and "meanwhile" or "nobody"
end

--- Runs it.
-- @tparam table host
-- @param client its handle
-- @tparam string prefix
-- @tparam string name
-- @tparam table opts `token`, `any_type`
-- @return as Client:break_lock
function eviction.run(host, client, prefix, name, opts)
    local key = prefix .. name
    local result, seen, cause = host.inspect(client, key)
    if result ~= true then
        return nil, failure.message(result, name, seen, nil, cause), result, seen
    end
    local nodes, tokens = look(seen), opts.token and { opts.token } or tokens_of(seen)
    if opts.any_type and count(seen, is_other_kind) > 0 then
        tokens[#tokens + 1] = OTHER_KIND
    end
    local votes = seen
    for _, token in ipairs(tokens) do
        result, votes, cause = host.inspect(client, key, "break", token)
        if result ~= true then
            return nil, failure.message(result, name, votes, nil, cause), result, nodes
        end
        note(nodes, votes)
    end
    local found = report(nodes, tokens[1])
    if 2 * count(votes, has_answered) <= #votes then
        return nil, failure.message("unavailable", name, votes), "unavailable", nodes
    elseif found.votes == 0 then
        return fail(judge(seen, opts, tokens), name, nodes)
    end
    return true, found
end

return eviction
