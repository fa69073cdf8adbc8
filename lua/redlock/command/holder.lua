--- Who holds a lock, in a few words, from what client:info() says.
-- @module redlock.command.holder
-- @local

local duration = require "redlock.command.duration"
local terminal = require "redlock.command.terminal"
local utf8 = require "redlock.command.utf8"

local holder = {}

local TOKEN_SHOWN = 8 -- characters

-- The token that most nodes hold; it is the owner's, if that is a majority. Of those nodes the one
-- where its lease is the longest: another may have missed a renewal.
local function find(nodes)
    local counts, best = {}, nil
    for _, node in ipairs(nodes) do
        if node.token then
            counts[node.token] = (counts[node.token] or 0) + 1
        end
    end
    for _, node in ipairs(nodes) do
        local is_same = best and node.token == best.token
        if is_same and node.ttl > best.ttl or not is_same and node.token
            and counts[node.token] > (best and counts[best.token] or 0) then
            best = node
        end
    end
    return best
end

--- An identity, as owners leave it on the nodes, the way people read it.
-- @tparam string identity "HOST:PID CLIENT_NAME PURPOSE"; perhaps only the beginning of it
-- @treturn string "HOST:PID (PURPOSE)"
function holder.name(identity)
    local who, name, purpose = identity:match "^(%S+) (%S+) ?(.*)$"
    if not who then
        return terminal.printable(identity)
    end
    local what = purpose ~= "" and purpose or name ~= "redlock" and name
    return terminal.printable(what and ("%s (%s)"):format(who, what) or who)
end

--- The token that most nodes hold.
-- @tparam {table,...} nodes as client:info() gives them
-- @treturn ?table one of the nodes that hold it; nil if none holds any
-- @treturn number how many do
function holder.owner(nodes)
    local best = find(nodes)
    local votes = 0
    for _, node in ipairs(nodes) do
        votes = votes + (best and node.token == best.token and 1 or 0)
    end
    return best, votes
end

--- How many nodes hold something under that name that is no text: another kind of lock.
-- @tparam {table,...} nodes as client:info() gives them
-- @treturn number
function holder.count_foreign(nodes)
    local count = 0
    for _, node in ipairs(nodes) do
        local is_foreign = node.error and node.error:find("another kind of lock", 1, true)
        count = count + (is_foreign and 1 or 0)
    end
    return count
end

--- A token, which is a secret: who knows it can release the lock.
-- @tparam string token
-- @tparam[opt] boolean full whether it is shown nevertheless
-- @treturn string
function holder.token(token, full)
    local shown = terminal.printable(token)
    return (full or #shown <= TOKEN_SHOWN) and shown or utf8.cut(shown, TOKEN_SHOWN) .. ".."
end

--- Who it is, and since when.
-- @tparam {table,...} nodes as client:info() gives them
-- @treturn ?string such as "web3:4711 (nightly report)"; nil if nobody is seen to hold it
-- @treturn ?number seconds, if that is known
function holder.find(nodes)
    local held = find(nodes)
    if held then
        return held.holder and holder.name(held.holder) or "another", held.age
    end
end

--- Both in words.
-- @tparam {table,...} nodes as client:info() gives them
-- @treturn ?string such as "web3:4711 (nightly report) for 3m"; nil if nobody is seen to hold it
function holder.describe(nodes)
    local who, age = holder.find(nodes)
    return who and who .. (age and " for " .. duration.format(age) or "")
end

return holder
