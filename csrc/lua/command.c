/* core.command(): what the redlock command needs of the system, and programs that only lock do not. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "io/command_line.h"
#include "io/signals.h"
#include "lua/objects.h"

#define POLLED_MAX 8
#define CAUGHT_MAX 32
#define STANDARD_PATH "/bin:/usr/bin" /* where there is no PATH */

static int push_failure(lua_State *L, int failure)
{
    lua_pushnil(L);
    lua_pushstring(L, strerror(failure));
    lua_pushinteger(L, failure);
    return 3;
}

/* ---- terminals ---- */

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

/* rows(fd) -> the terminal's height | nil */
static int rows(lua_State *L)
{
    struct winsize size;
    if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
        lua_pushinteger(L, size.ws_row);
    else
        lua_pushnil(L);
    return 1;
}

/* take_keys(fd) -> how the terminal was set, for give_keys() | nil. From now on a key can be read as
 * soon as it is pressed, and is not shown; those that send signals still do. */
static int take_keys(lua_State *L)
{
    int fd = (int)luaL_checkinteger(L, 1);
    struct termios before, now;
    if (tcgetattr(fd, &before) == 0) {
        now = before;
        now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        now.c_cc[VMIN] = 1;
        now.c_cc[VTIME] = 0;
        if (tcsetattr(fd, TCSANOW, &now) == 0) {
            lua_pushlstring(L, (const char *)&before, sizeof before);
            return 1;
        }
    }
    lua_pushnil(L);
    return 1;
}

/* give_keys(fd, how it was set) */
static int give_keys(lua_State *L)
{
    size_t len;
    struct termios before;
    const char *bytes = luaL_checklstring(L, 2, &len);
    luaL_argcheck(L, len == sizeof before, 2, "not of take_keys()");
    memcpy(&before, bytes, sizeof before);
    tcsetattr((int)luaL_checkinteger(L, 1), TCSADRAIN, &before);
    return 0;
}

/* open_terminal() -> a descriptor of the terminal that controls this process | nil */
static int open_terminal(lua_State *L)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0)
        lua_pushinteger(L, fd);
    else
        lua_pushnil(L);
    return 1;
}

/* foreground(fd) -> the process group that the terminal's keys reach | nil */
static int get_foreground(lua_State *L)
{
    pid_t group = tcgetpgrp((int)luaL_checkinteger(L, 1));
    if (group >= 0)
        lua_pushinteger(L, group);
    else
        lua_pushnil(L);
    return 1;
}

/* set_foreground(fd, group) -> boolean. With signals caught, so that it does not stop us. */
static int set_foreground(lua_State *L)
{
    int fd = (int)luaL_checkinteger(L, 1);
    lua_pushboolean(L, tcsetpgrp(fd, (pid_t)luaL_checkinteger(L, 2)) == 0);
    return 1;
}

/* get_modes(fd) -> the terminal's modes (echo, lines, ...), for set_modes() | nil */
static int get_modes(lua_State *L)
{
    struct termios modes;
    if (tcgetattr((int)luaL_checkinteger(L, 1), &modes) == 0)
        lua_pushlstring(L, (const char *)&modes, sizeof modes);
    else
        lua_pushnil(L);
    return 1;
}

/* set_modes(fd, modes) */
static int set_modes(lua_State *L)
{
    struct termios modes;
    size_t len;
    int fd = (int)luaL_checkinteger(L, 1);
    const char *bytes = luaL_checklstring(L, 2, &len);
    luaL_argcheck(L, len == sizeof modes, 2, "no modes");
    memcpy(&modes, bytes, sizeof modes);
    tcsetattr(fd, TCSADRAIN, &modes);
    return 0;
}

/* own_group() -> our process group */
static int own_group(lua_State *L)
{
    lua_pushinteger(L, getpgrp());
    return 1;
}

/* ---- signals ---- */

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"TERM", SIGTERM},   {"USR1", SIGUSR1},
    {"USR2", SIGUSR2}, {"CONT", SIGCONT}, {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN},   {"TTOU", SIGTTOU},
    {"STOP", SIGSTOP}, {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"ABRT", SIGABRT},   {"SEGV", SIGSEGV},
    {"ALRM", SIGALRM}, {"BUS", SIGBUS},   {"FPE", SIGFPE},   {"ILL", SIGILL},     {"XCPU", SIGXCPU},
    {"SYS", SIGSYS},   {"TRAP", SIGTRAP}, {"XFSZ", SIGXFSZ}, {"WINCH", SIGWINCH},
};

/* A table name -> number of signals, as field signals. */
static void add_signals(lua_State *L)
{
    lua_newtable(L);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        lua_pushinteger(L, signals[i].number);
        lua_setfield(L, -2, signals[i].name);
    }
    lua_setfield(L, -2, "signals");
}

/* catch_signals({ number, ... }) -> a descriptor from which they are read | nil, message */
static int catch_signals(lua_State *L)
{
    int numbers[CAUGHT_MAX], count = (int)rlk_rawlen(L, 1);
    luaL_argcheck(L, count <= CAUGHT_MAX, 1, "too many");
    for (int i = 0; i < count && i < CAUGHT_MAX; i++) {
        lua_rawgeti(L, 1, i + 1);
        numbers[i] = (int)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    int fd = rlk_signals_catch(numbers, count);
    if (fd >= 0) {
        lua_pushinteger(L, fd);
        return 1;
    }
    return push_failure(L, errno);
}

/* read_signal(fd) -> number | nil */
static int read_signal(lua_State *L)
{
    int number = rlk_signals_read((int)luaL_checkinteger(L, 1));
    if (number > 0)
        lua_pushinteger(L, number);
    else
        lua_pushnil(L);
    return 1;
}

/* obey(signal, whether our whole group): stops or ends us, as the signal would by default. */
static int obey(lua_State *L)
{
    rlk_signals_obey((int)luaL_checkinteger(L, 1), lua_toboolean(L, 2));
    return 0;
}

/* ---- waiting ---- */

/* poll({ fd, ... }, seconds) -> { fd = true, ... } of those that are readable or have ended */
static int poll_all(lua_State *L)
{
    struct pollfd polled[POLLED_MAX];
    int count = (int)rlk_rawlen(L, 1);
    double ms = ceil(luaL_checknumber(L, 2) * 1000);
    luaL_argcheck(L, count <= POLLED_MAX, 1, "too many");
    for (int i = 0; i < count && i < POLLED_MAX; i++) {
        lua_rawgeti(L, 1, i + 1);
        polled[i] = (struct pollfd){(int)luaL_checkinteger(L, -1), POLLIN, 0};
        lua_pop(L, 1);
    }
    int ready = poll(polled, (nfds_t)count, ms < 0 ? 0 : ms > 1e9 ? 1000000000 : (int)ms);
    lua_newtable(L);
    for (int i = 0; ready > 0 && i < count; i++) {
        if (polled[i].revents) {
            lua_pushboolean(L, true);
            lua_rawseti(L, -2, polled[i].fd);
        }
    }
    return 1;
}

/* is_writable(fd) -> whether a line can be written there without waiting for a reader */
static int is_writable(lua_State *L)
{
    struct pollfd polled = {(int)luaL_checkinteger(L, 1), POLLOUT, 0};
    lua_pushboolean(L, poll(&polled, 1, 0) == 1);
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

/* ---- files ---- */

/* occupy_standard(): where one of the standard streams is closed, a connection would get its number, and
 * what is said would go to a node. Now it fails as it did; the command finds them closed. */
static int occupy_standard(lua_State *L)
{
    (void)L;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    return 0;
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

/* 0, or why the file cannot be run. */
static int try_executable(const char *path)
{
    struct stat status;
    if (stat(path, &status))
        return errno;
    return S_ISREG(status.st_mode) && access(path, X_OK) == 0 ? 0 : EACCES;
}

/* As execvp(3) looks for it. 0, or why it is not found. */
static int search(const char *name)
{
    char path[PATH_MAX];
    const char *folders = getenv("PATH");
    int failure = ENOENT;
    if (!*name)
        return ENOENT; /* behind a folder it would be the folder itself */
    for (folders = folders ? folders : STANDARD_PATH; failure; folders++) {
        size_t len = strcspn(folders, ":");
        snprintf(path, sizeof path, "%.*s%s/%s", (int)len, folders, len ? "" : ".", name);
        int found = try_executable(path);
        failure = found == ENOENT || found == ENOTDIR ? failure : found;
        folders += len;
        if (!*folders)
            break;
    }
    return failure;
}

/* find_command(name) -> true if there is such a command, in PATH unless it is a path itself | nil,
 * message, errno */
static int find_command(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    int failure = strchr(name, '/') ? try_executable(name) : search(name);
    if (failure)
        return push_failure(L, failure);
    lua_pushboolean(L, true);
    return 1;
}

/* hide_credentials(): in the list of processes. */
static int hide_credentials(lua_State *L)
{
    (void)L;
    rlk_hide_credentials();
    return 0;
}

/* ---- module ---- */

static const luaL_Reg functions[] = {
    {"is_terminal", is_terminal},
    {"columns", columns},
    {"rows", rows},
    {"take_keys", take_keys},
    {"give_keys", give_keys},
    {"open_terminal", open_terminal},
    {"foreground", get_foreground},
    {"set_foreground", set_foreground},
    {"own_group", own_group},
    {"get_modes", get_modes},
    {"set_modes", set_modes},
    {"catch_signals", catch_signals},
    {"read_signal", read_signal},
    {"obey", obey},
    {"poll", poll_all},
    {"is_writable", is_writable},
    {"sleep", sleep_for},
    {"occupy_standard", occupy_standard},
    {"file_mode", file_mode},
    {"find_command", find_command},
    {"hide_credentials", hide_credentials},
    {NULL, NULL},
};

/* core.command() -> a table of these functions. The library itself does not pay for them. */
static int command(lua_State *L)
{
    lua_newtable(L);
    rlk_add_functions(L, functions);
    add_signals(L);
    rlk_add_wardens(L);
    return 1;
}

static const luaL_Reg opener[] = {{"command", command}, {NULL, NULL}};

void rlk_open_command(lua_State *L)
{
    rlk_add_functions(L, opener);
}
