/* A hash table of doubly linked lists. A line's key is that of its first, whoever that is. */
#include "core/line.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/siphash.h"

#define CAPACITY_FIRST 16

struct rlk_line {
    struct rlk_in_line *first, *last; /* never NULL */
    uint64_t hash;
    struct rlk_line *next; /* in its bucket */
};

void rlk_lines_init(struct rlk_lines *lines, uint64_t seed)
{
    *lines = (struct rlk_lines){.secret = {seed, ~seed}};
}

void rlk_lines_free(struct rlk_lines *lines)
{
    for (size_t i = 0; i < lines->capacity; i++)
        while (lines->buckets[i])
            rlk_lines_leave(lines, lines->buckets[i]->first);
    free(lines->buckets);
    lines->buckets = NULL;
    lines->capacity = 0;
}

/* ---- the table ---- */

static struct rlk_line **bucket_of(const struct rlk_lines *lines, uint64_t hash)
{
    return &lines->buckets[hash & (lines->capacity - 1)];
}

static void link_in(struct rlk_lines *lines, struct rlk_line *line)
{
    struct rlk_line **bucket = bucket_of(lines, line->hash);
    line->next = *bucket;
    *bucket = line;
}

static void link_out(struct rlk_lines *lines, const struct rlk_line *line)
{
    struct rlk_line **at = bucket_of(lines, line->hash);
    while (*at != line)
        at = &(*at)->next;
    *at = line->next;
}

static void rehash(struct rlk_lines *lines, struct rlk_line **buckets, size_t capacity)
{
    struct rlk_lines grown = *lines;
    grown.buckets = buckets;
    grown.capacity = capacity;
    for (size_t i = 0; i < lines->capacity; i++)
        for (struct rlk_line *line = lines->buckets[i], *next; line; line = next) {
            next = line->next;
            link_in(&grown, line);
        }
    free(lines->buckets);
    *lines = grown;
}

/* As many buckets as lines. Without memory for more they stay as they are: False if none. */
static bool make_room(struct rlk_lines *lines)
{
    if (lines->count < lines->capacity)
        return true;
    size_t capacity = lines->capacity ? 2 * lines->capacity : CAPACITY_FIRST;
    struct rlk_line **buckets = calloc(capacity, sizeof *buckets);
    if (buckets)
        rehash(lines, buckets, capacity);
    return lines->capacity > 0;
}

static bool is_for(const struct rlk_line *line, uint64_t hash, struct rlk_key key)
{
    struct rlk_key own = line->first->key;
    return line->hash == hash && own.len == key.len && memcmp(own.bytes, key.bytes, key.len) == 0;
}

static struct rlk_line *find(const struct rlk_lines *lines, uint64_t hash, struct rlk_key key)
{
    struct rlk_line *line = lines->capacity ? *bucket_of(lines, hash) : NULL;
    while (line && !is_for(line, hash, key))
        line = line->next;
    return line;
}

/* ---- a line ---- */

static bool open_line(struct rlk_lines *lines, struct rlk_in_line *first, uint64_t hash)
{
    struct rlk_line *line = make_room(lines) ? calloc(1, sizeof *line) : NULL;
    if (!line)
        return false;
    *line = (struct rlk_line){.first = first, .last = first, .hash = hash};
    first->line = line;
    link_in(lines, line);
    lines->count++;
    return true;
}

static void close_line(struct rlk_lines *lines, struct rlk_line *line)
{
    link_out(lines, line);
    lines->count--;
    free(line);
}

static void append(struct rlk_line *line, struct rlk_in_line *place)
{
    place->line = line;
    place->previous = line->last;
    line->last->next = place;
    line->last = place;
}

static void prepend(struct rlk_line *line, struct rlk_in_line *place)
{
    place->line = line;
    place->next = line->first;
    line->first->previous = place;
    line->first = place;
}

/* Into the line for the place's key, which begins with it if there is none. */
static bool enter(struct rlk_lines *lines, struct rlk_in_line *place,
                  void (*put)(struct rlk_line *, struct rlk_in_line *))
{
    uint64_t hash = rlk_siphash(lines->secret, place->key.bytes, place->key.len);
    struct rlk_line *line = find(lines, hash, place->key);
    if (!line)
        return open_line(lines, place, hash);
    put(line, place);
    return true;
}

bool rlk_lines_join(struct rlk_lines *lines, struct rlk_in_line *place, struct rlk_lock *lock)
{
    assert(!place->line);
    *place = (struct rlk_in_line){.key = lock->key, .lock = lock};
    return enter(lines, place, append);
}

bool rlk_lines_head(struct rlk_lines *lines, struct rlk_in_line *place, struct rlk_key key)
{
    assert(!place->line);
    *place = (struct rlk_in_line){.key = key};
    return enter(lines, place, prepend);
}

struct rlk_in_line *rlk_lines_leave(struct rlk_lines *lines, struct rlk_in_line *place)
{
    struct rlk_line *line = place->line;
    struct rlk_in_line *next = place->next, *previous = place->previous;
    if (!line)
        return NULL;
    *place = (struct rlk_in_line){.key = place->key, .lock = place->lock};
    if (!next && !previous) {
        close_line(lines, line);
        return NULL;
    }
    *(previous ? &previous->next : &line->first) = next;
    *(next ? &next->previous : &line->last) = previous;
    return previous ? NULL : next;
}

struct rlk_in_line *rlk_lines_first(const struct rlk_lines *lines, struct rlk_key key)
{
    uint64_t hash = rlk_siphash(lines->secret, key.bytes, key.len);
    const struct rlk_line *line = find(lines, hash, key);
    return line ? line->first : NULL;
}

struct rlk_in_line *rlk_line_first(const struct rlk_in_line *place)
{
    return place->line ? place->line->first : NULL;
}

bool rlk_line_is_first(const struct rlk_in_line *place)
{
    return place->line && place->line->first == place;
}
