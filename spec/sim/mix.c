/* How schedules are drawn. Each class of fault takes part in some of them, seldom or often; a few
 * schedules have none. What the library assumes is kept, unless the profile says otherwise. */
#include "mix.h"

#include <string.h>

const char *const sim_fault_names[SIM_FAULTS] = {
    [SIM_SLOW] = "slow bytes",
    [SIM_SPLIT] = "bytes in pieces",
    [SIM_STALL] = "connection stalls",
    [SIM_CUT_REQUEST] = "connection dies in a request",
    [SIM_CUT_REPLY] = "connection dies in a reply",
    [SIM_HALF_OPEN] = "connection half open",
    [SIM_REFUSE] = "dial refused",
    [SIM_DIAL_HANGS] = "dial unanswered",
    [SIM_PREEMPT] = "thread stopped after it read the clock",
    [SIM_LATE] = "command run after its client gave up",
    [SIM_CONTEND] = "thread late at a mutex",
    [SIM_RESET] = "connection reset",
    [SIM_PARTITION] = "partition",
    [SIM_DEAF] = "partition, requests only",
    [SIM_MUTE] = "partition, replies only",
    [SIM_HANG] = "server stopped",
    [SIM_CRASH] = "server crashes, data kept",
    [SIM_AMNESIA] = "server crashes, data lost",
    [SIM_FLUSH] = "scripts flushed",
    [SIM_BUSY] = "server refuses",
    [SIM_KILL] = "process killed",
    [SIM_PAUSE] = "process stopped",
    [SIM_STARVE] = "thread stopped",
    [SIM_WALL_STEP] = "wall clock set",
    [SIM_TAKE] = "another library takes the lock",
    [SIM_ROB] = "key deleted by hand",
    [SIM_FORGET] = "lock let go without waiting",
    [SIM_ABANDON] = "wait given up",
    [SIM_REQUEST_ENDS] = "request ends",
    [SIM_CLOSE] = "client closed",
    [SIM_STEP] = "clock set that must not be",
    [SIM_DAWDLE] = "stopped before the write",
};

const char *const sim_cause_names[SIM_CAUSES] = {
    [SIM_NOTHING] = "nothing but pauses before a write",
    [SIM_RATES] = "clock rates beyond the drift",
    [SIM_STEPS] = "clocks set",
    [SIM_RATES_AND_STEPS] = "clock rates, and clocks set",
    [SIM_FORGETTING] = "data lost without a guard",
    [SIM_FORGETTING_FENCES] = "the same, and wall clocks wrong",
};

/* How often in a million, at least and at most, and how many at most, where it takes part; and in
 * how many schedules of a hundred it does. */
struct habit {
    int percent;
    uint32_t least, most;
    int count;
};

static const struct habit habits[SIM_FAULTS] = {
    [SIM_SLOW] = {30, 1000, 40000, 0},
    [SIM_SPLIT] = {25, 5000, 300000, 0},
    [SIM_STALL] = {20, 1000, 15000, 0},
    [SIM_CUT_REQUEST] = {25, 20000, 300000, 0},
    [SIM_CUT_REPLY] = {25, 20000, 300000, 0},
    [SIM_HALF_OPEN] = {40, 100000, 1000000, 0},
    [SIM_REFUSE] = {12, 10000, 300000, 0},
    [SIM_DIAL_HANGS] = {12, 5000, 150000, 0},
    [SIM_PREEMPT] = {12, 200, 4000, 0},
    [SIM_CONTEND] = {15, 10000, 200000, 0},
    [SIM_RESET] = {20, 0, 0, 4},
    [SIM_PARTITION] = {18, 0, 0, 3},
    [SIM_DEAF] = {15, 0, 0, 2},
    [SIM_MUTE] = {15, 0, 0, 2},
    [SIM_HANG] = {20, 0, 0, 2},
    [SIM_CRASH] = {15, 0, 0, 2},
    [SIM_AMNESIA] = {20, 0, 0, 2},
    [SIM_FLUSH] = {12, 0, 0, 3},
    [SIM_BUSY] = {12, 0, 0, 3},
    [SIM_KILL] = {20, 0, 0, 2},
    [SIM_PAUSE] = {25, 0, 0, 3},
    [SIM_STARVE] = {15, 0, 0, 3},
    [SIM_WALL_STEP] = {15, 0, 0, 3},
    [SIM_TAKE] = {8, 0, 0, 2},
    [SIM_ROB] = {4, 0, 0, 1},
    [SIM_FORGET] = {30, 50000, 500000, 0},
    [SIM_ABANDON] = {40, 50000, 600000, 0},
    [SIM_REQUEST_ENDS] = {40, 50000, 600000, 0},
    [SIM_CLOSE] = {15, 20000, 200000, 0},
};

static int64_t below(struct sim_random *random, int64_t bound)
{
    return sim_random_below(random, bound);
}

static bool in_percent(struct sim_random *random, int percent)
{
    return below(random, 100) < percent;
}

/* Each doubling is as likely. */
static int64_t draw_log(struct sim_random *random, int64_t least, int64_t most)
{
    int doublings = 0;
    while (least << (doublings + 1) <= most)
        doublings++;
    int64_t low = least << below(random, doublings + 1);
    int64_t drawn = low + below(random, low + 1);
    return drawn < most ? drawn : most;
}

/* ---- who ---- */

static void draw_nodes(struct sim_mix *mix, struct sim_random *random)
{
    static const int nodes[] = {3, 3, 3, 3, 3, 1, 1, 5, 2, 4};
    mix->nodes = nodes[below(random, sizeof nodes / sizeof *nodes)];
}

static void draw_processes(struct sim_mix *mix, struct sim_random *random)
{
    mix->processes = 2 + (int)below(random, 2) + in_percent(random, 20);
    mix->locks = in_percent(random, 65) ? 1 : 1 + (int)below(random, SIM_LOCKS_MAX);
    mix->rounds = 1 + (int)below(random, 3);
    for (int i = 0; i < mix->processes; i++) {
        mix->is_loop[i] = in_percent(random, 40);
        mix->tasks[i] = in_percent(random, 50) ? 2 : 1 + 2 * (int)below(random, 2);
    }
}

static bool is_calm(const struct sim_mix *mix)
{
    for (int fault = 0; fault < SIM_FORGET; fault++)
        if (mix->rates[fault] > 0 || mix->counts[fault] > 0)
            return false;
    return true;
}

/* Tasks that move at the same moments, and many of them: what they ask for travels in batches. Where
 * nothing goes wrong, some give up just when others let go. */
static void draw_step(struct sim_mix *mix, struct sim_random *random)
{
    if (!in_percent(random, is_calm(mix) ? 40 : 12))
        return;
    if (is_calm(mix))
        mix->rates[SIM_ABANDON] = 300000;
    mix->in_step_us = mix->ttl_ms * 1000 / 8;
    mix->locks = SIM_LOCKS_MAX;
    mix->rounds += 2;
    mix->is_loop[0] = true;
    for (int i = 0; i < mix->processes; i++)
        mix->tasks[i] = SIM_TASKS_MAX;
}

/* Owners who may pass a lease on, and enough of them in one process to do so. */
static void draw_cohort(struct sim_mix *mix, struct sim_random *random)
{
    mix->any_cohort = in_percent(random, 30);
    if (mix->any_cohort && in_percent(random, 60)) {
        mix->locks = 1;
        mix->is_loop[0] = true;
        mix->tasks[0] = SIM_TASKS_MAX;
    }
    mix->any_haste = mix->any_cohort && in_percent(random, 50);
}

static void draw_times(struct sim_mix *mix, struct sim_random *random)
{
    mix->ttl_ms = draw_log(random, 40, 10000);
    mix->timeout_ms = mix->ttl_ms / (2 + below(random, 12)) + 10;
    if (mix->timeout_ms > 500)
        mix->timeout_ms = 500;
    int64_t most_us = mix->timeout_ms * 1000 / 12;
    mix->latency_us = draw_log(random, 40, most_us > 5000 ? 5000 : most_us);
    mix->jitter_us = below(random, 2 * mix->latency_us);
    mix->faults_us = (mix->ttl_ms + 100) * (1000 + below(random, 3000));
}

static void draw_terms(struct sim_mix *mix, struct sim_random *random)
{
    mix->all_fair = in_percent(random, 25);
    mix->any_fair = in_percent(random, 40);
    mix->mixed_ttls = in_percent(random, 30);
    mix->eager_waits = in_percent(random, 50);
    mix->renew_percent = (int)below(random, 4) * 33;
    mix->bound_percent = in_percent(random, 50) ? 60 : 0;
}

static void draw_clocks(struct sim_mix *mix, struct sim_random *random)
{
    static const int64_t walls_us[] = {0, 1000, 1000000, 3600 * INT64_C(1000000),
                                       INT64_C(4) * 365 * 86400 * 1000000};
    mix->client_ppm = in_percent(random, 70) ? 4000 : 0;
    mix->node_ppm = in_percent(random, 70) ? 4000 : 0;
    mix->wall_us = walls_us[below(random, 5)];
}

/* ---- what goes wrong ---- */

static void draw_faults(struct sim_mix *mix, struct sim_random *random)
{
    for (int fault = 0; fault < SIM_FAULTS; fault++) {
        const struct habit *habit = &habits[fault];
        if (!in_percent(random, habit->percent))
            continue;
        if (habit->most > 0)
            mix->rates[fault] = (uint32_t)draw_log(random, habit->least, habit->most);
        if (habit->count > 0)
            mix->counts[fault] = 1 + (int)below(random, habit->count);
    }
}

static void draw_calm(struct sim_mix *mix, struct sim_random *random)
{
    if (!in_percent(random, 6))
        return;
    for (int fault = 0; fault < SIM_FORGET; fault++) {
        mix->rates[fault] = 0;
        mix->counts[fault] = 0;
    }
}

/* A node that forgot its fences relies on wall clocks that agree to within the guard; nodes that
 * all started lately are no proof against one that forgets; and one node alone has no guard. */
static void keep_assumptions(struct sim_mix *mix, struct sim_random *random)
{
    bool restarts = mix->counts[SIM_CRASH] + mix->counts[SIM_AMNESIA] > 0;
    if (mix->nodes == 1)
        mix->counts[SIM_AMNESIA] = 0;
    if (mix->counts[SIM_AMNESIA] > 0) {
        mix->counts[SIM_WALL_STEP] = 0;
        mix->counts[SIM_TAKE] = 0; /* nobody else knows of the guard */
        mix->wall_us = mix->ttl_ms * 1000 / 4;
    } else {
        mix->young = !restarts && in_percent(random, 15);
    }
    mix->guard_ms = restarts || mix->young || in_percent(random, 50) ? mix->ttl_ms : 0;
}

/* Where fences may be forgotten, wall clocks are right: a majority that forgets has nothing else to
 * go by. Now and then they are not, to see what comes of it. */
static void forget(struct sim_mix *mix, struct sim_random *random)
{
    mix->cause = in_percent(random, 20) ? SIM_FORGETTING_FENCES : SIM_FORGETTING;
    mix->counts[SIM_AMNESIA] = 1 + (int)below(random, 3);
    mix->counts[SIM_WALL_STEP] = 0;
    mix->client_ppm = mix->node_ppm = 0;
    mix->wall_us = mix->cause == SIM_FORGETTING_FENCES ? 3600 * INT64_C(1000000) : 0;
}

/* One assumption is broken, or two. */
static void break_assumptions(struct sim_mix *mix, struct sim_random *random)
{
    mix->guard_ms = 0;
    mix->mixed_ttls = false;
    mix->rates[SIM_DAWDLE] = (uint32_t)draw_log(random, 50000, 500000);
    mix->counts[SIM_AMNESIA] = 0;
    if (in_percent(random, 40)) {
        forget(mix, random);
        return;
    }
    bool rushes = in_percent(random, 50), steps = in_percent(random, 50);
    mix->cause =
        rushes ? (steps ? SIM_RATES_AND_STEPS : SIM_RATES) : (steps ? SIM_STEPS : SIM_NOTHING);
    if (rushes)
        mix->client_ppm = mix->node_ppm = draw_log(random, 20000, 600000);
    if (steps)
        mix->counts[SIM_STEP] = 1 + (int)below(random, 3);
}

void sim_mix_draw(struct sim_mix *mix, enum sim_profile profile, struct sim_random *random)
{
    memset(mix, 0, sizeof *mix);
    draw_nodes(mix, random);
    draw_processes(mix, random);
    draw_times(mix, random);
    draw_terms(mix, random);
    draw_clocks(mix, random);
    draw_faults(mix, random);
    draw_calm(mix, random);
    if (profile == SIM_BROKEN)
        break_assumptions(mix, random);
    else
        keep_assumptions(mix, random);
    struct sim_random beside = *random; /* what is drawn next stays the same */
    mix->any_at_least = in_percent(&beside, 35);
    draw_step(mix, &beside);
    draw_cohort(mix, &beside);
}

/* ---- for people ---- */

static void print_processes(const struct sim_mix *mix, FILE *out)
{
    for (int i = 0; i < mix->processes; i++)
        if (mix->is_loop[i])
            fprintf(out, "%s event loop with %d tasks", i ? "," : "", mix->tasks[i]);
        else
            fprintf(out, "%s script", i ? "," : "");
}

void sim_mix_print(const struct sim_mix *mix, FILE *out)
{
    fprintf(out, "  %d nodes, %d locks;", mix->nodes, mix->locks);
    print_processes(mix, out);
    fprintf(out, "; %d rounds%s\n", mix->rounds, mix->in_step_us ? ", in step" : "");
    fprintf(out, "  ttl %lld ms%s%s%s, timeout %lld ms, one way %lld to %lld us, guard %lld ms%s\n",
            (long long)mix->ttl_ms, mix->mixed_ttls ? " and less" : "",
            mix->any_at_least ? ", some at least for a part of that" : "",
            mix->any_haste    ? ", some in cohorts, and in haste"
            : mix->any_cohort ? ", some in cohorts"
                              : "",
            (long long)mix->timeout_ms, 10LL, (long long)(mix->latency_us + mix->jitter_us),
            (long long)mix->guard_ms, mix->young ? ", nodes just started" : "");
    fprintf(out, "  clocks: clients to %lld ppm, nodes to %lld ppm; wall clocks to %.3f s\n",
            (long long)mix->client_ppm, (long long)mix->node_ppm, (double)mix->wall_us / 1e6);
    fprintf(out, "  faults for %.3f s:\n", (double)mix->faults_us / 1e6);
    for (int fault = 0; fault < SIM_FAULTS; fault++) {
        if (mix->counts[fault] > 0)
            fprintf(out, "    %s: %d\n", sim_fault_names[fault], mix->counts[fault]);
        else if (mix->rates[fault] > 0)
            fprintf(out, "    %s: %.2f %%\n", sim_fault_names[fault], mix->rates[fault] / 1e4);
    }
}
