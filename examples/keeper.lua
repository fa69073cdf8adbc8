--- Runs a command as a child that cannot outlive this process, however this process ends.
-- A small shell, the keeper, holds the child and reads our orders from a pipe. When we die, even by
-- `kill -9`, the pipe closes, and the keeper kills the child and removes its private directory.
-- Where the system has `setsid`, it lives in a session of its own, which Ctrl-C does not reach.
-- What we forked, and what `os.execute` runs, holds the pipe too: the child lives as long as they.

local keeper = {}

local Keeper = {}
Keeper.__index = Keeper

-- Orders come in on stdin, one a line; each is answered by a file `answer.<its number>`. The inner
-- shell waits for the child and notes its exit in `status`: so nothing is ever left as a zombie,
-- and the owner sees an end by looking for that file.
local KEEPER_SCRIPT = [=[
unset KEEPER
dir=$1 group=$2 number=0 child=
trap '' HUP INT QUIT TERM PIPE
umask 077
mkdir "$dir" && mkfifo "$dir/stdin" || { cat; exit 1; }
exec 3<>"$dir/stdin"

answer() { echo "$*" >"$dir/answer" && mv "$dir/answer" "$dir/answer.$number"; }
running() { [ -n "$child" ] && [ ! -f "$dir/status" ]; }
send() { running && kill -s "$1" "$child"; }
ended_within() {
    left=$1
    while running; do
        [ "$left" -gt 0 ] || return 1
        left=$((left - 1))
        sleep 0.01
    done
}
save() {
    while IFS= read -r line && [ "$line" != "$2" ]; do printf '%s\n' "$line"; done >"$dir/$1"
}
launch() {
    rm -f "$dir/status" "$dir/pid"
    {
        (trap - HUP INT QUIT TERM PIPE; exec sh "$dir/command") \
            <"$dir/stdin" >>"$dir/output" 2>>"$dir/errors" &
        echo $! >"$dir/pid.new" && mv "$dir/pid.new" "$dir/pid"
        wait $!
        echo $? >"$dir/status.new" && mv "$dir/status.new" "$dir/status"
    } 3>&- &
    until [ -f "$dir/pid" ]; do sleep 0.002; done
    read -r child <"$dir/pid"
}
start() {
    launch
    left=$1
    until sh "$dir/ready"; do
        running || { answer ended; return; }
        [ "$left" -gt 0 ] || { send KILL; ended_within 500; answer late; return; }
        left=$((left - 1))
        sleep 0.01
    done
    answer started "$child"
}
stop() {
    send TERM
    send CONT
    ended_within "$1" || { send KILL; ended_within 500; }
    answer stopped
}

while read -r order rest; do
    number=$((number + 1))
    case $order in
    save) save "${rest% *}" "${rest#* }" ;;
    start) start "$rest" ;;
    signal) send "$rest"; answer sent ;;
    stop) stop "$rest" ;;
    tell) printf '%s\n' "$rest" >&3 ;;
    settle) answer settled ;;
    esac
done
send KILL
ended_within 500
rm -rf "$dir"
[ -z "$group" ] || kill -s KILL 0
]=]

-- Waits for an answer file: prints and removes it, or gives up after $2 steps of 5 ms.
local AWAIT_SCRIPT = [=[
left=$2
until [ -f "$1" ]; do
    [ "$left" -gt 0 ] || exit 1
    left=$((left - 1))
    sleep 0.005
done
cat "$1"
rm -f "$1"
]=]

--- Quotes one word for the shell.
-- @tparam string|number word
-- @treturn string the word between quotes, to be put into a command line
function keeper.quote(word)
    return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local quote = keeper.quote

--- Random bytes, for names that nobody else picks.
-- @tparam number count how many
-- @treturn string that many bytes
function keeper.random_bytes(count)
    local source = io.open("/dev/urandom", "rb")
    if source then
        source:setvbuf("no")
        local bytes = source:read(count)
        source:close()
        return bytes
    end
    local bytes = {}
    for index = 1, count do
        bytes[index] = string.char(math.random(0, 255))
    end
    return table.concat(bytes)
end

--- A random name.
-- @treturn string 16 hexadecimal digits
function keeper.random_name()
    local bytes = keeper.random_bytes(8)
    return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

-- Short, since a Unix socket's path, which may lie in here, holds about 100 bytes.
local function private_directory()
    local parent = os.getenv("TMPDIR") or "/tmp"
    if parent == "" or #parent > 60 then
        parent = "/tmp"
    end
    return (parent:gsub("/+$", "")) .. "/redlock-" .. keeper.random_name()
end

--- Makes a keeper: a private directory and a shell that waits for orders. Does not wait for it.
-- @tparam[opt=false] boolean same_session it stays in this process' session, where Ctrl-C reaches the
-- child; some systems share processor time out by session
-- @treturn Keeper with `dir`, the path of its private directory
function keeper.new(same_session)
    local dir = private_directory()
    local run = ("sh -c 'eval \"$KEEPER\"' keeper %s"):format(quote(dir))
    local command = [[
        exec >/dev/null 2>&1
        export KEEPER=%s
        %s && exec setsid %s group
        exec %s
    ]]
    local leave = same_session and "false" or "command -v setsid"
    local pipe = assert(io.popen(command:format(quote(KEEPER_SCRIPT), leave, run, run), "w"))
    return setmetatable({ dir = dir, pipe = pipe, orders = 0 }, Keeper)
end

local function order(self, text)
    if not self.pipe then
        error("this child was closed", 3)
    end
    self.orders = self.orders + 1
    self.pipe:write(text, "\n")
    self.pipe:flush()
    return self.orders
end

-- The answer to the order of that number, or nil when none came in time.
local function await(self, number, seconds)
    local command = ("sh -c %s await %s %d"):format(
        quote(AWAIT_SCRIPT), quote(self.dir .. "/answer." .. number), math.ceil(seconds * 200))
    local pipe = assert(io.popen(command, "r"))
    local answer = pipe:read("*a")
    pipe:close()
    return answer ~= "" and answer or nil
end

--- Writes a text file into the private directory.
-- @tparam string name file name, without blanks
-- @tparam string text no NUL; a newline is added when the last one is missing
function Keeper:save(name, text)
    local final = "end-" .. keeper.random_name()
    local newline = text:sub(-1) == "\n" and "" or "\n"
    order(self, ("save %s %s\n%s%s%s"):format(name, final, text, newline, final))
end

--- Waits until all that was ordered before has been done.
function Keeper:settle()
    await(self, order(self, "settle"), 10)
end

--- Starts the child; does not wait for it, see `started`. Its output goes to the files `output` and
-- `errors` of the private directory.
-- @tparam string command shell text; begin the program with `exec`, so that signals reach it
-- @tparam[opt] string ready shell text that succeeds once the child is up; tried every 10 ms
-- @tparam[opt=10] number seconds how long it may take to come up
function Keeper:start(command, ready, seconds)
    self:save("command", command)
    self:save("ready", ready or "exit 0")
    self.seconds = seconds or 10
    self.starting = order(self, ("start %d"):format(self.seconds * 100))
end

--- Waits until the child that was started last is up.
-- @treturn[1] number its process id
-- @treturn[2] nil
-- @treturn[2] string "ended" (it exited first) or "late" (it was not up in time, and was killed)
function Keeper:started()
    if self.starting then
        local answer = await(self, self.starting, self.seconds + 10)
        self.starting = nil
        if not answer then
            error("no answer from the keeper of " .. self.dir .. ": can that directory be made?", 2)
        end
        self.pid = tonumber(answer:match("^started (%d+)"))
        self.failure = not self.pid and answer:match("%a+") or nil
    end
    return self.pid, self.failure
end

--- Whether the child is there; one that is stopped by SIGSTOP is.
-- @treturn boolean
function Keeper:running()
    return self.pid ~= nil and self:status() == nil
end

--- How the child ended.
-- @treturn ?number its exit status, or 128 + the signal that ended it; nil while it runs
function Keeper:status()
    return tonumber(self:read("status"))
end

--- Reads a file of the private directory.
-- @tparam string name
-- @treturn string its content so far; empty when there is no such file
function Keeper:read(name)
    local file = io.open(self.dir .. "/" .. name, "rb")
    if not file then
        return ""
    end
    local content = file:read("*a")
    file:close()
    return content
end

--- Sends a signal to the child, and returns when it is sent. No effect when the child has ended.
-- @tparam string name "INT", "STOP", "CONT", "KILL", ...
function Keeper:signal(name)
    self:started()
    await(self, order(self, "signal " .. name), 10)
end

--- Terminates the child and waits until it is gone; one that does not obey is killed.
-- @tparam[opt=5] number seconds how long it may take to obey
function Keeper:stop(seconds)
    self:started()
    seconds = seconds or 5
    await(self, order(self, ("stop %d"):format(seconds * 100)), seconds + 10)
end

--- Writes a line to the child's standard input.
-- @tparam string line no newline in it; blanks at its ends are dropped
function Keeper:tell(line)
    order(self, "tell " .. line)
end

--- Kills the child, removes the private directory, and returns when both are gone.
function Keeper:close()
    if self.pipe then
        self.pipe:close()
        self.pipe, self.pid = nil, nil
    end
end

return keeper
