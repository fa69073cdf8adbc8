/* Worlds differ little from the first one: a packed world is, by words of eight bytes, how many are
 * the same, how many are not, and those. */
#include "exhaustive/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS (sizeof(struct world) / sizeof(uint64_t))
_Static_assert(sizeof(struct world) % sizeof(uint64_t) == 0, "a world is whole words");
#define PACKED_MAX (sizeof(struct world) + 2 * WORDS)

static void *memory(void *old, size_t count, size_t size)
{
    void *got = realloc(old, count * size);
    if (!got) {
        fputs("exhaustive: out of memory\n", stderr);
        exit(2);
    }
    return got;
}

/* Where pointers point is no difference. */
static void blank_pointers(struct world *world)
{
    for (int i = 0; i < CLIENTS; i++) {
        world->clients[i].lock.quorum = NULL;
        world->clients[i].lock.tallies = NULL;
        world->clients[i].lock.key.bytes = NULL;
    }
}

void store_open(struct store *store, const struct world *first, uint32_t limit)
{
    *store = (struct store){.limit = limit, .capacity = 1024, .first = *first};
    blank_pointers(&store->first);
    while (store->capacity < (size_t)limit * 3 / 2)
        store->capacity *= 2;
    store->table = memory(NULL, store->capacity, sizeof *store->table);
    memset(store->table, 0xff, store->capacity * sizeof *store->table);
    store->forms = memory(NULL, limit, sizeof *store->forms);
    store->sums = memory(NULL, limit, sizeof *store->sums);
    store->origins = memory(NULL, limit, sizeof *store->origins);
}

void store_close(struct store *store)
{
    free(store->table);
    free(store->forms);
    free(store->sums);
    free(store->origins);
    free(store->level.bytes);
    free(store->next_level.bytes);
}

uint32_t store_find(struct store *store, uint64_t form, struct origin origin)
{
    size_t at = form & (store->capacity - 1);
    for (; store->table[at] != NO_WORLD; at = (at + 1) & (store->capacity - 1))
        if (store->forms[store->table[at]] == form)
            return store->table[at];
    if (store->count == store->limit)
        return NO_WORLD;
    store->table[at] = store->count;
    store->forms[store->count] = form;
    store->origins[store->count] = origin;
    return store->count++;
}

/* ---- packing ---- */

static uint64_t word_of(const struct world *world, size_t at)
{
    uint64_t word;
    memcpy(&word, (const char *)world + at * sizeof word, sizeof word);
    return word;
}

static size_t run_length(const struct world *a, const struct world *b, size_t at, bool same)
{
    size_t from = at;
    while (at < WORDS && at - from < UINT8_MAX && (word_of(a, at) == word_of(b, at)) == same)
        at++;
    return at - from;
}

void store_pack(const struct store *store, struct packed *packed, const struct world *world)
{
    if (packed->capacity - packed->len < PACKED_MAX) {
        packed->capacity = 2 * packed->capacity + PACKED_MAX;
        packed->bytes = memory(packed->bytes, packed->capacity, 1);
    }
    uint8_t *out = packed->bytes + packed->len;
    for (size_t at = 0; at < WORDS;) {
        size_t same = run_length(world, &store->first, at, true);
        size_t other = run_length(world, &store->first, at + same, false);
        *out++ = (uint8_t)same;
        *out++ = (uint8_t)other;
        memcpy(out, (const char *)world + (at + same) * sizeof(uint64_t), other * sizeof(uint64_t));
        out += other * sizeof(uint64_t);
        at += same + other;
    }
    packed->len = (size_t)(out - packed->bytes);
}

size_t store_unpack(const struct store *store, const uint8_t *bytes, struct world *world)
{
    const uint8_t *in = bytes;
    memcpy(world, &store->first, sizeof *world);
    for (size_t at = 0; at < WORDS;) {
        size_t same = in[0], other = in[1];
        memcpy((char *)world + (at + same) * sizeof(uint64_t), in + 2, other * sizeof(uint64_t));
        in += 2 + other * sizeof(uint64_t);
        at += same + other;
    }
    world_point(world);
    return (size_t)(in - bytes);
}

/* ---- what is still to be looked at ---- */

void store_keep(struct store *store, const struct world *world)
{
    struct world blank = *world;
    blank_pointers(&blank);
    store_pack(store, &store->next_level, &blank);
}

bool store_take(struct store *store, struct world *world)
{
    if (store->read == store->level.len)
        return false;
    store->read += store_unpack(store, store->level.bytes + store->read, world);
    return true;
}

bool store_descend(struct store *store)
{
    struct packed done = store->level;
    store->level = store->next_level;
    store->next_level = done;
    store->next_level.len = 0;
    store->read = 0;
    return store->level.len > 0;
}
