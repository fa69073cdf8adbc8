/* Words that are borrowed, and runs of bytes that grow at their end and are consumed at their
 * start. Without memory the program ends: what is simulated has enough. */
#ifndef SIM_REDIS_BYTES_H
#define SIM_REDIS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct redis_word {
    const char *bytes;
    size_t len;
};

struct redis_bytes {
    char *bytes;
    size_t start, end, capacity;
};

static inline void *redis_grow(void *memory, size_t size)
{
    void *grown = realloc(memory, size);
    if (!grown)
        abort();
    return grown;
}

/* Room for so many bytes at the end. What is put there counts once bytes->end was moved. */
static inline char *redis_bytes_room(struct redis_bytes *bytes, size_t len)
{
    if (bytes->capacity - bytes->end < len) {
        bytes->capacity = 2 * bytes->capacity + len + 64;
        bytes->bytes = redis_grow(bytes->bytes, bytes->capacity);
    }
    return bytes->bytes + bytes->end;
}

static inline void redis_bytes_append(struct redis_bytes *bytes, const void *more, size_t len)
{
    char *room = redis_bytes_room(bytes, len);
    if (len > 0)
        memcpy(room, more, len);
    bytes->end += len;
}

static inline size_t redis_bytes_len(const struct redis_bytes *bytes)
{
    return bytes->end - bytes->start;
}

static inline void redis_bytes_clear(struct redis_bytes *bytes)
{
    bytes->start = bytes->end = 0;
}

static inline void redis_bytes_consume(struct redis_bytes *bytes, size_t len)
{
    bytes->start += len;
    if (bytes->start == bytes->end)
        redis_bytes_clear(bytes);
}

static inline bool redis_word_is(struct redis_word word, struct redis_word other)
{
    return word.len == other.len &&
           (word.len == 0 || memcmp(word.bytes, other.bytes, word.len) == 0);
}

/* 64 bits that depend on every byte. Eight at a time: each is mixed in by a product whose high half
 * comes down again (as in Fibonacci hashing, Knuth). */
static inline uint64_t redis_word_hash(struct redis_word word, uint64_t seed)
{
    const uint64_t factor = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t hash = (seed + word.len + 1) * factor, chunk;
    for (; word.len >= sizeof chunk; word.bytes += sizeof chunk, word.len -= sizeof chunk) {
        memcpy(&chunk, word.bytes, sizeof chunk);
        hash = (hash ^ chunk) * factor;
        hash ^= hash >> 32;
    }
    chunk = 0;
    if (word.len > 0)
        memcpy(&chunk, word.bytes, word.len);
    hash = (hash ^ chunk) * factor;
    return hash ^ hash >> 32;
}

#endif
