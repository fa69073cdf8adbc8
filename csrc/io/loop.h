/* The loop: the connections to all nodes, and the locks that want something of them.
 *
 * All requests of all locks to one node leave in one write per turn. One thread uses a loop at a
 * time.
 *
 *     rlk_loop_attach(loop, lock);
 *     rlk_lock_acquire(lock, ...); rlk_loop_touch(loop, lock);
 *     while (lock->outcome == RLK_PENDING)
 *         rlk_loop_turn(loop, RLK_NEVER);
 *     rlk_loop_detach(loop, lock); */
#ifndef RLK_LOOP_H
#define RLK_LOOP_H

#include "core/lock.h"
#include "io/peer.h"
#include "io/settings.h"

struct rlk_loop;

/* NULL if there is no memory. Borrows the settings. */
struct rlk_loop *rlk_loop_new(const struct rlk_settings *settings);
void rlk_loop_free(struct rlk_loop *loop);

/* In the child of a fork: closes the descriptors that were the parent's and forgets the rest.
 * Frees nothing if another thread may have been using the loop. */
void rlk_loop_close_inherited(struct rlk_loop *loop);

/* For rlk_lock_init(). Any thread may ask; only the loop's own uses it. */
struct rlk_quorum *rlk_loop_quorum(struct rlk_loop *loop);

/* Hands in a fresh token and the wall clock; before every input to a lock that comes from
 * outside the loop. */
void rlk_loop_top_up(struct rlk_loop *loop);

/* The lock takes part, under an id of its own, until it is detached. False if there is no
 * memory. */
bool rlk_loop_attach(struct rlk_loop *loop, struct rlk_lock *lock);
void rlk_loop_detach(struct rlk_loop *loop, struct rlk_lock *lock);

/* After an input to an attached lock: what it wants leaves with the next turn. */
void rlk_loop_touch(struct rlk_loop *loop, struct rlk_lock *lock);

/* Something has been touched since the loop last sent what was wanted. */
bool rlk_loop_has_touched(const struct rlk_loop *loop);

/* For a loop that a caller waits on: look for replies for some microseconds, giving way to
 * whoever wants the processor, before the thread is put to sleep. */
void rlk_loop_be_eager(struct rlk_loop *loop);

/* Before a new lock takes part in a loop that may not have turned for long: replies that came
 * meanwhile are taken in, lest their nodes be thought silent, and connections that have ended
 * are noticed. */
void rlk_loop_catch_up(struct rlk_loop *loop);

/* Sends what is wanted, waits until something happens or until_ms, and takes it in. */
void rlk_loop_turn(struct rlk_loop *loop, int64_t until_ms);

/* The parts of a turn, for whoever has something to do in between: send, and say until when to
 * wait at most; wait (wake_fd is one more descriptor that ends it, or -1) and read, false if there
 * was nothing; take in what was read and what is due. */
int64_t rlk_loop_prepare(struct rlk_loop *loop);
bool rlk_loop_poll(struct rlk_loop *loop, int64_t until_ms, int wake_fd);
void rlk_loop_settle(struct rlk_loop *loop);

/* Sends a release that nobody waits for, to every node of the lease that is connected; the set of
 * those nodes. */
rlk_nodes rlk_loop_release_blindly(struct rlk_loop *loop, struct rlk_key key,
                                   const struct rlk_lease *lease);

/* A request is on its way to a node that is asked for the first time: its first connection is
 * still being made, or it may not have the script. */
bool rlk_loop_is_first_asking(const struct rlk_loop *loop, const struct rlk_lock *lock);

/* Until when a lock that a majority has granted or extended just now may wait for such nodes: as
 * long again, so that a client's first lock stands on all nodes that are there. */
int64_t rlk_loop_linger_until(const struct rlk_lock *lock);

/* How many calls are unanswered by the node that has most of them; without those that are
 * stalled. */
size_t rlk_loop_in_flight(const struct rlk_loop *loop);

/* What nodes are to be told, they are told now or never: one that is down is dialed at once, whatever
 * its back-off. */
void rlk_loop_hasten(struct rlk_loop *loop);

/* Writes what sockets did not take at once, as far as they take it now. For whoever does not turn
 * the loop again until he has something else to ask. */
void rlk_loop_write_rest(struct rlk_loop *loop);

/* Turns until no node is being dialed any more, or until then. */
void rlk_loop_connect(struct rlk_loop *loop, int64_t until_ms);

/* Turns until what was sent has been answered by every node that is connected and not stalled,
 * or until then. Before the connections are closed: bytes that are unread when a socket is
 * closed make the kernel reset it, and the server throws away what it has not read. */
void rlk_loop_drain(struct rlk_loop *loop, int64_t until_ms);

/* Called with every lock that a vote, a wake-up or the time moved, and when what it wants has been
 * sent. */
typedef void rlk_on_moved(void *context, struct rlk_lock *lock);
void rlk_loop_watch(struct rlk_loop *loop, rlk_on_moved *on_moved, void *context);

#endif
