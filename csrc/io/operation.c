/* Its memory: one block, with the tallies and the key behind it. */
#include "io/operation.h"

#include <stdlib.h>
#include <string.h>

struct rlk_operation *rlk_operation_new(enum rlk_request_kind kind, struct rlk_key key, int nodes)
{
    size_t tallies = (size_t)nodes * sizeof(struct rlk_tally);
    struct rlk_operation *operation = malloc(sizeof *operation + tallies + key.len);
    if (!operation)
        return NULL;
    memset(operation, 0, offsetof(struct rlk_operation, lock));
    char *bytes = (char *)&operation->tallies[nodes];
    memcpy(bytes, key.bytes, key.len);
    operation->key = (struct rlk_key){bytes, key.len};
    operation->kind = kind;
    operation->outcome = RLK_PENDING;
    atomic_init(&operation->references, 1);
    return operation;
}

bool rlk_operation_inquire(struct rlk_operation *operation, const struct rlk_inquiry *asked)
{
    struct rlk_inquiry *inquiry = calloc(1, sizeof *inquiry + asked->word.len);
    if (!inquiry)
        return false;
    rlk_inquiry_ask(inquiry, asked);
    if (asked->word.len > 0)
        inquiry->word.bytes = memcpy(inquiry + 1, asked->word.bytes, asked->word.len);
    operation->inquiry = inquiry;
    return true;
}

void rlk_operation_retain(struct rlk_operation *operation)
{
    atomic_fetch_add(&operation->references, 1);
}

void rlk_operation_drop(struct rlk_operation *operation)
{
    if (atomic_fetch_sub(&operation->references, 1) > 1)
        return;
    if (operation->holding)
        rlk_holding_drop(operation->holding);
    if (operation->outbox)
        rlk_outbox_drop(operation->outbox);
    if (operation->inquiry)
        rlk_inquiry_end(operation->inquiry);
    free(operation->inquiry);
    free(operation->report);
    free(operation);
}
