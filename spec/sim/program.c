/* What both shapes draw, and their first and last steps. */
#include "program.h"

#include "history.h"
#include "process.h"
#include "report.h"
#include "store.h"

void sim_program_start(struct sim_process *process)
{
    bool is_loop = sim.mix.is_loop[sim_number_of(process)];
    sim_thread_start(process, is_loop ? sim_loop_run : sim_script_run, process);
}

void sim_program_ends(struct sim_process *process)
{
    process->is_done = true;
    process->ended_us = sim.now_us;
}

/* Some say who they are, and others do not. */
struct rlk_client *sim_program_client(void)
{
    struct rlk_settings settings = sim.settings;
    settings.is_anonymous = sim_number_of(sim_self()) % 3 == 2;
    return rlk_client_new(&settings);
}

struct rlk_key sim_program_key(int lock)
{
    size_t len;
    const char *name = sim_lock_name(lock, &len);
    return (struct rlk_key){name, len};
}

static int64_t draw_wait_ms(void)
{
    int64_t ttl_ms = sim.mix.ttl_ms;
    switch (sim_below(sim.mix.eager_waits ? 12 : 6)) {
    case 0:
    case 1:
        return 0;
    case 2:
        return 1 + sim_below(ttl_ms);
    case 3:
        return RLK_NEVER;
    default:
        return ttl_ms + sim_below(4 * ttl_ms);
    }
}

static int64_t draw_max_hold_ms(void)
{
    return sim_below(4) == 0 ? sim_below(4 * sim.mix.ttl_ms) : RLK_NEVER;
}

/* Within the longest ttl, which bounds every lease. */
static void draw_at_least(struct rlk_terms *terms)
{
    int64_t ttl_ms = sim.mix.ttl_ms;
    terms->at_least_ms = 1 + sim_below((ttl_ms - 14) * 98 / 100);
    if (sim_below(2) == 0)
        terms->ttl_ms = ttl_ms / 4 + 1;
}

/* One draw after the other, since compilers are free in the order of what stands in one
 * expression. */
struct rlk_terms sim_program_terms(void)
{
    const struct sim_mix *mix = &sim.mix;
    struct rlk_terms terms = {.ttl_ms = mix->ttl_ms, .fence_ttl_s = RLK_FENCE_TTL_S};
    if (mix->mixed_ttls)
        terms.ttl_ms = mix->ttl_ms / 4 + sim_below(mix->ttl_ms * 3 / 4) + 1;
    if (mix->any_haste)
        terms.ttl_ms = mix->ttl_ms / 2 + 1; /* less than most extensions */
    terms.wait_ms = draw_wait_ms();
    terms.max_hold_ms = draw_max_hold_ms();
    terms.renew = sim_below(100) < mix->renew_percent;
    terms.fair = mix->all_fair || (mix->any_fair && sim_below(2) == 0);
    if (mix->any_at_least && sim_below(2) == 0)
        draw_at_least(&terms);
    terms.cohort = mix->any_cohort && sim_below(4) > 0;
    return terms;
}

struct rlk_terms sim_program_last_terms(void)
{
    return (struct rlk_terms){
        .ttl_ms = sim.mix.ttl_ms,
        .wait_ms = RLK_NEVER,
        .max_hold_ms = RLK_NEVER,
        .fence_ttl_s = RLK_FENCE_TTL_S,
        .renew = sim_below(2) == 0,
        .fair = sim.mix.all_fair,
        .cohort = sim.mix.any_cohort,
    };
}

int64_t sim_program_pause_us(void)
{
    int64_t ttl_us = sim.mix.ttl_ms * 1000;
    switch (sim.has_healed ? 1 : sim_below(6)) {
    case 0:
        return sim_below(1000);
    case 1:
    case 2:
        return sim_below(20000);
    case 3:
        return ttl_us / 8 + sim_below(ttl_us / 2);
    case 4:
        return sim_below(ttl_us / 4);
    default:
        return sim_below(2 * ttl_us);
    }
}

void sim_program_write(int tenure, struct rlk_holding *holding)
{
    bool might_hold = sim_judge_may_hold(tenure);
    bool is_held = rlk_holding_remaining_us(holding) > 0;
    sim_judge_looks(tenure, might_hold, is_held);
    if (!is_held)
        return;
    if (sim_strikes(SIM_DAWDLE)) {
        sim_count_fault(SIM_DAWDLE);
        sim_thread_sleep(sim_below(3000 * sim.mix.ttl_ms));
    }
    sim_store_send(tenure);
}
