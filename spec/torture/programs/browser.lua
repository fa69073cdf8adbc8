--- Sends requests to nginx, some at a time, and loses patience with some of them. Every other has
-- to be answered, unless its worker was killed.

local http = require "support.http"
local settings = require "torture.programs.settings"
local system = require "torture.system"
local wait = require "support.wait"

local AT_ONCE = 6
local PATIENCE = 60 -- seconds

local told = settings.take(arg)
local requests, next_at = {}, {}

local function begin()
    local request = http.open(told.nginx, { path = "/work", seconds = PATIENCE })
    if math.random(8) == 1 then
        request.abort_at = request.begun_at + math.random() * 0.2
    end
    return request
end

local function look(request)
    if request.abort_at and wait.now() > request.abort_at then
        request:abort()
    end
    if request.failure == "timeout" then
        told.writer:note("wrong", "a request was not answered")
    end
    return request:ended()
end

local stops = false
repeat
    local busy = false
    stops = stops or told.orders() == "stop"
    for index = 1, AT_ONCE do
        if requests[index] and look(requests[index]) then
            requests[index], next_at[index] = nil, wait.now() + 2 * math.random() * told.pause
        end
        if not requests[index] and not stops and wait.now() >= (next_at[index] or 0) then
            local ok, request = pcall(begin)
            requests[index] = ok and request or nil
        end
        busy = busy or requests[index] ~= nil
    end
    http.drive(0.05)
until stops and not busy
told.writer:note("bye", system.clock())
