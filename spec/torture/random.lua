--- Random numbers that are the same under every Lua, for the schedule of faults.

local random = {}

local Random = {}
Random.__index = Random

--- @tparam number seed from 1
function random.new(seed)
    return setmetatable({ state = seed % 2147483646 + 1 }, Random)
end

--- A whole number from `low` to `high`.
function Random:between(low, high)
    self.state = self.state * 48271 % 2147483647
    return low + math.floor(self.state / 2147483647 * (high - low + 1))
end

--- A number from 0 to below 1.
function Random:part()
    return self:between(0, 999999) / 1000000
end

--- One of a list.
function Random:pick(list)
    return list[self:between(1, #list)]
end

--- Some of a list, each once, in any order; all, if there are not as many.
function Random:some(list, count)
    local left, some = {}, {}
    for index, value in ipairs(list) do
        left[index] = value
    end
    while #some < count and #left > 0 do
        some[#some + 1] = table.remove(left, self:between(1, #left))
    end
    return some
end

return random
