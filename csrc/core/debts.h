/* Debts: what nodes are still to be told after an attempt was given up (its token is to be
 * released) or a wait (the waiter has left the queue).
 *
 * A debt is due, then under way, and settled by its answer. One that was not delivered is due
 * again: at once if the connection broke, after a pause if the node was busy. */
#ifndef RLK_DEBTS_H
#define RLK_DEBTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/quorum.h"
#include "core/vote.h"

/* Set in the round of a request that pays debts; and which. */
#define RLK_ROUND_OWED UINT32_C(0x80000000)
#define RLK_ROUND_TOKEN UINT32_C(0x40000000)
#define RLK_ROUND_LEAVE UINT32_C(0x20000000)

struct rlk_debts {
    rlk_nodes owed;          /* to release the token of an earlier attempt */
    rlk_nodes owed_sent;     /* the same, under way */
    rlk_nodes leaving;       /* to hear that the waiter has left */
    rlk_nodes owed_later;    /* busy: due again at again_at_ms */
    rlk_nodes leaving_later; /* the same */
    int64_t again_at_ms;
    int64_t until_ms; /* what is owed has died by itself */
};

/* ---- inputs ---- */

void rlk_debts_owe(struct rlk_debts *debts, rlk_nodes nodes, int64_t until_ms);

void rlk_debts_leave(struct rlk_debts *debts, rlk_nodes nodes);

/* Takes what is due to the node to be sent; what that is, as bits for the request's round. */
uint32_t rlk_debts_take(struct rlk_debts *debts, int node);

/* The answer to such a request. The quorum is for jitter. */
void rlk_debts_vote(struct rlk_debts *debts, struct rlk_quorum *quorum, int node, uint32_t round,
                    enum rlk_reason reason, int64_t now_ms);

void rlk_debts_time(struct rlk_debts *debts, int64_t now_ms);

/* What busy nodes are to be told later is due now. */
void rlk_debts_hasten(struct rlk_debts *debts);

/* For another who pays them, over connections of his own: what is under way is due once more, and
 * queues, which know the waiter by its own loop's inbox, are left to themselves. */
void rlk_debts_hand_over(struct rlk_debts *debts);

/* ---- outputs ---- */

/* Nodes to which something is due now. */
rlk_nodes rlk_debts_due(const struct rlk_debts *debts);

/* Nodes on which nothing is to be acquired before the token there was released. */
rlk_nodes rlk_debts_in_the_way(const struct rlk_debts *debts);

int64_t rlk_debts_next_time(const struct rlk_debts *debts);

/* Nothing is due, under way, or to be due again. */
bool rlk_debts_are_paid(const struct rlk_debts *debts);

#endif
