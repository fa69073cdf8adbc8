--- Prints what bench/nginx.lua has measured, beside the goals.

local figures = require "figures"
local hardware = require "hardware"
local shell = require "shell"

local report = {}

local GOALS = {
    { nodes = 1, field = "requests_per_second", at_least = 2.5, what = "requests/s" },
    { nodes = 5, field = "requests_per_second", at_least = 6, what = "requests/s" },
    { nodes = 5, field = "redis_us", at_most = 0.25, what = "Redis CPU" },
}
local GOAL_CONNECTIONS = 128

--- The machine and the programs that were measured, in one line.
-- @treturn string
function report.machine()
    return table.concat({
        hardware.describe(),
        shell.output("nginx -v"):match("nginx/%S+"),
        "Redis " .. shell.output("redis-server --version"):match("v=(%S+)"),
        shell.output("wrk -v"):match("wrk %S+"),
    }, ", ")
end

local function label(row)
    local nodes = row.nodes == 1 and "1 node" or row.nodes .. " nodes"
    return ("%-7s %4d"):format(nodes, row.connections)
end

local RATIOS = "%-12s   %-20s %-20s %-20s %-20s %s"

local function print_ratios(rows)
    print("\n" .. RATIOS:format(
        "ours/by hand", "requests/s", "p50", "p99", "Redis CPU per lock",
        rows[1].of_ceiling and "of the ceiling" or ""))
    for _, row in ipairs(rows) do
        local ratios = row.ratios
        print(RATIOS:format(
            label(row), figures.show(ratios.requests_per_second), figures.show(ratios.p50),
            figures.show(ratios.p99), figures.show(ratios.redis_us),
            row.of_ceiling and figures.show(row.of_ceiling) or ""))
    end
end

local function print_contestant(name, medians)
    print(("%-21s %11.0f %9.0f %9.0f %12.0f %15s %16.1f"):format(
        name, medians.requests_per_second, medians.p50, medians.p99, medians.longest,
        medians.redis_us == 0 and "" or ("%.1f"):format(medians.redis_us), medians.worker_us))
end

local function print_figures(rows, unit)
    print(("\n%-21s %11s %9s %9s %12s %15s %16s"):format(
        "", unit, "p50, us", "p99, us", "longest, us", "Redis, us/lock", "worker, us/lock"))
    for index, row in ipairs(rows) do
        print_contestant(label(row) .. " ours", row.ours)
        print_contestant(label(row) .. " by hand", row.hand)
        local following = rows[index + 1]
        if row.none and not (following and following.connections == row.connections) then
            print_contestant(("no lock %4d"):format(row.connections), row.none)
        end
    end
end

local function print_goals(rows)
    for _, goal in ipairs(GOALS) do
        for _, row in ipairs(rows) do
            if row.nodes == goal.nodes and row.connections == GOAL_CONNECTIONS then
                local ratio = row.ratios[goal.field].median
                local met = goal.at_least and ratio >= goal.at_least
                    or goal.at_most and ratio <= goal.at_most
                print(("goal, %s, %s: %s %g: %.2f, %s"):format(
                    label(row), goal.what, goal.at_least and "at least" or "at most",
                    goal.at_least or goal.at_most, ratio, met and "met" or "MISSED"))
            end
        end
    end
end

--- Prints all: the ratios first, then what they are made of, then the goals.
-- @tparam {table,...} own rows of requests that want a lock of their own each
-- @tparam {table,...} shared rows of requests that all want the same
-- @tparam number rounds how many there were
-- @tparam number seconds of each run
function report.print(own, shared, rounds, seconds)
    print("\nEach request its own lock: acquire and release, one worker")
    print_ratios(own)
    print_figures(own, "requests/s")
    print("\nAll requests the one lock: each waits for its turn")
    print_ratios(shared)
    print_figures(shared, "handovers/s")
    print()
    print_goals(own)
    print(("Medians of %d rounds of %d s; in brackets the quartiles."):format(
        rounds, seconds))
end

return report
