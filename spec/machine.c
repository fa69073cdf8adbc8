/* The core, bare, for the specs: every clock, vote, token and byte comes from the spec. Also fork(), which Lua lacks.
 *
 * Nodes count from 1, sets of nodes are lists, enums are words, RLK_NEVER is math.huge. A call that the core asserts
 * against ends the process. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/agenda.h"
#include "core/batches.h"
#include "core/endpoint.h"
#include "core/line.h"
#include "core/lock.h"
#include "core/node.h"
#include "core/scripts.h"
#include "core/siphash.h"
#include "lua/compat.h"

#define QUORUM "machine.quorum"
#define LOCK "machine.lock"
#define NODE "machine.node"
#define MEMO "machine.memo"
#define BATCHES "machine.batches"
#define AGENDA "machine.agenda"
#define LINES "machine.lines"

static const char *const kinds[] = {
    "acquire",      "acquire_many", "extend", "extend_many", "release",
    "release_many", "inspect",      "break",  "scan",        NULL};
static const char *const states[] = {"idle",  "standing_by", "acquiring", "waiting",
                                     "owned", "releasing",   "inspecting"};
static const char *const outcomes[] = {"pending",  "acquired",    "extended",
                                       "released", "inspected",   "locked",
                                       "timeout",  "unavailable", "lost"};
static const char *const losses[] = {"not_lost", "expired", "taken", "gone"};
static const char *const transports[] = {"tcp", "tls", "unix"};
static const char *const events[] = {"ready", "vote", "wake", "broken"};
static const char *const reasons[RLK_REASONS + 1] = {
    "no_answer",     "granted",      "held",    "outbid",  "absent",    "anothers",   "timed_out",
    "unreachable",   "disconnected", "stalled", "guarded", "malformed", "no_memory",  "loading",
    "readonly",      "masterdown",   "busy",    "oom",     "misconf",   "noreplicas", "clusterdown",
    "moved",         "ask",          "noauth",  "noperm",  "wrongpass", "wrongtype",  "noscript",
    "unknown_error", "bad_fence",    NULL,
};

/* ---- values ---- */

static void push_moment(lua_State *L, int64_t ms)
{
    if (ms == RLK_NEVER)
        lua_pushnumber(L, HUGE_VAL);
    else
        rlk_pushwhole(L, ms);
}

static int64_t check_whole(lua_State *L, int index)
{
    lua_Number number = luaL_checknumber(L, index);
    return number >= 9e18 ? RLK_NEVER : (int64_t)number;
}

static int64_t whole_field(lua_State *L, int index, const char *name, int64_t otherwise)
{
    lua_getfield(L, index, name);
    int64_t value = lua_isnil(L, -1) ? otherwise : check_whole(L, -1);
    lua_pop(L, 1);
    return value;
}

static bool boolean_field(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

/* The table keeps the string alive. */
static const char *string_field(lua_State *L, int index, const char *name, size_t *len)
{
    lua_getfield(L, index, name);
    const char *value = luaL_optlstring(L, -1, NULL, len);
    lua_pop(L, 1);
    return value;
}

static void set_whole(lua_State *L, const char *name, int64_t value)
{
    push_moment(L, value);
    lua_setfield(L, -2, name);
}

static void set_boolean(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

static void set_bytes(lua_State *L, const char *name, const char *bytes, size_t len)
{
    lua_pushlstring(L, bytes ? bytes : "", len);
    lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    set_bytes(L, name, text, strlen(text));
}

static void copy_text(lua_State *L, char *out, size_t size, const char *text, size_t len)
{
    if (len >= size)
        luaL_error(L, "longer than %d bytes", (int)size - 1);
    memcpy(out, text, len);
    out[len] = '\0';
}

static void push_nodes(lua_State *L, rlk_nodes nodes)
{
    int count = 0;
    lua_newtable(L);
    for (int node = 0; node < RLK_NODES_MAX; node++)
        if (nodes & rlk_node_bit(node)) {
            rlk_pushwhole(L, node + 1);
            lua_rawseti(L, -2, ++count);
        }
}

static rlk_nodes check_nodes(lua_State *L, int index)
{
    rlk_nodes nodes = 0;
    luaL_checktype(L, index, LUA_TTABLE);
    for (int i = 1; i <= (int)rlk_rawlen(L, index); i++) {
        lua_rawgeti(L, index, i);
        nodes |= rlk_node_bit((int)luaL_checkinteger(L, -1) - 1);
        lua_pop(L, 1);
    }
    return nodes;
}

static enum rlk_reason check_reason(lua_State *L, int index)
{
    return (enum rlk_reason)luaL_checkoption(L, index, NULL, reasons);
}

/* A word, or { reason =, ttl_ms =, fence =, waiters =, told =, text = } */
static struct rlk_vote check_vote(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TSTRING)
        return (struct rlk_vote){.reason = check_reason(L, index)};
    luaL_checktype(L, index, LUA_TTABLE);
    struct rlk_vote vote = {.ttl_ms = whole_field(L, index, "ttl_ms", 0),
                            .fence = whole_field(L, index, "fence", 0),
                            .waiters = whole_field(L, index, "waiters", 0),
                            .told = boolean_field(L, index, "told")};
    vote.text = string_field(L, index, "text", &vote.text_len);
    lua_getfield(L, index, "reason");
    vote.reason = check_reason(L, -1);
    lua_pop(L, 1);
    return vote;
}

static void set_vote(lua_State *L, const struct rlk_vote *vote)
{
    set_text(L, "reason", reasons[vote->reason]);
    set_whole(L, "ttl_ms", vote->ttl_ms);
    set_whole(L, "fence", vote->fence);
    set_whole(L, "waiters", vote->waiters);
    set_boolean(L, "told", vote->told);
    set_bytes(L, "text", vote->text, vote->text_len);
    set_bytes(L, "details", vote->details, vote->details_len);
}

static void push_request(lua_State *L, const struct rlk_request *request)
{
    lua_newtable(L);
    set_text(L, "kind", kinds[request->kind]);
    set_whole(L, "round", request->round);
    set_boolean(L, "owed", (request->round & RLK_ROUND_OWED) != 0);
    set_bytes(L, "key", request->key.bytes, request->key.len);
    set_text(L, "token", request->token);
    set_bytes(L, "word", request->word.bytes, request->word.len);
    set_boolean(L, "all", request->all);
    set_whole(L, "ttl_ms", request->ttl_ms);
    set_whole(L, "fence", request->fence);
    set_whole(L, "fence_ttl_s", request->fence_ttl_s);
    set_text(L, "identity", request->identity ? request->identity : "");
    set_text(L, "waiter", request->waiter);
    set_whole(L, "arrival_us", request->arrival_us);
    set_whole(L, "keep_ms", request->keep_ms);
    set_boolean(L, "queued", request->queued);
    set_boolean(L, "fair", request->fair);
    set_boolean(L, "batchable", request->batchable);
    set_boolean(L, "steps_back", request->steps_back);
    set_boolean(L, "once", request->once);
}

/* The table on top of the stack; the key is its own. */
static struct rlk_request check_request(lua_State *L)
{
    int index = lua_gettop(L);
    struct rlk_request request = {
        .ttl_ms = whole_field(L, index, "ttl_ms", 0),
        .fence = whole_field(L, index, "fence", 0),
        .fence_ttl_s = whole_field(L, index, "fence_ttl_s", 0),
        .identity = string_field(L, index, "identity", NULL),
        .arrival_us = whole_field(L, index, "arrival_us", 0),
        .keep_ms = whole_field(L, index, "keep_ms", 0),
        .queued = boolean_field(L, index, "queued"),
        .fair = boolean_field(L, index, "fair"),
        .batchable = boolean_field(L, index, "batchable"),
        .once = boolean_field(L, index, "once"),
        .steps_back = boolean_field(L, index, "steps_back"),
    };
    size_t len = 0;
    const char *waiter = string_field(L, index, "waiter", &len);
    if (waiter)
        copy_text(L, request.waiter, sizeof request.waiter, waiter, len);
    request.key.bytes = string_field(L, index, "key", &request.key.len);
    if (!request.key.bytes)
        luaL_error(L, "a request has a key");
    request.word.bytes = string_field(L, index, "word", &request.word.len);
    request.all = boolean_field(L, index, "all");
    const char *token = string_field(L, index, "token", &len);
    if (token)
        copy_text(L, request.token, sizeof request.token, token, len);
    return request;
}

/* A request, or a list of them. Their number. */
static size_t check_requests(lua_State *L, int index, struct rlk_request requests[RLK_BATCH_MAX],
                             struct rlk_asker askers[RLK_BATCH_MAX])
{
    luaL_checktype(L, index, LUA_TTABLE);
    size_t count = (size_t)rlk_rawlen(L, index);
    bool alone = count == 0;
    count = alone ? 1 : count;
    luaL_argcheck(L, count <= RLK_BATCH_MAX, index, "too many requests");
    for (size_t i = 0; i < count; i++) {
        if (alone)
            lua_pushvalue(L, index);
        else
            lua_rawgeti(L, index, (int)i + 1);
        requests[i] = check_request(L);
        askers[i].tag = (uint64_t)whole_field(L, lua_gettop(L), "tag", 0);
        askers[i].round = (uint32_t)whole_field(L, lua_gettop(L), "round", 0);
        lua_pop(L, 1);
    }
    return count;
}

/* ---- objects ---- */

static void *new_object(lua_State *L, size_t size, const char *type)
{
    void *object = memset(rlk_newuserdata(L, size), 0, size);
    luaL_getmetatable(L, type);
    lua_setmetatable(L, -2);
    return object;
}

/* The object on top of the stack keeps the value alive. */
static void keep(lua_State *L, int index)
{
    lua_newtable(L);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, 1);
    rlk_setcompanion(L, -2);
}

static void set_functions(lua_State *L, const luaL_Reg *functions)
{
    for (const luaL_Reg *function = functions; function->name; function++) {
        lua_pushcfunction(L, function->func);
        lua_setfield(L, -2, function->name);
    }
}

/* A method, else what get_property pushes. */
static int find_property(lua_State *L, bool (*get_property)(lua_State *, const char *))
{
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_isnil(L, -1))
        return 1;
    const char *name = luaL_checkstring(L, 2);
    return get_property(L, name) ? 1 : luaL_error(L, "no property %s", name);
}

static void new_type(lua_State *L, const char *type, const luaL_Reg *methods, lua_CFunction index,
                     lua_CFunction collect)
{
    luaL_newmetatable(L, type);
    lua_newtable(L);
    set_functions(L, methods);
    if (index)
        lua_pushcclosure(L, index, 1);
    lua_setfield(L, -2, "__index");
    if (collect) {
        lua_pushcfunction(L, collect);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
}

/* ---- quorum ---- */

static struct rlk_quorum *check_quorum(lua_State *L)
{
    return luaL_checkudata(L, 1, QUORUM);
}

/* quorum:set { token =, wall_us =, random =, highest_fence =, inbox_ready =, timeout_ms = } */
static int set_quorum(lua_State *L)
{
    struct rlk_quorum *quorum = check_quorum(L);
    size_t len;
    const char *token = string_field(L, 2, "token", &len);
    if (token)
        copy_text(L, quorum->token, sizeof quorum->token, token, len);
    quorum->wall_us = whole_field(L, 2, "wall_us", quorum->wall_us);
    quorum->random = (uint64_t)whole_field(L, 2, "random", (int64_t)quorum->random);
    quorum->highest_fence = whole_field(L, 2, "highest_fence", quorum->highest_fence);
    quorum->timeout_ms = whole_field(L, 2, "timeout_ms", quorum->timeout_ms);
    lua_getfield(L, 2, "inbox_ready");
    if (!lua_isnil(L, -1))
        quorum->inbox_ready = check_nodes(L, lua_gettop(L));
    return 0;
}

/* quorum { nodes =, drift_factor = 0.01, inbox = "redlock:inbox", identity = "", and what set takes } */
static int new_quorum(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    struct rlk_quorum *quorum = new_object(L, sizeof *quorum, QUORUM);
    lua_insert(L, 1);
    size_t len;
    const char *inbox = string_field(L, 2, "inbox", &len);
    if (inbox)
        copy_text(L, quorum->inbox, sizeof quorum->inbox, inbox, len);
    else
        memcpy(quorum->inbox, "redlock:inbox", sizeof "redlock:inbox");
    const char *identity = string_field(L, 2, "identity", &len);
    if (identity)
        copy_text(L, quorum->identity, sizeof quorum->identity, identity, len);
    lua_getfield(L, 2, "drift_factor");
    quorum->drift_factor = luaL_optnumber(L, -1, 0.01);
    lua_pop(L, 1);
    quorum->nodes = (int)whole_field(L, 2, "nodes", 1);
    quorum->timeout_ms = 500;
    quorum->random = 1;
    set_quorum(L);
    lua_settop(L, 1);
    return 1;
}

static bool quorum_property(lua_State *L, const char *name)
{
    const struct rlk_quorum *quorum = check_quorum(L);
    if (!strcmp(name, "token"))
        lua_pushstring(L, quorum->token);
    else if (!strcmp(name, "highest_fence"))
        rlk_pushwhole(L, quorum->highest_fence);
    else if (!strcmp(name, "majority"))
        rlk_pushwhole(L, rlk_majority(quorum));
    else
        return false;
    return true;
}

static int index_quorum(lua_State *L)
{
    return find_property(L, quorum_property);
}

static int quorum_validity(lua_State *L)
{
    rlk_pushwhole(L, rlk_validity_ms(check_quorum(L), check_whole(L, 2)));
    return 1;
}

static int quorum_jitter(lua_State *L)
{
    rlk_pushwhole(L, rlk_jitter(check_quorum(L), check_whole(L, 2)));
    return 1;
}

/* ---- lock ---- */

struct lock {
    struct rlk_lock machine;
    struct rlk_in_line place;
    struct rlk_tally tallies[RLK_NODES_MAX];
    char key[RLK_KEY_MAX];
};

/* quorum:lock(key, { id = 1, tallies = true }) */
static int quorum_lock(lua_State *L)
{
    struct rlk_quorum *quorum = check_quorum(L);
    size_t len;
    const char *key = luaL_checklstring(L, 2, &len);
    luaL_argcheck(L, len >= 1 && len <= RLK_KEY_MAX, 2, "its length");
    lua_settop(L, 3);
    if (lua_isnil(L, 3)) {
        lua_newtable(L);
        lua_replace(L, 3);
    }
    lua_getfield(L, 3, "tallies");
    bool bare = !lua_isnil(L, -1) && !lua_toboolean(L, -1);
    struct lock *lock = new_object(L, sizeof *lock, LOCK);
    memcpy(lock->key, key, len);
    rlk_lock_init(&lock->machine, quorum, (struct rlk_key){lock->key, len},
                  bare ? NULL : lock->tallies);
    lock->machine.id = (uint64_t)whole_field(L, 3, "id", 1);
    keep(L, 1);
    return 1;
}

static struct rlk_lock *check_lock(lua_State *L)
{
    struct lock *lock = luaL_checkudata(L, 1, LOCK);
    return &lock->machine;
}

static int check_node_number(lua_State *L, const struct rlk_lock *lock)
{
    lua_Integer node = luaL_checkinteger(L, 2);
    luaL_argcheck(L, node >= 1 && node <= lock->quorum->nodes, 2, "no such node");
    return (int)node - 1;
}

/* { ttl_ms =, wait_ms = 0, max_hold_ms = never, fence_ttl_s = 86400, renew =, fair =, at_least_ms = 0 } */
static struct rlk_terms check_terms(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    return (struct rlk_terms){
        .ttl_ms = whole_field(L, 2, "ttl_ms", 10000),
        .wait_ms = whole_field(L, 2, "wait_ms", 0),
        .max_hold_ms = whole_field(L, 2, "max_hold_ms", RLK_NEVER),
        .fence_ttl_s = (uint32_t)whole_field(L, 2, "fence_ttl_s", 24 * 60 * 60),
        .renew = boolean_field(L, 2, "renew"),
        .fair = boolean_field(L, 2, "fair"),
        .at_least_ms = whole_field(L, 2, "at_least_ms", 0),
        .cohort = boolean_field(L, 2, "cohort"),
    };
}

/* lock:acquire(terms, now) */
static int lock_acquire(lua_State *L)
{
    struct rlk_terms terms = check_terms(L);
    rlk_lock_acquire(check_lock(L), &terms, check_whole(L, 3));
    return 0;
}

/* lock:stand_by(terms, now) */
static int lock_stand_by(lua_State *L)
{
    struct rlk_terms terms = check_terms(L);
    rlk_lock_stand_by(check_lock(L), &terms, check_whole(L, 3));
    return 0;
}

/* lock:take_turn(nodes_answered, now) */
static int lock_take_turn(lua_State *L)
{
    rlk_lock_take_turn(check_lock(L), lua_toboolean(L, 2), check_whole(L, 3));
    return 0;
}

/* lock:await_turn(turn_at) */
static int lock_await_turn(lua_State *L)
{
    rlk_lock_await_turn(check_lock(L), check_whole(L, 2));
    return 0;
}

/* lock:follow(now) */
static int lock_follow(lua_State *L)
{
    rlk_lock_follow(check_lock(L), check_whole(L, 2));
    return 0;
}

static const struct rlk_lock *check_other(lua_State *L)
{
    const struct lock *other = luaL_checkudata(L, 2, LOCK);
    return &other->machine;
}

/* lock:share_verdict(first) */
static int lock_share_verdict(lua_State *L)
{
    lua_pushboolean(L, rlk_lock_share_verdict(check_lock(L), check_other(L)));
    return 1;
}

/* lock:copy_reasons(other) */
static int lock_copy_reasons(lua_State *L)
{
    rlk_lock_copy_reasons(check_lock(L), check_other(L));
    return 0;
}

/* lock:receive(other, now): what the other owns */
static int lock_receive(lua_State *L)
{
    const struct rlk_lock *other = check_other(L);
    rlk_lock_receive(check_lock(L), &other->lease, other->deadline_ms, check_whole(L, 3));
    return 0;
}

/* lock:note_owner(other, left_ms) */
static int lock_note_owner(lua_State *L)
{
    rlk_lock_note_owner(check_lock(L), &check_other(L)->lease, check_whole(L, 3));
    return 0;
}

static int lock_was_answered(lua_State *L)
{
    lua_pushboolean(L, rlk_lock_was_answered(check_lock(L)));
    return 1;
}

/* lock:adopt(other): what the other owns, as the engine does */
static int lock_adopt(lua_State *L)
{
    const struct rlk_lock *other = check_other(L);
    rlk_lock_adopt(check_lock(L), &other->lease, other->deadline_ms);
    return 0;
}

static int lock_extend(lua_State *L)
{
    rlk_lock_extend(check_lock(L), check_whole(L, 2), check_whole(L, 3));
    return 0;
}

static int lock_release(lua_State *L)
{
    rlk_lock_release(check_lock(L), check_whole(L, 2));
    return 0;
}

/* lock:renewed_by_another(), before it is acquired */
static int lock_renewed_by_another(lua_State *L)
{
    check_lock(L)->renewed_by_another = true;
    return 0;
}

/* lock:tell_all(), before a release that nobody follows up */
static int lock_tell_all(lua_State *L)
{
    check_lock(L)->tells_all = true;
    return 0;
}

/* lock:told_before(), before a release that repeats another */
static int lock_told_before(lua_State *L)
{
    check_lock(L)->told_before = true;
    return 0;
}

static int lock_inspect(lua_State *L)
{
    rlk_lock_inspect(check_lock(L), check_whole(L, 2));
    return 0;
}

static int lock_cancel(lua_State *L)
{
    rlk_lock_cancel(check_lock(L), check_whole(L, 2));
    return 0;
}

/* lock:vote(node, round, vote, now) */
static int lock_vote(lua_State *L)
{
    struct rlk_lock *lock = check_lock(L);
    struct rlk_vote vote = check_vote(L, 4);
    rlk_lock_vote(lock, check_node_number(L, lock), (uint32_t)check_whole(L, 3), &vote,
                  check_whole(L, 5));
    return 0;
}

/* lock:wake(node, fence, now) */
static int lock_wake(lua_State *L)
{
    struct rlk_lock *lock = check_lock(L);
    rlk_lock_wake(lock, check_node_number(L, lock), check_whole(L, 3), check_whole(L, 4));
    return 0;
}

static int lock_inbox_ready(lua_State *L)
{
    rlk_lock_inbox_ready(check_lock(L), check_whole(L, 2));
    return 0;
}

static int lock_time(lua_State *L)
{
    rlk_lock_time(check_lock(L), check_whole(L, 2));
    return 0;
}

static int lock_credit(lua_State *L)
{
    rlk_lock_credit(check_lock(L), check_whole(L, 2));
    return 0;
}

static int lock_hasten(lua_State *L)
{
    rlk_lock_hasten(check_lock(L));
    return 0;
}

static int lock_retire(lua_State *L)
{
    rlk_lock_retire(check_lock(L));
    return 0;
}

static int lock_is_done(lua_State *L)
{
    lua_pushboolean(L, rlk_lock_is_done(check_lock(L)));
    return 1;
}

static int lock_is_owing(lua_State *L)
{
    lua_pushboolean(L, rlk_lock_is_owing(check_lock(L)));
    return 1;
}

static int lock_is_untold(lua_State *L)
{
    lua_pushboolean(L, rlk_lock_is_untold(check_lock(L)));
    return 1;
}

/* lock:is_put_off(node) */
static int lock_is_put_off(lua_State *L)
{
    const struct rlk_lock *lock = check_lock(L);
    lua_pushboolean(L, rlk_lock_is_put_off(lock, check_node_number(L, lock)));
    return 1;
}

static int lock_wants(lua_State *L)
{
    push_nodes(L, rlk_lock_wants(check_lock(L)));
    return 1;
}

/* lock:next_request(node[, now]): the moment counts for a release with at_least_ms. */
static int lock_next_request(lua_State *L)
{
    struct rlk_lock *lock = check_lock(L);
    struct rlk_request request;
    int64_t now_ms = lua_isnoneornil(L, 3) ? 0 : check_whole(L, 3);
    if (!rlk_lock_next_request(lock, check_node_number(L, lock), now_ms, &request))
        return 0;
    push_request(L, &request);
    return 1;
}

static int lock_next_time(lua_State *L)
{
    push_moment(L, rlk_lock_next_time(check_lock(L)));
    return 1;
}

static int lock_wants_inbox(lua_State *L)
{
    lua_pushboolean(L, rlk_lock_wants_inbox(check_lock(L)));
    return 1;
}

static int lock_remaining(lua_State *L)
{
    rlk_pushwhole(L, rlk_lock_remaining(check_lock(L), check_whole(L, 2)));
    return 1;
}

/* lock:tally(node) -> what the node said last */
static int lock_tally(lua_State *L)
{
    const struct rlk_lock *lock = check_lock(L);
    const struct rlk_tally *tally = &lock->tallies[check_node_number(L, lock)];
    struct rlk_vote vote = {.reason = tally->reason,
                            .ttl_ms = tally->ttl_ms,
                            .fence = tally->fence,
                            .waiters = tally->waiters,
                            .text = tally->text,
                            .text_len = strlen(tally->text)};
    lua_newtable(L);
    set_vote(L, &vote);
    return 1;
}

static bool lock_property(lua_State *L, const char *name)
{
    const struct rlk_lock *lock = check_lock(L);
    if (!strcmp(name, "state"))
        lua_pushstring(L, states[lock->state]);
    else if (!strcmp(name, "outcome"))
        lua_pushstring(L, outcomes[lock->outcome]);
    else if (!strcmp(name, "loss"))
        lua_pushstring(L, losses[lock->loss]);
    else if (!strcmp(name, "token"))
        lua_pushstring(L, lock->lease.token);
    else if (!strcmp(name, "fence"))
        rlk_pushwhole(L, lock->lease.fence);
    else if (!strcmp(name, "nodes"))
        push_nodes(L, lock->lease.nodes);
    else if (!strcmp(name, "unsent"))
        push_nodes(L, lock->unsent);
    else if (!strcmp(name, "round"))
        rlk_pushwhole(L, lock->round);
    else if (!strcmp(name, "deadline_ms"))
        rlk_pushwhole(L, lock->deadline_ms);
    else
        return false;
    return true;
}

static int index_lock(lua_State *L)
{
    return find_property(L, lock_property);
}

/* ---- node ---- */

static struct rlk_node *check_node(lua_State *L)
{
    struct rlk_node **node = luaL_checkudata(L, 1, NODE);
    return *node;
}

/* node { user =, password =, database = 0, client_name =, channel = } */
static int new_node(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    struct rlk_login login = {
        .user = string_field(L, 1, "user", NULL),
        .password = string_field(L, 1, "password", NULL),
        .database = (int)whole_field(L, 1, "database", 0),
        .client_name = string_field(L, 1, "client_name", NULL),
        .channel = string_field(L, 1, "channel", NULL),
    };
    struct rlk_node **node = new_object(L, sizeof *node, NODE);
    *node = rlk_node_new(&login);
    keep(L, 1);
    return 1;
}

static int collect_node(lua_State *L)
{
    rlk_node_free(check_node(L));
    return 0;
}

static int node_open(lua_State *L)
{
    lua_pushboolean(L, rlk_node_open(check_node(L)));
    return 1;
}

static int node_close(lua_State *L)
{
    rlk_node_close(check_node(L), check_reason(L, 2));
    return 0;
}

static int node_is_ready(lua_State *L)
{
    lua_pushboolean(L, rlk_node_is_ready(check_node(L)));
    return 1;
}

static int node_in_flight(lua_State *L)
{
    rlk_pushwhole(L, rlk_node_in_flight(check_node(L)));
    return 1;
}

static enum rlk_request_kind check_kind(lua_State *L, int index)
{
    return (enum rlk_request_kind)luaL_checkoption(L, index, NULL, kinds);
}

/* What is sent as acquire_many are acquires. */
static enum rlk_request_kind kind_of_one(enum rlk_request_kind kind)
{
    for (int one = 0; one < RLK_REQUEST_KINDS; one++)
        if (rlk_kind_of_many((enum rlk_request_kind)one) == kind && one != (int)kind)
            return (enum rlk_request_kind)one;
    return kind;
}

/* node:send(kind, request or list, memo): each with tag and round; a list for kinds of many only */
static int node_send(lua_State *L)
{
    static struct rlk_request requests[RLK_BATCH_MAX];
    static struct rlk_asker askers[RLK_BATCH_MAX];
    struct rlk_node *node = check_node(L);
    enum rlk_request_kind kind = check_kind(L, 2);
    struct rlk_memo *memo = lua_isnoneornil(L, 4) ? NULL : luaL_checkudata(L, 4, MEMO);
    size_t count = check_requests(L, 3, requests, askers);
    requests[0].kind = kind_of_one(kind);
    requests[0].round = askers[0].round;
    bool sent = requests[0].kind != kind ? rlk_node_send_many(node, requests, askers, count, memo)
                                         : rlk_node_send(node, &requests[0], askers[0], memo);
    lua_pushboolean(L, sent);
    return 1;
}

static int node_takes_many(lua_State *L)
{
    lua_pushboolean(L, rlk_node_takes_many(check_node(L)));
    return 1;
}

static int node_knows(lua_State *L)
{
    lua_pushboolean(L, rlk_node_knows(check_node(L), check_kind(L, 2)));
    return 1;
}

/* node:output(n) -> what is to be sent; n bytes of it (by default all) are taken to be written */
static int node_output(lua_State *L)
{
    struct rlk_node *node = check_node(L);
    size_t len;
    const char *bytes = rlk_node_output(node, &len);
    size_t written = (size_t)luaL_optnumber(L, 2, (lua_Number)len);
    lua_pushlstring(L, bytes, len);
    rlk_node_written(node, written);
    return 1;
}

static int node_feed(lua_State *L)
{
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len);
    rlk_node_feed(check_node(L), bytes, len);
    return 0;
}

static int node_next_event(lua_State *L)
{
    struct rlk_event event;
    if (!rlk_node_next_event(check_node(L), &event))
        return 0;
    lua_newtable(L);
    set_text(L, "kind", events[event.kind]);
    switch (event.kind) {
    case RLK_EVENT_READY:
        set_whole(L, "uptime_s", event.uptime_s);
        break;
    case RLK_EVENT_VOTE:
        set_whole(L, "tag", (int64_t)event.asker.tag);
        set_whole(L, "round", event.asker.round);
        set_vote(L, &event.vote);
        break;
    case RLK_EVENT_WAKE:
        set_whole(L, "waiter", (int64_t)event.wake.waiter);
        set_whole(L, "fence", event.wake.fence);
        set_bytes(L, "key", event.wake.key.bytes, event.wake.key.len);
        break;
    case RLK_EVENT_BROKEN:
        set_vote(L, &event.vote);
        break;
    }
    return 1;
}

/* ---- batches ---- */

struct key_copy {
    struct key_copy *next;
    char bytes[RLK_KEY_MAX];
};

struct batches {
    struct rlk_batches batches;
    struct rlk_memo memos[RLK_REQUEST_KINDS];
    struct key_copy *keys;
};

static struct batches *check_batches(lua_State *L, int index)
{
    return luaL_checkudata(L, index, BATCHES);
}

/* batches(node, others): others share their memos with it */
static int new_batches(lua_State *L)
{
    struct rlk_node *node = check_node(L);
    struct batches *others = lua_isnoneornil(L, 2) ? NULL : check_batches(L, 2);
    lua_settop(L, 2);
    struct batches *batches = new_object(L, sizeof *batches, BATCHES);
    rlk_batches_init(&batches->batches, node, others ? others->memos : batches->memos);
    lua_newtable(L);
    for (int i = 1; i <= 2; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i);
    }
    rlk_setcompanion(L, -2);
    return 1;
}

static int collect_batches(lua_State *L)
{
    struct batches *batches = check_batches(L, 1);
    rlk_batches_free(&batches->batches);
    for (int kind = 0; kind < RLK_REQUEST_KINDS; kind++)
        rlk_memo_free(&batches->memos[kind]);
    while (batches->keys) {
        struct key_copy *next = batches->keys->next;
        free(batches->keys);
        batches->keys = next;
    }
    return 0;
}

typedef void sender(struct rlk_batches *, const struct rlk_request *, struct rlk_asker);

static int send_to_batches(lua_State *L, sender *send_request)
{
    struct batches *batches = check_batches(L, 1);
    struct rlk_request requests[RLK_BATCH_MAX];
    struct rlk_asker askers[RLK_BATCH_MAX];
    check_requests(L, 3, requests, askers);
    struct key_copy *copy = malloc(sizeof *copy);
    memcpy(copy->bytes, requests[0].key.bytes, requests[0].key.len);
    copy->next = batches->keys;
    batches->keys = copy;
    requests[0].kind = check_kind(L, 2);
    requests[0].key.bytes = copy->bytes;
    send_request(&batches->batches, &requests[0], askers[0]);
    return 0;
}

/* batches:send(kind, request): with tag and round */
static int batches_send(lua_State *L)
{
    return send_to_batches(L, rlk_batches_send);
}

/* batches:send_last(kind, request): the same */
static int batches_send_last(lua_State *L)
{
    return send_to_batches(L, rlk_batches_send_last);
}

static int batches_flush(lua_State *L)
{
    rlk_batches_flush(&check_batches(L, 1)->batches);
    return 0;
}

/* ---- wire ---- */

/* encode(kind, request or list, by_text) -> bytes */
static int encode(lua_State *L)
{
    static struct rlk_request requests[RLK_BATCH_MAX];
    static struct rlk_asker askers[RLK_BATCH_MAX];
    enum rlk_request_kind kind = check_kind(L, 1);
    struct rlk_buffer out = {0};
    size_t count = check_requests(L, 2, requests, askers);
    requests[0].kind = kind_of_one(kind);
    if (!rlk_wire_request(&out, kind, requests, count, lua_toboolean(L, 3)))
        return luaL_error(L, "not encoded");
    lua_pushlstring(L, rlk_buffer_bytes(&out), rlk_buffer_len(&out));
    rlk_buffer_free(&out);
    return 1;
}

static int new_memo(lua_State *L)
{
    new_object(L, sizeof(struct rlk_memo), MEMO);
    return 1;
}

static int collect_memo(lua_State *L)
{
    struct rlk_memo *memo = luaL_checkudata(L, 1, MEMO);
    rlk_memo_free(memo);
    return 0;
}

/* decode(kind, reply's bytes, count = 1, index = 1) -> vote */
static int decode(lua_State *L)
{
    enum rlk_request_kind kind = check_kind(L, 1);
    size_t len, count = (size_t)luaL_optinteger(L, 3, 1), index = (size_t)luaL_optinteger(L, 4, 1);
    const char *bytes = luaL_checklstring(L, 2, &len);
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    redisReaderFeed(reader, bytes, len);
    redisReaderGetReply(reader, &reply);
    if (reply) {
        struct rlk_vote vote = rlk_wire_vote(kind, reply, count, index - 1);
        lua_newtable(L);
        set_vote(L, &vote);
        freeReplyObject(reply);
    }
    redisReaderFree(reader);
    return reply ? 1 : luaL_error(L, "no whole reply");
}

/* read_wake(message) -> waiter in decimal, fence, key; or nothing */
static int read_wake(lua_State *L)
{
    size_t len;
    const char *message = luaL_checklstring(L, 1, &len);
    struct rlk_wake wake;
    if (!rlk_wire_wake(message, len, &wake))
        return 0;
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)wake.waiter);
    lua_pushstring(L, digits);
    rlk_pushwhole(L, wake.fence);
    lua_pushlstring(L, wake.key.bytes, wake.key.len);
    return 3;
}

static int read_number(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    int64_t number;
    if (!rlk_wire_number(text, len, &number))
        return 0;
    rlk_pushwhole(L, number);
    return 1;
}

/* script(kind) -> SHA1, text */
static int get_script(lua_State *L)
{
    const struct rlk_script *script = rlk_script(check_kind(L, 1));
    lua_pushstring(L, script->sha1);
    lua_pushlstring(L, script->text, script->text_len);
    return 2;
}

/* ---- votes ---- */

static int reason_of_error(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_pushstring(L, reasons[rlk_reason_of_error(text, len)]);
    return 1;
}

/* reason(word) -> { text =, answer =, harmless =, undelivered = } */
static int describe_reason(lua_State *L)
{
    enum rlk_reason reason = check_reason(L, 1);
    lua_newtable(L);
    set_text(L, "text", rlk_reason_text(reason));
    set_boolean(L, "answer", rlk_reason_is_answer(reason));
    set_boolean(L, "harmless", rlk_reason_is_harmless(reason));
    set_boolean(L, "undelivered", rlk_reason_is_undelivered(reason));
    return 1;
}

/* ---- endpoints ---- */

/* endpoint(url) -> table | nil, error */
static int read_endpoint(lua_State *L)
{
    size_t len;
    const char *url = luaL_checklstring(L, 1, &len), *error = NULL;
    struct rlk_endpoint endpoint;
    if (!rlk_endpoint_parse(&endpoint, url, len, &error)) {
        lua_pushnil(L);
        lua_pushstring(L, error);
        return 2;
    }
    lua_newtable(L);
    set_text(L, "transport", transports[endpoint.transport]);
    set_text(L, "host", endpoint.host);
    set_whole(L, "port", endpoint.port);
    set_text(L, "user", endpoint.user);
    set_text(L, "password", endpoint.password);
    set_whole(L, "database", endpoint.database);
    set_text(L, "name", endpoint.name);
    return 1;
}

/* same_endpoint(url, url) */
static int same_endpoint(lua_State *L)
{
    struct rlk_endpoint endpoints[2];
    const char *error;
    for (int i = 0; i < 2; i++) {
        size_t len;
        const char *url = luaL_checklstring(L, i + 1, &len);
        if (!rlk_endpoint_parse(&endpoints[i], url, len, &error))
            return luaL_error(L, "%s", error);
    }
    lua_pushboolean(L, rlk_endpoint_same(&endpoints[0], &endpoints[1]));
    return 1;
}

/* ---- agenda ---- */

static struct rlk_agenda *check_agenda(lua_State *L)
{
    return luaL_checkudata(L, 1, AGENDA);
}

static int new_agenda(lua_State *L)
{
    new_object(L, sizeof(struct rlk_agenda), AGENDA);
    return 1;
}

static int collect_agenda(lua_State *L)
{
    rlk_agenda_free(check_agenda(L));
    return 0;
}

static int agenda_reserve(lua_State *L)
{
    lua_pushboolean(L, rlk_agenda_reserve(check_agenda(L), (size_t)luaL_checkinteger(L, 2)));
    return 1;
}

static int agenda_set(lua_State *L)
{
    rlk_agenda_set(check_agenda(L), (uint32_t)luaL_checkinteger(L, 2), check_whole(L, 3));
    return 0;
}

static int agenda_next(lua_State *L)
{
    push_moment(L, rlk_agenda_next(check_agenda(L)));
    return 1;
}

static int agenda_take(lua_State *L)
{
    uint32_t slot;
    if (!rlk_agenda_take(check_agenda(L), check_whole(L, 2), &slot))
        return 0;
    rlk_pushwhole(L, slot);
    return 1;
}

/* ---- lines ---- */

static struct rlk_lines *check_lines(lua_State *L)
{
    return luaL_checkudata(L, 1, LINES);
}

static struct lock *check_member(lua_State *L)
{
    return luaL_checkudata(L, 2, LOCK);
}

/* lines(seed) */
static int new_lines(lua_State *L)
{
    uint64_t seed = (uint64_t)luaL_checknumber(L, 1);
    rlk_lines_init(new_object(L, sizeof(struct rlk_lines), LINES), seed);
    lua_newtable(L);
    rlk_setcompanion(L, -2);
    return 1;
}

static int collect_lines(lua_State *L)
{
    rlk_lines_free(check_lines(L));
    return 0;
}

/* The lines keep the lock alive while it stands in one. */
static void keep_member(lua_State *L, bool keeps)
{
    rlk_getcompanion(L, 1);
    lua_pushvalue(L, 2);
    if (keeps)
        lua_pushboolean(L, true);
    else
        lua_pushnil(L);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static int push_member(lua_State *L, const struct rlk_in_line *place)
{
    if (place && !place->lock)
        lua_pushliteral(L, "nobody");
    else if (place)
        rlk_pushwhole(L, place->lock->id);
    else
        lua_pushnil(L);
    return 1;
}

/* lines:join(lock) */
static int lines_join(lua_State *L)
{
    struct lock *lock = check_member(L);
    keep_member(L, true);
    lua_pushboolean(L, rlk_lines_join(check_lines(L), &lock->place, &lock->machine));
    return 1;
}

/* lines:head(lock): its place, and not it, stands before all others for its key */
static int lines_head(lua_State *L)
{
    struct lock *lock = check_member(L);
    keep_member(L, true);
    lua_pushboolean(L, rlk_lines_head(check_lines(L), &lock->place, lock->machine.key));
    return 1;
}

/* lines:leave(lock) -> the id of who became the first */
static int lines_leave(lua_State *L)
{
    struct rlk_in_line *next = rlk_lines_leave(check_lines(L), &check_member(L)->place);
    keep_member(L, false);
    return push_member(L, next);
}

/* lines:first(lock) -> the id of the first of its line; "nobody" who asks */
static int lines_first(lua_State *L)
{
    return push_member(L, rlk_line_first(&check_member(L)->place));
}

static int lines_is_first(lua_State *L)
{
    lua_pushboolean(L, rlk_line_is_first(&check_member(L)->place));
    return 1;
}

/* lines:count() -> of lines */
static int lines_count(lua_State *L)
{
    rlk_pushwhole(L, check_lines(L)->count);
    return 1;
}

/* lines:free(): ends them, as the collector would */
static int lines_free(lua_State *L)
{
    return collect_lines(L);
}

/* siphash(secret of 16 bytes, bytes) -> 16 digits */
static int siphash(lua_State *L)
{
    size_t secret_len, len;
    const char *secret = luaL_checklstring(L, 1, &secret_len);
    const char *bytes = luaL_checklstring(L, 2, &len);
    uint64_t words[2];
    luaL_argcheck(L, secret_len == sizeof words, 1, "not 16 bytes");
    memcpy(words, secret, sizeof words);
    char digits[24];
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)rlk_siphash(words, bytes, len));
    lua_pushstring(L, digits);
    return 1;
}

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

/* ---- the module ---- */

static const luaL_Reg functions[] = {
    {"quorum", new_quorum},
    {"node", new_node},
    {"memo", new_memo},
    {"batches", new_batches},
    {"agenda", new_agenda},
    {"lines", new_lines},
    {"siphash", siphash},
    {"encode", encode},
    {"decode", decode},
    {"read_wake", read_wake},
    {"read_number", read_number},
    {"script", get_script},
    {"reason_of_error", reason_of_error},
    {"reason", describe_reason},
    {"endpoint", read_endpoint},
    {"same_endpoint", same_endpoint},
    {"fork", machine_fork},
    {"waitpid", machine_waitpid},
    {"exit", machine_exit},
    {NULL, NULL},
};

static int quorum_lease_for(lua_State *L)
{
    rlk_pushwhole(L, rlk_lease_for_ms(check_quorum(L), check_whole(L, 2)));
    return 1;
}

static const luaL_Reg quorum_methods[] = {
    {"set", set_quorum},       {"validity", quorum_validity}, {"lease_for", quorum_lease_for},
    {"jitter", quorum_jitter}, {"lock", quorum_lock},         {NULL, NULL},
};

static const luaL_Reg lock_methods[] = {
    {"acquire", lock_acquire},
    {"stand_by", lock_stand_by},
    {"take_turn", lock_take_turn},
    {"await_turn", lock_await_turn},
    {"follow", lock_follow},
    {"share_verdict", lock_share_verdict},
    {"copy_reasons", lock_copy_reasons},
    {"receive", lock_receive},
    {"note_owner", lock_note_owner},
    {"adopt", lock_adopt},
    {"extend", lock_extend},
    {"release", lock_release},
    {"told_before", lock_told_before},
    {"tell_all", lock_tell_all},
    {"renewed_by_another", lock_renewed_by_another},
    {"inspect", lock_inspect},
    {"cancel", lock_cancel},
    {"vote", lock_vote},
    {"wake", lock_wake},
    {"inbox_ready", lock_inbox_ready},
    {"time", lock_time},
    {"credit", lock_credit},
    {"hasten", lock_hasten},
    {"retire", lock_retire},
    {"is_done", lock_is_done},
    {"is_owing", lock_is_owing},
    {"is_untold", lock_is_untold},
    {"is_put_off", lock_is_put_off},
    {"wants", lock_wants},
    {"next_request", lock_next_request},
    {"next_time", lock_next_time},
    {"was_answered", lock_was_answered},
    {"wants_inbox", lock_wants_inbox},
    {"remaining", lock_remaining},
    {"tally", lock_tally},
    {NULL, NULL},
};

static const luaL_Reg node_methods[] = {
    {"open", node_open},
    {"close", node_close},
    {"is_ready", node_is_ready},
    {"in_flight", node_in_flight},
    {"send", node_send},
    {"takes_many", node_takes_many},
    {"knows", node_knows},
    {"output", node_output},
    {"feed", node_feed},
    {"next_event", node_next_event},
    {NULL, NULL},
};

static const luaL_Reg memo_methods[] = {{NULL, NULL}};

static const luaL_Reg batches_methods[] = {
    {"send", batches_send},
    {"send_last", batches_send_last},
    {"flush", batches_flush},
    {NULL, NULL},
};

static const luaL_Reg agenda_methods[] = {
    {"reserve", agenda_reserve}, {"set", agenda_set}, {"next", agenda_next},
    {"take", agenda_take},       {NULL, NULL},
};

static const luaL_Reg lines_methods[] = {
    {"join", lines_join},         {"head", lines_head},
    {"leave", lines_leave},       {"first", lines_first},
    {"is_first", lines_is_first}, {"count", lines_count},
    {"free", lines_free},         {NULL, NULL},
};

__attribute__((visibility("default"))) int luaopen_machine(lua_State *L);

int luaopen_machine(lua_State *L)
{
    new_type(L, QUORUM, quorum_methods, index_quorum, NULL);
    new_type(L, LOCK, lock_methods, index_lock, NULL);
    new_type(L, NODE, node_methods, NULL, collect_node);
    new_type(L, MEMO, memo_methods, NULL, collect_memo);
    new_type(L, BATCHES, batches_methods, NULL, collect_batches);
    new_type(L, AGENDA, agenda_methods, NULL, collect_agenda);
    new_type(L, LINES, lines_methods, NULL, collect_lines);
    lua_newtable(L);
    set_functions(L, functions);
    lua_newtable(L);
    for (int i = 0; reasons[i]; i++) {
        lua_pushstring(L, reasons[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "reasons");
    return 1;
}
