/* The mutex guards the lists by which holdings and operations come and go, and nothing that takes
 * time. The thread takes whole lists; what it keeps is then its alone. */
#include "io/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/cohort.h"
#include "io/loop.h"
#include "io/system.h"
#include "io/watchdog.h"

#define STACK_SIZE (256 * 1024)
#define GATHER_US 1000  /* submissions gather for this long at most */
#define TURN_AFTER_MS 3 /* from a grant until the next of this process asks the nodes as well */
#define AWAKE INT64_MIN
#define AT_ONCE (INT64_MIN + 1)

struct rlk_engine {
    const struct rlk_settings *settings;
    pthread_t thread;
    int wake_fd;

    pthread_mutex_t mutex;
    struct rlk_link arriving, leaving;   /* holdings, by engine_link */
    struct rlk_link submitted, given_up; /* operations, by the links of these names */
    int64_t sleeping_until_ms; /* AWAKE while the thread will look at the lists before it sleeps */
    int64_t horizon_ms;        /* what it was last kicked for: it sleeps no longer than that */
    int64_t stop_at_ms;        /* RLK_NEVER: it runs on */
    struct rlk_outbox *last_words; /* where its end is told; NULL: nowhere */
    struct rlk_notice *end;

    /* the thread's alone */
    bool is_stopping;
    int64_t gather_until_us;
    struct rlk_loop *loop;
    struct rlk_watchdog watchdog;
    struct rlk_lines lines;
    struct rlk_cohorts cohorts;
    struct rlk_link running, moved; /* operations, by the links of these names */
    struct rlk_link lingering;      /* operations, by moved: granted, and more nodes are asked */
    struct rlk_outbox *to_ring;     /* for what was posted this turn */
};

/* ---- the thread: holdings ---- */

static void take_arriving(struct rlk_engine *engine, struct rlk_holding *holding)
{
    for (; holding; holding = holding->next_taken) {
        if (atomic_load(&holding->status) != RLK_HOLDS) {
            rlk_watchdog_note_end(&engine->watchdog, holding);
        } else if (!rlk_watchdog_keeps(holding)) {
            rlk_watchdog_keep(&engine->watchdog, holding);
        } else {
            rlk_watchdog_credit(&engine->watchdog, holding);
        }
    }
}

static void take_leaving(struct rlk_engine *engine, struct rlk_holding *holding)
{
    while (holding) {
        struct rlk_holding *next = holding->next_taken;
        rlk_watchdog_let_go(&engine->watchdog, holding);
        rlk_holding_drop(holding);
        holding = next;
    }
}

/* What is lost is watched no longer; the owner still holds a reference, and this one stays until
 * it lets go too. */
static void end_holdings(struct rlk_engine *engine)
{
    struct rlk_holding *holding;
    while ((holding = rlk_watchdog_next_ended(&engine->watchdog)) != NULL) {
        pthread_mutex_lock(&engine->mutex);
        bool kept = holding->place == RLK_KEPT;
        if (kept)
            holding->place = RLK_OUTSIDE;
        pthread_mutex_unlock(&engine->mutex);
        if (kept)
            rlk_holding_drop(holding);
    }
}

/* ---- the thread: operations ---- */

static void note_moved(struct rlk_engine *engine, struct rlk_operation *operation)
{
    rlk_unlink(&operation->moved);
    rlk_list_append(&engine->moved, &operation->moved);
}

/* Operations have tallies, renewals have none. */
static void on_moved(void *context, struct rlk_lock *lock)
{
    struct rlk_engine *engine = context;
    if (lock->tallies)
        note_moved(engine, rlk_owner(lock, struct rlk_operation, lock));
    else
        rlk_watchdog_on_moved(&engine->watchdog, lock);
}

/* While the lock is owned here, its release will most likely come by here, too: for a moment the next
 * asks no node, to follow that release. */
static void give_turn(struct rlk_engine *engine, struct rlk_lock *next, const struct rlk_lock *last)
{
    int64_t now_ms = rlk_clock_ms();
    rlk_loop_top_up(engine->loop);
    if (last->outcome == RLK_ACQUIRED)
        rlk_lock_await_turn(next, now_ms + TURN_AFTER_MS);
    else
        rlk_lock_take_turn(next, rlk_lock_was_answered(last), now_ms);
    rlk_loop_touch(engine->loop, next);
}

/* Whoever stands before it has asked the nodes for it as well; or owns what it waits for. */
static void explain(struct rlk_operation *operation)
{
    const struct rlk_in_line *first = rlk_line_first(&operation->in_line);
    if (first && first->lock && first->lock != &operation->lock)
        rlk_lock_copy_reasons(&operation->lock, first->lock);
    else
        rlk_cohort_explain(&operation->in_line, rlk_clock_ms());
}

/* One who has ended in the same turn is looked at next, and passes the turn on. */
static void leave_line(struct rlk_engine *engine, struct rlk_operation *operation)
{
    explain(operation);
    struct rlk_in_line *next = rlk_lines_leave(&engine->lines, &operation->in_line);
    if (!next)
        return;
    if (next->lock->outcome != RLK_PENDING) {
        rlk_lock_copy_reasons(next->lock, &operation->lock);
    } else if (!rlk_lock_share_verdict(next->lock, &operation->lock)) {
        give_turn(engine, next->lock, &operation->lock);
    }
    note_moved(engine, rlk_owner(next, struct rlk_operation, in_line));
}

/* The grant becomes a holding, which the engine keeps if it is to be renewed. */
static struct rlk_holding *grant(struct rlk_engine *engine, struct rlk_operation *operation)
{
    struct rlk_holding *holding = rlk_holding_new(operation->key);
    if (!holding)
        return NULL;
    rlk_holding_grant(holding, &operation->lock);
    if (!operation->terms.renew)
        return holding;
    holding->place = RLK_KEPT;
    rlk_holding_retain(holding);
    if (rlk_watchdog_keep(&engine->watchdog, holding))
        return holding;
    rlk_holding_drop(holding);
    rlk_holding_drop(holding);
    return NULL;
}

/* The next in line asks in the same write: on a connection the order is kept. Not if the nodes are to
 * keep the lock for a while. */
static void have_followed(struct rlk_engine *engine, const struct rlk_lock *release)
{
    int64_t now_ms = rlk_clock_ms();
    struct rlk_cohort *cohort = rlk_cohorts_find(&engine->cohorts, release->key, &release->lease);
    if (cohort)
        rlk_cohorts_close(cohort);
    const struct rlk_in_line *first = rlk_lines_first(&engine->lines, release->key);
    if (!first || !first->lock || rlk_lease_keep_ms(release->quorum, &release->lease, now_ms) > 0)
        return;
    rlk_loop_top_up(engine->loop);
    rlk_lock_follow(first->lock, now_ms);
    rlk_loop_touch(engine->loop, first->lock);
}

/* Nobody is there to hold what was granted. */
static void take_back(struct rlk_engine *engine, struct rlk_operation *operation)
{
    struct rlk_holding *holding = operation->holding;
    operation->holding = NULL;
    if (holding) {
        bool kept = rlk_watchdog_keeps(holding);
        rlk_watchdog_let_go(&engine->watchdog, holding);
        if (kept)
            rlk_holding_drop(holding);
        rlk_holding_drop(holding);
    }
    rlk_lock_undo(&operation->lock, rlk_clock_ms());
    rlk_loop_touch(engine->loop, &operation->lock);
    have_followed(engine, &operation->lock);
}

static enum rlk_outcome note_extension(struct rlk_engine *engine, struct rlk_operation *operation)
{
    struct rlk_holding *holding = operation->holding;
    enum rlk_outcome outcome = rlk_holding_note_extension(holding, &operation->lock);
    if (outcome == RLK_EXTENDED)
        rlk_watchdog_credit(&engine->watchdog, holding);
    else if (outcome == RLK_LOST && rlk_watchdog_keeps(holding))
        rlk_watchdog_note_end(&engine->watchdog, holding);
    return outcome;
}

/* What each node said, as long as the machine's own record does not change any more. */
static void report(const struct rlk_engine *engine, struct rlk_operation *operation)
{
    size_t size = (size_t)engine->settings->nodes * sizeof *operation->report;
    enum rlk_outcome outcome = operation->outcome;
    if (outcome == RLK_ACQUIRED || outcome == RLK_EXTENDED || outcome == RLK_RELEASED)
        return;
    operation->report = malloc(size);
    if (operation->report)
        memcpy(operation->report, operation->tallies, size);
}

static void ring(struct rlk_engine *engine)
{
    if (!engine->to_ring)
        return;
    rlk_outbox_ring(engine->to_ring);
    rlk_outbox_drop(engine->to_ring);
    engine->to_ring = NULL;
}

/* True if the program will know: from here on the result is its own. The bell is rung once for all
 * that completes in one turn. */
static bool post(struct rlk_engine *engine, struct rlk_operation *operation)
{
    bool must_ring;
    struct rlk_outbox *outbox = operation->outbox;
    if (!outbox || !rlk_outbox_post(outbox, &operation->notice, &must_ring))
        return false;
    if (must_ring && engine->to_ring != outbox) {
        ring(engine);
        rlk_outbox_retain(outbox); /* nothing else may keep it until then */
        engine->to_ring = outbox;
    }
    return true;
}

/* Who was granted the lock by the nodes, and not by another of its cohort, is the first of one. */
static void found_cohort(struct rlk_engine *engine, const struct rlk_operation *operation)
{
    const struct rlk_lock *lock = &operation->lock;
    const struct rlk_terms *terms = &operation->terms;
    if (operation->kind == RLK_ACQUIRE && lock->outcome == RLK_ACQUIRED && terms->cohort &&
        terms->at_least_ms == 0 && lock->lease.fence % RLK_FENCE_BLOCK == 0)
        rlk_cohorts_open(&engine->cohorts, lock);
}

static void decide(struct rlk_engine *engine, struct rlk_operation *operation)
{
    struct rlk_lock *lock = &operation->lock;
    operation->is_decided = true;
    operation->outcome = lock->outcome;
    found_cohort(engine, operation);
    leave_line(engine, operation);
    if (operation->outcome == RLK_ACQUIRED) {
        operation->holding = grant(engine, operation);
        operation->outcome = operation->holding ? RLK_ACQUIRED : RLK_UNAVAILABLE;
    } else if (operation->kind == RLK_ACQUIRE && lock->outcome == RLK_LOST) {
        operation->outcome = RLK_UNAVAILABLE; /* its lease ended before it was had */
    } else if (operation->kind == RLK_EXTEND) {
        operation->outcome = note_extension(engine, operation);
    } else if (operation->kind == RLK_RELEASE) {
        rlk_holding_conclude(operation->holding, lock->outcome, lock->loss);
    }
    report(engine, operation);
    bool granted = operation->holding != NULL;
    bool posted = post(engine, operation);
    bool is_lost =
        operation->kind == RLK_ACQUIRE && lock->outcome == RLK_LOST; /* before it was had */
    if (is_lost || (lock->outcome == RLK_ACQUIRED && !(posted && granted)))
        take_back(engine, operation);
    else
        rlk_lock_hand_over(lock);
}

/* A release that went out has to be answered, since a node may not take it. */
static bool is_done(const struct rlk_lock *lock)
{
    return rlk_lock_is_done(lock) && !(lock->kind == RLK_RELEASE && (lock->sent & ~lock->answered));
}

static void retire(struct rlk_engine *engine, struct rlk_operation *operation)
{
    rlk_loop_detach(engine->loop, &operation->lock);
    rlk_unlink(&operation->running);
    rlk_unlink(&operation->moved);
    rlk_operation_drop(operation);
}

/* A grant waits a moment for nodes that are being asked for the first time; an extension counts
 * from the verdict on. */
static bool lingers(struct rlk_engine *engine, struct rlk_operation *operation)
{
    struct rlk_lock *lock = &operation->lock;
    if (lock->state != RLK_OWNED || engine->is_stopping ||
        !rlk_loop_is_first_asking(engine->loop, lock))
        return false;
    if (operation->linger_until_ms == 0) {
        operation->linger_until_ms = rlk_loop_linger_until(lock);
        if (operation->kind == RLK_EXTEND)
            note_extension(engine, operation);
    }
    if (rlk_clock_ms() >= operation->linger_until_ms)
        return false;
    rlk_list_append(&engine->lingering, &operation->moved);
    return true;
}

/* Looks at every operation whose machine moved. */
static void look_at_moved(struct rlk_engine *engine)
{
    struct rlk_link *link;
    while ((link = rlk_list_take_first(&engine->moved)) != NULL) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, moved);
        if (!operation->is_decided && operation->lock.outcome != RLK_PENDING &&
            !lingers(engine, operation))
            decide(engine, operation);
        if (operation->is_decided && is_done(&operation->lock))
            retire(engine, operation);
    }
    ring(engine);
}

static void begin_acquire(struct rlk_engine *engine, struct rlk_operation *operation,
                          int64_t now_ms)
{
    struct rlk_lock *lock = &operation->lock;
    bool in_line =
        operation->terms.wait_ms > 0 && rlk_lines_join(&engine->lines, &operation->in_line, lock);
    if (!in_line || rlk_line_is_first(&operation->in_line))
        rlk_lock_acquire(lock, &operation->terms, now_ms);
    else
        rlk_lock_stand_by(lock, &operation->terms, now_ms);
}

/* What has ended since it was asked for is over, and nobody is asked. */
static void begin_extension(struct rlk_operation *operation, int64_t now_ms)
{
    struct rlk_lock *lock = &operation->lock;
    bool holds = atomic_load(&operation->holding->status) == RLK_HOLDS;
    rlk_lock_extend(lock, operation->ttl_ms, holds ? now_ms : lock->deadline_ms);
}

static void begin_release(struct rlk_operation *operation, int64_t now_ms)
{
    operation->lock.told_before = operation->told_before;
    rlk_lock_release(&operation->lock, now_ms);
}

/* The command of an operation goes into its machine. */
static void command(struct rlk_engine *engine, struct rlk_operation *operation)
{
    int64_t now_ms = rlk_clock_ms();
    struct rlk_lock *lock = &operation->lock;
    struct rlk_holding *holding = operation->holding;
    rlk_loop_top_up(engine->loop);
    if (holding)
        rlk_lock_adopt(lock, &holding->lease, atomic_load(&holding->deadline_ms));
    if (operation->kind == RLK_ACQUIRE)
        begin_acquire(engine, operation, now_ms);
    else if (operation->kind == RLK_EXTEND)
        begin_extension(operation, now_ms);
    else if (operation->kind == RLK_RELEASE)
        begin_release(operation, now_ms);
    else
        rlk_lock_inspect(lock, now_ms);
}

/* It ends here, and has asked nobody. */
static void end_at_once(struct rlk_engine *engine, struct rlk_operation *operation,
                        enum rlk_outcome outcome)
{
    operation->outcome = outcome;
    post(engine, operation);
    rlk_operation_drop(operation);
}

/* The next of its cohort gets what was to be released. What this owner has passed on before is
 * another's. */
static bool pass_on(struct rlk_engine *engine, struct rlk_operation *operation)
{
    struct rlk_holding *holding = operation->holding;
    int status = atomic_load(&holding->status);
    if (status == RLK_HAS_RELEASED)
        return true;
    struct rlk_cohort *cohort = rlk_cohorts_find(&engine->cohorts, operation->key, &holding->lease);
    if (!cohort || status != RLK_LETS_GO || engine->is_stopping)
        return false;
    struct rlk_lock *next =
        rlk_cohort_pass_on(cohort, atomic_load(&holding->deadline_ms), rlk_clock_ms());
    if (!next)
        return false;
    rlk_holding_conclude(holding, RLK_RELEASED, RLK_NOT_LOST);
    rlk_loop_touch(engine->loop, next);
    note_moved(engine, rlk_owner(next, struct rlk_operation, lock));
    return true;
}

static void begin(struct rlk_engine *engine, struct rlk_operation *operation)
{
    struct rlk_lock *lock = &operation->lock;
    if (operation->kind == RLK_RELEASE && operation->holding && pass_on(engine, operation)) {
        end_at_once(engine, operation, RLK_RELEASED);
        return;
    }
    if (operation->is_decided) /* a machine that has only to be finished */
        lock->quorum = rlk_loop_quorum(engine->loop);
    else
        rlk_lock_init(lock, rlk_loop_quorum(engine->loop), operation->key, operation->tallies);
    lock->inquiry = operation->inquiry;
    lock->renewed_by_another = true;
    if (!rlk_loop_attach(engine->loop, lock)) {
        end_at_once(engine, operation, RLK_UNAVAILABLE);
        return;
    }
    rlk_list_append(&engine->running, &operation->running);
    if (!operation->is_decided)
        command(engine, operation);
    rlk_loop_touch(engine->loop, lock);
    note_moved(engine, operation);
    if (operation->kind == RLK_RELEASE && operation->holding &&
        atomic_load(&operation->holding->status) == RLK_LETS_GO)
        have_followed(engine, lock);
}

static void take_submitted(struct rlk_engine *engine, struct rlk_link *submitted)
{
    struct rlk_link *link;
    while ((link = rlk_list_take_first(submitted)) != NULL)
        begin(engine, rlk_owner(link, struct rlk_operation, submitted));
}

/* Only an acquire has anything to take back; the others run to their end, and nobody is told. */
static void give_up(struct rlk_engine *engine, struct rlk_operation *operation)
{
    if (operation->is_decided || operation->kind != RLK_ACQUIRE)
        return;
    rlk_lock_cancel(&operation->lock, rlk_clock_ms());
    rlk_loop_touch(engine->loop, &operation->lock);
    note_moved(engine, operation);
}

static void take_given_up(struct rlk_engine *engine, struct rlk_link *given_up_list)
{
    struct rlk_link *link;
    while ((link = rlk_list_take_first(given_up_list)) != NULL) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, given_up);
        give_up(engine, operation);
        rlk_operation_drop(operation);
    }
}

/* ---- the thread ---- */

/* Under the mutex. From then on the owner may put them on a list again, so what was taken hangs
 * together by a link that is the thread's alone. */
static struct rlk_holding *take(struct rlk_link *list, enum rlk_place place)
{
    struct rlk_holding *taken = NULL, **end = &taken;
    struct rlk_link *link;
    while ((link = rlk_list_take_first(list)) != NULL) {
        struct rlk_holding *holding = rlk_owner(link, struct rlk_holding, engine_link);
        holding->place = place;
        *end = holding;
        end = &holding->next_taken;
    }
    *end = NULL;
    return taken;
}

/* While nodes are busy with what they were sent just now, operations gather, and then travel
 * together: that costs the nodes, and us, much less for each. */
static bool gathers(const struct rlk_engine *engine, int64_t now_us)
{
    return rlk_loop_in_flight(engine->loop) > 0 && now_us < engine->gather_until_us;
}

/* When to stop. */
static int64_t take_lists(struct rlk_engine *engine)
{
    struct rlk_link submitted, given_up_list;
    int64_t now_us = rlk_clock_us();
    bool gathering = gathers(engine, now_us);
    rlk_list_init(&submitted);
    rlk_list_init(&given_up_list);
    pthread_mutex_lock(&engine->mutex);
    struct rlk_holding *arriving = take(&engine->arriving, RLK_KEPT);
    struct rlk_holding *leaving = take(&engine->leaving, RLK_OUTSIDE);
    bool may_gather = engine->stop_at_ms == RLK_NEVER && rlk_list_is_empty(&engine->given_up);
    if (!gathering || !may_gather) /* what is given up has begun before */
        rlk_list_move(&engine->submitted, &submitted);
    rlk_list_move(&engine->given_up, &given_up_list);
    int64_t stop_at_ms = engine->stop_at_ms;
    engine->sleeping_until_ms = AWAKE;
    pthread_mutex_unlock(&engine->mutex);
    if (!rlk_list_is_empty(&submitted))
        engine->gather_until_us = now_us + GATHER_US;
    take_arriving(engine, arriving);
    take_leaving(engine, leaving);
    take_submitted(engine, &submitted);
    take_given_up(engine, &given_up_list);
    return stop_at_ms;
}

/* Under the mutex. */
static bool has_arrivals(const struct rlk_engine *engine)
{
    return !rlk_list_is_empty(&engine->arriving) || !rlk_list_is_empty(&engine->leaving) ||
           !rlk_list_is_empty(&engine->given_up);
}

/* False if somebody has put something on the lists meanwhile; submissions that gather are looked at
 * in a millisecond at the latest, and nobody need kick for them. Sleeping until the horizon,
 * although what it was kicked for may be gone by now, is what spares a program that locks and
 * releases all the time a kick for every lock. */
static bool fall_asleep(struct rlk_engine *engine, int64_t *until_ms)
{
    int64_t now_us = rlk_clock_us(), now_ms = now_us / 1000;
    bool gathering = gathers(engine, now_us);
    if (gathering)
        *until_ms = rlk_earlier(*until_ms, now_ms + 1);
    pthread_mutex_lock(&engine->mutex);
    bool idle = !has_arrivals(engine) && (gathering || rlk_list_is_empty(&engine->submitted));
    if (now_ms < engine->horizon_ms && engine->horizon_ms < *until_ms)
        *until_ms = engine->horizon_ms;
    if (idle)
        engine->sleeping_until_ms = gathering ? AWAKE : *until_ms;
    pthread_mutex_unlock(&engine->mutex);
    return idle;
}

/* Nodes that are down, or were busy, are tried once more at once. */
static void hasten(struct rlk_engine *engine)
{
    struct rlk_link *link;
    rlk_loop_hasten(engine->loop);
    for (link = engine->running.next; link != &engine->running; link = link->next) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, running);
        rlk_lock_hasten(&operation->lock);
        rlk_loop_touch(engine->loop, &operation->lock);
    }
}

/* Nobody waits any more: acquires are given up, and the rest has until the stop to end. */
static void wind_up(struct rlk_engine *engine)
{
    struct rlk_link *link;
    if (!engine->is_stopping)
        hasten(engine);
    engine->is_stopping = true;
    for (link = engine->running.next; link != &engine->running; link = link->next)
        give_up(engine, rlk_owner(link, struct rlk_operation, running));
}

static bool may_stop(struct rlk_engine *engine, int64_t stop_at_ms)
{
    return stop_at_ms != RLK_NEVER &&
           (rlk_list_is_empty(&engine->running) || rlk_clock_ms() >= stop_at_ms);
}

static void say_last_words(struct rlk_engine *engine)
{
    bool must_ring;
    if (!engine->last_words)
        return;
    rlk_outbox_post(engine->last_words, engine->end, &must_ring);
    if (must_ring)
        rlk_outbox_ring(engine->last_words);
}

/* Sends what is wanted, until that moves nothing any more; until when to sleep. */
static int64_t prepare(struct rlk_engine *engine)
{
    int64_t until_ms;
    look_at_moved(engine);
    do {
        until_ms = rlk_loop_prepare(engine->loop);
        look_at_moved(engine);
    } while (rlk_loop_has_touched(engine->loop));
    return until_ms;
}

/* Their time is over: from here on the next in line asks the nodes. */
static void close_cohorts(struct rlk_engine *engine)
{
    struct rlk_cohort *cohort;
    int64_t now_ms = rlk_clock_ms();
    while ((cohort = rlk_cohorts_due(&engine->cohorts, now_ms)) != NULL) {
        struct rlk_lock *next = rlk_cohorts_close(cohort);
        if (!next || next->state != RLK_STANDING_BY)
            continue;
        rlk_loop_top_up(engine->loop);
        rlk_lock_take_turn(next, true, now_ms);
        rlk_loop_touch(engine->loop, next);
    }
}

/* Those that linger are looked at again with every turn. */
static int64_t resume_lingering(struct rlk_engine *engine)
{
    int64_t until_ms = RLK_NEVER;
    for (struct rlk_link *link = engine->lingering.next; link != &engine->lingering;
         link = link->next) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, moved);
        until_ms = rlk_earlier(until_ms, operation->linger_until_ms);
    }
    rlk_list_move(&engine->lingering, &engine->moved);
    return until_ms;
}

static void *run(void *argument)
{
    struct rlk_engine *engine = argument;
    eventfd_t kicks;
    for (;;) {
        int64_t stop_at_ms = take_lists(engine);
        rlk_loop_settle(engine->loop);
        if (stop_at_ms != RLK_NEVER)
            wind_up(engine);
        look_at_moved(engine); /* first: what was extended in this turn is not to expire in it */
        rlk_watchdog_time(&engine->watchdog);
        close_cohorts(engine);
        int64_t until_ms = prepare(engine);
        end_holdings(engine);
        if (may_stop(engine, stop_at_ms)) {
            rlk_loop_drain(engine->loop, stop_at_ms);
            say_last_words(engine);
            return NULL;
        }
        until_ms = rlk_earlier(until_ms, rlk_watchdog_next_time(&engine->watchdog));
        until_ms = rlk_earlier(until_ms, rlk_cohorts_next_time(&engine->cohorts));
        until_ms = rlk_earlier(rlk_earlier(until_ms, stop_at_ms), resume_lingering(engine));
        if (!fall_asleep(engine, &until_ms))
            continue;
        rlk_loop_poll(engine->loop, until_ms, engine->wake_fd);
        eventfd_read(engine->wake_fd, &kicks);
    }
}

/* ---- from other threads ---- */

/* Under the mutex. */
static bool must_kick(struct rlk_engine *engine, int64_t due_ms)
{
    if (engine->sleeping_until_ms == AWAKE || due_ms >= engine->sleeping_until_ms)
        return false;
    engine->sleeping_until_ms = AWAKE;
    engine->horizon_ms = due_ms;
    return true;
}

static void kick(struct rlk_engine *engine)
{
    while (eventfd_write(engine->wake_fd, 1) != 0 && errno == EINTR)
        continue;
}

static int64_t first_renewal(const struct rlk_holding *holding)
{
    return holding->lease.granted_ms + holding->lease.terms.ttl_ms / 4;
}

void rlk_engine_keep(struct rlk_engine *engine, struct rlk_holding *holding)
{
    bool kicked = false;
    pthread_mutex_lock(&engine->mutex);
    if (holding->place == RLK_OUTSIDE) {
        rlk_holding_retain(holding);
        holding->place = RLK_ARRIVING;
        rlk_list_append(&engine->arriving, &holding->engine_link);
        kicked = must_kick(engine, first_renewal(holding));
    }
    pthread_mutex_unlock(&engine->mutex);
    if (kicked)
        kick(engine);
}

void rlk_engine_drop(struct rlk_engine *engine, struct rlk_holding *holding)
{
    bool forgotten = false;
    pthread_mutex_lock(&engine->mutex);
    if (holding->place == RLK_ARRIVING) {
        rlk_unlink(&holding->engine_link);
        forgotten = !holding->credited;
        holding->place = forgotten ? RLK_OUTSIDE : RLK_KEPT;
    }
    if (holding->place == RLK_KEPT) {
        rlk_list_append(&engine->leaving, &holding->engine_link);
        holding->place = RLK_LEAVING;
    }
    pthread_mutex_unlock(&engine->mutex);
    if (forgotten)
        rlk_holding_drop(holding);
}

/* It arrives once more, for the engine to see its new deadline. */
void rlk_engine_credit(struct rlk_engine *engine, struct rlk_holding *holding)
{
    pthread_mutex_lock(&engine->mutex);
    if (holding->place == RLK_KEPT) {
        holding->place = RLK_ARRIVING;
        holding->credited = true;
        rlk_list_append(&engine->arriving, &holding->engine_link);
    }
    pthread_mutex_unlock(&engine->mutex);
}

static void hand_in(struct rlk_engine *engine, struct rlk_link *list, struct rlk_link *link)
{
    pthread_mutex_lock(&engine->mutex);
    rlk_list_append(list, link);
    bool kicked = must_kick(engine, AT_ONCE);
    pthread_mutex_unlock(&engine->mutex);
    if (kicked)
        kick(engine);
}

void rlk_engine_submit(struct rlk_engine *engine, struct rlk_operation *operation)
{
    rlk_operation_retain(operation);
    hand_in(engine, &engine->submitted, &operation->submitted);
}

void rlk_engine_give_up(struct rlk_engine *engine, struct rlk_operation *operation)
{
    rlk_operation_retain(operation);
    hand_in(engine, &engine->given_up, &operation->given_up);
}

void rlk_engine_finish(struct rlk_engine *engine, const struct rlk_lock *lock)
{
    int nodes = engine->settings->nodes;
    struct rlk_operation *operation = rlk_operation_new(RLK_RELEASE, lock->key, nodes);
    if (!operation)
        return;
    operation->lock = *lock;
    operation->lock.key = operation->key;
    operation->lock.tallies = operation->tallies;
    memcpy(operation->tallies, lock->tallies, (size_t)nodes * sizeof *operation->tallies);
    rlk_lock_retire(&operation->lock);
    operation->is_decided = true;
    hand_in(engine, &engine->submitted, &operation->submitted);
}

/* ---- life ---- */

static void free_engine(struct rlk_engine *engine)
{
    if (engine->wake_fd >= 0)
        close(engine->wake_fd);
    rlk_loop_free(engine->loop);
    rlk_cohorts_free(&engine->cohorts);
    rlk_lines_free(&engine->lines);
    rlk_watchdog_free(&engine->watchdog);
    pthread_mutex_destroy(&engine->mutex);
    free(engine);
}

static void init_lists(struct rlk_engine *engine)
{
    struct rlk_link *lists[] = {&engine->arriving, &engine->leaving, &engine->submitted,
                                &engine->given_up, &engine->running, &engine->moved,
                                &engine->lingering};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        rlk_list_init(lists[i]);
}

struct rlk_engine *rlk_engine_start(const struct rlk_settings *settings)
{
    uint64_t seed;
    struct rlk_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return NULL;
    engine->settings = settings;
    engine->sleeping_until_ms = AWAKE;
    engine->stop_at_ms = RLK_NEVER;
    engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    engine->loop = rlk_loop_new(settings);
    rlk_random_bytes(&seed, sizeof seed);
    rlk_lines_init(&engine->lines, seed);
    rlk_cohorts_init(&engine->cohorts, &engine->lines);
    init_lists(engine);
    rlk_watchdog_init(&engine->watchdog, engine->loop);
    pthread_mutex_init(&engine->mutex, NULL);
    if (engine->loop)
        rlk_loop_watch(engine->loop, on_moved, engine);
    if (engine->wake_fd >= 0 && engine->loop &&
        rlk_start_thread(&engine->thread, STACK_SIZE, run, engine))
        return engine;
    free_engine(engine);
    return NULL;
}

/* The thread has ended, and with it what it had under way. */
static void end_operations(struct rlk_engine *engine)
{
    struct rlk_link *link;
    take_submitted(engine, &engine->submitted);
    take_given_up(engine, &engine->given_up);
    while ((link = rlk_list_first(&engine->running)) != NULL) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, running);
        if (!operation->is_decided) {
            operation->outcome = RLK_UNAVAILABLE;
            post(engine, operation);
        }
        retire(engine, operation);
    }
    ring(engine);
}

static void request_stop(struct rlk_engine *engine, int64_t grace_ms)
{
    pthread_mutex_lock(&engine->mutex);
    engine->stop_at_ms = rlk_earlier(engine->stop_at_ms, rlk_clock_ms() + grace_ms);
    pthread_mutex_unlock(&engine->mutex);
    kick(engine);
}

bool rlk_engine_begin_stop(struct rlk_engine *engine, int64_t grace_ms, struct rlk_outbox *outbox,
                           uint64_t tag)
{
    struct rlk_notice *end = calloc(1, sizeof *end);
    if (!end)
        return false;
    *end = (struct rlk_notice){.tag = tag, .on_heap = true};
    rlk_outbox_retain(outbox);
    pthread_mutex_lock(&engine->mutex);
    engine->end = end;
    engine->last_words = outbox;
    pthread_mutex_unlock(&engine->mutex);
    request_stop(engine, grace_ms);
    return true;
}

void rlk_engine_stop(struct rlk_engine *engine, int64_t grace_ms)
{
    request_stop(engine, grace_ms);
    pthread_join(engine->thread, NULL);
    end_operations(engine);
    take_leaving(engine, take(&engine->leaving, RLK_OUTSIDE));
    if (engine->last_words)
        rlk_outbox_drop(engine->last_words);
    free_engine(engine);
}

void rlk_engine_disown(struct rlk_engine *engine)
{
    close(engine->wake_fd);
    rlk_loop_close_inherited(engine->loop);
}
