/* Clocks that are wrong: each runs at a rate of its own and shows what it pleases. True time is
 * what the schedule counts, in microseconds from 0. */
#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H

#include <stdint.h>

struct sim_clock {
    int64_t since_us; /* true time at which it showed base_us */
    int64_t base_us;
    int64_t rate_ppm; /* so much faster than true time */
};

static inline int64_t sim_clock_read(const struct sim_clock *clock, int64_t true_us)
{
    int64_t passed = true_us - clock->since_us;
    return clock->base_us + passed + passed * clock->rate_ppm / 1000000;
}

/* The first true moment at which it shows that or more; no later than the end of all schedules. */
static inline int64_t sim_clock_when(const struct sim_clock *clock, int64_t shown_us)
{
    const int64_t end_us = INT64_C(1) << 40;
    int64_t left = shown_us - clock->base_us;
    if (left >= end_us)
        return end_us;
    int64_t at = clock->since_us + left * 1000000 / (1000000 + clock->rate_ppm);
    while (sim_clock_read(clock, at) < shown_us)
        at++;
    return at;
}

/* It shows so much more from now on. */
static inline void sim_clock_step(struct sim_clock *clock, int64_t true_us, int64_t step_us)
{
    clock->base_us = sim_clock_read(clock, true_us) + step_us;
    clock->since_us = true_us;
}

#endif
