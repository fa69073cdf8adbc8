--- What a verb says on stderr while it works: as much as it was asked for.
-- @module redlock.command.reporter
-- @local

local system = require "redlock.command.system"

local Reporter = {}
Reporter.__index = Reporter

local CLEAR = "\r\27[K"

--- @tparam Terminal errors
-- @tparam boolean quiet only the exit code speaks
-- @tparam boolean verbose everything is told
-- @treturn Reporter with `quiet`, `verbose`, and `shows_progress`: there is a terminal that wants it
function Reporter.new(errors, quiet, verbose)
    return setmetatable({
        errors = errors,
        quiet = quiet,
        verbose = verbose,
        shows_progress = errors.is_terminal and not quiet and not verbose,
    }, Reporter)
end

-- Who holds a lock must not be held up by a pipe that nobody reads, or by Ctrl-S.
local function put(self, ...)
    if system.is_writable(self.errors.fd) then
        self.errors:write(...)
    end
end

local function write(self, colour, text)
    self:clear()
    put(self, self.errors:paint(colour, "redlock: "), text, "\n")
end

--- What everybody ought to know.
function Reporter:warn(text)
    if not self.quiet then
        write(self, "yellow", text)
    end
end

--- What is of interest to those who asked for everything.
function Reporter:note(text)
    if self.verbose then
        write(self, "dim", text)
    end
end

--- What a person wants to know, and cron does not have to send by mail.
function Reporter:tell(text)
    if self.verbose or (self.errors.is_terminal and not self.quiet) then
        write(self, "dim", text)
    end
end

--- A line that stands until the next one; on a terminal only.
function Reporter:progress(text)
    if self.shows_progress then
        local room = self.errors:width() - 1 - #"redlock: "
        local shown = #text > room and text:sub(1, math.max(room - 3, 0)) .. "..." or text
        put(self, CLEAR, self.errors:paint("dim", "redlock: " .. shown))
        self.has_line = true
    end
end

--- Takes that line away.
function Reporter:clear()
    if self.has_line then
        put(self, CLEAR)
        self.has_line = false
    end
end

return Reporter
