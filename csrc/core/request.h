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
#define RLK_BATCH_MAX 256     /* locks in one RLK_EXTEND_MANY */
#define RLK_FENCE_TTL_S 86400 /* how long a node remembers a ballot, unless leases are longer */

/* Milliseconds that no waiter and no lease reaches. */
#define RLK_NEVER INT64_MAX

static inline int64_t rlk_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

enum rlk_request_kind {
    RLK_ACQUIRE,
    RLK_EXTEND,
    RLK_EXTEND_MANY,
    RLK_RELEASE,
    RLK_INSPECT,
    RLK_REQUEST_KINDS
};

struct rlk_key {
    const char *bytes; /* binary-safe */
    size_t len;        /* 1 to RLK_KEY_MAX */
};

struct rlk_request {
    enum rlk_request_kind kind;
    uint32_t round; /* the vote brings it back, so that a late one is known for what it is */
    struct rlk_key key;
    const char *token;   /* "" releases nothing; borrowed from the lock */
    int64_t ttl_ms;      /* lease */
    int64_t fence;       /* the ballot: below 2^53 */
    int64_t fence_ttl_s; /* how long a node remembers the ballot */
    char waiter
        [RLK_WAITER_SIZE]; /* "" for none: who joins (acquire) or leaves (release) the queue */
    int64_t arrival_us;    /* wall clock: the waiter's rank */
    bool steps_back;       /* a release: into the queue, instead of leaving it */
    bool fair;
    bool batchable; /* may travel in an RLK_EXTEND_MANY */
    bool once; /* nobody will be there to repeat it: a script that may be unknown goes as text */
};

#endif
