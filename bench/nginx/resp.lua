--- Redis' protocol on a cosocket: as much of it as a lock needs.
-- luacheck: globals ngx

local resp = {}

--- A command as bytes.
-- @tparam string|number ... the command and its arguments
-- @treturn string
function resp.request(...)
    local count = select("#", ...)
    local parts = { "*", count, "\r\n" }
    for index = 1, count do
        local word = tostring((select(index, ...)))
        local last = #parts
        parts[last + 1], parts[last + 2], parts[last + 3] = "$", #word, "\r\n"
        parts[last + 4], parts[last + 5] = word, "\r\n"
    end
    return table.concat(parts)
end

local function read_bulk(socket, size)
    if size < 0 then
        return ngx.null
    end
    local bytes, failure = socket:receive(size + 2)
    if not bytes then
        return nil, failure
    end
    return bytes:sub(1, size)
end

--- Reads one reply.
-- @tparam cosocket socket
-- @treturn[1] string|number a status, a bulk string or an integer; `ngx.null` for none
-- @treturn[2] boolean false: the server's error
-- @treturn[2] string its text
-- @treturn[3] nil the connection is of no more use
-- @treturn[3] string why
function resp.read(socket)
    local line, failure = socket:receive()
    if not line then
        return nil, failure
    end
    local kind, rest = line:sub(1, 1), line:sub(2)
    if kind == "+" then
        return rest
    elseif kind == ":" then
        return tonumber(rest)
    elseif kind == "$" then
        return read_bulk(socket, tonumber(rest))
    elseif kind == "-" then
        return false, rest
    end
    return nil, "not a reply: " .. line
end

return resp
