/* An operation: one call (acquire, extend, release, inspect) that an engine runs for a program
 * that does not wait for it. The program and the engine each hold a reference.
 *
 * The program makes it, submits it, is told of its end by the outbox, and reads what came of it.
 * Either the engine posts the notice or the program retracts it, whichever comes first: then the
 * operation is completed, or it is given up, and what it is granted all the same is released. */
#ifndef RLK_OPERATION_H
#define RLK_OPERATION_H

#include <stdatomic.h>

#include "core/line.h"
#include "core/lock.h"
#include "io/holding.h"
#include "io/outbox.h"
#include "io/scope.h"

/* In the tag of a notice: what the operation was bound to has ended. */
#define RLK_ORPHAN (UINT64_C(1) << 52)

struct rlk_operation {
    atomic_int references;

    /* set by the program before it submits */
    enum rlk_request_kind kind;
    struct rlk_key key;
    struct rlk_terms terms;      /* acquire */
    int64_t ttl_ms;              /* extend */
    bool told_before;            /* release: the nodes were told to release it before */
    struct rlk_inquiry *inquiry; /* inspect: what is asked, and was found; its own, or NULL */
    struct rlk_holding *holding; /* extend, release: whose, retained. Acquire: the grant */
    struct rlk_outbox *outbox;   /* retained; NULL: nobody wants to know */
    struct rlk_notice notice;

    /* the engine's, until the notice is posted */
    enum rlk_outcome outcome;
    struct rlk_tally *report; /* of a failure or an inspection: what each node said; or NULL */

    /* the program's thread's alone */
    struct rlk_link client_link; /* its client's operations */
    struct rlk_bond bond;
    bool detaches; /* its grant is not bound to what it is bound to itself */

    struct rlk_link submitted, given_up; /* the engine's lists; under its mutex */

    /* the engine's thread's alone */
    struct rlk_link running, moved; /* its lists */
    struct rlk_in_line in_line;
    bool is_decided; /* the outcome stands; what is left is to tell slow nodes */
    int64_t linger_until_ms;
    struct rlk_lock lock;       /* initialised by it */
    struct rlk_tally tallies[]; /* one per node; the key's bytes follow */
};

/* With one reference, the caller's. Copies the key. NULL if there is no memory. */
struct rlk_operation *rlk_operation_new(enum rlk_request_kind kind, struct rlk_key key, int nodes);

/* What an inspection asks: copies it. False if there is no memory. */
bool rlk_operation_inquire(struct rlk_operation *operation, const struct rlk_inquiry *asked);
void rlk_operation_retain(struct rlk_operation *operation);
void rlk_operation_drop(struct rlk_operation *operation);

#endif
