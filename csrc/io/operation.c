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
    operation->nodes = nodes;
    operation->outcome = RLK_PENDING;
    atomic_init(&operation->references, 1);
    if (kind != RLK_INSPECT)
        return operation;
    operation->findings = calloc((size_t)nodes, sizeof *operation->findings);
    if (operation->findings)
        return operation;
    free(operation);
    return NULL;
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
    for (int node = 0; operation->findings && node < operation->nodes; node++)
        rlk_buffer_free(&operation->findings[node]);
    free(operation->findings);
    free(operation->report);
    free(operation);
}
