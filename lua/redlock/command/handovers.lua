--- How often locks pass from one owner to the next, as far as it shows: another fence is another owner.
-- @module redlock.command.handovers
-- @local

local handovers = {}

local Handovers = {}
Handovers.__index = Handovers

local WINDOW = 10 -- seconds: the mean is taken over so long

--- @treturn Handovers
function handovers.new()
    return setmetatable({ seen = {}, looks = {} }, Handovers)
end

--- Takes in a look at all locks.
-- @tparam {table,...} locks as client:list() gives them
-- @tparam number now seconds
function Handovers:look(locks, now)
    local changed = {}
    for _, lock in ipairs(locks) do
        local before = self.seen[lock.name]
        if lock.fence then
            changed[lock.name] = before and lock.fence ~= before.fence or nil
            self.seen[lock.name] = { fence = lock.fence, at = now }
        end
    end
    for name, last in pairs(self.seen) do -- free for a while: forgotten
        if last.at < now - WINDOW then
            self.seen[name] = nil
        end
    end
    self.looks[#self.looks + 1] = { at = now, changed = changed }
    while #self.looks > 2 and self.looks[2].at <= now - WINDOW do
        table.remove(self.looks, 1)
    end
end

--- How many hand-overs a second there were of late. From one look to the next only one is seen.
-- @tparam string name
-- @treturn number
-- @treturn boolean whether there was one at every look, so that there may have been more
function Handovers:rate(name)
    local count, looks = 0, #self.looks - 1
    if looks < 1 then
        return 0, false
    end
    for index = 2, #self.looks do
        count = count + (self.looks[index].changed[name] and 1 or 0)
    end
    return count / (self.looks[#self.looks].at - self.looks[1].at), count == looks
end

return handovers
