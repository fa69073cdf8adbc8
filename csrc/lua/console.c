/* core.console: any command to one node of a client, for those who look after the nodes. */
#include "io/console.h"
#include "core/scripts.h"
#include "core/wire.h"
#include "lua/arguments.h"
#include "lua/objects.h"

#define CONSOLE_TYPE "redlock.console"
#define TIMEOUT_MAX_MS (3600 * 1000)

struct lua_console {
    struct rlk_console *console;      /* NULL once collected */
    struct rlk_shared_client *shared; /* whose settings the console borrows */
    const struct rlk_endpoint *endpoint;
};

static struct lua_console *check_console(lua_State *L, int index)
{
    struct lua_console *self = luaL_checkudata(L, index, CONSOLE_TYPE);
    luaL_argcheck(L, self->console, index, "the console was collected");
    return self;
}

static int64_t check_timeout(lua_State *L, int index)
{
    int64_t timeout_ms = rlk_milliseconds(luaL_checknumber(L, index));
    luaL_argcheck(L, timeout_ms >= 0 && timeout_ms <= TIMEOUT_MAX_MS, index,
                  "timeout out of range");
    return timeout_ms;
}

static int push_failure(lua_State *L, const struct lua_console *self)
{
    lua_pushnil(L);
    lua_pushstring(L, rlk_console_error(self->console));
    return 2;
}

/* ---- life ---- */

/* console.new(client, index) -> a console to that node, from 1, that is not open yet. It may be used
 * as long as it is referred to, also when the client was closed. */
static int new_console(lua_State *L)
{
    struct rlk_shared_client *shared = rlk_check_client(L, 1);
    const struct rlk_settings *settings = rlk_client_settings(shared->client);
    lua_Integer index = luaL_checkinteger(L, 2);
    luaL_argcheck(L, index >= 1 && index <= settings->nodes, 2, "no such node");
    struct lua_console *self = lua_newuserdata(L, sizeof *self);
    *self = (struct lua_console){.endpoint = &settings->endpoints[index - 1]};
    luaL_getmetatable(L, CONSOLE_TYPE);
    lua_setmetatable(L, -2);
    self->console = rlk_console_new(settings, (int)index - 1);
    if (!self->console)
        return luaL_error(L, "not enough memory");
    self->shared = shared;
    rlk_share_client(shared);
    return 1;
}

static int collect_console(lua_State *L)
{
    struct lua_console *self = luaL_checkudata(L, 1, CONSOLE_TYPE);
    rlk_console_free(self->console);
    self->console = NULL;
    if (self->shared)
        rlk_release_client(self->shared);
    self->shared = NULL;
    return 0;
}

/* console.open(console, timeout) -> true | nil, message. Nothing if it is open. */
static int open_console(lua_State *L)
{
    struct lua_console *self = check_console(L, 1);
    if (!rlk_console_open(self->console, check_timeout(L, 2)))
        return push_failure(L, self);
    lua_pushboolean(L, true);
    return 1;
}

static int close_console(lua_State *L)
{
    rlk_console_close(check_console(L, 1)->console);
    return 0;
}

/* ---- commands ---- */

/* console.send(console, word, ...): queues a command, of any bytes. */
static int send(lua_State *L)
{
    struct lua_console *self = check_console(L, 1);
    int count = lua_gettop(L) - 1;
    luaL_argcheck(L, rlk_console_is_open(self->console), 1, "the console is not open");
    luaL_argcheck(L, count >= 1, 2, "a command expected");
    const char **words = lua_newuserdata(L, (size_t)count * sizeof *words);
    size_t *lengths = lua_newuserdata(L, (size_t)count * sizeof *lengths);
    for (int i = 0; i < count; i++)
        words[i] = luaL_checklstring(L, i + 2, &lengths[i]);
    if (!rlk_console_send(self->console, count, words, lengths))
        return luaL_error(L, "not enough memory");
    return 0;
}

static void push_text(lua_State *L, const struct lua_console *self, const redisReply *reply)
{
    if (rlk_console_may_tell(self->console, reply->str, (size_t)reply->len))
        lua_pushlstring(L, reply->str, (size_t)reply->len);
    else
        lua_pushliteral(L, "(what the server said holds the password)");
}

/* False for nothing; a table for an array, in which an error is { error = text }. Arrays are bounded
 * in depth by the console's reader. */
static void push_reply(lua_State *L, const struct lua_console *self, const redisReply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        push_text(L, self, reply);
        break;
    case REDIS_REPLY_INTEGER:
        rlk_pushwhole(L, reply->integer);
        break;
    case REDIS_REPLY_ERROR:
        lua_createtable(L, 0, 1);
        push_text(L, self, reply);
        lua_setfield(L, -2, "error");
        break;
    case REDIS_REPLY_ARRAY:
        luaL_checkstack(L, 4, "a reply of many arrays");
        lua_createtable(L, (int)reply->elements, 0);
        for (size_t i = 0; i < reply->elements; i++) {
            push_reply(L, self, reply->element[i]);
            lua_rawseti(L, -2, (int)i + 1);
        }
        break;
    default:
        lua_pushboolean(L, false);
    }
}

/* console.receive(console, timeout) -> the next reply | nil, text of an error reply, true
 * | nil, message: the connection is over, and the console closed */
static int receive(lua_State *L)
{
    struct lua_console *self = check_console(L, 1);
    int64_t timeout_ms = check_timeout(L, 2);
    luaL_argcheck(L, rlk_console_is_open(self->console), 1, "the console is not open");
    const redisReply *reply = rlk_console_receive(self->console, timeout_ms);
    if (!reply)
        return push_failure(L, self);
    if (reply->type != REDIS_REPLY_ERROR) {
        push_reply(L, self, reply);
        return 1;
    }
    lua_pushnil(L);
    push_text(L, self, reply);
    lua_pushboolean(L, true);
    return 3;
}

/* ---- what is known without asking ---- */

/* console.certificate(console) -> { valid = seconds left, doubt = what a verification says against
 * it }; nothing without TLS, or when not open */
static int look_at_certificate(lua_State *L)
{
    struct rlk_tls_peer peer;
    if (!rlk_console_certificate(check_console(L, 1)->console, &peer))
        return 0;
    lua_createtable(L, 0, 2);
    lua_pushnumber(L, (double)peer.valid_s);
    lua_setfield(L, -2, "valid");
    lua_pushstring(L, peer.doubt);
    lua_setfield(L, -2, "doubt");
    return 1;
}

/* console.transport(console) -> "tcp", "tls" or "unix" */
static int tell_transport(lua_State *L)
{
    static const char *const names[] = {[RLK_TCP] = "tcp", [RLK_TLS] = "tls", [RLK_UNIX] = "unix"};
    lua_pushstring(L, names[check_console(L, 1)->endpoint->transport]);
    return 1;
}

/* console.side_key(key, "fence" | "queue" | "claim") -> what stands beside a lock under that key */
static int name_side_key(lua_State *L)
{
    static const char *const names[] = {"fence", "queue", "claim", NULL};
    static const char *const suffixes[] = {":fence", ":queue", ":claim"};
    char buffer[RLK_SIDE_KEY_SIZE];
    struct rlk_key key = rlk_check_key(L, 1);
    const char *suffix = suffixes[luaL_checkoption(L, 2, NULL, names)];
    struct rlk_key side = rlk_wire_side_key(&key, suffix, buffer);
    lua_pushlstring(L, side.bytes, side.len);
    return 1;
}

/* console.scripts() -> { name = SHA1, ... } of what the library runs on the servers */
static int list_scripts(lua_State *L)
{
    lua_createtable(L, 0, RLK_REQUEST_KINDS);
    for (int kind = 0; kind < RLK_REQUEST_KINDS; kind++) {
        const struct rlk_script *script = rlk_script((enum rlk_request_kind)kind);
        lua_pushstring(L, script->sha1);
        lua_setfield(L, -2, script->name);
    }
    return 1;
}

static const luaL_Reg functions[] = {
    {"new", new_console},          {"open", open_console},
    {"close", close_console},      {"send", send},
    {"receive", receive},          {"certificate", look_at_certificate},
    {"transport", tell_transport}, {"side_key", name_side_key},
    {"scripts", list_scripts},     {NULL, NULL},
};

void rlk_open_consoles(lua_State *L)
{
    lua_newtable(L);
    rlk_add_functions(L, functions);
    lua_setfield(L, -2, "console");
    luaL_newmetatable(L, CONSOLE_TYPE);
    lua_pushcfunction(L, collect_console);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, CONSOLE_TYPE);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
