--- redlock info NAME
-- @module redlock.command.info
-- @local

local columns = require "redlock.command.columns"
local connection = require "redlock.command.connection"
local consoles = require "redlock.console"
local duration = require "redlock.command.duration"
local exits = require "redlock.command.exits"
local figures = require "redlock.command.figures"
local holder = require "redlock.command.holder"
local json = require "redlock.command.json"
local options = require "redlock.options"
local queue = require "redlock.command.queue"
local terminal = require "redlock.command.terminal"
local utf8 = require "redlock.command.utf8"

local INBOX_SHOWN = 8 -- characters behind "redlock:"

local info = {
    name = "info",
    summary = "show who holds a lock, node by node, and who waits for it",
    synopsis = "NAME [OPTION...]",
    words = { least = 1, most = 1 },
    connects = true,
    about = [[
Asks every node for the lock NAME, and changes nothing. Says who holds it, for
how long, and what is left of the lease; what each node has; and who waits for
it, in the order in which they are woken: their host and process, or, where
that is not told, the beginning of the inbox on which they are woken.

A token is a secret of the one who holds the lock, and is shown shortened. The
times for which somebody holds or waits are told by wall clocks.]],
    options = {
        { long = "full", help = "show the token in full, as redlock release --token takes it" },
        {
            long = "json",
            help = "one JSON object instead of text; what is no UTF-8 stands in hexadecimal, too, "
                .. "as name_hex beside name",
        },
    },
    exits = {
        { 0, "a majority of the nodes says that it is held" },
        { 1, "it is not held" },
        { 69, "too few nodes have answered to tell" },
    },
    examples = {
        { "who holds it", "redlock info nightly-report" },
        { "whether anybody does", "redlock info nightly-report >/dev/null && echo busy" },
    },
}

local function summarize(nodes)
    local best, votes = holder.owner(nodes)
    local answered, fence = 0, nil
    for _, node in ipairs(nodes) do
        answered = answered + (node.error and 0 or 1)
        if node.fence and (not fence or node.fence > fence) then
            fence = node.fence
        end
    end
    local needed = math.floor(#nodes / 2) + 1
    local is_held = votes >= needed
    local is_foreign = holder.count_foreign(nodes) >= needed
    -- Those who are silent could make it a majority.
    local is_open = answered < #nodes and votes + #nodes - answered >= needed
    local state = is_held and "held" or is_foreign and "foreign" or is_open and "unknown"
        or votes > 0 and "partly" or "free"
    return {
        best = best, votes = votes, answered = answered, fence = fence, needed = needed,
        state = state,
    }
end

local codes = {
    held = exits.OK, foreign = exits.OK, partly = 1, free = 1, unknown = exits.UNAVAILABLE,
}

-- ---- text ----

local function write_field(output, title, text)
    output:write(("  %-9s%s\n"):format(title, text))
end

local told = {
    foreign = "held by another kind of lock, such as one of Redisson",
    free = "nobody holds it",
    partly = "on too few nodes to be held: it is being acquired, or was not released everywhere",
    unknown = "cannot be told: too few nodes have answered",
}

local function write_summary(output, name, seen, count, full)
    output:write(output:paint("bold", terminal.printable(name)), "\n")
    local best = seen.best
    if seen.state ~= "held" then
        write_field(output, "state", told[seen.state])
    end
    if best then
        local who = best.holder and holder.name(best.holder) or "one who does not tell who it is"
        local since = best.age and ", for " .. duration.format(best.age) or ""
        write_field(output, seen.state == "held" and "held by" or "by", who .. since)
        write_field(output, "token", ("%s, on %d of %s"):format(holder.token(best.token, full),
            seen.votes, figures.count(count, "node")))
        write_field(output, "lease", duration.format(best.ttl) .. " left")
    end
    if seen.fence then
        write_field(output, "fence", ("%.0f"):format(seen.fence))
    end
end

local node_columns = {
    { title = "node", field = "node", shrinks = true },
    { title = "token", field = "token", shrinks = true },
    { title = "lease", field = "lease", right = true },
    { title = "fence", field = "fence", right = true, drop = 2 },
    { title = "waiters", field = "waiters", right = true, drop = 1 },
}

local function row_of(node, full)
    if node.error then
        return { node = node.node, token = node.error:match "^(.-) %(" or node.error }
    end
    return {
        node = node.node,
        token = node.token and holder.token(node.token, full) or "free",
        lease = node.token and duration.format(node.ttl) or "",
        fence = node.fence and ("%.0f"):format(node.fence) or "",
        waiters = ("%d"):format(node.waiters),
    }
end

local function write_rows(output, list, rows)
    local head, lines = columns.lay_out(list, rows, output:width())
    output:write("\n", output:paint("bold", head), "\n")
    for _, line in ipairs(lines) do
        output:write(line, "\n")
    end
end

local waiter_columns = {
    { title = "place", field = "place", right = true },
    { title = "waiter", field = "waiter", shrinks = true },
    { title = "waits", field = "waits", right = true },
    { title = "on nodes", field = "nodes", right = true },
    { title = "", field = "note", shrinks = true },
}

-- Who it is; else its inbox, shortened, and its number there.
local function name_waiter(entry)
    if entry.waiter then
        return holder.name(entry.waiter)
    end
    local inbox = utf8.cut(terminal.printable(entry.inbox:gsub("^redlock:", "")), INBOX_SHOWN)
    return inbox .. (entry.id and "/" .. entry.id or "")
end

local function count_waiters(nodes)
    local most = 0
    for _, node in ipairs(nodes) do
        most = math.max(most, node.waiters or 0)
    end
    return most
end

local function write_queue(output, nodes, waiters)
    local rows = {}
    for index, entry in ipairs(waiters) do
        rows[index] = {
            place = ("%d"):format(index),
            waiter = name_waiter(entry),
            waits = entry.waits and duration.format(entry.waits) or "",
            nodes = ("%d"):format(entry.nodes),
            note = entry.claims > 0 and "was told, and is to come" or "",
        }
    end
    if rows[1] then
        write_rows(output, waiter_columns, rows)
    end
    local more = count_waiters(nodes) - #rows
    if #rows >= queue.MOST and more > 0 then
        output:write(("... and %d more\n"):format(more))
    end
end

local function write_refusals(output, nodes, refused)
    local lead = "\n"
    for index, node in ipairs(nodes) do
        local text = node.error
        if not text and refused[index] and node.waiters > 0 then
            text = refused[index]
        end
        if text then
            output:write(("%s%s: %s\n"):format(lead, node.node, terminal.printable(text)))
            lead = ""
        end
    end
end

local function write_text(output, name, nodes, seen, waiters, refused, full)
    local rows = {}
    for index, node in ipairs(nodes) do
        rows[index] = row_of(node, full)
    end
    write_summary(output, name, seen, #nodes, full)
    write_rows(output, node_columns, rows)
    write_queue(output, nodes, waiters)
    write_refusals(output, nodes, refused)
end

-- ---- JSON ----

-- In full it is what it is, byte by byte.
local function token_of(node, full)
    return full and node.token or node.token and holder.token(node.token)
end

local function write_json(output, name, nodes, seen, waiters, refused, full)
    local best = seen.best or {}
    local list, queued = {}, {}
    for index, node in ipairs(nodes) do
        list[index] = {
            node = node.node, error = node.error, ttl = node.ttl, fence = node.fence,
            age = node.age,
            token = token_of(node, full), holder = node.holder,
            waiters = node.waiters,
            refused = (node.waiters or 0) > 0 and refused[index] or nil,
        }
    end
    for index, entry in ipairs(waiters) do
        queued[index] = {
            waiter = entry.waiter, inbox = entry.inbox, id = entry.id, nodes = entry.nodes,
            waits = entry.waits, told = entry.claims > 0,
        }
    end
    output:write(json.write {
        name = name, state = seen.state, votes = seen.votes, needed = seen.needed,
        token = token_of(best, full), holder = best.holder,
        age = best.age, ttl = best.ttl, fence = seen.fence, nodes = json.array(list),
        queue = json.array(queued),
    }, "\n")
end

function info.run(call)
    local name, full = call.words[1], call.values.full
    local client, settings = connection.open(call, { host = "blocking" })
    local ok, nodes, message, code = pcall(client.info, client, name)
    if not ok then
        exits.misuse(nodes)
    elseif not nodes then
        exits.fail(exits.of(code), message)
    end
    local timeout = options.client(settings, nil, 1).timeout
    local waiters, refused = queue.read(nodes, consoles.all(client, timeout), client.prefix .. name)
    client:close()
    local seen = summarize(nodes)
    if call.values.json then
        write_json(call.output, name, nodes, seen, waiters, refused, full)
    else
        write_text(call.output, name, nodes, seen, waiters, refused, full)
    end
    return codes[seen.state]
end

return info
