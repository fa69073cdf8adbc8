/* A lock: the state machine of one owner, over one node or a quorum.
 *
 * Inputs go in (a command, a vote, a wake-up, the time); requests, the next moment of interest
 * and the outcome are pulled out. It calls nothing back, and is told the time. All times are
 * milliseconds of one clock that also counts suspend. Before every input the driver tops up the
 * quorum (token, wall clock).
 *
 *     rlk_lock_acquire(lock, &terms, now);
 *     while (lock->outcome == RLK_PENDING) {
 *         for each node in rlk_lock_wants(lock):
 *             rlk_lock_next_request(lock, node, now, &request), and send it
 *         wait for a reply, or until rlk_lock_next_time(lock)
 *         rlk_lock_vote(...) or rlk_lock_time(...)
 *     } */
#ifndef RLK_LOCK_H
#define RLK_LOCK_H

#include "core/debts.h"
#include "core/inquiry.h"
#include "core/quorum.h"
#include "core/request.h"
#include "core/vote.h"

enum rlk_state {
    RLK_IDLE,
    RLK_STANDING_BY, /* behind another waiter of its loop: see core/line.h */
    RLK_ACQUIRING,   /* an attempt is on its way */
    RLK_WAITING,     /* for a wake-up, or for poll_at_ms */
    RLK_OWNED,       /* and perhaps being extended */
    RLK_RELEASING,
    RLK_INSPECTING,
};

enum rlk_outcome {
    RLK_PENDING,
    RLK_ACQUIRED,
    RLK_EXTENDED,
    RLK_RELEASED,
    RLK_INSPECTED,
    RLK_LOCKED,      /* held by another, and no wait was asked */
    RLK_TIMEOUT,     /* waited in vain */
    RLK_UNAVAILABLE, /* no majority could be asked */
    RLK_LOST,        /* no longer mine: see loss */
};

enum rlk_loss {
    RLK_NOT_LOST,
    RLK_EXPIRED, /* the lease ran out */
    RLK_TAKEN,   /* too many nodes say: another's */
    RLK_GONE,    /* too many nodes say: absent */
};

struct rlk_terms {
    int64_t ttl_ms;      /* lease; at least 1 */
    int64_t wait_ms;     /* 0: try once; RLK_NEVER: for ever */
    int64_t max_hold_ms; /* the watchdog stops so long after the grant; RLK_NEVER: never */
    int64_t
        at_least_ms; /* nobody else has it before so long after the grant, also if it is released */
    uint32_t fence_ttl_s; /* how long a node remembers a ballot */
    bool renew;           /* every third of the ttl */
    bool fair;            /* come behind whoever waits already */
    bool cohort;          /* passes it on within this process: see io/cohort.h */
};

/* What a grant consists of; it does not change until the next attempt. */
struct rlk_lease {
    struct rlk_terms terms;
    char token[RLK_TOKEN_SIZE];
    int64_t fence;
    int64_t granted_ms; /* before the first byte of the attempt that was granted */
    int64_t
        waited_ms;   /* from the arrival until then, at least 1, if it met another owner; else 0 */
    rlk_nodes nodes; /* that were asked to grant the token, and so may hold it */
};

/* What a machine that owns a lease and is at rest knows besides, to go on some time. */
struct rlk_rest {
    int64_t renew_at_ms;   /* RLK_NEVER: not any more */
    int64_t refresh_at_ms; /* from here on an extension also refreshes the fence */
};

/* What one node said last; kept only for locks that have tallies. */
struct rlk_tally {
    enum rlk_reason reason;
    int64_t ttl_ms;
    int64_t fence;
    int64_t waiters;
    char text[96];                   /* the error's text or the holder's token, cut short */
    char owed_token[RLK_TOKEN_SIZE]; /* of an attempt that is still to be released on this node */
    bool was_owned;                  /* that: what was agreed for the grant holds for its release */
};

struct rlk_lock {
    struct rlk_quorum *quorum;
    struct rlk_tally *tallies;   /* one per node, or NULL: no reasons kept, nothing owed */
    struct rlk_key key;          /* borrowed */
    struct rlk_inquiry *inquiry; /* set after rlk_lock_init() by who inspects; borrowed; NULL: no
                                    details are wanted */
    uint64_t id;                 /* the waiter's number within its inbox */
    bool renewed_by_another; /* set after rlk_lock_init(): a machine that adopts its leases renews
                                  them, and this one must not, however late it hears of its grant */

    enum rlk_state state;
    enum rlk_outcome outcome;
    enum rlk_loss loss;

    struct rlk_lease lease;
    int64_t deadline_ms;    /* not mine from here on */
    int64_t renew_at_ms;    /* RLK_NEVER: not any more */
    int64_t lasts_until_ms; /* no node keeps the token longer than this, unless it got it late */
    int64_t refresh_at_ms;  /* from here on an extension also refreshes the fence */

    /* the round of requests that is under way */
    enum rlk_request_kind kind;
    bool asking;   /* an extension is under way while the lock is owned */
    bool renewing; /* and it is the watchdog's */
    uint32_t round;
    int64_t round_ttl_ms;
    int64_t t0_ms;
    int64_t round_until_ms;
    rlk_nodes unsent;   /* still to be asked */
    rlk_nodes sent;     /* asked */
    rlk_nodes answered; /* or known not to answer */
    rlk_nodes granted;
    rlk_nodes refused;  /* an extension or release: not mine */
    rlk_nodes repeated; /* asked again, since the connection broke before the answer */
    bool taken;         /* on some node it is another's */
    bool told_before;   /* set before a release that repeats one whose end nobody knows: what is not
                           found has been released by that */
    bool tells_all;     /* set before a release that nobody follows up: it is not decided before all
                           nodes have answered, or its round is over */

    /* waiting */
    int64_t arrival_us;
    int64_t arrived_ms;
    bool met_another; /* owner, or one who contends for it */
    bool follows;     /* this attempt comes behind a release from here, and is fair */
    bool seems_owned; /* as far as nodes have answered: it waits to be woken, or for a while */
    int64_t wait_until_ms;
    int64_t poll_at_ms; /* standing by: when it takes its turn by itself; RLK_NEVER: it is told */
    int64_t give_up_at_ms; /* unless a majority answered by then; RLK_NEVER once it did */
    int tries;             /* in a row that failed by contention */
    rlk_nodes woken;
    rlk_nodes joined;       /* nodes on whose queue it may stand */
    rlk_nodes could_join;   /* when its attempt began: those with an inbox */
    rlk_nodes stepped_back; /* nodes that may wake it for what it gave back itself */
    int64_t echo_until_ms;  /* no longer than until then */

    struct rlk_debts debts;
};

/* ---- life ---- */

/* An idle lock. The key and the tallies must outlive it; tallies hold one entry per node, or are
 * NULL. */
void rlk_lock_init(struct rlk_lock *lock, struct rlk_quorum *quorum, struct rlk_key key,
                   struct rlk_tally *tallies);

/* Takes over a lease on the same nodes that another machine acquired. */
void rlk_lock_adopt(struct rlk_lock *lock, const struct rlk_lease *lease, int64_t deadline_ms);

/* It owns a lease, and nothing is under way or wanted: another machine can take its place later, that
 * adopts the lease and resumes. */
bool rlk_lock_is_at_rest(const struct rlk_lock *lock);
struct rlk_rest rlk_lock_rest(const struct rlk_lock *lock);
void rlk_lock_resume(struct rlk_lock *lock, const struct rlk_rest *rest);

/* The owner has what it asked for, and another machine the lease: nothing is left to do but what
 * is owed, and queues to leave. */
void rlk_lock_hand_over(struct rlk_lock *lock);

/* Leaves nothing to do but releases: under way, or owed. For whoever finishes them in the place of
 * the owner, with a copy of the machine. */
void rlk_lock_retire(struct rlk_lock *lock);

/* Busy nodes are told at once what they were to be told after a pause: soon nobody will be there
 * to do so. */
void rlk_lock_hasten(struct rlk_lock *lock);

/* ---- inputs ---- */

void rlk_lock_acquire(struct rlk_lock *lock, const struct rlk_terms *terms, int64_t now_ms);

/* An acquire that asks no node yet, since another lock of the same quorum already waits for the
 * same key. It ends as RLK_TIMEOUT at the end of its wait, which must not be 0; by
 * rlk_lock_cancel(); or by one of the next two. */
void rlk_lock_stand_by(struct rlk_lock *lock, const struct rlk_terms *terms, int64_t now_ms);

/* It stands by, and is the first now: it makes its first attempt, with the rank of its arrival. If
 * a majority has answered the one before it, the nodes have one timeout to answer it as well, else
 * what is left of the one since its arrival. A wait that is over is left to rlk_lock_time(). */
void rlk_lock_take_turn(struct rlk_lock *lock, bool nodes_answered, int64_t now_ms);

/* The same, when the lock is owned in this process: it asks no node before turn_at_ms, unless it is
 * to follow the owner's release. */
void rlk_lock_await_turn(struct rlk_lock *lock, int64_t turn_at_ms);

/* It stands by and is the first, or it waits; and the owner's release is about to leave on the same
 * connections: an attempt that comes behind the release, and behind whoever else waits for it. In any
 * other state nothing happens. */
void rlk_lock_follow(struct rlk_lock *lock, int64_t now_ms);

/* It stands by, and the owner, another lock of the same quorum, lets go: instead of a release it gets the
 * rest of that lease, under the same token and the next fence. The lease must be owned, with fences
 * left in its block. */
void rlk_lock_receive(struct rlk_lock *lock, const struct rlk_lease *lease, int64_t deadline_ms,
                      int64_t now_ms);

/* If it stands by, and the first ended as RLK_UNAVAILABLE because no majority has answered for a
 * timeout, nor when it was asked after this one's arrival: then it ends as RLK_UNAVAILABLE too,
 * for the same reasons. Else false, and nothing changes. */
bool rlk_lock_share_verdict(struct rlk_lock *lock, const struct rlk_lock *first);

/* What the nodes told another lock of the same quorum: for one that ended while it stood by. */
void rlk_lock_copy_reasons(struct rlk_lock *lock, const struct rlk_lock *from);

/* What they would tell it while another lock of the same quorum owns that lease. */
void rlk_lock_note_owner(struct rlk_lock *lock, const struct rlk_lease *lease, int64_t left_ms);

/* To now + ttl. Extends only what is owned; an expired lease is lost. */
void rlk_lock_extend(struct rlk_lock *lock, int64_t ttl_ms, int64_t now_ms);

/* Also what is lost or expired is released: somebody else's token is never touched. Where the terms
 * say at_least_ms, the token stands until then; nobody is woken, since nothing is free. */
void rlk_lock_release(struct rlk_lock *lock, int64_t now_ms);

/* It was released over other connections than it was acquired over: wherever it was not found, its acquire may
 * be still to come, and who has those connections is to release it behind that. */
void rlk_lock_owe(struct rlk_lock *lock, int64_t now_ms);

/* Releases a grant that nobody has seen: it is free at once. */
void rlk_lock_undo(struct rlk_lock *lock, int64_t now_ms);

/* Looks at a lock; or does what its inquiry says. It is over when all that are asked have answered. */
void rlk_lock_inspect(struct rlk_lock *lock, int64_t now_ms);

/* Gives up an acquire: what it may have been granted is released, and it leaves the queue. */
void rlk_lock_cancel(struct rlk_lock *lock, int64_t now_ms);

void rlk_lock_vote(struct rlk_lock *lock, int node, uint32_t round, const struct rlk_vote *vote,
                   int64_t now_ms);

/* A node says that this waiter is next. */
void rlk_lock_wake(struct rlk_lock *lock, int node, int64_t fence, int64_t now_ms);

/* More of the quorum's inbox_ready is set. */
void rlk_lock_inbox_ready(struct rlk_lock *lock, int64_t now_ms);

/* At rlk_lock_next_time() or any other moment. */
void rlk_lock_time(struct rlk_lock *lock, int64_t now_ms);

/* Another machine extended the same lease (user's and watchdog's): it lasts until the later
 * deadline. */
void rlk_lock_credit(struct rlk_lock *lock, int64_t deadline_ms);

/* ---- outputs ---- */

/* Nodes for which rlk_lock_next_request() has something. */
rlk_nodes rlk_lock_wants(const struct rlk_lock *lock);

/* Takes the next request to the node. False if there is none. */
bool rlk_lock_next_request(struct rlk_lock *lock, int node, int64_t now_ms,
                           struct rlk_request *request);

/* For how long nodes would keep the token of what is released now; 0: it goes at once. */
int64_t rlk_lease_keep_ms(const struct rlk_quorum *quorum, const struct rlk_lease *lease,
                          int64_t now_ms);

/* When rlk_lock_time() has something to do; RLK_NEVER if nothing. */
int64_t rlk_lock_next_time(const struct rlk_lock *lock);

/* Nothing is under way, and nothing is wanted of any node. */
bool rlk_lock_is_done(const struct rlk_lock *lock);

/* It has ended, but a token of its own may still stand on a node that is out of reach or busy: it
 * is worth an rlk_lock_retire(). What is under way counts only where nodes were out of reach: else it
 * will arrive. */
bool rlk_lock_is_owing(const struct rlk_lock *lock);

/* It has its outcome, and the answer to a release is under way: if that was not delivered, the lock
 * wants to send it again. */
bool rlk_lock_is_untold(const struct rlk_lock *lock);

/* The node was busy when it was to take back an attempt of the past: nothing is acquired there
 * before it was told again. */
bool rlk_lock_is_put_off(const struct rlk_lock *lock, int node);

/* A majority of the nodes has answered its last acquire: for rlk_lock_take_turn(). */
bool rlk_lock_was_answered(const struct rlk_lock *lock);

/* It waits, or is about to: subscribe to the inbox on every node. */
bool rlk_lock_wants_inbox(const struct rlk_lock *lock);

/* Milliseconds that are left of the lease; 0 if it is not owned. */
int64_t rlk_lock_remaining(const struct rlk_lock *lock, int64_t now_ms);

#endif
