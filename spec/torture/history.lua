--- What clients write down while they work, a line for each event, and how it is read back.
--
-- Each line is flushed when it is written, so that of a client that is killed everything up to then
-- is known. Times are nanoseconds of CLOCK_BOOTTIME, the same for all processes. `n` counts the
-- sections of one file.
--
--     ask n name time              calls acquire
--     shares n                     and may pass the lease on within its client, or receive one
--     keeps n ms                   and nobody else is to have it before so long after the grant
--     not n time code              the call failed
--     own n time fence token ttl   the call succeeded; read after it returned
--     stands n number              on so many nodes the lock stood after that
--     held n time                  read before held() said true: until then it was certain
--     lost n time                  held() said false
--     told n time                  the function of on_lost was called
--     wrote n number               the store accepted a write, as its so-many-th
--     stale n                      the store refused a write
--     left n time code             release has returned: true or a code
--     forked n time                a child of a fork works, under numbers from n million on
--     wrong text                   a claim that the client checks by itself does not hold
--     bye time                     the client ends in good order

local unpack = table.unpack or unpack

local history = {}

local Writer = {}
Writer.__index = Writer

--- Opens a history for writing.
function history.writer(path)
    local file = assert(io.open(path, "a"))
    file:setvbuf "line"
    return setmetatable({ file = file, sections = 0 }, Writer)
end

--- A number for the next section.
function Writer:next_section()
    self.sections = self.sections + 1
    return self.sections
end

--- Writes a line. Numbers are whole.
function Writer:note(...)
    local words = { ... }
    for index, word in ipairs(words) do
        words[index] = type(word) == "number" and ("%.0f"):format(word) or tostring(word)
    end
    self.file:write(table.concat(words, " "), "\n")
end

local Reader = {}
Reader.__index = Reader

--- Opens a history for reading while it is written.
-- @tparam string path a file that need not be there yet
-- @tparam string client a name
-- @tparam string class what kind of client it is
-- @treturn Reader with `sections`, all of them by number; `wrong`, the claims that did not hold;
-- `saw`, the last moment at which it certainly owned something; `forks`; `said_bye`
function history.reader(path, client, class)
    return setmetatable({
        path = path, client = client, class = class, rest = "",
        sections = {}, open = {}, wrong = {}, saw = 0, forks = 0, said_bye = false,
    }, Reader)
end

local takers = {}

function takers.ask(self, n, name, time)
    local section = {
        client = self.client, class = self.class, name = name, ask = tonumber(time),
        writes = {}, stale = 0,
    }
    self.sections[n], self.open[n] = section, section
end

function takers.shares(self, n)
    self.sections[n].shares = true
end

function takers.keeps(self, n, ms)
    self.sections[n].keeps = tonumber(ms)
end

takers["not"] = function(self, n, time, code)
    local section = self.sections[n]
    section.over, section.code = tonumber(time), code
    self.open[n] = nil
end

function takers.own(self, n, time, fence, token, ttl)
    local section = self.sections[n]
    section.own, section.fence, section.token = tonumber(time), tonumber(fence), token
    section.ttl = tonumber(ttl)
    self.saw = math.max(self.saw, section.own)
end

function takers.stands(self, n, number)
    self.sections[n].stands = tonumber(number)
end

function takers.held(self, n, time)
    local section = self.sections[n]
    section.last = math.max(section.last or 0, tonumber(time))
    self.saw = math.max(self.saw, section.last)
end

function takers.lost(self, n, time)
    self.sections[n].lost = tonumber(time)
end

function takers.told(self, n, time)
    local section = self.sections[n]
    section.told = section.told or tonumber(time)
    section.times_told = (section.times_told or 0) + 1
end

function takers.wrote(self, n, number)
    local writes = self.sections[n].writes
    writes[#writes + 1] = tonumber(number)
end

function takers.stale(self, n)
    self.sections[n].stale = self.sections[n].stale + 1
end

function takers.left(self, n, time, code)
    local section = self.sections[n]
    section.over, section.code = tonumber(time), code
    self.open[n] = nil
end

function takers.forked(self)
    self.forks = self.forks + 1
end

function takers.bye(self)
    self.said_bye = true
end

local function take(self, line)
    local verb, rest = line:match "^(%S+) (.*)$"
    if verb == "wrong" then
        self.wrong[#self.wrong + 1] = rest
        return
    end
    local words = {}
    for word in rest:gmatch "%S+" do
        words[#words + 1] = word
    end
    words[1] = verb == "bye" and words[1] or tonumber(words[1])
    local is_of_section = verb ~= "ask" and verb ~= "forked" and verb ~= "bye"
    if is_of_section and not self.sections[words[1]] then
        self.wrong[#self.wrong + 1] = "of a section that never began: " .. line
        return
    end
    takers[verb](self, unpack(words))
end

--- Reads what was written since the last look.
function Reader:poll()
    self.file = self.file or io.open(self.path, "rb")
    if not self.file then
        return
    end
    self.file:seek("cur", 0) -- forget that the end was there
    local bytes = self.file:read "*a"
    if not bytes or bytes == "" then
        return
    end
    local text = self.rest .. bytes
    local behind = 1
    for line, after in text:gmatch "([^\n]*)\n()" do
        take(self, line)
        behind = after
    end
    self.rest = text:sub(behind)
end

--- Whether it owns a lock now, as far as is known, and whether it waits for one.
-- @treturn boolean
-- @treturn boolean
function Reader:state()
    local owns, waits = false, false
    for _, section in pairs(self.open) do
        owns = owns or section.own ~= nil
        waits = waits or section.own == nil
    end
    return owns, waits
end

function Reader:close()
    if self.file then
        self.file:close()
        self.file = nil
    end
end

return history
