--- Runs inside nginx: each phase of a request plays what the request brings along for it, so that a
-- spec has its Lua beside its claims. See `Nginx:play` in nginx.lua. What a part may use:
--
--   * `client`: made in the master process; `redlock`
--   * `note(...)`: writes down a line, for the spec to read
--   * `await(gate)`: sleeps until the spec opens that gate
--   * `kept`: a table that lives as long as the worker
--   * `describe(...)`: the results of a call, as one string

-- luacheck: globals ngx

local redlock = require "redlock"

local stage = { kept = {} }

local notes, gates = ngx.shared.notes, ngx.shared.gates

local function describe(...)
    local words = {}
    for index = 1, select("#", ...) do
        local value = select(index, ...)
        words[index] = type(value) == "userdata" and "lock" or tostring(value)
    end
    return table.concat(words, " | ")
end

function stage.note(...)
    assert(notes:rpush("notes", describe(...)))
end

function stage.await(gate)
    while not gates:get(gate) do
        ngx.sleep(0.005)
    end
end

--- For the master process, in init_by_lua.
function stage.init(settings)
    stage.client = redlock.new(settings)
end

local function compile(code, title)
    local chunk = assert(loadstring(code, title))
    local props = {
        client = stage.client, redlock = redlock, kept = stage.kept,
        note = stage.note, await = stage.await, describe = describe,
    }
    return setfenv(chunk, setmetatable(props, { __index = _G, __newindex = _G }))
end

--- Plays what the request brings for a phase of a place.
-- @treturn boolean false when it brings nothing
function stage.play(place, phase)
    local code = ngx.var["http_play_" .. place .. "_" .. phase]
    if not code then
        return false
    end
    compile(ngx.unescape_uri(code), "=" .. phase)()
    return true
end

--- The same for content, where there has to be something.
function stage.play_content(place)
    if not stage.play(place, "content") then
        ngx.say "played"
    end
end

--- The same for the body filter: once, at the end of the body.
function stage.play_body(place)
    if ngx.arg[2] then
        stage.play(place, "body_filter")
    end
end

--- Plays what the spec has told for a phase that no request belongs to, or none that has come yet.
function stage.play_told(phase)
    local code = gates:get("told " .. phase)
    if code then
        compile(code, "=" .. phase)()
    end
end

-- Orders of the spec, by the path of the request.

function stage.open()
    gates:set(ngx.var.arg_gate, true)
end

function stage.tell()
    ngx.req.read_body()
    gates:set("told " .. ngx.var.arg_phase, ngx.req.get_body_data())
end

function stage.notes()
    for index = 1, notes:llen "notes" do
        local line = notes:lpop "notes"
        notes:rpush("notes", line)
        ngx.print(index > 1 and "\n" or "", line)
    end
end

function stage.reset()
    notes:flush_all()
    gates:flush_all()
    for key in pairs(stage.kept) do
        stage.kept[key] = nil
    end
end

return stage
