--- Says what is wrong with a history. Pure: sections (see history.lua) go in, findings come out.
--
-- A section that owned is a *tenure*. What is certain of it: it believed from `own` (read after the
-- acquire had returned) to `last` (read before a held() that said true). A second tenure *follows*
-- a first if it was asked for after the first was had, or if all that is certain of it comes after
-- all that is certain of the first.
--
-- Owners of one client that asked to *share* pass a lease on among themselves: with one token, under
-- rising fences of one block, whose first is the ballot that the nodes granted.

local judge = {}

local MS = 1e6 -- nanoseconds
local BLOCK = 64 -- fences

local function tenures_by_name(sections)
    local names = {}
    for _, section in ipairs(sections) do
        if section.own then
            names[section.name] = names[section.name] or {}
            table.insert(names[section.name], section)
        end
    end
    for _, list in pairs(names) do
        table.sort(list, function(a, b) return a.own < b.own end)
    end
    return names
end

local function is_certain(tenure)
    return tenure.last ~= nil and tenure.last > tenure.own
end

local SAFE = 4 -- nodes of five: more than a majority by one

--- Whether it is a tenure that stood on one node more than a majority, as far as was counted.
function judge.is_safe(section)
    return section.own ~= nil and (section.stands or 0) >= SAFE
end

local function title(tenure)
    local last = tenure.last and (tenure.last - tenure.own) / 1e9 or -1
    return ("%s with %.0f (asked %.3f, owned %.3f, for %.3f s)"):format(tenure.client, tenure.fence,
        tenure.ask / 1e9, tenure.own / 1e9, last)
end

-- ---- one owner at a time ----

-- Those two that believed at the same time, in the order of their beginnings.
local function check_overlaps(tenures, report)
    local longest
    for _, tenure in ipairs(tenures) do
        if is_certain(tenure) then
            if longest then
                report.counts.pairs = report.counts.pairs + 1
            end
            if longest and tenure.own < longest.last then
                local together = (math.min(longest.last, tenure.last) - tenure.own) / MS
                report:find("overlap", longest, tenure,
                    ("%s: %s and %s both owned it for %.1f ms"):format(
                        tenure.name, title(longest), title(tenure), together))
            end
            if not longest or tenure.last > longest.last then
                longest = tenure
            end
        end
    end
end

-- ---- fences ----

-- Of some tenures, the one with the highest fence so far.
local function new_highest()
    local highest = { fence = -1 }
    return function(tenure)
        if tenure and tenure.fence > highest.fence then
            highest = tenure
        end
        return highest
    end
end

-- Calls `visit(tenure, before)` for each, with the one of highest fence among those that end before
-- it begins.
local function each_after(tenures, ending, beginning, visit)
    local by_ending, by_beginning = {}, {}
    for _, tenure in ipairs(tenures) do
        by_ending[#by_ending + 1] = ending(tenure) and tenure
        by_beginning[#by_beginning + 1] = beginning(tenure) and tenure
    end
    table.sort(by_ending, function(a, b) return ending(a) < ending(b) end)
    table.sort(by_beginning, function(a, b) return beginning(a) < beginning(b) end)
    local highest, index = new_highest(), 1
    for _, tenure in ipairs(by_beginning) do
        while by_ending[index] and ending(by_ending[index]) < beginning(tenure) do
            highest(by_ending[index])
            index = index + 1
        end
        visit(tenure, highest())
    end
end

local function own_of(tenure)
    return tenure.own
end

local function ask_of(tenure)
    return tenure.ask
end

local function certain_own_of(tenure)
    return is_certain(tenure) and tenure.own or nil
end

local function certain_last_of(tenure)
    return is_certain(tenure) and tenure.last or nil
end

local function check_inversions(tenures, report)
    local seen = {}
    local function compare(tenure, before)
        report.counts.fences = report.counts.fences + 1
        if before.fence >= tenure.fence and before ~= tenure and not seen[tenure] then
            local was_passed_on = report:was_passed_on_late(tenure, before)
            seen[tenure] = true
            report:find(was_passed_on and "overtaken" or "inversion", before, tenure,
                ("%s: %s came after %s"):format(tenure.name, title(tenure), title(before)))
        end
    end
    each_after(tenures, own_of, ask_of, compare)
    each_after(tenures, certain_last_of, certain_own_of, compare)
end

local function check_fences_unique(tenures, report)
    local owners = {}
    for _, tenure in ipairs(tenures) do
        local other = owners[tenure.fence]
        if other then
            report:find("same fence", other, tenure, ("%s: %s and %s"):format(
                tenure.name, title(other), title(tenure)))
        end
        owners[tenure.fence] = tenure
    end
end

-- Of each token, the one of lowest fence among its owners.
local function first_owners(sections)
    local owners = {}
    for _, section in ipairs(sections) do
        local first = section.token and owners[section.token]
        if section.token and (not first or section.fence < first.fence) then
            owners[section.token] = section
        end
    end
    return owners
end

local function may_share(first, section)
    return first.shares and section.shares and first.client == section.client
        and first.name == section.name and first.fence < section.fence
        and math.floor(first.fence / BLOCK) == math.floor(section.fence / BLOCK)
end

local function check_tokens_unique(sections, report)
    for _, section in ipairs(sections) do
        local first = section.token and report.first_owners[section.token]
        if first and first ~= section and not may_share(first, section) then
            report:find("same token", first, section, title(first) .. " and " .. title(section))
        elseif section.own and section.shares and section.fence % BLOCK ~= 0 then
            report.counts.passed_on = report.counts.passed_on + 1
        end
    end
end

-- ---- for a time ----

-- Counted from when it asked, since it is not known when it was granted: a later one, as its fence
-- says, that owned before then had it too early.
local function check_kept(tenures, report)
    for _, tenure in ipairs(tenures) do
        local until_when = tenure.keeps and tenure.ask + tenure.keeps * MS
        local has_next = false
        for _, other in ipairs(until_when and tenures or {}) do
            local is_later = other.fence > tenure.fence
            has_next = has_next or is_later
            if is_later and other.own < until_when then
                local early = (until_when - other.own) / MS
                report:find("too early", tenure, other,
                    ("%s: %s had it %.1f ms before the time of %s was over"):format(
                        tenure.name, title(other), early, title(tenure)))
            end
        end
        report.counts.kept = report.counts.kept + (has_next and 1 or 0)
    end
end

-- ---- the store ----

local function writes_in_order(tenures)
    local writes = {}
    for _, tenure in ipairs(tenures) do
        for _, number in ipairs(tenure.writes) do
            writes[#writes + 1] = { number = number, tenure = tenure }
        end
    end
    table.sort(writes, function(a, b) return a.number < b.number end)
    return writes
end

-- A write is stale if a tenure that followed its own had written before.
local function check_store(tenures, report)
    -- Of the writers so far: the latest to ask, the latest certain to own, the one of highest
    -- fence.
    local asked, owned, highest
    for _, write in ipairs(writes_in_order(tenures)) do
        local tenure = write.tenure
        report.counts.accepted = report.counts.accepted + 1
        local later = asked and asked.ask > tenure.own and asked
            or owned and is_certain(tenure) and owned.own > tenure.last and owned
        if later then
            local was_passed_on = report:was_passed_on_late(later, tenure)
            report:find(was_passed_on and "overtaken" or "stale write", tenure, later,
                ("%s: a write of %s was taken after one of %s"):format(
                    tenure.name, title(tenure), title(later)))
        end
        if highest and tenure.fence < highest.fence then
            report:find("store", tenure, highest, ("%s: %s wrote after %s"):format(
                tenure.name, title(tenure), title(highest)))
        end
        asked = (not asked or tenure.ask > asked.ask) and tenure or asked
        owned = is_certain(tenure) and (not owned or tenure.own > owned.own) and tenure or owned
        highest = (not highest or tenure.fence > highest.fence) and tenure or highest
    end
end

-- ---- what clients are told ----

local function check_told(tenures, report)
    for _, tenure in ipairs(tenures) do
        report.counts.told = report.counts.told + (tenure.told and 1 or 0)
        if tenure.told and tenure.last and tenure.told < tenure.last then
            report:find("told", tenure, nil, ("%s: %s was told of a loss, and held later"):format(
                tenure.name, title(tenure)))
        end
        if (tenure.times_told or 0) > 1 then
            report:find("told", tenure, nil, ("%s: %s was told %d times"):format(
                tenure.name, title(tenure), tenure.times_told))
        end
    end
end

local function count(section, counts)
    counts.sections = counts.sections + 1
    if not section.own then
        counts.refused = counts.refused + 1
        return
    end
    counts.tenures = counts.tenures + 1
    counts.lost = counts.lost + (section.lost and 1 or 0)
    counts.unfinished = counts.unfinished + (section.over and 0 or 1)
    counts.stale = counts.stale + section.stale
    local certain = is_certain(section) and section.last - section.own or 0
    if section.ttl and certain > 2.5 * section.ttl * MS then
        counts.outlived = counts.outlived + 1
    end
end

local Report = {}
Report.__index = Report

function Report:find(kind, first, second, text)
    local list = self.findings[kind]
    list[#list + 1] = { kind = kind, first = first, second = second, text = text }
end

-- It has received a lease that may be older than the other's: the lock was taken away from its
-- cohort, which had not heard of that.
function Report:was_passed_on_late(tenure, other)
    local first = self.first_owners[tenure.token]
    return tenure.shares and tenure.fence % BLOCK ~= 0
        and (first == tenure or first.ask < other.own)
end

--- What can be found.
judge.kinds = {
    "overlap", "overtaken", "too early", "inversion", "same fence", "same token", "stale write",
    "store", "told",
}

local COUNTED = {
    "sections", "tenures", "refused", "lost", "unfinished", "stale", "accepted", "outlived",
    "pairs", "fences", "told", "passed_on", "kept",
}

--- Judges sections of any number of clients, in any order.
-- @tparam {table,...} sections see history.lua
-- @treturn table
--
--   * `findings`: by kind, a list of `{ kind, first, second, text }`
--   * `counts`: sections, tenures, refused acquires; tenures that were lost, that were never
--     finished,
--     that outlived 2.5 of their leases; writes that the store accepted and refused (stale); pairs and
--     fences that were compared; losses that were told; leases that were passed on; owners who kept
--     the lock for a time, and after whom another came (kept)
function judge.judge(sections)
    local report = setmetatable({
        findings = {}, counts = {}, first_owners = first_owners(sections),
    }, Report)
    for _, kind in ipairs(judge.kinds) do
        report.findings[kind] = {}
    end
    for _, name in ipairs(COUNTED) do
        report.counts[name] = 0
    end
    for _, section in ipairs(sections) do
        count(section, report.counts)
    end
    check_tokens_unique(sections, report)
    for _, tenures in pairs(tenures_by_name(sections)) do
        check_overlaps(tenures, report)
        check_inversions(tenures, report)
        check_fences_unique(tenures, report)
        check_kept(tenures, report)
        check_store(tenures, report)
        check_told(tenures, report)
    end
    return report
end

-- ---- what is left on the nodes ----

-- The longest that a key may still live, in ms, by what it ends in.
local LIVES = { fence = 2 * 86400000, queue = 30000, claim = 1000 }

--- Says which keys of a node live longer than they may.
-- @tparam {table,...} keys each `{ name, ms }`: how long it still lives, -1: for ever
-- @tparam number lease_ms the longest lease that anybody asked for
-- @treturn {string,...} findings
function judge.keys(keys, lease_ms)
    local findings = {}
    for _, key in ipairs(keys) do
        local most = LIVES[key.name:match ":(%l+)$"] or lease_ms
        if key.ms == -1 then
            findings[#findings + 1] = key.name .. " would never go"
        elseif key.ms > most then
            local text = "%s would live for %.1f s more"
            findings[#findings + 1] = text:format(key.name, key.ms / 1000)
        end
    end
    return findings
end

--- Says which fences a node has forgotten, and remembers those that it has.
-- @tparam {table,...} keys each `{ name, ms, fence }`
-- @tparam table memory of this node, by name; empty at first
-- @treturn {string,...} findings
function judge.forgotten(keys, memory)
    local findings, now = {}, {}
    for _, key in ipairs(keys) do
        now[key.name] = key.fence
    end
    for name, fence in pairs(memory) do
        if (now[name] or 0) < fence then
            findings[#findings + 1] = ("%s was %.0f, and is %s"):format(name, fence,
                now[name] and ("%.0f"):format(now[name]) or "gone")
        end
    end
    for name, fence in pairs(now) do
        memory[name] = fence
    end
    return findings
end

--- Says which keys of a node are left when all is over: only fences may be.
-- @tparam {table,...} keys
-- @treturn {string,...} their names
function judge.left_over(keys)
    local left = {}
    for _, key in ipairs(keys) do
        if not key.name:find ":fence$" then
            left[#left + 1] = key.name
        end
    end
    return left
end

--- Says who has owned nothing since a moment.
-- @tparam {table,...} readers of histories
-- @tparam number since
-- @treturn {table,...} those readers
function judge.idle_since(readers, since)
    local idle = {}
    for _, reader in ipairs(readers) do
        if reader.saw <= since then
            idle[#idle + 1] = reader
        end
    end
    return idle
end

return judge
