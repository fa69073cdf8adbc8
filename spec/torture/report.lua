--- Prints what a verdict says: tables, figures, and what passed.

local faults = require "torture.faults"

local unpack = table.unpack or unpack

local report = {}

local SHOWN = 5 -- findings of a check that are printed

local function print_classes(verdict, write)
    write(("\n%-20s %5s %9s %6s %6s %9s  %s\n"):format(
        "fault", "times", "tenures", "lost", "stale", "recovery", "what is done"))
    for _, class in ipairs(faults) do
        local entry = verdict.classes[class.name]
        if entry then
            write(("%-20s %5d %9d %6d %6d %7.2f s  %s\n"):format(class.name, entry.times,
                entry.tenures, entry.lost, entry.stale, entry.recovery, class.what))
        end
    end
end

local function print_clients(verdict, write)
    local classes = {}
    for class in pairs(verdict.clients) do
        classes[#classes + 1] = class
    end
    table.sort(classes)
    write "\nclients       tenures\n"
    for _, class in ipairs(classes) do
        write(("%-12s %8d\n"):format(class, verdict.clients[class]))
    end
end

local function print_counts(verdict, write)
    local counts = verdict.counts
    local function line(words, ...)
        local numbers = { ... }
        for index, name in ipairs(numbers) do
            numbers[index] = counts[name]
        end
        write(words:format(unpack(numbers)) .. "\n")
    end
    write "\n"
    line("%d sections: %d tenures, %d acquires in vain", "sections", "tenures", "refused")
    line("%d tenures were lost, %d outlived 2.5 leases, %d were never finished (killed, aborted)",
        "lost", "outlived", "unfinished")
    line("the store accepted %d writes, and refused %d of late owners", "accepted", "stale")
    line("%d leases were passed on; %d locks were kept for a time, and others came",
        "passed_on", "kept")
    line("%d losses were told by an event loop; %d forks; %d queues of the dead were emptied",
        "told", "forks", "handed_over")
    line("packets: %d passed, %d lost, %d overtaken, %d came twice, %d changed", "packets passed",
        "packets lost", "packets late", "packets repeated", "packets changed")
    local titles = {}
    for title in pairs(verdict.outside) do
        titles[#titles + 1] = title
    end
    table.sort(titles)
    for _, title in ipairs(titles) do
        write(("%s: %d violations\n"):format(title, verdict.outside[title]))
    end
end

-- Answers whether it passed.
local function print_check(check, write)
    local count = #check.findings
    write(("%-4s %s%s\n"):format(
        count == 0 and "ok" or "FAIL", check.title, count > 0 and ": " .. count or ""))
    for index = 1, math.min(count, SHOWN) do
        write("       " .. check.findings[index] .. "\n")
    end
    return count == 0
end

--- Prints it.
-- @tparam Verdict verdict
-- @tparam number seed
-- @tparam function write
-- @treturn boolean whether all passed
function report.print(verdict, seed, write)
    local passed, failed = 0, 0
    print_classes(verdict, write)
    print_clients(verdict, write)
    print_counts(verdict, write)
    write "\n"
    for _, check in ipairs(verdict.order) do
        local ok = print_check(check, write)
        passed, failed = passed + (ok and 1 or 0), failed + (ok and 0 or 1)
    end
    write(("\nseed %d: %d passed, %d failed\n"):format(seed, passed, failed))
    return failed == 0
end

return report
