/* core.command(): what the redlock command needs of the system, and programs that only lock do not. */
#include <errno.h>
#include <math.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lua/objects.h"

/* is_terminal(fd) -> boolean */
static int is_terminal(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* columns(fd) -> the terminal's width | nil */
static int columns(lua_State *L)
{
    struct winsize size;
    if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        lua_pushinteger(L, size.ws_col);
    else
        lua_pushnil(L);
    return 1;
}

/* file_mode(path) -> the permission bits | nil */
static int file_mode(lua_State *L)
{
    struct stat status;
    if (stat(luaL_checkstring(L, 1), &status) == 0)
        lua_pushinteger(L, (lua_Integer)(status.st_mode & 07777));
    else
        lua_pushnil(L);
    return 1;
}

/* sleep(seconds) -> true; false if a signal came first */
static int sleep_for(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1), whole = floor(seconds);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 1, "out of range");
    struct timespec time = {(time_t)whole, (long)((seconds - whole) * 1e9)};
    lua_pushboolean(L, nanosleep(&time, NULL) == 0);
    return 1;
}

static const luaL_Reg functions[] = {
    {"is_terminal", is_terminal}, {"columns", columns}, {"file_mode", file_mode},
    {"sleep", sleep_for},         {NULL, NULL},
};

/* core.command() -> a table of these functions. The library itself does not pay for them. */
static int command(lua_State *L)
{
    lua_newtable(L);
    rlk_add_functions(L, functions);
    return 1;
}

static const luaL_Reg opener[] = {{"command", command}, {NULL, NULL}};

void rlk_open_command(lua_State *L)
{
    rlk_add_functions(L, opener);
}
