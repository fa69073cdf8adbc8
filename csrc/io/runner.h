/* A runner: the operations that are under way on a loop, from the command that goes into each one's
 * machine to its last word to the nodes. It keeps the waiters of one lock in line, makes holdings of
 * grants and posts what has come of each.
 *
 *     for each that was submitted: rlk_runner_begin()
 *     in every turn of the loop:
 *         rlk_runner_settle()          each whose machine moved
 *         rlk_runner_time()
 *         until nothing is touched: rlk_loop_prepare(), rlk_runner_settle()
 *         sleep, until rlk_runner_next_time() at the latest
 *
 * All of this is the loop's thread's alone. */
#ifndef RLK_RUNNER_H
#define RLK_RUNNER_H

#include "io/cohort.h"
#include "io/loop.h"
#include "io/operation.h"
#include "io/watchdog.h"

struct rlk_runner {
    struct rlk_loop *loop;
    struct rlk_watchdog *watchdog;
    int nodes;
    bool is_stopping;
    struct rlk_lines lines;
    struct rlk_cohorts cohorts;
    struct rlk_link running, moved; /* operations, by the links of these names */
    struct rlk_link lingering;      /* operations, by moved: granted, and more nodes are asked */
    struct rlk_outbox *to_ring;     /* for what was posted this turn */
};

/* On a loop of so many nodes; grants that are to be renewed go to the watchdog. Whoever chooses keys
 * must not know the seed. */
void rlk_runner_init(struct rlk_runner *runner, struct rlk_loop *loop,
                     struct rlk_watchdog *watchdog, int nodes, uint64_t seed);
void rlk_runner_free(struct rlk_runner *runner);

/* Takes over a reference. */
void rlk_runner_begin(struct rlk_runner *runner, struct rlk_operation *operation);

/* Its notice was retracted: what it is granted all the same is taken back. Only an acquire has anything
 * to take back; the others run to their end, and nobody is told. */
void rlk_runner_give_up(struct rlk_runner *runner, struct rlk_operation *operation);

/* For rlk_loop_watch(): an operation's machine moved, one with tallies. */
void rlk_runner_on_moved(struct rlk_runner *runner, struct rlk_lock *lock);

/* Looks at every operation whose machine moved. */
void rlk_runner_settle(struct rlk_runner *runner);

void rlk_runner_time(struct rlk_runner *runner);

/* Once nothing is touched any more. */
int64_t rlk_runner_next_time(struct rlk_runner *runner);

/* Nobody waits any more: acquires are given up, and nodes that are down, or were busy, are tried once
 * more at once. To be called in every turn until rlk_runner_is_idle(). */
void rlk_runner_wind_up(struct rlk_runner *runner);
bool rlk_runner_is_idle(const struct rlk_runner *runner);

/* The loop turns no more: what is under way is completed as RLK_UNAVAILABLE. */
void rlk_runner_end(struct rlk_runner *runner);

#endif
