/* lua/redlock/options.lua has checked what users gave, in words for users. What is checked here is
 * that nothing else gets through to the core. */
#include "lua/arguments.h"

#include <math.h>
#include <string.h>

#define WORD_MAX 4096
#define TTL_MAX_MS INT64_C(1000000000000)

int64_t rlk_milliseconds(double seconds)
{
    double rounded = floor(seconds * 1000 + 0.5);
    if (rounded >= 9e15)
        return RLK_NEVER;
    return rounded > -9e15 ? (int64_t)rounded : -1; /* also what is no number */
}

double rlk_seconds(int64_t ms)
{
    return (double)ms / 1000;
}

double rlk_number_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    double number = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return number;
}

int64_t rlk_milliseconds_field(lua_State *L, const char *name)
{
    return rlk_milliseconds(rlk_number_field(L, name));
}

bool rlk_boolean_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

const char *rlk_string_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    const char *value = luaL_optstring(L, -1, NULL);
    lua_pop(L, 1);
    return value;
}

static bool is_ttl(int64_t ttl_ms)
{
    return ttl_ms >= 1 && ttl_ms <= TTL_MAX_MS;
}

struct rlk_terms rlk_check_terms(lua_State *L, int first)
{
    struct rlk_terms terms = {
        .ttl_ms = rlk_milliseconds(luaL_checknumber(L, first)),
        .wait_ms = rlk_milliseconds(luaL_checknumber(L, first + 1)),
        .max_hold_ms = rlk_milliseconds(luaL_checknumber(L, first + 2)),
        .renew = lua_toboolean(L, first + 3),
        .fair = lua_toboolean(L, first + 4),
        .at_least_ms = rlk_milliseconds(luaL_checknumber(L, first + 5)),
        .cohort = lua_toboolean(L, first + 6),
    };
    luaL_argcheck(L, is_ttl(terms.ttl_ms), first, "ttl out of range");
    luaL_argcheck(L, terms.wait_ms >= 0, first + 1, "wait out of range");
    luaL_argcheck(L, terms.at_least_ms >= 0 && terms.at_least_ms <= TTL_MAX_MS, first + 5,
                  "at_least out of range");
    int64_t lease_s = terms.ttl_ms / 1000;
    terms.fence_ttl_s = lease_s > RLK_FENCE_TTL_S / 2 ? (uint32_t)(2 * lease_s) : RLK_FENCE_TTL_S;
    return terms;
}

static void read_cursors(lua_State *L, int index, int nodes, struct rlk_inquiry *inquiry)
{
    luaL_checktype(L, index, LUA_TTABLE);
    inquiry->nodes = 0;
    for (int node = 0; node < nodes; node++) {
        size_t len = 0;
        lua_rawgeti(L, index, node + 1);
        const char *cursor = lua_tolstring(L, -1, &len);
        luaL_argcheck(L, len < RLK_CURSOR_SIZE, index, "cursor out of range");
        if (cursor) {
            memcpy(inquiry->cursors[node], cursor, len);
            inquiry->nodes |= rlk_node_bit(node);
        }
        lua_pop(L, 1);
    }
}

struct rlk_inquiry rlk_check_inquiry(lua_State *L, int first, int nodes)
{
    static const char *const names[] = {"inspect", "break", "scan", NULL};
    static const enum rlk_request_kind kinds[] = {RLK_INSPECT, RLK_BREAK, RLK_SCAN};
    struct rlk_inquiry inquiry = {.kind = kinds[luaL_checkoption(L, first, "inspect", names)],
                                  .nodes = ~(rlk_nodes)0};
    inquiry.word.bytes = luaL_optlstring(L, first + 1, "", &inquiry.word.len);
    inquiry.all = lua_toboolean(L, first + 2);
    luaL_argcheck(L, inquiry.word.len <= WORD_MAX, first + 1, "too long");
    if (inquiry.kind == RLK_SCAN)
        read_cursors(L, first + 3, nodes, &inquiry);
    return inquiry;
}

int64_t rlk_check_ttl(lua_State *L, int index)
{
    int64_t ttl_ms = rlk_milliseconds(luaL_checknumber(L, index));
    luaL_argcheck(L, is_ttl(ttl_ms), index, "ttl out of range");
    return ttl_ms;
}

struct rlk_key rlk_check_key(lua_State *L, int index)
{
    struct rlk_key key;
    key.bytes = luaL_checklstring(L, index, &key.len);
    luaL_argcheck(L, key.len >= 1 && key.len <= RLK_KEY_MAX, index, "key out of range");
    return key;
}
