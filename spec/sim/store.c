/* What a store does with a fence: it takes a write with the highest so far or a higher one. */
#include "store.h"

#include "events.h"
#include "history.h"
#include "judge.h"
#include "memory.h"
#include "report.h"
#include "world.h"

static int *writes; /* their tenures */
static size_t capacity, count;
static int64_t highest[SIM_LOCKS_MAX];

void sim_store_begin(void)
{
    count = 0;
    for (int lock = 0; lock < SIM_LOCKS_MAX; lock++)
        highest[lock] = 0;
}

void sim_store_send(int tenure)
{
    writes = sim_memory_grow(writes, &capacity, count + 1, sizeof *writes);
    writes[count] = tenure;
    int64_t delay_us = sim_below(2000);
    if (sim_strikes(SIM_DAWDLE) || sim_strikes(SIM_SLOW))
        delay_us += sim_below(2000 * sim.mix.ttl_ms);
    sim_events_plan(sim.now_us + delay_us, SIM_WRITE_ARRIVES, (unsigned)count++);
}

void sim_store_arrive(int write)
{
    int lock = sim_tenure_lock(writes[write]);
    int64_t fence = sim_tenure_fence(writes[write]);
    bool is_taken = fence >= highest[lock];
    if (is_taken)
        highest[lock] = fence;
    sim_history_write(writes[write], is_taken);
    sim_judge_write(writes[write], is_taken);
}
