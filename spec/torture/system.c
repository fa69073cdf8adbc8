/* System calls that the torture needs and Lua lacks: the clock that counts suspend, processes that
 * die with their parent, signals, network namespaces, TUN devices, and the clock files of clock.c.
 *
 * What the world may refuse is answered by nil and the reason; descriptors are numbers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lua/compat.h"

#define WORDS_MAX 64
#define PACKET_MAX 65536

static int fail(lua_State *L, const char *what)
{
    int reason = errno;
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", what, strerror(reason));
    return 2;
}

/* clock() -> nanoseconds of CLOCK_BOOTTIME, exact in a double for the first hundred days */
static int system_clock(lua_State *L)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    rlk_pushwhole(L, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    return 1;
}

/* ---- processes ---- */

struct start {
    char *words[WORDS_MAX + 1];
    const char *output, *network;
};

static void give_up(const char *what)
{
    dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
    _exit(127);
}

/* A session of its own, which Ctrl-C does not reach, and nothing that would keep others alive. */
static void run(struct start *start, pid_t parent)
{
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* it died before it could be noticed */
    int input = open("/dev/null", O_RDONLY);
    int output = open(start->output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (input < 0 || output < 0)
        give_up(start->output);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    int network = start->network ? open(start->network, O_RDONLY) : -1;
    if (start->network && (network < 0 || setns(network, CLONE_NEWNET)))
        give_up(start->network);
    for (int other = STDERR_FILENO + 1; other < 4096; other++)
        close(other);
    execvp(start->words[0], start->words);
    give_up(start->words[0]);
}

static const char *text_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return text;
}

/* spawn{words..., output = path, [network = path of a namespace]} -> pid; killed when we end */
static int system_spawn(lua_State *L)
{
    struct start start = {.output = text_field(L, "output"), .network = text_field(L, "network")};
    size_t count = rlk_rawlen(L, 1);
    luaL_argcheck(L, count >= 1 && count <= WORDS_MAX && start.output, 1, "words and an output");
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        start.words[i] = (char *)(uintptr_t)luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        run(&start, parent);
    if (pid < 0)
        return fail(L, "fork");
    rlk_pushwhole(L, pid);
    return 1;
}

/* fork() -> 0 in the child, which dies with its parent; the child's pid in the parent */
static int system_fork(lua_State *L)
{
    pid_t pid = fork();
    if (pid < 0)
        return fail(L, "fork");
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    rlk_pushwhole(L, pid);
    return 1;
}

/* exit(status): at once, without closing the Lua state */
static int system_exit(lua_State *L)
{
    _exit((int)luaL_checkinteger(L, 1));
}

/* reap(pid, [wait]) -> how a child ended, 128 + the signal that killed it; nil while it lives */
static int system_reap(lua_State *L)
{
    int status;
    pid_t pid = (pid_t)luaL_checkinteger(L, 1);
    pid_t reaped = waitpid(pid, &status, lua_toboolean(L, 2) ? 0 : WNOHANG);
    if (reaped < 0)
        return fail(L, "waitpid");
    if (reaped == 0)
        return 0;
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 1;
}

/* signal(pid, "KILL" | "STOP" | "CONT" | "TERM" | "HUP") -> whether it could be sent */
static int system_signal(lua_State *L)
{
    static const char *const names[] = {"KILL", "STOP", "CONT", "TERM", "HUP", NULL};
    static const int numbers[] = {SIGKILL, SIGSTOP, SIGCONT, SIGTERM, SIGHUP};
    pid_t pid = (pid_t)luaL_checkinteger(L, 1);
    luaL_argcheck(L, pid > 1, 1, "one process");
    lua_pushboolean(L, kill(pid, numbers[luaL_checkoption(L, 2, NULL, names)]) == 0);
    return 1;
}

/* set_variable(name, value): for those that are started from now on */
static int system_set_variable(lua_State *L)
{
    if (setenv(luaL_checkstring(L, 1), luaL_checkstring(L, 2), 1))
        return fail(L, "setenv");
    lua_pushboolean(L, 1);
    return 1;
}

static int system_pid(lua_State *L)
{
    rlk_pushwhole(L, getpid());
    return 1;
}

/* ---- networks ---- */

/* leave_network() -> true: we have a network namespace of our own from now on, with nothing up */
static int system_leave_network(lua_State *L)
{
    if (unshare(CLONE_NEWNET))
        return fail(L, "unshare");
    lua_pushboolean(L, 1);
    return 1;
}

/* tun(name) -> the descriptor of a new device, which is gone when that is closed */
static int system_tun(lua_State *L)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, luaL_checkstring(L, 1), IFNAMSIZ - 1);
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0)
        return fail(L, "/dev/net/tun");
    if (ioctl(device, TUNSETIFF, &request)) {
        fail(L, "TUNSETIFF");
        close(device);
        return 2;
    }
    lua_pushinteger(L, device);
    return 1;
}

/* read(descriptor) -> a packet; nil if there is none */
static int system_read(lua_State *L)
{
    char packet[PACKET_MAX];
    ssize_t size = read((int)luaL_checkinteger(L, 1), packet, sizeof packet);
    if (size < 0)
        return fail(L, "read");
    lua_pushlstring(L, packet, (size_t)size);
    return 1;
}

/* write(descriptor, packet) -> whether it was taken */
static int system_write(lua_State *L)
{
    size_t size;
    const char *packet = luaL_checklstring(L, 2, &size);
    lua_pushboolean(L, write((int)luaL_checkinteger(L, 1), packet, size) == (ssize_t)size);
    return 1;
}

/* ---- clocks ---- */

/* set_clock(path, seconds) -> true: whoever runs with this file has a wall clock so much off */
static int system_set_clock(lua_State *L)
{
    int64_t offset_ns = (int64_t)(luaL_checknumber(L, 2) * 1e9);
    int file = open(luaL_checkstring(L, 1), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return fail(L, "clock");
    lua_pushboolean(L, pwrite(file, &offset_ns, sizeof offset_ns, 0) == sizeof offset_ns);
    close(file);
    return 1;
}

static const luaL_Reg functions[] = {
    {"clock", system_clock},
    {"spawn", system_spawn},
    {"fork", system_fork},
    {"exit", system_exit},
    {"reap", system_reap},
    {"signal", system_signal},
    {"pid", system_pid},
    {"set_variable", system_set_variable},
    {"leave_network", system_leave_network},
    {"tun", system_tun},
    {"read", system_read},
    {"write", system_write},
    {"set_clock", system_set_clock},
    {NULL, NULL},
};

__attribute__((visibility("default"))) int luaopen_torture_system(lua_State *L);

int luaopen_torture_system(lua_State *L)
{
    lua_newtable(L);
    for (const luaL_Reg *function = functions; function->name; function++) {
        lua_pushcfunction(L, function->func);
        lua_setfield(L, -2, function->name);
    }
    return 1;
}
