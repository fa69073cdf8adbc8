--- What is left allocated after a run, and in whose name.

local allocations = require "allocations"
local suppressions = require "allocations.suppressions"
local wait = require "support.wait"

local leftovers = {}

-- The object and the function of "object offset function".
local function names_of(frame)
    return frame:match "([^/]*) 0x%x+ (%S+)$"
end

--- Prints frames in words, where there are debug symbols for them.
function leftovers.print_frames(title, frames)
    for index, frame in ipairs(frames) do
        local path, offset = frame:match "^(.*) (0x%x+) %S+$"
        local object, name = names_of(frame)
        local pipe = io.popen(("addr2line -pfse '%s' %s 2>/dev/null"):format(path, offset))
        local place = pipe:read "*l" or "?"
        pipe:close()
        place = place:find "^%?" and name or place
        print(("    %s %2d  %-22s %s"):format(title, index, object, place))
    end
end

local function is_of(frame, suppression)
    local object, name = names_of(frame)
    return object:find(suppression.object, 1, true) ~= nil
        and (not suppression.name or name == suppression.name)
end

--- The object that asked for what failed: the first frame beyond the switch's and a sanitizer's.
function leftovers.asked_by()
    for _, frame in ipairs(allocations.where()) do
        local object = names_of(frame)
        if not object:find "^allocations" and not object:find "san%.so" then
            return object
        end
    end
    return ""
end

-- How many of the new ones others keep, or lose.
local function others_share()
    local share, left, asked_by = 0, allocations.new(), leftovers.asked_by()
    for _, suppression in ipairs(suppressions) do
        local may = not suppression.failed_in or asked_by:find(suppression.failed_in, 1, true)
        local count = 0
        for index = #left, 1, -1 do
            if may and count < (suppression.most or #left) and is_of(left[index], suppression) then
                table.remove(left, index)
                count = count + 1
            end
        end
        share = share + count
    end
    return share
end

--- How many more are live than there were, without what others keep. Threads that end get a moment.
-- @tparam number baseline
-- @treturn number 0 if none
function leftovers.count(baseline)
    local function count()
        local more = allocations.live() - baseline
        return more <= 0 and 0 or math.max(0, more - others_share())
    end
    return wait.wait_until(function() return count() == 0 end, 5) and 0 or count()
end

return leftovers
