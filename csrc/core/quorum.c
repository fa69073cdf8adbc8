/* Validity, both ways round, and jitter: the formulas that locks share. */
#include "core/quorum.h"

#include "core/siphash.h"

#define CLOCK_GRANULARITY_MS 2
#define COURTESY_MS 1000                       /* a claim's life: see scripts/wake.lua */
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

/* Another key of the same hash is treated with courtesy, too: that does no harm. */
static uint64_t hash_of(struct rlk_key key)
{
    static const uint64_t secret[2] = {0, 0};
    return rlk_siphash(secret, key.bytes, key.len);
}

void rlk_quorum_note_told(struct rlk_quorum *quorum, struct rlk_key key, int64_t now_ms)
{
    uint64_t hash = hash_of(key);
    struct rlk_courtesy *courtesy = &quorum->courtesies[hash % RLK_COURTESIES];
    *courtesy = (struct rlk_courtesy){hash, now_ms + COURTESY_MS};
    quorum->courteous_until_ms = courtesy->until_ms;
}

bool rlk_quorum_is_courteous(const struct rlk_quorum *quorum, struct rlk_key key, int64_t now_ms)
{
    if (now_ms >= quorum->courteous_until_ms)
        return false;
    uint64_t hash = hash_of(key);
    const struct rlk_courtesy *courtesy = &quorum->courtesies[hash % RLK_COURTESIES];
    return courtesy->hash == hash && now_ms < courtesy->until_ms;
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
