/* The engine: a loop on a thread of its own. It renews what is held, whatever the program is
 * doing; runs the operations of programs that must not wait; and finishes what a call that
 * returned could not wait for.
 *
 * The thread blocks all signals and never touches a Lua state. Keeping, dropping and submitting
 * cost no system call unless the engine would otherwise sleep past what is due. */
#ifndef RLK_ENGINE_H
#define RLK_ENGINE_H

#include "io/operation.h"
#include "io/settings.h"

struct rlk_engine;

/* Starts the thread. NULL if there is no memory, descriptor or thread for it. Borrows the
 * settings. */
struct rlk_engine *rlk_engine_start(const struct rlk_settings *settings);

/* Completes what is under way as RLK_UNAVAILABLE, gives unfinished releases so long, ends the thread
 * and frees the engine. Every holding was dropped before. */
void rlk_engine_stop(struct rlk_engine *engine, int64_t grace_ms);

/* Begins the same without waiting: the thread's last act is to post the tag. rlk_engine_stop() has to
 * follow, and does not wait then. False if there is no memory: nothing has begun. */
bool rlk_engine_begin_stop(struct rlk_engine *engine, int64_t grace_ms, struct rlk_outbox *outbox,
                           uint64_t tag);

/* In the child of a fork, where the thread does not exist: closes what was inherited. The memory
 * stays with whatever the thread was doing to it at that moment. */
void rlk_engine_disown(struct rlk_engine *engine);

/* From here on the engine watches over the holding, and renews it by its terms. */
void rlk_engine_keep(struct rlk_engine *engine, struct rlk_holding *holding);
void rlk_engine_drop(struct rlk_engine *engine, struct rlk_holding *holding);

/* The owner has extended the holding: its deadline grew. */
void rlk_engine_credit(struct rlk_engine *engine, struct rlk_holding *holding);

/* Runs the operation, and takes a reference for as long. */
void rlk_engine_submit(struct rlk_engine *engine, struct rlk_operation *operation);

/* After its notice was retracted: what it has under way is taken back. */
void rlk_engine_give_up(struct rlk_engine *engine, struct rlk_operation *operation);

/* Takes over what the lock still wants of the nodes (releases that are owed, or under way); the
 * lock itself stays the caller's. What there is no memory for dies with its ttl. */
void rlk_engine_finish(struct rlk_engine *engine, const struct rlk_lock *lock);

#endif
