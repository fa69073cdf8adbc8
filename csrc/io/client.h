/* A client: what one program has of a set of nodes. An inline loop for calls that wait, an
 * engine once something is to be renewed or finished in the background, and the list of what is
 * held.
 *
 * One thread uses a client at a time. In the child of a fork it starts afresh: new connections,
 * a new engine, and nothing that the parent holds. */
#ifndef RLK_CLIENT_H
#define RLK_CLIENT_H

#include "io/holding.h"
#include "io/settings.h"

struct rlk_client;

/* NULL if there is no memory; then the settings stay the caller's. */
struct rlk_client *rlk_client_new(struct rlk_settings *settings);

/* Releases what is held, waiting at most one timeout, and ends the engine. Every later call
 * fails. Idempotent. */
void rlk_client_close(struct rlk_client *client);
void rlk_client_free(struct rlk_client *client);

bool rlk_client_is_closed(const struct rlk_client *client);
const struct rlk_settings *rlk_client_settings(const struct rlk_client *client);

/* Waits by the terms. RLK_ACQUIRED, with a holding that is the caller's until
 * rlk_client_forget(); or RLK_LOCKED, RLK_TIMEOUT, RLK_UNAVAILABLE. */
enum rlk_outcome rlk_client_acquire(struct rlk_client *client, struct rlk_key key,
                                    const struct rlk_terms *terms, struct rlk_holding **holding);

/* RLK_EXTENDED, RLK_LOST, RLK_UNAVAILABLE. */
enum rlk_outcome rlk_client_extend(struct rlk_client *client, struct rlk_holding *holding,
                                   int64_t ttl_ms);

/* RLK_RELEASED; RLK_LOST, also if the lease had run out before; RLK_UNAVAILABLE if no majority
 * could be told: the rest is up to the lease. */
enum rlk_outcome rlk_client_release(struct rlk_client *client, struct rlk_holding *holding);

/* The program has no use for the holding any more: what is still held is released without
 * waiting. */
void rlk_client_forget(struct rlk_client *client, struct rlk_holding *holding);

/* RLK_INSPECTED: the tallies say what each node knows of the key. */
enum rlk_outcome rlk_client_inspect(struct rlk_client *client, struct rlk_key key);

/* What each node said in the last call. */
const struct rlk_tally *rlk_client_tallies(const struct rlk_client *client);

#endif
