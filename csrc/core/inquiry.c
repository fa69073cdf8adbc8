/* What is found is bounded by what a node may reply at once. */
#include "core/inquiry.h"

#include <string.h>

void rlk_inquiry_ask(struct rlk_inquiry *inquiry, const struct rlk_inquiry *asked)
{
    inquiry->kind = asked->kind;
    inquiry->word = asked->word;
    inquiry->all = asked->all;
    inquiry->nodes = asked->nodes;
    memcpy(inquiry->cursors, asked->cursors, sizeof inquiry->cursors);
    for (int node = 0; node < RLK_NODES_MAX; node++)
        rlk_buffer_clear(&inquiry->findings[node]);
}

void rlk_inquiry_note(struct rlk_inquiry *inquiry, int node, const char *details, size_t len)
{
    rlk_buffer_clear(&inquiry->findings[node]);
    (void)rlk_buffer_append(&inquiry->findings[node], details, len);
}

void rlk_inquiry_end(struct rlk_inquiry *inquiry)
{
    for (int node = 0; node < RLK_NODES_MAX; node++)
        rlk_buffer_free(&inquiry->findings[node]);
}
