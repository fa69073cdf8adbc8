-- From a checkout, all of it offline:
--
--   luarocks lint redlock-scm-1.rockspec
--   luarocks --lua-version 5.4 make                          builds and installs
--   luarocks --lua-version 5.4 pack redlock                  a binary rock of what is installed
--   make rock                                                a source rock of what is committed
--   luarocks --lua-version 5.4 install build/rock/redlock-scm-1.src.rock
--
-- For LuaJIT: luarocks --lua-version 5.1 make LUA_INCDIR=/usr/include/luajit-2.1
rockspec_format = "3.0"
package = "redlock"
version = "scm-1"

source = {
    -- The checkout that this file is in. LuaRocks wants an absolute path here before it can pack the
    -- rockspec itself: `make rock` fills it in.
    url = "git+file://.",
}

description = {
    summary = "Distributed locks on Redis: leases, fencing tokens, Redlock quorums",
    detailed = [[
Locks for Lua programs on one Redis or on a quorum of independent ones. Leases are renewed by a native
watchdog, every grant carries a strictly increasing fencing token, and a waiter is woken by the release
instead of polling for it.]],
    license = "MIT",
    labels = { "redis", "lock", "distributed" },
}

dependencies = {
    "lua >= 5.1, < 5.5",
}

external_dependencies = {
    HIREDIS = { header = "hiredis/hiredis.h", library = "hiredis" },
    OPENSSL = { header = "openssl/ssl.h", library = "ssl" },
}

build = {
    type = "make",
    variables = {
        BUILD = "build/luarocks",
        CFLAGS = "$(CFLAGS)",
        LIBFLAG = "$(LIBFLAG)",
        LUA_INCDIR = "$(LUA_INCDIR)",
        HIREDIS_INCDIR = "$(HIREDIS_INCDIR)",
        HIREDIS_LIBDIR = "$(HIREDIS_LIBDIR)",
        OPENSSL_INCDIR = "$(OPENSSL_INCDIR)",
        OPENSSL_LIBDIR = "$(OPENSSL_LIBDIR)",
        INST_LIBDIR = "$(LIBDIR)",
        INST_LUADIR = "$(LUADIR)",
        BINDIR = "",
    },
    install = { bin = { redlock = "bin/redlock" } },
    copy_directories = { "docs" }, -- and redlock.1 in it
}
