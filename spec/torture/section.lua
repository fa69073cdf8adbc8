--- What every client does, whatever host it runs on: it acquires, writes to the store, works, looks
-- whether it still holds, writes once more in any case, releases, and writes all of that down. It
-- does not stop at a loss: the write after it is what the fence is for.

local system = require "torture.system"

local section = {}

--- How often an owner writes to the store: when it begins, and when it ends.
section.WRITES = 2

local clock = system.clock

local function random_between(low, high)
    return low + math.random() * (high - low)
end

--- A client's way to work.
-- @tparam table worker
--
--   * `client`: of redlock; `writer`: of a history; `store`
--   * `sleep`: a function
--   * `hears`: whether there is a loop that can call on_lost functions
--   * `shares`: whether there are others who acquire through the same client
--   * `orders`: a function, what the harness wants now
--   * `settings`: `ttl`, `prefix`, `pause`; `hot`, `cold`, `long` and `shared`, how many names of
--     each kind there are; `counts`, whether to count the nodes on which each lock stands

-- What to do next: mostly short work under a name that many want; now and then something else.
local function draw(settings, shares)
    local ttl, dice = settings.ttl, math.random(100)
    local function name(kind)
        return settings.prefix .. kind .. math.random(settings[kind])
    end
    if shares and dice <= 25 then
        return { name = name "shared", hold = random_between(0, 0.03), wait = 30, cohort = true }
    elseif dice <= 46 then
        return { name = name "cold", hold = random_between(0, 0.06), wait = 30 }
    elseif dice <= 50 then
        local hold, at_least = random_between(0, 0.06), random_between(0.3, 0.6) * ttl
        return { name = name "cold", hold = hold, wait = 0.2, at_least = at_least }
    elseif dice <= 70 then
        local hold, fair = random_between(0, 0.02), dice % 2 == 0
        return { name = name "hot", hold = hold, wait = 30, fair = fair, cohort = shares }
    elseif dice <= 80 then
        local wait = random_between(0, 0.2)
        return { name = name "cold", hold = random_between(0, 0.06), wait = wait }
    elseif dice <= 87 then -- it may or may not get through before the lease ends
        local hold, wait = random_between(0.6, 1.2) * ttl, dice % 2 == 0 and 0 or 2 * ttl
        return { name = name "long", hold = hold, wait = wait, renew = false }
    elseif dice <= 90 then
        return { name = name "long", hold = random_between(2.6, 3.2) * ttl, wait = 2 * ttl }
    end
    local hold = random_between(0, 0.1)
    return { name = name "cold", hold = hold, wait = 30, extend = true, renew = false }
end

local function write(worker, n, lock)
    local number = worker.store:write(lock)
    if number > 0 then
        worker.writer:note("wrote", n, number)
    else
        worker.writer:note("stale", n)
    end
end

-- Whether it is held; the time is read before the question, so that a yes holds for that time.
local function look(worker, n, lock, was_lost)
    local now = clock()
    local held = lock:held()
    if held and was_lost then
        worker.writer:note("wrong", "held again after it was lost: " .. lock.name)
    elseif held then
        worker.writer:note("held", n, now)
    elseif not was_lost then
        worker.writer:note("lost", n, now)
    end
    return not held
end

local function work(worker, n, lock, what)
    local lost = look(worker, n, lock, false)
    local until_when = clock() + what.hold * 1e9
    write(worker, n, lock)
    while clock() < until_when and not (what.hold > 0.2 and worker.orders() == "stop") do
        worker.sleep(math.min(what.hold, 0.04))
        lost = look(worker, n, lock, lost)
        if what.extend and not lost then
            lock:extend(worker.settings.ttl)
        end
    end
    write(worker, n, lock)
    return look(worker, n, lock, lost)
end

-- On how many nodes the lock stands. What was sent to them with the acquire is answered before.
local function count(worker, n, lock)
    local stands = 0
    for _, node in ipairs(worker.client:info(lock.name) or {}) do
        stands = stands + (node.token == lock.token and 1 or 0)
    end
    worker.writer:note("stands", n, stands)
end

-- `during` is called while the lock is held.
local function own(worker, n, lock, what, during)
    worker.writer:note("own", n, clock(), lock.fence, lock.token, worker.settings.ttl * 1000)
    if worker.hears then
        lock:on_lost(function() worker.writer:note("told", n, clock()) end)
    end
    if worker.settings.counts then
        count(worker, n, lock)
    end
    if during then
        during(lock)
    end
    local lost = work(worker, n, lock, what)
    local released, _, code = lock:release()
    worker.writer:note("left", n, clock(), released and "true" or code)
    if lost and released then
        worker.writer:note("wrong", "what was lost was released: " .. lock.name)
    end
end

local function ask(worker, what)
    local n = worker.writer:next_section()
    worker.writer:note("ask", n, what.name, clock())
    if what.cohort then
        worker.writer:note("shares", n)
    end
    if what.at_least then
        worker.writer:note("keeps", n, what.at_least * 1000)
    end
    return n
end

--- Acquires, works, releases.
-- @tparam table worker see above
-- @tparam[opt] table what `name`, `hold`, `wait`, `at_least` in seconds, `fair`, `cohort`, `renew`,
-- `extend`; by default something random
-- @tparam[opt] function during called with the lock while it is held
-- @treturn boolean whether it could be had
function section.run(worker, what, during)
    what = what or draw(worker.settings, worker.shares)
    local n = ask(worker, what)
    local lock, _, code = worker.client:acquire(what.name, {
        ttl = worker.settings.ttl, wait = what.wait, fair = what.fair, renew = what.renew,
        cohort = what.cohort, at_least = what.at_least,
    })
    if not lock then
        worker.writer:note("not", n, clock(), code)
        return false
    end
    own(worker, n, lock, what, during)
    return true
end

--- What a client does that holds nearly always, and for long.
function section.steady(settings)
    local hold = random_between(2.6, 3.2) * settings.ttl
    return { name = settings.prefix .. "steady", hold = hold, wait = 30 }
end

--- Sections until the orders say stop.
-- @tparam table worker
-- @tparam[opt] function draw_next what to do, from the settings; by default something random
function section.run_all(worker, draw_next)
    while worker.orders() ~= "stop" do
        if not section.run(worker, draw_next and draw_next(worker.settings)) then
            worker.sleep(random_between(0.01, 0.1))
        end
        worker.sleep(random_between(0.5, 1.5) * worker.settings.pause)
    end
end

return section
