/* An inquiry: what is asked of every node by who looks, and what each has found. A machine that
 * inspects has one; who made it owns it. */
#ifndef RLK_INQUIRY_H
#define RLK_INQUIRY_H

#include "core/buffer.h"
#include "core/quorum.h"
#include "core/request.h"

struct rlk_inquiry {
    enum rlk_request_kind kind; /* RLK_INSPECT, RLK_BREAK, RLK_SCAN */
    struct rlk_key word;        /* borrowed. A break's: the token; a scan's: the pattern of keys */
    bool all;                   /* a scan's: other libraries' locks too */
    rlk_nodes nodes;            /* that are asked */
    char cursors[RLK_NODES_MAX][RLK_CURSOR_SIZE]; /* a scan's: where each node goes on */

    struct rlk_buffer findings[RLK_NODES_MAX]; /* the details of each node's vote */
};

/* Asks what another asks, and forgets what was found. */
void rlk_inquiry_ask(struct rlk_inquiry *inquiry, const struct rlk_inquiry *asked);

/* Nothing, if there is no memory. */
void rlk_inquiry_note(struct rlk_inquiry *inquiry, int node, const char *details, size_t len);

/* Frees what was found, and nothing else. */
void rlk_inquiry_end(struct rlk_inquiry *inquiry);

#endif
