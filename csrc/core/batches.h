/* Batches: what is asked of one node in one turn, by many locks. Acquires, renewals and releases
 * that may travel together are gathered, and leave as one request; all else leaves at once.
 *
 * Requests for one lock reach the node in the order in which they were asked: that is what makes a
 * release follow its acquire. */
#ifndef RLK_BATCHES_H
#define RLK_BATCHES_H

#include "core/buffer.h"
#include "core/node.h"
#include "core/request.h"

#define RLK_BATCH_MARK_BITS 9

/* In the order in which they leave. */
enum rlk_batch_kind { RLK_RELEASES, RLK_ACQUIRES, RLK_RENEWALS, RLK_BATCH_KINDS };

struct rlk_batch {
    struct rlk_buffer requests;                      /* of struct rlk_request */
    struct rlk_buffer askers;                        /* of struct rlk_asker, one for each */
    uint64_t marks[(1 << RLK_BATCH_MARK_BITS) / 64]; /* a bit is set for the key of each */
};

struct rlk_batches {
    struct rlk_node *node;
    struct rlk_memo *memos;
    struct rlk_batch gathered[RLK_BATCH_KINDS];
};

/* Nothing gathered. Borrows the node, and the memos that the nodes of a quorum share, one for each
 * enum rlk_request_kind. */
void rlk_batches_init(struct rlk_batches *batches, struct rlk_node *node, struct rlk_memo *memos);
void rlk_batches_free(struct rlk_batches *batches);

/* Sends the request, now or with the next rlk_batches_flush(): until then its key must last, and
 * the node not be closed. Only when the node is ready. Without memory nothing is sent, as if the
 * node did not answer. */
void rlk_batches_send(struct rlk_batches *batches, const struct rlk_request *request,
                      struct rlk_asker asker);

/* The same, for the last one before the flush: alone it leaves at once, without a copy. */
void rlk_batches_send_last(struct rlk_batches *batches, const struct rlk_request *request,
                           struct rlk_asker asker);

void rlk_batches_flush(struct rlk_batches *batches);

#endif
