--- Runs the model of a Redis server on a list of events, and tells what came out of it.
--
-- An event is one of
--   { "accept", session }                  a number of the caller's choice, below 64
--   { "close", session }
--   { "receive", session, now_ms, bytes }
--   { "restart", keeps_data, now_ms }      sessions are over, and still to be closed
--   { "look", now_ms, key }

local keeper = require "keeper"

local model = {}

-- Built beside the module, and with the same sanitizer.
local function program_path()
    local build = os.getenv "REDLOCK_BUILD" or ""
    return "build/sim" .. (build:match "^build/[^-]+(.*)$" or "") .. "/redis/model"
end

local writers = {}

function writers.accept(session)
    return ("accept %d\n"):format(session)
end

function writers.close(session)
    return ("close %d\n"):format(session)
end

function writers.receive(session, now_ms, bytes)
    return ("receive %d %.0f %d\n%s\n"):format(session, now_ms, #bytes, bytes)
end

function writers.restart(keeps_data, now_ms)
    return ("restart %d %.0f\n"):format(keeps_data and 1 or 0, now_ms)
end

function writers.look(now_ms, key)
    return ("look %.0f %d\n%s\n"):format(now_ms, #key, key)
end

local function write(events, path)
    local file = assert(io.open(path, "wb"))
    for _, event in ipairs(events) do
        assert(file:write(writers[event[1]](event[2], event[3], event[4])))
    end
    assert(file:close())
end

local function read_bytes(pipe, len)
    local bytes = len > 0 and pipe:read(len) or ""
    pipe:read(1)
    return bytes
end

local function read_output(pipe)
    local output = { bytes = {} }
    local line = pipe:read "*l"
    while line and line ~= "." do
        local word, rest = line:match "^(%S+) (.*)$"
        if word == "over" then
            output.over = tonumber(rest)
        elseif word == "value" then
            local kind, len, expiry = rest:match "^(%a+) (%d+) (%d+)$"
            output.value = { kind = kind, len = tonumber(len), expires_at_ms = expiry }
            output.value.bytes = read_bytes(pipe, kind == "bytes" and output.value.len or 0)
        else
            output.bytes[tonumber(word)] = read_bytes(pipe, tonumber(rest))
        end
        line = pipe:read "*l"
    end
    return line and output
end

--- Runs a fresh model.
-- @tparam {table,...} events
-- @tparam[opt] string engine what runs the scripts: "trees" or "luajit"; the first that can, unless
-- it is given
-- @treturn {table,...} for each event `bytes`, by session, of those that were sent something;
-- `over`, a session that the server closed; `value`, what a look found, with a `kind` ("absent",
-- "bytes" or "members"), `bytes`, `len`, and `expires_at_ms` in decimal
function model.run(events, engine)
    local path = os.tmpname()
    write(events, path)
    local command = ("%s %s <%s"):format(program_path(), engine or "", keeper.quote(path))
    local pipe = assert(io.popen(command, "r"))
    local outputs = {}
    for index = 1, #events do
        outputs[index] = read_output(pipe)
    end
    pipe:close()
    os.remove(path)
    assert(#outputs == #events, "the model ended early")
    return outputs
end

return model
