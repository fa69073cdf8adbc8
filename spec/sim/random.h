/* The dice of a schedule: the same for the same seed. splitmix64, Steele, Lea and Flood 2014. */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_random {
    uint64_t state;
};

static inline uint64_t sim_random_next(struct sim_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* From 0 to below bound, which is below 2^32; 0 for a bound of 0. */
static inline int64_t sim_random_below(struct sim_random *random, int64_t bound)
{
    return (int64_t)(((sim_random_next(random) >> 32) * (uint64_t)bound) >> 32);
}

static inline int64_t sim_random_between(struct sim_random *random, int64_t low, int64_t high)
{
    return low + sim_random_below(random, high - low + 1);
}

/* So often in a million. */
static inline bool sim_random_happens(struct sim_random *random, uint32_t per_million)
{
    return per_million && sim_random_below(random, 1000000) < per_million;
}

#endif
