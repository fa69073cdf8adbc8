/* Validity, both ways round, and jitter: the formulas that locks share. */
#include "core/quorum.h"

#define CLOCK_GRANULARITY_MS 2
#define LEASE_MAX_MS INT64_C(1000000000000000) /* which a server takes, and double it */

int64_t rlk_validity_ms(const struct rlk_quorum *quorum, int64_t ttl_ms)
{
    double drift = (double)ttl_ms * quorum->drift_factor;
    int64_t whole = (int64_t)drift;
    return ttl_ms - ((double)whole < drift ? whole + 1 : whole) - CLOCK_GRANULARITY_MS;
}

int64_t rlk_lease_for_ms(const struct rlk_quorum *quorum, int64_t validity_ms)
{
    double rounded_up = (double)(validity_ms + CLOCK_GRANULARITY_MS + 1);
    double lease_ms = rounded_up / (1 - quorum->drift_factor);
    return lease_ms < LEASE_MAX_MS ? (int64_t)lease_ms + 1 : LEASE_MAX_MS;
}

int64_t rlk_jitter(struct rlk_quorum *quorum, int64_t bound)
{
    uint64_t x = quorum->random; /* xorshift64*, Vigna 2016 */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    quorum->random = x;
    if (bound < 1)
        return 0;
    return (int64_t)((x * UINT64_C(2685821657736338717)) % (uint64_t)bound);
}
