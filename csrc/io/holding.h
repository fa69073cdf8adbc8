/* A holding: one grant, from the moment that it was given. The thread that acquired it and the
 * engine that renews it share it; each holds a reference.
 *
 * Lease and key never change once somebody has seen it. Deadline and status are what the two tell each
 * other. There may be a hundred thousand of them: nothing is in here that only some need. */
#ifndef RLK_HOLDING_H
#define RLK_HOLDING_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/lock.h"
#include "io/outbox.h"
#include "io/scope.h"

enum rlk_status {
    RLK_HOLDS,
    RLK_LETS_GO, /* it is being released */
    RLK_UNTOLD,  /* it was to be released, but no majority has confirmed it: not believed in */
    RLK_LOST_EXPIRED,
    RLK_LOST_TAKEN,
    RLK_LOST_GONE,
    RLK_HAS_RELEASED,
};

enum rlk_place { RLK_OUTSIDE, RLK_ARRIVING, RLK_KEPT, RLK_LEAVING };

struct rlk_holding {
    atomic_int references;
    atomic_int status;           /* enum rlk_status; never goes back to RLK_HOLDS */
    _Atomic int64_t deadline_ms; /* only grows */
    unsigned generation;         /* of the process that acquired it: rlk_fork_generation() */
    uint32_t key_len;

    /* the owner's thread's alone */
    struct rlk_link client_link; /* its client's holdings */
    struct rlk_bond bond;
    bool told;      /* the nodes were told to release it */
    bool by_engine; /* acquired over the engine's connections, so it is released over them */
    bool unfit;     /* nodes may keep it beyond its ttl; the engine reads this once it is let go */

    /* under the engine's mutex */
    enum rlk_place place;
    struct rlk_link engine_link; /* arriving, or leaving */
    bool credited;               /* the deadline grew while it was kept */

    /* the engine's thread's alone */
    bool is_ending;              /* it is among those that have ended */
    uint32_t slot;               /* its watchdog's; 0: not kept */
    struct rlk_holding *next;    /* of those that were taken, or of those that have ended */
    struct rlk_renewal *renewal; /* NULL: it is at rest */
    struct rlk_rest rest;

    _Atomic(struct rlk_watch *) watch; /* NULL: nobody wants to be told of its end, or was told */

    struct rlk_lease lease;
    char key[];
};

static inline struct rlk_key rlk_holding_key(const struct rlk_holding *holding)
{
    return (struct rlk_key){holding->key, holding->key_len};
}

/* Room for a grant of the key, with one reference. NULL if there is no memory. */
struct rlk_holding *rlk_holding_new(struct rlk_key key);

/* Becomes a copy of what the lock owns. */
void rlk_holding_grant(struct rlk_holding *holding, const struct rlk_lock *owner);
void rlk_holding_retain(struct rlk_holding *holding);
void rlk_holding_drop(struct rlk_holding *holding);

/* Nobody will hold it, or has seen it: its release frees it at once, whatever its terms. */
void rlk_holding_spare(struct rlk_holding *holding);

/* A longer lease; a shorter one changes nothing. */
void rlk_holding_credit(struct rlk_holding *holding, int64_t deadline_ms);

/* From RLK_HOLDS to the status, and who watches it is told; false if it had left that before. */
bool rlk_holding_end(struct rlk_holding *holding, enum rlk_status status);

/* Its release begins: it is held no longer. A lease that was over before is lost, whatever the nodes
 * will say: what it protected may have run unprotected. */
void rlk_holding_let_go(struct rlk_holding *holding);

/* Its release has begun, and may have been confirmed: there is nothing left to do. */
bool rlk_holding_is_let_go(const struct rlk_holding *holding);

/* What has come of an extension by another machine, which is noted; and what it is to the owner.
 * That machine may not have heard that the watchdog renewed the lease, and take it for expired: then
 * it was not extended, and is held. */
enum rlk_outcome rlk_holding_note_extension(struct rlk_holding *holding,
                                            const struct rlk_lock *extended);

/* What has come of a release. */
void rlk_holding_conclude(struct rlk_holding *holding, enum rlk_outcome outcome,
                          enum rlk_loss loss);

/* The outbox gets one notice with this tag when the holding is over, whichever way; its word is the
 * status. False if there is no memory, or it is watched already. */
bool rlk_holding_watch(struct rlk_holding *holding, struct rlk_outbox *outbox, uint64_t tag);

/* Its token may still stand on some node: it was not released, by this process, and its last
 * possible ttl is not over. */
bool rlk_holding_may_stand(const struct rlk_holding *holding);

bool rlk_holding_is_lost(const struct rlk_holding *holding);

enum rlk_status rlk_holding_status(struct rlk_holding *holding);

enum rlk_status rlk_status_of_loss(enum rlk_loss loss);

/* Microseconds that are certainly left, by a clock that is read now; 0 once it is not held, or
 * in another process. Who has seen that nothing is left sees it for good: it has expired then. */
int64_t rlk_holding_remaining_us(struct rlk_holding *holding);

#endif
