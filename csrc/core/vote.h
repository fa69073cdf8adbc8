/* A vote: what one node answered to one request, or why it did not. */
#ifndef RLK_VOTE_H
#define RLK_VOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rlk_reason {
    RLK_NO_ANSWER, /* yet */

    /* what a script answers */
    RLK_GRANTED,  /* acquired, extended, released or inspected */
    RLK_HELD,     /* by another token, or kept free for a waiter; ttl_ms and fence are known */
    RLK_OUTBID,   /* free, but a higher ballot was accepted before; fence is known */
    RLK_ABSENT,   /* nothing to extend or release */
    RLK_ANOTHERS, /* somebody else's to extend or release */

    /* why a node that was meant to be asked has no answer */
    RLK_TIMED_OUT,
    RLK_UNREACHABLE,
    RLK_DISCONNECTED,
    RLK_STALLED,
    RLK_GUARDED, /* it restarted less than a lease ago: what it granted before may be forgotten */
    RLK_MALFORMED,
    RLK_NO_MEMORY,

    /* error replies, by their first word */
    RLK_LOADING,
    RLK_READONLY,
    RLK_MASTERDOWN,
    RLK_BUSY,
    RLK_OOM,
    RLK_MISCONF,
    RLK_NOREPLICAS,
    RLK_CLUSTERDOWN,
    RLK_MOVED,
    RLK_ASK,
    RLK_NOAUTH,
    RLK_NOPERM,
    RLK_WRONGPASS,
    RLK_WRONGTYPE,
    RLK_NOSCRIPT, /* the script was not run: the request is to be sent again, with its text */
    RLK_UNKNOWN_ERROR,

    RLK_BAD_FENCE, /* refused; and the key of the fence holds something else */

    RLK_REASONS
};

struct rlk_vote {
    enum rlk_reason reason;
    int64_t ttl_ms;   /* what is left of the holder's lease; -1 for ever, -2 absent */
    int64_t fence;    /* highest ballot accepted by the node; 0 if it knows of none */
    int64_t waiters;  /* RLK_GRANTED by an inspection only */
    bool told;        /* RLK_GRANTED by a release: a waiter was told, and may come now */
    const char *text; /* the error's, or the holder's token; not terminated; the node's memory */
    size_t text_len;
    const char
        *details; /* what an inspection found besides: who holds the lock, or a page of locks;
                            as the text */
    size_t details_len;
};

/* The class of an error reply. */
enum rlk_reason rlk_reason_of_error(const char *text, size_t len);

/* A few words for a log, such as "timed out". */
const char *rlk_reason_text(enum rlk_reason reason);

/* The node ran the request, or would have: it counts towards "a majority could be asked". */
bool rlk_reason_is_answer(enum rlk_reason reason);

/* The request has certainly changed nothing on the node. */
bool rlk_reason_is_harmless(enum rlk_reason reason);

/* The request may not have come through, and may in a moment: a connection broke, or the node was
 * busy. A release that nobody waits for is sent again then. */
bool rlk_reason_is_undelivered(enum rlk_reason reason);

#endif
