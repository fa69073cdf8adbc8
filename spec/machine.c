/* The core's state machine, bare, for the specs: every clock, vote and byte comes from the spec.
 *
 * It checks little: a call that the core asserts against ends the process. Also fork(), which Lua lacks. */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lua/compat.h"

/* ---- processes ---- */

/* fork() -> 0 in the child, the child's pid in the parent */
static int machine_fork(lua_State *L)
{
    pid_t pid = fork();
    if (pid < 0)
        return luaL_error(L, "fork: error %d", errno);
    rlk_pushwhole(L, pid);
    return 1;
}

/* waitpid(pid) -> the child's exit code; 128 + the signal's number if one ended it */
static int machine_waitpid(lua_State *L)
{
    pid_t pid = (pid_t)luaL_checkinteger(L, 1);
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return luaL_error(L, "waitpid: error %d", errno);
    rlk_pushwhole(L, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 1;
}

/* exit(code): at once, without atexit() and without closing the Lua state */
static int machine_exit(lua_State *L)
{
    _exit((int)luaL_checkinteger(L, 1));
}

static const luaL_Reg functions[] = {
    {"fork", machine_fork},
    {"waitpid", machine_waitpid},
    {"exit", machine_exit},
    {NULL, NULL},
};

__attribute__((visibility("default"))) int luaopen_machine(lua_State *L);

int luaopen_machine(lua_State *L)
{
    lua_newtable(L);
    for (const luaL_Reg *function = functions; function->name; function++) {
        lua_pushcfunction(L, function->func);
        lua_setfield(L, -2, function->name);
    }
    return 1;
}
