/* Every call runs the same way: a lock machine joins the inline loop, the loop turns until the
 * machine has an outcome, and whatever is then still owed to a node goes to the engine. */
#include "io/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "io/engine.h"
#include "io/loop.h"
#include "io/system.h"

#define LINGER_MIN_MS 25 /* for nodes that are asked for the first time, after a majority */
#define LINGER_MAX_MS 50
#define CALLS 4          /* the one that is running, and the last few */
#define CLOSE_BATCH 1000 /* locks that are released together */

/* The lock machine of a call. That of a release stays attached after its verdict while some
 * nodes have not answered: one that could not take the release just then is told again. */
struct call {
    bool attached;
    struct rlk_lock lock;
    struct rlk_tally tallies[RLK_NODES_MAX];
    char key[RLK_KEY_MAX];
};

struct rlk_client {
    struct rlk_settings settings;
    struct rlk_loop *loop;
    struct rlk_engine *engine; /* NULL until it is needed */
    unsigned generation;
    bool closed;
    struct rlk_holding *holdings; /* that the program may still use */
    struct call calls[CALLS];
    struct call *call; /* that is running, or ran last */
};

/* ---- life ---- */

static struct rlk_loop *new_loop(const struct rlk_settings *settings)
{
    struct rlk_loop *loop = rlk_loop_new(settings);
    if (loop)
        rlk_loop_be_eager(loop);
    return loop;
}

struct rlk_client *rlk_client_new(struct rlk_settings *settings)
{
    struct rlk_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->settings = *settings;
    client->generation = rlk_fork_generation();
    client->call = client->calls;
    client->loop = new_loop(&client->settings);
    if (client->loop)
        return client;
    explicit_bzero(&client->settings, sizeof client->settings);
    free(client);
    return NULL;
}

bool rlk_client_is_closed(const struct rlk_client *client)
{
    return client->closed;
}

const struct rlk_settings *rlk_client_settings(const struct rlk_client *client)
{
    return &client->settings;
}

const struct rlk_tally *rlk_client_tallies(const struct rlk_client *client)
{
    return client->call->tallies;
}

/* In a process that was forked off, everything that is connected, running or held is the
 * parent's. False if there is no memory to begin afresh. */
static bool be_in_own_process(struct rlk_client *client)
{
    if (client->generation == rlk_fork_generation())
        return client->loop != NULL;
    client->generation = rlk_fork_generation();
    if (client->engine)
        rlk_engine_disown(client->engine);
    client->engine = NULL;
    if (client->loop) {
        rlk_loop_close_inherited(client->loop);
        rlk_loop_free(client->loop);
    }
    for (int i = 0; i < CALLS; i++)
        client->calls[i].attached = false;
    client->loop = client->closed ? NULL : new_loop(&client->settings);
    return client->loop != NULL;
}

static bool have_engine(struct rlk_client *client)
{
    if (!client->engine)
        client->engine = rlk_engine_start(&client->settings);
    return client->engine != NULL;
}

/* ---- holdings ---- */

static void link_in(struct rlk_client *client, struct rlk_holding *holding)
{
    holding->next = client->holdings;
    if (client->holdings)
        client->holdings->previous = holding;
    client->holdings = holding;
}

static void link_out(struct rlk_client *client, struct rlk_holding *holding)
{
    if (holding->previous)
        holding->previous->next = holding->next;
    else
        client->holdings = holding->next;
    if (holding->next)
        holding->next->previous = holding->previous;
    holding->previous = holding->next = NULL;
}

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

/* What is still owed to a node goes to the engine. */
static void let_go(struct rlk_client *client, struct call *call)
{
    if (!call->attached)
        return;
    if (rlk_lock_is_owing(&call->lock) && have_engine(client))
        rlk_engine_finish(client->engine, &call->lock);
    rlk_loop_detach(client->loop, &call->lock);
    call->attached = false;
}

static struct call *next_call(struct rlk_client *client)
{
    client->call = client->call == &client->calls[CALLS - 1] ? client->calls : client->call + 1;
    let_go(client, client->call);
    return client->call;
}

static bool begin(struct rlk_client *client, struct rlk_key key)
{
    if (client->closed || !be_in_own_process(client))
        return false;
    rlk_loop_catch_up(client->loop);
    rlk_loop_top_up(client->loop);
    struct call *call = next_call(client);
    memcpy(call->key, key.bytes, key.len);
    key.bytes = call->key;
    rlk_lock_init(&call->lock, rlk_loop_quorum(client->loop), key, call->tallies);
    call->attached = rlk_loop_attach(client->loop, &call->lock);
    return call->attached;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A majority has granted or extended while other nodes are being asked for the first time: they get
 * as long again, so that a client's first lock stands on all nodes that are there. Renewals are the
 * engine's; the machine of a call makes none. */
static void linger(struct rlk_client *client)
{
    struct rlk_lock *lock = &client->call->lock;
    int64_t now_ms = rlk_clock_ms();
    int64_t grace_ms = earlier(now_ms - lock->t0_ms, LINGER_MAX_MS);
    if (grace_ms < LINGER_MIN_MS)
        grace_ms = LINGER_MIN_MS;
    int64_t until_ms = earlier(now_ms + grace_ms, lock->deadline_ms - 1);
    lock->renew_at_ms = RLK_NEVER;
    while (lock->state == RLK_OWNED && rlk_loop_is_first_asking(client->loop, lock) &&
           rlk_clock_ms() < until_ms)
        rlk_loop_turn(client->loop, until_ms);
}

static enum rlk_outcome run(struct rlk_client *client)
{
    struct rlk_lock *lock = &client->call->lock;
    rlk_loop_touch(client->loop, lock);
    while (lock->outcome == RLK_PENDING)
        rlk_loop_turn(client->loop, RLK_NEVER);
    if (lock->state == RLK_OWNED)
        linger(client);
    rlk_loop_prepare(client->loop);
    if (!rlk_lock_is_untold(lock))
        let_go(client, client->call);
    return lock->outcome;
}

/* ---- acquire ---- */

static struct rlk_holding *hold(struct rlk_client *client)
{
    bool renew = client->call->lock.lease.terms.renew;
    struct rlk_quorum *quorum =
        renew ? rlk_engine_quorum(client->engine) : rlk_loop_quorum(client->loop);
    struct rlk_holding *holding = rlk_holding_new(&client->call->lock, quorum);
    if (!holding)
        return NULL;
    link_in(client, holding);
    if (renew)
        rlk_engine_keep(client->engine, holding);
    return holding;
}

enum rlk_outcome rlk_client_acquire(struct rlk_client *client, struct rlk_key key,
                                    const struct rlk_terms *terms, struct rlk_holding **holding)
{
    *holding = NULL;
    int64_t now_ms = rlk_clock_ms();
    if (!begin(client, key))
        return RLK_UNAVAILABLE;
    if (terms->renew && !have_engine(client)) {
        let_go(client, client->call);
        return RLK_UNAVAILABLE;
    }
    rlk_lock_acquire(&client->call->lock, terms, now_ms);
    enum rlk_outcome outcome = run(client);
    if (outcome == RLK_ACQUIRED)
        *holding = hold(client);
    return outcome == RLK_ACQUIRED && !*holding ? RLK_UNAVAILABLE : outcome;
}

/* ---- extend, release, inspect ---- */

/* False if the holding is not to be extended or released by this process any more. */
static bool begin_with(struct rlk_client *client, struct rlk_holding *holding)
{
    if (!begin(client, holding->lock.key))
        return false;
    if (!is_ours(holding)) {
        let_go(client, client->call);
        return false;
    }
    rlk_lock_adopt(&client->call->lock, &holding->lock.lease, atomic_load(&holding->deadline_ms));
    return true;
}

enum rlk_outcome rlk_client_extend(struct rlk_client *client, struct rlk_holding *holding,
                                   int64_t ttl_ms)
{
    int64_t now_ms = rlk_clock_ms();
    if (atomic_load(&holding->status) != RLK_HOLDS || !begin_with(client, holding))
        return RLK_LOST;
    rlk_lock_extend(&client->call->lock, ttl_ms, now_ms);
    enum rlk_outcome outcome = run(client);
    if (outcome == RLK_EXTENDED) {
        rlk_holding_credit(holding, client->call->lock.deadline_ms);
        if (client->engine)
            rlk_engine_credit(client->engine, holding);
    } else if (outcome == RLK_LOST) {
        rlk_holding_end(holding, rlk_status_of_loss(client->call->lock.loss));
        stop_renewing(client, holding);
    }
    return outcome;
}

/* A lease that was over before the call is lost, whatever the nodes say: what it protected may have
 * run unprotected. It is released all the same, since its token may still stand somewhere. */
enum rlk_outcome rlk_client_release(struct rlk_client *client, struct rlk_holding *holding)
{
    int64_t now_ms = rlk_clock_ms();
    stop_renewing(client, holding);
    if (!begin_with(client, holding))
        return RLK_LOST;
    if (rlk_holding_remaining_us(holding) == 0)
        rlk_holding_end(holding, RLK_LOST_EXPIRED);
    holding->told = true;
    rlk_lock_release(&client->call->lock, now_ms);
    enum rlk_outcome outcome = run(client);
    if (outcome == RLK_RELEASED)
        rlk_holding_end(holding, RLK_HAS_RELEASED);
    else if (outcome == RLK_LOST)
        rlk_holding_end(holding, rlk_status_of_loss(client->call->lock.loss));
    return rlk_holding_is_lost(holding) ? RLK_LOST : outcome;
}

enum rlk_outcome rlk_client_inspect(struct rlk_client *client, struct rlk_key key)
{
    int64_t now_ms = rlk_clock_ms();
    if (!begin(client, key))
        return RLK_UNAVAILABLE;
    rlk_lock_inspect(&client->call->lock, now_ms);
    return run(client);
}

/* What the inline connections cannot take at once, the engine delivers. */
static void release_without_waiting(struct rlk_client *client, struct rlk_holding *holding)
{
    int64_t now_ms = rlk_clock_ms();
    if (!begin_with(client, holding))
        return;
    rlk_nodes reached = rlk_loop_release_blindly(client->loop, &client->call->lock);
    bool all = (client->call->lock.lease.nodes & ~reached) == 0;
    if (!all && have_engine(client)) {
        rlk_lock_release(&client->call->lock, now_ms);
        rlk_engine_finish(client->engine, &client->call->lock);
    }
    let_go(client, client->call);
}

void rlk_client_forget(struct rlk_client *client, struct rlk_holding *holding)
{
    be_in_own_process(client);
    stop_renewing(client, holding);
    if (!client->closed && rlk_holding_may_stand(holding))
        release_without_waiting(client, holding);
    link_out(client, holding);
    rlk_holding_drop(holding);
}

/* ---- close ---- */

/* The engine has ended, so the holdings' own machines are free to be used. */
static struct rlk_holding *release_some(struct rlk_client *client, struct rlk_holding *holding)
{
    struct rlk_lock *locks[CLOSE_BATCH];
    size_t count = 0;
    int64_t now_ms = rlk_clock_ms();
    for (; holding && count < CLOSE_BATCH; holding = holding->next) {
        struct rlk_lock *lock = &holding->lock;
        struct rlk_lease lease = lock->lease;
        if (!rlk_holding_may_stand(holding))
            continue;
        rlk_lock_init(lock, rlk_loop_quorum(client->loop), lock->key, NULL);
        if (!rlk_loop_attach(client->loop, lock))
            continue; /* no memory: up to its ttl */
        rlk_lock_adopt(lock, &lease, atomic_load(&holding->deadline_ms));
        rlk_lock_release(lock, now_ms);
        rlk_loop_touch(client->loop, lock);
        rlk_holding_end(holding, RLK_HAS_RELEASED);
        locks[count++] = lock;
    }
    for (size_t i = 0; i < count; i++) {
        while (locks[i]->outcome == RLK_PENDING)
            rlk_loop_turn(client->loop, RLK_NEVER);
        rlk_loop_detach(client->loop, locks[i]);
    }
    return holding;
}

void rlk_client_close(struct rlk_client *client)
{
    be_in_own_process(client);
    if (client->closed)
        return;
    client->closed = true;
    struct rlk_holding *holding;
    for (holding = client->holdings; holding; holding = holding->next)
        stop_renewing(client, holding);
    for (int i = 0; i < CALLS; i++)
        let_go(client, &client->calls[i]);
    if (client->engine)
        rlk_engine_stop(client->engine);
    client->engine = NULL;
    holding = client->holdings;
    while (holding && client->loop)
        holding = release_some(client, holding);
    if (client->loop)
        rlk_loop_drain(client->loop, rlk_clock_ms() + client->settings.timeout_ms);
    rlk_loop_free(client->loop);
    client->loop = NULL;
}

void rlk_client_free(struct rlk_client *client)
{
    rlk_client_close(client);
    assert(!client->holdings);
    rlk_settings_free(&client->settings);
    free(client);
}
