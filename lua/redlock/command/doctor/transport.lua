--- How a node is reached: the connection, and what protects it.
-- @module redlock.command.doctor.transport
-- @local

local core = require "redlock.core"
local figures = require "redlock.command.figures"

local transport = {}

local DAY = 86400
local SOON = 14 * DAY

-- What a failure calls for, by a part of its words.
local advice = {
    { "refused the user or password", "check user and password in the URL" },
    { "wants a password", "put user and password into the URL: redis://user:password@host" },
    { "Connection refused", "is the server running? does it listen on that address and port?" },
    { "No such file", "is the server running? is that the unixsocket of its configuration?" },
    { "Permission denied", "see the socket's mode: unixsocketperm" },
    { "resolve", "is the host's name right? getent hosts NAME" },
    { "not known", "is the host's name right? getent hosts NAME" },
    { "certificate has expired", "renew the server's certificate" },
    { "mismatch", "use the name that its certificate bears; or say that: --tls-server-name" },
    { "TLS: ", "name the authority: --tls-ca-file; see: openssl s_client -connect HOST:PORT" },
    { "no TLS", "does it speak TLS there (redis:// if not)? or a larger timeout" },
    { "reset by peer", "is the port right? does it speak TLS (rediss://)?" },
    { "no connection", "a firewall? a wrong address? a server that hangs? or a larger timeout" },
    { "no login", "does the server hang? does it speak TLS (rediss://)? or a larger timeout" },
    { "closed by the server", "is the port right? does it speak TLS (rediss://)? is it full?" },
    { "malformed", "is this a Redis server? does it speak TLS (rediss://)?" },
    { "DB index", "the URL names a database that the server does not have" },
}

--- What to do about a connection that failed.
-- @tparam string message
-- @treturn string
function transport.advice(message)
    for _, pair in ipairs(advice) do
        if message:find(pair[1], 1, true) then
            return pair[2]
        end
    end
    return "see the server's log"
end

local function judge_time(list, valid, verify)
    local days = valid / DAY
    local more = { days = days, verified = verify }
    if valid < 0 then
        more.advice = "renew it: who verifies it does not connect"
        list:problem("TLS", more, "its certificate ended %s ago", figures.days(-valid))
    elseif valid < SOON then
        more.advice = "renew it"
        list:warning("TLS", more, "its certificate ends in %s", figures.days(valid))
    else
        list:fine("TLS", more, "TLS, with a certificate for another %s", figures.days(valid))
    end
end

local function judge_certificate(list, console, verify)
    local certificate = console:certificate()
    if not certificate then
        list:unknown("TLS", nil, "it showed no certificate")
        return
    end
    judge_time(list, certificate.valid, verify)
    if not verify then
        list:warning("verification", {
            advice = "name its authority by --tls-ca-file, and do without --tls-no-verify",
        }, certificate.doubt and "its certificate is not verified, and would not pass: %s"
            or "its certificate is not verified: whoever is in between can be the node",
            certificate.doubt)
    end
end

local function is_near(name)
    return name:find "^127%." or name:find "^localhost:" or name:find "^%[::1%]"
end

--- Connects, and judges how.
-- @tparam List list of findings
-- @tparam Console console
-- @tparam boolean verify whether certificates are verified
-- @treturn boolean whether it is connected
function transport.judge(list, console, verify)
    local before = core.clock()
    local ok, message = console:open()
    if not ok then
        list:problem("reachable", { advice = transport.advice(message) }, "%s", message)
        return false
    end
    local took = core.clock() - before
    list:fine("reachable", { seconds = took }, "connected in %s", figures.time(took))
    local kind = console:transport()
    if kind == "tls" then
        judge_certificate(list, console, verify)
    elseif kind == "tcp" and not is_near(console.name) then
        list:note("TLS", { advice = "rediss:// where others share the network" },
            "what goes there is not encrypted, the password neither")
    end
    return true
end

return transport
