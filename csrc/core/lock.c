/* Everything that moves a lock is in this file.
 *
 * A command starts a round: one request of one kind to every node. Votes that carry another
 * round's number are dropped. A round ends as soon as a majority granted, or no longer can, or
 * its time is up; then it is judged once. Whatever an abandoned attempt may have left on a node
 * is a debt: released on that node before anything else is asked of it. */
#include "core/lock.h"

#include <assert.h>
#include <string.h>

#define CLOCK_MARGIN_MS 4 /* what validity takes off besides the drift, and rounding */
#define POLL_MAX_MS 1000  /* a lost wake-up costs at most this */
#define ECHO_MS 100 /* a node's wake-up so soon after a step back may be for what was given back */
#define WAKE_GATHER_MS 3    /* from the first node's wake-up to the attempt, if no majority comes */
#define BACK_OFF_FIRST_MS 8 /* full jitter: "Exponential Backoff And Jitter", AWS 2015 */
#define BACK_OFF_MAX_MS 250
#define FENCE_AHEAD_MAX_US INT64_C(315360000000000) /* ten years */
#define DIAL_AGAIN_MS 20 /* that others get to answer once a connection turned out dead */
#define OUTBID_RETRIES 4 /* at once, before it counts as contention */
#define ROUND_MAX (RLK_ROUND_LEAVE - 1) /* what the rounds of debts leave over */
#define RENEWALS_PER_TTL 3
#define RENEWAL_GRID 16 /* steps in a third of the ttl */
#define REFRESHES_PER_FENCE_TTL 4
#define RETRIES_PER_TTL 12 /* of a renewal that failed */
#define RENEWAL_RETRY_MAX_MS 1000

/* ---- counting ---- */

static rlk_nodes pending(const struct rlk_lock *lock)
{
    return rlk_all_nodes(lock->quorum) & ~lock->answered;
}

static bool has_majority(const struct rlk_lock *lock, rlk_nodes nodes)
{
    return rlk_count(nodes) >= rlk_majority(lock->quorum);
}

static bool can_still_have_majority(const struct rlk_lock *lock, rlk_nodes nodes)
{
    return has_majority(lock, nodes | pending(lock));
}

static rlk_nodes nodes_that_said(const struct rlk_lock *lock, bool (*is)(enum rlk_reason))
{
    rlk_nodes nodes = 0;
    for (int node = 0; node < lock->quorum->nodes; node++)
        if (is(lock->tallies[node].reason))
            nodes |= rlk_node_bit(node);
    return nodes;
}

static bool is_outbid(enum rlk_reason reason)
{
    return reason == RLK_OUTBID;
}

/* ---- life ---- */

void rlk_lock_init(struct rlk_lock *lock, struct rlk_quorum *quorum, struct rlk_key key,
                   struct rlk_tally *tallies)
{
    assert(quorum->nodes >= 1 && quorum->nodes <= RLK_NODES_MAX);
    assert(key.len >= 1 && key.len <= RLK_KEY_MAX);
    *lock = (struct rlk_lock){.quorum = quorum, .key = key, .tallies = tallies};
    if (tallies)
        memset(tallies, 0, sizeof *tallies * (size_t)quorum->nodes);
}

static int64_t hold_until(const struct rlk_lease *lease)
{
    int64_t max_hold_ms = lease->terms.max_hold_ms;
    return max_hold_ms >= RLK_NEVER - lease->granted_ms ? RLK_NEVER
                                                        : lease->granted_ms + max_hold_ms;
}

static bool renews_itself(const struct rlk_lock *lock)
{
    return lock->lease.terms.renew && !lock->renewed_by_another;
}

static void renew_at(struct rlk_lock *lock, int64_t at_ms)
{
    bool may = renews_itself(lock) && at_ms < hold_until(&lock->lease);
    lock->renew_at_ms = may ? at_ms : RLK_NEVER;
}

/* Moments are rounded down to a common grid, so that renewals of many locks fall due together. */
static void plan_renewal(struct rlk_lock *lock, int64_t extended_ms)
{
    int64_t third = lock->lease.terms.ttl_ms / RENEWALS_PER_TTL;
    int64_t grid = third / RENEWAL_GRID + 1;
    int64_t due_ms = extended_ms + third;
    renew_at(lock, due_ms - due_ms % grid);
}

static int64_t refresh_interval(const struct rlk_lock *lock)
{
    return (int64_t)lock->lease.terms.fence_ttl_s * 1000 / REFRESHES_PER_FENCE_TTL;
}

static void own(struct rlk_lock *lock, int64_t deadline_ms)
{
    lock->state = RLK_OWNED;
    lock->outcome = RLK_ACQUIRED;
    lock->deadline_ms = deadline_ms;
    lock->refresh_at_ms = lock->lease.granted_ms + refresh_interval(lock);
    plan_renewal(lock, lock->lease.granted_ms);
}

static void may_last(struct rlk_lock *lock, int64_t until_ms)
{
    if (until_ms > lock->lasts_until_ms)
        lock->lasts_until_ms = until_ms;
}

void rlk_lock_adopt(struct rlk_lock *lock, const struct rlk_lease *lease, int64_t deadline_ms)
{
    assert(lock->state == RLK_IDLE);
    lock->lease = *lease;
    own(lock, deadline_ms);
    double sure_ms = (double)(deadline_ms - lease->granted_ms), drift = lock->quorum->drift_factor;
    may_last(lock, deadline_ms + (int64_t)(sure_ms * drift / (1 - drift)) + CLOCK_MARGIN_MS);
}

bool rlk_lock_is_at_rest(const struct rlk_lock *lock)
{
    return lock->state == RLK_OWNED && !lock->asking && !lock->unsent &&
           !(lock->sent & ~lock->answered);
}

struct rlk_rest rlk_lock_rest(const struct rlk_lock *lock)
{
    return (struct rlk_rest){lock->renew_at_ms, lock->refresh_at_ms};
}

void rlk_lock_resume(struct rlk_lock *lock, const struct rlk_rest *rest)
{
    assert(lock->state == RLK_OWNED);
    lock->renew_at_ms = rest->renew_at_ms;
    lock->refresh_at_ms = rest->refresh_at_ms;
}

/* ---- rounds ---- */

static void start_round(struct rlk_lock *lock, enum rlk_request_kind kind, rlk_nodes nodes,
                        int64_t now_ms)
{
    lock->kind = kind;
    lock->round = (lock->round + 1) & ROUND_MAX;
    lock->t0_ms = now_ms;
    lock->round_until_ms = now_ms + lock->quorum->timeout_ms;
    lock->unsent = nodes;
    lock->sent = lock->granted = lock->refused = lock->repeated = 0;
    lock->taken = false;
    lock->answered = rlk_all_nodes(lock->quorum) & ~nodes;
    for (int node = 0; lock->tallies && node < lock->quorum->nodes; node++)
        lock->tallies[node].reason = RLK_NO_ANSWER;
}

/* Nothing more is asked in this round; votes that are under way still count for the record. */
static void end_round(struct rlk_lock *lock)
{
    lock->unsent = 0;
    lock->asking = lock->renewing = false;
}

static void note_time_out(struct rlk_lock *lock)
{
    rlk_nodes late = pending(lock);
    for (int node = 0; lock->tallies && node < lock->quorum->nodes; node++)
        if (late & rlk_node_bit(node))
            lock->tallies[node].reason = RLK_TIMED_OUT;
    lock->answered |= late;
}

/* The first lease lasts as long as the terms want it to, at least. */
static int64_t first_lease_ms(const struct rlk_lock *lock)
{
    const struct rlk_terms *terms = &lock->lease.terms;
    if (terms->at_least_ms <= 0)
        return terms->ttl_ms;
    int64_t least_ms = rlk_lease_for_ms(lock->quorum, terms->at_least_ms);
    return least_ms > terms->ttl_ms ? least_ms : terms->ttl_ms;
}

/* The token may stand on these nodes: it is to be released there before anything else is asked
 * of them. A request that was held up may have been run no earlier than just now. */
static void owe_release(struct rlk_lock *lock, rlk_nodes nodes, int64_t now_ms)
{
    if (!lock->tallies)
        return;
    may_last(lock, now_ms + first_lease_ms(lock));
    for (int node = 0; node < lock->quorum->nodes; node++) {
        if (!(nodes & rlk_node_bit(node)))
            continue;
        memcpy(lock->tallies[node].owed_token, lock->lease.token, sizeof lock->lease.token);
        lock->tallies[node].was_owned = lock->kind == RLK_RELEASE;
    }
    rlk_debts_owe(&lock->debts, nodes, lock->lasts_until_ms + lock->quorum->timeout_ms);
}

void rlk_lock_retire(struct rlk_lock *lock)
{
    rlk_debts_hand_over(&lock->debts);
    lock->joined = 0;
    if (lock->state == RLK_RELEASING)
        return;
    end_round(lock);
    lock->state = RLK_IDLE;
}

void rlk_lock_hasten(struct rlk_lock *lock)
{
    rlk_debts_hasten(&lock->debts);
}

void rlk_lock_hand_over(struct rlk_lock *lock)
{
    assert(lock->outcome != RLK_PENDING);
    end_round(lock);
    lock->state = RLK_IDLE;
}

static void finish(struct rlk_lock *lock, enum rlk_outcome outcome)
{
    end_round(lock);
    lock->state = outcome == RLK_ACQUIRED || outcome == RLK_EXTENDED ? RLK_OWNED : RLK_IDLE;
    lock->outcome = outcome;
    if (lock->state == RLK_IDLE) {
        rlk_debts_leave(&lock->debts, lock->joined);
        lock->joined = 0;
    }
}

/* ---- acquire ---- */

/* A multiple of the block, so that what follows up to the next is the owner's to give away. */
static int64_t next_ballot(struct rlk_quorum *quorum)
{
    int64_t above = quorum->highest_fence;
    if (above < quorum->wall_us - 1)
        above = quorum->wall_us - 1;
    quorum->highest_fence = (above / RLK_FENCE_BLOCK + 1) * RLK_FENCE_BLOCK;
    return quorum->highest_fence;
}

/* A number from a far future is nobody's ballot: bidding above it would spread it to honest
 * nodes. */
static void note_fence(struct rlk_lock *lock, int64_t fence)
{
    struct rlk_quorum *quorum = lock->quorum;
    if (fence > quorum->highest_fence && fence <= quorum->wall_us + FENCE_AHEAD_MAX_US)
        quorum->highest_fence = fence;
}

static void start_attempt(struct rlk_lock *lock, int64_t now_ms)
{
    struct rlk_quorum *quorum = lock->quorum;
    assert(quorum->token[0] && "the driver hands in a fresh token before every input");
    memcpy(lock->lease.token, quorum->token, sizeof lock->lease.token);
    quorum->token[0] = '\0';
    lock->lease.fence = next_ballot(quorum);
    lock->lease.granted_ms = now_ms;
    lock->lease.nodes = 0;
    lock->woken = 0;
    lock->seems_owned = lock->follows = false;
    lock->could_join = quorum->inbox_ready;
    lock->state = RLK_ACQUIRING;
    start_round(lock, RLK_ACQUIRE, rlk_all_nodes(quorum), now_ms);
    lock->round_ttl_ms = first_lease_ms(lock);
    may_last(lock, now_ms + lock->round_ttl_ms);
}

static void start_another_attempt(struct rlk_lock *lock, int64_t now_ms)
{
    start_attempt(lock, now_ms);
    if (lock->wait_until_ms > now_ms && lock->wait_until_ms < lock->round_until_ms)
        lock->round_until_ms = lock->wait_until_ms;
}

static void arrive(struct rlk_lock *lock, const struct rlk_terms *terms, int64_t now_ms)
{
    assert(lock->state == RLK_IDLE || lock->state == RLK_OWNED);
    assert(terms->ttl_ms >= 1 && terms->wait_ms >= 0);
    assert(lock->tallies);
    lock->lease.terms = *terms;
    lock->outcome = RLK_PENDING;
    lock->loss = RLK_NOT_LOST;
    lock->arrival_us = lock->quorum->wall_us;
    lock->arrived_ms = now_ms;
    lock->met_another = false;
    lock->wait_until_ms =
        terms->wait_ms >= RLK_NEVER - now_ms ? RLK_NEVER : now_ms + terms->wait_ms;
    lock->give_up_at_ms = now_ms + lock->quorum->timeout_ms;
    lock->tries = 0;
    end_round(lock);
}

/* Who only tries takes what is free. */
static void be_courteous(struct rlk_lock *lock, int64_t now_ms)
{
    lock->follows |=
        lock->lease.terms.wait_ms > 0 && rlk_quorum_is_courteous(lock->quorum, lock->key, now_ms);
}

void rlk_lock_acquire(struct rlk_lock *lock, const struct rlk_terms *terms, int64_t now_ms)
{
    arrive(lock, terms, now_ms);
    start_attempt(lock, now_ms);
    be_courteous(lock, now_ms);
}

/* Until the first of the nodes that hold it may be free by itself: the shortest lease that they
 * named, at most a second. Jitter keeps waiters that heard the same from coming together. */
static int64_t poll_interval(struct rlk_lock *lock)
{
    int64_t interval = POLL_MAX_MS;
    for (int node = 0; node < lock->quorum->nodes; node++) {
        const struct rlk_tally *tally = &lock->tallies[node];
        if (tally->reason == RLK_HELD && tally->ttl_ms >= 0 && tally->ttl_ms < interval)
            interval = tally->ttl_ms;
    }
    if (interval == POLL_MAX_MS)
        return interval - rlk_jitter(lock->quorum, POLL_MAX_MS / 5);
    interval += 1 + rlk_jitter(lock->quorum, interval / 10 + 2);
    return interval < POLL_MAX_MS ? interval : POLL_MAX_MS;
}

static int64_t back_off(struct rlk_lock *lock)
{
    int doublings = lock->tries < 5 ? lock->tries : 5;
    int64_t ceiling = (int64_t)BACK_OFF_FIRST_MS << doublings;
    lock->tries++;
    return 1 + rlk_jitter(lock->quorum, ceiling < BACK_OFF_MAX_MS ? ceiling : BACK_OFF_MAX_MS);
}

static void wait_for(struct rlk_lock *lock, int64_t interval_ms, int64_t now_ms)
{
    lock->state = RLK_WAITING;
    lock->poll_at_ms = now_ms + interval_ms;
}

/* The last attempt was granted too late, or too few nodes answered. Nodes that had not answered
 * yet when the attempt was decided without them count as being there. */
static bool is_unavailable(const struct rlk_lock *lock)
{
    return has_majority(lock, lock->granted) ||
           !can_still_have_majority(lock, nodes_that_said(lock, rlk_reason_is_answer));
}

static void give_up(struct rlk_lock *lock)
{
    if (is_unavailable(lock))
        finish(lock, RLK_UNAVAILABLE);
    else
        finish(lock, lock->lease.terms.wait_ms == 0 ? RLK_LOCKED : RLK_TIMEOUT);
}

/* Also by votes that came after the attempt had failed without them. */
static void note_answers(struct rlk_lock *lock)
{
    if (!has_majority(lock, lock->granted) &&
        has_majority(lock, nodes_that_said(lock, rlk_reason_is_answer)))
        lock->give_up_at_ms = RLK_NEVER;
}

static bool is_held(enum rlk_reason reason)
{
    return reason == RLK_HELD;
}

/* Most likely by one, whose release will wake it: the nodes that granted are those that this one
 * did not reach. */
static bool is_owned(const struct rlk_lock *lock)
{
    return has_majority(lock, nodes_that_said(lock, is_held)) && has_majority(lock, lock->joined);
}

/* Nodes are free: they granted it, or would have to a higher bid. */
static bool is_contended(const struct rlk_lock *lock)
{
    rlk_nodes outbid = nodes_that_said(lock, is_outbid);
    bool was_outbid = outbid && can_still_have_majority(lock, outbid | lock->granted);
    return was_outbid || (lock->granted && !is_owned(lock));
}

/* The inbox was confirmed while the attempt was on its way, which could not join there. */
static bool can_join_now(const struct rlk_lock *lock)
{
    rlk_nodes ready = lock->quorum->inbox_ready;
    return has_majority(lock, ready) && (ready & ~lock->could_join & ~lock->joined);
}

/* The nodes answered, and the lock is not mine. */
static void wait_for_turn(struct rlk_lock *lock, int64_t now_ms)
{
    note_answers(lock);
    lock->met_another = true;
    if (now_ms >= lock->wait_until_ms)
        give_up(lock);
    else if (lock->woken)
        start_another_attempt(lock, now_ms);
    else if (is_contended(lock))
        wait_for(lock, back_off(lock), now_ms);
    else {
        if (!pending(lock))
            lock->tries = 0;
        lock->seems_owned = true;
        wait_for(lock, can_join_now(lock) ? WAKE_GATHER_MS : poll_interval(lock), now_ms);
    }
}

/* A node that granted is heard of after the others had made the attempt fail: the lock is not owned,
 * but contended for. */
static void note_contention(struct rlk_lock *lock, int64_t now_ms)
{
    if (!lock->seems_owned || !lock->granted || is_owned(lock))
        return;
    lock->seems_owned = false;
    lock->poll_at_ms = rlk_earlier(lock->poll_at_ms, now_ms + back_off(lock));
}

static bool is_disconnected(enum rlk_reason reason)
{
    return reason == RLK_DISCONNECTED;
}

static void wait_for_nodes(struct rlk_lock *lock, int64_t now_ms)
{
    if (now_ms >= lock->wait_until_ms || now_ms >= lock->give_up_at_ms)
        give_up(lock);
    else
        wait_for(lock, back_off(lock), now_ms);
}

/* A higher bid, or a fresh connection for one that turned out to be dead, is worth another
 * attempt at once. */
static void fail_attempt(struct rlk_lock *lock, int64_t now_ms)
{
    rlk_nodes outbid = nodes_that_said(lock, is_outbid);
    rlk_nodes disconnected = nodes_that_said(lock, is_disconnected);
    owe_release(lock, lock->sent & ~nodes_that_said(lock, rlk_reason_is_harmless), now_ms);
    lock->stepped_back = 0;
    lock->echo_until_ms = now_ms + ECHO_MS;
    end_round(lock);
    bool bid_again = outbid && can_still_have_majority(lock, outbid | lock->granted) &&
                     lock->tries < OUTBID_RETRIES;
    bool dial_again = disconnected && lock->tries == 0 && now_ms < lock->give_up_at_ms;
    if (bid_again || dial_again) {
        lock->tries++;
        start_another_attempt(lock, now_ms);
    } else if (is_unavailable(lock)) {
        wait_for_nodes(lock, now_ms);
    } else {
        wait_for_turn(lock, now_ms);
    }
}

/* On granting, a node takes the waiter off its queue. Everywhere else the owner leaves it, also
 * where the answer is still on its way (the leave travels behind the acquire); and a wake-up
 * that came from there is passed on to the next. */
static void leave_other_queues(struct rlk_lock *lock)
{
    rlk_debts_leave(&lock->debts, (lock->joined | lock->woken) & ~lock->granted);
    lock->joined = 0;
}

static int64_t waited_ms(const struct rlk_lock *lock)
{
    int64_t waited = lock->t0_ms - lock->arrived_ms;
    if (!lock->met_another)
        return 0;
    return waited > 0 ? waited : 1;
}

static void judge_attempt(struct rlk_lock *lock, int64_t now_ms)
{
    if (has_majority(lock, lock->granted)) {
        int64_t deadline_ms = lock->t0_ms + rlk_validity_ms(lock->quorum, lock->round_ttl_ms);
        if (now_ms < deadline_ms) {
            lock->lease.waited_ms = waited_ms(lock);
            own(lock, deadline_ms);
            lock->give_up_at_ms = RLK_NEVER;
            leave_other_queues(lock);
        } else {
            fail_attempt(lock, now_ms);
        }
    } else if (!can_still_have_majority(lock, lock->granted)) {
        fail_attempt(lock, now_ms);
    }
}

void rlk_lock_cancel(struct rlk_lock *lock, int64_t now_ms)
{
    if (lock->state != RLK_ACQUIRING && lock->state != RLK_WAITING &&
        lock->state != RLK_STANDING_BY)
        return;
    if (lock->state == RLK_ACQUIRING)
        owe_release(lock, lock->sent & ~nodes_that_said(lock, rlk_reason_is_harmless), now_ms);
    finish(lock, RLK_TIMEOUT);
}

/* ---- standing by ---- */

/* Its round asks nobody; what is remembered of it is the moment of its arrival, t0_ms. */
void rlk_lock_stand_by(struct rlk_lock *lock, const struct rlk_terms *terms, int64_t now_ms)
{
    assert(terms->wait_ms > 0);
    arrive(lock, terms, now_ms);
    lock->lease.nodes = 0;
    lock->met_another = true;
    lock->state = RLK_STANDING_BY;
    lock->poll_at_ms = RLK_NEVER;
    start_round(lock, RLK_ACQUIRE, 0, now_ms);
}

void rlk_lock_take_turn(struct rlk_lock *lock, bool nodes_answered, int64_t now_ms)
{
    assert(lock->state == RLK_STANDING_BY);
    if (now_ms >= lock->wait_until_ms)
        return;
    if (nodes_answered)
        lock->give_up_at_ms = now_ms + lock->quorum->timeout_ms;
    start_another_attempt(lock, now_ms);
    be_courteous(lock, now_ms);
}

void rlk_lock_await_turn(struct rlk_lock *lock, int64_t turn_at_ms)
{
    assert(lock->state == RLK_STANDING_BY);
    lock->poll_at_ms = turn_at_ms;
}

void rlk_lock_follow(struct rlk_lock *lock, int64_t now_ms)
{
    if ((lock->state != RLK_STANDING_BY && lock->state != RLK_WAITING) ||
        now_ms >= lock->wait_until_ms)
        return;
    if (lock->state == RLK_STANDING_BY)
        lock->give_up_at_ms = now_ms + lock->quorum->timeout_ms;
    start_another_attempt(lock, now_ms);
    lock->follows = true;
}

void rlk_lock_receive(struct rlk_lock *lock, const struct rlk_lease *lease, int64_t deadline_ms,
                      int64_t now_ms)
{
    assert(lock->state == RLK_STANDING_BY && now_ms < deadline_ms);
    assert((lease->fence + 1) % RLK_FENCE_BLOCK != 0);
    memcpy(lock->lease.token, lease->token, sizeof lock->lease.token);
    lock->lease.fence = lease->fence + 1;
    lock->lease.nodes = lease->nodes;
    lock->lease.granted_ms = lock->t0_ms = now_ms;
    lock->lease.waited_ms = waited_ms(lock);
    lock->give_up_at_ms = RLK_NEVER;
    own(lock, deadline_ms);
    may_last(lock, now_ms + lock->lease.terms.ttl_ms);
}

/* It was not the end of its own wait, nor of a short lease, that made it give up. */
static bool is_without_nodes(const struct rlk_lock *lock)
{
    return lock->outcome == RLK_UNAVAILABLE && lock->kind == RLK_ACQUIRE &&
           !rlk_lock_was_answered(lock) && lock->wait_until_ms >= lock->give_up_at_ms &&
           !has_majority(lock, lock->granted);
}

bool rlk_lock_share_verdict(struct rlk_lock *lock, const struct rlk_lock *first)
{
    if (lock->state != RLK_STANDING_BY || !is_without_nodes(first) || lock->t0_ms > first->t0_ms)
        return false;
    rlk_lock_copy_reasons(lock, first);
    finish(lock, RLK_UNAVAILABLE);
    return true;
}

void rlk_lock_copy_reasons(struct rlk_lock *lock, const struct rlk_lock *from)
{
    assert(lock->quorum == from->quorum);
    for (int node = 0; node < lock->quorum->nodes; node++) {
        struct rlk_tally *tally = &lock->tallies[node];
        struct rlk_tally copy = from->tallies[node];
        memcpy(copy.owed_token, tally->owed_token, sizeof copy.owed_token);
        *tally = copy;
    }
}

void rlk_lock_note_owner(struct rlk_lock *lock, const struct rlk_lease *lease, int64_t left_ms)
{
    for (int node = 0; node < lock->quorum->nodes; node++)
        if (lease->nodes & rlk_node_bit(node)) {
            lock->tallies[node].reason = RLK_HELD;
            lock->tallies[node].ttl_ms = left_ms;
            lock->tallies[node].fence = lease->fence;
        }
}

/* ---- extend ---- */

static void lose(struct rlk_lock *lock, enum rlk_loss loss)
{
    lock->loss = loss;
    finish(lock, RLK_LOST);
}

static void start_extension(struct rlk_lock *lock, int64_t ttl_ms, bool renewing, int64_t now_ms)
{
    start_round(lock, RLK_EXTEND, lock->lease.nodes, now_ms);
    lock->round_ttl_ms = ttl_ms;
    may_last(lock, now_ms + ttl_ms);
    lock->asking = true;
    lock->renewing = renewing;
    lock->outcome = RLK_PENDING;
}

void rlk_lock_extend(struct rlk_lock *lock, int64_t ttl_ms, int64_t now_ms)
{
    assert(lock->state == RLK_OWNED && ttl_ms >= 1);
    if (now_ms >= lock->deadline_ms)
        lose(lock, RLK_EXPIRED);
    else
        start_extension(lock, ttl_ms, false, now_ms);
}

static void end_extension(struct rlk_lock *lock, enum rlk_outcome outcome, int64_t now_ms)
{
    if (outcome == RLK_EXTENDED) {
        plan_renewal(lock, lock->t0_ms);
        if (lock->t0_ms >= lock->refresh_at_ms)
            lock->refresh_at_ms = lock->t0_ms + refresh_interval(lock);
    } else {
        int64_t window = lock->lease.terms.ttl_ms / RETRIES_PER_TTL;
        window = window < RENEWAL_RETRY_MAX_MS ? window : RENEWAL_RETRY_MAX_MS;
        renew_at(lock, now_ms + 1 + rlk_jitter(lock->quorum, window));
    }
    end_round(lock);
    lock->outcome = outcome;
}

/* Nodes that were never asked to grant the token do not hold it either. */
static bool is_certainly_lost(const struct rlk_lock *lock)
{
    rlk_nodes without = lock->refused | (rlk_all_nodes(lock->quorum) & ~lock->lease.nodes);
    return lock->refused && rlk_count(without) > lock->quorum->nodes - rlk_majority(lock->quorum);
}

/* A majority must have said yes before the deadline that held when it was asked. */
static void judge_extension(struct rlk_lock *lock, int64_t now_ms)
{
    if (now_ms >= lock->deadline_ms) {
        lose(lock, RLK_EXPIRED);
    } else if (has_majority(lock, lock->granted)) {
        rlk_lock_credit(lock, lock->t0_ms + rlk_validity_ms(lock->quorum, lock->round_ttl_ms));
        end_extension(lock, RLK_EXTENDED, now_ms);
    } else if (is_certainly_lost(lock)) {
        lose(lock, lock->taken ? RLK_TAKEN : RLK_GONE);
    } else if (!can_still_have_majority(lock, lock->granted)) {
        end_extension(lock, RLK_UNAVAILABLE, now_ms);
    }
}

void rlk_lock_credit(struct rlk_lock *lock, int64_t deadline_ms)
{
    if (deadline_ms > lock->deadline_ms)
        lock->deadline_ms = deadline_ms;
}

/* ---- release, inspect ---- */

void rlk_lock_release(struct rlk_lock *lock, int64_t now_ms)
{
    assert(lock->state == RLK_OWNED || lock->state == RLK_IDLE);
    lock->state = RLK_RELEASING;
    lock->outcome = RLK_PENDING;
    end_round(lock);
    start_round(lock, RLK_RELEASE, lock->lease.nodes, now_ms);
}

static bool is_granted(enum rlk_reason reason)
{
    return reason == RLK_GRANTED;
}

void rlk_lock_owe(struct rlk_lock *lock, int64_t now_ms)
{
    assert(lock->state == RLK_IDLE && lock->kind == RLK_RELEASE);
    owe_release(lock, lock->lease.nodes & ~nodes_that_said(lock, is_granted), now_ms);
}

void rlk_lock_undo(struct rlk_lock *lock, int64_t now_ms)
{
    lock->lease.terms.at_least_ms = 0;
    rlk_lock_release(lock, now_ms);
}

int64_t rlk_lease_keep_ms(const struct rlk_quorum *quorum, const struct rlk_lease *lease,
                          int64_t now_ms)
{
    int64_t at_least_ms = lease->terms.at_least_ms;
    int64_t left_ms = lease->granted_ms + at_least_ms - now_ms;
    return at_least_ms > 0 && left_ms > 0 ? rlk_lease_for_ms(quorum, left_ms) : 0;
}

static enum rlk_outcome outcome_of_release(const struct rlk_lock *lock)
{
    if (lock->tells_all && pending(lock))
        return RLK_PENDING;
    if (has_majority(lock, lock->granted))
        return RLK_RELEASED;
    if (is_certainly_lost(lock))
        return RLK_LOST;
    return pending(lock) ? RLK_PENDING : RLK_UNAVAILABLE;
}

static void judge_release(struct rlk_lock *lock, int64_t now_ms)
{
    enum rlk_outcome outcome = outcome_of_release(lock);
    if (outcome == RLK_PENDING)
        return;
    if (outcome == RLK_LOST && lock->loss == RLK_NOT_LOST)
        lock->loss = lock->taken ? RLK_TAKEN : RLK_GONE;
    rlk_nodes told = lock->granted | lock->refused | (lock->sent & pending(lock));
    owe_release(lock, lock->lease.nodes & ~told, now_ms);
    finish(lock, outcome);
}

void rlk_lock_inspect(struct rlk_lock *lock, int64_t now_ms)
{
    assert(lock->state == RLK_IDLE && lock->tallies);
    lock->state = RLK_INSPECTING;
    lock->outcome = RLK_PENDING;
    const struct rlk_inquiry *inquiry = lock->inquiry;
    rlk_nodes all = rlk_all_nodes(lock->quorum);
    start_round(lock, inquiry ? inquiry->kind : RLK_INSPECT, inquiry ? inquiry->nodes & all : all,
                now_ms);
    if (!pending(lock))
        finish(lock, RLK_INSPECTED);
}

/* ---- votes, wake-ups, time ---- */

/* Most likely by an earlier request, whose answer was lost. */
static bool was_released_before(const struct rlk_lock *lock, rlk_nodes bit, enum rlk_reason reason)
{
    if (lock->kind != RLK_RELEASE)
        return false;
    bool is_gone = reason == RLK_ABSENT || (lock->told_before && reason == RLK_ANOTHERS);
    return is_gone && (lock->told_before || (lock->repeated & bit));
}

static void record(struct rlk_lock *lock, int node, const struct rlk_vote *vote)
{
    rlk_nodes bit = rlk_node_bit(node);
    lock->answered |= bit;
    lock->unsent &= ~bit;
    if (vote->reason == RLK_GRANTED || was_released_before(lock, bit, vote->reason))
        lock->granted |= bit;
    else if (vote->reason == RLK_ABSENT || vote->reason == RLK_ANOTHERS)
        lock->refused |= bit;
    lock->taken |= vote->reason == RLK_ANOTHERS;
    if (lock->inquiry && vote->details_len > 0)
        rlk_inquiry_note(lock->inquiry, node, vote->details, vote->details_len);
    if (!lock->tallies)
        return;
    struct rlk_tally *tally = &lock->tallies[node];
    size_t len = vote->text_len < sizeof tally->text ? vote->text_len : sizeof tally->text - 1;
    if (len > 0)
        memcpy(tally->text, vote->text, len);
    tally->text[len] = '\0';
    tally->reason = vote->reason;
    tally->ttl_ms = vote->ttl_ms;
    tally->fence = vote->fence;
    tally->waiters = vote->waiters;
}

static void send_again(struct rlk_lock *lock, int node)
{
    rlk_nodes bit = rlk_node_bit(node);
    lock->sent &= ~bit;
    if (pending(lock) & bit)
        lock->unsent |= bit;
}

/* The round may still ask: it was not given up. While the lock is owned, more nodes only make it
 * safer, also when a majority has granted or extended already. */
static bool is_open(const struct rlk_lock *lock)
{
    return lock->state != RLK_IDLE && lock->state != RLK_STANDING_BY && lock->state != RLK_WAITING;
}

/* An answer may come long after its round was judged, and past max_hold. What the owner asks for
 * himself is no renewal. */
static bool is_renewal_too_late(const struct rlk_lock *lock, int64_t now_ms)
{
    bool is_owners = lock->asking && !lock->renewing;
    return lock->kind == RLK_EXTEND && renews_itself(lock) && !is_owners &&
           now_ms >= hold_until(&lock->lease);
}

/* An extension or release may be applied twice. An acquire may not: what became of it is
 * unknown, so its token is used up, and another attempt takes another. */
static bool is_worth_repeating(struct rlk_lock *lock, int node, enum rlk_reason reason,
                               int64_t now_ms)
{
    rlk_nodes bit = rlk_node_bit(node);
    if (is_renewal_too_late(lock, now_ms))
        return false;
    if (reason == RLK_NOSCRIPT)
        return true;
    if (reason != RLK_DISCONNECTED || lock->kind == RLK_ACQUIRE || (lock->repeated & bit))
        return false;
    if (lock->kind == RLK_BREAK && lock->inquiry->word.len == 0)
        return false; /* it would hit whoever came meanwhile */
    lock->repeated |= bit;
    return true;
}

static void judge(struct rlk_lock *lock, int64_t now_ms)
{
    switch (lock->state) {
    case RLK_ACQUIRING:
        judge_attempt(lock, now_ms);
        break;
    case RLK_OWNED:
        if (lock->asking)
            judge_extension(lock, now_ms);
        break;
    case RLK_RELEASING:
        judge_release(lock, now_ms);
        break;
    case RLK_INSPECTING:
        if (!pending(lock))
            finish(lock, RLK_INSPECTED);
        break;
    case RLK_WAITING:
        note_answers(lock);
        note_contention(lock, now_ms);
        break;
    case RLK_IDLE:
    case RLK_STANDING_BY:
        break;
    }
}

/* A node that needs but a fresh connection must not wait for one that hangs. */
static void hasten_round(struct rlk_lock *lock, int64_t now_ms)
{
    lock->round_until_ms = rlk_earlier(lock->round_until_ms, now_ms + DIAL_AGAIN_MS);
}

void rlk_lock_vote(struct rlk_lock *lock, int node, uint32_t round, const struct rlk_vote *vote,
                   int64_t now_ms)
{
    assert(node >= 0 && node < lock->quorum->nodes);
    note_fence(lock, vote->fence);
    if (round & RLK_ROUND_OWED) {
        rlk_debts_vote(&lock->debts, lock->quorum, node, round, vote->reason, now_ms);
        if (vote->reason != RLK_GRANTED)
            lock->stepped_back &= ~rlk_node_bit(node); /* it gave nothing back there */
        return;
    }
    if (round != lock->round || !(pending(lock) & rlk_node_bit(node)))
        return;
    if (is_open(lock) && is_worth_repeating(lock, node, vote->reason, now_ms)) {
        send_again(lock, node);
        return;
    }
    if (lock->kind == RLK_ACQUIRE && vote->reason == RLK_GRANTED)
        lock->joined &= ~rlk_node_bit(node);
    if (lock->kind == RLK_RELEASE && vote->told)
        rlk_quorum_note_told(lock->quorum, lock->key, now_ms);
    record(lock, node, vote);
    if (lock->state == RLK_ACQUIRING && vote->reason == RLK_DISCONNECTED && lock->tries == 0)
        hasten_round(lock, now_ms);
    /* The others were a majority, and this one is to be told all the same. */
    if (lock->state == RLK_IDLE && lock->kind == RLK_RELEASE &&
        rlk_reason_is_undelivered(vote->reason))
        owe_release(lock, rlk_node_bit(node), now_ms);
    judge(lock, now_ms);
}

void rlk_lock_wake(struct rlk_lock *lock, int node, int64_t fence, int64_t now_ms)
{
    rlk_nodes bit = rlk_node_bit(node);
    note_fence(lock, fence);
    if (lock->state == RLK_OWNED && lock->kind == RLK_ACQUIRE)
        return; /* its claim is used up by the grant, or passed on by the leave under way */
    if (lock->state != RLK_WAITING && lock->state != RLK_ACQUIRING) {
        lock->joined &= ~bit;
        rlk_debts_leave(&lock->debts, bit); /* too late: the wake-up is passed on */
        return;
    }
    if ((lock->stepped_back & bit) && now_ms < lock->echo_until_ms) {
        lock->stepped_back &= ~bit;
        return; /* to try again at once would be to step back again, and so on */
    }
    lock->woken |= bit;
    if (lock->state != RLK_WAITING)
        return;
    if (has_majority(lock, lock->woken))
        start_another_attempt(lock, now_ms);
    else
        lock->poll_at_ms = rlk_earlier(lock->poll_at_ms, now_ms + WAKE_GATHER_MS);
}

void rlk_lock_inbox_ready(struct rlk_lock *lock, int64_t now_ms)
{
    rlk_nodes ready = lock->quorum->inbox_ready;
    if (lock->state != RLK_WAITING || has_majority(lock, lock->joined) ||
        !has_majority(lock, ready))
        return;
    if (ready == rlk_all_nodes(lock->quorum))
        start_another_attempt(lock, now_ms);
    else
        lock->poll_at_ms = rlk_earlier(lock->poll_at_ms, now_ms + WAKE_GATHER_MS);
}

static void time_while_owned(struct rlk_lock *lock, int64_t now_ms)
{
    if (now_ms >= lock->deadline_ms) {
        lose(lock, RLK_EXPIRED);
    } else if (lock->asking && now_ms >= lock->round_until_ms) {
        note_time_out(lock);
        judge_extension(lock, now_ms);
    } else if (!lock->asking && now_ms >= lock->renew_at_ms) {
        renew_at(lock, now_ms); /* unless it is late, and past max_hold */
        if (lock->renew_at_ms != RLK_NEVER)
            start_extension(lock, lock->lease.terms.ttl_ms, true, now_ms);
    }
}

/* It is the wait that is over, and not the time that nodes have to answer: nobody is to blame for
 * what has not come yet. */
static bool is_cut_short(const struct rlk_lock *lock, int64_t now_ms)
{
    return lock->state == RLK_ACQUIRING && lock->met_another && now_ms >= lock->wait_until_ms &&
           now_ms < lock->t0_ms + lock->quorum->timeout_ms &&
           can_still_have_majority(lock, nodes_that_said(lock, rlk_reason_is_answer));
}

void rlk_lock_time(struct rlk_lock *lock, int64_t now_ms)
{
    rlk_debts_time(&lock->debts, now_ms);
    switch (lock->state) {
    case RLK_ACQUIRING:
    case RLK_RELEASING:
    case RLK_INSPECTING:
        if (is_cut_short(lock, now_ms)) {
            rlk_lock_cancel(lock, now_ms);
        } else if (now_ms >= lock->round_until_ms) {
            note_time_out(lock);
            judge(lock, now_ms);
        }
        break;
    case RLK_STANDING_BY:
        if (now_ms >= lock->wait_until_ms)
            finish(lock, RLK_TIMEOUT);
        else if (now_ms >= lock->poll_at_ms)
            rlk_lock_take_turn(lock, true, now_ms);
        break;
    case RLK_WAITING:
        if (now_ms >= lock->wait_until_ms)
            give_up(lock);
        else if (now_ms >= lock->poll_at_ms)
            start_another_attempt(lock, now_ms);
        break;
    case RLK_OWNED:
        time_while_owned(lock, now_ms);
        break;
    case RLK_IDLE:
        break;
    }
}

/* ---- outputs ---- */

rlk_nodes rlk_lock_wants(const struct rlk_lock *lock)
{
    rlk_nodes blocked = lock->kind == RLK_ACQUIRE ? rlk_debts_in_the_way(&lock->debts) : 0;
    return (lock->unsent & ~blocked) | rlk_debts_due(&lock->debts);
}

/* "inbox/id"; by hand, since every first attempt of one that would wait names itself to each node. */
static void name_waiter(const struct rlk_lock *lock, struct rlk_request *request)
{
    size_t len = strlen(lock->quorum->inbox);
    uint64_t rest = lock->id, power = 1;
    while (rest / power > 9)
        power *= 10;
    memcpy(request->waiter, lock->quorum->inbox, len);
    request->waiter[len++] = '/';
    for (; power > 0; power /= 10)
        request->waiter[len++] = (char)('0' + rest / power % 10);
    request->waiter[len] = '\0';
}

static bool goes_on_waiting(const struct rlk_lock *lock)
{
    return (lock->state == RLK_ACQUIRING || lock->state == RLK_WAITING) &&
           lock->lease.terms.wait_ms > 0;
}

static void pay_debts(struct rlk_lock *lock, int node, int64_t now_ms, struct rlk_request *request)
{
    rlk_nodes bit = rlk_node_bit(node);
    uint32_t debts = rlk_debts_take(&lock->debts, node);
    bool releases = debts & RLK_ROUND_TOKEN, leaves = debts & RLK_ROUND_LEAVE;
    request->kind = RLK_RELEASE;
    request->round = lock->round | debts;
    if (releases) {
        memcpy(request->token, lock->tallies[node].owed_token, sizeof request->token);
        request->keep_ms = lock->tallies[node].was_owned
                               ? rlk_lease_keep_ms(lock->quorum, &lock->lease, now_ms)
                               : 0;
    }
    request->once = true;
    if (releases && !leaves && (lock->quorum->inbox_ready & bit) && goes_on_waiting(lock)) {
        request->steps_back = true;
        lock->stepped_back |= rlk_node_bit(node);
        request->arrival_us = lock->arrival_us;
        lock->joined |= bit;
    }
    if (leaves || request->steps_back)
        name_waiter(lock, request);
}

/* Twice the lease that is asked for, if that is more than the terms say. */
static int64_t fence_ttl_s(const struct rlk_lock *lock)
{
    int64_t twice_s = 2 * (lock->round_ttl_ms / 1000);
    int64_t agreed_s = lock->lease.terms.fence_ttl_s;
    return twice_s > agreed_s ? twice_s : agreed_s;
}

/* It needs nothing that only the script for one lock can do. */
static bool is_plain(const struct rlk_lock *lock, const struct rlk_request *request)
{
    switch (request->kind) {
    case RLK_ACQUIRE:
        return !request->fair && !request->queued;
    case RLK_EXTEND:
        return lock->renewing && lock->t0_ms < lock->refresh_at_ms;
    case RLK_RELEASE:
        return !request->waiter[0] && request->keep_ms == 0;
    default:
        return false;
    }
}

static void inquire(const struct rlk_inquiry *inquiry, int node, struct rlk_request *request)
{
    request->word = inquiry->word;
    request->all = inquiry->all;
    memcpy(request->token, inquiry->cursors[node], sizeof inquiry->cursors[node]);
}

static void ask_round(struct rlk_lock *lock, int node, int64_t now_ms, struct rlk_request *request)
{
    rlk_nodes bit = rlk_node_bit(node);
    request->kind = lock->kind;
    request->round = lock->round;
    memcpy(request->token, lock->lease.token, sizeof request->token);
    request->ttl_ms = lock->round_ttl_ms;
    request->fence = lock->lease.fence;
    request->fence_ttl_s = fence_ttl_s(lock);
    request->identity = lock->quorum->identity;
    request->arrival_us = lock->arrival_us;
    request->fair = lock->lease.terms.fair || lock->follows;
    if (lock->inquiry && lock->state == RLK_INSPECTING)
        inquire(lock->inquiry, node, request);
    if (lock->kind == RLK_RELEASE)
        request->keep_ms = rlk_lease_keep_ms(lock->quorum, &lock->lease, now_ms);
    /* The others may end the round before this one has answered. */
    request->once = lock->kind == RLK_RELEASE || (lock->kind == RLK_EXTEND && !lock->renewing);
    bool joins = lock->state == RLK_ACQUIRING && lock->lease.terms.wait_ms > 0 &&
                 (lock->quorum->inbox_ready & bit);
    request->queued = joins && ((lock->joined | lock->woken) & bit);
    if (joins)
        lock->joined |= bit;
    if (joins || (lock->kind == RLK_RELEASE && (lock->joined & bit)))
        name_waiter(lock, request);
    request->batchable = is_plain(lock, request);
    if (lock->kind == RLK_RELEASE)
        lock->joined &= ~bit;
    if (lock->kind == RLK_ACQUIRE)
        lock->lease.nodes |= bit;
    lock->unsent &= ~bit;
    lock->sent |= bit;
}

bool rlk_lock_next_request(struct rlk_lock *lock, int node, int64_t now_ms,
                           struct rlk_request *request)
{
    rlk_nodes bit = rlk_node_bit(node);
    if (!(rlk_lock_wants(lock) & bit))
        return false;
    *request = (struct rlk_request){.key = lock->key};
    if (rlk_debts_due(&lock->debts) & bit)
        pay_debts(lock, node, now_ms, request);
    else
        ask_round(lock, node, now_ms, request);
    return true;
}

static int64_t next_time_of_state(const struct rlk_lock *lock)
{
    switch (lock->state) {
    case RLK_ACQUIRING:
    case RLK_RELEASING:
    case RLK_INSPECTING:
        return lock->round_until_ms;
    case RLK_STANDING_BY:
    case RLK_WAITING:
        return rlk_earlier(lock->poll_at_ms, lock->wait_until_ms);
    case RLK_OWNED:
        return rlk_earlier(lock->asking ? lock->round_until_ms : lock->renew_at_ms,
                           lock->deadline_ms);
    case RLK_IDLE:
        break;
    }
    return RLK_NEVER;
}

int64_t rlk_lock_next_time(const struct rlk_lock *lock)
{
    return rlk_earlier(next_time_of_state(lock), rlk_debts_next_time(&lock->debts));
}

bool rlk_lock_is_done(const struct rlk_lock *lock)
{
    return lock->state == RLK_IDLE && !rlk_lock_wants(lock) && rlk_debts_are_paid(&lock->debts);
}

bool rlk_lock_is_owing(const struct rlk_lock *lock)
{
    const struct rlk_debts *debts = &lock->debts;
    bool failed = lock->outcome == RLK_UNAVAILABLE;
    return (debts->owed | debts->owed_later | (failed ? debts->owed_sent : 0)) != 0;
}

bool rlk_lock_is_untold(const struct rlk_lock *lock)
{
    bool tells = lock->outcome == RLK_RELEASED && (lock->sent & ~lock->answered);
    bool pays = lock->outcome != RLK_PENDING && lock->debts.owed_sent;
    return tells || (lock->outcome != RLK_UNAVAILABLE && pays);
}

bool rlk_lock_is_put_off(const struct rlk_lock *lock, int node)
{
    return (lock->debts.owed_later & rlk_node_bit(node)) != 0;
}

bool rlk_lock_was_answered(const struct rlk_lock *lock)
{
    return lock->give_up_at_ms == RLK_NEVER;
}

/* If not, so many hold it that it has an owner, though they may be no majority: half of an even number. */
static bool is_free_for_others(const struct rlk_lock *lock)
{
    return has_majority(lock, rlk_all_nodes(lock->quorum) & ~nodes_that_said(lock, is_held));
}

bool rlk_lock_wants_inbox(const struct rlk_lock *lock)
{
    return lock->state == RLK_WAITING && (rlk_lock_was_answered(lock) || !is_free_for_others(lock));
}

int64_t rlk_lock_remaining(const struct rlk_lock *lock, int64_t now_ms)
{
    if (lock->state != RLK_OWNED || now_ms >= lock->deadline_ms)
        return 0;
    return lock->deadline_ms - now_ms;
}
