--- The examination: each node, then all of them together, and the clocks from beginning to end.
-- @module redlock.command.doctor.examination
-- @local

local consoles = require "redlock.console"
local core = require "redlock.core"
local clock = require "redlock.command.doctor.clock"
local findings = require "redlock.command.doctor.findings"
local rights = require "redlock.command.doctor.rights"
local scratch = require "redlock.command.scratch"
local server = require "redlock.command.doctor.server"
local set = require "redlock.command.doctor.set"
local system = require "redlock.command.system"
local traffic = require "redlock.command.doctor.traffic"
local transport = require "redlock.command.doctor.transport"

local examination = {}

local function lost(node, message)
    node.reached = false
    node.findings:problem("reachable", { advice = transport.advice(message) },
        "the connection was lost: %s", message)
end

local function read_info(node, terms)
    local fields, message, refused = node.console:info()
    if fields then
        node.fields = fields
        node.uptime = tonumber(fields.uptime_in_seconds)
        server.judge(node.findings, node.console, fields, terms)
    elseif refused then
        node.findings:unknown("INFO", {
            advice = "let this user +info; or run this as one who may",
        }, "version, role, cluster, persistence, memory, clients and uptime: %s", message)
    end
    return fields or refused, message
end

-- True, or nil and what became of the connection.
local function examine(node, plan)
    local list, console = node.findings, node.console
    local timeout = plan.settings.timeout
    local ok, message = traffic.round_trips(list, console, plan.scratch.key, timeout)
    if not ok then
        return nil, message
    end
    node.sample, message = clock.sample(console)
    if not node.sample then
        list:unknown("clock", { advice = "let this user +time; or +info on Redis 6.2 and later" },
            "what its clock shows, and how fast it runs: %s", message)
    end
    ok, message = read_info(node, plan.terms)
    if ok then
        plan.scratch.explained = node.fields and server.explains(node.fields) or {}
        ok, message = rights.judge(list, console, plan.scratch)
    end
    if ok then
        traffic.notification(list, console, node.ear, plan.scratch.channel)
        traffic.scripts(list, console)
        local offset = node.sample and node.sample.offset or 0
        traffic.slow_log(list, console, core.wall_clock() + offset, timeout)
    end
    return ok, message
end

local function visit(node, plan)
    node.reached = transport.judge(node.findings, node.console, plan.settings.tls_verify)
    if node.reached then
        local ok, message = examine(node, plan)
        if not ok then
            lost(node, message)
        end
    end
end

-- Waits until a clock that drifts shows it, and looks again.
local function watch_clocks(nodes, plan)
    for _, node in ipairs(nodes) do
        while node.sample and core.clock() - node.sample.at < plan.seconds and not plan.ended() do
            plan.tell(("watching the clocks: %.0f s"):format(
                plan.seconds - (core.clock() - node.sample.at)))
            system.sleep(0.1)
        end
        local second = node.sample and node.reached and clock.sample(node.console)
        if second then
            clock.judge_rate(node.findings, node.sample, second, plan.settings.drift_factor)
        end
    end
end

local function make_nodes(client, timeout)
    local ears, nodes = consoles.all(client, timeout), {}
    for index, console in ipairs(consoles.all(client, timeout)) do
        nodes[index] = {
            name = console.name, console = console, ear = ears[index], findings = findings.new(),
        }
    end
    return nodes
end

local function clean(nodes, prefix, name)
    local lines = {}
    for _, node in ipairs(nodes) do
        lines[#lines + 1] = node.reached and node.console or nil
        node.ear:close()
    end
    scratch.clean(lines, prefix, { name })
end

--- Examines the nodes of a client.
-- @tparam redlock.Client client
-- @tparam table settings of it: `prefix`, `tls_verify`, `drift_factor`; `timeout`, `ttl` and `guard` in
-- seconds
-- @tparam number seconds how long the clocks are watched
-- @tparam function tell is called now and then with what goes on
-- @tparam function ended says whether the rest is not wanted any more
-- @treturn table `nodes`, each with `name` and `findings`; and `set`, the findings about all of them
function examination.run(client, settings, seconds, tell, ended)
    local name = scratch.names("doctor", 1)[1]
    local nodes = make_nodes(client, settings.timeout)
    local plan = {
        settings = settings,
        seconds = seconds,
        tell = tell,
        ended = ended,
        terms = { nodes = #nodes, guard = settings.guard },
        scratch = {
            prefix = settings.prefix, key = settings.prefix .. name, channel = "redlock:" .. name,
        },
    }
    for index, node in ipairs(nodes) do
        if ended() then
            break
        end
        tell(("node %d of %d: %s"):format(index, #nodes, node.name))
        visit(node, plan)
    end
    local all = findings.new()
    set.judge(all, nodes, settings)
    clock.judge_offsets(nodes, all)
    if set.has_majority(nodes) then
        tell "acquiring a lock"
        set.try_lock(all, client, name, settings.ttl)
    end
    watch_clocks(nodes, plan)
    clean(nodes, settings.prefix, name)
    return { nodes = nodes, set = all }
end

return examination
