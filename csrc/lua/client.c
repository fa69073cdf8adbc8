/* core.client() and what is asked of a client as a whole. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/arguments.h"
#include "lua/objects.h"

#define CLIENT_TYPE "redlock.client"

/* ---- life ---- */

/* A finalizer that runs late may still hold what was collected before it. */
struct rlk_shared_client *rlk_check_client(lua_State *L, int index)
{
    struct rlk_shared_client *shared =
        *(struct rlk_shared_client **)luaL_checkudata(L, index, CLIENT_TYPE);
    luaL_argcheck(L, shared, index, "the client was collected");
    return shared;
}

void rlk_share_client(struct rlk_shared_client *shared)
{
    shared->references++;
}

void rlk_release_client(struct rlk_shared_client *shared)
{
    if (--shared->references > 0)
        return;
    if (shared->client)
        rlk_client_free(shared->client);
    free(shared);
}

/* True, or false with a message on the stack, which quotes no URL. */
static bool read_endpoints(lua_State *L, struct rlk_settings *settings)
{
    lua_getfield(L, -1, "nodes");
    int count = (int)rlk_rawlen(L, -1);
    luaL_argcheck(L, count >= 1 && count <= RLK_NODES_MAX, 1, "nodes out of range");
    settings->nodes = count;
    for (int i = 0; i < count && i < RLK_NODES_MAX; i++) {
        size_t len;
        const char *error;
        lua_rawgeti(L, -1, i + 1);
        const char *url = luaL_checklstring(L, -1, &len);
        bool valid = rlk_endpoint_parse(&settings->endpoints[i], url, len, &error);
        lua_pop(L, 1);
        if (!valid) {
            lua_pushfstring(L, "node %d: %s", i + 1, error);
            return false;
        }
        for (int other = 0; other < i; other++) {
            if (rlk_endpoint_same(&settings->endpoints[i], &settings->endpoints[other])) {
                lua_pushfstring(L, "nodes %d and %d are the same server, %s: it has one vote",
                                other + 1, i + 1, settings->endpoints[i].name);
                return false;
            }
        }
    }
    lua_pop(L, 1);
    return true;
}

static bool wants_tls(const struct rlk_settings *settings)
{
    for (int i = 0; i < settings->nodes; i++)
        if (settings->endpoints[i].transport == RLK_TLS)
            return true;
    return false;
}

static bool read_tls(lua_State *L, struct rlk_settings *settings)
{
    char error[256];
    struct rlk_tls_options options = {
        .verify = rlk_boolean_field(L, "tls_verify"),
        .ca_file = rlk_string_field(L, "tls_ca_file"),
        .ca_path = rlk_string_field(L, "tls_ca_path"),
        .certificate = rlk_string_field(L, "tls_cert"),
        .key = rlk_string_field(L, "tls_key"),
        .server_name = rlk_string_field(L, "tls_server_name"),
    };
    if (!wants_tls(settings))
        return true;
    settings->tls = rlk_tls_new(&options, error, sizeof error);
    if (!settings->tls)
        lua_pushfstring(L, "TLS: %s", error);
    return settings->tls != NULL;
}

/* false: none is told; a string is a part of it. */
static void read_identity(lua_State *L, struct rlk_settings *settings)
{
    lua_getfield(L, -1, "identity");
    settings->is_anonymous = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    const char *purpose = lua_tostring(L, -1);
    if (purpose)
        snprintf(settings->purpose, sizeof settings->purpose, "%s", purpose);
    lua_pop(L, 1);
}

static void read_settings(lua_State *L, struct rlk_settings *settings)
{
    const char *name = rlk_string_field(L, "client_name");
    read_identity(L, settings);
    settings->timeout_ms = rlk_milliseconds_field(L, "timeout");
    settings->drift_factor = rlk_number_field(L, "drift_factor");
    lua_getfield(L, -1, "restart_guard");
    settings->restart_guard_ms = lua_isnumber(L, -1)    ? rlk_milliseconds(lua_tonumber(L, -1))
                                 : lua_toboolean(L, -1) ? RLK_GUARD_AUTO
                                                        : 0;
    lua_pop(L, 1);
    size_t len = name ? strlen(name) : 0;
    if (len >= sizeof settings->client_name)
        len = sizeof settings->client_name - 1;
    if (len > 0)
        memcpy(settings->client_name, name, len);
}

/* core.client(settings) -> client | nil, message. Connects to nothing yet. */
static int new_client(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct rlk_shared_client **box = lua_newuserdata(L, sizeof *box);
    struct rlk_shared_client *shared = calloc(1, sizeof *shared);
    if (!shared)
        return luaL_error(L, "not enough memory");
    shared->references = 1;
    *box = shared;
    luaL_getmetatable(L, CLIENT_TYPE);
    lua_setmetatable(L, -2);
    const size_t size = RLK_NODES_MAX * sizeof(struct rlk_endpoint);
    struct rlk_settings settings = {.endpoints = lua_newuserdata(L, size)};
    memset(settings.endpoints, 0, size);
    lua_pushvalue(L, 1);
    read_settings(L, &settings);
    if (!read_endpoints(L, &settings) || !read_tls(L, &settings)) {
        lua_pushnil(L);
        lua_insert(L, -2);
        explicit_bzero(settings.endpoints, size);
        return 2;
    }
    shared->client = rlk_client_new(&settings);
    explicit_bzero(settings.endpoints, size);
    if (!shared->client) {
        rlk_tls_free(settings.tls);
        return luaL_error(L, "not enough memory");
    }
    lua_pushvalue(L, 2);
    return 1;
}

int64_t rlk_grace_ms(const struct rlk_client *client)
{
    return rlk_client_settings(client)->timeout_ms;
}

/* core.close(client) */
static int close_client(lua_State *L)
{
    struct rlk_client *client = rlk_check_client(L, 1)->client;
    rlk_client_close(client, rlk_grace_ms(client));
    return 0;
}

static int is_closed(lua_State *L)
{
    lua_pushboolean(L, rlk_client_is_closed(rlk_check_client(L, 1)->client));
    return 1;
}

static int collect_client(lua_State *L)
{
    struct rlk_shared_client **box = luaL_checkudata(L, 1, CLIENT_TYPE);
    struct rlk_shared_client *shared = *box;
    *box = NULL;
    if (!shared)
        return 0;
    if (shared->client)
        rlk_client_close(shared->client, rlk_grace_ms(shared->client));
    rlk_release_client(shared);
    return 0;
}

/* core.nodes(client) -> { "host:port", ... } */
static int list_nodes(lua_State *L)
{
    const struct rlk_settings *settings = rlk_client_settings(rlk_check_client(L, 1)->client);
    lua_createtable(L, settings->nodes, 0);
    for (int i = 0; i < settings->nodes; i++) {
        lua_pushstring(L, settings->endpoints[i].name);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- results ---- */

static void push_vote(lua_State *L, const char *node, const struct rlk_tally *tally,
                      const struct rlk_buffer *details)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, node);
    lua_setfield(L, -2, "node");
    lua_pushstring(L, rlk_reason_text(tally->reason));
    lua_setfield(L, -2, "vote");
    lua_pushboolean(L, rlk_reason_is_answer(tally->reason));
    lua_setfield(L, -2, "answered");
    if (tally->text[0]) {
        lua_pushstring(L, tally->text);
        lua_setfield(L, -2, "text");
    }
    if (details && rlk_buffer_len(details) > 0) {
        lua_pushlstring(L, rlk_buffer_bytes(details), rlk_buffer_len(details));
        lua_setfield(L, -2, "details");
    }
    if (tally->fence > 0) {
        rlk_pushwhole(L, tally->fence);
        lua_setfield(L, -2, "fence");
    }
    if (tally->ttl_ms > 0) {
        lua_pushnumber(L, rlk_seconds(tally->ttl_ms));
        lua_setfield(L, -2, "ttl");
    } else if (tally->ttl_ms == -1) {
        lua_pushnumber(L, HUGE_VAL);
        lua_setfield(L, -2, "ttl");
    }
    rlk_pushwhole(L, tally->waiters);
    lua_setfield(L, -2, "waiters");
}

void rlk_push_votes(lua_State *L, const struct rlk_client *client, struct rlk_record record)
{
    const struct rlk_settings *settings = rlk_client_settings(client);
    lua_createtable(L, settings->nodes, 0);
    for (int i = 0; record.tallies && i < settings->nodes; i++) {
        push_vote(L, settings->endpoints[i].name, &record.tallies[i],
                  record.findings ? &record.findings[i] : NULL);
        lua_rawseti(L, -2, i + 1);
    }
}

static const char *outcome_code(const struct rlk_client *client, enum rlk_outcome outcome)
{
    if (rlk_client_is_closed(client))
        return "closed";
    switch (outcome) {
    case RLK_LOCKED:
        return "locked";
    case RLK_TIMEOUT:
        return "timeout";
    case RLK_LOST:
        return "lost";
    default:
        return "unavailable";
    }
}

struct rlk_record rlk_record_of_call(const struct rlk_client *client)
{
    return (struct rlk_record){rlk_client_tallies(client), rlk_client_findings(client)};
}

int rlk_push_result(lua_State *L, const struct rlk_client *client, enum rlk_outcome outcome,
                    struct rlk_record record)
{
    bool done = outcome == RLK_ACQUIRED || outcome == RLK_EXTENDED || outcome == RLK_RELEASED;
    if (done || outcome == RLK_INSPECTED)
        lua_pushboolean(L, true);
    else
        lua_pushstring(L, outcome_code(client, outcome));
    if (done)
        return 1;
    rlk_push_votes(L, client, rlk_client_is_closed(client) ? (struct rlk_record){0} : record);
    return 2;
}

/* core.inspect(client, key, inquiry...) -> true, votes: what the nodes know, or did; or code, votes */
static int inspect(lua_State *L)
{
    struct rlk_client *client = rlk_check_client(L, 1)->client;
    struct rlk_inquiry asked = rlk_check_inquiry(L, 3, rlk_client_settings(client)->nodes);
    enum rlk_outcome outcome = rlk_client_inspect(client, rlk_check_key(L, 2), &asked);
    return rlk_push_result(L, client, outcome, rlk_record_of_call(client));
}

/* ---- module ---- */

static const luaL_Reg functions[] = {
    {"client", new_client}, {"close", close_client}, {"is_closed", is_closed},
    {"nodes", list_nodes},  {"inspect", inspect},    {NULL, NULL},
};

void rlk_open_clients(lua_State *L)
{
    rlk_add_functions(L, functions);
    luaL_newmetatable(L, CLIENT_TYPE);
    lua_pushcfunction(L, collect_client);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, CLIENT_TYPE);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
