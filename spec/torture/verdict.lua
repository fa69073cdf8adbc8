--- Adds up what acts have found, and says what passed.

local faults = require "torture.faults"
local judge = require "torture.judge"

local unpack = table.unpack or unpack

local verdict = {}

local Verdict = {}
Verdict.__index = Verdict

local SHOWN = 5 -- findings of a kind that are printed

local TITLES = {
    overlap = "one owner at a time",
    inversion = "a later owner has a higher fence",
    ["same fence"] = "no fence is given twice",
    ["same token"] = "no token is given twice",
    ["stale write"] = "the store takes no write of an earlier owner after one of a later",
    store = "the store refuses lower fences",
    told = "a loss is told once, and not while it is held",
}

function verdict.new()
    return setmetatable({
        checks = {}, order = {}, classes = {}, counts = {}, clients = {}, outside = {},
    }, Verdict)
end

-- One check, however many acts have it: it has failed if it failed once.
local function check(self, title, findings)
    local entry = self.checks[title]
    if not entry then
        entry = { title = title, findings = {}, times = 0 }
        self.checks[title] = entry
        self.order[#self.order + 1] = entry
    end
    entry.times = entry.times + 1
    for _, finding in ipairs(findings) do
        entry.findings[#entry.findings + 1] = finding
    end
end

function Verdict:fail(title, text)
    check(self, title, { text })
end

local function texts_of(findings)
    local texts = {}
    for index, finding in ipairs(findings) do
        texts[index] = finding.text
    end
    return texts
end

local function add_promises(self, result)
    local profile = result.profile
    for _, kind in ipairs(judge.kinds) do
        local findings = texts_of(result.report.findings[kind])
        if profile.promises[kind] then
            check(self, ("%s: %s"):format(profile.name, TITLES[kind]), findings)
        else
            local title = ("%s: not promised: %s"):format(profile.name, TITLES[kind])
            self.outside[title] = (self.outside[title] or 0) + #findings
        end
    end
end

local SAFE = 4 -- nodes of five: more than a majority by one

local function is_round_of(round, name)
    for _, class in ipairs(round.classes) do
        if class.name == name then
            return true
        end
    end
    return false
end

-- When one node loses its leases early, who stands on more than a majority is safe all the same.
local function add_steps(self, result)
    local counts = self.counts
    for _, round in ipairs(result.rounds) do
        local violations = {}
        local function is_within(section)
            return section.own >= round.from and section.own <= round.recovered
        end
        if is_round_of(round, "step-node") then
            for _, finding in ipairs(result.report.findings.overlap) do
                local is_safe = (finding.first.stands or 0) >= SAFE
                if is_safe and is_within(finding.second) then
                    violations[#violations + 1] = finding.text
                end
            end
            for _, section in ipairs(result.sections) do
                local is_safe = section.own and (section.stands or 0) >= SAFE and is_within(section)
                counts.safe = (counts.safe or 0) + (is_safe and 1 or 0)
            end
            check(self, "step-node: who stands on four nodes of five is alone", violations)
        end
    end
end

local function late_texts(result, classes)
    local texts = {}
    for _, client in ipairs(result.late) do
        texts[#texts + 1] = client .. " never owned anything"
    end
    for _, round in ipairs(result.rounds) do
        for _, client in ipairs(round.idle) do
            texts[#texts + 1] = ("%s, after %s"):format(client, classes(round))
        end
    end
    return texts
end

local function names_of(round)
    local names = {}
    for index, class in ipairs(round.classes) do
        names[index] = class.name
    end
    return table.concat(names, ", ")
end

local function add_class(self, class, round)
    local entry = self.classes[class.name]
        or { times = 0, tenures = 0, lost = 0, stale = 0, recovery = 0, missed = 0 }
    self.classes[class.name] = entry
    entry.times = entry.times + 1
    for _, name in ipairs(round.missed) do
        entry.missed = entry.missed + (name == class.name and 1 or 0)
    end
    entry.tenures = entry.tenures + round.tenures
    entry.lost, entry.stale = entry.lost + round.lost, entry.stale + round.stale
    entry.recovery = math.max(entry.recovery, (round.recovered - round.healed) / 1e9)
end

--- Adds an act.
function Verdict:add(result)
    local name = result.profile.name
    add_promises(self, result)
    add_steps(self, result)
    check(self, name .. ": everybody owns something soon after healing",
        late_texts(result, names_of))
    check(self, name .. ": no key outlives its time", result.keys)
    if result.profile.remembers then
        check(self, name .. ": no node forgets a fence", result.forgotten)
    end
    check(self, name .. ": no dead waiter stays in a queue", result.queues)
    check(self, name .. ": clients end in good order, and what they check holds", result.wrong)
    for _, round in ipairs(result.rounds) do
        for _, class in ipairs(round.classes) do
            add_class(self, class, round)
        end
    end
    for title, count in pairs(result.report.counts) do
        self.counts[title] = (self.counts[title] or 0) + count
    end
    for class, tenures in pairs(result.tenures) do
        self.clients[class] = (self.clients[class] or 0) + tenures
    end
    local counts = self.counts
    counts.forks = (counts.forks or 0) + result.forks
    counts.handed_over = (counts.handed_over or 0) + result.handed_over
    for _, kind in ipairs(judge.kinds) do
        counts[kind] = (counts[kind] or 0) + #result.report.findings[kind]
    end
end

local LOGGED = { "runtime error", "redlock:", "attempt to", "%[alert%].*signal 1[12467]" }

--- Looks for what nginx has logged and should not have.
function Verdict:take_log(world)
    if not world.nginx then
        return
    end
    local findings = {}
    for line in world.nginx:log():gmatch "[^\n]+" do
        for _, pattern in ipairs(LOGGED) do
            findings[#findings + 1] = line:find(pattern) and line or nil
        end
    end
    check(self, "nginx logs no error of Lua's", findings)
end

function Verdict:check_processes(left)
    check(self, "no process is left", left)
end

-- ---- that something was checked at all ----

local function expect(self, title, holds, text)
    check(self, title, holds and {} or { text })
end

local function has_run(self, ...)
    for _, name in ipairs { ... } do
        if self.classes[name] then
            return true
        end
    end
    return false
end

local function check_coverage(self)
    local counts = self.counts
    expect(self, "owners were compared", (counts.pairs or 0) > 0, "there were none")
    expect(self, "fences were compared", (counts.fences or 0) > 0, "there were none")
    expect(self, "the store was written to", (counts.accepted or 0) > 0, "never")
    expect(self, "renewed leases outlived 2.5 ttls", (counts.outlived or 0) > 0, "none did")
    if has_run(self, "stop-owner") then
        expect(self, "the store refused who was late", (counts.stale or 0) > 0, "nobody was")
    end
    if has_run(self, "kill-owner") then
        expect(self, "owners died owning", (counts.unfinished or 0) > 0, "none did")
    end
    if has_run(self, "fork") then
        expect(self, "owners forked", (counts.forks or 0) > 0, "none did")
    end
    if has_run(self, "forget-majority", "delete-locks", "flush-all") then
        expect(self, "outside the assumptions there were two owners",
            (counts.overlap or 0) > 0, "the judge saw none")
    end
    if has_run(self, "step-node") then
        expect(self, "step-node: some stood on four nodes", (counts.safe or 0) > 0, "nobody did")
    end
    if has_run(self, "forget-everything") then
        expect(self, "without any memory a fence fell", (counts.inversion or 0) > 0,
            "the judge saw none")
    end
    local missed = {}
    for _, class in ipairs(faults) do
        local entry = self.classes[class.name]
        local found_nothing = entry and entry.missed == entry.times
        missed[#missed + 1] = found_nothing and class.name .. " found nothing to do" or nil
    end
    check(self, "every fault was done", missed)
end

-- ---- printing ----

local function print_classes(self, write)
    write(("\n%-20s %5s %9s %6s %6s %9s  %s\n"):format(
        "fault", "times", "tenures", "lost", "stale", "recovery", "what is done"))
    for _, class in ipairs(faults) do
        local entry = self.classes[class.name]
        if entry then
            write(("%-20s %5d %9d %6d %6d %7.2f s  %s\n"):format(class.name, entry.times,
                entry.tenures, entry.lost, entry.stale, entry.recovery, class.what))
        end
    end
end

local function print_clients(self, write)
    local classes = {}
    for class in pairs(self.clients) do
        classes[#classes + 1] = class
    end
    table.sort(classes)
    write "\nclients       tenures\n"
    for _, class in ipairs(classes) do
        write(("%-12s %8d\n"):format(class, self.clients[class]))
    end
end

local function print_counts(self, write)
    local counts = self.counts
    local function line(words, ...)
        local numbers = { ... }
        for index, name in ipairs(numbers) do
            numbers[index] = counts[name] or 0
        end
        write(words:format(unpack(numbers)) .. "\n")
    end
    write "\n"
    line("%d sections: %d tenures, %d acquires in vain", "sections", "tenures", "refused")
    line("%d tenures were lost, %d outlived 2.5 leases, %d were never finished (killed, aborted)",
        "lost", "outlived", "unfinished")
    line("the store accepted %d writes, and refused %d of late owners", "accepted", "stale")
    line("%d losses were told by an event loop; %d forks; %d queues of the dead were emptied",
        "told", "forks", "handed_over")
    local titles = {}
    for title in pairs(self.outside) do
        titles[#titles + 1] = title
    end
    table.sort(titles)
    for _, title in ipairs(titles) do
        write(("%s: %d violations\n"):format(title, self.outside[title]))
    end
end

--- Prints the tables and the verdict.
-- @treturn boolean whether all passed
function Verdict:print(options)
    check_coverage(self)
    local write, passed, failed = options.write, 0, 0
    print_classes(self, write)
    print_clients(self, write)
    print_counts(self, write)
    write "\n"
    for _, entry in ipairs(self.order) do
        local count = #entry.findings
        passed, failed = passed + (count == 0 and 1 or 0), failed + (count > 0 and 1 or 0)
        write(("%-4s %s%s\n"):format(
            count == 0 and "ok" or "FAIL", entry.title, count > 0 and ": " .. count or ""))
        for index = 1, math.min(count, SHOWN) do
            write("       " .. entry.findings[index] .. "\n")
        end
    end
    write(("\nseed %d: %d passed, %d failed\n"):format(options.seed, passed, failed))
    return failed == 0
end

return verdict
