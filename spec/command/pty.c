/* A program in a pseudo-terminal of its own, as its session's leader: what a person at a keyboard
 * would type, and see. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "lua/compat.h"

#define PTY_TYPE "spec.pty"
#define WORDS_MAX 64

struct pty {
    int fd;    /* -1: closed */
    pid_t pid; /* 0: it was waited for */
    int status;
};

static int fail(lua_State *L, const char *what)
{
    return luaL_error(L, "%s: %s", what, strerror(errno));
}

static _Noreturn void run(const char *name, char **words, const struct winsize *size)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++) /* whoever runs the specs may ignore some */
        signal(number, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    int fd = open(name, O_RDWR); /* the first terminal that a session's leader opens controls it */
    if (fd < 0 || ioctl(fd, TIOCSWINSZ, size))
        _exit(127);
    for (int to = 0; to <= 2; to++)
        dup2(fd, to);
    for (int other = 3; other < 1024; other++)
        close(other);
    execvp(words[0], words);
    _exit(127);
}

/* pty.open({ word, ... }, rows, columns) -> pty */
static int open_pty(lua_State *L)
{
    char *words[WORDS_MAX + 1] = {NULL}, name[128];
    luaL_checktype(L, 1, LUA_TTABLE);
    struct winsize size = {.ws_row = (unsigned short)luaL_optinteger(L, 2, 24),
                           .ws_col = (unsigned short)luaL_optinteger(L, 3, 80)};
    int count = (int)rlk_rawlen(L, 1);
    luaL_argcheck(L, count >= 1 && count <= WORDS_MAX, 1, "1 to 64 words");
    for (int i = 0; i < count && i < WORDS_MAX; i++) {
        lua_rawgeti(L, 1, i + 1);
        words[i] = (char *)luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    struct pty *pty = lua_newuserdata(L, sizeof *pty);
    *pty = (struct pty){.fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)};
    luaL_getmetatable(L, PTY_TYPE);
    lua_setmetatable(L, -2);
    if (pty->fd < 0 || grantpt(pty->fd) || unlockpt(pty->fd) ||
        ptsname_r(pty->fd, name, sizeof name))
        return fail(L, "pseudo-terminal");
    pty->pid = fork();
    if (pty->pid == 0)
        run(name, words, &size);
    return pty->pid > 0 ? 1 : fail(L, "fork");
}

static struct pty *check(lua_State *L)
{
    return luaL_checkudata(L, 1, PTY_TYPE);
}

/* pty:read() -> what is there to read, perhaps ""; nil once nobody writes there any more */
static int read_text(lua_State *L)
{
    char text[4096];
    ssize_t got = read(check(L)->fd, text, sizeof text);
    if (got > 0 || (got < 0 && errno == EAGAIN))
        lua_pushlstring(L, text, got > 0 ? (size_t)got : 0);
    else
        lua_pushnil(L);
    return 1;
}

static int write_text(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    if (write(check(L)->fd, text, len) != (ssize_t)len)
        return fail(L, "write");
    return 0;
}

/* pty:foreground() -> the process group that keys reach */
static int foreground(lua_State *L)
{
    lua_pushinteger(L, tcgetpgrp(check(L)->fd));
    return 1;
}

static int get_pid(lua_State *L)
{
    lua_pushinteger(L, check(L)->pid);
    return 1;
}

static void look(struct pty *pty, int options)
{
    if (pty->pid > 0 && waitpid(pty->pid, &pty->status, options) == pty->pid)
        pty->pid = 0;
}

/* pty:status() -> the program's exit code, 128 + the signal that ended it; nil while it runs */
static int get_status(lua_State *L)
{
    struct pty *pty = check(L);
    look(pty, WNOHANG);
    if (pty->pid > 0)
        lua_pushnil(L);
    else
        lua_pushinteger(L, WIFEXITED(pty->status) ? WEXITSTATUS(pty->status)
                                                  : 128 + WTERMSIG(pty->status));
    return 1;
}

/* The terminal hangs up. */
static int close_pty(lua_State *L)
{
    struct pty *pty = check(L);
    if (pty->fd >= 0)
        close(pty->fd);
    pty->fd = -1;
    if (pty->pid > 0)
        kill(pty->pid, SIGKILL);
    look(pty, 0);
    return 0;
}

static const luaL_Reg methods[] = {
    {"read", read_text}, {"write", write_text}, {"foreground", foreground},
    {"pid", get_pid},    {"close", close_pty},  {"status", get_status},
    {NULL, NULL},
};

static void add(lua_State *L, const luaL_Reg *list)
{
    for (; list->name; list++) {
        lua_pushcfunction(L, list->func);
        lua_setfield(L, -2, list->name);
    }
}

__attribute__((visibility("default"))) int luaopen_pty(lua_State *L);

int luaopen_pty(lua_State *L)
{
    luaL_newmetatable(L, PTY_TYPE);
    lua_newtable(L);
    add(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, close_pty);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    lua_pushcfunction(L, open_pty);
    lua_setfield(L, -2, "open");
    return 1;
}
