--- Adds up what acts have found: which checks passed, and what came to pass under each fault.

local faults = require "torture.faults"
local judge = require "torture.judge"

local verdict = {}

local Verdict = {}
Verdict.__index = Verdict

local TITLES = {
    overlap = "one owner at a time",
    overtaken = "no lease is passed on of a lock that has a newer owner",
    ["too early"] = "nobody has a lock before the time that its last owner asked for",
    inversion = "a later owner has a higher fence",
    ["same fence"] = "no fence is given twice",
    ["same token"] = "no token is given twice, but within a cohort",
    ["stale write"] = "the store takes no write of an earlier owner after one of a later",
    store = "the store refuses lower fences",
    told = "a loss is told once, and not while it is held",
}

--- @treturn Verdict with `order`, the checks, each with `title` and `findings`; `classes`, by the
-- name of a fault; `clients`, tenures by class; `counts`; `outside`, how often what is not promised
-- did not hold
function verdict.new()
    return setmetatable({
        checks = {}, order = {}, classes = {}, clients = {}, outside = {},
        counts = setmetatable({}, { __index = function() return 0 end }),
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

local function add_promises(self, result, profile)
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
                if judge.is_safe(finding.first) and is_within(finding.second) then
                    violations[#violations + 1] = finding.text
                end
            end
            for _, section in ipairs(result.sections) do
                local is_safe = judge.is_safe(section) and is_within(section)
                counts.safe = counts.safe + (is_safe and 1 or 0)
            end
            check(self, "step-node: who stands on four nodes of five is alone", violations)
        end
    end
end

local function names_of(round)
    local names = {}
    for index, class in ipairs(round.classes) do
        names[index] = class.name
    end
    return table.concat(names, ", ")
end

local function late_texts(result)
    local texts = {}
    for _, client in ipairs(result.late) do
        texts[#texts + 1] = client .. " never owned anything"
    end
    for _, round in ipairs(result.rounds) do
        for _, client in ipairs(round.idle) do
            texts[#texts + 1] = ("%s, after %s"):format(client, names_of(round))
        end
    end
    return texts
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

-- What came to pass in each round.
local function tell_rounds(rounds, sections)
    for _, round in ipairs(rounds) do
        round.tenures, round.lost, round.stale = 0, 0, 0
    end
    local function round_of(time)
        for _, round in ipairs(rounds) do
            if time >= round.from and time <= round.recovered then
                return round
            end
        end
    end
    for _, each in ipairs(sections) do
        local round = each.own and round_of(each.own)
        if round and each.own <= round.healed then
            round.tenures = round.tenures + 1
        end
        local lossy = each.lost and round_of(each.lost)
        if lossy then
            lossy.lost = lossy.lost + 1
            lossy.stale = lossy.stale + each.stale
        end
    end
end

local function add_rounds(self, result)
    tell_rounds(result.rounds, result.sections)
    for _, round in ipairs(result.rounds) do
        for _, class in ipairs(round.classes) do
            add_class(self, class, round)
        end
    end
end

local function add_counts(self, result)
    local counts, clients = self.counts, self.clients
    for title, count in pairs(result.report.counts) do
        counts[title] = counts[title] + count
    end
    for _, kind in ipairs(judge.kinds) do
        counts[kind] = counts[kind] + #result.report.findings[kind]
    end
    counts.forks = counts.forks + result.forks
    counts.handed_over = counts.handed_over + result.handed_over
    for _, section in ipairs(result.sections) do
        clients[section.class] = (clients[section.class] or 0) + (section.own and 1 or 0)
    end
end

--- Adds an act, of a profile.
-- @tparam table result see act.lua
-- @tparam table profile
-- @tparam number bound seconds in which everybody had to make progress
function Verdict:add(result, profile, bound)
    local function check_here(words, findings)
        check(self, profile.name .. ": " .. words, findings)
    end
    add_promises(self, result, profile)
    add_steps(self, result)
    local soon = ("everybody owns something within %g s of healing"):format(bound)
    check_here(soon, late_texts(result))
    check_here("no key outlives its time", result.keys)
    if profile.remembers then
        check_here("no node forgets a fence", result.forgotten)
    end
    check_here("no dead waiter stays in a queue", result.queues)
    check_here("clients end in good order, and what they check holds", result.wrong)
    add_rounds(self, result)
    add_counts(self, result)
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

--- Takes down what has happened to packets, where there is a wire.
function Verdict:take_packets(world)
    local stats = world.wire and world.wire:stats()
    for title, count in pairs(stats or {}) do
        self.counts["packets " .. title] = count
    end
    local missed = {}
    for _, class in ipairs(faults) do
        local title = class.counted
        if title and stats and self.classes[class.name] and stats[title] == 0 then
            missed[#missed + 1] = ("%s: no packet was %s"):format(class.name, title)
        end
    end
    check(self, "packets were treated as it says", missed)
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
    expect(self, "owners were compared", counts.pairs > 0, "there were none")
    expect(self, "fences were compared", counts.fences > 0, "there were none")
    expect(self, "the store was written to", counts.accepted > 0, "never")
    expect(self, "locks were kept for a time, and others came", counts.kept > 0, "never")
    if self.clients.cqueues or self.clients.luv then
        expect(self, "leases were passed on", counts.passed_on > 0, "none was")
    end
    if self.clients.steady then
        expect(self, "renewed leases outlived 2.5 ttls", counts.outlived > 0, "none did")
    end
    if has_run(self, "stop-owner") then
        expect(self, "the store refused who was late", counts.stale > 0, "nobody was")
    end
    if has_run(self, "kill-owner") then
        expect(self, "owners died owning", counts.unfinished > 0, "none did")
    end
    if has_run(self, "fork") then
        expect(self, "owners forked", counts.forks > 0, "none did")
    end
    if has_run(self, "forget-majority", "delete-locks", "flush-all") then
        expect(self, "outside the assumptions there were two owners",
            counts.overlap > 0, "the judge saw none")
    end
    if has_run(self, "step-node") then
        expect(self, "step-node: some stood on four nodes", counts.safe > 0, "nobody did")
    end
    if has_run(self, "forget-everything") then
        expect(self, "without any memory a fence fell", counts.inversion > 0,
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

--- Checks that there was something to check; to be called once, when all acts are added.
function Verdict:conclude()
    check_coverage(self)
end

return verdict
