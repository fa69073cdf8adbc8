/* core.command().warden(): a command's warden, as in io/warden.h. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "io/warden.h"
#include "lua/arguments.h"
#include "lua/objects.h"

#define WARDEN_TYPE "redlock.warden"

static struct rlk_warden *check_warden(lua_State *L)
{
    struct rlk_warden **box = luaL_checkudata(L, 1, WARDEN_TYPE);
    luaL_argcheck(L, *box, 1, "it was dismissed");
    return *box;
}

static int push_failure(lua_State *L, int failure)
{
    lua_pushnil(L);
    lua_pushstring(L, strerror(failure));
    rlk_pushwhole(L, failure);
    return 3;
}

/* warden({ command, argument, ... }, grace in seconds) -> warden | nil, message, errno. Before
 * anything else has started a thread. */
static int new_warden(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    int64_t grace_ms = rlk_milliseconds(luaL_checknumber(L, 2));
    size_t count = (size_t)rlk_rawlen(L, 1);
    luaL_argcheck(L, count >= 1, 1, "no command");
    luaL_argcheck(L, grace_ms >= 0, 2, "out of range");
    struct rlk_warden **box = lua_newuserdata(L, sizeof *box);
    *box = NULL;
    luaL_getmetatable(L, WARDEN_TYPE);
    lua_setmetatable(L, -2);
    const char **argv = lua_newuserdata(L, (count + 1) * sizeof *argv);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 1, (int)i + 1); /* the table keeps it alive */
        argv[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    argv[count] = NULL;
    *box = rlk_warden_new((char *const *)argv, grace_ms);
    if (!*box)
        return push_failure(L, errno);
    lua_pop(L, 1);
    return 1;
}

/* When the lock that it guards by is certainly not held any longer, on rlk_clock_ms(). */
static int64_t deadline_of(lua_State *L, int index)
{
    const struct rlk_lua_lock *lock = rlk_check_lock(L, index);
    bool held = lock->holding && rlk_holding_remaining_us(lock->holding) > 0;
    return held ? atomic_load(&lock->holding->deadline_ms) : 0;
}

/* warden:start(lock, { "NAME=value", ... }, terminal or nil) -> true | nil, message: the warden is
 * gone */
static int start(lua_State *L)
{
    struct rlk_warden *warden = check_warden(L);
    int64_t deadline_ms = deadline_of(L, 2);
    int terminal = (int)luaL_optinteger(L, 4, -1);
    luaL_checktype(L, 3, LUA_TTABLE);
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (int i = 1; i <= (int)rlk_rawlen(L, 3); i++) {
        lua_rawgeti(L, 3, i);
        luaL_addvalue(&buffer);
        luaL_addlstring(&buffer, "", 1);
    }
    luaL_pushresult(&buffer);
    size_t len;
    const char *environment = lua_tolstring(L, -1, &len);
    if (!rlk_warden_start(warden, environment, len, terminal, deadline_ms))
        return push_failure(L, errno);
    lua_pushboolean(L, true);
    return 1;
}

/* warden:credit(lock): it has been renewed, perhaps. */
static int credit(lua_State *L)
{
    rlk_warden_credit(check_warden(L), deadline_of(L, 2));
    return 0;
}

static int end_command(lua_State *L)
{
    rlk_warden_end(check_warden(L));
    return 0;
}

static int get_fd(lua_State *L)
{
    lua_pushinteger(L, rlk_warden_fd(check_warden(L)));
    return 1;
}

static void set_number(lua_State *L, const char *name, int number)
{
    lua_pushinteger(L, number);
    lua_setfield(L, -2, name);
}

static void set_boolean(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

/* warden:look() -> { gone, pid, failure (errno) and why, stopped (signal), stops (how many), ending
 * ("told" or "deadline"), ended, exited (code) or killed (signal), group_ended } */
static int look(lua_State *L)
{
    static const char *const endings[] = {NULL, "told", "deadline"};
    struct rlk_command_state state;
    rlk_warden_look(check_warden(L), &state);
    lua_createtable(L, 0, 9);
    set_boolean(L, "gone", state.warden_is_gone);
    set_boolean(L, "ended", state.has_ended);
    set_boolean(L, "group_ended", state.group_has_ended);
    if (state.pid > 0)
        set_number(L, "pid", (int)state.pid);
    set_number(L, "stops", state.stops);
    if (state.stopped)
        set_number(L, "stopped", state.stopped);
    if (state.failure) {
        set_number(L, "failure", state.failure);
        lua_pushstring(L, strerror(state.failure));
        lua_setfield(L, -2, "why");
    }
    lua_pushstring(L, endings[state.ending]);
    lua_setfield(L, -2, "ending");
    if (state.has_ended && WIFEXITED(state.status))
        set_number(L, "exited", WEXITSTATUS(state.status));
    else if (state.has_ended)
        set_number(L, "killed", WTERMSIG(state.status));
    return 1;
}

/* warden:signal(number, whether the whole group) */
static int send_signal(lua_State *L)
{
    rlk_warden_signal(check_warden(L), (int)luaL_checkinteger(L, 2), lua_toboolean(L, 3));
    return 0;
}

static int dismiss(lua_State *L)
{
    struct rlk_warden **box = luaL_checkudata(L, 1, WARDEN_TYPE);
    if (*box)
        rlk_warden_free(*box);
    *box = NULL;
    return 0;
}

static const luaL_Reg methods[] = {
    {"start", start}, {"credit", credit},      {"finish", end_command}, {"fd", get_fd},
    {"look", look},   {"signal", send_signal}, {"dismiss", dismiss},    {NULL, NULL},
};

static const luaL_Reg functions[] = {{"warden", new_warden}, {NULL, NULL}};

void rlk_add_wardens(lua_State *L)
{
    rlk_add_functions(L, functions);
    luaL_newmetatable(L, WARDEN_TYPE);
    lua_newtable(L);
    rlk_add_functions(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, dismiss);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
