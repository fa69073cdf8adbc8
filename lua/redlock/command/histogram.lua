--- Many durations in little room: how many there are of each size, to within some percent.
-- @module redlock.command.histogram
-- @local

local figures = require "redlock.command.figures"

local histogram = {}

local Histogram = {}
Histogram.__index = Histogram

local LEAST = 1e-6 -- seconds: what is shorter counts as that
local STEP = math.log(2) / 32 -- of the logarithm, from one size to the next: 2 %
local BAR = 40 -- characters
local SERIES = { 1, 2, 5 } -- bars end at these, times powers of ten

--- @treturn Histogram with `count`, `sum` and `max` in seconds
function histogram.new()
    return setmetatable({ count = 0, sum = 0, max = 0, sizes = {} }, Histogram)
end

--- Takes in a duration.
-- @tparam number seconds
function Histogram:add(seconds)
    local size = math.floor(math.log(math.max(seconds, LEAST) / LEAST) / STEP)
    self.sizes[size] = (self.sizes[size] or 0) + 1
    self.count = self.count + 1
    self.sum = self.sum + seconds
    self.max = math.max(self.max, seconds)
end

local function sorted_sizes(self)
    local list = {}
    for size in pairs(self.sizes) do
        list[#list + 1] = size
    end
    table.sort(list)
    return list
end

local function upper_end(size)
    return LEAST * math.exp((size + 1) * STEP)
end

--- The duration that so large a share of all does not exceed.
-- @tparam number share 0.5: the median
-- @treturn number seconds, at most 2 % too large; 0 if there are none
function Histogram:quantile(share)
    local wanted, passed = share * self.count, 0
    for _, size in ipairs(sorted_sizes(self)) do
        passed = passed + self.sizes[size]
        if passed >= wanted then
            return math.min(upper_end(size), self.max)
        end
    end
    return self.max
end

-- The first end of a bar that is not below.
local function end_of_bar(seconds)
    local power = 10 ^ math.floor(math.log(seconds) / math.log(10) - 1e-9)
    for _, factor in ipairs(SERIES) do
        if seconds <= power * factor * (1 + 1e-9) then
            return power * factor
        end
    end
    return power * 10
end

local function next_end(bar)
    return end_of_bar(bar * 1.1)
end

--- How many there are up to 1, 2, 5, 10... and above the bar before; from the first bar that is not
-- empty to the last.
-- @treturn {table,...} `{ up_to = seconds, count = n }`
function Histogram:bars()
    local bars = {}
    for _, size in ipairs(sorted_sizes(self)) do
        local bar = end_of_bar(math.min(upper_end(size), self.max))
        local last = bars[#bars]
        while last and last.up_to < bar * (1 - 1e-9) do
            last = { up_to = next_end(last.up_to), count = 0 }
            bars[#bars + 1] = last
        end
        if not last then
            last = { up_to = bar, count = 0 }
            bars[1] = last
        end
        last.count = last.count + self.sizes[size]
    end
    return bars
end

--- Draws the bars, one a line.
-- @treturn {string,...}
function Histogram:draw()
    local lines, most = {}, 1
    local bars = self:bars()
    for _, bar in ipairs(bars) do
        most = math.max(most, bar.count)
    end
    for index, bar in ipairs(bars) do
        local length = math.floor(BAR * bar.count / most + 0.5)
        if bar.count > 0 and length == 0 then
            length = 1
        end
        lines[index] = ("  <= %8s  %-" .. BAR .. "s %6.2f %%  %d"):format(figures.time(bar.up_to),
            ("#"):rep(length), 100 * bar.count / self.count, bar.count)
    end
    return lines
end

--- For programs.
-- @treturn table `count`, `mean`, `p50`, `p90`, `p99`, `max` in seconds, `histogram` as of bars()
function Histogram:summary()
    return {
        count = self.count,
        mean = self.count > 0 and self.sum / self.count or 0,
        p50 = self:quantile(0.5),
        p90 = self:quantile(0.9),
        p99 = self:quantile(0.99),
        max = self.max,
        histogram = self:bars(),
    }
end

return histogram
