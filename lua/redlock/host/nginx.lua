--- The host inside nginx (lua-nginx-module): calls yield the light thread, and what a request holds
-- ends with the request.
--
-- Completions wake the worker through one cosocket, the bell. A light thread in a timer reads it,
-- takes what there is, and posts the semaphores of those who wait. It lives while something is
-- under way, and a little longer. Where no timer can start (in a worker that exits), one of those
-- who wait looks for all of them, every millisecond.
-- @module redlock.host.nginx
-- @local

local core = require "redlock.core"
local Switchboard = require "redlock.switchboard"

local ngx = ngx -- luacheck: ignore 113
local new_semaphore = require("ngx.semaphore").new

local LINGER = 1 -- seconds that the bell outlives the last operation
local TICK = 0.2 -- seconds between looks at whether it is still needed
local ANSWER_WAIT = 1 -- seconds until the bell has to stand
local FIRST_PAUSE, LAST_PAUSE = 2, 60 -- seconds until a bell that did not come up is tried again
local POLL = 0.001 -- seconds between looks without a bell
local LOOK_OUT = 0.02 -- the same, for a lock that might be lost
local STALE = 0.2 -- seconds after which one who looks for all is thought dead
local PULSE = 1 -- seconds without a sign of life after which the bell is thought dead
local NO_TIMEOUT = 2147483647 -- milliseconds, the most that a cosocket takes

-- luacheck: push ignore 113
local yieldable = {
    rewrite = true,
    server_rewrite = true,
    access = true,
    content = true,
    timer = true,
    ssl_cert = true,
    ssl_session_fetch = true,
    ssl_client_hello = true,
    preread = true,
}
-- luacheck: pop

local board
-- nil, or a table: `up`, its socket stands; `seen`, when it last gave a sign of life; `is_coming`, its
-- timer was accepted and has not run; `due`, no other is tried before.
local bell
local pause = FIRST_PAUSE
local has_run_timers = false
local looking_until = 0 -- somebody looks for all, and has said so until then

-- ---- what is bound to a request ----

local find_request

local function bind_requests()
    local ffi = require "ffi"
    ffi.cdef [[
        void *redlock_add_cleanup(void *request, size_t size) __asm__("ngx_http_cleanup_add");
    ]]
    core.bind_requests(tonumber(ffi.cast("uintptr_t", ffi.C.redlock_add_cleanup)))
    find_request = require("resty.core.base").get_request
end

-- Without what it takes (in another subsystem than http, in a stripped nginx) locks end by their
-- leases, and as garbage.
if ngx.config.subsystem ~= "http" or not pcall(bind_requests) then
    find_request = function() end
end

-- ---- the bell ----

local function wake(slot)
    slot.posts = slot.posts + 1
    slot.semaphore:post(1)
end

-- So that those who wait look for themselves from now on.
local function wake_all()
    for _, slot in pairs(board.slots) do
        if slot.waits then
            wake(slot)
        end
    end
end

local function has_come(doorbell, outbox)
    local until_when = core.clock() + ANSWER_WAIT
    repeat
        if core.answer(doorbell, outbox) then
            return true
        end
        ngx.sleep(POLL)
    until core.clock() > until_when
    return false
end

local function connect(outbox)
    local doorbell, port, cookie = core.doorbell()
    if not doorbell then
        return nil
    end
    local socket = ngx.socket.tcp()
    socket:settimeouts(ANSWER_WAIT * 1000, ANSWER_WAIT * 1000, NO_TIMEOUT)
    local ok = socket:connect("127.0.0.1", port) and socket:send(cookie)
    return ok and has_come(doorbell, outbox) and socket or nil
end

local function silence(this)
    if bell == this then
        bell = nil
        core.silence(board:get_outbox())
    end
end

-- A worker that exits does not wait for locks that only its end would release.
local function is_needed()
    return board.pending > (ngx.worker.exiting() and board.lasting or 0)
end

-- Until nobody has needed it for long enough.
local function watch_over(this)
    local idle = 0
    repeat
        ngx.sleep(TICK)
        this.seen = core.clock()
        idle = is_needed() and 0 or idle + TICK
    until bell ~= this or idle > LINGER or (idle > 0 and ngx.worker.exiting())
    silence(this)
end

local function listen(this)
    local socket = connect(board:get_outbox())
    if not socket then
        return
    end
    this.up, this.seen, pause = true, core.clock(), FIRST_PAUSE
    ngx.thread.spawn(watch_over, this)
    repeat
        board:take()
    until not socket:receiveany(64)
end

local function run_bell(premature, this)
    local ok, err = true, nil
    has_run_timers = true
    if not premature then
        ok, err = pcall(listen, this)
    end
    if this.up then
        silence(this)
    else
        this.is_coming, this.due = false, core.clock() + pause
    end
    wake_all()
    if not ok then
        ngx.log(ngx.ERR, "redlock: ", err)
    end
end

-- A worker that exits still runs timers, but is alarmed at its end if that was its first. And one
-- that has no connection left raises an error at its first.
local function run_timer(body, ...)
    local may = has_run_timers or not ngx.worker.exiting()
    local ok, started = pcall(may and ngx.timer.at or error, 0, body, ...)
    return ok and started
end

-- A timer that was accepted may still not be run, if too many others are. Each leaves a line in the
-- error log then, so it is tried ever less often.
local function need_bell()
    if bell and (bell.up or core.clock() < bell.due) then
        return
    end
    bell = { up = false, due = core.clock() + pause }
    pause = math.min(2 * pause, LAST_PAUSE)
    bell.is_coming = run_timer(run_bell, bell)
end

-- ---- waiting ----

local function look_for_all(slot)
    repeat
        looking_until = core.clock() + STALE
        ngx.sleep(POLL)
        board:take()
    until slot.done or (bell and bell.up)
    looking_until = 0
    wake_all() -- somebody else looks from here on
end

local function sleep(slot, seconds)
    if slot.semaphore:wait(seconds) then
        slot.posts = slot.posts - 1
    end
end

-- A bell whose timer was ended from within (by ngx.exit in an on_lost function) is none.
local function check_pulse()
    if bell and bell.up and core.clock() > bell.seen + PULSE then
        silence(bell)
    end
end

local function wait(slot)
    slot.waits = true
    while not slot.done do
        need_bell()
        if bell and bell.up then
            sleep(slot, PULSE)
            check_pulse()
        elseif core.clock() > looking_until then
            look_for_all(slot)
        else
            sleep(slot, STALE)
        end
    end
    slot.waits = false
    for _ = 1, slot.posts do -- those that it was not woken by
        slot.semaphore:wait(0)
    end
    slot.posts = 0
    return true
end

local function run_later(premature, call) -- luacheck: ignore premature
    call.has_begun = true
    call.body(unpack(call))
end

local function run_unless_begun(call)
    ngx.sleep(PULSE)
    if not call.has_begun then
        run_later(false, call)
    end
end

-- In a timer, since what users do there must not end anybody else's light thread. Where none can be
-- had, or one was accepted and not run, in whatever light thread this is.
local function start(body, ...)
    local call = { body = body, ... }
    if run_timer(run_later, call) then
        ngx.thread.spawn(run_unless_begun, call)
    else
        ngx.thread.spawn(run_later, false, call)
    end
end

local function make_slot(slot)
    slot.semaphore, slot.posts = new_semaphore(0), 0
end

local function over(watch)
    watch.is_over = true
end

board = Switchboard.new {
    make_slot = make_slot,
    wait = wait,
    wake = wake,
    start = start,
    over = over,
}

-- ---- the host ----

local nginx = {}
local calls = board:calls(find_request)

local function can_wait()
    return yieldable[ngx.get_phase()]
end

local function refuse(what)
    local phase = ngx.get_phase()
    return "unavailable", {}, ("%s cannot wait in the %s phase of nginx"):format(what, phase)
end

function nginx.acquire(lock, detach, ...)
    if not can_wait() then
        return refuse "acquire"
    end
    return calls.acquire(lock, detach, ...)
end

function nginx.extend(lock, ttl)
    if not can_wait() then
        return refuse "extend"
    end
    return calls.extend(lock, ttl)
end

function nginx.release(lock)
    return (can_wait() and calls.release or core.let_go)(lock)
end

function nginx.inspect(client, key, ...)
    if not can_wait() then
        return refuse "what looks at the nodes"
    end
    return calls.inspect(client, key, ...)
end

function nginx.close(client)
    return (can_wait() and calls.close or core.close)(client)
end

-- Where there is no bell, a light thread beside the one that wants to know looks instead, as long as
-- that one lives: the request must not wait for a lock that it would release at its end.
local function look_out(watch, owner)
    repeat
        ngx.sleep(LOOK_OUT)
        board:take()
    until watch.is_over or coroutine.status(owner) == "dead" or coroutine.status(owner) == "zombie"
end

function nginx.watch(lock, fn)
    local watch = board:watch(lock, fn)
    if watch then
        need_bell()
    end
    if watch and not (bell.up or bell.is_coming) and can_wait() then
        ngx.thread.spawn(look_out, watch, coroutine.running())
    end
    return watch
end

return nginx
