--- redlock list [PATTERN]
-- @module redlock.command.list
-- @local

local connection = require "redlock.command.connection"
local consoles = require "redlock.console"
local exits = require "redlock.command.exits"
local figures = require "redlock.command.figures"
local json = require "redlock.command.json"
local listing = require "redlock.command.listing"
local options = require "redlock.options"
local progress = require "redlock.command.progress"
local system = require "redlock.command.system"
local terminal = require "redlock.command.terminal"
local watch = require "redlock.command.watch"

local list = {
    name = "list",
    summary = "list the locks that are held",
    synopsis = "[PATTERN] [OPTION...]",
    words = { least = 0, most = 1 },
    connects = true,
    about = [[
Lists the locks that stand on the nodes: their names, on how many nodes they
stand, who holds them for how long, what is left of the lease, how many wait,
the beginning of the token, and the fence; on a narrow terminal fewer of these.
In PATTERN * stands for any text, ? for any character, [abc] for one of these;
quote it, lest the shell takes it for its own. With a prefix, names are shown
without it, and no others.

The nodes are walked through bit by bit (SCAN), which takes as long as they have
keys, and disturbs nobody. A lock that is acquired or released meanwhile may be
missed. Where the votes are fewer than a majority, nobody holds the lock.

With --watch it is drawn anew in place; q ends it, s sorts by another column.
Hand-overs are counted by the fence: from one look to the next at most one is
seen, and > stands before a number that may be larger.]],
    options = {
        { long = "watch", short = "w", help = "look again and again, until q or Ctrl-C" },
        {
            long = "every", value = "DURATION", kind = "period",
            help = "with --watch: how long from one look to the next", default = "2s",
        },
        {
            long = "sort", value = "COLUMN", kind = "order",
            help = "name, holder, votes, age, lease, waiters or handovers", default = "name",
        },
        {
            long = "all", short = "a",
            help = "locks of other libraries, too: whatever is a text that ends by itself",
        },
        {
            long = "limit", value = "NUMBER", kind = "count",
            help = "no more locks than that: those that are met first, before they are sorted",
            default = "100000",
        },
        {
            long = "json",
            help = "one JSON object instead of text; with --watch, one a look. What is no UTF-8 "
                .. "stands in hexadecimal, too, as name_hex beside name",
        },
    },
    exits = {
        { 0, "this is all" },
        { 1, "not all nodes were read to the end, or there are more locks than --limit" },
        { 69, "no node has answered" },
    },
    examples = {
        { "the locks of the jobs", "redlock list 'job:*'" },
        { "which are contended", "redlock list --watch --every 1s --sort waiters" },
        { "for a program", "redlock list --json | jq -r '.locks[].name'" },
    },
}

local reasons = {
    timeout = "it takes too long", limit = "there are more than --limit", stopped = "interrupted",
}

-- What keeps a list from being whole, in a few words; nil if nothing does.
local function doubt(walk)
    local parts = {}
    parts[1] = not walk.complete and reasons[walk.why] or nil
    for _, node in ipairs(walk.nodes) do
        if node.error then
            parts[#parts + 1] = ("%s: %s"):format(node.node, terminal.printable(node.error))
        end
    end
    return parts[1] and "this is not all: " .. table.concat(parts, "; ")
end

local function show_text(call, locks, nodes)
    local output = call.output
    local head, lines = listing.lines(locks, nodes, output:width(), false)
    if not lines[1] then
        output:write "no locks\n"
        return
    end
    output:write(output:paint("bold", head), "\n", table.concat(lines, "\n"), "\n")
end

local function show(call, locks, nodes, trouble)
    if call.values.json then
        call.output:write(json.write {
            locks = listing.objects(locks), nodes = nodes, complete = not trouble,
            trouble = trouble,
        }, "\n")
    else
        show_text(call, locks, nodes)
    end
    if trouble then
        call.errors:write(call.errors:paint("yellow", "redlock list: "), trouble, "\n")
    end
end

-- Looks once.
local function list_once(call, lister, nodes)
    local shown = progress.new(call.errors)
    local locks, walk, code = lister(function(state)
        shown:show(("%s so far, %s to go"):format(figures.count(state.locks, "lock"),
            figures.count(state.nodes, "node")))
    end)
    shown:clear()
    if not locks then
        exits.fail(exits.of(code), walk, "Try: redlock doctor")
    end
    listing.sort(locks, call.values.sort or "name")
    local trouble = doubt(walk)
    show(call, locks, nodes, trouble)
    return trouble and 1 or exits.OK
end

local function list_often(call, lister, nodes)
    local signal = watch.run {
        output = call.output,
        json = call.values.json,
        seconds = call.values.every or 2,
        order = call.values.sort or "name",
        nodes = nodes,
        list = lister,
        doubt = doubt,
    }
    if signal then
        system.obey(signal)
    end
end

function list.run(call)
    local values = call.values
    local ok, problem = pcall(options.walk, call.words[1], nil, 1)
    if not ok then
        exits.misuse(problem)
    end
    local client = connection.open(call, { host = "blocking" })
    local nodes = #consoles.all(client, 1)
    local function lister(tell)
        return client:list(call.words[1] or "*", {
            all = values.all, limit = values.limit, progress = tell,
        })
    end
    if values.watch or values.every then
        return list_often(call, lister, nodes)
    end
    return list_once(call, lister, nodes)
end

return list
