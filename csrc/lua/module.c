/* require "redlock.core": what the Lua layer (lua/redlock/) stands on. It checks arguments,
 * calls, and returns; what options mean and how failures read is decided in Lua. Seconds become
 * milliseconds here and nowhere else. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/client.h"
#include "io/system.h"
#include "lua/compat.h"

#define CLIENT_TYPE "redlock.client"
#define LOCK_TYPE "redlock.lock"
#define TTL_MAX_MS INT64_C(1000000000000)

/* What the Lua objects of one client share. */
struct shared_client {
    struct rlk_client *client;
    int references;
};

struct lock {
    struct shared_client *shared;
    struct rlk_holding *holding; /* of the last acquire that succeeded; NULL before */
    struct rlk_terms terms;      /* unless acquire says otherwise */
    size_t prefix_len;
    struct rlk_key key; /* prefix and name; its bytes follow */
    char bytes[];
};

/* ---- arguments ---- */

static int64_t milliseconds(double seconds)
{
    double rounded = floor(seconds * 1000 + 0.5);
    if (rounded >= 9e15)
        return RLK_NEVER;
    return rounded > -9e15 ? (int64_t)rounded : -1; /* also what is no number */
}

static double seconds(int64_t ms)
{
    return (double)ms / 1000;
}

/* A field of the table on top of the stack; the caller pops it. */
static void get_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
}

static int64_t milliseconds_field(lua_State *L, const char *name)
{
    get_field(L, name);
    int64_t ms = milliseconds(luaL_checknumber(L, -1));
    lua_pop(L, 1);
    return ms;
}

static bool boolean_field(lua_State *L, const char *name)
{
    get_field(L, name);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

/* The table keeps the string alive. */
static const char *string_field(lua_State *L, const char *name)
{
    get_field(L, name);
    const char *value = luaL_optstring(L, -1, NULL);
    lua_pop(L, 1);
    return value;
}

/* { ttl, wait, max_hold in seconds; renew, fair } */
static struct rlk_terms check_terms(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushvalue(L, index);
    struct rlk_terms terms = {
        .ttl_ms = milliseconds_field(L, "ttl"),
        .wait_ms = milliseconds_field(L, "wait"),
        .max_hold_ms = milliseconds_field(L, "max_hold"),
        .renew = boolean_field(L, "renew"),
        .fair = boolean_field(L, "fair"),
    };
    lua_pop(L, 1);
    luaL_argcheck(L, terms.ttl_ms >= 1 && terms.ttl_ms <= TTL_MAX_MS && terms.wait_ms >= 0, index,
                  "terms out of range");
    int64_t lease_s = terms.ttl_ms / 1000;
    terms.fence_ttl_s = lease_s > RLK_FENCE_TTL_S / 2 ? 2 * lease_s : RLK_FENCE_TTL_S;
    return terms;
}

/* A finalizer that runs late may still hold what was collected before it. */
static struct shared_client *check_client(lua_State *L, int index)
{
    struct shared_client *shared = *(struct shared_client **)luaL_checkudata(L, index, CLIENT_TYPE);
    luaL_argcheck(L, shared, index, "the client was collected");
    return shared;
}

static struct lock *check_lock(lua_State *L, int index)
{
    struct lock *lock = luaL_checkudata(L, index, LOCK_TYPE);
    luaL_argcheck(L, lock->shared, index, "the lock was collected");
    return lock;
}

/* ---- clients ---- */

static void release_shared(struct shared_client *shared)
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
    get_field(L, "nodes");
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
        .verify = boolean_field(L, "tls_verify"),
        .ca_file = string_field(L, "tls_ca_file"),
        .ca_path = string_field(L, "tls_ca_path"),
        .certificate = string_field(L, "tls_cert"),
        .key = string_field(L, "tls_key"),
        .server_name = string_field(L, "tls_server_name"),
    };
    if (!wants_tls(settings))
        return true;
    settings->tls = rlk_tls_new(&options, error, sizeof error);
    if (!settings->tls)
        lua_pushfstring(L, "TLS: %s", error);
    return settings->tls != NULL;
}

static void read_settings(lua_State *L, struct rlk_settings *settings)
{
    const char *name = string_field(L, "client_name");
    settings->timeout_ms = milliseconds_field(L, "timeout");
    get_field(L, "drift_factor");
    settings->drift_factor = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    get_field(L, "restart_guard");
    settings->restart_guard_ms = lua_isnumber(L, -1)    ? milliseconds(lua_tonumber(L, -1))
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
    struct shared_client **box = lua_newuserdata(L, sizeof *box);
    struct shared_client *shared = calloc(1, sizeof *shared);
    if (!shared)
        return luaL_error(L, "not enough memory");
    shared->references = 1;
    *box = shared;
    luaL_getmetatable(L, CLIENT_TYPE);
    lua_setmetatable(L, -2);
    struct rlk_settings *settings = lua_newuserdata(L, sizeof *settings);
    memset(settings, 0, sizeof *settings);
    lua_pushvalue(L, 1);
    read_settings(L, settings);
    if (!read_endpoints(L, settings) || !read_tls(L, settings)) {
        lua_pushnil(L);
        lua_insert(L, -2);
        explicit_bzero(settings, sizeof *settings);
        return 2;
    }
    shared->client = rlk_client_new(settings);
    if (!shared->client)
        rlk_settings_free(settings);
    explicit_bzero(settings, sizeof *settings);
    if (!shared->client)
        return luaL_error(L, "not enough memory");
    lua_pushvalue(L, 2);
    return 1;
}

static int close_client(lua_State *L)
{
    rlk_client_close(check_client(L, 1)->client);
    return 0;
}

static int is_closed(lua_State *L)
{
    lua_pushboolean(L, rlk_client_is_closed(check_client(L, 1)->client));
    return 1;
}

static int collect_client(lua_State *L)
{
    struct shared_client **box = luaL_checkudata(L, 1, CLIENT_TYPE);
    struct shared_client *shared = *box;
    *box = NULL;
    if (!shared)
        return 0;
    if (shared->client)
        rlk_client_close(shared->client);
    release_shared(shared);
    return 0;
}

/* core.nodes(client) -> { "host:port", ... } */
static int list_nodes(lua_State *L)
{
    const struct rlk_settings *settings = rlk_client_settings(check_client(L, 1)->client);
    lua_createtable(L, settings->nodes, 0);
    for (int i = 0; i < settings->nodes; i++) {
        lua_pushstring(L, settings->endpoints[i].name);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* ---- votes ---- */

static void push_vote(lua_State *L, const char *node, const struct rlk_tally *tally)
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
    if (tally->fence > 0) {
        rlk_pushwhole(L, tally->fence);
        lua_setfield(L, -2, "fence");
    }
    if (tally->ttl_ms > 0) {
        lua_pushnumber(L, seconds(tally->ttl_ms));
        lua_setfield(L, -2, "ttl");
    } else if (tally->ttl_ms == -1) {
        lua_pushnumber(L, HUGE_VAL);
        lua_setfield(L, -2, "ttl");
    }
    rlk_pushwhole(L, tally->waiters);
    lua_setfield(L, -2, "waiters");
}

/* core.votes(client) -> for each node, what it said in the last call: { node, vote, answered,
 * text = error or token, fence, ttl = seconds (huge: for ever), waiters } */
static int list_votes(lua_State *L)
{
    const struct rlk_client *client = check_client(L, 1)->client;
    const struct rlk_settings *settings = rlk_client_settings(client);
    const struct rlk_tally *tallies = rlk_client_tallies(client);
    lua_createtable(L, settings->nodes, 0);
    for (int i = 0; i < settings->nodes; i++) {
        push_vote(L, settings->endpoints[i].name, &tallies[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* core.inspect(client, key): what the nodes know, as votes. False if the client is closed. */
static int inspect(lua_State *L)
{
    struct rlk_client *client = check_client(L, 1)->client;
    struct rlk_key key;
    key.bytes = luaL_checklstring(L, 2, &key.len);
    luaL_argcheck(L, key.len >= 1 && key.len <= RLK_KEY_MAX, 2, "key out of range");
    lua_pushboolean(L, rlk_client_inspect(client, key) == RLK_INSPECTED);
    return 1;
}

/* ---- locks ---- */

static const char *outcome_name(enum rlk_outcome outcome)
{
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

/* True, or the code of a failure. */
static int push_outcome(lua_State *L, const struct lock *lock, enum rlk_outcome outcome,
                        enum rlk_outcome success)
{
    if (outcome == success)
        lua_pushboolean(L, true);
    else if (rlk_client_is_closed(lock->shared->client))
        lua_pushliteral(L, "closed");
    else
        lua_pushstring(L, outcome_name(outcome));
    return 1;
}

/* core.lock(client, prefix, name, terms, companion) -> lock. The companion, a table, lives as
 * long as the lock. */
static int new_lock(lua_State *L)
{
    size_t prefix_len, name_len;
    struct shared_client *shared = check_client(L, 1);
    const char *prefix = luaL_checklstring(L, 2, &prefix_len);
    const char *name = luaL_checklstring(L, 3, &name_len);
    struct rlk_terms terms = check_terms(L, 4);
    luaL_checktype(L, 5, LUA_TTABLE);
    size_t len = prefix_len + name_len;
    luaL_argcheck(L, len >= 1 && len <= RLK_KEY_MAX, 3, "key out of range");
    struct lock *lock = rlk_newuserdata(L, sizeof *lock + len);
    *lock = (struct lock){.shared = shared, .terms = terms, .prefix_len = prefix_len};
    memcpy(lock->bytes, prefix, prefix_len);
    memcpy(lock->bytes + prefix_len, name, name_len);
    lock->key = (struct rlk_key){lock->bytes, len};
    shared->references++;
    luaL_getmetatable(L, LOCK_TYPE);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 5);
    rlk_setcompanion(L, -2);
    return 1;
}

static int get_companion(lua_State *L)
{
    check_lock(L, 1);
    rlk_getcompanion(L, 1);
    return 1;
}

static void forget(struct lock *lock)
{
    if (lock->holding)
        rlk_client_forget(lock->shared->client, lock->holding);
    lock->holding = NULL;
}

/* core.acquire(lock[, terms]) -> true | code. A lock that is still held must be released first. */
static int acquire(lua_State *L)
{
    struct lock *lock = check_lock(L, 1);
    struct rlk_terms terms = lua_isnoneornil(L, 2) ? lock->terms : check_terms(L, 2);
    forget(lock);
    enum rlk_outcome outcome =
        rlk_client_acquire(lock->shared->client, lock->key, &terms, &lock->holding);
    return push_outcome(L, lock, outcome, RLK_ACQUIRED);
}

/* core.extend(lock, seconds) -> true | code */
static int extend(lua_State *L)
{
    struct lock *lock = check_lock(L, 1);
    int64_t ttl_ms = milliseconds(luaL_checknumber(L, 2));
    luaL_argcheck(L, ttl_ms >= 1 && ttl_ms <= TTL_MAX_MS, 2, "ttl out of range");
    enum rlk_outcome outcome = RLK_LOST;
    if (lock->holding)
        outcome = rlk_client_extend(lock->shared->client, lock->holding, ttl_ms);
    return push_outcome(L, lock, outcome, RLK_EXTENDED);
}

/* core.release(lock) -> true | code */
static int release(lua_State *L)
{
    struct lock *lock = check_lock(L, 1);
    if (!lock->holding || atomic_load(&lock->holding->status) == RLK_HAS_RELEASED) {
        lua_pushboolean(L, true);
        return 1;
    }
    enum rlk_outcome outcome = rlk_client_release(lock->shared->client, lock->holding);
    return push_outcome(L, lock, outcome, RLK_RELEASED);
}

/* core.remaining(lock) -> seconds that are certainly left; 0 if it is not held */
static int remaining(lua_State *L)
{
    const struct lock *lock = check_lock(L, 1);
    int64_t left_us = lock->holding ? rlk_holding_remaining_us(lock->holding) : 0;
    lua_pushnumber(L, (double)left_us / 1e6);
    return 1;
}

static int held(lua_State *L)
{
    const struct lock *lock = check_lock(L, 1);
    lua_pushboolean(L, lock->holding && rlk_holding_remaining_us(lock->holding) > 0);
    return 1;
}

/* core.status(lock) -> "never held", "held", "expired", "taken", "gone", "released" or "another
 * process" */
static int status(lua_State *L)
{
    static const char *const names[] = {
        [RLK_HOLDS] = "held",     [RLK_LOST_EXPIRED] = "expired",  [RLK_LOST_TAKEN] = "taken",
        [RLK_LOST_GONE] = "gone", [RLK_HAS_RELEASED] = "released",
    };
    const struct lock *lock = check_lock(L, 1);
    const char *name = "never held";
    if (lock->holding && lock->holding->generation != rlk_fork_generation()) {
        name = "another process";
    } else if (lock->holding) {
        int status = atomic_load(&lock->holding->status);
        bool ran_out = status == RLK_HOLDS && rlk_holding_remaining_us(lock->holding) == 0;
        name = names[ran_out ? RLK_LOST_EXPIRED : status];
    }
    lua_pushstring(L, name);
    return 1;
}

/* lock.name, lock.token, lock.fence; methods come from the table in the upvalue. */
static int index_lock(lua_State *L)
{
    const struct lock *lock = check_lock(L, 1);
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_isnil(L, -1) || lua_type(L, 2) != LUA_TSTRING)
        return 1;
    const char *field = lua_tostring(L, 2);
    if (strcmp(field, "name") == 0)
        lua_pushlstring(L, lock->bytes + lock->prefix_len, lock->key.len - lock->prefix_len);
    else if (lock->holding && strcmp(field, "token") == 0)
        lua_pushstring(L, lock->holding->lock.lease.token);
    else if (lock->holding && strcmp(field, "fence") == 0)
        rlk_pushwhole(L, lock->holding->lock.lease.fence);
    else
        lua_pushnil(L);
    return 1;
}

static int collect_lock(lua_State *L)
{
    struct lock *lock = luaL_checkudata(L, 1, LOCK_TYPE);
    if (!lock->shared)
        return 0;
    forget(lock);
    release_shared(lock->shared);
    lock->shared = NULL;
    return 0;
}

/* ---- module ---- */

/* core.clock() -> seconds on the clock by which leases are judged */
static int read_clock(lua_State *L)
{
    lua_pushnumber(L, (double)rlk_clock_us() / 1e6);
    return 1;
}

static const luaL_Reg functions[] = {
    {"client", new_client}, {"close", close_client},      {"is_closed", is_closed},
    {"nodes", list_nodes},  {"votes", list_votes},        {"inspect", inspect},
    {"lock", new_lock},     {"companion", get_companion}, {"acquire", acquire},
    {"extend", extend},     {"release", release},         {"remaining", remaining},
    {"held", held},         {"status", status},           {"clock", read_clock},
    {NULL, NULL},
};

/* Leaves core.lock_methods and core.lock_metatable for lua/redlock/lock.lua to fill. */
static void open_locks(lua_State *L)
{
    luaL_newmetatable(L, LOCK_TYPE);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "lock_methods");
    lua_pushcclosure(L, index_lock, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, collect_lock);
    lua_setfield(L, -2, "__gc");
    lua_setfield(L, -2, "lock_metatable");
}

static void open_clients(lua_State *L)
{
    luaL_newmetatable(L, CLIENT_TYPE);
    lua_pushcfunction(L, collect_client);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, CLIENT_TYPE);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

__attribute__((visibility("default"))) int luaopen_redlock_core(lua_State *L);

int luaopen_redlock_core(lua_State *L)
{
    lua_newtable(L);
    for (const luaL_Reg *function = functions; function->name; function++) {
        lua_pushcfunction(L, function->func);
        lua_setfield(L, -2, function->name);
    }
    open_locks(L);
    open_clients(L);
    return 1;
}
