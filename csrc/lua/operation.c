/* What event-loop hosts (lua/redlock/host/) stand on: operations that the engine runs, the outbox
 * that tells of their end, scopes that end with a request, and the doorbell. */
#include <string.h>

#include "io/doorbell.h"
#include "io/system.h"
#include "lua/arguments.h"
#include "lua/objects.h"

#define OPERATION_TYPE "redlock.operation"
#define OUTBOX_TYPE "redlock.outbox"
#define DOORBELL_TYPE "redlock.doorbell"
#define TAKEN_MAX 64

/* A handle serves for one operation after the other. */
struct handle {
    struct rlk_shared_client *shared;
    struct rlk_operation *operation; /* NULL: none */
};

/* ---- outboxes ---- */

static void *new_object(lua_State *L, size_t size, const char *type)
{
    void *object = lua_newuserdata(L, size);
    memset(object, 0, size);
    luaL_getmetatable(L, type);
    lua_setmetatable(L, -2);
    return object;
}

/* core.outbox() -> outbox */
static int new_outbox(lua_State *L)
{
    struct rlk_outbox **box = new_object(L, sizeof *box, OUTBOX_TYPE);
    *box = rlk_outbox_new();
    return *box ? 1 : luaL_error(L, "not enough memory");
}

static struct rlk_outbox *check_outbox(lua_State *L, int index)
{
    struct rlk_outbox **box = luaL_checkudata(L, index, OUTBOX_TYPE);
    luaL_argcheck(L, *box, index, "the outbox was collected");
    return *box;
}

static int collect_outbox(lua_State *L)
{
    struct rlk_outbox **box = luaL_checkudata(L, 1, OUTBOX_TYPE);
    if (*box)
        rlk_outbox_drop(*box);
    *box = NULL;
    return 0;
}

/* core.outbox_fd(outbox) -> a descriptor that is readable while there is something to take */
static int outbox_fd(lua_State *L)
{
    int fd = rlk_outbox_fd(check_outbox(L, 1));
    if (fd < 0)
        return luaL_error(L, "no descriptor to be had");
    lua_pushinteger(L, fd);
    return 1;
}

/* core.take(outbox, list, statuses) -> how many tags were put into the list, and whether there may be
 * more. A negative one is of an operation whose request has ended. What became of a lock that was
 * watched stands in statuses, under the tag. */
static int take(lua_State *L)
{
    struct rlk_news news[TAKEN_MAX];
    size_t count = rlk_outbox_take(check_outbox(L, 1), news, TAKEN_MAX);
    luaL_checktype(L, 2, LUA_TTABLE);
    for (size_t i = 0; i < count; i++) {
        int64_t tag = (int64_t)(news[i].tag & ~RLK_ORPHAN);
        rlk_pushwhole(L, news[i].tag & RLK_ORPHAN ? -tag : tag);
        lua_rawseti(L, 2, (int)i + 1);
        if (news[i].word) {
            rlk_pushwhole(L, tag);
            lua_pushstring(L, rlk_status_name((enum rlk_status)news[i].word));
            lua_rawset(L, 3);
        }
    }
    rlk_pushwhole(L, count);
    lua_pushboolean(L, count == TAKEN_MAX);
    return 2;
}

/* ---- scopes ---- */

/* nginx' ngx_http_cleanup_t, and the function that adds one to a request. */
struct cleanup {
    void (*handler)(void *data);
    void *data;
    struct cleanup *next;
};

typedef struct cleanup *add_cleanup(void *request, size_t size);

static add_cleanup *add_cleanup_to;

/* core.bind_requests(address of ngx_http_cleanup_add): from now on what is acquired for a request is
 * bound to it. */
static int bind_requests(lua_State *L)
{
    add_cleanup_to = (add_cleanup *)(uintptr_t)luaL_checknumber(L, 1);
    return 0;
}

/* A pointer as LuaJIT has it: light userdata, or cdata of a pointer type. NULL for anything else. */
static void *check_request(lua_State *L, int index)
{
    if (lua_type(L, index) == RLK_TCDATA)
        return *(void *const *)lua_topointer(L, index);
    return lua_touserdata(L, index);
}

/* That ends with the request; NULL if there is no request, or no memory. */
static struct rlk_scope *scope_of(void *request)
{
    if (!request || !add_cleanup_to)
        return NULL;
    struct rlk_scope *scope = rlk_scope_find((uintptr_t)request);
    if (scope)
        return scope;
    struct cleanup *cleanup = add_cleanup_to(request, 0);
    scope = cleanup ? rlk_scope_begin((uintptr_t)request) : NULL;
    if (scope)
        *cleanup = (struct cleanup){rlk_scope_end, scope, cleanup->next};
    return scope;
}

/* ---- operations ---- */

/* core.operation() -> a handle */
static int new_handle(lua_State *L)
{
    new_object(L, sizeof(struct handle), OPERATION_TYPE);
    return 1;
}

static struct handle *check_handle(lua_State *L, int index)
{
    return luaL_checkudata(L, index, OPERATION_TYPE);
}

static struct handle *check_busy_handle(lua_State *L, int index)
{
    struct handle *handle = check_handle(L, index);
    luaL_argcheck(L, handle->operation, index, "no operation");
    return handle;
}

/* The arguments that all begin with: handle, outbox, tag. */
struct submission {
    struct handle *handle;
    struct rlk_outbox *outbox;
    uint64_t tag;
};

static struct submission check_submission(lua_State *L)
{
    struct submission submission = {check_handle(L, 1), check_outbox(L, 2),
                                    (uint64_t)luaL_checknumber(L, 3)};
    luaL_argcheck(L, !submission.handle->operation, 1, "it has an operation");
    return submission;
}

/* true, or code and votes if it could not be begun */
static int push_begun(lua_State *L, const struct submission *submission,
                      struct rlk_shared_client *shared, struct rlk_operation *operation)
{
    if (!operation)
        return rlk_push_result(L, shared->client, RLK_UNAVAILABLE, (struct rlk_record){0});
    submission->handle->operation = operation;
    submission->handle->shared = shared;
    rlk_share_client(shared);
    lua_pushboolean(L, true);
    return 1;
}

static void forget_operation(struct rlk_lua_lock *lock)
{
    if (lock->operation)
        rlk_operation_drop(lock->operation);
    lock->operation = NULL;
}

/* core.submit_acquire(handle, outbox, tag, lock, request or nil, whether the grant is not bound to it,
 * terms...) -> as core.acquire, but only begun */
static int submit_acquire(lua_State *L)
{
    struct submission submission = check_submission(L);
    struct rlk_lua_lock *lock = rlk_check_lock(L, 4);
    struct rlk_client *client = lock->shared->client;
    struct rlk_scope *scope = scope_of(check_request(L, 5));
    bool detaches = lua_toboolean(L, 6);
    struct rlk_terms terms = rlk_check_terms(L, 7);
    const char *busy = rlk_busy(lock);
    if (busy)
        return rlk_push_busy(L, busy);
    rlk_set_holding(lock, NULL);
    struct rlk_operation *operation = rlk_client_submit_acquire(client, rlk_lock_key(lock), &terms,
                                                                submission.outbox, submission.tag);
    if (operation && scope)
        rlk_client_bind(client, operation, scope, detaches);
    forget_operation(lock);
    lock->operation = operation;
    if (operation)
        rlk_operation_retain(operation);
    return push_begun(L, &submission, lock->shared, operation);
}

static bool is_held(const struct rlk_lua_lock *lock)
{
    return lock->holding && rlk_holding_remaining_us(lock->holding) > 0;
}

/* Also what holds nothing is bound: a program whose request has ended is told, to clear up. */
static int push_bound(lua_State *L, const struct submission *submission,
                      struct rlk_shared_client *shared, struct rlk_operation *operation,
                      void *request)
{
    struct rlk_scope *scope = operation ? scope_of(request) : NULL;
    if (scope)
        rlk_client_bind(shared->client, operation, scope, true);
    return push_begun(L, submission, shared, operation);
}

/* core.submit_extend(handle, outbox, tag, lock, request or nil, seconds) -> true | code, votes */
static int submit_extend(lua_State *L)
{
    struct submission submission = check_submission(L);
    const struct rlk_lua_lock *lock = rlk_check_lock(L, 4);
    struct rlk_client *client = lock->shared->client;
    void *request = check_request(L, 5);
    int64_t ttl_ms = rlk_check_ttl(L, 6);
    if (!is_held(lock))
        return rlk_push_result(L, client, RLK_LOST, (struct rlk_record){0});
    struct rlk_operation *operation =
        rlk_client_submit_extend(client, lock->holding, ttl_ms, submission.outbox, submission.tag);
    return push_bound(L, &submission, lock->shared, operation, request);
}

/* core.submit_release(handle, outbox, tag, lock, request or nil) -> true | code, votes; "released" if that is so
 * already */
static int submit_release(lua_State *L)
{
    struct submission submission = check_submission(L);
    const struct rlk_lua_lock *lock = rlk_check_lock(L, 4);
    if (lock->holding && rlk_holding_is_let_go(lock->holding)) {
        lua_pushliteral(L, "released");
        return 1;
    }
    if (!lock->holding || lock->holding->generation != rlk_fork_generation())
        return rlk_push_result(L, lock->shared->client, RLK_LOST, (struct rlk_record){0});
    struct rlk_operation *operation = rlk_client_submit_release(lock->shared->client, lock->holding,
                                                                submission.outbox, submission.tag);
    return push_bound(L, &submission, lock->shared, operation, check_request(L, 5));
}

/* core.submit_inspect(handle, outbox, tag, client, request or nil, key, inquiry...) -> true | code,
 * votes */
static int submit_inspect(lua_State *L)
{
    struct submission submission = check_submission(L);
    struct rlk_shared_client *shared = rlk_check_client(L, 4);
    struct rlk_inquiry asked = rlk_check_inquiry(L, 7, rlk_client_settings(shared->client)->nodes);
    struct rlk_operation *operation = rlk_client_submit_inspect(
        shared->client, rlk_check_key(L, 6), &asked, submission.outbox, submission.tag);
    return push_bound(L, &submission, shared, operation, check_request(L, 5));
}

static void empty(struct handle *handle)
{
    struct rlk_shared_client *shared = handle->shared;
    handle->operation = NULL;
    handle->shared = NULL;
    rlk_release_client(shared);
}

/* core.conclude(handle[, lock]) -> as core.acquire and the others. Once its tag was taken; with the
 * lock that was to be acquired. */
static int conclude(lua_State *L)
{
    struct handle *handle = check_busy_handle(L, 1);
    struct rlk_lua_lock *lock = lua_isnoneornil(L, 2) ? NULL : rlk_check_lock(L, 2);
    struct rlk_operation *operation = handle->operation;
    struct rlk_client *client = handle->shared->client;
    struct rlk_holding *holding;
    enum rlk_outcome outcome = rlk_client_conclude(client, operation, &holding);
    if (lock && lock->operation == operation)
        forget_operation(lock);
    if (holding && lock)
        rlk_set_holding(lock, holding);
    else if (holding)
        rlk_client_forget(client, holding);
    const struct rlk_inquiry *inquiry = operation->inquiry;
    struct rlk_record record = {operation->report, inquiry ? inquiry->findings : NULL};
    int results = rlk_push_result(L, client, outcome, record);
    rlk_operation_drop(operation);
    empty(handle);
    return results;
}

/* core.abandon(handle): nobody waits for it any more. */
static int abandon(lua_State *L)
{
    struct handle *handle = check_handle(L, 1);
    if (!handle->operation)
        return 0;
    rlk_client_abandon(handle->shared->client, handle->operation);
    empty(handle);
    return 0;
}

/* core.begin_close(client, outbox, tag) -> whether the tag will be posted, when core.close() has not
 * to wait any more */
static int begin_close(lua_State *L)
{
    struct rlk_client *client = rlk_check_client(L, 1)->client;
    struct rlk_outbox *outbox = check_outbox(L, 2);
    uint64_t tag = (uint64_t)luaL_checknumber(L, 3);
    lua_pushboolean(L, rlk_client_begin_close(client, rlk_grace_ms(client), outbox, tag));
    return 1;
}

/* core.watch(lock, outbox, tag) -> whether the tag will be posted once, when the lock is over; and
 * whether the lock ends with a request */
static int watch(lua_State *L)
{
    const struct rlk_lua_lock *lock = rlk_check_lock(L, 1);
    struct rlk_outbox *outbox = check_outbox(L, 2);
    uint64_t tag = (uint64_t)luaL_checknumber(L, 3);
    struct rlk_holding *holding = lock->holding;
    lua_pushboolean(L, holding && rlk_client_watch(lock->shared->client, holding, outbox, tag));
    lua_pushboolean(L, holding && rlk_is_linked(&holding->bond.link));
    return 2;
}

/* ---- doorbells ---- */

/* core.doorbell() -> doorbell, port, cookie | nil */
static int new_doorbell(lua_State *L)
{
    struct rlk_doorbell **box = new_object(L, sizeof *box, DOORBELL_TYPE);
    *box = rlk_doorbell_new();
    if (!*box) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, rlk_doorbell_port(*box));
    lua_pushstring(L, rlk_doorbell_cookie(*box));
    return 3;
}

static int collect_doorbell(lua_State *L)
{
    struct rlk_doorbell **box = luaL_checkudata(L, 1, DOORBELL_TYPE);
    if (*box)
        rlk_doorbell_free(*box);
    *box = NULL;
    return 0;
}

/* core.answer(doorbell, outbox) -> true: whoever knows the cookie is rung from now on, and the
 * doorbell is gone; or false: nobody has come yet */
static int answer(lua_State *L)
{
    struct rlk_doorbell **box = luaL_checkudata(L, 1, DOORBELL_TYPE);
    struct rlk_outbox *outbox = check_outbox(L, 2);
    luaL_argcheck(L, *box, 1, "it was answered");
    int fd = rlk_doorbell_answer(*box);
    if (fd >= 0) {
        rlk_outbox_set_bell(outbox, fd);
        collect_doorbell(L);
    }
    lua_pushboolean(L, fd >= 0);
    return 1;
}

/* core.silence(outbox): no bell any more; whoever reads it sees its end. */
static int silence(lua_State *L)
{
    rlk_outbox_set_bell(check_outbox(L, 1), -1);
    return 0;
}

/* ---- module ---- */

static const luaL_Reg functions[] = {
    {"outbox", new_outbox},
    {"outbox_fd", outbox_fd},
    {"take", take},
    {"operation", new_handle},
    {"submit_acquire", submit_acquire},
    {"submit_extend", submit_extend},
    {"submit_release", submit_release},
    {"submit_inspect", submit_inspect},
    {"conclude", conclude},
    {"abandon", abandon},
    {"begin_close", begin_close},
    {"watch", watch},
    {"bind_requests", bind_requests},
    {"doorbell", new_doorbell},
    {"answer", answer},
    {"silence", silence},
    {NULL, NULL},
};

static void add_type(lua_State *L, const char *type, lua_CFunction collect)
{
    luaL_newmetatable(L, type);
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

void rlk_open_operations(lua_State *L)
{
    rlk_add_functions(L, functions);
    add_type(L, OPERATION_TYPE, abandon);
    add_type(L, OUTBOX_TYPE, collect_outbox);
    add_type(L, DOORBELL_TYPE, collect_doorbell);
}
