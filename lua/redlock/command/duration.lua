--- Durations as people write them: 250ms, 50s, 1.5m, 1h30m, 7d.
-- @module redlock.command.duration
-- @local

local duration = {}

local units = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400 }

--- Reads one. A bare number is seconds.
-- @tparam string text
-- @treturn ?number seconds; nil if it is none
function duration.parse(text)
    if text:find "^%d+%.?%d*$" then
        return tonumber(text)
    end
    local sum, rest, last = 0, text, math.huge
    while rest ~= "" do
        local number, unit, after = rest:match "^(%d+%.?%d*)(%a+)(.*)$"
        local factor = units[unit]
        if not factor or factor >= last then
            return nil
        end
        sum, rest, last = sum + tonumber(number) * factor, after, factor
    end
    return text ~= "" and sum or nil
end

local steps = { { "d", 86400, "h", 3600 }, { "h", 3600, "m", 60 }, { "m", 60, "s", 1 } }

--- Writes one, in at most two units: 340ms, 7.5s, 2m10s, 3d4h.
-- @tparam number seconds
-- @treturn string
function duration.format(seconds)
    if seconds == math.huge then
        return "for ever"
    elseif seconds < 0.9995 then
        return ("%.0fms"):format(seconds * 1000)
    elseif seconds < 9.95 then
        return (("%.1fs"):format(seconds):gsub("%.0s", "s"))
    end
    local whole = math.floor(seconds + 0.5)
    for _, step in ipairs(steps) do
        local unit, size, small, small_size = step[1], step[2], step[3], step[4]
        if whole >= size then
            local rest = math.floor(whole % size / small_size)
            return ("%d%s"):format(math.floor(whole / size), unit)
                .. (rest > 0 and ("%d%s"):format(rest, small) or "")
        end
    end
    return ("%ds"):format(whole)
end

return duration
