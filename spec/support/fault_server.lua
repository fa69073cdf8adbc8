--- The process behind fault.lua: a proxy to a Redis server, or a fake one, with faults that its
-- owner switches on and off over a control connection. Argument: the target's port, or 0 for a fake
-- server. Prints its own port and its control port. Everything waits in one `select`.

local socket = require "socket"
local literal = require "support.literal"
local resp = require "support.resp"

local BLOCK = 65536
local SUBSCRIBES = { SUBSCRIBE = true, PSUBSCRIBE = true, SSUBSCRIBE = true }

local target_port = tonumber(arg[1])
local listener, port, control_listener, control
local behaviour = {} -- as fault.lua describes it
local links = {} -- one for each accepted connection: link -> true
local busy = {} -- those of them that have something to send or to end: link -> true
local sockets = {} -- connection -> link
local readers -- all that can be read from, while none has come or gone; else nil
local counts = { accepted = 0, commands = 0, replies = 0, dropped = 0, names = {} }

-- A lane is one direction of a link: items wait for their moment, then go to `to`.
local function new_lane(link, to)
    return { link = link, to = to, items = {}, sent = 0 }
end

local function put(lane, bytes, delay_ms)
    local jitter_ms = (behaviour.jitter or 0) * math.random()
    local due = socket.gettime() + ((delay_ms or 0) + jitter_ms) / 1000
    lane.items[#lane.items + 1] = { bytes = bytes, due = due }
    busy[lane.link] = true
end

local function end_lane(lane)
    lane.closing = true
    busy[lane.link] = true
end

local function close(connection, reset)
    if connection then
        sockets[connection], readers = nil, nil
        if reset then
            connection:setoption("linger", { on = true, timeout = 0 })
        end
        connection:close()
    end
end

local function end_link(link, reset)
    links[link], busy[link] = nil, nil
    close(link.client, reset)
    close(link.upstream)
end

-- What we answer ourselves keeps its place behind the replies that the target still owes.
local function put_own_answers(link)
    while link.owed[1] and link.owed[1].answer do
        put(link.replies, table.remove(link.owed, 1).answer, behaviour.delay_replies)
    end
end

local function own_answer(name)
    local answers = behaviour.answers
    local answer = answers and (answers[name] or answers["*"])
    if type(answer) == "table" then
        return #answer > 1 and table.remove(answer, 1) or answer[1]
    end
    return answer
end

local function take_request(link, bytes, name)
    counts.commands = counts.commands + 1
    counts.names[name] = (counts.names[name] or 0) + 1
    link.pushes = link.pushes or SUBSCRIBES[name] -- such replies are owed to nobody
    local answer = own_answer(name)
    if answer and link.pushes then
        put(link.replies, answer, behaviour.delay_replies)
    elseif answer then
        table.insert(link.owed, { answer = answer })
        put_own_answers(link)
    elseif link.upstream then
        link.owed[#link.owed + 1] = not link.pushes and { name = name } or nil
        put(link.requests, bytes, behaviour.delay_requests)
    end
end

local function drops(name)
    local drop = behaviour.drop_replies
    return drop and drop.count > 0 and (drop.command == nil or drop.command == name)
end

local function take_reply(link, bytes)
    local owed = not link.pushes and table.remove(link.owed, 1) or {}
    if link.replies.closing then
        return
    elseif drops(owed.name) then
        behaviour.drop_replies.count = behaviour.drop_replies.count - 1
        counts.dropped = counts.dropped + 1
        if behaviour.drop_replies.count == 0 then
            end_lane(link.replies)
        end
    else
        counts.replies = counts.replies + 1
        put(link.replies, bytes, behaviour.delay_replies)
        put_own_answers(link)
    end
end

local function receive(connection)
    local bytes, failure, part = connection:receive(BLOCK)
    bytes = bytes or part
    return bytes ~= "" and bytes or nil, failure ~= nil and failure ~= "timeout"
end

local function read_client(link)
    local bytes, closed = receive(link.client)
    if bytes and not link.deaf then
        link.stream = link.stream or behaviour.stream
        busy[link] = busy[link] or link.stream ~= nil
        if behaviour.raw and link.upstream then
            put(link.requests, bytes, behaviour.delay_requests)
        else
            link.half_request = resp.split(link.half_request .. bytes, resp.request_end,
                function(request, name) take_request(link, request, name) end)
        end
    end
    if closed then
        close(link.client)
        link.client = nil
        end_lane(link.requests)
    end
end

local function read_upstream(link)
    local bytes, closed = receive(link.upstream)
    if bytes and behaviour.raw then
        put(link.replies, bytes, behaviour.delay_replies)
    elseif bytes then
        link.half_reply = resp.split(link.half_reply .. bytes, resp.reply_end,
            function(reply) take_reply(link, reply) end)
    end
    if closed then
        close(link.upstream)
        link.upstream = nil
        end_lane(link.replies)
    end
end

-- Sends what is due, one chunk if so told, `limit` bytes in the lane's life at most. Answers false
-- when the link has to be closed.
local function send_due(lane, now, limit)
    local item = lane.items[1]
    while item and item.due <= now do
        local chunk = math.min(behaviour.chunk or #item.bytes, limit - lane.sent)
        local last, failure, part = lane.to:send(item.bytes, 1, chunk)
        local sent = last or part or 0
        lane.sent = lane.sent + sent
        lane.blocked = failure == "timeout"
        item.bytes = item.bytes:sub(sent + 1)
        if failure and failure ~= "timeout" or lane.sent >= limit then
            return false
        elseif #item.bytes > 0 then
            item.due = now + (behaviour.chunk_delay or 0) / 1000
            return true
        end
        table.remove(lane.items, 1)
        item = lane.items[1]
    end
    return not (lane.closing and item == nil)
end

local function pump_replies(link, now)
    local lane, limit = link.replies, behaviour.close_after or math.huge
    if link.client and not behaviour.hold_replies and not send_due(lane, now, limit) then
        end_link(link)
    elseif link.stream and #lane.items == 0 then
        put(lane, (lane.sent == 0 and link.stream.first or "") .. link.stream.rest)
    end
end

local function pump_requests(link, now)
    local may_send = link.upstream and not behaviour.hold_requests
    local limit = behaviour.close_requests_after or math.huge
    if not link.client and not link.upstream
        or may_send and not send_due(link.requests, now, limit) then
        end_link(link)
    end
end

local function prepare(connection)
    connection:settimeout(0)
    connection:setoption("tcp-nodelay", true)
    return connection
end

-- Does not wait: a target that is stopped takes only so many connections.
local function connect()
    local upstream = prepare(socket.tcp())
    local ok, failure = upstream:connect("127.0.0.1", target_port)
    if not ok and failure ~= "timeout" then
        upstream:close()
        return nil
    end
    return upstream
end

local function accept()
    local client = listener:accept()
    if not client then
        return
    end
    counts.accepted = counts.accepted + 1
    local upstream
    if target_port ~= 0 and not behaviour.silent and not behaviour.close_on_accept then
        upstream = connect()
    end
    local is_proxy = target_port ~= 0 and not behaviour.silent
    if behaviour.close_on_accept or is_proxy and not upstream then
        return close(client, behaviour.close_on_accept == "reset")
    end
    local link = { client = prepare(client), upstream = upstream }
    link.requests, link.replies = new_lane(link, upstream), new_lane(link, client)
    link.half_request, link.half_reply, link.owed = "", "", {}
    link.deaf = behaviour.silent
    links[link], readers = true, nil
    sockets[client] = link
    if upstream then
        sockets[upstream] = link
    end
end

local function listen()
    if not listener then
        readers = nil
        listener = assert(socket.bind("127.0.0.1", port or 0, 512))
        listener:settimeout(0)
        port = select(2, listener:getsockname())
    end
end

local function refuse()
    close(listener)
    listener = nil
end

local function each_link(act)
    local all = {}
    for link in pairs(links) do
        all[#all + 1] = link
    end
    for _, link in ipairs(all) do
        act(link)
    end
    return #all
end

local verbs = {}

function verbs.set(changes)
    for name, value in pairs(changes) do
        behaviour[name] = value
    end
    if changes.close_after then
        each_link(function(link) link.replies.sent = 0 end)
    end
    if changes.close_requests_after then
        each_link(function(link) link.requests.sent = 0 end)
    end
end

function verbs.clear()
    behaviour = {}
end

function verbs.cut(options)
    return each_link(function(link) end_link(link, options.reset) end)
end

function verbs.half_open()
    return each_link(function(link)
        close(link.upstream)
        link.upstream, link.deaf = nil, true
        link.requests, link.replies = new_lane(link), new_lane(link, link.client)
    end)
end

function verbs.half_close()
    return each_link(function(link) link.client:shutdown("send") end)
end

function verbs.inject(bytes)
    return each_link(function(link) put(link.replies, bytes) end)
end

function verbs.aim(new_port)
    target_port = new_port
end

verbs.refuse, verbs.listen = refuse, listen

function verbs.stats()
    local open = each_link(function() end)
    return { accepted = counts.accepted, open = open, commands = counts.commands,
        replies = counts.replies, dropped = counts.dropped, names = counts.names }
end

local function obey()
    control:settimeout(1)
    local line = control:receive("*l")
    if not line then
        os.exit(0) -- the owner has gone
    end
    local verb, rest = line:match("^(%S+) (.*)$")
    control:send(literal.write(verbs[verb](literal.read(rest)) or true) .. "\n")
end

local function all_readers()
    local list = { control or control_listener, listener }
    for connection in pairs(sockets) do
        list[#list + 1] = connection
    end
    return list
end

local function blocked_writers()
    local list
    for link in pairs(busy) do
        for _, lane in ipairs { link.requests, link.replies } do
            if lane.blocked then
                list = list or {}
                list[#list + 1] = lane.to
            end
        end
    end
    return list
end

local function seconds_to_next_item(now)
    local first = now + 3600
    for link in pairs(busy) do
        local request = not behaviour.hold_requests and link.upstream and link.requests.items[1]
        local reply = not behaviour.hold_replies and link.client and link.replies.items[1]
        first = math.min(first, request and not link.requests.blocked and request.due or first,
            reply and not link.replies.blocked and reply.due or first)
    end
    return math.max(first - now, 0)
end

local function read_from(connection)
    local link = sockets[connection]
    if link and connection == link.client then
        read_client(link)
    elseif link then
        read_upstream(link)
    end
end

local function is_busy(link)
    local requests, replies = link.requests, link.replies
    return requests.items[1] or replies.items[1] or requests.closing or replies.closing
        or link.stream or not link.client and not link.upstream
end

local function pump()
    local now = socket.gettime()
    for link in pairs(busy) do
        pump_replies(link, now)
        if links[link] then
            pump_requests(link, now)
        end
        if links[link] and not is_busy(link) then
            busy[link] = nil
        end
    end
end

local function turn()
    readers = readers or all_readers()
    local seconds = seconds_to_next_item(socket.gettime())
    local ready = socket.select(readers, blocked_writers(), seconds)
    for _, connection in ipairs(ready) do
        if connection == control then
            obey()
        elseif connection == control_listener then
            control, readers = control_listener:accept(), nil
        elseif connection == listener then
            accept()
        else
            read_from(connection)
        end
    end
    pump()
end

listen()
control_listener = assert(socket.bind("127.0.0.1", 0))
print(port, (select(2, control_listener:getsockname())))
while true do
    turn()
end
