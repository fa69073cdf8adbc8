/* A call that waits: a lock machine joins the inline loop, the loop turns until the machine has an
 * outcome, and whatever is then still owed to a node goes to the engine. One that must not wait is
 * an operation of the engine's from the start. */
#include "io/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "io/engine.h"
#include "io/loop.h"
#include "io/system.h"

#define CALLS 4          /* the one that is running, and the last few */
#define CLOSE_BATCH 1000 /* locks that are released together */

/* The lock machine of a call. That of a release stays attached after its verdict while some
 * nodes have not answered: one that could not take the release just then is told again. */
struct call {
    bool attached;
    struct rlk_lock lock;
    struct rlk_tally *tallies; /* one per node */
    char key[RLK_KEY_MAX];
};

struct rlk_client {
    struct rlk_settings settings;
    struct rlk_loop *loop;
    struct rlk_engine *engine; /* NULL until it is needed */
    unsigned generation;
    bool closing, closed;
    struct rlk_link holdings;   /* that the program may still use */
    struct rlk_link operations; /* submitted, and not concluded */
    struct call calls[CALLS];
    struct call *call;          /* that is running, or ran last */
    struct rlk_inquiry inquiry; /* the last */
};

/* ---- life ---- */

static struct rlk_loop *new_loop(const struct rlk_settings *settings)
{
    struct rlk_loop *loop = rlk_loop_new(settings);
    if (loop)
        rlk_loop_be_eager(loop);
    return loop;
}

static bool init_calls(struct rlk_client *client)
{
    size_t nodes = (size_t)client->settings.nodes;
    struct rlk_tally *tallies = calloc(CALLS * nodes, sizeof *tallies);
    for (size_t i = 0; tallies && i < CALLS; i++)
        client->calls[i].tallies = tallies + i * nodes;
    client->call = client->calls;
    return tallies != NULL;
}

static void free_client(struct rlk_client *client)
{
    rlk_inquiry_end(&client->inquiry);
    rlk_settings_free(&client->settings);
    free(client->calls[0].tallies);
    free(client);
}

struct rlk_client *rlk_client_new(const struct rlk_settings *settings)
{
    struct rlk_client *client = calloc(1, sizeof *client);
    if (!client || !rlk_settings_copy(&client->settings, settings)) {
        free(client);
        return NULL;
    }
    client->generation = rlk_fork_generation();
    rlk_list_init(&client->holdings);
    rlk_list_init(&client->operations);
    client->loop = init_calls(client) ? new_loop(&client->settings) : NULL;
    if (client->loop)
        return client;
    client->settings.tls = NULL;
    free_client(client);
    return NULL;
}

bool rlk_client_is_closed(const struct rlk_client *client)
{
    return client->closing || client->closed;
}

const struct rlk_settings *rlk_client_settings(const struct rlk_client *client)
{
    return &client->settings;
}

const struct rlk_tally *rlk_client_tallies(const struct rlk_client *client)
{
    return client->call->tallies;
}

const struct rlk_buffer *rlk_client_findings(const struct rlk_client *client)
{
    return client->call->lock.inquiry ? client->inquiry.findings : NULL;
}

static void forget_operations(struct rlk_client *client)
{
    struct rlk_link *link;
    while ((link = rlk_list_take_first(&client->operations)) != NULL) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, client_link);
        rlk_scope_unbind(&operation->bond);
        operation->outcome = RLK_UNAVAILABLE;
    }
}

/* In a process that was forked off, everything that is connected, running or held is the
 * parent's. */
static void leave_to_parent(struct rlk_client *client)
{
    client->generation = rlk_fork_generation();
    if (client->engine)
        rlk_engine_disown(client->engine);
    client->engine = NULL;
    if (client->loop) {
        rlk_loop_close_inherited(client->loop);
        rlk_loop_free(client->loop);
    }
    client->loop = NULL;
    for (int i = 0; i < CALLS; i++)
        client->calls[i].attached = false;
    forget_operations(client);
}

/* False if it is closed, or there is no memory to begin afresh. */
static bool be_in_own_process(struct rlk_client *client)
{
    if (client->generation != rlk_fork_generation())
        leave_to_parent(client);
    if (!client->loop && !client->closed)
        client->loop = new_loop(&client->settings);
    return client->loop != NULL;
}

static bool have_engine(struct rlk_client *client)
{
    if (!client->engine)
        client->engine = rlk_engine_start(&client->settings);
    return client->engine != NULL;
}

/* ---- holdings ---- */

static bool is_ours(const struct rlk_holding *holding)
{
    return holding->generation == rlk_fork_generation();
}

static void stop_renewing(struct rlk_client *client, struct rlk_holding *holding)
{
    if (client->engine && is_ours(holding))
        rlk_engine_drop(client->engine, holding);
}

/* ---- a call ---- */

static void detach(struct rlk_client *client, struct call *call)
{
    if (call->attached)
        rlk_loop_detach(client->loop, &call->lock);
    call->attached = false;
}

/* What is still owed to a node goes to the engine. */
static void let_go(struct rlk_client *client, struct call *call)
{
    if (call->attached && rlk_lock_is_owing(&call->lock) && have_engine(client))
        rlk_engine_finish(client->engine, &call->lock);
    detach(client, call);
}

static struct call *next_call(struct rlk_client *client)
{
    client->call = client->call == &client->calls[CALLS - 1] ? client->calls : client->call + 1;
    let_go(client, client->call);
    return client->call;
}

static bool begin(struct rlk_client *client, struct rlk_key key)
{
    if (rlk_client_is_closed(client) || !be_in_own_process(client))
        return false;
    rlk_loop_catch_up(client->loop);
    rlk_loop_top_up(client->loop);
    struct call *call = next_call(client);
    memcpy(call->key, key.bytes, key.len);
    key.bytes = call->key;
    rlk_lock_init(&call->lock, rlk_loop_quorum(client->loop), key, call->tallies);
    call->lock.renewed_by_another = true; /* the engine */
    call->attached = rlk_loop_attach(client->loop, &call->lock);
    return call->attached;
}

static void linger(struct rlk_client *client)
{
    struct rlk_lock *lock = &client->call->lock;
    int64_t until_ms = rlk_loop_linger_until(lock);
    while (lock->state == RLK_OWNED && rlk_loop_is_first_asking(client->loop, lock) &&
           rlk_clock_ms() < until_ms)
        rlk_loop_turn(client->loop, until_ms);
}

/* After the verdict. */
static void end_call(struct rlk_client *client)
{
    struct rlk_lock *lock = &client->call->lock;
    if (lock->state == RLK_OWNED)
        linger(client);
    rlk_loop_prepare(client->loop);
    rlk_loop_write_rest(client->loop);
    if (!rlk_lock_is_untold(lock))
        let_go(client, client->call);
}

static enum rlk_outcome run(struct rlk_client *client)
{
    struct rlk_lock *lock = &client->call->lock;
    rlk_loop_touch(client->loop, lock);
    while (lock->outcome == RLK_PENDING)
        rlk_loop_turn(client->loop, RLK_NEVER);
    end_call(client);
    return lock->outcome;
}

/* ---- acquire ---- */

static void hold(struct rlk_client *client, struct rlk_holding *holding)
{
    rlk_holding_grant(holding, &client->call->lock);
    rlk_lock_hand_over(&client->call->lock);
    rlk_list_append(&client->holdings, &holding->client_link);
    if (holding->lease.terms.renew)
        rlk_engine_keep(client->engine, holding);
}

/* False if there is no memory for what an acquire may need. */
static bool begin_acquire(struct rlk_client *client, struct rlk_key key, bool renew,
                          struct rlk_holding **holding)
{
    if (!begin(client, key))
        return false;
    *holding = !renew || have_engine(client) ? rlk_holding_new(key) : NULL;
    if (!*holding)
        let_go(client, client->call);
    return *holding != NULL;
}

/* Its lease was over before its owner had it. A node that was asked late may keep it longer. */
static void take_back(struct rlk_client *client)
{
    let_go(client, client->call);
    rlk_lock_undo(&client->call->lock, rlk_clock_ms());
    if (have_engine(client))
        rlk_engine_finish(client->engine, &client->call->lock);
}

enum rlk_outcome rlk_client_acquire(struct rlk_client *client, struct rlk_key key,
                                    const struct rlk_terms *terms, struct rlk_holding **holding)
{
    *holding = NULL;
    int64_t now_ms = rlk_clock_ms();
    if (!begin_acquire(client, key, terms->renew, holding))
        return RLK_UNAVAILABLE;
    rlk_lock_acquire(&client->call->lock, terms, now_ms);
    enum rlk_outcome outcome = run(client);
    if (outcome == RLK_ACQUIRED) {
        hold(client, *holding);
    } else {
        rlk_holding_drop(*holding);
        *holding = NULL;
    }
    if (outcome != RLK_LOST)
        return outcome;
    take_back(client);
    return RLK_UNAVAILABLE;
}

/* ---- extend, release, inspect ---- */

/* False if there is no memory, or the holding is not to be extended or released by this process any
 * more. */
static bool begin_with(struct rlk_client *client, struct rlk_holding *holding)
{
    if (!begin(client, rlk_holding_key(holding)))
        return false;
    if (!is_ours(holding)) {
        let_go(client, client->call);
        return false;
    }
    rlk_lock_adopt(&client->call->lock, &holding->lease, atomic_load(&holding->deadline_ms));
    return true;
}

/* The watchdog may renew it meanwhile. */
static void run_extension(struct rlk_client *client, const struct rlk_holding *holding)
{
    struct rlk_lock *lock = &client->call->lock;
    rlk_loop_touch(client->loop, lock);
    while (lock->outcome == RLK_PENDING) {
        rlk_loop_poll(client->loop, rlk_loop_prepare(client->loop), -1);
        rlk_lock_credit(lock, atomic_load(&holding->deadline_ms));
        rlk_loop_settle(client->loop);
    }
}

/* It is lost; where its token still stands, it only is in the way. */
static void clear_away(struct rlk_client *client, struct rlk_holding *holding)
{
    stop_renewing(client, holding);
    if (client->call->lock.loss == RLK_TAKEN || client->call->lock.loss == RLK_GONE)
        rlk_loop_release_blindly(client->loop, rlk_holding_key(holding), &client->call->lock.lease);
}

static enum rlk_outcome outcome_of_no_call(const struct rlk_client *client,
                                           const struct rlk_holding *holding)
{
    return is_ours(holding) && !client->closed ? RLK_UNAVAILABLE : RLK_LOST;
}

/* From here on nodes may keep it for so long. */
static void note_extension(struct rlk_holding *holding, int64_t ttl_ms)
{
    holding->unfit |= ttl_ms > holding->lease.terms.ttl_ms;
}

enum rlk_outcome rlk_client_extend(struct rlk_client *client, struct rlk_holding *holding,
                                   int64_t ttl_ms)
{
    int64_t now_ms = rlk_clock_ms();
    if (atomic_load(&holding->status) != RLK_HOLDS)
        return RLK_LOST;
    if (!begin_with(client, holding))
        return outcome_of_no_call(client, holding);
    note_extension(holding, ttl_ms);
    rlk_lock_extend(&client->call->lock, ttl_ms, now_ms);
    run_extension(client, holding);
    enum rlk_outcome outcome = rlk_holding_note_extension(holding, &client->call->lock);
    if (outcome == RLK_EXTENDED && client->engine)
        rlk_engine_credit(client->engine, holding);
    else if (outcome == RLK_LOST)
        clear_away(client, holding);
    end_call(client);
    return outcome;
}

/* Also what is lost is released: its token may still stand somewhere. */
static void begin_release(struct rlk_client *client, struct rlk_holding *holding)
{
    rlk_holding_let_go(holding);
    holding->told = true;
    stop_renewing(client, holding);
}

/* No memory to tell the nodes: it is neither believed in nor renewed any more. */
static void fail_to_release(struct rlk_client *client, struct rlk_holding *holding)
{
    rlk_holding_let_go(holding);
    stop_renewing(client, holding);
    rlk_holding_conclude(holding, RLK_UNAVAILABLE, RLK_NOT_LOST);
}

/* Somebody else may have released it at the same time. */
static enum rlk_outcome outcome_of_release(const struct rlk_holding *holding,
                                           enum rlk_outcome outcome)
{
    if (rlk_holding_is_lost(holding))
        return RLK_LOST;
    return atomic_load(&holding->status) == RLK_HAS_RELEASED ? RLK_RELEASED : outcome;
}

/* Its acquire went over the engine's connections, and may be late there; and it may be the first of a
 * cohort, which is over. */
static void leave_rest_to_engine(struct rlk_client *client)
{
    struct call *call = client->call;
    rlk_lock_owe(&call->lock, rlk_clock_ms());
    if (have_engine(client))
        rlk_engine_finish(client->engine, &call->lock);
    detach(client, call);
}

enum rlk_outcome rlk_client_release(struct rlk_client *client, struct rlk_holding *holding)
{
    int64_t now_ms = rlk_clock_ms();
    stop_renewing(client, holding);
    if (!begin_with(client, holding)) {
        fail_to_release(client, holding);
        return outcome_of_no_call(client, holding);
    }
    client->call->lock.told_before = holding->told;
    begin_release(client, holding);
    rlk_lock_release(&client->call->lock, now_ms);
    enum rlk_outcome outcome = run(client);
    rlk_holding_conclude(holding, outcome, client->call->lock.loss);
    if (holding->by_engine)
        leave_rest_to_engine(client);
    return outcome_of_release(holding, outcome);
}

enum rlk_outcome rlk_client_inspect(struct rlk_client *client, struct rlk_key key,
                                    const struct rlk_inquiry *asked)
{
    int64_t now_ms = rlk_clock_ms();
    if (!begin(client, key))
        return RLK_UNAVAILABLE;
    rlk_inquiry_ask(&client->inquiry, asked);
    client->call->lock.inquiry = &client->inquiry;
    rlk_lock_inspect(&client->call->lock, now_ms);
    return run(client);
}

/* ---- calls that must not wait ---- */

static struct rlk_operation *new_operation(struct rlk_client *client, enum rlk_request_kind kind,
                                           struct rlk_key key, struct rlk_outbox *outbox,
                                           uint64_t tag)
{
    if (rlk_client_is_closed(client) || !be_in_own_process(client) || !have_engine(client))
        return NULL;
    struct rlk_operation *operation = rlk_operation_new(kind, key, client->settings.nodes);
    if (!operation || !outbox)
        return operation;
    rlk_outbox_retain(outbox);
    operation->outbox = outbox;
    operation->notice.tag = tag;
    rlk_list_append(&client->operations, &operation->client_link);
    return operation;
}

struct rlk_operation *rlk_client_submit_acquire(struct rlk_client *client, struct rlk_key key,
                                                const struct rlk_terms *terms,
                                                struct rlk_outbox *outbox, uint64_t tag)
{
    struct rlk_operation *operation = new_operation(client, RLK_ACQUIRE, key, outbox, tag);
    if (!operation)
        return NULL;
    operation->terms = *terms;
    rlk_engine_submit(client->engine, operation);
    return operation;
}

static struct rlk_operation *new_operation_with(struct rlk_client *client,
                                                enum rlk_request_kind kind,
                                                struct rlk_holding *holding,
                                                struct rlk_outbox *outbox, uint64_t tag)
{
    struct rlk_key key = rlk_holding_key(holding);
    struct rlk_operation *operation = new_operation(client, kind, key, outbox, tag);
    if (!operation)
        return NULL;
    rlk_holding_retain(holding);
    operation->holding = holding;
    return operation;
}

struct rlk_operation *rlk_client_submit_extend(struct rlk_client *client,
                                               struct rlk_holding *holding, int64_t ttl_ms,
                                               struct rlk_outbox *outbox, uint64_t tag)
{
    struct rlk_operation *operation = new_operation_with(client, RLK_EXTEND, holding, outbox, tag);
    if (!operation)
        return NULL;
    operation->ttl_ms = ttl_ms;
    note_extension(holding, ttl_ms);
    rlk_engine_submit(client->engine, operation);
    return operation;
}

struct rlk_operation *rlk_client_submit_release(struct rlk_client *client,
                                                struct rlk_holding *holding,
                                                struct rlk_outbox *outbox, uint64_t tag)
{
    struct rlk_operation *operation = new_operation_with(client, RLK_RELEASE, holding, outbox, tag);
    if (!operation && is_ours(holding) && !rlk_client_is_closed(client))
        fail_to_release(client, holding);
    if (!operation)
        return NULL;
    operation->told_before = holding->told;
    begin_release(client, holding);
    rlk_scope_unbind(&holding->bond);
    rlk_engine_submit(client->engine, operation);
    return operation;
}

struct rlk_operation *rlk_client_submit_inspect(struct rlk_client *client, struct rlk_key key,
                                                const struct rlk_inquiry *asked,
                                                struct rlk_outbox *outbox, uint64_t tag)
{
    struct rlk_operation *operation = new_operation(client, RLK_INSPECT, key, outbox, tag);
    if (!operation)
        return NULL;
    if (!rlk_operation_inquire(operation, asked)) {
        rlk_unlink(&operation->client_link);
        rlk_operation_drop(operation);
        return NULL;
    }
    rlk_engine_submit(client->engine, operation);
    return operation;
}

static void end_holding(struct rlk_bond *bond)
{
    rlk_client_let_go(bond->context, rlk_owner(bond, struct rlk_holding, bond));
}

/* Nobody but the scope knew it any more. */
static void end_left_holding(struct rlk_bond *bond)
{
    rlk_client_forget(bond->context, rlk_owner(bond, struct rlk_holding, bond));
}

/* A grant that nobody will hold is released when the client is closed. */
static void take_grant(struct rlk_client *client, struct rlk_operation *operation)
{
    struct rlk_holding *holding = operation->holding;
    if (operation->outcome != RLK_ACQUIRED)
        return;
    if (client->engine) {
        stop_renewing(client, holding);
    } else if (holding->place == RLK_KEPT) { /* by an engine that is gone */
        holding->place = RLK_OUTSIDE;
        rlk_holding_drop(holding);
    }
    rlk_holding_spare(holding);
    operation->holding = NULL;
    operation->outcome = RLK_UNAVAILABLE;
    rlk_list_append(&client->holdings, &holding->client_link);
}

enum rlk_outcome rlk_client_conclude(struct rlk_client *client, struct rlk_operation *operation,
                                     struct rlk_holding **granted)
{
    struct rlk_holding *holding = operation->holding;
    assert(operation->notice.state != RLK_UNPOSTED);
    rlk_unlink(&operation->client_link);
    *granted = NULL;
    if (operation->kind == RLK_RELEASE) {
        rlk_scope_unbind(&operation->bond);
        return outcome_of_release(holding, operation->outcome);
    }
    if (client->closing)
        take_grant(client, operation); /* too late to be had */
    if (operation->outcome == RLK_ACQUIRED) {
        operation->holding = NULL;
        holding->by_engine = true;
        holding->bond = (struct rlk_bond){.end = end_holding, .context = client};
        if (!operation->detaches)
            rlk_scope_rebind(&operation->bond, &holding->bond);
        rlk_list_append(&client->holdings, &holding->client_link);
        *granted = holding;
    }
    rlk_scope_unbind(&operation->bond);
    return operation->outcome;
}

/* What it was granted meanwhile is released. */
static void give_up(struct rlk_client *client, struct rlk_operation *operation)
{
    struct rlk_holding *holding;
    if (!be_in_own_process(client) && !client->closed)
        return;
    if (!rlk_is_linked(&operation->client_link))
        return; /* given up before, or the parent's */
    if (rlk_outbox_retract(operation->outbox, &operation->notice)) {
        rlk_unlink(&operation->client_link);
        rlk_engine_give_up(client->engine, operation);
        return;
    }
    rlk_client_conclude(client, operation, &holding);
    if (!holding)
        return;
    rlk_holding_spare(holding);
    rlk_client_forget(client, holding);
}

void rlk_client_abandon(struct rlk_client *client, struct rlk_operation *operation)
{
    rlk_scope_unbind(&operation->bond);
    give_up(client, operation);
    rlk_operation_drop(operation);
}

/* The program is told all the same, by another tag, so that it can clear up what was waiting. */
static void end_operation(struct rlk_bond *bond)
{
    struct rlk_operation *operation = rlk_owner(bond, struct rlk_operation, bond);
    struct rlk_notice *notice = calloc(1, sizeof *notice);
    give_up(bond->context, operation);
    if (!notice)
        return;
    bool must_ring;
    *notice = (struct rlk_notice){.tag = operation->notice.tag | RLK_ORPHAN, .on_heap = true};
    rlk_outbox_post(operation->outbox, notice, &must_ring);
    if (must_ring)
        rlk_outbox_ring(operation->outbox);
}

void rlk_client_bind(struct rlk_client *client, struct rlk_operation *operation,
                     struct rlk_scope *scope, bool detaches)
{
    operation->detaches = detaches;
    operation->bond = (struct rlk_bond){.end = end_operation, .context = client};
    rlk_scope_bind(scope, &operation->bond);
}

/* ---- holdings ---- */

/* What the inline connections cannot take at once, the engine delivers. */
static void release_blindly(struct rlk_client *client, struct rlk_holding *holding)
{
    int64_t now_ms = rlk_clock_ms();
    if (!begin_with(client, holding))
        return;
    rlk_nodes reached =
        rlk_loop_release_blindly(client->loop, rlk_holding_key(holding), &holding->lease);
    rlk_loop_write_rest(client->loop);
    bool all = (holding->lease.nodes & ~reached) == 0;
    if (!all && have_engine(client)) {
        rlk_lock_release(&client->call->lock, now_ms);
        rlk_engine_finish(client->engine, &client->call->lock);
    }
    let_go(client, client->call);
}

static void release_without_waiting(struct rlk_client *client, struct rlk_holding *holding)
{
    struct rlk_operation *operation = NULL;
    begin_release(client, holding);
    if (holding->by_engine)
        operation = rlk_client_submit_release(client, holding, NULL, 0);
    if (operation)
        rlk_operation_drop(operation);
    else
        release_blindly(client, holding);
}

enum rlk_outcome rlk_client_let_go(struct rlk_client *client, struct rlk_holding *holding)
{
    be_in_own_process(client);
    if (!rlk_client_is_closed(client) && rlk_holding_may_stand(holding))
        release_without_waiting(client, holding);
    return rlk_holding_is_let_go(holding) ? RLK_RELEASED : RLK_LOST;
}

bool rlk_client_watch(struct rlk_client *client, struct rlk_holding *holding,
                      struct rlk_outbox *outbox, uint64_t tag)
{
    if (client->closed || !be_in_own_process(client) || !is_ours(holding) || !have_engine(client) ||
        !rlk_holding_watch(holding, outbox, tag))
        return false;
    if (atomic_load(&holding->status) == RLK_HOLDS)
        rlk_engine_keep(client->engine, holding);
    return true;
}

void rlk_client_leave(struct rlk_client *client, struct rlk_holding *holding)
{
    if (rlk_is_linked(&holding->bond.link))
        holding->bond.end = end_left_holding;
    else
        rlk_client_forget(client, holding);
}

/* While the client is being closed, what still stands is left for the close to release. */
void rlk_client_forget(struct rlk_client *client, struct rlk_holding *holding)
{
    rlk_scope_unbind(&holding->bond);
    rlk_client_let_go(client, holding);
    if (client->closing && !client->closed && rlk_holding_may_stand(holding))
        return;
    stop_renewing(client, holding);
    rlk_unlink(&holding->client_link);
    rlk_holding_drop(holding);
}

/* ---- close ---- */

/* Returns the first that was left for the next time. */
static struct rlk_link *release_some(struct rlk_client *client, struct rlk_link *link,
                                     struct rlk_lock locks[CLOSE_BATCH])
{
    size_t count = 0;
    int64_t now_ms = rlk_clock_ms();
    for (; link != &client->holdings && count < CLOSE_BATCH; link = link->next) {
        struct rlk_holding *holding = rlk_owner(link, struct rlk_holding, client_link);
        struct rlk_lock *lock = &locks[count];
        if (!rlk_holding_may_stand(holding))
            continue;
        rlk_lock_init(lock, rlk_loop_quorum(client->loop), rlk_holding_key(holding), NULL);
        if (!rlk_loop_attach(client->loop, lock))
            continue; /* no memory: up to its ttl */
        rlk_lock_adopt(lock, &holding->lease, atomic_load(&holding->deadline_ms));
        lock->tells_all = true;
        rlk_lock_release(lock, now_ms);
        rlk_loop_touch(client->loop, lock);
        rlk_holding_end(holding, RLK_HAS_RELEASED);
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        while (locks[i].outcome == RLK_PENDING)
            rlk_loop_turn(client->loop, RLK_NEVER);
        rlk_loop_detach(client->loop, &locks[i]);
    }
    return link;
}

static bool stands_any(const struct rlk_client *client)
{
    const struct rlk_link *link;
    for (link = client->holdings.next; link != &client->holdings; link = link->next)
        if (rlk_holding_may_stand(rlk_owner(link, struct rlk_holding, client_link)))
            return true;
    return false;
}

static void stop_engine(struct rlk_client *client, int64_t grace_ms)
{
    struct rlk_link *link;
    for (link = client->holdings.next; link != &client->holdings; link = link->next)
        stop_renewing(client, rlk_owner(link, struct rlk_holding, client_link));
    for (int i = 0; i < CALLS; i++)
        let_go(client, &client->calls[i]);
    if (client->engine)
        rlk_engine_stop(client->engine, grace_ms);
    client->engine = NULL;
}

/* A release that a majority has confirmed is still told to the others. */
static void finish_telling(struct rlk_client *client, int64_t until_ms)
{
    for (int i = 0; i < CALLS; i++)
        while (client->calls[i].attached && rlk_lock_is_untold(&client->calls[i].lock) &&
               rlk_clock_ms() < until_ms)
            rlk_loop_turn(client->loop, until_ms);
}

static void release_all(struct rlk_client *client)
{
    struct rlk_link *link;
    for (link = client->operations.next; link != &client->operations; link = link->next)
        take_grant(client, rlk_owner(link, struct rlk_operation, client_link));
    link = client->holdings.next;
    if (client->loop && stands_any(client)) {
        rlk_loop_catch_up(client->loop); /* what is dead is dialed anew */
        rlk_loop_hasten(client->loop);
        rlk_loop_connect(client->loop, rlk_clock_ms() + client->settings.timeout_ms);
    }
    struct rlk_lock *locks = client->loop ? malloc(CLOSE_BATCH * sizeof *locks) : NULL;
    while (locks && link != &client->holdings)
        link = release_some(client, link, locks);
    free(locks);
}

/* What was acquired over the engine's connections is released over them, before it stops. */
static void let_go_of_engines(struct rlk_client *client)
{
    struct rlk_link *link;
    for (link = client->holdings.next; link != &client->holdings; link = link->next) {
        struct rlk_holding *holding = rlk_owner(link, struct rlk_holding, client_link);
        if (holding->by_engine)
            rlk_client_let_go(client, holding);
    }
}

bool rlk_client_begin_close(struct rlk_client *client, int64_t grace_ms, struct rlk_outbox *outbox,
                            uint64_t tag)
{
    be_in_own_process(client);
    if (rlk_client_is_closed(client) || !client->engine)
        return false;
    let_go_of_engines(client);
    client->closing = rlk_engine_begin_stop(client->engine, grace_ms, outbox, tag);
    return client->closing;
}

void rlk_client_close(struct rlk_client *client, int64_t grace_ms)
{
    be_in_own_process(client);
    if (client->closed)
        return;
    let_go_of_engines(client);
    client->closed = true;
    finish_telling(client, rlk_clock_ms() + grace_ms);
    stop_engine(client, grace_ms);
    release_all(client);
    if (client->loop)
        rlk_loop_drain(client->loop, rlk_clock_ms() + grace_ms);
    rlk_loop_free(client->loop);
    client->loop = NULL;
}

void rlk_client_free(struct rlk_client *client)
{
    struct rlk_link *link;
    rlk_client_close(client, client->settings.timeout_ms);
    while ((link = rlk_list_first(&client->holdings)) != NULL) /* that were left */
        rlk_client_forget(client, rlk_owner(link, struct rlk_holding, client_link));
    free_client(client);
}
