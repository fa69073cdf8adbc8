--- Who takes part: what each contestant is called, and the command that starts its driver.
-- Every driver takes the ports of its Redis nodes, reads lines and answers each by one line; what
-- lines there are stands in bench/peers/README.md. An answer "no: REASON" says what it cannot do.

local contestants = {}

local FLOOR = "build/bench/floor"
local SCRIPTS = "csrc/core/scripts"

local function missing(path)
    local file = io.open(path)
    if file then
        file:close()
    end
    return not file
end

-- One that is not there stays in the list with the reason. `plays` names the contests in which it
-- makes sense; all, unless given.
local function add(list, contestant, needs, how)
    if missing(needs) then
        contestant.absent = ("no %s (%s)"):format(needs, how)
    end
    list[#list + 1] = contestant
end

local function add_floor(list, root, name, arguments, plays)
    local program = root .. FLOOR
    add(list, { name = name, command = program .. " " .. arguments, plays = plays },
        program, "make everything")
end

local OURS = "env -u LUA_PATH_5_4 -u LUA_CPATH_5_4 'LUA_PATH=%slua/?.lua;%slua/?/init.lua;;'"
    .. " 'LUA_CPATH=%s/?.so;;' %s %sbench/ours.lua %s"

local function add_ours(list, root, lua, host)
    local build = ("%sbuild/%s"):format(root, lua)
    add(list, {
        name = "ours, " .. (host == "blocking" and lua or host),
        command = OURS:format(root, root, build, lua, root, host),
        plays = host == "blocking" and "pairs processes hold first" or "many callers waiters",
    }, build .. "/redlock/core.so", "make LUA=" .. lua)
end

--- All contestants, in the order of the tables.
-- @tparam string root of the checkout: empty, or with a slash at its end
-- @treturn {table,...} each `{ name, command, plays, absent }`
function contestants.list(root)
    local list = {}
    add_floor(list, root, "hiredis", "plain", "pairs many processes callers first")
    add_floor(list, root, "hiredis, eager", "eager", "pairs")
    add_floor(list, root, "hiredis, our scripts", ("scripts %s%s"):format(root, SCRIPTS), "pairs")
    add_ours(list, root, "lua5.4", "blocking")
    add_ours(list, root, "luajit", "blocking")
    add_ours(list, root, "lua5.4", "cqueues")
    add_ours(list, root, "lua5.4", "luv")
    return list
end

-- "ours" chooses all of ours, "node-redlock" that one.
local function is_chosen(name, wanted)
    local plain = name:gsub("[^%w%-%.]+", "-")
    for word in wanted:gmatch("[^,]+") do
        if plain:find(word, 1, true) == 1 then
            return true
        end
    end
    return wanted == ""
end

--- Whether one takes part in a contest.
-- @tparam table contestant
-- @tparam string contest `pairs`, `many`, `processes`, `callers`, `waiters`, `hold` or `first`
-- @treturn boolean
function contestants.plays(contestant, contest)
    local list = contestant.plays
    return not list or (" " .. list .. " "):find(" " .. contest .. " ", 1, true) ~= nil
end

--- Those that a list of beginnings of names chooses, such as `ours,hiredis`.
-- @tparam {table,...} list
-- @tparam string wanted empty: all
-- @treturn {table,...}
function contestants.choose(list, wanted)
    local chosen = {}
    for _, contestant in ipairs(list) do
        if is_chosen(contestant.name, wanted) then
            chosen[#chosen + 1] = contestant
        end
    end
    return chosen
end

return contestants
