/* The userdata of require "redlock.core": clients, locks, operations; and how results are pushed.
 * Each rlk_open_* adds its functions to the module's table, which is on top of the stack. */
#ifndef RLK_OBJECTS_H
#define RLK_OBJECTS_H

#include "io/client.h"
#include "lua/compat.h"

/* A client, shared by the Lua objects that need it: it goes with the last. */
struct rlk_shared_client {
    struct rlk_client *client;
    int references;
};

struct rlk_lua_lock {
    struct rlk_shared_client *shared; /* NULL once collected */
    struct rlk_holding *holding;      /* of the last acquire that succeeded; NULL before */
    struct rlk_operation *operation;  /* the last that was to acquire it, retained; or NULL */
    uint16_t prefix_len, key_len;
    char key[]; /* prefix and name */
};

static inline struct rlk_key rlk_lock_key(const struct rlk_lua_lock *lock)
{
    return (struct rlk_key){lock->key, lock->key_len};
}

void rlk_open_clients(lua_State *L);
void rlk_open_locks(lua_State *L);
void rlk_open_operations(lua_State *L);
void rlk_open_command(lua_State *L);
void rlk_open_consoles(lua_State *L);

/* Adds to core.command()'s table, on top of the stack. */
void rlk_add_wardens(lua_State *L);

/* Raise an error for anything else. */
struct rlk_shared_client *rlk_check_client(lua_State *L, int index);
struct rlk_lua_lock *rlk_check_lock(lua_State *L, int index);

void rlk_share_client(struct rlk_shared_client *shared);
void rlk_release_client(struct rlk_shared_client *shared);

/* How long closing may take: one timeout. */
int64_t rlk_grace_ms(const struct rlk_client *client);

/* What it held before is forgotten. */
void rlk_set_holding(struct rlk_lua_lock *lock, struct rlk_holding *holding);

/* In words. */
const char *rlk_status_name(enum rlk_status status);

/* Why no acquire may begin: "held", "being acquired"; or NULL. */
const char *rlk_busy(const struct rlk_lua_lock *lock);
int rlk_push_busy(lua_State *L, const char *what);

/* What each node said, and what it found besides; or NULL. */
struct rlk_record {
    const struct rlk_tally *tallies;
    const struct rlk_buffer *findings;
};

/* For each node, what it said: { node, vote, answered, text = error or token, fence,
 * ttl = seconds (huge: for ever), waiters, details = bytes }; none without tallies. */
void rlk_push_votes(lua_State *L, const struct rlk_client *client, struct rlk_record record);

/* Of the last call that waited. */
struct rlk_record rlk_record_of_call(const struct rlk_client *client);

/* true, or a code and votes; after an inspection true and votes. How many values that is. */
int rlk_push_result(lua_State *L, const struct rlk_client *client, enum rlk_outcome outcome,
                    struct rlk_record record);

/* Sets functions as fields of the table on top of the stack. */
void rlk_add_functions(lua_State *L, const luaL_Reg *functions);

#endif
