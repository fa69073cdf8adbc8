/* Allocations that fail when they are told to. Preloaded, this stands before malloc() and its
 * kin; required from Lua, it is the switch.
 *
 * Counted is what the library allocates, and what hiredis, OpenSSL, the C library and the loader
 * allocate on its behalf: a caller is known by the object that its code lies in. Everything else
 * (Lua, other modules of Lua) is passed on, and forms a second count of its own, Lua's. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <lauxlib.h>
#include <link.h>
#include <lua.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define OBJECTS_MAX 64
#define FRAMES_MAX 24
#define NEW_MAX 64
#define LIVE_BITS 18 /* of a table of what is live */
#define LIVE_MASK ((1 << LIVE_BITS) - 1)
#define EARLY_BYTES (64 * 1024)
#define DISARMED (-1)

/* ---- the real ones ---- */

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static int (*real_posix_memalign)(void **, size_t, size_t);

/* What is needed to find them. */
static _Alignas(16) char early[EARLY_BYTES];
static size_t early_used;

static void *allocate_early(size_t size)
{
    void *memory = early + early_used;
    early_used += (size + 15) / 16 * 16;
    if (early_used > EARLY_BYTES)
        abort();
    return memory;
}

static bool is_early(const void *memory)
{
    return (const char *)memory >= early && (const char *)memory < early + EARLY_BYTES;
}

static bool find_real(void)
{
    static bool finding;
    if (real_posix_memalign)
        return true;
    if (finding)
        return false;
    finding = true;
    *(void **)&real_malloc = dlsym(RTLD_NEXT, "malloc");
    *(void **)&real_calloc = dlsym(RTLD_NEXT, "calloc");
    *(void **)&real_realloc = dlsym(RTLD_NEXT, "realloc");
    *(void **)&real_free = dlsym(RTLD_NEXT, "free");
    *(void **)&real_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    return true;
}

/* ---- who allocates ---- */

enum party { LIBRARY, LUA, NOBODY, C_LIBRARY, LOADER };

struct object {
    uintptr_t start, end; /* of its code */
    enum party party;
};

static struct object objects[OBJECTS_MAX];
static atomic_int object_count;
static atomic_bool sanitized;           /* then the C library also allocates for the sanitizer */
static atomic_int armed_for = DISARMED; /* LIBRARY, LUA or DISARMED */

static enum party party_of(const char *path)
{
    static const struct {
        const char *prefix;
        enum party party;
    } names[] = {
        {"libc.so", C_LIBRARY},  {"ld-linux", LOADER}, {"liblua", LUA},    {"libluajit", LUA},
        {"allocations", NOBODY}, {"machine", NOBODY},  {"luv", NOBODY},    {"libuv", NOBODY},
        {"_cqueues", NOBODY},    {"lfs", NOBODY},      {"term", NOBODY},   {"system", NOBODY},
        {"libasan", NOBODY},     {"libgcc", NOBODY},   {"serial", NOBODY}, {"unix", NOBODY},
    };
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (!*name)
        return LUA; /* the interpreter */
    if (strstr(path, "/socket/") || strstr(path, "/mime/") || strstr(path, "/term/"))
        return NOBODY;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(name, names[i].prefix, strlen(names[i].prefix)) == 0)
            return names[i].party;
    return LIBRARY;
}

static bool is_noted(uintptr_t start)
{
    for (int i = 0; i < atomic_load(&object_count); i++)
        if (objects[i].start == start)
            return true;
    return false;
}

static int note_object(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size, (void)context;
    if (strstr(info->dlpi_name, "libasan"))
        atomic_store(&sanitized, true);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        int count = atomic_load(&object_count);
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        bool is_code = segment->p_type == PT_LOAD && (segment->p_flags & PF_X);
        if (!is_code || count == OBJECTS_MAX || is_noted(start))
            continue;
        objects[count] =
            (struct object){start, start + segment->p_memsz, party_of(info->dlpi_name)};
        atomic_store(&object_count, count + 1);
    }
    return 0;
}

/* Whom the C library serves while nothing fails is not known: files of the script's, mostly. */
static enum party party_at(const void *caller)
{
    int count = atomic_load(&object_count), i = 0;
    while (i < count &&
           ((uintptr_t)caller < objects[i].start || (uintptr_t)caller >= objects[i].end))
        i++;
    enum party party = i < count ? objects[i].party : NOBODY;
    if (atomic_load(&sanitized) && (party == C_LIBRARY || party == LOADER))
        return NOBODY;
    if (party == C_LIBRARY)
        return atomic_load(&armed_for) == LIBRARY ? LIBRARY : NOBODY;
    return party;
}

/* ---- what fails ---- */

static atomic_long counted, first_to_fail, last_to_fail, failed;
static void *frames[FRAMES_MAX]; /* of the first that failed */
static atomic_int frame_count;
/* What this file does itself. The loader must not allocate to reach it. */
static _Thread_local bool within __attribute__((tls_model("initial-exec")));

static void note_failure(void)
{
    if (atomic_fetch_add(&failed, 1) > 0)
        return;
    within = true;
    atomic_store(&frame_count, backtrace(frames, FRAMES_MAX));
    within = false;
}

static bool fails(enum party party)
{
    bool for_library = party == LIBRARY || party == LOADER;
    if (within || (int)(for_library ? LIBRARY : party) != atomic_load(&armed_for))
        return false;
    long number = atomic_fetch_add(&counted, 1) + 1;
    if (number < atomic_load(&first_to_fail) || number > atomic_load(&last_to_fail))
        return false;
    note_failure();
    errno = ENOMEM;
    return true;
}

/* ---- what is live: of the library's, by address; without the loader's, which is kept for threads
 * to come ---- */

struct live {
    void *memory; /* NULL: nothing here */
    const void *caller;
    bool is_old; /* it was there before the mark */
};

static struct live live[1 << LIVE_BITS];
static long live_count;

/* No mutex of the C library's, which a sanitizer replaces, and not from the first moment on. */
static atomic_flag live_lock = ATOMIC_FLAG_INIT;

static void lock_live(void)
{
    while (atomic_flag_test_and_set(&live_lock))
        sched_yield();
}

static void unlock_live(void)
{
    atomic_flag_clear(&live_lock);
}

static size_t place_of(const void *memory)
{
    return (size_t)(((uintptr_t)memory >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - LIVE_BITS));
}

static void put_live(void *memory, const void *caller)
{
    size_t place = place_of(memory);
    lock_live();
    while (live[place].memory)
        place = (place + 1) & LIVE_MASK;
    live[place] = (struct live){memory, caller, false};
    if (++live_count > LIVE_MASK / 2)
        abort();
    unlock_live();
}

/* What stands behind it, because its own place was taken, moves up (Knuth 6.4, R). */
static void close_gap(size_t gap)
{
    for (size_t at = (gap + 1) & LIVE_MASK; live[at].memory; at = (at + 1) & LIVE_MASK) {
        size_t own = place_of(live[at].memory);
        if (((at - own) & LIVE_MASK) < ((at - gap) & LIVE_MASK))
            continue;
        live[gap] = live[at];
        gap = at;
    }
    live[gap].memory = NULL;
}

static void take_live(const void *memory)
{
    size_t place = place_of(memory);
    lock_live();
    while (live[place].memory && live[place].memory != memory)
        place = (place + 1) & LIVE_MASK;
    if (live[place].memory) {
        close_gap(place);
        live_count--;
    }
    unlock_live();
}

static void *note(void *memory, enum party party, const void *caller)
{
    if (memory && party == LIBRARY && !within)
        put_live(memory, caller);
    return memory;
}

/* ---- in the place of malloc() and its kin ---- */

EXPORT void *malloc(size_t size)
{
    const void *caller = __builtin_return_address(0);
    enum party party = party_at(caller);
    if (!find_real())
        return allocate_early(size);
    return fails(party) ? NULL : note(real_malloc(size), party, caller);
}

EXPORT void *calloc(size_t count, size_t size)
{
    const void *caller = __builtin_return_address(0);
    enum party party = party_at(caller);
    if (!find_real())
        return allocate_early(count * size);
    return fails(party) ? NULL : note(real_calloc(count, size), party, caller);
}

EXPORT void *realloc(void *memory, size_t size)
{
    const void *caller = __builtin_return_address(0);
    enum party party = party_at(caller);
    if (!find_real() || is_early(memory))
        return memcpy(malloc(size), memory, memory ? size : 0);
    if (size > 0 && fails(party))
        return NULL;
    if (memory)
        take_live(memory);
    return note(real_realloc(memory, size), party, caller);
}

EXPORT void free(void *memory)
{
    if (!memory || is_early(memory) || !find_real())
        return;
    take_live(memory);
    real_free(memory);
}

EXPORT int posix_memalign(void **memory, size_t alignment, size_t size)
{
    const void *caller = __builtin_return_address(0);
    enum party party = party_at(caller);
    if (fails(party))
        return ENOMEM;
    int result = find_real() ? real_posix_memalign(memory, alignment, size) : ENOMEM;
    if (result == 0)
        note(*memory, party, caller);
    return result;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    void *memory = NULL;
    return posix_memalign(&memory, alignment, size) == 0 ? memory : NULL;
}

/* ---- when it ends badly ---- */

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static void say_number(long number)
{
    char text[24], *digit = text + sizeof text - 1;
    *digit = '\0';
    do
        *--digit = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    say(digit);
}

static void on_signal(int number)
{
    void *here[FRAMES_MAX];
    within = true;
    say("\nwhile allocation ");
    say_number(atomic_load(&first_to_fail));
    say(number == SIGALRM ? " fails, it hangs:\n" : " fails, it crashes:\n");
    backtrace_symbols_fd(here, backtrace(here, FRAMES_MAX), STDERR_FILENO);
    say("the allocation that failed:\n");
    backtrace_symbols_fd(frames, atomic_load(&frame_count), STDERR_FILENO);
    int last = number == SIGALRM ? SIGABRT : number;
    signal(last, SIG_DFL);
    raise(last);
}

/* ---- the switch ---- */

static const char *const parties[] = {"library", "lua", NULL};

/* allocations.arm(party, first[, last]): "library" or "lua"; from now on allocations are counted,
 * and those from the first to the last (by default the same) fail. */
static int arm(lua_State *L)
{
    int party = luaL_checkoption(L, 1, NULL, parties);
    long first = (long)luaL_checkinteger(L, 2), last = (long)luaL_optinteger(L, 3, first);
    dl_iterate_phdr(note_object, NULL);
    atomic_store(&counted, 0);
    atomic_store(&failed, 0);
    atomic_store(&frame_count, 0);
    atomic_store(&first_to_fail, first);
    atomic_store(&last_to_fail, last);
    atomic_store(&armed_for, party);
    return 0;
}

/* allocations.disarm() -> how many were counted, how many failed */
static int disarm(lua_State *L)
{
    atomic_store(&armed_for, DISARMED);
    lua_pushinteger(L, (lua_Integer)atomic_load(&counted));
    lua_pushinteger(L, (lua_Integer)atomic_load(&failed));
    return 2;
}

/* allocations.resume(party): goes on counting where disarm() has stopped. */
static int resume(lua_State *L)
{
    atomic_store(&armed_for, luaL_checkoption(L, 1, NULL, parties));
    return 0;
}

/* allocations.live() -> how many of the library's are there */
static int count_live(lua_State *L)
{
    dl_iterate_phdr(note_object, NULL);
    lock_live();
    long count = live_count;
    unlock_live();
    lua_pushinteger(L, (lua_Integer)count);
    return 1;
}

/* A list of "object offset name": the offset of the call, as addr2line takes it. */
static void push_frames(lua_State *L, void *const *list, int count)
{
    char text[512];
    lua_newtable(L);
    for (int i = 0; i < count; i++) {
        Dl_info info = {0};
        long offset = dladdr(list[i], &info) ? (char *)list[i] - (char *)info.dli_fbase - 1 : 0;
        snprintf(text, sizeof text, "%s 0x%lx %s", info.dli_fname ? info.dli_fname : "?", offset,
                 info.dli_sname ? info.dli_sname : "?");
        lua_pushstring(L, text);
        lua_rawseti(L, -2, i + 1);
    }
}

/* allocations.where() -> the callers of the first that failed */
static int where(lua_State *L)
{
    push_frames(L, frames, atomic_load(&frame_count));
    return 1;
}

/* allocations.mark(): what is live from now on is new. */
static int mark(lua_State *L)
{
    (void)L;
    lock_live();
    for (size_t i = 0; i <= LIVE_MASK; i++)
        live[i].is_old = true;
    unlock_live();
    return 0;
}

/* allocations.new() -> the callers of what is live and new, up to 64 */
static int list_new(lua_State *L)
{
    void *callers[NEW_MAX];
    int count = 0;
    lock_live();
    for (size_t i = 0; i <= LIVE_MASK && count < NEW_MAX; i++)
        if (live[i].memory && !live[i].is_old)
            callers[count++] = (void *)(uintptr_t)live[i].caller;
    unlock_live();
    push_frames(L, callers, count);
    return 1;
}

/* allocations.deadline(seconds): it hangs if it lasts longer. */
static int set_deadline(lua_State *L)
{
    alarm((unsigned)luaL_checkinteger(L, 1));
    return 0;
}

static const luaL_Reg functions[] = {
    {"arm", arm},         {"disarm", disarm},         {"resume", resume},
    {"live", count_live}, {"where", where},           {"mark", mark},
    {"new", list_new},    {"deadline", set_deadline}, {NULL, NULL},
};

EXPORT int luaopen_allocations(lua_State *L);

EXPORT int luaopen_allocations(lua_State *L)
{
    static const int signals[] = {SIGALRM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
    void *warm_up[2];
    backtrace(warm_up, 2);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], on_signal);
    lua_newtable(L);
    for (const luaL_Reg *function = functions; function->name; function++) {
        lua_pushcfunction(L, function->func);
        lua_setfield(L, -2, function->name);
    }
    return 1;
}
