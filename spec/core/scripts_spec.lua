--- The server-side scripts on a real server: what each answers, and what it leaves behind.

local inbox = require "support.inbox"
local machine = require "machine"
local quorum = require "support.quorum"
local resp = require "support.resp"
local servers = require "servers"
local socket = require "socket"
local wait = require "support.wait"

local KINDS = {
    "acquire", "acquire_many", "extend", "extend_many", "release", "release_many", "inspect",
    "break", "scan",
}
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

-- How often each command was called since CONFIG RESETSTAT, but for those that are named.
local function calls_of(...)
    local calls, ignored = {}, { info = true }
    for _, name in ipairs { ... } do
        ignored[name] = true
    end
    for name, count in node:cli("INFO", "commandstats"):gmatch "cmdstat_([%w|]+):calls=(%d+)" do
        if not ignored[name:match "^%w+"] then
            calls[name] = tonumber(count)
        end
    end
    return calls
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
            local request = with_defaults { word = "*" }
            request.token = kind == "scan" and "0" or request.token
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
            batch[1].fence = BALLOT + 1
            assert.equal(":1\r\n", run("acquire_many", batch))
            assert.equal("mine", redis("GET", key))
            assert.equal(":1\r\n", run("release_many", batch))
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

    it("says in the fence whose it is, and compares the ballot before that", function()
        acquire { token = "0123456789", identity = "host:1 redlock" }
        assert.equal(decimal(BALLOT) .. " 01234567 host:1 redlock", redis("GET", "{job}:fence"))
        local vote = acquire { token = "another" }
        assert.same({ "held", BALLOT }, { vote.reason, vote.fence })
        redis("DEL", "job")
        vote = acquire { token = "another", identity = "host:2 redlock" }
        assert.same({ "outbid", BALLOT }, { vote.reason, vote.fence })
        assert.equal("granted", acquire({ token = "another", fence = BALLOT + 1 }).reason)
        assert.equal(decimal(BALLOT + 1), redis("GET", "{job}:fence"))
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
        assert.equal("granted", wait_as("redlock:a/1", 1, { queued = true }).reason)
        assert.equal("redlock:a/2", queue())
        assert.equal(0, redis("EXISTS", "{job}:claim"))
    end)

    it("leaves another's claim alone", function()
        redis("SET", "{job}:claim", "redlock:b/9", "PX", 9000)
        assert.equal("granted", wait_as("redlock:a/1", 1, { queued = true }).reason)
        assert.equal("redlock:b/9", redis("GET", "{job}:claim"))
    end)

    it("runs two writes and no look at the queue when it is granted at first", function()
        redis("CONFIG", "RESETSTAT")
        assert.equal("granted", wait_as("redlock:a/1", 1).reason)
        assert.same({ get = 1, set = 2 }, calls_of("evalsha", "config"))
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

    it("tells the waiter the ballot, and not whose it was", function()
        acquire { identity = "host:1 redlock" }
        local ear = inbox.open(node)
        ear:join("job", 1, 100)
        ask "release"
        assert.same({ { id = 1, fence = BALLOT, key = "job" } }, ear:heard())
    end)

    describe("that keeps the token", function()
        it("lets it stand for that time, and wakes nobody", function()
            local ear = inbox.open(node)
            acquire { ttl_ms = 30000 }
            ear:join("job", 1, 100)
            assert.equal("granted", ask("release", { keep_ms = 5000 }).reason)
            assert.equal("mine", redis("GET", "job"))
            assert.is_true(between(3000, redis("PTTL", "job"), 5000))
            assert.same({}, ear:heard())
            assert.equal(ear:waiter(1), queue())
        end)

        it("gives it no longer life than it has, but an end", function()
            acquire { ttl_ms = 5000 }
            assert.equal("granted", ask("release", { keep_ms = 90000 }).reason)
            assert.is_true(redis("PTTL", "job") <= 5000)
            redis("PERSIST", "job")
            assert.equal("granted", ask("release", { keep_ms = 4000 }).reason)
            assert.is_true(between(2000, redis("PTTL", "job"), 4000))
        end)

        it("does nothing to another's, or to none", function()
            held_by_another(20000)
            assert.equal("anothers", ask("release", { keep_ms = 500 }).reason)
            assert.is_true(redis("PTTL", "job") > 10000)
            redis("DEL", "job")
            assert.equal("absent", ask("release", { keep_ms = 500 }).reason)
            assert.equal(0, redis("EXISTS", "job"))
        end)

        it("lets its own waiter leave the queue, and wakes nobody for that", function()
            local ear = inbox.open(node)
            acquire()
            ear:join("job", 1, 100)
            ear:join("job", 2, 200)
            redis("SET", "{job}:claim", ear:waiter(1), "PX", 1000)
            ask("release", { keep_ms = 5000, waiter = ear:waiter(1) })
            assert.equal(ear:waiter(2), queue())
            assert.equal(0, redis("EXISTS", "{job}:claim"))
            assert.same({}, ear:heard())
        end)
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

    it("says nothing of a waiter that was told where nothing was released", function()
        local ear = inbox.open(node)
        ear:join("job", 2, 200)
        redis("SET", "{job}:claim", ear:waiter(1), "PX", 9000)
        assert.equal(":0\r\n", run("release", with_defaults { token = "", waiter = ear:waiter(1) }))
        assert.equal(2, ear:heard()[1].id)
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

-- What happens to many locks in one call, beside what happens to each of them in a call of its own:
-- from the same random state, and with the same answers.
local function assert_same_as_alone(kind, seed, prepare, request_of)
    local random = seed
    local function pick(list)
        random = random * 48271 % 2147483647
        return list[random % #list + 1]
    end
    local requests = {}
    for index = 1, 8 do
        requests[index] = { kind = kind, key = "job" .. index }
    end
    local function play(act)
        redis "FLUSHALL"
        random = seed
        for _, request in ipairs(requests) do
            prepare(request.key, pick)
            request.fields = with_defaults(request_of(pick))
            request.fields.key = request.key
            request.fields.identity = seed % 2 == 0 and "host:1 redlock" or nil
        end
        local votes = act()
        for _, vote in ipairs(votes) do
            vote.ttl_ms = vote.ttl_ms > 0 and "some" or vote.ttl_ms
            vote.text = #vote.text > 0 and vote.text:match "^%S+"
        end
        return votes, contents(), all_keys()
    end
    local alone = { play(function()
        local votes = {}
        for index, request in ipairs(requests) do
            votes[index] = ask(kind, request.fields)
        end
        return votes
    end) }
    local together = { play(function()
        local list, votes = {}, {}
        for index, request in ipairs(requests) do
            list[index] = request.fields
        end
        local reply = run(kind .. "_many", list)
        for index in ipairs(requests) do
            votes[index] = machine.decode(kind .. "_many", reply, #requests, index)
        end
        return votes
    end) }
    local reasons = {}
    for _, vote in ipairs(alone[1]) do
        reasons[vote.reason] = true
    end
    assert.same(alone, together)
    return reasons
end

describe("acquire many", function()
    local function lock(index, fields)
        local request = with_defaults(fields)
        request.key = request.key or "job"
        request.key, request.token = "job" .. index, "mine" .. index
        return request
    end

    local function locks(count, fields)
        local list = {}
        for index = 1, count do
            list[index] = lock(index, fields and fields(index))
        end
        return list
    end

    local function votes_of(list)
        local reply, votes = run("acquire_many", list), {}
        for index = 1, #list do
            votes[index] = machine.decode("acquire_many", reply, #list, index)
        end
        return votes
    end

    local function reasons_of(list)
        local reasons = {}
        for index, vote in ipairs(votes_of(list)) do
            reasons[index] = vote.reason
        end
        return reasons
    end

    it("of free locks grants them all: tokens with their ttl, fences with their own", function()
        assert.equal(":1\r\n", run("acquire_many", locks(3, function(index)
            return { fence = BALLOT + index }
        end)))
        for index = 1, 3 do
            local key = "job" .. index
            assert.equal("mine" .. index, redis("GET", key))
            assert.is_true(between(20000, redis("PTTL", key), 30000))
            assert.equal(decimal(BALLOT + index), redis("GET", inbox.side(key, "fence")))
            assert.is_true(between(86300, redis("TTL", inbox.side(key, "fence")), 86400))
        end
    end)

    it("gives each lock and fence its own ttl where they differ", function()
        local list = locks(3, function(index)
            return { ttl_ms = 10000 * index, fence_ttl_s = 100000 * index }
        end)
        assert.equal(":1\r\n", run("acquire_many", list))
        for index = 1, 3 do
            local rest, fence_rest = redis("PTTL", "job" .. index),
                redis("TTL", inbox.side("job" .. index, "fence"))
            assert.is_true(between(10000 * index - 5000, rest, 10000 * index))
            assert.is_true(between(100000 * index - 100, fence_rest, 100000 * index))
        end
    end)

    it("runs two writes a lock, and two commands for all, when all are granted", function()
        redis("CONFIG", "RESETSTAT")
        run("acquire_many", locks(20))
        assert.same({ mget = 1, exists = 1, set = 40 }, calls_of("evalsha", "config"))
        for index = 1, 20 do
            redis("DEL", "job" .. index)
        end
        redis("CONFIG", "RESETSTAT")
        run("acquire_many", locks(20, function() return { fence = BALLOT + 1 } end))
        assert.same({ mget = 1, set = 40 }, calls_of("evalsha", "config"))
    end)

    it("puts who waits for a lock that is held into its queue, and nobody else anywhere", function()
        redis("SET", "job2", "another", "PX", 30000)
        redis("SET", "job3", "another", "PX", 30000)
        local list = locks(4, function(index)
            return { arrival_us = 100 * index,
                waiter = index ~= 3 and "redlock:a/" .. 10 + index or nil }
        end)
        assert.same({ "granted", "held", "held", "granted" }, reasons_of(list))
        assert.equal("redlock:a/12", redis("EVAL",
            "return redis.call('ZRANGE', KEYS[1], 0, -1)[1]", 1, "{job2}:queue"))
        assert.equal("200", redis("ZSCORE", "{job2}:queue", "redlock:a/12"))
        assert.is_true(between(20000, redis("PTTL", "{job2}:queue"), 30000))
        for _, index in ipairs { 1, 3, 4 } do
            assert.equal(0, redis("EXISTS", inbox.side("job" .. index, "queue")))
        end
    end)

    it("does to each lock what acquire does to it alone, whatever stands there", function()
        local seen = {}
        for seed = 1, 30 do
            local reasons = assert_same_as_alone("acquire", seed, function(key, pick)
                local fence, side = inbox.side(key, "fence"), inbox.side(key, "queue")
                pick {
                    function() end,
                    function() redis("SET", key, "another", "PX", 30000) end,
                    function() redis("SET", key, "another") end,
                    function() redis("SET", key, "mine", "PX", 30000) end,
                    function() redis("SET", key, "") end,
                    function() redis("HSET", key, "field", "1") end,
                }()
                pick {
                    function() end,
                    function() redis("SET", fence, decimal(BALLOT - 1)) end,
                    function() redis("SET", fence, decimal(BALLOT)) end,
                    function() redis("SET", fence, decimal(BALLOT + 1)) end,
                    function() redis("SET", fence, "9") end,
                    function() redis("SET", fence, decimal(BALLOT - 1) .. " tokentok x") end,
                    function() redis("SET", fence, decimal(BALLOT) .. " tokentok x") end,
                    function() redis("SET", fence, ("9"):rep(17)) end,
                    function() redis("SET", fence, "no number") end,
                    function() redis("SET", fence, "no number, but a long one") end,
                    function() redis("HSET", fence, "field", "1") end,
                }()
                pick {
                    function() end,
                    function() redis("ZADD", side, 50, "redlock:b/9") end,
                    function() redis("ZADD", side, 50, "redlock:a/7") end,
                    function() redis("SET", side, "something") end,
                }()
            end, function(pick)
                return { waiter = pick { "redlock:a/7", "redlock:a/8", false } or nil,
                    arrival_us = pick { 40, 60 }, ttl_ms = pick { 30000, 20000 },
                    fence_ttl_s = pick { 86400, 90000 } }
            end)
            for reason in pairs(reasons) do
                seen[reason] = true
            end
        end
        assert.same({ granted = true, held = true, outbid = true, bad_fence = true,
            wrongtype = true }, seen)
    end)

    it("is not kept from the other locks by a fence that is as long as can be", function()
        for index = 1, 31 do
            redis("SET", inbox.side("job" .. index, "fence"), ("x"):rep(60000))
        end
        local reply = run("acquire_many", locks(32))
        assert.is_true(#reply < 4096)
        for index = 1, 31 do
            assert.equal("bad_fence", machine.decode("acquire_many", reply, 32, index).reason)
        end
        assert.equal("granted", machine.decode("acquire_many", reply, 32, 32).reason)
    end)

    it("writes nothing where the server has no memory, and says so for each", function()
        redis("CONFIG", "SET", "maxmemory", "1")
        finally(function() redis("CONFIG", "SET", "maxmemory", "0") end)
        assert.same({ "oom", "oom", "oom" }, reasons_of(locks(3)))
        assert.equal("", all_keys())
    end)

    it("takes as many as travel together", function()
        for index = 2, 256, 2 do
            redis("SET", "job" .. index, "another", "PX", 30000)
        end
        for index, vote in ipairs(votes_of(locks(256))) do
            assert.equal(index % 2 == 0 and "held" or "granted", vote.reason)
        end
    end)
end)

describe("release many", function()
    local function hold(count, token)
        local list = {}
        for index = 1, count do
            local key = "job" .. index
            list[index] = with_defaults { key = key }
            acquire { key = key, token = token and token(index) }
        end
        return list
    end

    it("releases all, and leaves their fences", function()
        local list = hold(3)
        assert.equal(":1\r\n", run("release_many", list))
        assert.equal("{job1}:fence {job2}:fence {job3}:fence", all_keys())
    end)

    it("says for each whether it was released, absent or another's", function()
        local list = hold(4, function(index) return index == 2 and "another" or nil end)
        redis("DEL", "job3")
        redis("DEL", "job4")
        redis("HSET", "job4", "field", "1")
        local reply, reasons = run("release_many", list), {}
        for index = 1, 4 do
            reasons[index] = machine.decode("release_many", reply, 4, index).reason
        end
        assert.same({ "granted", "anothers", "absent", "anothers" }, reasons)
        assert.equal("another", redis("GET", "job2"))
        assert.equal("hash", redis("TYPE", "job4"))
        assert.equal(0, redis("EXISTS", "job1"))
    end)

    it("runs three commands for all of them where nobody waits", function()
        local list = hold(20)
        redis("CONFIG", "RESETSTAT")
        run("release_many", list)
        assert.same({ mget = 1, exists = 1, del = 1 }, calls_of("evalsha", "config"))
    end)

    it("wakes the first of each queue, once, and of no lock that it did not release", function()
        local list = hold(4, function(index) return index == 3 and "another" or nil end)
        local ear = inbox.open(node)
        for _, index in ipairs { 1, 3, 4 } do
            ear:join("job" .. index, 10 * index + 2, 200)
            ear:join("job" .. index, 10 * index + 1, 100)
        end
        local reply = run("release_many", list)
        assert.equal("*4\r\n:2\r\n:1\r\n:-1\r\n:2\r\n", reply)
        assert.same({ { id = 11, fence = BALLOT, key = "job1" },
            { id = 41, fence = BALLOT, key = "job4" } }, ear:heard())
        assert.equal(ear:waiter(11), redis("GET", "{job1}:claim"))
        assert.equal(1, redis("ZCARD", "{job1}:queue"))
        assert.equal(2, redis("ZCARD", "{job3}:queue"))
        assert.equal(0, redis("EXISTS", "{job2}:claim"))
    end)

    it("does to each lock what release does to it alone, whatever stands there", function()
        local seen = {}
        local ear, dead = inbox.open(node), inbox.open(node)
        dead:close()
        wait_for_inboxes(1)
        for seed = 1, 30 do
            local reasons = assert_same_as_alone("release", seed, function(key, pick)
                local queue_key = inbox.side(key, "queue")
                pick {
                    function() end,
                    function() redis("SET", key, "another", "PX", 30000) end,
                    function() redis("SET", key, "mine", "PX", 30000) end,
                    function() redis("SET", key, "mine") end,
                    function() redis("HSET", key, "field", "1") end,
                }()
                pick {
                    function() end,
                    function() redis("ZADD", queue_key, 50, dead:waiter(1)) end,
                    function() redis("ZADD", queue_key, 50, ear:waiter(1), 60, ear:waiter(2)) end,
                    function() redis("ZADD", queue_key, 50, "garbage", 60, ear:waiter(2)) end,
                    function() redis("SET", queue_key, "something") end,
                }()
                pick {
                    function() end,
                    function() redis("SET", inbox.side(key, "fence"), "77") end,
                    function() redis("SET", inbox.side(key, "fence"), "78 tokentok somebody") end,
                    function() redis("HSET", inbox.side(key, "fence"), "field", "1") end,
                    function() redis("HSET", inbox.side(key, "claim"), "field", "1") end,
                }()
            end, function() return {} end)
            for reason in pairs(reasons) do
                seen[reason] = true
            end
            local heard = ear:heard()
            for index = 1, #heard / 2 do
                assert.same(heard[index], heard[#heard / 2 + index])
            end
            assert.equal(0, #heard % 2)
        end
        assert.same({ granted = true, absent = true, anothers = true }, seen)
    end)

    it("takes as many as travel together", function()
        local list = hold(256, function(index) return index % 2 == 0 and "another" or nil end)
        local reply = run("release_many", list)
        for index = 1, 256 do
            assert.equal(index % 2 == 0 and "anothers" or "granted",
                machine.decode("release_many", reply, 256, index).reason)
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

    it("tells whose the lock is, if that token stands", function()
        acquire { token = "0123456789", identity = "host:1 redlock" }
        assert.equal("host:1 redlock", ask("inspect").details)
        redis("SET", "job", "0123456x89")
        assert.equal("", ask("inspect").details)
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

describe("break", function()
    it("takes the lock from that token alone, and leaves the fence", function()
        acquire { identity = "host:1 redlock" }
        assert.equal("anothers", ask("break", { word = "another" }).reason)
        assert.equal("mine", redis("GET", "job"))
        assert.equal("granted", ask("break", { word = "mine" }).reason)
        assert.equal("{job}:fence", all_keys())
        assert.equal("absent", ask("break", { word = "mine" }).reason)
    end)

    it("wakes the first of the queue, alone, and a claim that stood is none", function()
        local ear = inbox.open(node)
        acquire { identity = "host:1 redlock" }
        ear:join("job", 2, 200)
        ear:join("job", 1, 100)
        redis("SET", "{job}:claim", ear:waiter(7), "PX", 1000)
        assert.equal("granted", ask("break", { word = "mine" }).reason)
        assert.same({ { id = 1, fence = BALLOT, key = "job" } }, ear:heard())
        assert.equal(ear:waiter(1), redis("GET", "{job}:claim"))
        assert.equal(ear:waiter(2), queue())
    end)

    it("takes a token of any bytes and length", function()
        for _, token in ipairs { "\0", "a b\r\n", ("t"):rep(200) } do
            redis("SET", "job", token)
            assert.equal("granted", ask("break", { word = token }).reason)
        end
    end)

    it("without a token takes what is no string, and nothing else", function()
        redis("HSET", "job", "field", "1")
        assert.equal("wrongtype", ask("break", { word = "mine" }).reason)
        assert.equal(1, redis("EXISTS", "job"))
        assert.equal("granted", ask("break", { word = "" }).reason)
        assert.equal(0, redis("EXISTS", "job"))
        acquire()
        assert.equal("anothers", ask("break", { word = "" }).reason)
        assert.equal("mine", redis("GET", "job"))
    end)

    it("does not mind what else stands beside the lock", function()
        acquire()
        for _, side in ipairs { "fence", "queue", "claim" } do
            redis("DEL", inbox.side("job", side))
            redis("HSET", inbox.side("job", side), "field", "1")
        end
        assert.equal("granted", ask("break", { word = "mine" }).reason)
        assert.equal(0, redis("EXISTS", "job"))
    end)
end)

describe("scan", function()
    -- All pages from the first on: a list of fields, and how many pages.
    local function scan(pattern, all)
        local fields, cursor, pages = {}, "0", 0
        repeat
            local page = ask("scan", { token = cursor, word = pattern or "*", all = all }).details
            assert.is_true(#page > 0 and #page <= 65536, #page)
            local at, is_first = 1, true
            while at <= #page do
                local digits = page:match("^(%d+):", at)
                local from = at + #digits + 1
                at = from + tonumber(digits)
                local field = page:sub(from, at - 1)
                assert.equal(tonumber(digits), #field)
                if is_first then
                    cursor, is_first = field, false
                else
                    fields[#fields + 1] = field
                end
            end
            pages = pages + 1
        until cursor == "0"
        assert.equal(0, #fields % 5)
        return fields, pages
    end

    it("of an empty server is one page with nothing on it", function()
        assert.same({}, (scan()))
    end)

    it("tells key, token, rest of the lease, fence and number of waiters", function()
        acquire { token = "0123456789", identity = "host:1 redlock", ttl_ms = 20000 }
        acquire { token = "x", waiter = "redlock:a/1", arrival_us = 1 }
        local fields = scan()
        assert.is_true(between(10000, tonumber(fields[3]), 20000))
        fields[3] = "some"
        local fence = decimal(BALLOT) .. " 01234567 host:1 redlock"
        assert.same({ "job", "0123456789", "some", fence, "1" }, fields)
    end)

    it("leaves out side keys, what has no fence and what is no string", function()
        acquire { key = "a" }
        acquire { key = "{b}c" }
        acquire { key = "d", token = "x" }
        redis("DEL", "d")
        redis("SET", "plain", "1")
        redis("SET", "foreign", "1", "PX", 10000)
        redis("HSET", "hash", "field", "1")
        redis("SET", inbox.side("hash", "fence"), "7")
        local names = {}
        for index, field in ipairs((scan())) do
            names[#names + 1] = index % 5 == 1 and field or nil
        end
        table.sort(names)
        assert.same({ "a", "{b}c" }, names)
    end)

    it("of all tells what ends by itself and has no fence, too", function()
        redis("SET", "plain", "1")
        redis("SET", "foreign", ("x"):rep(100000), "PX", 10000)
        local fields = scan("*", true)
        assert.same({ "foreign", ("x"):rep(100), "", "0" },
            { fields[1], fields[2], fields[4], fields[5] })
        assert.equal(5, #fields)
    end)

    it("changes nothing", function()
        acquire()
        acquire { token = "x", waiter = "redlock:a/1", arrival_us = 1 }
        local before = contents()
        scan("*", true)
        assert.equal(before, contents())
    end)

    it("finds each of many locks whose names and holders are as long as can be", function()
        local count = 400
        redis("EVAL", [[
            for i = 1, tonumber(ARGV[1]) do
                local key = string.rep('k', 1018) .. string.format('%06d', i)
                redis.call('SET', key, string.rep('t', 100), 'PX', 600000)
                redis.call('SET', '{' .. key .. '}:fence', '1700000000000000 tttttttt ' ..
                    string.rep('h', 255), 'PX', 600000)
            end
        ]], 0, count)
        local seen, number = {}, 0
        for index, field in ipairs((scan())) do
            if index % 5 == 1 and not seen[field] then
                seen[field], number = true, number + 1
            end
        end
        assert.equal(count, number)
    end)

    it("looks at many keys where there is nothing, and at few where there is much", function()
        redis("EVAL", "for i = 1, 5000 do redis.call('SET', 'plain' .. i, i, 'PX', 60000) end", 0)
        assert.is_true(select(2, scan "lock*") < 20)
        assert.is_true(select(2, scan("*", true)) > 20)
    end)
end)
