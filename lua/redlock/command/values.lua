--- What the words behind options mean: for each kind, how it is read, and what it has to be.
-- @module redlock.command.values
-- @local

local duration = require "redlock.command.duration"

local values = {}

local DURATION = "a duration such as 250ms, 50s, 10m or 1h"

--- Seconds.
values.duration = {
    text = DURATION,
    read = duration.parse,
}

--- Seconds that are enough for something to be seen.
values.period = {
    text = DURATION .. ", at least 100ms",
    read = function(text)
        local seconds = duration.parse(text)
        return seconds and seconds >= 0.1 and seconds or nil
    end,
}

--- Seconds, or no limit.
values.wait = {
    text = DURATION .. ", or forever",
    read = function(text)
        return text == "forever" and math.huge or duration.parse(text)
    end,
}

--- What the option restart_guard may be.
values.guard = {
    text = DURATION .. ", auto, or off",
    read = function(text)
        if text == "off" then
            return false
        end
        return text == "auto" and text or duration.parse(text)
    end,
}

--- A number from 0 to below 1.
values.fraction = {
    text = "a number from 0 to below 1",
    read = function(text)
        local number = text:find "^%d*%.?%d+$" and tonumber(text)
        return number and number < 1 and number or nil
    end,
}

--- A whole number from 1.
values.count = {
    text = "a whole number from 1",
    read = function(text)
        local number = text:find "^%d+$" and tonumber(text)
        return number and number >= 1 and number or nil
    end,
}

--- An exit code.
values.exit_code = {
    text = "a number from 0 to 255",
    read = function(text)
        local number = text:find "^%d+$" and tonumber(text)
        return number and number <= 255 and number or nil
    end,
}

local orders = {
    name = true, holder = true, votes = true, age = true, lease = true, waiters = true,
    handovers = true,
}

--- By what a list is sorted.
values.order = {
    text = "one of name, holder, votes, age, lease, waiters, handovers",
    read = function(text)
        return orders[text] and text
    end,
}

--- Any text that is not empty.
values.text = {
    text = "a text that is not empty",
    read = function(text)
        return text ~= "" and text or nil
    end,
}

--- What others see of an owner.
values.purpose = {
    text = "1 to 100 printable ASCII characters",
    read = function(text)
        return #text <= 100 and text:find "^[ -~]+$" and text or nil
    end,
}

-- To be completed as a file.
values.file = values.text
values.folder = values.text

return values
