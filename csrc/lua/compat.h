/* One source for Lua 5.1, LuaJIT and 5.2 to 5.4: what the older ones lack, and nothing else. */
#ifndef RLK_COMPAT_H
#define RLK_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

#if LUA_VERSION_NUM >= 504
#define rlk_newuserdata(L, size) lua_newuserdatauv(L, size, 1)
#else
#define rlk_newuserdata(L, size) lua_newuserdata(L, size)
#endif

/* A userdata's companion: 5.1 allows a table only, so everybody gets a table. */
#if LUA_VERSION_NUM == 501
#define rlk_setcompanion(L, index) lua_setfenv(L, index)
#define rlk_getcompanion(L, index) lua_getfenv(L, index)
#else
#define rlk_setcompanion(L, index) lua_setuservalue(L, index)
#define rlk_getcompanion(L, index) lua_getuservalue(L, index)
#endif

#if LUA_VERSION_NUM == 501
#define rlk_rawlen(L, index) lua_objlen(L, index)
#else
#define rlk_rawlen(L, index) lua_rawlen(L, index)
#endif

/* LuaJIT's type of cdata; nothing has it elsewhere. */
#define RLK_TCDATA 10

/* A whole number: an integer where Lua has them, else a float, exact below 2^53. */
#if LUA_VERSION_NUM >= 503
#define rlk_pushwhole(L, number) lua_pushinteger(L, (lua_Integer)(number))
#else
#define rlk_pushwhole(L, number) lua_pushnumber(L, (lua_Number)(number))
#endif

#endif
