/* Tenures: who believes to own what, from the grant to the end. What stands on the servers is in
 * tokens.c, what is asked and in which order it is granted in waits.c. */
#include "judge.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "history.h"
#include "judge_rooms.h"
#include "memory.h"
#include "process.h"
#include "report.h"

#define TOLD_WITHIN_US 1000 /* of a verdict; threads are woken within less */

struct sim_verdict sim_verdict;

static struct tenure *tenures;
static size_t capacity;
static int count;
static int first_open[SIM_PROCESSES_MAX]; /* lists by next_open; -1: the end */

struct tenure *sim_tenure(int number)
{
    return &tenures[number];
}

int sim_tenure_lock(int tenure)
{
    return tenures[tenure].lock;
}

int64_t sim_tenure_fence(int tenure)
{
    return tenures[tenure].fence;
}

void sim_judge_begin(void)
{
    count = 0;
    for (int i = 0; i < SIM_PROCESSES_MAX; i++)
        first_open[i] = -1;
    sim_tokens_begin();
    sim_waits_begin();
}

void sim_judge_fails(enum sim_invariant invariant, const char *format, ...)
{
    va_list arguments;
    if (sim.is_over)
        return;
    sim.is_over = true;
    sim_verdict.invariant = invariant;
    sim_verdict.at_us = sim.now_us;
    va_start(arguments, format);
    vsnprintf(sim_verdict.text, sizeof sim_verdict.text, format, arguments);
    va_end(arguments);
    sim_history_add("judge", "%s does not hold: %s", sim_invariants[invariant].name,
                    sim_verdict.text);
}

/* ---- belief ---- */

static int64_t true_deadline(const struct tenure *tenure)
{
    return sim_clock_when(&tenure->process->clock, tenure->deadline_ms * 1000);
}

bool sim_is_believed(const struct tenure *tenure)
{
    return !tenure->has_ended && tenure->process->is_alive && sim.now_us < tenure->deadline_us;
}

bool sim_is_kept(const struct tenure *tenure)
{
    return tenure->was_believed && sim.now_us < tenure->kept_until_us;
}

bool sim_is_released_early(const struct tenure *tenure)
{
    return tenure->released_us > 0 && tenure->released_us < tenure->kept_until_us;
}

static int64_t kept_until(const struct tenure *tenure)
{
    return sim_clock_when(&tenure->process->clock,
                          tenure->asked_ms * 1000 + tenure->at_least_ms * 1000);
}

static void close_tenure(struct tenure *tenure)
{
    tenure->holding = NULL;
}

/* Where the key was deleted by others, or assumptions are broken, two may own it: then it is for
 * the fence to tell them apart. */
static void judge_overlap(const struct tenure *tenure, const struct tenure *other)
{
    if (sim.profile == SIM_SOUND && !sim_token_is_robbed(tenure->token) &&
        !sim_token_is_robbed(other->token)) {
        sim_judge_fails(SIM_ONE_HOLDER,
                        "%s is granted %s with fence %lld while %s holds it with %lld for %lld us",
                        sim_process_name(sim_number_of(tenure->process)),
                        sim_lock_name(tenure->lock, NULL), (long long)tenure->fence,
                        sim_process_name(sim_number_of(other->process)), (long long)other->fence,
                        (long long)(other->deadline_us - sim.now_us));
        return;
    }
    sim_count.double_holders++;
    sim_history_process(tenure->process, "holds it at the same time as %s",
                        sim_process_name(sim_number_of(other->process)));
}

static void judge_at_least(int number)
{
    const struct tenure *tenure = &tenures[number];
    for (int i = number - 1; i >= 0; i--)
        if (tenures[i].lock == tenure->lock && tenures[i].at_least_ms > 0)
            sim_judge_check(SIM_AT_LEAST,
                            !sim_is_kept(&tenures[i]) || sim_token_is_robbed(tenure->token) ||
                                sim_token_is_robbed(tenures[i].token),
                            "%s is granted %s, which %s wanted nobody to have for %lld us more",
                            sim_process_name(sim_number_of(tenure->process)),
                            sim_lock_name(tenure->lock, NULL),
                            sim_process_name(sim_number_of(tenures[i].process)),
                            (long long)(tenures[i].kept_until_us - sim.now_us));
}

static void judge_against_others(int number)
{
    const struct tenure *tenure = &tenures[number];
    sim_count.checks[SIM_ONE_HOLDER]++;
    for (int i = count - 1; i >= 0; i--)
        if (i != number && tenures[i].lock == tenure->lock && sim_is_believed(&tenures[i]))
            judge_overlap(tenure, &tenures[i]);
}

/* Where assumptions are broken, or a key was deleted by others, only what was asked for after the
 * other was granted is certainly newer: its owner may hear late of a grant that is gone. */
static bool is_newer(const struct tenure *newer, const struct tenure *older)
{
    bool is_by_order = sim.profile == SIM_SOUND && !sim_token_is_robbed(newer->token) &&
                       !sim_token_is_robbed(older->token);
    return newer->lock == older->lock && (is_by_order || newer->lease_us > older->granted_us);
}

/* Of what was believed in: a grant that came too late is nobody's. */
static void judge_fence(int number)
{
    const struct tenure *tenure = &tenures[number];
    for (int i = number - 1; i >= 0 && sim.mix.cause != SIM_FORGETTING_FENCES; i--)
        if (tenures[i].was_believed && is_newer(tenure, &tenures[i]))
            sim_judge_check(SIM_FENCE_RISES, tenures[i].fence < tenure->fence,
                            "%s is granted %lld after %lld",
                            sim_process_name(sim_number_of(tenure->process)),
                            (long long)tenure->fence, (long long)tenures[i].fence);
}

static void look_at(int number);

/* What has run out already is no grant, unless its process was stopped before it could hear of it. */
static void judge_lateness(const struct tenure *tenure, int wait)
{
    sim_judge_check(
        SIM_VERDICT_TRUE,
        sim.now_us < tenure->deadline_us + TOLD_WITHIN_US || sim_wait_was_stopped(wait),
        "%s is granted %s, %lld us after its end", sim_process_name(sim_number_of(tenure->process)),
        sim_lock_name(tenure->lock, NULL), (long long)(sim.now_us - tenure->deadline_us));
}

/* If there is time enough for it. */
static bool is_renewed(const struct rlk_terms *terms)
{
    return terms->renew && terms->ttl_ms >= 100 &&
           terms->ttl_ms * 1000 >= 40 * (sim.mix.latency_us + sim.mix.jitter_us);
}

/* It was passed on, and then the nodes were asked up to 100 ms before, by a clock that is not set. */
static int64_t lease_began(const struct tenure *tenure)
{
    if (!tenure->was_passed_on)
        return tenure->asked_us;
    return sim.profile == SIM_SOUND ? tenure->asked_us - COHORT_US : 0;
}

static void note_lease(struct tenure *tenure, const struct rlk_lease *lease)
{
    tenure->was_passed_on = lease->fence % RLK_FENCE_BLOCK != 0;
    tenure->is_in_cohort = lease->terms.cohort;
    tenure->ttl_ms = lease->terms.ttl_ms;
    tenure->lease_us = lease_began(tenure);
    sim_count.passed_on += tenure->was_passed_on;
    sim_judge_check(SIM_COHORT_BOUNDED, !tenure->was_passed_on || lease->terms.cohort,
                    "%s received %s, and is in no cohort",
                    sim_process_name(sim_number_of(tenure->process)),
                    sim_lock_name(tenure->lock, NULL));
}

int sim_judge_granted(int wait, struct rlk_holding *holding)
{
    tenures = sim_memory_grow(tenures, &capacity, (size_t)count + 1, sizeof *tenures);
    int number = count++;
    struct tenure *tenure = &tenures[number];
    struct sim_process *process = sim_wait_process(wait);
    *tenure = (struct tenure){
        .process = process,
        .lock = sim_wait_lock(wait),
        .holding = holding,
        .fence = holding->lease.fence,
        .granted_us = sim.now_us,
        .asked_us = sim.profile == SIM_SOUND
                        ? sim_clock_when(&process->clock, holding->lease.granted_ms * 1000)
                        : sim_wait_asked_us(wait), /* its clock may have been set since */
        .deadline_ms = atomic_load(&holding->deadline_ms),
        .max_hold_ms = holding->lease.terms.max_hold_ms,
        .is_renewed = is_renewed(&holding->lease.terms),
        .asked_ms = holding->lease.granted_ms,
        .at_least_ms = holding->lease.terms.at_least_ms,
        .ended_us = SIM_NEVER,
        .next_open = first_open[sim_number_of(process)],
    };
    memcpy(tenure->name, holding->lease.token, sizeof tenure->name);
    first_open[sim_number_of(process)] = number;
    tenure->deadline_us = true_deadline(tenure);
    tenure->kept_until_us = tenure->at_least_ms > 0 ? kept_until(tenure) : 0;
    note_lease(tenure, &holding->lease);
    tenure->token = sim_token_of(tenure->name, number);
    sim_count.grants++;
    sim_history_process(process, "owns %s, fence %lld, token %.4s, for %lld ms",
                        sim_lock_name(tenure->lock, NULL), (long long)tenure->fence, tenure->name,
                        (long long)(tenure->deadline_us - sim.now_us) / 1000);
    judge_lateness(tenure, wait);
    look_at(number);
    tenure->was_believed = sim_is_believed(tenure); /* else it came too late */
    if (tenure->was_believed) {
        judge_against_others(number);
        judge_at_least(number);
        judge_fence(number);
        sim_judge_against_foreign(tenure);
    }
    sim_judge_backing(number);
    return number;
}

/* ---- what becomes of it ---- */

/* It is over, and nobody renews it in a turn that begins later. */
static void end(struct tenure *tenure)
{
    tenure->has_ended = true;
    if (tenure->ended_us == SIM_NEVER)
        tenure->ended_us = sim.now_us;
}

bool sim_may_be_passed_on(const struct tenure *tenure)
{
    return tenure->has_ended && tenure->is_in_cohort &&
           sim_waits_may_receive(tenure->process, tenure->lock, tenure->granted_us);
}

static void judge_loss(const struct tenure *tenure, enum rlk_status status)
{
    int standing = sim_token_standing(tenure->token, tenure->lock);
    bool is_true = status == RLK_LOST_EXPIRED
                       ? sim_clock_us(tenure->process) >= tenure->deadline_ms * 1000
                       : standing <= sim.mix.nodes / 2;
    sim_judge_check(SIM_LOSS_TRUE, is_true || sim.profile == SIM_BROKEN,
                    "%s lost %s, it says, but the token stands on %d nodes for %lld us",
                    sim_process_name(sim_number_of(tenure->process)),
                    sim_lock_name(tenure->lock, NULL), standing,
                    (long long)(tenure->deadline_us - sim.now_us));
}

static int64_t hold_us(const struct tenure *tenure)
{
    return tenure->max_hold_ms > SIM_NEVER / 1000 ? SIM_NEVER : tenure->max_hold_ms * 990;
}

/* Nor did its owner hold it longer than he said. */
static void judge_renewal(const struct tenure *tenure)
{
    int64_t held_us = sim.now_us - tenure->asked_us;
    bool was_to_last = tenure->is_renewed && sim.disturbed_until_us < 0 &&
                       held_us < hold_us(tenure) && !sim_token_is_robbed(tenure->token);
    sim_judge_check(SIM_RENEWED, !was_to_last, "%s lost %s, though nothing had gone wrong",
                    sim_process_name(sim_number_of(tenure->process)),
                    sim_lock_name(tenure->lock, NULL));
}

static void on_status(struct tenure *tenure, enum rlk_status status)
{
    static const char *const words[] = {
        [RLK_LETS_GO] = "lets go of",          [RLK_UNTOLD] = "told no majority of its end of",
        [RLK_LOST_EXPIRED] = "lost by time",   [RLK_LOST_TAKEN] = "lost to another",
        [RLK_LOST_GONE] = "lost, since gone,", [RLK_HAS_RELEASED] = "has released",
    };
    bool was_lost = tenure->status >= RLK_LOST_EXPIRED && tenure->status <= RLK_LOST_GONE;
    bool is_lost = status >= RLK_LOST_EXPIRED && status <= RLK_LOST_GONE;
    tenure->status = status;
    if (is_lost && !was_lost) {
        sim_count.losses++;
        judge_loss(tenure, status);
        judge_renewal(tenure);
    }
    if (status != RLK_HAS_RELEASED)
        sim_waits_ended(tenure->lock);
    tenure->has_ended = true;
    sim_history_process(tenure->process, "%s %s", words[status], sim_lock_name(tenure->lock, NULL));
}

static bool has_newer_owner(int number)
{
    for (int i = number + 1; i < count; i++)
        if (tenures[i].was_believed && is_newer(&tenures[i], &tenures[number]))
            return true;
    return false;
}

/* That comes too late now and then, since threads are stopped where they please. It may, as long as
 * nobody else has been granted the lock, and nobody has seen it lost. */
static void on_extended(int number, int64_t deadline_ms)
{
    struct tenure *tenure = &tenures[number];
    bool was_believed = sim_is_believed(tenure);
    bool is_excused = sim.profile == SIM_BROKEN || sim_token_is_robbed(tenure->token);
    sim_count.extensions++;
    tenure->deadline_ms = deadline_ms;
    tenure->deadline_us = true_deadline(tenure);
    sim_judge_check(
        SIM_SOLE_EXTENSION, is_excused || !sim_is_believed(tenure) || !has_newer_owner(number),
        "%s extended %s, which has a newer owner", sim_process_name(sim_number_of(tenure->process)),
        sim_lock_name(tenure->lock, NULL));
    if (!was_believed && sim_is_believed(tenure))
        judge_against_others(number);
    sim_history_process(tenure->process, "has %s for %lld ms more",
                        sim_lock_name(tenure->lock, NULL),
                        (long long)(tenure->deadline_us - sim.now_us) / 1000);
    sim_judge_backing(number);
}

static void look_at(int number)
{
    struct tenure *tenure = &tenures[number];
    int64_t deadline_ms = atomic_load(&tenure->holding->deadline_ms);
    enum rlk_status status = (enum rlk_status)atomic_load(&tenure->holding->status);
    if (deadline_ms != tenure->deadline_ms && !tenure->has_ended)
        on_extended(number, deadline_ms);
    if (status != tenure->status)
        on_status(tenure, status);
    if (tenure->has_ended && tenure->ended_us == SIM_NEVER && status != RLK_HOLDS &&
        !sim_process_is_delayed(tenure->process))
        end(tenure); /* else a thread may have been stopped before it could tell the watchdog */
}

void sim_judge_process(struct sim_process *process)
{
    int *link = &first_open[sim_number_of(process)];
    while (*link >= 0) {
        struct tenure *tenure = &tenures[*link];
        if (tenure->holding)
            look_at(*link);
        if (tenure->holding)
            link = &tenure->next_open;
        else
            *link = tenure->next_open;
    }
}

void sim_judge_died(struct sim_process *process)
{
    for (int i = first_open[sim_number_of(process)]; i >= 0; i = tenures[i].next_open) {
        sim_waits_ended(tenures[i].lock);
        end(&tenures[i]);
        close_tenure(&tenures[i]);
    }
    first_open[sim_number_of(process)] = -1;
    sim_waits_die(process);
}

/* ---- what its program does ---- */

void sim_judge_extends(int number, int64_t ttl_ms)
{
    tenures[number].was_extended = true;
    sim_history_process(tenures[number].process, "extends %s to %lld ms",
                        sim_lock_name(tenures[number].lock, NULL), (long long)ttl_ms);
}

void sim_judge_extends_unheard(int number, int64_t ttl_ms)
{
    sim_judge_extends(number, ttl_ms);
    tenures[number].extends_unheard = true;
}

void sim_judge_extended(int number, enum rlk_outcome outcome)
{
    sim_history_process(tenures[number].process, "is told of its extension: %s",
                        sim_outcome_text(outcome));
    struct tenure *tenure = &tenures[number];
    if (!tenure->holding)
        return;
    look_at(number);
    sim_judge_check(SIM_VERDICT_TRUE,
                    outcome != RLK_EXTENDED || tenure->status != RLK_LOST_EXPIRED ||
                        sim.now_us >= tenure->deadline_us,
                    "%s is told that %s is extended, which it has lost by time",
                    sim_process_name(sim_number_of(tenure->process)),
                    sim_lock_name(tenure->lock, NULL));
}

bool sim_judge_may_hold(int number)
{
    return sim_is_believed(&tenures[number]);
}

/* While it looked, its thread may have been stopped. */
void sim_judge_looks(int number, bool might_hold, bool is_held)
{
    struct tenure *tenure = &tenures[number];
    sim_judge_check(SIM_VERDICT_TRUE, !is_held || might_hold || sim_is_believed(tenure),
                    "%s is told that it holds %s, which was let go, or has ended",
                    sim_process_name(sim_number_of(tenure->process)),
                    sim_lock_name(tenure->lock, NULL));
    sim_judge_check(
        SIM_NOT_REVIVED, !is_held || !tenure->was_seen_lost, "%s holds %s again, which was lost",
        sim_process_name(sim_number_of(tenure->process)), sim_lock_name(tenure->lock, NULL));
    tenure->was_seen_lost |= !is_held;
}

void sim_judge_releases(int number, bool by_operation)
{
    struct tenure *tenure = &tenures[number];
    look_at(number);
    tenure->released_us = sim.now_us;
    tenure->lapsed_at_release = !tenure->has_ended && sim.now_us >= tenure->deadline_us;
    if (by_operation && !tenure->has_ended && !tenure->lapsed_at_release)
        sim_waits_let_go(tenure->lock, tenure->process);
    sim_history_process(tenure->process, "releases %s", sim_lock_name(tenure->lock, NULL));
}

/* It is free when its time is over, and nobody is woken. */
static void judge_keep(const struct tenure *tenure)
{
    int64_t left_us = tenure->kept_until_us - tenure->released_us;
    int64_t until_us = sim.now_us + sim_longest_keep_us(left_us);
    int standing = sim_token_standing_at(tenure->token, tenure->lock, until_us);
    sim_waits_ended(tenure->lock);
    sim_judge_check(SIM_KEPT, 2 * standing <= sim.mix.nodes,
                    "%s has released %s, and its token is to stand on %d nodes for %lld us more",
                    sim_process_name(sim_number_of(tenure->process)),
                    sim_lock_name(tenure->lock, NULL), standing,
                    (long long)(until_us - sim.now_us));
}

void sim_judge_released(int number, enum rlk_outcome outcome)
{
    struct tenure *tenure = &tenures[number];
    int standing = sim_token_standing(tenure->token, tenure->lock);
    int majority = sim.mix.nodes / 2 + 1;
    sim_history_process(tenure->process, "is told of its release: %s", sim_outcome_text(outcome));
    look_at(number);
    sim_count.releases++;
    sim_judge_check(SIM_VERDICT_TRUE, !tenure->lapsed_at_release || outcome == RLK_LOST,
                    "%s released what had run out, and is told %s",
                    sim_process_name(sim_number_of(tenure->process)), sim_outcome_text(outcome));
    sim_judge_check(SIM_VERDICT_TRUE,
                    outcome != RLK_LOST || standing < majority || sim.now_us >= tenure->deadline_us,
                    "%s is told that it lost what stands on %d nodes",
                    sim_process_name(sim_number_of(tenure->process)), standing);
    if (outcome != RLK_RELEASED)
        return;
    if (sim_is_released_early(tenure)) {
        judge_keep(tenure);
        return;
    }
    bool is_passed_on = standing >= majority && sim_may_be_passed_on(tenure);
    if (!is_passed_on)
        sim_waits_released(tenure->lock, tenure->released_us);
    sim_judge_check(SIM_RELEASED, standing < majority || is_passed_on,
                    "%s has released %s, and its token stands on %d nodes",
                    sim_process_name(sim_number_of(tenure->process)),
                    sim_lock_name(tenure->lock, NULL), standing);
}

void sim_judge_lets_go(int number)
{
    if (tenures[number].holding)
        look_at(number);
    if (!tenures[number].has_ended)
        sim_waits_ended(tenures[number].lock);
    tenures[number].has_ended = true;
}

void sim_judge_drops(int number)
{
    tenures[number].is_dropped = true;
}

void sim_judge_forgets(int number)
{
    sim_judge_lets_go(number);
    close_tenure(&tenures[number]);
}

void sim_judge_has_forgotten(int number)
{
    end(&tenures[number]);
}

void sim_judge_watches(int number)
{
    tenures[number].is_watched = true;
}

void sim_judge_is_told(int number, enum rlk_status why)
{
    struct tenure *tenure = &tenures[number];
    tenure->times_told++;
    sim_judge_check(SIM_LOSS_ONCE, tenure->is_watched && tenure->times_told == 1,
                    "%s is told %d times of the end of %s",
                    sim_process_name(sim_number_of(tenure->process)), tenure->times_told,
                    sim_lock_name(tenure->lock, NULL));
    sim_judge_check(SIM_LOSS_ONCE,
                    why != RLK_HOLDS &&
                        (!tenure->holding || atomic_load(&tenure->holding->status) != RLK_HOLDS),
                    "%s is told of the end of %s, which is %s",
                    sim_process_name(sim_number_of(tenure->process)),
                    sim_lock_name(tenure->lock, NULL), why == RLK_HOLDS ? "none" : "held");
}

/* Of those who live to hear it. */
static void end_tenures(void)
{
    for (int i = 0; i < count; i++)
        if (tenures[i].is_watched && tenures[i].process->is_alive)
            sim_judge_check(SIM_LOSS_ONCE, tenures[i].times_told == 1,
                            "%s is told %d times of the end of %s",
                            sim_process_name(sim_number_of(tenures[i].process)),
                            tenures[i].times_told, sim_lock_name(tenures[i].lock, NULL));
}

void sim_judge_clock(struct sim_process *process)
{
    for (int i = first_open[sim_number_of(process)]; i >= 0; i = tenures[i].next_open)
        tenures[i].deadline_us = true_deadline(&tenures[i]);
    for (int i = 0; i < count; i++)
        if (tenures[i].process == process && tenures[i].at_least_ms > 0)
            tenures[i].kept_until_us = kept_until(&tenures[i]);
}

bool sim_judge_is_owned(int lock, struct tenure **owner)
{
    for (int i = count - 1; i >= 0; i--)
        if (tenures[i].lock == lock && sim_is_believed(&tenures[i])) {
            *owner = &tenures[i];
            return true;
        }
    return false;
}

/* ---- the store ---- */

void sim_judge_write(int number, bool is_taken)
{
    const struct tenure *writer = &tenures[number];
    sim_count.writes++;
    sim_count.refused_writes += !is_taken;
    bool is_newest = true;
    for (int i = number + 1; i < count; i++)
        is_newest &= !tenures[i].has_written || !is_newer(&tenures[i], writer);
    tenures[number].has_written |= is_taken;
    sim_count.stale_writes += is_taken && !is_newest;
    if (sim.mix.cause == SIM_FORGETTING_FENCES)
        return;
    sim_judge_check(SIM_STORE_SAFE, !is_taken || is_newest,
                    "%s wrote with %lld behind a newer owner",
                    sim_process_name(sim_number_of(writer->process)), (long long)writer->fence);
}

void sim_judge_end(void)
{
    if (sim.is_over)
        return;
    sim_waits_end();
    end_tenures();
    sim_tokens_end();
}
