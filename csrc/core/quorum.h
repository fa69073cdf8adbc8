/* What all locks of one loop share: the set of nodes, and what the driver hands in from the
 * world. */
#ifndef RLK_QUORUM_H
#define RLK_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/request.h"

#define RLK_COURTESIES 16 /* a power of two */

typedef uint32_t rlk_nodes; /* a set of nodes, one bit each */

struct rlk_quorum {
    int nodes;                  /* 1 to RLK_NODES_MAX */
    double drift_factor;        /* share of a lease by which clocks may run apart; 0 to below 1 */
    int64_t timeout_ms;         /* how long an attempt waits for its nodes */
    char inbox[RLK_INBOX_SIZE]; /* the channel on which this loop hears wake-ups */
    char identity[RLK_IDENTITY_SIZE]; /* who holds its locks, for people to read; "": not told */
    rlk_nodes inbox_ready;            /* nodes that confirmed the subscription */

    /* Topped up by the driver before every input to a lock; used up by the lock. */
    char token[RLK_TOKEN_SIZE]; /* "" once used */
    int64_t wall_us;            /* wall clock: what ballots start from; never decides validity */
    uint64_t random;            /* state of the jitter's generator; any seed but 0 */

    int64_t highest_fence; /* seen or proposed so far */

    /* What was released lately, with waiters that were told: by the low bits of the key's hash. */
    struct rlk_courtesy {
        uint64_t hash;
        int64_t until_ms;
    } courtesies[RLK_COURTESIES];
    int64_t courteous_until_ms; /* the last of them */
};

static inline int rlk_count(rlk_nodes nodes)
{
    return __builtin_popcount(nodes);
}

static inline rlk_nodes rlk_node_bit(int node)
{
    return (rlk_nodes)1 << node;
}

static inline rlk_nodes rlk_all_nodes(const struct rlk_quorum *quorum)
{
    return (rlk_nodes)(((uint64_t)1 << quorum->nodes) - 1);
}

static inline int rlk_majority(const struct rlk_quorum *quorum)
{
    return quorum->nodes / 2 + 1;
}

/* How long a lease that was asked for at t0 is certainly mine:
 * ttl - (ttl * drift_factor + 2 ms), by "Distributed Locks with Redis", redis.io; rounded down. */
int64_t rlk_validity_ms(const struct rlk_quorum *quorum, int64_t ttl_ms);

/* The other way round: the shortest lease that is certainly mine for so long. A node that is told to
 * keep a token for this time keeps it for that time at least, by any clock that runs within the
 * drift. */
int64_t rlk_lease_for_ms(const struct rlk_quorum *quorum, int64_t validity_ms);

/* A release of the lock has told a waiter of it. For as long as that one may need to come, an acquire
 * from here comes behind it; to be first again and again would keep the others waking up in vain. */
void rlk_quorum_note_told(struct rlk_quorum *quorum, struct rlk_key key, int64_t now_ms);
bool rlk_quorum_is_courteous(const struct rlk_quorum *quorum, struct rlk_key key, int64_t now_ms);

/* A number from 0 to below bound; 0 for a bound below 1, from the quorum's generator. */
int64_t rlk_jitter(struct rlk_quorum *quorum, int64_t bound);

#endif
