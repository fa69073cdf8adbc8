/* What programs ask for: when they are answered, in which order it is granted, and who is woken. */
#include <stdio.h>
#include <string.h>

#include "history.h"
#include "judge_rooms.h"
#include "memory.h"
#include "process.h"
#include "report.h"
#include "resp.h"

#define MESSAGES_MAX 32
#define IDLE_LOOKS_MAX 5000
#define PASSED_US 1200000 /* a claim's second, and some round trips */
#define SUBMITTED_US 1000 /* what a program asks for gets to its engine within less */

struct wait {
    struct sim_process *process;
    int lock;
    struct rlk_terms terms;
    int64_t asked_us, asked_wall_us, stopped_us;
    int64_t in_queue_us; /* since when in that of a majority; SIM_NEVER: not yet */
    unsigned joined;     /* nodes, one bit each */
    int64_t passed_us;   /* when one who is not fair last came before it; or long ago */
    bool is_open, has_timed_out;
    int64_t closed_us;
    int64_t since_us; /* asked again and again */
};

/* A waiter that a server told something. */
struct message {
    int lock;
    char waiter[RLK_WAITER_SIZE];
};

/* The last end of each lock, if it was a release. */
static struct {
    int64_t began_us, told_us; /* SIM_NEVER: it was none, or there is a newer owner */
    int64_t granted_us;        /* to whom it was granted last */
    int64_t let_go_us;         /* when a release by an operation began last; and by whom */
    const struct sim_process *let_go_by;
} freed[SIM_LOCKS_MAX];

static int64_t told_us[SIM_PROCESSES_MAX][SIM_LOCKS_MAX]; /* when a waiter of it was told last */
static int64_t asked_again_us[SIM_PROCESSES_MAX][SIM_LOCKS_MAX]; /* SIM_NEVER: not */
static struct wait *waits;
static size_t capacity;
static int count, first_open;
static struct message messages[MESSAGES_MAX];
static int message_count;

void sim_waits_begin(void)
{
    count = first_open = message_count = 0;
    for (int lock = 0; lock < SIM_LOCKS_MAX; lock++) {
        sim_waits_ended(lock);
        freed[lock].granted_us = -1;
        freed[lock].let_go_by = NULL;
        for (int process = 0; process < SIM_PROCESSES_MAX; process++) {
            asked_again_us[process][lock] = SIM_NEVER;
            told_us[process][lock] = -1;
        }
    }
}

struct sim_process *sim_wait_process(int wait)
{
    return waits[wait].process;
}

int64_t sim_wait_asked_us(int wait)
{
    return waits[wait].asked_us;
}

int sim_wait_lock(int wait)
{
    return waits[wait].lock;
}

bool sim_wait_was_stopped(int wait)
{
    return sim_process_stopped_us(waits[wait].process) > waits[wait].stopped_us;
}

const char *sim_outcome_text(enum rlk_outcome outcome)
{
    static const char *const texts[] = {
        [RLK_PENDING] = "pending",   [RLK_ACQUIRED] = "acquired",       [RLK_EXTENDED] = "extended",
        [RLK_RELEASED] = "released", [RLK_INSPECTED] = "inspected",     [RLK_LOCKED] = "locked",
        [RLK_TIMEOUT] = "timeout",   [RLK_UNAVAILABLE] = "unavailable", [RLK_LOST] = "lost",
    };
    return texts[outcome];
}

int sim_judge_asks(struct sim_process *process, int lock, const struct rlk_terms *terms)
{
    waits = sim_memory_grow(waits, &capacity, (size_t)count + 1, sizeof *waits);
    int number = sim_number_of(process);
    waits[count] = (struct wait){
        .process = process,
        .lock = lock,
        .terms = *terms,
        .asked_us = sim.now_us,
        .asked_wall_us = sim_clock_us(process) + process->wall_us,
        .stopped_us = sim_process_stopped_us(process),
        .in_queue_us = SIM_NEVER,
        .passed_us = -SIM_NEVER,
        .is_open = true,
        .since_us = asked_again_us[number][lock],
    };
    asked_again_us[number][lock] = SIM_NEVER;
    sim_count.waits += terms->wait_ms > 0;
    if (terms->wait_ms == RLK_NEVER)
        sim_history_process(process, "asks for %s, ttl %lld ms, for ever%s",
                            sim_lock_name(lock, NULL), (long long)terms->ttl_ms,
                            terms->fair ? ", fair" : "");
    else
        sim_history_process(process, "asks for %s, ttl %lld ms, waits %lld ms%s",
                            sim_lock_name(lock, NULL), (long long)terms->ttl_ms,
                            (long long)terms->wait_ms, terms->fair ? ", fair" : "");
    if (terms->at_least_ms > 0)
        sim_history_process(process, "wants it for itself for %lld ms at least",
                            (long long)terms->at_least_ms);
    return count++;
}

static void close_wait(struct wait *wait)
{
    wait->is_open = false;
    wait->closed_us = sim.now_us;
    while (first_open < count && !waits[first_open].is_open)
        first_open++;
}

bool sim_waits_may_receive(const struct sim_process *process, int lock, int64_t since_us)
{
    for (int i = count - 1; i >= 0; i--)
        if (waits[i].process == process && waits[i].lock == lock && waits[i].terms.cohort &&
            waits[i].terms.wait_ms > 0 && (waits[i].is_open || waits[i].closed_us > since_us))
            return true;
    return false;
}

/* ---- in time ---- */

int64_t sim_progress_bound_us(void)
{
    const struct sim_mix *mix = &sim.mix;
    int64_t askers = 0;
    for (int i = 0; i < mix->processes; i++)
        askers += mix->is_loop[i] ? mix->tasks[i] : 1;
    int64_t vanished_ms = sim.disturbed_until_us == SIM_NEVER ? 26000 : 0; /* until keepalive */
    return 1000 * (vanished_ms + 3 * mix->ttl_ms + mix->guard_ms + 2500 + 10 * mix->timeout_ms +
                   1500 * askers);
}

/* What is late for everybody since the faults ended, or since it was asked. */
static void judge_progress(const struct wait *wait)
{
    int64_t asked_us = wait->since_us < wait->asked_us ? wait->since_us : wait->asked_us;
    int64_t since_us = asked_us > sim.healed_us ? asked_us : sim.healed_us;
    int64_t took_us = sim.now_us - since_us;
    if (took_us > sim_count.longest_wait_us)
        sim_count.longest_wait_us = took_us;
    sim_judge_check(SIM_PROGRESS, took_us <= sim_progress_bound_us(),
                    "%s has waited for %s for %lld ms since all is well",
                    sim_process_name(sim_number_of(wait->process)), sim_lock_name(wait->lock, NULL),
                    (long long)took_us / 1000);
}

static void judge_time(const struct wait *wait)
{
    if (sim.has_healed)
        judge_progress(wait);
    if (wait->terms.wait_ms == RLK_NEVER)
        return;
    int64_t stopped_us = wait->process->stopped_us - wait->stopped_us;
    int64_t allowed_us = (wait->terms.wait_ms + 8 * sim.mix.timeout_ms + 100) * 1010 + stopped_us;
    sim_judge_check(SIM_IN_TIME, sim.now_us - wait->asked_us <= allowed_us,
                    "%s was to wait %lld ms for %s, and waited %lld",
                    sim_process_name(sim_number_of(wait->process)), (long long)wait->terms.wait_ms,
                    sim_lock_name(wait->lock, NULL),
                    (long long)(sim.now_us - wait->asked_us) / 1000);
}

/* Where nothing goes wrong, and nodes have time enough, they answer. Of an even number half decides, and the
 * others may not have been asked when the wait is over. */
static bool may_be_unavailable(const struct wait *wait)
{
    const struct sim_mix *mix = &sim.mix;
    int64_t enough_ms = (mix->latency_us + mix->jitter_us) / 25 + 1;
    bool has_time = wait->terms.wait_ms == 0 || wait->terms.wait_ms > enough_ms;
    return sim.disturbed_until_us >= 0 || wait->process->closing_us > 0 || mix->nodes % 2 == 0 ||
           !has_time || enough_ms > wait->terms.ttl_ms || enough_ms > mix->timeout_ms;
}

/* What is given up, since its client closes, is timed out as well. */
static void judge_outcome(const struct wait *wait, enum rlk_outcome outcome)
{
    bool fits = outcome == RLK_ACQUIRED || outcome == RLK_UNAVAILABLE || outcome == RLK_TIMEOUT ||
                (outcome == RLK_LOCKED && wait->terms.wait_ms == 0);
    sim_judge_check(SIM_VERDICT_TRUE, fits, "%s asked for %s, and is told %s",
                    sim_process_name(sim_number_of(wait->process)), sim_lock_name(wait->lock, NULL),
                    sim_outcome_text(outcome));
    sim_judge_check(SIM_VERDICT_TRUE, outcome != RLK_UNAVAILABLE || may_be_unavailable(wait),
                    "%s is told that %s is unavailable, and nothing had gone wrong",
                    sim_process_name(sim_number_of(wait->process)),
                    sim_lock_name(wait->lock, NULL));
}

void sim_judge_idle_look(const struct sim_thread *thread)
{
    sim_judge_check(SIM_NO_SPIN, thread->idle_looks < IDLE_LOOKS_MAX,
                    "a thread of %s looks again and again, without waiting",
                    sim_process_name(sim_number_of(thread->process)));
}

/* ---- in order ---- */

/* By the time of arrival, as its wall clock says, which an event loop's engine reads a moment after it
 * was asked; and nothing has gone wrong since it came. */
static bool comes_first(const struct wait *first, const struct wait *wait)
{
    return first->in_queue_us < wait->asked_us && sim.disturbed_until_us < first->asked_us &&
           first->asked_wall_us + SUBMITTED_US < wait->asked_wall_us;
}

/* It may have been told just before, and find on its way that another has the lock: then the next
 * is told meanwhile, and has that second to come. */
static bool was_passed(const struct wait *first)
{
    return sim.now_us < first->passed_us + PASSED_US;
}

/* The attempt that was granted left right behind a release from its own process, which was not told since; and
 * nothing has gone wrong, that might have had it wait or look by itself just then. */
static bool follows(const struct wait *wait, const struct rlk_holding *holding)
{
    int64_t asked_us = sim_clock_when(&wait->process->clock, holding->lease.granted_ms * 1000);
    int64_t after_us = asked_us - freed[wait->lock].let_go_us;
    return sim.disturbed_until_us < 0 && freed[wait->lock].let_go_by == wait->process &&
           wait->terms.wait_ms > 0 &&
           told_us[sim_number_of(wait->process)][wait->lock] < freed[wait->lock].let_go_us &&
           wait->asked_us < freed[wait->lock].let_go_us && after_us > -1000 && after_us < 1000;
}

/* Its engine may have given it up, and its program not heard of it. */
static bool is_over(const struct wait *wait)
{
    return wait->terms.wait_ms < RLK_NEVER / 1000 &&
           sim.now_us - wait->asked_us >= wait->terms.wait_ms * 990;
}

static void judge_order(const struct wait *wait, const struct rlk_holding *holding)
{
    bool was_passed_on = holding->lease.fence % RLK_FENCE_BLOCK != 0;
    for (int i = first_open; i < count; i++) {
        struct wait *other = &waits[i];
        if (!other->is_open || other->lock != wait->lock || other == wait)
            continue;
        bool same_line =
            other->process == wait->process && other->terms.wait_ms > 0 && wait->terms.wait_ms > 0;
        if (same_line)
            sim_judge_check(SIM_LINE_ORDER, other > wait, "%s got %s before who asked first",
                            sim_process_name(sim_number_of(wait->process)),
                            sim_lock_name(wait->lock, NULL));
        bool is_fair = (wait->terms.fair || follows(wait, holding)) && !was_passed_on;
        if (!same_line && !is_fair)
            other->passed_us = sim.now_us;
        if (!same_line && is_fair)
            sim_judge_check(
                SIM_FAIR_ORDER, !comes_first(other, wait) || was_passed(other) || is_over(other),
                "%s got %s before %s", sim_process_name(sim_number_of(wait->process)),
                sim_lock_name(wait->lock, NULL), sim_process_name(sim_number_of(other->process)));
    }
}

/* ---- at once ---- */

void sim_waits_ended(int lock)
{
    freed[lock].told_us = SIM_NEVER;
}

void sim_waits_let_go(int lock, const struct sim_process *by)
{
    freed[lock].let_go_us = sim.now_us;
    freed[lock].let_go_by = by;
}

/* The next owner may know before the last one does. */
void sim_waits_released(int lock, int64_t since_us)
{
    if (freed[lock].granted_us >= since_us)
        return;
    freed[lock].began_us = since_us;
    freed[lock].told_us = sim.now_us;
}

/* Some round trips, and what a first grant lingers; a waiter that nobody wakes looks by itself much
 * later. Where anything has gone wrong before, some waiter may have gone without a word, and be
 * woken in the place of this one. */
static void judge_promptness(const struct wait *wait)
{
    int64_t freed_us = freed[wait->lock].told_us;
    int64_t allowed_us = 60000 + 20 * (sim.mix.latency_us + sim.mix.jitter_us);
    bool is_undisturbed = sim.disturbed_until_us < 0;
    bool was_there = freed_us != SIM_NEVER && wait->in_queue_us < freed[wait->lock].began_us;
    freed[wait->lock].told_us = SIM_NEVER;
    freed[wait->lock].granted_us = sim.now_us;
    if (is_undisturbed && was_there)
        sim_judge_check(SIM_PROMPT, sim.now_us - freed_us <= allowed_us,
                        "%s has got %s %lld ms after it was released",
                        sim_process_name(sim_number_of(wait->process)),
                        sim_lock_name(wait->lock, NULL), (long long)(sim.now_us - freed_us) / 1000);
}

/* Since when it is the first of its process's line; SIM_NEVER: it is not. Where one before it had its
 * time out, its program may have heard of that after the next had joined a queue. */
static int64_t first_since(const struct wait *wait, bool *is_exact)
{
    int64_t since_us = wait->asked_us;
    *is_exact = true;
    for (const struct wait *other = waits; other < wait; other++) {
        bool same_line = other->process == wait->process && other->lock == wait->lock &&
                         other->terms.wait_ms > 0;
        if (same_line && other->is_open)
            return SIM_NEVER;
        if (!same_line || other->closed_us < since_us)
            continue;
        since_us = other->closed_us;
        *is_exact = !other->has_timed_out;
    }
    return since_us;
}

/* Connections are made, and the nodes asked more than once. */
static int64_t moments_us(void)
{
    return 25000 + 20 * (sim.mix.latency_us + sim.mix.jitter_us);
}

/* Unless it may receive the lease of a cohort before it, and so asks nobody as long as that is open. */
static void judge_queuing(const struct wait *wait, int64_t first_us)
{
    int64_t allowed_us = moments_us() + (wait->terms.cohort ? COHORT_US : 0);
    sim_judge_check(SIM_PROMPT, wait->joined || sim.now_us - first_us <= allowed_us,
                    "%s has waited for %s for %lld ms, and stood in no queues",
                    sim_process_name(sim_number_of(wait->process)), sim_lock_name(wait->lock, NULL),
                    (long long)(sim.now_us - first_us) / 1000);
}

static bool is_contended(const struct wait *wait, int64_t since_us)
{
    for (int i = 0; i < count; i++)
        if (waits[i].process != wait->process && waits[i].lock == wait->lock &&
            (waits[i].is_open || waits[i].closed_us >= since_us))
            return true;
    return false;
}

/* Nobody is told when a lease ends: who waits looks then, by what it knows is left of it. (Where a claim
 * of another made it wait, it knows nothing, and looks within a second.) */
static void judge_lapse(const struct wait *wait, int64_t first_us)
{
    struct span free = sim_lock_was_free(wait->lock);
    int64_t ttl_us = 1000 * sim.mix.ttl_ms < 1000000 ? 1000 * sim.mix.ttl_ms : 1000000;
    int64_t since_us = free.since_us > first_us ? free.since_us : first_us;
    if (wait->joined || sim.mix.any_at_least || is_contended(wait, free.since_us))
        return;
    sim_judge_check(SIM_PROMPT, free.until_us - since_us <= moments_us() + ttl_us / 8,
                    "%s has waited for %s, which was nobody's, for %lld ms",
                    sim_process_name(sim_number_of(wait->process)), sim_lock_name(wait->lock, NULL),
                    (long long)(free.until_us - since_us) / 1000);
}

static void judge_patience(const struct wait *wait, enum rlk_outcome outcome, bool was_passed_on)
{
    bool is_told = outcome == RLK_TIMEOUT || (outcome == RLK_ACQUIRED && !was_passed_on);
    if (!is_told || sim.disturbed_until_us >= 0 || wait->terms.wait_ms == 0)
        return;
    bool is_exact;
    int64_t first_us = first_since(wait, &is_exact);
    if (first_us == SIM_NEVER || sim_process_stopped_us(wait->process) > wait->stopped_us)
        return;
    if (is_exact)
        judge_queuing(wait, first_us);
    judge_lapse(wait, first_us);
}

void sim_judge_answered(int number, enum rlk_outcome outcome, const struct rlk_holding *holding)
{
    struct wait *wait = &waits[number];
    sim_history_process(wait->process, "is told about %s: %s", sim_lock_name(wait->lock, NULL),
                        sim_outcome_text(outcome));
    bool was_passed_on = holding && holding->lease.fence % RLK_FENCE_BLOCK != 0;
    judge_time(wait);
    judge_outcome(wait, outcome);
    judge_patience(wait, outcome, was_passed_on);
    if (outcome == RLK_ACQUIRED) {
        judge_order(wait, holding);
        judge_promptness(wait);
    }
    wait->has_timed_out = outcome == RLK_TIMEOUT;
    close_wait(wait);
}

void sim_judge_gives_up(int number)
{
    if (!waits[number].is_open)
        return;
    sim_history_process(waits[number].process, "waits no longer for %s",
                        sim_lock_name(waits[number].lock, NULL));
    close_wait(&waits[number]);
}

void sim_judge_asks_again(int number)
{
    const struct wait *wait = &waits[number];
    int64_t since_us = wait->since_us < wait->asked_us ? wait->since_us : wait->asked_us;
    asked_again_us[sim_number_of(wait->process)][wait->lock] = since_us;
}

void sim_waits_die(const struct sim_process *process)
{
    for (int i = first_open; i < count; i++)
        if (waits[i].process == process)
            waits[i].is_open = false;
}

/* The first of its process's line is who stands in queues. */
void sim_waits_joined(const struct sim_connection *connection, int lock)
{
    for (int i = first_open; i < count; i++) {
        struct wait *wait = &waits[i];
        if (!wait->is_open || wait->lock != lock || wait->terms.wait_ms == 0 ||
            sim_number_of(wait->process) != connection->process)
            continue;
        wait->joined |= 1u << connection->node;
        if (wait->in_queue_us == SIM_NEVER && 2 * __builtin_popcount(wait->joined) > sim.mix.nodes)
            wait->in_queue_us = sim.now_us;
        return;
    }
}

/* ---- who is woken ---- */

static int lock_of(struct sim_word name)
{
    for (int lock = 0; lock < sim.mix.locks; lock++) {
        size_t len;
        const char *own = sim_lock_name(lock, &len);
        if (name.len >= len && memcmp(name.bytes + name.len - len, own, len) == 0)
            return lock;
    }
    return -1;
}

static void note_message(const struct sim_connection *connection, struct sim_word channel,
                         struct sim_word text)
{
    struct message message = {.lock = lock_of(text)};
    const char *space = memchr(text.bytes, ' ', text.len);
    if (message.lock < 0 || !space)
        return;
    told_us[connection->process][message.lock] = sim.now_us;
    snprintf(message.waiter, sizeof message.waiter, "%.*s/%.*s", (int)channel.len, channel.bytes,
             (int)(space - text.bytes), text.bytes);
    for (int i = 0; i < message_count; i++)
        if (messages[i].lock == message.lock && !strcmp(messages[i].waiter, message.waiter))
            return; /* it hears twice, by an old connection as well */
    if (message_count < MESSAGES_MAX)
        messages[message_count++] = message;
}

void sim_judge_message(const struct sim_connection *connection, const char *bytes, size_t len)
{
    for (size_t at = 0, size; at < len && (size = sim_resp_reply_len(bytes + at, len - at)) > 0;
         at += size) {
        struct sim_word words[3];
        if (sim_resp_words(bytes + at, size, words, 3) == 3 && words[0].len == 7) {
            sim_count.wakes++;
            note_message(connection, words[1], words[2]);
        }
    }
}

/* How many of the commands that were read just now name the lock. */
static int commands_for(const struct sim_connection *connection, int lock)
{
    const struct sim_pipe *pipe = &connection->pipes[SIM_TO_SERVER];
    int commands = 0;
    size_t size, name_len;
    const char *name = sim_lock_name(lock, &name_len);
    for (size_t at = 0; at < pipe->read; at += size) {
        size = sim_resp_command_len(pipe->bytes + at, pipe->read - at);
        if (size == 0)
            break;
        if (at + size > connection->judged)
            commands += memmem(pipe->bytes + at, size, name, name_len) != NULL;
    }
    return commands;
}

void sim_waits_told(const struct sim_connection *connection)
{
    for (int lock = 0; lock < sim.mix.locks && message_count > 0; lock++) {
        int told = 0;
        for (int i = 0; i < message_count; i++)
            told += messages[i].lock == lock;
        sim_judge_check(SIM_ONE_WOKEN, told <= 1 || told <= commands_for(connection, lock),
                        "%d waiters of %s were woken at once", told, sim_lock_name(lock, NULL));
    }
    message_count = 0;
}

/* ---- the end ---- */

void sim_waits_end(void)
{
    for (int i = first_open; i < count; i++)
        if (waits[i].is_open)
            judge_progress(&waits[i]);
}
