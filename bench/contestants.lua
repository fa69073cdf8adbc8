--- Who takes part: what each contestant is called, and the command that starts its driver.
-- Every driver takes the ports of its Redis nodes, reads lines and answers each by one line; what
-- lines there are stands in bench/peers/README.md.

local shell = require "shell"

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
    add(list, {
        name = name, command = program .. " " .. arguments, plays = plays,
        version = shell.output("pkg-config --modversion hiredis"):match("^%S+"),
    }, program, "make everything")
end

local OURS = "env -u LUA_PATH_5_4 -u LUA_CPATH_5_4 'LUA_PATH=%slua/?.lua;%slua/?/init.lua;;'"
    .. " 'LUA_CPATH=%s/?.so;;' %s %sbench/ours.lua %s"

local function add_ours(list, root, lua, host, plays, manner)
    local build = ("%sbuild/%s"):format(root, lua)
    manner = manner or ""
    add(list, {
        name = "ours, " .. (host == "blocking" and lua or host) .. manner:gsub(",", ", "),
        command = OURS:format(root, root, build, lua, root, host .. manner),
        plays = plays,
        version = shell.output(lua .. " -v"):match("^%S+ %S+") .. ", "
            .. shell.output("git describe --always --dirty"):match("^%S+"),
    }, build .. "/redlock/core.so", "make LUA=" .. lua)
end

local NODE = "env NODE_PATH=BUILD/node/node_modules node --expose-gc "

-- Each is installed from a folder of bench/peers, whose manifest pins its version. In the command,
-- BUILD and PEERS are folders.
local PEERS = {
    {
        name = "node-redlock", folder = "node", manifest = "package.json",
        version = '"redlock": "([^"]+)"',
        command = NODE .. "PEERS/node/node_redlock.js",
    },
    {
        name = "redis-semaphore", folder = "node", manifest = "package.json",
        version = '"redis%-semaphore": "([^"]+)"',
        command = NODE .. "PEERS/node/redis_semaphore.js",
    },
    {
        name = "redis-py", folder = "python", manifest = "requirements.txt",
        version = "redis==(%S+)", command = "BUILD/python/bin/python PEERS/python/redis_py.py",
    },
    {
        name = "pottery", folder = "python", manifest = "requirements.txt",
        version = "pottery==(%S+)",
        command = "BUILD/python/bin/python PEERS/python/pottery_redlock.py",
    },
    {
        name = "redsync", folder = "go", manifest = "go.mod", version = "redsync/v4 v(%S+)",
        command = "BUILD/go/peer",
    },
    {
        name = "rueidislock", folder = "rueidislock", manifest = "go.mod",
        version = "rueidislock v(%S+)", command = "BUILD/rueidislock/peer",
    },
    {
        name = "Redisson", folder = "redisson", manifest = "pom.xml",
        version = "<groupId>org.redisson</groupId>%s*<artifactId>redisson</artifactId>"
            .. "%s*<version>([^<]+)<",
        command = "java -cp 'BUILD/redisson:BUILD/redisson/*' Peer",
    },
    {
        name = "redlock4j", folder = "redlock4j", manifest = "pom.xml",
        version = "<groupId>org.codarama</groupId>%s*<artifactId>redlock4j</artifactId>"
            .. "%s*<version>([^<]+)<",
        command = "java -cp 'BUILD/redlock4j:BUILD/redlock4j/*' Peer",
    },
}

local function add_peer(list, root, peer)
    local build, peers = root .. "build/peers", root .. "bench/peers"
    local manifest = shell.read(("%s/%s/%s"):format(peers, peer.folder, peer.manifest))
    add(list, {
        name = peer.name, version = manifest:match(peer.version),
        command = (peer.command:gsub("BUILD", build):gsub("PEERS", peers)),
    }, ("%s/%s.installed"):format(build, peer.folder), "make bench-peers")
    local reason = shell.read(("%s/%s.absent"):format(build, peer.folder)):match("[^\n]+")
    if reason then
        list[#list].absent = "cannot be installed here: " .. reason
    end
end

--- All contestants, in the order of the tables.
-- @tparam string root of the checkout: empty, or with a slash at its end
-- @tparam boolean with_peers those that are no Debian packages, too
-- @treturn {table,...} each `{ name, version, command, plays, absent }`
function contestants.list(root, with_peers)
    local list = {}
    add_floor(list, root, "hiredis", "plain", "pairs many processes callers first")
    add_floor(list, root, "hiredis, eager", "eager", "pairs")
    add_floor(list, root, "hiredis, our scripts", ("scripts %s%s"):format(root, SCRIPTS), "pairs")
    add_ours(list, root, "lua5.4", "blocking", "pairs processes hold first")
    add_ours(list, root, "luajit", "blocking", "pairs processes first")
    add_ours(list, root, "lua5.4", "blocking", "processes", ",fair")
    add_ours(list, root, "lua5.4", "cqueues", "many callers waiters")
    add_ours(list, root, "lua5.4", "luv", "many callers waiters")
    add_ours(list, root, "lua5.4", "cqueues", "callers", ",cohort")
    add_ours(list, root, "lua5.4", "luv", "callers", ",cohort")
    for _, peer in ipairs(with_peers and PEERS or {}) do
        add_peer(list, root, peer)
    end
    return list
end

--- Whether one takes part in a contest; who is absent does not.
-- @tparam table contestant
-- @tparam string contest `pairs`, `many`, `processes`, `callers`, `waiters`, `hold` or `first`
-- @treturn boolean
function contestants.plays(contestant, contest)
    local list = contestant.plays
    if contestant.absent or not list then
        return not contestant.absent
    end
    return (" " .. list .. " "):find(" " .. contest .. " ", 1, true) ~= nil
end

-- "ours" chooses all of ours, "node-redlock" that one.
local function is_chosen(name, wanted)
    local plain = name:gsub("[^%w%-%.]+", "-"):lower()
    for word in wanted:lower():gmatch("[^,]+") do
        if plain:find(word, 1, true) == 1 then
            return true
        end
    end
    return wanted == ""
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
