/* An operation ends twice: when it is decided, and the program is told; and when its machine has nothing
 * more to tell the nodes. */
#include "io/runner.h"

#include <stdlib.h>
#include <string.h>

#include "io/system.h"

#define TURN_AFTER_MS 3 /* from a grant until the next of this process asks the nodes as well */

void rlk_runner_init(struct rlk_runner *runner, struct rlk_loop *loop,
                     struct rlk_watchdog *watchdog, int nodes, uint64_t seed)
{
    *runner = (struct rlk_runner){.loop = loop, .watchdog = watchdog, .nodes = nodes};
    rlk_lines_init(&runner->lines, seed);
    rlk_cohorts_init(&runner->cohorts, &runner->lines);
    rlk_list_init(&runner->running);
    rlk_list_init(&runner->moved);
    rlk_list_init(&runner->lingering);
}

void rlk_runner_free(struct rlk_runner *runner)
{
    rlk_cohorts_free(&runner->cohorts);
    rlk_lines_free(&runner->lines);
}

static void note_moved(struct rlk_runner *runner, struct rlk_operation *operation)
{
    rlk_unlink(&operation->moved);
    rlk_list_append(&runner->moved, &operation->moved);
}

void rlk_runner_on_moved(struct rlk_runner *runner, struct rlk_lock *lock)
{
    note_moved(runner, rlk_owner(lock, struct rlk_operation, lock));
}

/* ---- in line ---- */

/* While the lock is owned here, its release will most likely come by here, too: for a moment the next
 * asks no node, to follow that release. It does so in the place of one who is given up in that very turn. */
static void give_turn(struct rlk_runner *runner, struct rlk_lock *next, const struct rlk_lock *last)
{
    int64_t now_ms = rlk_clock_ms();
    rlk_loop_top_up(runner->loop);
    if (last->outcome == RLK_ACQUIRED)
        rlk_lock_await_turn(next, now_ms + TURN_AFTER_MS);
    else if (last->follows)
        rlk_lock_follow(next, now_ms);
    else
        rlk_lock_take_turn(next, rlk_lock_was_answered(last), now_ms);
    rlk_loop_touch(runner->loop, next);
}

/* Who cannot be passed the lease stands in the nodes' queues as soon as it would without a cohort. */
static void let_stranger_ask(struct rlk_runner *runner, struct rlk_key key)
{
    struct rlk_lock *stranger = rlk_cohorts_stranger(&runner->cohorts, key);
    if (!stranger || stranger->poll_at_ms != RLK_NEVER)
        return;
    rlk_lock_await_turn(stranger, rlk_clock_ms() + TURN_AFTER_MS);
    rlk_loop_touch(runner->loop, stranger);
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
static void leave_line(struct rlk_runner *runner, struct rlk_operation *operation)
{
    explain(operation);
    struct rlk_in_line *next = rlk_lines_leave(&runner->lines, &operation->in_line);
    if (!next) {
        let_stranger_ask(runner, operation->key);
        return;
    }
    if (next->lock->outcome != RLK_PENDING) {
        rlk_lock_copy_reasons(next->lock, &operation->lock);
    } else if (!rlk_lock_share_verdict(next->lock, &operation->lock)) {
        give_turn(runner, next->lock, &operation->lock);
    }
    note_moved(runner, rlk_owner(next, struct rlk_operation, in_line));
}

/* ---- what comes of it ---- */

/* The grant becomes a holding, which the watchdog keeps if it is to be renewed. */
static struct rlk_holding *grant(struct rlk_runner *runner, struct rlk_operation *operation)
{
    struct rlk_holding *holding = rlk_holding_new(operation->key);
    if (!holding)
        return NULL;
    rlk_holding_grant(holding, &operation->lock);
    if (!operation->terms.renew)
        return holding;
    holding->place = RLK_KEPT;
    rlk_holding_retain(holding);
    if (rlk_watchdog_keep(runner->watchdog, holding))
        return holding;
    rlk_holding_drop(holding);
    rlk_holding_drop(holding);
    return NULL;
}

/* The next in line asks in the same write: on a connection the order is kept. Not if the nodes are to
 * keep the lock for a while. What is released is passed on no more: its cohort is over. */
static void have_followed(struct rlk_runner *runner, const struct rlk_lock *release)
{
    int64_t now_ms = rlk_clock_ms();
    struct rlk_cohort *cohort = rlk_cohorts_find(&runner->cohorts, release->key, &release->lease);
    if (cohort)
        rlk_cohorts_close(cohort);
    const struct rlk_in_line *first = rlk_lines_first(&runner->lines, release->key);
    if (!first || !first->lock || rlk_lease_keep_ms(release->quorum, &release->lease, now_ms) > 0)
        return;
    rlk_loop_top_up(runner->loop);
    rlk_lock_follow(first->lock, now_ms);
    rlk_loop_touch(runner->loop, first->lock);
}

/* Nobody is there to hold what was granted. */
static void take_back(struct rlk_runner *runner, struct rlk_operation *operation)
{
    struct rlk_holding *holding = operation->holding;
    operation->holding = NULL;
    if (holding) {
        bool kept = rlk_watchdog_keeps(holding);
        rlk_watchdog_let_go(runner->watchdog, holding);
        if (kept)
            rlk_holding_drop(holding);
        rlk_holding_drop(holding);
    }
    rlk_lock_undo(&operation->lock, rlk_clock_ms());
    rlk_loop_touch(runner->loop, &operation->lock);
    have_followed(runner, &operation->lock);
}

static enum rlk_outcome note_extension(struct rlk_runner *runner, struct rlk_operation *operation)
{
    struct rlk_holding *holding = operation->holding;
    enum rlk_outcome outcome = rlk_holding_note_extension(holding, &operation->lock);
    if (outcome == RLK_EXTENDED)
        rlk_watchdog_credit(runner->watchdog, holding);
    else if (outcome == RLK_LOST && rlk_watchdog_keeps(holding))
        rlk_watchdog_note_end(runner->watchdog, holding);
    return outcome;
}

/* What each node said, as long as the machine's own record does not change any more. */
static void report(const struct rlk_runner *runner, struct rlk_operation *operation)
{
    size_t size = (size_t)runner->nodes * sizeof *operation->report;
    enum rlk_outcome outcome = operation->outcome;
    if (outcome == RLK_ACQUIRED || outcome == RLK_EXTENDED || outcome == RLK_RELEASED)
        return;
    operation->report = malloc(size);
    if (operation->report)
        memcpy(operation->report, operation->tallies, size);
}

static void ring(struct rlk_runner *runner)
{
    if (!runner->to_ring)
        return;
    rlk_outbox_ring(runner->to_ring);
    rlk_outbox_drop(runner->to_ring);
    runner->to_ring = NULL;
}

/* True if the program will know: from here on the result is its own. The bell is rung once for all
 * that completes in one turn. */
static bool post(struct rlk_runner *runner, struct rlk_operation *operation)
{
    bool must_ring;
    struct rlk_outbox *outbox = operation->outbox;
    if (!outbox || !rlk_outbox_post(outbox, &operation->notice, &must_ring))
        return false;
    if (must_ring && runner->to_ring != outbox) {
        ring(runner);
        rlk_outbox_retain(outbox); /* nothing else may keep it until then */
        runner->to_ring = outbox;
    }
    return true;
}

/* Who was granted the lock by the nodes, and not by another of its cohort, is the first of one. */
static void found_cohort(struct rlk_runner *runner, const struct rlk_operation *operation)
{
    const struct rlk_lock *lock = &operation->lock;
    const struct rlk_terms *terms = &operation->terms;
    if (operation->kind == RLK_ACQUIRE && lock->outcome == RLK_ACQUIRED && terms->cohort &&
        terms->at_least_ms == 0 && lock->lease.fence % RLK_FENCE_BLOCK == 0)
        rlk_cohorts_open(&runner->cohorts, lock);
}

static void decide(struct rlk_runner *runner, struct rlk_operation *operation)
{
    struct rlk_lock *lock = &operation->lock;
    operation->is_decided = true;
    operation->outcome = lock->outcome;
    found_cohort(runner, operation);
    leave_line(runner, operation);
    if (operation->outcome == RLK_ACQUIRED) {
        operation->holding = grant(runner, operation);
        operation->outcome = operation->holding ? RLK_ACQUIRED : RLK_UNAVAILABLE;
    } else if (operation->kind == RLK_ACQUIRE && lock->outcome == RLK_LOST) {
        operation->outcome = RLK_UNAVAILABLE; /* its lease ended before it was had */
    } else if (operation->kind == RLK_EXTEND) {
        operation->outcome = note_extension(runner, operation);
    } else if (operation->kind == RLK_RELEASE) {
        rlk_holding_conclude(operation->holding, lock->outcome, lock->loss);
    }
    report(runner, operation);
    bool granted = operation->holding != NULL;
    bool posted = post(runner, operation);
    bool is_lost =
        operation->kind == RLK_ACQUIRE && lock->outcome == RLK_LOST; /* before it was had */
    if (is_lost || (lock->outcome == RLK_ACQUIRED && !(posted && granted)))
        take_back(runner, operation);
    else
        rlk_lock_hand_over(lock);
}

/* A release that went out has to be answered, since a node may not take it. */
static bool is_done(const struct rlk_lock *lock)
{
    return rlk_lock_is_done(lock) && !(lock->kind == RLK_RELEASE && (lock->sent & ~lock->answered));
}

static void retire(struct rlk_runner *runner, struct rlk_operation *operation)
{
    rlk_loop_detach(runner->loop, &operation->lock);
    rlk_unlink(&operation->running);
    rlk_unlink(&operation->moved);
    rlk_operation_drop(operation);
}

/* A grant waits a moment for nodes that are being asked for the first time; an extension counts
 * from the verdict on. */
static bool lingers(struct rlk_runner *runner, struct rlk_operation *operation)
{
    struct rlk_lock *lock = &operation->lock;
    if (lock->state != RLK_OWNED || runner->is_stopping ||
        !rlk_loop_is_first_asking(runner->loop, lock))
        return false;
    if (operation->linger_until_ms == 0) {
        operation->linger_until_ms = rlk_loop_linger_until(lock);
        if (operation->kind == RLK_EXTEND)
            note_extension(runner, operation);
    }
    if (rlk_clock_ms() >= operation->linger_until_ms)
        return false;
    rlk_list_append(&runner->lingering, &operation->moved);
    return true;
}

void rlk_runner_settle(struct rlk_runner *runner)
{
    struct rlk_link *link;
    while ((link = rlk_list_take_first(&runner->moved)) != NULL) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, moved);
        if (!operation->is_decided && operation->lock.outcome != RLK_PENDING &&
            !lingers(runner, operation))
            decide(runner, operation);
        if (operation->is_decided && is_done(&operation->lock))
            retire(runner, operation);
    }
    ring(runner);
}

/* ---- how it begins ---- */

static void begin_acquire(struct rlk_runner *runner, struct rlk_operation *operation,
                          int64_t now_ms)
{
    struct rlk_lock *lock = &operation->lock;
    bool in_line =
        operation->terms.wait_ms > 0 && rlk_lines_join(&runner->lines, &operation->in_line, lock);
    if (!in_line || rlk_line_is_first(&operation->in_line))
        rlk_lock_acquire(lock, &operation->terms, now_ms);
    else
        rlk_lock_stand_by(lock, &operation->terms, now_ms);
    let_stranger_ask(runner, operation->key);
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

/* A machine that has only to be finished; its owner may have released by a call what a cohort was to pass on. */
static void take_over(struct rlk_runner *runner, struct rlk_operation *operation)
{
    struct rlk_lock *lock = &operation->lock;
    lock->quorum = rlk_loop_quorum(runner->loop);
    if (rlk_cohorts_find(&runner->cohorts, lock->key, &lock->lease))
        have_followed(runner, lock);
}

/* The command of an operation goes into its machine. */
static void command(struct rlk_runner *runner, struct rlk_operation *operation)
{
    int64_t now_ms = rlk_clock_ms();
    struct rlk_lock *lock = &operation->lock;
    struct rlk_holding *holding = operation->holding;
    rlk_loop_top_up(runner->loop);
    if (holding)
        rlk_lock_adopt(lock, &holding->lease, atomic_load(&holding->deadline_ms));
    if (operation->kind == RLK_ACQUIRE)
        begin_acquire(runner, operation, now_ms);
    else if (operation->kind == RLK_EXTEND)
        begin_extension(operation, now_ms);
    else if (operation->kind == RLK_RELEASE)
        begin_release(operation, now_ms);
    else
        rlk_lock_inspect(lock, now_ms);
}

/* It ends here, and has asked nobody. */
static void end_at_once(struct rlk_runner *runner, struct rlk_operation *operation,
                        enum rlk_outcome outcome)
{
    operation->outcome = outcome;
    post(runner, operation);
    rlk_operation_drop(operation);
}

/* The next of its cohort gets what was to be released, unless nodes may have been asked for something else
 * meanwhile. What this owner has passed on before is another's. */
static bool pass_on(struct rlk_runner *runner, struct rlk_operation *operation)
{
    struct rlk_holding *holding = operation->holding;
    int status = atomic_load(&holding->status);
    if (status == RLK_HAS_RELEASED)
        return true;
    struct rlk_cohort *cohort = rlk_cohorts_find(&runner->cohorts, operation->key, &holding->lease);
    if (!cohort || status != RLK_LETS_GO || holding->unfit || runner->is_stopping)
        return false;
    struct rlk_lock *next =
        rlk_cohort_pass_on(cohort, atomic_load(&holding->deadline_ms), rlk_clock_ms());
    if (!next)
        return false;
    rlk_holding_conclude(holding, RLK_RELEASED, RLK_NOT_LOST);
    rlk_loop_touch(runner->loop, next);
    note_moved(runner, rlk_owner(next, struct rlk_operation, lock));
    return true;
}

void rlk_runner_begin(struct rlk_runner *runner, struct rlk_operation *operation)
{
    struct rlk_lock *lock = &operation->lock;
    if (operation->kind == RLK_RELEASE && operation->holding && pass_on(runner, operation)) {
        end_at_once(runner, operation, RLK_RELEASED);
        return;
    }
    if (operation->is_decided)
        take_over(runner, operation);
    else
        rlk_lock_init(lock, rlk_loop_quorum(runner->loop), operation->key, operation->tallies);
    lock->inquiry = operation->inquiry;
    lock->renewed_by_another = true;
    if (!rlk_loop_attach(runner->loop, lock)) {
        end_at_once(runner, operation, RLK_UNAVAILABLE);
        return;
    }
    rlk_list_append(&runner->running, &operation->running);
    if (!operation->is_decided)
        command(runner, operation);
    rlk_loop_touch(runner->loop, lock);
    note_moved(runner, operation);
    if (operation->kind == RLK_RELEASE && operation->holding &&
        atomic_load(&operation->holding->status) == RLK_LETS_GO)
        have_followed(runner, lock);
}

void rlk_runner_give_up(struct rlk_runner *runner, struct rlk_operation *operation)
{
    if (operation->is_decided || operation->kind != RLK_ACQUIRE)
        return;
    rlk_lock_cancel(&operation->lock, rlk_clock_ms());
    rlk_loop_touch(runner->loop, &operation->lock);
    note_moved(runner, operation);
}

/* ---- time, and the end ---- */

/* Nodes that are down, or were busy, are tried once more at once. */
static void hasten(struct rlk_runner *runner)
{
    struct rlk_link *link;
    rlk_loop_hasten(runner->loop);
    for (link = runner->running.next; link != &runner->running; link = link->next) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, running);
        rlk_lock_hasten(&operation->lock);
        rlk_loop_touch(runner->loop, &operation->lock);
    }
}

void rlk_runner_wind_up(struct rlk_runner *runner)
{
    struct rlk_link *link;
    if (!runner->is_stopping)
        hasten(runner);
    runner->is_stopping = true;
    for (link = runner->running.next; link != &runner->running; link = link->next)
        rlk_runner_give_up(runner, rlk_owner(link, struct rlk_operation, running));
}

/* Their time is over: from here on the next in line asks the nodes. */
void rlk_runner_time(struct rlk_runner *runner)
{
    struct rlk_cohort *cohort;
    int64_t now_ms = rlk_clock_ms();
    while ((cohort = rlk_cohorts_due(&runner->cohorts, now_ms)) != NULL) {
        struct rlk_lock *next = rlk_cohorts_close(cohort);
        if (!next || next->state != RLK_STANDING_BY)
            continue;
        rlk_loop_top_up(runner->loop);
        rlk_lock_take_turn(next, true, now_ms);
        rlk_loop_touch(runner->loop, next);
    }
}

/* Those that linger are looked at again with every turn. */
int64_t rlk_runner_next_time(struct rlk_runner *runner)
{
    int64_t until_ms = rlk_cohorts_next_time(&runner->cohorts);
    for (struct rlk_link *link = runner->lingering.next; link != &runner->lingering;
         link = link->next) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, moved);
        until_ms = rlk_earlier(until_ms, operation->linger_until_ms);
    }
    rlk_list_move(&runner->lingering, &runner->moved);
    return until_ms;
}

bool rlk_runner_is_idle(const struct rlk_runner *runner)
{
    return rlk_list_is_empty(&runner->running);
}

void rlk_runner_end(struct rlk_runner *runner)
{
    struct rlk_link *link;
    while ((link = rlk_list_first(&runner->running)) != NULL) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, running);
        if (!operation->is_decided) {
            operation->outcome = RLK_UNAVAILABLE;
            post(runner, operation);
        }
        retire(runner, operation);
    }
    ring(runner);
}
