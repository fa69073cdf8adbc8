--- The command as a shell's job: which process group the terminal's keys reach, and how the command
-- and we stop and go on together.
--
-- We are a member of the job that the shell knows; the command's group is not, and the shell cannot
-- give it the terminal. So we hand on what the shell gives us: at the start if both input and output are the
-- terminal; otherwise, as in a pipeline whose other members may need it, as soon as the command
-- asks, by being stopped for reading or setting it.
--
-- A job that its shell has forgotten cannot be stopped by SIGTSTP and its like: the system then takes no
-- notice, and we go on at once, and so does the command.
-- @module redlock.command.job
-- @local

local system = require "redlock.command.system"

local signals = system.signals

local Job = {}
Job.__index = Job

--- @treturn Job
function Job.new()
    local terminal = system.open_terminal()
    return setmetatable({
        terminal = terminal,
        own_group = system.own_group(),
        modes = terminal and system.get_modes(terminal),
    }, Job)
end

local function foreground(self)
    return self.terminal and system.foreground(self.terminal)
end

--- The terminal whose foreground the command's group shall come to at its start, if any.
-- @treturn ?number
function Job:initial_terminal()
    local is_ours = self.terminal and foreground(self) == self.own_group
    if is_ours and system.is_terminal(0) and system.is_terminal(1) then
        return self.terminal
    end
end

--- Whether the terminal's keys reach the command's group.
function Job:is_given(group)
    return self.terminal ~= nil and foreground(self) == group
end

local function give(self, group)
    return foreground(self) == self.own_group and system.set_foreground(self.terminal, group)
end

--- The terminal is ours again, if it was the command's.
-- @treturn boolean whether it was
function Job:take_back(group)
    if self:is_given(group) then
        system.set_foreground(self.terminal, self.own_group)
        return true
    end
    return false
end

--- A command that was killed in the midst of an editor's screen leaves the terminal in modes in which
-- nobody can type: it has those again that it had before.
function Job:mend_terminal()
    if self.modes and foreground(self) == self.own_group then
        system.set_modes(self.terminal, self.modes)
    end
end

--- The command was stopped. Says what is to be done about it.
-- @tparam number group
-- @tparam number signal that has stopped it
-- @treturn ?string "continue": it has the terminal now; "suspend": so are we to be; nil: nothing
function Job:on_stop(group, signal)
    if self:is_given(group) then
        return "suspend"
    elseif signal == signals.TTIN or signal == signals.TTOU then
        return give(self, group) and "continue" or "suspend"
    end
end

--- Stops us, as the signal does. Returns when we go on.
-- @tparam number group
-- @tparam number signal
-- @tparam boolean whole_job whether the others of our job were spared, and are to stop, too
function Job:stop(group, signal, whole_job)
    local had_it = self:take_back(group)
    system.obey(signal, whole_job)
    if had_it then
        give(self, group) -- in the background it has to ask for it once more
    end
end

return Job
