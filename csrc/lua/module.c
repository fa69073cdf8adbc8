/* require "redlock.core": what the Lua layer (lua/redlock/) stands on. It checks arguments, calls,
 * and returns; what options mean and how failures read is decided in Lua. */
#include "io/system.h"
#include "lua/objects.h"

/* core.clock() -> seconds on the clock by which leases are judged */
static int read_clock(lua_State *L)
{
    lua_pushnumber(L, (double)rlk_clock_us() / 1e6);
    return 1;
}

/* core.wall_clock() -> seconds since 1970, by a clock that may be set */
static int read_wall_clock(lua_State *L)
{
    lua_pushnumber(L, (double)rlk_wall_us() / 1e6);
    return 1;
}

/* core.generation() -> a number that is another in the child of a fork */
static int read_generation(lua_State *L)
{
    rlk_pushwhole(L, rlk_fork_generation());
    return 1;
}

static const luaL_Reg functions[] = {
    {"clock", read_clock},
    {"wall_clock", read_wall_clock},
    {"generation", read_generation},
    {NULL, NULL},
};

void rlk_add_functions(lua_State *L, const luaL_Reg *list)
{
    for (; list->name; list++) {
        lua_pushcfunction(L, list->func);
        lua_setfield(L, -2, list->name);
    }
}

__attribute__((visibility("default"))) int luaopen_redlock_core(lua_State *L);

int luaopen_redlock_core(lua_State *L)
{
    lua_newtable(L);
    rlk_add_functions(L, functions);
    rlk_open_clients(L);
    rlk_open_locks(L);
    rlk_open_operations(L);
    rlk_open_command(L);
    rlk_open_consoles(L);
    return 1;
}
