/* A request: what a lock wants one node to do. */
#ifndef RLK_REQUEST_H
#define RLK_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RLK_NODES_MAX 32
#define RLK_KEY_MAX 1024      /* bytes: a prefix and a name of up to 512 bytes each */
#define RLK_TOKEN_BYTES 21    /* of randomness in a token */
#define RLK_TOKEN_SIZE 29     /* 28 characters of base64url, and a NUL */
#define RLK_INBOX_SIZE 40     /* "redlock:" and 28 characters, and a NUL */
#define RLK_WAITER_SIZE 64    /* an inbox, '/', the decimal id of a waiter, and a NUL */
#define RLK_IDENTITY_SIZE 256 /* who holds a lock, for people to read, and a NUL */
#define RLK_CURSOR_SIZE 24    /* the decimal digits of 64 bits, and a NUL */
#define RLK_BATCH_MAX 256     /* locks in one request of many */
#define RLK_FENCE_TTL_S 86400 /* how long a node remembers a ballot, unless leases are longer */
#define RLK_FENCE_BLOCK 64    /* ballots are multiples: what is between them is for local owners */

/* Milliseconds that no waiter and no lease reaches. */
#define RLK_NEVER INT64_MAX

static inline int64_t rlk_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

enum rlk_request_kind {
    RLK_ACQUIRE,
    RLK_ACQUIRE_MANY,
    RLK_EXTEND,
    RLK_EXTEND_MANY,
    RLK_RELEASE,
    RLK_RELEASE_MANY,
    RLK_INSPECT,
    RLK_BREAK,
    RLK_SCAN,
    RLK_REQUEST_KINDS
};

/* The kind under which several of a kind travel as one; a kind that has none is its own. */
static inline enum rlk_request_kind rlk_kind_of_many(enum rlk_request_kind kind)
{
    switch (kind) {
    case RLK_ACQUIRE:
        return RLK_ACQUIRE_MANY;
    case RLK_EXTEND:
        return RLK_EXTEND_MANY;
    case RLK_RELEASE:
        return RLK_RELEASE_MANY;
    default:
        return kind;
    }
}

struct rlk_key {
    const char *bytes; /* binary-safe */
    size_t len;        /* 1 to RLK_KEY_MAX */
};

struct rlk_request {
    enum rlk_request_kind kind;
    uint32_t round; /* the vote brings it back, so that a late one is known for what it is */
    struct rlk_key key;
    char token[RLK_TOKEN_SIZE]; /* "" releases nothing. A scan's: the cursor */
    struct rlk_key word;        /* of an inquiry (core/inquiry.h); borrowed */
    bool all;                   /* the same */
    int64_t ttl_ms;             /* lease */
    int64_t fence;              /* the ballot: below 2^53 */
    int64_t fence_ttl_s;        /* how long a node remembers the ballot */
    const char *identity;       /* remembered with it; borrowed; NULL or "" for none */
    char waiter
        [RLK_WAITER_SIZE]; /* "" for none: who joins (acquire) or leaves (release) the queue */
    int64_t arrival_us;    /* wall clock: the waiter's rank */
    int64_t keep_ms;       /* a release: the token still stands for so long; 0: it goes at once */
    bool steps_back;       /* a release: into the queue, instead of leaving it */
    bool queued;           /* an acquire: the waiter may stand in the queue, or have been told */
    bool fair;
    bool batchable; /* may travel with others of its kind as one request */
    bool once; /* nobody will be there to repeat it: a script that may be unknown goes as text */
};

/* Who asked: opaque to the node, brought back with the vote. */
struct rlk_asker {
    uint64_t tag;
    uint32_t round;
};

#endif
