/* How deep a batch may be is a bargain: so many share what a call costs the server, and for so long
 * does the server serve nobody else (docs/design.md, "Batches"). */
#include "core/batches.h"

#include <string.h>

#define DEPTH_MAX 32

static const size_t depths[RLK_BATCH_KINDS] = {
    [RLK_RELEASES] = DEPTH_MAX,
    [RLK_ACQUIRES] = DEPTH_MAX,
    [RLK_RENEWALS] = RLK_BATCH_MAX,
};

void rlk_batches_init(struct rlk_batches *batches, struct rlk_node *node, struct rlk_memo *memos)
{
    *batches = (struct rlk_batches){.node = node, .memos = memos};
}

void rlk_batches_free(struct rlk_batches *batches)
{
    for (int kind = 0; kind < RLK_BATCH_KINDS; kind++) {
        rlk_buffer_free(&batches->gathered[kind].requests);
        rlk_buffer_free(&batches->gathered[kind].askers);
    }
}

/* ---- what is gathered ---- */

/* Buffers that are only appended to and cleared start where malloc() let them, aligned. */
static const struct rlk_request *requests_of(const struct rlk_batch *batch)
{
    return (const void *)rlk_buffer_bytes(&batch->requests);
}

static const struct rlk_asker *askers_of(const struct rlk_batch *batch)
{
    return (const void *)rlk_buffer_bytes(&batch->askers);
}

static size_t count_of(const struct rlk_batch *batch)
{
    return rlk_buffer_len(&batch->requests) / sizeof(struct rlk_request);
}

static void clear(struct rlk_batch *batch)
{
    rlk_buffer_clear(&batch->requests);
    rlk_buffer_clear(&batch->askers);
    memset(batch->marks, 0, sizeof batch->marks);
}

/* "name" and "{name}" are different locks with the same companions, a fence among them: names are
 * compared without the braces that are a hash tag. */
static struct rlk_key without_braces(struct rlk_key key)
{
    bool braced =
        key.len > 2 && key.bytes[0] == '{' && key.bytes[1] != '}' && key.bytes[key.len - 1] == '}';
    return braced ? (struct rlk_key){key.bytes + 1, key.len - 2} : key;
}

static bool is_one_lock(struct rlk_key key, struct rlk_key other)
{
    struct rlk_key one = without_braces(key), two = without_braces(other);
    return one.len == two.len && memcmp(one.bytes, two.bytes, one.len) == 0;
}

/* Which bit stands for a key, by both ends of its name. Where many names have the same, it only
 * takes longer. The highest bits of the product depend on all that went in (Fibonacci hashing, Knuth). */
static unsigned mark_of(struct rlk_key key)
{
    struct rlk_key name = without_braces(key);
    size_t len = name.len < sizeof(uint64_t) ? name.len : sizeof(uint64_t);
    uint64_t head = 0, tail = 0;
    memcpy(&head, name.bytes, len);
    memcpy(&tail, name.bytes + name.len - len, len);
    uint64_t mixed = (head * 3 + tail + name.len) * UINT64_C(0x9E3779B97F4A7C15);
    return (unsigned)(mixed >> (64 - RLK_BATCH_MARK_BITS));
}

/* False, and nothing gathered, if there is no memory. */
static bool gather(struct rlk_batch *batch, const struct rlk_request *request,
                   struct rlk_asker asker, unsigned mark)
{
    if (!rlk_buffer_append(&batch->requests, request, sizeof *request))
        return false;
    if (!rlk_buffer_append(&batch->askers, &asker, sizeof asker)) {
        batch->requests.end -= sizeof *request;
        return false;
    }
    batch->marks[mark / 64] |= UINT64_C(1) << mark % 64;
    return true;
}

static bool is_gathered(const struct rlk_batch *batch, struct rlk_key key, unsigned mark)
{
    if (!(batch->marks[mark / 64] & UINT64_C(1) << mark % 64))
        return false;
    const struct rlk_request *requests = requests_of(batch);
    for (size_t i = 0, count = count_of(batch); i < count; i++)
        if (is_one_lock(requests[i].key, key))
            return true;
    return false;
}

/* In the batch of this kind, or in one that leaves behind it. */
static bool is_gathered_from(const struct rlk_batches *batches, int kind, struct rlk_key key,
                             unsigned mark)
{
    for (; kind < RLK_BATCH_KINDS; kind++)
        if (is_gathered(&batches->gathered[kind], key, mark))
            return true;
    return false;
}

/* ---- sending ---- */

/* One alone goes as what it is, but for a renewal, which is less than an extension. */
static void flush(struct rlk_batches *batches, int kind)
{
    struct rlk_batch *batch = &batches->gathered[kind];
    if (rlk_buffer_len(&batch->requests) == 0)
        return;
    const struct rlk_request *requests = requests_of(batch);
    size_t count = count_of(batch);
    bool alone = count == 1 && kind != RLK_RENEWALS;
    enum rlk_request_kind sent_as = alone ? requests->kind : rlk_kind_of_many(requests->kind);
    struct rlk_memo *memo = &batches->memos[sent_as];
    if (alone)
        (void)rlk_node_send(batches->node, requests, *askers_of(batch), memo);
    else
        (void)rlk_node_send_many(batches->node, requests, askers_of(batch), count, memo);
    clear(batch);
}

static void flush_through(struct rlk_batches *batches, int last)
{
    for (int kind = 0; kind <= last; kind++)
        flush(batches, kind);
}

static bool is_empty(const struct rlk_batches *batches)
{
    size_t size = 0;
    for (int kind = 0; kind < RLK_BATCH_KINDS; kind++)
        size += rlk_buffer_len(&batches->gathered[kind].requests);
    return size == 0;
}

void rlk_batches_flush(struct rlk_batches *batches)
{
    if (!is_empty(batches))
        flush_through(batches, RLK_BATCH_KINDS - 1);
}

/* RLK_BATCH_KINDS if it travels alone. */
static int batch_kind(const struct rlk_batches *batches, const struct rlk_request *request)
{
    if (!request->batchable || !rlk_node_takes_many(batches->node))
        return RLK_BATCH_KINDS;
    switch (request->kind) {
    case RLK_RELEASE:
        return RLK_RELEASES;
    case RLK_ACQUIRE:
        return RLK_ACQUIRES;
    case RLK_EXTEND:
        return RLK_RENEWALS;
    default:
        return RLK_BATCH_KINDS;
    }
}

static void send_alone(struct rlk_batches *batches, const struct rlk_request *request,
                       struct rlk_asker asker)
{
    (void)rlk_node_send(batches->node, request, asker, &batches->memos[request->kind]);
}

/* A renewal may stand in its batch twice: nothing leaves behind it, and its script takes one after
 * the other. */
void rlk_batches_send(struct rlk_batches *batches, const struct rlk_request *request,
                      struct rlk_asker asker)
{
    int kind = batch_kind(batches, request);
    int behind = kind == RLK_BATCH_KINDS ? 0 : kind == RLK_RENEWALS ? RLK_BATCH_KINDS : kind;
    unsigned mark = mark_of(request->key);
    if (is_gathered_from(batches, behind, request->key, mark))
        rlk_batches_flush(batches);
    if (kind == RLK_BATCH_KINDS) {
        send_alone(batches, request, asker);
        return;
    }
    struct rlk_batch *batch = &batches->gathered[kind];
    if (gather(batch, request, asker, mark) && count_of(batch) == depths[kind])
        flush_through(batches, kind);
}

void rlk_batches_send_last(struct rlk_batches *batches, const struct rlk_request *request,
                           struct rlk_asker asker)
{
    if (batch_kind(batches, request) != RLK_RENEWALS && is_empty(batches))
        send_alone(batches, request, asker);
    else
        rlk_batches_send(batches, request, asker);
}
