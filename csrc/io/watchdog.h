/* The watchdog: the holdings that an engine keeps, each looked at when it is due.
 *
 * A holding at rest is a lease, two moments and a place in an agenda. A lock machine stands for it
 * only while it is being renewed, since there may be a hundred thousand of them. All of this is the
 * engine's thread's alone. */
#ifndef RLK_WATCHDOG_H
#define RLK_WATCHDOG_H

#include "core/agenda.h"
#include "io/holding.h"
#include "io/loop.h"

struct rlk_watchdog {
    struct rlk_loop *loop;
    struct rlk_holding **kept; /* by slot, without gaps */
    uint32_t count, capacity;
    struct rlk_agenda agenda;
    struct rlk_link moved;     /* renewals, that may have come to rest */
    struct rlk_holding *ended; /* by next: no longer held, to be let go */
};

void rlk_watchdog_init(struct rlk_watchdog *watchdog, struct rlk_loop *loop);
void rlk_watchdog_free(struct rlk_watchdog *watchdog);

/* From here on it is renewed by its terms. False if there is no memory: then it is ended, rather
 * than believed in and not renewed. */
bool rlk_watchdog_keep(struct rlk_watchdog *watchdog, struct rlk_holding *holding);

/* Nothing more is done for it; also if it is not kept. */
void rlk_watchdog_let_go(struct rlk_watchdog *watchdog, struct rlk_holding *holding);

bool rlk_watchdog_keeps(const struct rlk_holding *holding);

/* Its deadline grew, by another's doing. */
void rlk_watchdog_credit(struct rlk_watchdog *watchdog, struct rlk_holding *holding);

/* It has ended: rlk_watchdog_next_ended() will give it. */
void rlk_watchdog_note_end(struct rlk_watchdog *watchdog, struct rlk_holding *holding);

/* One that has ended, and is kept no longer; NULL if there is none. What is left of it on the nodes
 * only stands in the way, if a majority does not bear its token any more, and is cleared away. */
struct rlk_holding *rlk_watchdog_next_ended(struct rlk_watchdog *watchdog);

/* For rlk_loop_watch(): a machine without tallies moved. */
void rlk_watchdog_on_moved(struct rlk_watchdog *watchdog, struct rlk_lock *lock);

/* Begins the renewals that are due, and lets go of the machines of those that have been answered.
 * Not while the loop is in the middle of anything. */
void rlk_watchdog_time(struct rlk_watchdog *watchdog);

int64_t rlk_watchdog_next_time(const struct rlk_watchdog *watchdog);

#endif
