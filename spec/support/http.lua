--- A small HTTP/1.1 client: many requests to servers on 127.0.0.1 at once, each with a deadline, and
-- each to be aborted. HTTP/2 and TLS go by the `curl` command.

local keeper = require "keeper"
local socket = require "socket"
local wait = require "support.wait"

local http = {}

local Request = {}
Request.__index = Request

local PATIENCE = 60 -- seconds: no answer takes so long unless something is wrong

local open = {} -- every request that is under way: request -> true

-- The bytes of a chunked body, or nil while its end has not come.
local function decode_chunks(bytes, position)
    local parts = {}
    while true do
        local first, last, digits = bytes:find("^(%x+)[^\r\n]*\r\n", position)
        if not first then
            return nil
        end
        local size = tonumber(digits, 16)
        if #bytes < last + size + 2 then
            return nil
        elseif size == 0 then
            return table.concat(parts)
        end
        parts[#parts + 1] = bytes:sub(last + 1, last + size)
        position = last + size + 3
    end
end

local function read_head(request)
    local head, position = request.bytes:match("^(.-\r\n)\r\n()")
    if not head then
        return
    end
    request.status = tonumber(head:match("^HTTP/1%.[01] (%d%d%d)"))
    request.headers, request.body_at = {}, position
    for name, value in head:gmatch("\n([^:\r]+):%s*([^\r]*)") do
        request.headers[name:lower()] = value
    end
end

-- The body, once it is whole; at the end of the stream that is whatever came.
local function read_body(request, at_end)
    local length = tonumber(request.headers["content-length"])
    if request.status == 204 or request.status == 304 then
        return ""
    elseif request.headers["transfer-encoding"] == "chunked" then
        return decode_chunks(request.bytes, request.body_at)
    elseif length then
        local body = request.bytes:sub(request.body_at, request.body_at + length - 1)
        return #body == length and body or nil
    end
    return at_end and request.bytes:sub(request.body_at) or nil
end

local function conclude(request, failure)
    request.failure = failure
    request.ended_at = wait.now()
    open[request] = nil
    local kept = request.keep and not failure and request.headers.connection ~= "close"
    if not kept then
        request.socket:close()
        request.socket = nil
    end
end

local function advance(request, at_end)
    if not request.headers then
        read_head(request)
    end
    request.body = request.headers and read_body(request, at_end)
    if request.body then
        conclude(request)
    elseif at_end then
        conclude(request, "closed")
    end
end

local function take_bytes(request)
    request.socket:settimeout(0)
    local bytes, reason, part = request.socket:receive(65536)
    request.bytes = request.bytes .. (bytes or part)
    advance(request, reason ~= nil and reason ~= "timeout")
end

local function text_of(what)
    local body = what.body or ""
    local lines = {
        ("%s %s HTTP/1.1"):format(what.method or (what.body and "POST" or "GET"), what.path),
        "Host: localhost",
        what.keep and "Connection: keep-alive" or "Connection: close",
        what.body and ("Content-Length: %d"):format(#body) or nil,
    }
    for name, value in pairs(what.headers or {}) do
        lines[#lines + 1] = ("%s: %s"):format(name, value)
    end
    return table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
end

--- Sends a request and does not wait for its answer.
-- @tparam number port on 127.0.0.1
-- @tparam table|string what a path, or
--
--   * `path`, `method` (GET, or POST where there is a body), `headers`, `body`
--   * `seconds`: until it fails with "timeout", by default 60
--   * `keep`: true to keep the connection afterwards
--   * `over`: an earlier request that was kept, whose connection is used again
-- @treturn Request
function http.open(port, what)
    what = type(what) == "string" and { path = what } or what
    local request = setmetatable({
        path = what.path, keep = what.keep, bytes = "", begun_at = wait.now(),
    }, Request)
    request.deadline = request.begun_at + (what.seconds or PATIENCE)
    if what.over then
        request.socket, what.over.socket = assert(what.over.socket, "not kept"), nil
    else
        request.socket = assert(socket.connect("127.0.0.1", port))
    end
    request.socket:settimeout(PATIENCE)
    open[request] = true
    local sent, reason = request.socket:send(text_of(what))
    if not sent then
        conclude(request, reason)
    end
    return request
end

local function sockets_of(requests)
    local sockets, owners = {}, {}
    for request in pairs(requests) do
        sockets[#sockets + 1] = request.socket
        owners[request.socket] = request
    end
    return sockets, owners
end

--- Reads what has come for any request that is under way, and fails those whose time is over.
-- @tparam[opt=0] number seconds how long it waits for something to come
function http.drive(seconds)
    local sockets, owners = sockets_of(open)
    if #sockets == 0 then
        wait.sleep(seconds or 0)
        return
    end
    for _, ready in ipairs((socket.select(sockets, nil, seconds or 0))) do
        take_bytes(owners[ready])
    end
    local now = wait.now()
    for _, request in pairs(owners) do
        if open[request] and now > request.deadline then
            conclude(request, "timeout")
        end
    end
end

--- Waits for a condition while requests are served; like `wait.wait_until`.
-- @tparam function condition
-- @tparam[opt=60] number seconds
-- @return what the condition returned, or nil and "timeout"
function http.wait_until(condition, seconds)
    local deadline = wait.now() + (seconds or PATIENCE)
    while true do
        http.drive(0.01)
        local result = condition()
        if result then
            return result
        elseif wait.now() > deadline then
            return nil, "timeout"
        end
    end
end

--- Waits until all of these have ended.
-- @tparam {Request,...} requests
function http.finish(requests)
    local function all_ended()
        for _, request in ipairs(requests) do
            if not request:ended() then
                return false
            end
        end
        return true
    end
    while not all_ended() do -- each has a deadline
        http.drive(0.05)
    end
end

--- Sends a request and waits for its answer.
-- @treturn Request
function http.get(port, what)
    return http.open(port, what):finish()
end

--- Aborts every request that is under way.
-- @treturn number how many there were
function http.abort_all()
    local count = 0
    for request in pairs(open) do
        request:abort()
        count = count + 1
    end
    return count
end

--- Whether its answer has come whole, or will never come.
-- @treturn boolean
function Request:ended()
    return self.ended_at ~= nil
end

--- Waits until it has ended.
-- @treturn Request itself, with `status`, `headers` (names in lower case) and `body`; or with
-- `failure`: "timeout", "closed" (before the answer was whole), "aborted"
function Request:finish()
    http.finish { self }
    return self
end

--- Closes the connection, as a client does that loses patience.
function Request:abort()
    if not self:ended() then
        conclude(self, "aborted")
    end
end

--- The command line of a curl that prints bodies, and after each a line "status version".
-- @tparam string ... arguments, such as URLs and options
-- @treturn string shell text
function http.curl_command(...)
    local trailer = keeper.quote [[\n%{http_code} %{http_version}\n]]
    local words = { "exec curl --silent --show-error --no-progress-meter --write-out " .. trailer }
    for index = 1, select("#", ...) do
        words[#words + 1] = keeper.quote((select(index, ...)))
    end
    return table.concat(words, " ")
end

--- Runs curl to its end.
-- @tparam string ... arguments
-- @treturn string what it printed
function http.curl(...)
    local pipe = assert(io.popen(("(%s) 2>&1"):format(http.curl_command(...)), "r"))
    local output = pipe:read("*a")
    pipe:close()
    return output
end

return http
