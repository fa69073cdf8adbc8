/* core.lock() and what is done with a lock, on the calling thread. */
#include <stdlib.h>
#include <string.h>

#include "io/system.h"
#include "lua/arguments.h"
#include "lua/objects.h"

#define LOCK_TYPE "redlock.lock"

struct rlk_lua_lock *rlk_check_lock(lua_State *L, int index)
{
    struct rlk_lua_lock *lock = luaL_checkudata(L, index, LOCK_TYPE);
    luaL_argcheck(L, lock->shared, index, "the lock was collected");
    return lock;
}

/* core.lock(client, prefix, name, companion) -> lock. The companion, a table, lives as long as the
 * lock. */
static int new_lock(lua_State *L)
{
    size_t prefix_len, name_len;
    struct rlk_shared_client *shared = rlk_check_client(L, 1);
    const char *prefix = luaL_checklstring(L, 2, &prefix_len);
    const char *name = luaL_checklstring(L, 3, &name_len);
    luaL_checktype(L, 4, LUA_TTABLE);
    size_t len = prefix_len + name_len;
    luaL_argcheck(L, len >= 1 && len <= RLK_KEY_MAX, 3, "key out of range");
    struct rlk_lua_lock *lock = rlk_newuserdata(L, sizeof *lock + len);
    *lock = (struct rlk_lua_lock){
        .shared = shared,
        .prefix_len = (uint16_t)prefix_len,
        .key_len = (uint16_t)len,
    };
    memcpy(lock->key, prefix, prefix_len);
    memcpy(lock->key + prefix_len, name, name_len);
    rlk_share_client(shared);
    luaL_getmetatable(L, LOCK_TYPE);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 4);
    rlk_setcompanion(L, -2);
    return 1;
}

static int get_companion(lua_State *L)
{
    rlk_check_lock(L, 1);
    rlk_getcompanion(L, 1);
    return 1;
}

void rlk_set_holding(struct rlk_lua_lock *lock, struct rlk_holding *holding)
{
    if (lock->holding)
        rlk_client_forget(lock->shared->client, lock->holding);
    lock->holding = holding;
}

static int push_result(lua_State *L, const struct rlk_lua_lock *lock, enum rlk_outcome outcome)
{
    const struct rlk_client *client = lock->shared->client;
    return rlk_push_result(L, client, outcome, rlk_record_of_call(client));
}

const char *rlk_busy(const struct rlk_lua_lock *lock)
{
    if (lock->holding && rlk_holding_remaining_us(lock->holding) > 0)
        return "held";
    if (lock->operation && rlk_is_linked(&lock->operation->client_link))
        return "being acquired";
    return NULL;
}

int rlk_push_busy(lua_State *L, const char *what)
{
    lua_pushliteral(L, "busy");
    lua_pushstring(L, what);
    return 2;
}

/* core.acquire(lock, terms...) -> true | code, votes | "busy", why: "held" or "being acquired" */
static int acquire(lua_State *L)
{
    struct rlk_lua_lock *lock = rlk_check_lock(L, 1);
    struct rlk_terms terms = rlk_check_terms(L, 2);
    const char *busy = rlk_busy(lock);
    if (busy)
        return rlk_push_busy(L, busy);
    rlk_set_holding(lock, NULL);
    enum rlk_outcome outcome =
        rlk_client_acquire(lock->shared->client, rlk_lock_key(lock), &terms, &lock->holding);
    return push_result(L, lock, outcome);
}

/* core.extend(lock, seconds) -> true | code, votes */
static int extend(lua_State *L)
{
    struct rlk_lua_lock *lock = rlk_check_lock(L, 1);
    int64_t ttl_ms = rlk_check_ttl(L, 2);
    enum rlk_outcome outcome = RLK_LOST;
    if (lock->holding)
        outcome = rlk_client_extend(lock->shared->client, lock->holding, ttl_ms);
    return push_result(L, lock, outcome);
}

/* core.release(lock) -> true | code, votes */
static int release(lua_State *L)
{
    struct rlk_lua_lock *lock = rlk_check_lock(L, 1);
    enum rlk_outcome outcome = lock->holding ? RLK_RELEASED : RLK_LOST;
    if (lock->holding && !rlk_holding_is_let_go(lock->holding))
        outcome = rlk_client_release(lock->shared->client, lock->holding);
    return push_result(L, lock, outcome);
}

/* core.let_go(lock) -> true if it was held until now | code, votes. Releases it without waiting. */
static int let_go(lua_State *L)
{
    struct rlk_lua_lock *lock = rlk_check_lock(L, 1);
    enum rlk_outcome outcome = lock->holding ? RLK_RELEASED : RLK_LOST;
    if (lock->holding && !rlk_holding_is_let_go(lock->holding))
        outcome = rlk_client_let_go(lock->shared->client, lock->holding);
    return push_result(L, lock, outcome);
}

/* core.remaining(lock) -> seconds that are certainly left; 0 if it is not held */
static int remaining(lua_State *L)
{
    const struct rlk_lua_lock *lock = rlk_check_lock(L, 1);
    int64_t left_us = lock->holding ? rlk_holding_remaining_us(lock->holding) : 0;
    lua_pushnumber(L, (double)left_us / 1e6);
    return 1;
}

static int held(lua_State *L)
{
    const struct rlk_lua_lock *lock = rlk_check_lock(L, 1);
    lua_pushboolean(L, lock->holding && rlk_holding_remaining_us(lock->holding) > 0);
    return 1;
}

const char *rlk_status_name(enum rlk_status status)
{
    static const char *const names[] = {
        [RLK_HOLDS] = "held",
        [RLK_LETS_GO] = "being released",
        [RLK_UNTOLD] = "being released",
        [RLK_LOST_EXPIRED] = "expired",
        [RLK_LOST_TAKEN] = "taken",
        [RLK_LOST_GONE] = "gone",
        [RLK_HAS_RELEASED] = "released",
    };
    return names[status];
}

/* core.status(lock) -> "never held", "held", "being released", "released", "expired", "taken",
 * "gone" or "another process" */
static int status(lua_State *L)
{
    const struct rlk_lua_lock *lock = rlk_check_lock(L, 1);
    const char *name = "never held";
    if (lock->holding && lock->holding->generation != rlk_fork_generation()) {
        name = "another process";
    } else if (lock->holding) {
        name = rlk_status_name(rlk_holding_status(lock->holding));
    }
    lua_pushstring(L, name);
    return 1;
}

/* lock.name, lock.token, lock.fence, lock.waited; methods come from the table in the upvalue. */
static int index_lock(lua_State *L)
{
    const struct rlk_lua_lock *lock = rlk_check_lock(L, 1);
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_isnil(L, -1) || lua_type(L, 2) != LUA_TSTRING)
        return 1;
    const char *field = lua_tostring(L, 2);
    if (strcmp(field, "name") == 0)
        lua_pushlstring(L, lock->key + lock->prefix_len, lock->key_len - lock->prefix_len);
    else if (lock->holding && strcmp(field, "token") == 0)
        lua_pushstring(L, lock->holding->lease.token);
    else if (lock->holding && strcmp(field, "fence") == 0)
        rlk_pushwhole(L, lock->holding->lease.fence);
    else if (lock->holding && strcmp(field, "waited") == 0)
        lua_pushnumber(L, rlk_seconds(lock->holding->lease.waited_ms));
    else
        lua_pushnil(L);
    return 1;
}

static int collect_lock(lua_State *L)
{
    struct rlk_lua_lock *lock = luaL_checkudata(L, 1, LOCK_TYPE);
    if (!lock->shared)
        return 0;
    if (lock->holding)
        rlk_client_leave(lock->shared->client, lock->holding);
    lock->holding = NULL;
    if (lock->operation)
        rlk_operation_drop(lock->operation);
    rlk_release_client(lock->shared);
    lock->shared = NULL;
    return 0;
}

/* ---- module ---- */

static const luaL_Reg functions[] = {
    {"lock", new_lock},       {"companion", get_companion},
    {"acquire", acquire},     {"extend", extend},
    {"release", release},     {"let_go", let_go},
    {"remaining", remaining}, {"held", held},
    {"status", status},       {NULL, NULL},
};

/* Leaves core.lock_methods and core.lock_metatable for lua/redlock/lock.lua to fill. */
void rlk_open_locks(lua_State *L)
{
    rlk_add_functions(L, functions);
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
