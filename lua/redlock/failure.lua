--- Failures as people read them in a log: the code first, then what happened, then each node's
-- reason.
-- @module redlock.failure
-- @local

local failure = {}

local NAME_SHOWN = 80 -- characters

-- What a terminal or a log would trip over is escaped.
local function escape(text, extra)
    return (text:gsub("[%c" .. extra .. "]", function(character)
        return ("\\x%02x"):format(character:byte())
    end))
end

--- Text that came from a server.
function failure.escape(text)
    return escape(text, "")
end

--- A lock's name in quotes.
function failure.quote(name)
    local shown = #name > NAME_SHOWN and name:sub(1, NAME_SHOWN) .. "..." or name
    return '"' .. escape(shown, '"\\') .. '"'
end

--- What a node said, or why it said nothing.
function failure.reason(vote)
    if vote.vote == "held" and vote.ttl then
        local limit = vote.ttl == math.huge and "without a limit" or ("for %.3g s"):format(vote.ttl)
        return "held " .. limit
    end
    return vote.text and ("%s (%s)"):format(vote.vote, escape(vote.text, "")) or vote.vote
end

local function reasons(votes)
    local list = {}
    for index, vote in ipairs(votes) do
        list[index] = vote.node .. " " .. failure.reason(vote)
    end
    return table.concat(list, "; ")
end

local function count(votes, is)
    local found = 0
    for _, vote in ipairs(votes) do
        found = found + (is(vote) and 1 or 0)
    end
    return found
end

local function is_answered(vote)
    return vote.answered
end

local function is_granted(vote)
    return vote.vote == "granted"
end

local explain = {}

function explain.locked(name, votes)
    return ("%s is held by another: %s"):format(name, reasons(votes))
end

function explain.timeout(name, votes, terms)
    return ("%s could not be had within %g s: %s"):format(name, terms.wait, reasons(votes))
end

function explain.unavailable(name, votes)
    local needed, answers = math.floor(#votes / 2) + 1, count(votes, is_answered)
    local verdict
    if answers < needed then
        verdict = ("%d of %d nodes answered, %d needed"):format(answers, #votes, needed)
    elseif count(votes, is_granted) < needed then
        verdict = "a majority answered, but did not agree"
    else
        verdict = "a majority answered, but too late for its lease"
    end
    return ("%s: %s: %s"):format(name, verdict, reasons(votes))
end

function explain.closed(name)
    return ("%s: the client was closed"):format(name)
end

local losses = {
    ["never held"] = "was not acquired",
    ["expired"] = "ran out of its lease",
    ["taken"] = "was taken by another",
    ["gone"] = "is gone from the nodes",
    ["being released"] = "is being released",
    ["released"] = "was released",
    ["another process"] = "belongs to the process that acquired it, not to its child",
}

--- The message of a lock that is no longer held.
-- @tparam string name
-- @tparam string status as core.status() gives it
function failure.lost(name, status)
    return ("lost: %s %s"):format(failure.quote(name), losses[status] or "is no longer held")
end

--- The message of an operation on a lock that failed.
-- @tparam string code
-- @tparam string name
-- @tparam table votes
-- @tparam table terms
-- @tparam[opt] string cause what happened, if it was not the nodes that decided
function failure.message(code, name, votes, terms, cause)
    local quoted = failure.quote(name)
    local text = cause and quoted .. ": " .. cause or explain[code](quoted, votes, terms)
    return code .. ": " .. text
end

return failure
