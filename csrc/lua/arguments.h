/* What Lua hands in, as C: seconds become milliseconds here and nowhere else. */
#ifndef RLK_ARGUMENTS_H
#define RLK_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lock.h"
#include "lua/compat.h"

/* -1 for what is no number of milliseconds; RLK_NEVER for what no lease and no waiter reaches. */
int64_t rlk_milliseconds(double seconds);
double rlk_seconds(int64_t ms);

/* Fields of the table on top of the stack. */
int64_t rlk_milliseconds_field(lua_State *L, const char *name);
double rlk_number_field(lua_State *L, const char *name);
bool rlk_boolean_field(lua_State *L, const char *name);
const char *rlk_string_field(lua_State *L, const char *name); /* kept alive by the table */

/* Seven arguments: ttl, wait, max_hold in seconds; renew, fair; at_least in seconds; cohort. */
struct rlk_terms rlk_check_terms(lua_State *L, int first);
/* Four arguments, or none to look at a lock: "inspect", "break" or "scan"; a word, which is borrowed;
 * whether all; and for each node the cursor (of a scan), or nil where it is not asked. */
struct rlk_inquiry rlk_check_inquiry(lua_State *L, int first, int nodes);
int64_t rlk_check_ttl(lua_State *L, int index);
struct rlk_key rlk_check_key(lua_State *L, int index);

#endif
