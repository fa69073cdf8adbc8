--- The server-side scripts on a real server: what each answers, and what it leaves behind.

local inbox = require "support.inbox"
local machine = require "machine"
local quorum = require "support.quorum"
local resp = require "support.resp"
local servers = require "servers"
local socket = require "socket"
local wait = require "support.wait"

local KINDS = { "acquire", "extend", "extend_many", "release", "inspect" }
local BALLOT = 1700000000000000

local node, connection

local function redis(...)
    return quorum.ask(node, ...)
end

local function receive_reply()
    local bytes = ""
    while not resp.reply_end(bytes, 1) do
        bytes = bytes .. assert(connection:receive(1))
    end
    return bytes
end

-- Runs one request or a batch, by the script's SHA1 or by its text.
local function run(kind, request, by_text)
    assert(connection:send(machine.encode(kind, request, by_text)))
    return receive_reply()
end

local function with_defaults(fields)
    local request = { key = "job", token = "mine", ttl_ms = 30000, fence = BALLOT,
        fence_ttl_s = 86400 }
    for field, value in pairs(fields or {}) do
        request[field] = value
    end
    return request
end

local function ask(kind, fields)
    return machine.decode(kind, run(kind, with_defaults(fields)))
end

local function acquire(fields)
    return ask("acquire", fields)
end

-- Holds "job" for another, with a fence below ours.
local function held_by_another(ttl_ms)
    assert.equal("granted", acquire({ token = "another", ttl_ms = ttl_ms, fence = 5 }).reason)
end

local function decimal(number)
    return ("%.0f"):format(number)
end

local function between(low, number, high)
    return number >= low and number <= high
end

local function all_keys()
    return redis("EVAL", "local k = redis.call('KEYS', '*') table.sort(k) " ..
        "return table.concat(k, ' ')", 0)
end

-- A text of everything on the server but for the time to live.
local function contents()
    return redis("EVAL", [[
        local all = {}
        for _, key in ipairs(redis.call('KEYS', '*')) do
            all[#all + 1] = key .. '=' .. redis.call('DUMP', key)
        end
        table.sort(all)
        return table.concat(all, '|')
    ]], 0)
end

local function queue()
    return redis("EVAL", "return table.concat(redis.call('ZRANGE', KEYS[1], 0, -1), ' ')", 1,
        "{job}:queue")
end

-- Until the server knows that so many inboxes are left.
local function wait_for_inboxes(count)
    assert.is_true(wait.wait_until(function()
        return redis("EVAL", "return #redis.call('PUBSUB', 'CHANNELS')", 0) == count
    end))
end

setup(function()
    node = servers.start_one()
    connection = assert(socket.connect("127.0.0.1", node.port))
    connection:settimeout(10)
    for _, kind in ipairs(KINDS) do
        local _, text = machine.script(kind)
        redis("SCRIPT", "LOAD", text)
    end
end)

before_each(function()
    redis "FLUSHALL"
end)

after_each(function()
    inbox.close_all()
end)

teardown(function()
    connection:close()
    servers.stop_all()
end)

describe("every script", function()
    it("has the SHA1 under which the server knows it", function()
        for _, kind in ipairs(KINDS) do
            local sha1, text = machine.script(kind)
            assert.matches("^%x+$", sha1)
            assert.equal(sha1, redis("SCRIPT", "LOAD", text))
        end
    end)

    it("is known to a fresh server by its text, and then by its SHA1", function()
        redis("SCRIPT", "FLUSH")
        for _, kind in ipairs(KINDS) do
            local request = with_defaults()
            assert.matches("^%-NOSCRIPT", run(kind, request))
            assert.not_matches("^%-", run(kind, request, true))
            assert.not_matches("^%-", run(kind, request))
        end
    end)

    it("is short, since it may travel as text", function()
        for _, kind in ipairs(KINDS) do
            local _, text = machine.script(kind)
            assert.is_true(#text < 2048)
            assert.is_nil(text:find("--", 1, true))
        end
    end)

    it("takes names of any bytes", function()
        for _, key in ipairs {
            "\0", "a b", "\r\n", "{tag}x", "a{b", "%s%d", "'\"\\", ("k"):rep(1024),
        } do
            local batch = { with_defaults { key = key } }
            assert.equal("granted", acquire({ key = key }).reason)
            assert.equal("mine", redis("GET", key))
            assert.equal("granted", ask("extend", { key = key }).reason)
            assert.equal("*1\r\n:1\r\n", run("extend_many", batch))
            assert.equal("mine", ask("inspect", { key = key }).text)
            assert.equal("granted", ask("release", { key = key }).reason)
            assert.is_nil(redis("GET", key))
        end
    end)
end)

describe("acquire", function()
    it("of a free lock is granted: token with its ttl, fence with its own", function()
        assert.equal(":1\r\n", run("acquire", with_defaults()))
        assert.equal("mine", redis("GET", "job"))
        assert.is_true(between(20000, redis("PTTL", "job"), 30000))
        assert.equal(decimal(BALLOT), redis("GET", "{job}:fence"))
        assert.is_true(between(86300, redis("TTL", "{job}:fence"), 86400))
        assert.equal("job {job}:fence", all_keys())
    end)

    it("keeps the fence for as long as it is told", function()
        acquire { fence_ttl_s = 100000 }
        assert.is_true(between(99900, redis("TTL", "{job}:fence"), 100000))
    end)

    it("of a lock that is held tells its rest and the fence, and writes nothing", function()
        held_by_another(20000)
        local before = contents()
        local vote = acquire()
        assert.same({ "held", 5 }, { vote.reason, vote.fence })
        assert.is_true(between(10000, vote.ttl_ms, 20000))
        assert.equal(before, contents())
    end)

    it("of a key that another library holds for ever says so", function()
        redis("SET", "job", "foreign")
        assert.same({ "held", -1, 0 },
            { acquire().reason, acquire().ttl_ms, acquire().fence })
        assert.equal("foreign", redis("GET", "job"))
        assert.is_nil(redis("GET", "{job}:fence"))
    end)

    it("with the token that holds it is granted again, and changes nothing", function()
        acquire { ttl_ms = 20000 }
        local before = contents()
        assert.equal("granted", acquire({ ttl_ms = 90000, fence = BALLOT + 5 }).reason)
        assert.equal("granted", acquire({ fence = 1 }).reason)
        assert.equal(before, contents())
        assert.is_true(redis("PTTL", "job") <= 20000)
    end)

    it("is outbid unless its ballot is above the fence, and then writes nothing", function()
        redis("SET", "{job}:fence", decimal(BALLOT))
        local before = contents()
        for _, ballot in ipairs { BALLOT, BALLOT - 1, 1, 999999999999999 } do
            local vote = acquire { fence = ballot }
            assert.same({ "outbid", BALLOT }, { vote.reason, vote.fence })
        end
        assert.equal(before, contents())
        assert.equal("granted", acquire({ fence = BALLOT + 1 }).reason)
        assert.equal(decimal(BALLOT + 1), redis("GET", "{job}:fence"))
    end)

    it("compares ballots as numbers, whatever their length", function()
        for _, pair in ipairs { { 9, 10 }, { 99, 100 }, { 5, 6 }, { 999999999999999, 2 ^ 50 } } do
            redis "FLUSHALL"
            redis("SET", "{job}:fence", decimal(pair[2]))
            assert.equal("outbid", acquire({ fence = pair[1] }).reason)
            redis("SET", "{job}:fence", decimal(pair[1]))
            assert.equal("granted", acquire({ fence = pair[2] }).reason)
        end
    end)

    it("remembers the fence after the lock is gone", function()
        acquire()
        ask "release"
        assert.equal("outbid", acquire({ token = "another", fence = BALLOT }).reason)
    end)

    it("of a key of another type is WRONGTYPE, and writes nothing", function()
        redis("HSET", "job", "field", "1")
        local before = contents()
        assert.matches("^%-WRONGTYPE", run("acquire", with_defaults()))
        assert.matches("^%-WRONGTYPE",
            run("acquire", with_defaults { waiter = "redlock:x/1", fair = true }))
        assert.equal(before, contents())
    end)

    it("of an expired lock is granted", function()
        held_by_another(1)
        assert.is_true(wait.wait_until(function() return acquire().reason == "granted" end))
    end)
end)

describe("an acquire that would wait", function()
    local function wait_as(waiter, arrival, fields)
        fields = fields or {}
        fields.waiter, fields.arrival_us = waiter, arrival
        return acquire(fields)
    end

    it("joins the queue of a lock that is held, in order of arrival", function()
        held_by_another()
        assert.equal("held", wait_as("redlock:a/2", 200).reason)
        assert.equal("held", wait_as("redlock:b/1", 100).reason)
        assert.equal("held", wait_as("redlock:a/3", 300).reason)
        assert.equal("redlock:b/1 redlock:a/2 redlock:a/3", queue())
        assert.is_true(between(20000, redis("PTTL", "{job}:queue"), 30000))
    end)

    it("keeps its first place when it joins again", function()
        held_by_another()
        wait_as("redlock:a/1", 100)
        wait_as("redlock:a/2", 200)
        wait_as("redlock:a/1", 900)
        assert.equal("redlock:a/1 redlock:a/2", queue())
    end)

    it("does not join when it is granted, outbid, or holds it already", function()
        assert.equal("granted", wait_as("redlock:a/1", 1).reason)
        assert.equal("granted", wait_as("redlock:a/1", 1).reason)
        ask "release"
        assert.equal("outbid", wait_as("redlock:a/1", 1, { fence = 1 }).reason)
        assert.equal(0, redis("EXISTS", "{job}:queue"))
    end)

    it("leaves the queue and gives back its claim when it is granted", function()
        held_by_another()
        wait_as("redlock:a/1", 1)
        wait_as("redlock:a/2", 2)
        redis("DEL", "job")
        redis("SET", "{job}:claim", "redlock:a/1", "PX", 9000)
        assert.equal("granted", wait_as("redlock:a/1", 1).reason)
        assert.equal("redlock:a/2", queue())
        assert.equal(0, redis("EXISTS", "{job}:claim"))
    end)

    it("leaves another's claim alone", function()
        redis("SET", "{job}:claim", "redlock:b/9", "PX", 9000)
        assert.equal("granted", wait_as("redlock:a/1", 1).reason)
        assert.equal("redlock:b/9", redis("GET", "{job}:claim"))
    end)
end)

describe("a fair acquire", function()
    local function fair(waiter)
        return acquire { waiter = waiter or "", arrival_us = 900, fair = true }
    end

    it("of a free lock without a queue is granted", function()
        assert.equal("granted", fair().reason)
    end)

    it("wakes the head of the queue of a free lock, and is refused for its claim's time", function()
        local ear = inbox.open(node)
        ear:join("job", 1, 100)
        ear:join("job", 2, 200)
        local vote = fair "redlock:other/7"
        assert.equal("held", vote.reason)
        assert.is_true(between(1, vote.ttl_ms, 1000))
        assert.same({ { id = 1, fence = 0, key = "job" } }, ear:heard())
        assert.equal(ear:waiter(1), redis("GET", "{job}:claim"))
        assert.is_true(between(1, redis("PTTL", "{job}:claim"), 1000))
        assert.equal(ear:waiter(2) .. " redlock:other/7", queue())
        assert.is_nil(redis("GET", "job"))
    end)

    it("is refused while a claim stands, and wakes nobody else", function()
        local ear = inbox.open(node)
        ear:join("job", 2, 200)
        redis("SET", "{job}:claim", ear:waiter(1), "PX", 9000)
        assert.equal("held", fair().reason)
        assert.same({}, ear:heard())
    end)

    it("is granted to the claimer itself", function()
        redis("SET", "{job}:claim", "redlock:a/1", "PX", 9000)
        assert.equal("granted", fair("redlock:a/1").reason)
        assert.equal(0, redis("EXISTS", "{job}:claim"))
    end)

    it("is granted to the head of the queue itself", function()
        local ear = inbox.open(node)
        ear:join("job", 1, 100)
        assert.equal("granted", fair(ear:waiter(1)).reason)
        assert.equal("", queue())
        assert.equal(0, redis("EXISTS", "{job}:claim"))
    end)

    it("is granted when nobody in the queue is there any more", function()
        local dead = inbox.open(node)
        dead:join("job", 1, 100)
        dead:join("job", 2, 200)
        dead:close()
        wait_for_inboxes(0)
        assert.equal("granted", fair("redlock:other/7").reason)
        assert.equal(0, redis("EXISTS", "{job}:queue"))
    end)

    it("without a wait joins no queue", function()
        redis("SET", "{job}:claim", "redlock:a/1", "PX", 9000)
        assert.equal("held", fair().reason)
        assert.equal("", queue())
    end)

    it("is refused by a holder as any other, and wakes nobody", function()
        local ear = inbox.open(node)
        held_by_another()
        ear:join("job", 1, 100)
        assert.equal("held", fair().reason)
        assert.same({}, ear:heard())
    end)

    it("is not what another acquire has to be", function()
        local ear = inbox.open(node)
        ear:join("job", 1, 100)
        redis("SET", "{job}:claim", ear:waiter(2), "PX", 9000)
        assert.equal("granted", acquire().reason)
        assert.equal(ear:waiter(1), queue())
    end)
end)

describe("release", function()
    it("says released, absent, or another's", function()
        acquire()
        assert.equal(":1\r\n", run("release", with_defaults()))
        assert.is_nil(redis("GET", "job"))
        assert.equal(":0\r\n", run("release", with_defaults()))
        redis("SET", "job", "another")
        assert.equal(":-1\r\n", run("release", with_defaults()))
        assert.equal("another", redis("GET", "job"))
    end)

    it("leaves the fence", function()
        acquire()
        ask "release"
        assert.equal("{job}:fence", all_keys())
    end)

    it("without a token releases nothing, not even an empty one", function()
        redis("SET", "job", "")
        assert.equal("anothers", ask("release", { token = "" }).reason)
        assert.equal("anothers", ask("release", { token = "", waiter = "redlock:a/1" }).reason)
        assert.equal(1, redis("EXISTS", "job"))
        redis("DEL", "job")
        assert.equal("absent", ask("release", { token = "" }).reason)
    end)

    it("of a key of another type touches nothing", function()
        redis("HSET", "job", "field", "1")
        assert.equal("anothers", ask("release").reason)
        assert.equal(1, redis("EXISTS", "job"))
    end)

    it("wakes the first of the queue, alone, with the fence", function()
        local ear = inbox.open(node)
        acquire()
        ear:join("job", 2, 200)
        ear:join("job", 1, 100)
        assert.equal("granted", ask("release").reason)
        assert.same({ { id = 1, fence = BALLOT, key = "job" } }, ear:heard())
        assert.equal(ear:waiter(2), queue())
        assert.equal(ear:waiter(1), redis("GET", "{job}:claim"))
        assert.is_true(between(1, redis("PTTL", "{job}:claim"), 1000))
    end)

    it("drops who is gone and wakes the next who is there", function()
        local dead, ear = inbox.open(node), inbox.open(node)
        acquire()
        dead:join("job", 1, 100)
        dead:join("job", 2, 200)
        ear:join("job", 3, 300)
        ear:join("job", 4, 400)
        dead:close()
        wait_for_inboxes(1)
        ask "release"
        assert.same({ { id = 3, fence = BALLOT, key = "job" } }, ear:heard())
        assert.equal(ear:waiter(4), queue())
    end)

    it("takes entries out of the queue that are no waiters", function()
        local ear = inbox.open(node)
        acquire()
        redis("ZADD", "{job}:queue", 1, "garbage", 2, "", 3, "/", 4, ear:waiter(1))
        ask "release"
        assert.equal(1, #ear:heard())
        assert.equal("", queue())
    end)

    it("of another's lock, or of none, wakes nobody", function()
        local ear = inbox.open(node)
        ear:join("job", 1, 100)
        assert.equal("absent", ask("release").reason)
        held_by_another()
        assert.equal("anothers", ask("release").reason)
        assert.same({}, ear:heard())
        assert.equal(ear:waiter(1), queue())
    end)

    it("names the key in the wake-up as it is, and to each inbox its own", function()
        local one, two = inbox.open(node), inbox.open(node)
        local key = "a b\0c"
        acquire { key = key }
        one:join(key, 1, 100)
        two:join(key, 2, 200)
        ask("release", { key = key })
        assert.same({ { id = 1, fence = BALLOT, key = key } }, one:heard())
        assert.same({}, two:heard())
    end)
end)

describe("leaving the queue", function()
    local function leave(waiter)
        return ask("release", { token = "", waiter = waiter })
    end

    it("takes out that waiter alone", function()
        local ear = inbox.open(node)
        held_by_another()
        ear:join("job", 1, 100)
        ear:join("job", 2, 200)
        assert.equal("anothers", leave(ear:waiter(1)).reason)
        assert.equal(ear:waiter(2), queue())
        assert.same({}, ear:heard())
        assert.equal("another", redis("GET", "job"))
    end)

    it("passes on a wake-up that was for the one who leaves", function()
        local ear = inbox.open(node)
        ear:join("job", 2, 200)
        redis("SET", "{job}:claim", ear:waiter(1), "PX", 9000)
        assert.equal("absent", leave(ear:waiter(1)).reason)
        assert.same({ { id = 2, fence = 0, key = "job" } }, ear:heard())
        assert.equal(ear:waiter(2), redis("GET", "{job}:claim"))
    end)

    it("gives up a claim without waking anybody while the lock is held", function()
        local ear = inbox.open(node)
        held_by_another()
        ear:join("job", 2, 200)
        redis("SET", "{job}:claim", ear:waiter(1), "PX", 9000)
        leave(ear:waiter(1))
        assert.same({}, ear:heard())
        assert.equal(0, redis("EXISTS", "{job}:claim"))
        assert.equal(ear:waiter(2), queue())
    end)

    it("leaves another's claim alone", function()
        local ear = inbox.open(node)
        ear:join("job", 3, 300)
        redis("SET", "{job}:claim", ear:waiter(2), "PX", 9000)
        leave(ear:waiter(1))
        assert.same({}, ear:heard())
        assert.equal(ear:waiter(2), redis("GET", "{job}:claim"))
    end)

    it("and releasing in one wakes the next once, not the one who leaves", function()
        local ear = inbox.open(node)
        acquire()
        ear:join("job", 1, 100)
        ear:join("job", 2, 200)
        redis("SET", "{job}:claim", ear:waiter(1), "PX", 9000)
        assert.equal("granted", ask("release", { waiter = ear:waiter(1) }).reason)
        assert.same({ { id = 2, fence = BALLOT, key = "job" } }, ear:heard())
        assert.equal("", queue())
    end)

    it("leaves no key behind when nobody is left", function()
        held_by_another()
        acquire { waiter = "redlock:a/1", arrival_us = 1 }
        leave "redlock:a/1"
        assert.equal("job {job}:fence", all_keys())
    end)
end)

describe("stepping back into the queue", function()
    local function step_back(waiter, arrival, token)
        return ask("release",
            { token = token, waiter = waiter, arrival_us = arrival, steps_back = true })
    end

    it("comes before the next is told, so that the first of all is", function()
        local ear = inbox.open(node)
        acquire()
        ear:join("job", 2, 200)
        assert.equal("granted", step_back(ear:waiter(1), 100).reason)
        assert.same({ { id = 1, fence = BALLOT, key = "job" } }, ear:heard())
        assert.equal(ear:waiter(2), queue())
        assert.equal(ear:waiter(1), redis("GET", "{job}:claim"))
    end)

    it("lets those go first who came first", function()
        local ear = inbox.open(node)
        acquire()
        ear:join("job", 2, 200)
        step_back(ear:waiter(3), 300)
        assert.equal(2, ear:heard()[1].id)
        assert.equal(ear:waiter(3), queue())
        assert.is_true(between(20000, redis("PTTL", "{job}:queue"), 60000))
    end)

    it("keeps a place that it has", function()
        held_by_another()
        acquire { waiter = "redlock:a/1", arrival_us = 100 }
        acquire { waiter = "redlock:a/2", arrival_us = 200 }
        assert.equal("anothers", step_back("redlock:a/1", 900).reason)
        assert.equal("redlock:a/1 redlock:a/2", queue())
    end)

    it("of a lock that another holds wakes nobody", function()
        local ear = inbox.open(node)
        held_by_another()
        assert.equal("anothers", step_back(ear:waiter(1), 100).reason)
        assert.same({}, ear:heard())
        assert.equal(ear:waiter(1), queue())
    end)
end)

describe("side keys that hold something else", function()
    it("do not keep the token from being released, and that is said", function()
        for _, side in ipairs { "queue", "claim", "fence" } do
            redis "FLUSHALL"
            acquire()
            redis("DEL", "{job}:" .. side)
            redis("RPUSH", "{job}:" .. side, "something")
            assert.equal("granted", ask("release", { waiter = "redlock:a/1" }).reason, side)
            assert.is_nil(redis("GET", "job"))
            assert.equal("list", redis("TYPE", "{job}:" .. side))
        end
    end)

    it("are not overwritten by an acquire that is not granted", function()
        held_by_another()
        redis("DEL", "{job}:queue")
        redis("SET", "{job}:queue", "something")
        run("acquire", with_defaults { waiter = "redlock:a/1", arrival_us = 1 })
        assert.equal("something", redis("GET", "{job}:queue"))
    end)

    it("make a vote with a reason where the fence is no number", function()
        redis("SET", "{job}:fence", "no number")
        assert.equal("bad_fence", acquire({ fence = 1 }).reason)
        redis("SET", "{job}:fence", "99999999999999999999")
        assert.equal("bad_fence", acquire().reason)
        assert.is_nil(redis("GET", "job"))
    end)
end)

describe("extend", function()
    it("gives the token's lease more time", function()
        acquire { ttl_ms = 1000 }
        assert.equal(":1\r\n", run("extend", with_defaults { ttl_ms = 60000 }))
        assert.is_true(between(50000, redis("PTTL", "job"), 60000))
        assert.equal("mine", redis("GET", "job"))
    end)

    it("never shortens", function()
        acquire { ttl_ms = 60000 }
        assert.equal("granted", ask("extend", { ttl_ms = 1000 }).reason)
        assert.is_true(redis("PTTL", "job") > 50000)
    end)

    it("never creates", function()
        assert.equal(":0\r\n", run("extend", with_defaults()))
        assert.equal("", all_keys())
    end)

    it("leaves another's lock alone", function()
        held_by_another(1000)
        assert.equal(":-1\r\n", run("extend", with_defaults { ttl_ms = 60000 }))
        assert.is_true(redis("PTTL", "job") <= 1000)
        assert.equal("5", redis("GET", "{job}:fence"))
        redis("DEL", "job")
        redis("HSET", "job", "field", "1")
        assert.equal("anothers", ask("extend").reason)
        assert.equal(-1, redis("PTTL", "job"))
    end)

    it("lets the fence's own time start anew", function()
        acquire { fence_ttl_s = 5 }
        ask("extend", { fence_ttl_s = 500 })
        assert.equal(decimal(BALLOT), redis("GET", "{job}:fence"))
        assert.is_true(redis("TTL", "{job}:fence") > 400)
    end)

    it("brings back a fence that was evicted, and one that is too low", function()
        acquire()
        redis("DEL", "{job}:fence")
        ask "extend"
        assert.equal(decimal(BALLOT), redis("GET", "{job}:fence"))
        redis("SET", "{job}:fence", "9")
        ask "extend"
        assert.equal(decimal(BALLOT), redis("GET", "{job}:fence"))
        assert.is_true(redis("TTL", "{job}:fence") > 80000)
    end)

    it("leaves a higher fence as it is", function()
        acquire()
        redis("SET", "{job}:fence", decimal(BALLOT + 9))
        ask "extend"
        assert.equal(decimal(BALLOT + 9), redis("GET", "{job}:fence"))
    end)
end)

describe("extend many", function()
    local function extend_many(...)
        return run("extend_many", { ... })
    end

    local function lock(key, ttl_ms)
        return { key = key, token = "mine", ttl_ms = ttl_ms or 60000 }
    end

    it("answers for each lock in turn, whatever stands there", function()
        acquire { key = "a", ttl_ms = 1000 }
        acquire { key = "b", ttl_ms = 1000, token = "another" }
        redis("HSET", "d", "field", "1")
        acquire { key = "e", ttl_ms = 1000 }
        assert.equal("*5\r\n:1\r\n:-1\r\n:0\r\n:-1\r\n:1\r\n",
            extend_many(lock "a", lock "b", lock "c", lock "d", lock "e"))
        assert.is_true(redis("PTTL", "a") > 50000)
        assert.is_true(redis("PTTL", "b") <= 1000)
        assert.equal(0, redis("EXISTS", "c"))
        assert.equal(-1, redis("PTTL", "d"))
        assert.is_true(redis("PTTL", "e") > 50000)
    end)

    it("gives each lock its own ttl, and never shortens", function()
        acquire { key = "a", ttl_ms = 1000 }
        acquire { key = "b", ttl_ms = 90000 }
        assert.equal("*2\r\n:1\r\n:1\r\n", extend_many(lock("a", 40000), lock("b", 10000)))
        assert.is_true(between(30000, redis("PTTL", "a"), 40000))
        assert.is_true(redis("PTTL", "b") > 80000)
    end)

    it("takes as many as travel together", function()
        local locks = {}
        for index = 1, 256 do
            local key = "key" .. index
            if index % 2 == 0 then
                redis("SET", key, "mine", "PX", 1000)
            end
            locks[index] = lock(key)
        end
        local reply = run("extend_many", locks)
        for index = 1, 256 do
            assert.equal(index % 2 == 0 and "granted" or "absent",
                machine.decode("extend_many", reply, 256, index).reason)
        end
    end)
end)

describe("inspect", function()
    it("of a free lock says that nobody has it", function()
        assert.equal("*4\r\n$-1\r\n:-2\r\n$1\r\n0\r\n:0\r\n", run("inspect", with_defaults()))
    end)

    it("tells holder, rest of the lease, fence and number of waiters", function()
        acquire { ttl_ms = 20000 }
        acquire { token = "x", waiter = "redlock:a/1", arrival_us = 1 }
        acquire { token = "x", waiter = "redlock:a/2", arrival_us = 2 }
        local vote = ask "inspect"
        assert.same({ "granted", "mine", BALLOT, 2 },
            { vote.reason, vote.text, vote.fence, vote.waiters })
        assert.is_true(between(10000, vote.ttl_ms, 20000))
    end)

    it("changes nothing", function()
        acquire { ttl_ms = 20000 }
        acquire { token = "x", waiter = "redlock:a/1", arrival_us = 1 }
        local before = contents()
        ask "inspect"
        assert.equal(before, contents())
        assert.is_true(redis("PTTL", "job") <= 20000)
    end)

    it("of a key of another type is WRONGTYPE", function()
        redis("HSET", "job", "field", "1")
        assert.equal("wrongtype", ask("inspect").reason)
    end)
end)
