/* Both sides only ever move a holding forward: the deadline grows, the status ends. */
#include "io/holding.h"

#include <stdlib.h>
#include <string.h>

#include "io/system.h"

#define STANDS_LONGER 10 /* a node may keep a token for this part of the lease after the deadline */
#define CLOCK_MARGIN_MS 1000

struct rlk_watch {
    struct rlk_notice notice;
    struct rlk_outbox *outbox;
};

struct rlk_holding *rlk_holding_new(struct rlk_key key)
{
    struct rlk_holding *holding = calloc(1, sizeof *holding + key.len);
    if (!holding)
        return NULL;
    memcpy(holding->key, key.bytes, key.len);
    holding->key_len = (uint32_t)key.len;
    holding->generation = rlk_fork_generation();
    atomic_init(&holding->references, 1);
    return holding;
}

void rlk_holding_grant(struct rlk_holding *holding, const struct rlk_lock *owner)
{
    struct rlk_lock machine; /* the owner's does not renew */
    rlk_lock_init(&machine, owner->quorum, rlk_holding_key(holding), NULL);
    rlk_lock_adopt(&machine, &owner->lease, owner->deadline_ms);
    holding->lease = owner->lease;
    holding->rest = rlk_lock_rest(&machine);
    atomic_init(&holding->status, RLK_HOLDS);
    atomic_init(&holding->deadline_ms, owner->deadline_ms);
}

void rlk_holding_retain(struct rlk_holding *holding)
{
    atomic_fetch_add(&holding->references, 1);
}

/* Who watches it is told, once. In a child of a fork nobody is: the outbox is the parent's. */
static void tell(struct rlk_holding *holding)
{
    struct rlk_watch *watch = atomic_exchange(&holding->watch, NULL);
    if (!watch || holding->generation != rlk_fork_generation())
        return;
    bool must_ring;
    struct rlk_outbox *outbox = watch->outbox;
    watch->notice.word = atomic_load(&holding->status);
    rlk_outbox_post(outbox, &watch->notice, &must_ring);
    if (must_ring)
        rlk_outbox_ring(outbox);
    rlk_outbox_drop(outbox);
}

void rlk_holding_drop(struct rlk_holding *holding)
{
    if (atomic_fetch_sub(&holding->references, 1) > 1)
        return;
    rlk_holding_end(holding, RLK_LOST_EXPIRED); /* what nobody refers to is over in any case */
    free(holding);
}

void rlk_holding_spare(struct rlk_holding *holding)
{
    holding->lease.terms.at_least_ms = 0;
}

void rlk_holding_credit(struct rlk_holding *holding, int64_t deadline_ms)
{
    int64_t known = atomic_load(&holding->deadline_ms);
    while (deadline_ms > known &&
           !atomic_compare_exchange_weak(&holding->deadline_ms, &known, deadline_ms))
        continue;
}

bool rlk_holding_end(struct rlk_holding *holding, enum rlk_status status)
{
    int holds = RLK_HOLDS;
    if (!atomic_compare_exchange_strong(&holding->status, &holds, (int)status))
        return false;
    tell(holding);
    return true;
}

void rlk_holding_let_go(struct rlk_holding *holding)
{
    int untold = RLK_UNTOLD;
    atomic_compare_exchange_strong(&holding->status, &untold, RLK_LETS_GO);
    if (rlk_holding_remaining_us(holding) > 0)
        rlk_holding_end(holding, RLK_LETS_GO);
}

bool rlk_holding_is_let_go(const struct rlk_holding *holding)
{
    int status = atomic_load(&holding->status);
    return status == RLK_LETS_GO || status == RLK_HAS_RELEASED;
}

enum rlk_outcome rlk_holding_note_extension(struct rlk_holding *holding,
                                            const struct rlk_lock *extended)
{
    enum rlk_outcome outcome = extended->outcome;
    if (outcome == RLK_EXTENDED) {
        rlk_holding_credit(holding, extended->deadline_ms);
        return rlk_holding_remaining_us(holding) > 0 ? RLK_EXTENDED : RLK_LOST;
    }
    if (outcome == RLK_LOST && extended->loss == RLK_EXPIRED &&
        rlk_holding_remaining_us(holding) > 0)
        return RLK_UNAVAILABLE;
    if (outcome == RLK_LOST)
        rlk_holding_end(holding, rlk_status_of_loss(extended->loss));
    return outcome;
}

void rlk_holding_conclude(struct rlk_holding *holding, enum rlk_outcome outcome, enum rlk_loss loss)
{
    int lets_go = RLK_LETS_GO, status = RLK_UNTOLD;
    if (outcome == RLK_RELEASED)
        status = RLK_HAS_RELEASED;
    else if (outcome == RLK_LOST)
        status = (int)rlk_status_of_loss(loss);
    atomic_compare_exchange_strong(&holding->status, &lets_go, status);
}

bool rlk_holding_watch(struct rlk_holding *holding, struct rlk_outbox *outbox, uint64_t tag)
{
    struct rlk_watch *nobody = NULL, *watch = calloc(1, sizeof *watch);
    if (!watch)
        return false;
    *watch = (struct rlk_watch){.notice = {.tag = tag, .on_heap = true}, .outbox = outbox};
    rlk_outbox_retain(outbox);
    if (!atomic_compare_exchange_strong(&holding->watch, &nobody, watch)) {
        rlk_outbox_drop(outbox);
        free(watch);
        return false;
    }
    if (atomic_load(&holding->status) != RLK_HOLDS)
        tell(holding); /* it ended before anybody watched */
    return true;
}

bool rlk_holding_may_stand(const struct rlk_holding *holding)
{
    const struct rlk_lease *lease = &holding->lease;
    int64_t deadline_ms = atomic_load(&holding->deadline_ms);
    int64_t lease_ms = deadline_ms - lease->granted_ms;
    int64_t by_minority_ms = lease->terms.renew ? lease->terms.ttl_ms : 0; /* renewed in vain */
    return !holding->told && holding->generation == rlk_fork_generation() &&
           rlk_clock_ms() <
               deadline_ms + by_minority_ms + lease_ms / STANDS_LONGER + CLOCK_MARGIN_MS;
}

bool rlk_holding_is_lost(const struct rlk_holding *holding)
{
    int status = atomic_load(&holding->status);
    return status == RLK_LOST_EXPIRED || status == RLK_LOST_TAKEN || status == RLK_LOST_GONE;
}

enum rlk_status rlk_status_of_loss(enum rlk_loss loss)
{
    switch (loss) {
    case RLK_TAKEN:
        return RLK_LOST_TAKEN;
    case RLK_GONE:
        return RLK_LOST_GONE;
    default:
        return RLK_LOST_EXPIRED;
    }
}

int64_t rlk_holding_remaining_us(struct rlk_holding *holding)
{
    if (atomic_load(&holding->status) != RLK_HOLDS || holding->generation != rlk_fork_generation())
        return 0;
    int64_t now_us = rlk_clock_us(); /* first, so that what extends it meanwhile counts */
    int64_t left_us = atomic_load(&holding->deadline_ms) * 1000 - now_us;
    if (left_us > 0)
        return left_us;
    rlk_holding_end(holding, RLK_LOST_EXPIRED);
    return 0;
}

enum rlk_status rlk_holding_status(struct rlk_holding *holding)
{
    rlk_holding_remaining_us(holding);
    return (enum rlk_status)atomic_load(&holding->status);
}
