/* What is decided about a lease, its lock machine decides: it is woken when the lease is due, and
 * put to rest again when nothing is under way. */
#include "io/watchdog.h"

#include <stdlib.h>

#include "io/system.h"

#define NO_MEMORY_PAUSE_MS 100

/* The machine of a holding that is not at rest. */
struct rlk_renewal {
    struct rlk_holding *holding;
    struct rlk_link moved;
    struct rlk_lock lock;
};

void rlk_watchdog_init(struct rlk_watchdog *watchdog, struct rlk_loop *loop)
{
    *watchdog = (struct rlk_watchdog){.loop = loop};
    rlk_list_init(&watchdog->moved);
}

void rlk_watchdog_free(struct rlk_watchdog *watchdog)
{
    free(watchdog->kept);
    rlk_agenda_free(&watchdog->agenda);
}

/* ---- what is kept ---- */

static bool grow(struct rlk_watchdog *watchdog)
{
    uint32_t capacity = watchdog->capacity + watchdog->capacity / 2 + 8;
    struct rlk_holding **kept = realloc(watchdog->kept, capacity * sizeof(struct rlk_holding *));
    if (!kept)
        return false;
    watchdog->kept = kept;
    if (!rlk_agenda_reserve(&watchdog->agenda, capacity))
        return false;
    watchdog->capacity = capacity;
    return true;
}

static void plan(struct rlk_watchdog *watchdog, const struct rlk_holding *holding)
{
    int64_t deadline_ms = atomic_load(&holding->deadline_ms);
    int64_t at_ms =
        holding->renewal ? RLK_NEVER : rlk_earlier(holding->rest.renew_at_ms, deadline_ms);
    rlk_agenda_set(&watchdog->agenda, holding->slot - 1, at_ms);
}

bool rlk_watchdog_keep(struct rlk_watchdog *watchdog, struct rlk_holding *holding)
{
    if (watchdog->count == watchdog->capacity && !grow(watchdog)) {
        rlk_holding_end(holding, RLK_LOST_EXPIRED);
        return false;
    }
    watchdog->kept[watchdog->count] = holding;
    holding->slot = ++watchdog->count;
    plan(watchdog, holding);
    return true;
}

bool rlk_watchdog_keeps(const struct rlk_holding *holding)
{
    return holding->slot != 0;
}

static void end_renewal(struct rlk_watchdog *watchdog, struct rlk_holding *holding)
{
    struct rlk_renewal *renewal = holding->renewal;
    if (!renewal)
        return;
    rlk_loop_detach(watchdog->loop, &renewal->lock);
    rlk_unlink(&renewal->moved);
    free(renewal);
    holding->renewal = NULL;
}

/* The last takes its slot. */
void rlk_watchdog_let_go(struct rlk_watchdog *watchdog, struct rlk_holding *holding)
{
    if (!rlk_watchdog_keeps(holding))
        return;
    end_renewal(watchdog, holding);
    struct rlk_holding *last = watchdog->kept[--watchdog->count];
    rlk_agenda_set(&watchdog->agenda, watchdog->count, RLK_NEVER);
    if (last != holding) {
        watchdog->kept[holding->slot - 1] = last;
        last->slot = holding->slot;
        plan(watchdog, last);
    }
    holding->slot = 0;
}

void rlk_watchdog_credit(struct rlk_watchdog *watchdog, struct rlk_holding *holding)
{
    struct rlk_renewal *renewal = holding->renewal;
    if (!rlk_watchdog_keeps(holding))
        return;
    if (renewal) {
        rlk_lock_credit(&renewal->lock, atomic_load(&holding->deadline_ms));
        rlk_loop_touch(watchdog->loop, &renewal->lock);
    } else {
        plan(watchdog, holding);
    }
}

/* ---- ends ---- */

void rlk_watchdog_note_end(struct rlk_watchdog *watchdog, struct rlk_holding *holding)
{
    if (holding->is_ending)
        return;
    holding->is_ending = true;
    holding->next = watchdog->ended;
    watchdog->ended = holding;
}

struct rlk_holding *rlk_watchdog_next_ended(struct rlk_watchdog *watchdog)
{
    struct rlk_holding *holding = watchdog->ended;
    if (!holding)
        return NULL;
    watchdog->ended = holding->next;
    holding->is_ending = false;
    enum rlk_status status = rlk_holding_status(holding);
    if (status == RLK_LOST_TAKEN || status == RLK_LOST_GONE)
        rlk_loop_release_blindly(watchdog->loop, rlk_holding_key(holding), &holding->lease);
    rlk_watchdog_let_go(watchdog, holding);
    return holding;
}

/* ---- renewals ---- */

/* The machine has not heard of an extension by the owner yet, and took the lease for expired. */
static bool lasts_longer(struct rlk_holding *holding, const struct rlk_lock *lock)
{
    return lock->state == RLK_IDLE && lock->loss == RLK_EXPIRED &&
           rlk_holding_remaining_us(holding) > 0;
}

/* Tells the owner what the holding's machine has come to; and if the owner has seen it end
 * meanwhile, nothing is renewed any more. */
void rlk_watchdog_on_moved(struct rlk_watchdog *watchdog, struct rlk_lock *lock)
{
    struct rlk_renewal *renewal = rlk_owner(lock, struct rlk_renewal, lock);
    struct rlk_holding *holding = renewal->holding;
    if (lasts_longer(holding, lock)) {
        rlk_lock_adopt(lock, &holding->lease, atomic_load(&holding->deadline_ms));
        rlk_loop_touch(watchdog->loop, lock);
    }
    if (lock->state == RLK_OWNED)
        rlk_holding_credit(holding, lock->deadline_ms);
    else
        rlk_holding_end(holding, rlk_status_of_loss(lock->loss));
    if (atomic_load(&holding->status) != RLK_HOLDS) {
        rlk_lock_retire(lock);
        rlk_watchdog_note_end(watchdog, holding);
    } else if (!rlk_is_linked(&renewal->moved)) {
        rlk_list_append(&watchdog->moved, &renewal->moved);
    }
}

/* NULL if there is no memory. */
static struct rlk_renewal *wake(struct rlk_watchdog *watchdog, struct rlk_holding *holding)
{
    struct rlk_renewal *renewal = calloc(1, sizeof *renewal);
    if (!renewal)
        return NULL;
    struct rlk_lock *lock = &renewal->lock;
    renewal->holding = holding;
    rlk_lock_init(lock, rlk_loop_quorum(watchdog->loop), rlk_holding_key(holding), NULL);
    rlk_lock_adopt(lock, &holding->lease, atomic_load(&holding->deadline_ms));
    rlk_lock_resume(lock, &holding->rest);
    if (rlk_loop_attach(watchdog->loop, lock))
        return renewal;
    free(renewal);
    return NULL;
}

static void put_off(struct rlk_watchdog *watchdog, struct rlk_holding *holding, int64_t now_ms)
{
    int64_t deadline_ms = atomic_load(&holding->deadline_ms);
    if (rlk_holding_status(holding) != RLK_HOLDS)
        rlk_watchdog_note_end(watchdog, holding);
    else
        rlk_agenda_set(&watchdog->agenda, holding->slot - 1,
                       rlk_earlier(now_ms + NO_MEMORY_PAUSE_MS, deadline_ms));
}

static void begin_renewal(struct rlk_watchdog *watchdog, struct rlk_holding *holding,
                          int64_t now_ms)
{
    holding->renewal = wake(watchdog, holding);
    if (!holding->renewal) {
        put_off(watchdog, holding, now_ms);
        return;
    }
    struct rlk_lock *lock = &holding->renewal->lock;
    rlk_loop_top_up(watchdog->loop);
    rlk_lock_time(lock, now_ms);
    rlk_loop_touch(watchdog->loop, lock);
    rlk_watchdog_on_moved(watchdog, lock);
}

/* What some node has not answered stays awake, to hear it, until it is due again at the latest. */
static void put_to_rest(struct rlk_watchdog *watchdog)
{
    struct rlk_link *link;
    while ((link = rlk_list_take_first(&watchdog->moved)) != NULL) {
        struct rlk_renewal *renewal = rlk_owner(link, struct rlk_renewal, moved);
        struct rlk_holding *holding = renewal->holding;
        if (!rlk_lock_is_at_rest(&renewal->lock))
            continue;
        holding->rest = rlk_lock_rest(&renewal->lock);
        end_renewal(watchdog, holding);
        plan(watchdog, holding);
    }
}

void rlk_watchdog_time(struct rlk_watchdog *watchdog)
{
    uint32_t slot;
    int64_t now_ms = rlk_clock_ms();
    put_to_rest(watchdog);
    while (rlk_agenda_take(&watchdog->agenda, now_ms, &slot))
        begin_renewal(watchdog, watchdog->kept[slot], now_ms);
}

int64_t rlk_watchdog_next_time(const struct rlk_watchdog *watchdog)
{
    return rlk_agenda_next(&watchdog->agenda);
}
