/* A client: what one program has of a set of nodes. An inline loop for calls that wait, an engine
 * for those that must not, for renewals and for what is finished in the background, and the list
 * of what is held.
 *
 * One thread uses a client at a time. In the child of a fork it starts afresh: new connections,
 * a new engine, and nothing that the parent holds. */
#ifndef RLK_CLIENT_H
#define RLK_CLIENT_H

#include "io/operation.h"
#include "io/settings.h"

struct rlk_client;

/* Copies the settings, but for their tls, which is its own then. NULL if there is no memory; then
 * tls stays the caller's. */
struct rlk_client *rlk_client_new(const struct rlk_settings *settings);

/* Releases what is held, and ends the engine, which has so long to finish what it does; usually one
 * timeout. Every later call fails. Idempotent. */
void rlk_client_close(struct rlk_client *client, int64_t grace_ms);
void rlk_client_free(struct rlk_client *client);

/* Begins to close without waiting: every later call fails, and the tag is posted when
 * rlk_client_close() will not have to wait. False if it would not have to now. */
bool rlk_client_begin_close(struct rlk_client *client, int64_t grace_ms, struct rlk_outbox *outbox,
                            uint64_t tag);

bool rlk_client_is_closed(const struct rlk_client *client);
const struct rlk_settings *rlk_client_settings(const struct rlk_client *client);

/* ---- calls that wait ---- */

/* Waits by the terms. RLK_ACQUIRED, with a holding that is the caller's until
 * rlk_client_forget(); or RLK_LOCKED, RLK_TIMEOUT, RLK_UNAVAILABLE; or RLK_LOST: granted, but the
 * lease ran out before the caller could have it. */
enum rlk_outcome rlk_client_acquire(struct rlk_client *client, struct rlk_key key,
                                    const struct rlk_terms *terms, struct rlk_holding **holding);

/* RLK_EXTENDED, RLK_LOST, RLK_UNAVAILABLE. */
enum rlk_outcome rlk_client_extend(struct rlk_client *client, struct rlk_holding *holding,
                                   int64_t ttl_ms);

/* RLK_RELEASED; RLK_LOST, also if the lease had run out before; RLK_UNAVAILABLE if no majority
 * could be told: the rest is up to the lease. From the call on the holding is not held. */
enum rlk_outcome rlk_client_release(struct rlk_client *client, struct rlk_holding *holding);

/* RLK_INSPECTED: the tallies and the findings say what each node answered to what is asked of the
 * key. */
enum rlk_outcome rlk_client_inspect(struct rlk_client *client, struct rlk_key key,
                                    const struct rlk_inquiry *asked);

/* What each node said in the last call that waited. */
const struct rlk_tally *rlk_client_tallies(const struct rlk_client *client);

/* The details of what each node found, if that was an inspection. */
const struct rlk_buffer *rlk_client_findings(const struct rlk_client *client);

/* ---- the same for programs that must not wait ---- */

/* The engine runs it, and posts a notice with the tag. NULL if it could not be begun: the client is
 * closed, there is no memory or no thread. Outcomes are those of the calls that wait; a client that
 * is closed meanwhile gives RLK_UNAVAILABLE. Acquire and inspect come with a key; extend and release
 * with a holding (not lost, and of this process). */
struct rlk_operation *rlk_client_submit_acquire(struct rlk_client *client, struct rlk_key key,
                                                const struct rlk_terms *terms,
                                                struct rlk_outbox *outbox, uint64_t tag);
struct rlk_operation *rlk_client_submit_extend(struct rlk_client *client,
                                               struct rlk_holding *holding, int64_t ttl_ms,
                                               struct rlk_outbox *outbox, uint64_t tag);
struct rlk_operation *rlk_client_submit_release(struct rlk_client *client,
                                                struct rlk_holding *holding,
                                                struct rlk_outbox *outbox, uint64_t tag);
struct rlk_operation *rlk_client_submit_inspect(struct rlk_client *client, struct rlk_key key,
                                                const struct rlk_inquiry *asked,
                                                struct rlk_outbox *outbox, uint64_t tag);

/* Once the tag was taken: the outcome. An acquire's holding is the caller's until
 * rlk_client_forget(). The operation's report may still be read, until it is dropped. */
enum rlk_outcome rlk_client_conclude(struct rlk_client *client, struct rlk_operation *operation,
                                     struct rlk_holding **holding);

/* Nobody waits for it any more: a grant, also one that was not concluded yet, is released. The tag
 * is not posted, if it was not yet. Drops the operation. */
void rlk_client_abandon(struct rlk_client *client, struct rlk_operation *operation);

/* When the scope ends, the operation is given up; or, once it is concluded, its grant released,
 * unless it detaches. */
void rlk_client_bind(struct rlk_client *client, struct rlk_operation *operation,
                     struct rlk_scope *scope, bool detaches);

/* ---- holdings ----
 *
 * let_go: it is released, and stays known. forget: it is released, and known no more. leave: the
 * program has lost sight of it, and what it is bound to has not. */

/* Releases it without waiting. RLK_LOST if it was lost, else RLK_RELEASED. */
enum rlk_outcome rlk_client_let_go(struct rlk_client *client, struct rlk_holding *holding);

/* A notice with this tag is posted when the holding is over, whichever way. False if there is no
 * memory or no thread for it, or it is watched already. */
bool rlk_client_watch(struct rlk_client *client, struct rlk_holding *holding,
                      struct rlk_outbox *outbox, uint64_t tag);

/* The program has lost sight of the holding. One that is bound is held until its scope ends, or the
 * client; any other is forgotten. */
void rlk_client_leave(struct rlk_client *client, struct rlk_holding *holding);

/* The program has no use for the holding any more: what is still held is released without
 * waiting. */
void rlk_client_forget(struct rlk_client *client, struct rlk_holding *holding);

#endif
