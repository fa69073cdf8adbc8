--- Chooses how a call waits: by blocking the thread, or by yielding to an event loop.
--
-- A host has `acquire(lock, detach, terms...)`, `extend(lock, ttl)`, `release(lock)`,
-- `inspect(client, key[, inquiry...])`, which return true or a code, then votes, then what happened if no node
-- decided it; `close(client)`; and, in event loops, `watch(lock, fn)`.
-- @module redlock.host
-- @local

local host = {}

local loaded = package.loaded

-- Not everywhere in a coroutine: string.gsub's callback, for one, cannot. Lua 5.1 and 5.2 cannot tell.
local can_yield = coroutine.isyieldable or function()
    return true
end

-- Of each host: whether this is a place where it can wait. nginx decides that by itself, by phase.
local here = {}

function here.nginx()
    local ngx = rawget(_G, "ngx")
    return ngx ~= nil and ngx.get_phase ~= nil and ngx.timer ~= nil
end

function here.cqueues()
    return loaded.cqueues ~= nil and loaded.cqueues.running() ~= nil and can_yield()
end

function here.luv()
    local thread, is_main = coroutine.running()
    return loaded.luv ~= nil and thread ~= nil and not is_main and can_yield()
end

function here.blocking()
    return true
end

local is_nginx = here.nginx()
local nginx, blocking -- hosts

--- The host for a call.
-- @tparam ?string|table name the one that the client was told to use; nil: whichever is here
-- @treturn[1] table the host
-- @treturn[2] nil
-- @treturn[2] string why that one is not to be had
function host.choose(name)
    if nginx and not name then
        return nginx
    elseif type(name) == "table" then
        return name -- of the command's own loop
    elseif not name and not loaded.cqueues and not loaded.luv then
        return blocking
    end
    name = name or here.cqueues() and "cqueues" or here.luv() and "luv" or "blocking"
    if here[name]() then
        return require("redlock.host." .. name)
    end
    return nil, ("host %q waits only inside a coroutine of its loop"):format(name)
end

--- What keeps a host from being used at all.
-- @treturn ?string
function host.missing(name)
    if name == "nginx" then
        return not is_nginx and "this is no nginx" or nil
    end
    local library = (name == "cqueues" or name == "luv") and name
    local ok, err = pcall(require, library or "redlock.core")
    return not ok and err or nil
end

-- In the master process, before it forks the workers.
if is_nginx then
    nginx = require "redlock.host.nginx"
end
blocking = require "redlock.host.blocking"

return host
