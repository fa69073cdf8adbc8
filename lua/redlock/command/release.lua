--- redlock release NAME
-- @module redlock.command.release
-- @local

local connection = require "redlock.command.connection"
local duration = require "redlock.command.duration"
local exits = require "redlock.command.exits"
local failure = require "redlock.failure"
local figures = require "redlock.command.figures"
local holder = require "redlock.command.holder"
local question = require "redlock.command.question"

local release = {
    name = "release",
    summary = "release a lock: one's own by its token, or another's by force",
    synopsis = "NAME (--token TOKEN | --force) [OPTION...]",
    words = { least = 1, most = 1 },
    connects = true,
    about = [[
With --token, releases the lock NAME if it is held under that token, as
redlock run gives it to its command in REDLOCK_TOKEN. A lock that --at-least
keeps beyond its command's end is released, too.

With --force, shows who holds it, asks, and takes it away from that one; if
another holds it by then, nothing is done. The one who held it is not told: it
learns of it at its next renewal, after a third of the lease, and until then it
goes on as if it had the lock. So end its program first. If that cannot be done,
let whatever it writes to refuse its fence: the fence stays on the nodes, and the
next one who holds the lock has a higher one.

The one who has waited the longest is woken.]],
    options = {
        {
            long = "token", value = "TOKEN", secret = true,
            help = "the token under which it is held; -: it is read from standard input, where "
                .. "other users of this machine do not see it",
        },
        { long = "force", help = "whoever holds it" },
        { long = "yes", short = "y", help = "with --force: do not ask" },
        {
            long = "any-type",
            help = "with --force: also if the key is no text, such as a lock of Redisson",
        },
    },
    exits = {
        { 0, "it was released" },
        { 1, "the question was not answered with yes" },
        { 64, "this command line is wrong, or there is no terminal to ask at" },
        { 69, "too few nodes have answered" },
        { 75, "another kind of lock stands there: --any-type" },
        { 76, "it was not held, or not under that token" },
    },
    examples = {
        { "one's own", 'redlock release job --token "$REDLOCK_TOKEN"' },
        { "another's, whose machine is gone", "redlock release job --force" },
    },
}

local function check(values)
    if (values.token ~= nil) == (values.force == true) then
        exits.fail(exits.USAGE, "either --token TOKEN or --force",
            "Try: redlock release --help")
    elseif values.token and (values.yes or values.any_type) then
        exits.fail(exits.USAGE, "--yes and --any-type go with --force")
    end
end

-- Misuse such as a name that is too long is the user's.
local function ask_library(method, client, ...)
    local results = { pcall(client[method], client, ...) }
    if not results[1] then
        exits.misuse(results[2])
    end
    return (table.unpack or unpack)(results, 2, 5)
end

local function fail(code, message)
    local hint = code == "unavailable" and "Try: redlock doctor"
        or code == "locked" and "It is no text: --any-type takes it away nevertheless"
    exits.tell(exits.of(code), message, hint or nil)
end

local function describe(nodes)
    local best, votes = holder.owner(nodes)
    local who = holder.describe(nodes)
    return ("held by %s, on %d of %s; its lease ends in %s"):format(who, votes,
        figures.count(#nodes, "node"), duration.format(best.ttl))
end

local function count_answers(nodes)
    local count = 0
    for _, node in ipairs(nodes) do
        count = count + (node.error and 0 or 1)
    end
    return count
end

-- Who is to lose it: the token that is shown now, so that nobody else does.
local function choose_victim(call, client, name)
    local nodes, message, code = ask_library("info", client, name)
    if not nodes then
        fail(code, message)
    end
    local quoted, best = failure.quote(name), holder.owner(nodes)
    local foreign, answered = holder.count_foreign(nodes), count_answers(nodes)
    if not best and foreign == 0 and answered <= #nodes / 2 then
        fail("unavailable", ("%s: %d of %d nodes have answered"):format(quoted, answered, #nodes))
    elseif not best and foreign == 0 then
        exits.tell(exits.LOST, ("nobody holds %s"):format(quoted))
    elseif not best and not call.values.any_type then
        fail("locked", ("%s is held by another kind of lock"):format(quoted))
    end
    call.errors:write(("%s is %s\n"):format(quoted, best and describe(nodes)
        or "held by another kind of lock, on " .. figures.count(foreign, "node")))
    return best and best.token
end

local function confirm(call)
    if call.values.yes then
        return true
    elseif not question.can_ask(call.errors) then
        exits.fail(exits.USAGE, "there is no terminal to ask at",
            "With --yes it is done without a question.")
    end
    return question.ask(call.errors, "Take it away?")
end

local function report(call, name, done)
    local fence = done.fence and (", its fence was %.0f"):format(done.fence) or ""
    call.output:write(("%s was released on %s%s\n"):format(failure.quote(name),
        figures.count(done.votes, "node"), fence))
end

function release.run(call)
    local values, name = call.values, call.words[1]
    check(values)
    local client = connection.open(call, { host = "blocking" })
    local token = values.token == "-" and (io.stdin:read "*l" or "") or values.token
    if values.force then
        token = choose_victim(call, client, name)
        if not confirm(call) then
            return 1
        end
    end
    local done, message, code = ask_library("break_lock", client, name, {
        token = token, any_type = values.any_type,
    })
    client:close()
    if not done then
        fail(code, message)
    end
    report(call, name, message)
end

return release
