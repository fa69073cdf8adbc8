/* One bit for each node and kind of debt, which moves from due to sent, and perhaps to later and
 * back. What it is made of, tokens and names, is the lock's. */
#include "core/debts.h"

#define BUSY_PAUSE_MS 200 /* and as much jitter, until a busy node is told again */

void rlk_debts_owe(struct rlk_debts *debts, rlk_nodes nodes, int64_t until_ms)
{
    debts->owed |= nodes;
    debts->until_ms = until_ms;
}

void rlk_debts_leave(struct rlk_debts *debts, rlk_nodes nodes)
{
    debts->leaving |= nodes;
}

uint32_t rlk_debts_take(struct rlk_debts *debts, int node)
{
    rlk_nodes bit = rlk_node_bit(node);
    uint32_t taken = RLK_ROUND_OWED;
    if (debts->owed & bit)
        taken |= RLK_ROUND_TOKEN;
    if (debts->leaving & bit)
        taken |= RLK_ROUND_LEAVE;
    debts->owed_sent |= debts->owed & bit;
    debts->owed &= ~bit;
    debts->leaving &= ~bit;
    return taken;
}

/* What was not delivered is asked once more, as long as the token may live. */
void rlk_debts_vote(struct rlk_debts *debts, struct rlk_quorum *quorum, int node, uint32_t round,
                    enum rlk_reason reason, int64_t now_ms)
{
    rlk_nodes bit = rlk_node_bit(node);
    rlk_nodes again = rlk_reason_is_undelivered(reason) && now_ms < debts->until_ms ? bit : 0;
    bool at_once = reason == RLK_DISCONNECTED || reason == RLK_NOSCRIPT;
    if (again && !at_once)
        debts->again_at_ms = now_ms + BUSY_PAUSE_MS + rlk_jitter(quorum, BUSY_PAUSE_MS);
    if (round & RLK_ROUND_TOKEN) {
        debts->owed_sent &= ~bit;
        *(at_once ? &debts->owed : &debts->owed_later) |= again;
    }
    if (round & RLK_ROUND_LEAVE)
        *(at_once ? &debts->leaving : &debts->leaving_later) |= again;
}

void rlk_debts_hasten(struct rlk_debts *debts)
{
    debts->owed |= debts->owed_later;
    debts->leaving |= debts->leaving_later;
    debts->owed_later = debts->leaving_later = 0;
}

void rlk_debts_time(struct rlk_debts *debts, int64_t now_ms)
{
    if (now_ms >= debts->until_ms)
        debts->owed = debts->owed_sent = debts->owed_later = 0; /* died with its ttl */
    if (now_ms >= debts->again_at_ms)
        rlk_debts_hasten(debts);
}

void rlk_debts_hand_over(struct rlk_debts *debts)
{
    debts->owed |= debts->owed_sent;
    debts->owed_sent = 0;
    debts->leaving = debts->leaving_later = 0;
}

rlk_nodes rlk_debts_due(const struct rlk_debts *debts)
{
    return debts->owed | debts->leaving;
}

rlk_nodes rlk_debts_in_the_way(const struct rlk_debts *debts)
{
    return debts->owed | debts->owed_sent | debts->owed_later;
}

int64_t rlk_debts_next_time(const struct rlk_debts *debts)
{
    int64_t next_ms = rlk_debts_in_the_way(debts) ? debts->until_ms : RLK_NEVER;
    if (debts->owed_later | debts->leaving_later)
        next_ms = rlk_earlier(next_ms, debts->again_at_ms);
    return next_ms;
}

bool rlk_debts_are_paid(const struct rlk_debts *debts)
{
    return !(rlk_debts_due(debts) | rlk_debts_in_the_way(debts) | debts->leaving_later);
}
