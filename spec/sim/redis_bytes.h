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

static inline char redis_small(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter + 'a' - 'A') : letter;
}

/* Whatever its letters are; the text's are small. */
static inline bool redis_word_says(struct redis_word word, const char *text)
{
    size_t at = 0;
    while (at < word.len && text[at] && redis_small(word.bytes[at]) == text[at])
        at++;
    return at == word.len && !text[at];
}

/* Up to eight bytes as a number; words of the same length that differ have different ones. */
static inline uint64_t redis_word_number(struct redis_word word)
{
    const unsigned char *bytes = (const unsigned char *)word.bytes;
    uint32_t head, tail;
    if (word.len < sizeof head) {
        if (word.len == 0)
            return 0;
        return bytes[0] | (uint32_t)bytes[word.len / 2] << 8 | (uint32_t)bytes[word.len - 1] << 16;
    }
    memcpy(&head, bytes, sizeof head);
    memcpy(&tail, bytes + word.len - sizeof tail, sizeof tail);
    return (uint64_t)head << 32 | tail;
}

/* The high half of a product comes down again (as in Fibonacci hashing, Knuth). */
static inline uint64_t redis_mix(uint64_t hash, uint64_t number)
{
    hash = (hash ^ number) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 32;
}

/* 64 bits that depend on every byte: eight at a time, the last eight again. */
static inline uint64_t redis_word_hash(struct redis_word word, uint64_t seed)
{
    uint64_t number, hash = redis_mix(seed, word.len);
    if (word.len <= sizeof number)
        return redis_mix(hash, redis_word_number(word));
    const char *last = word.bytes + word.len - sizeof number;
    for (const char *at = word.bytes; at < last; at += sizeof number) {
        memcpy(&number, at, sizeof number);
        hash = redis_mix(hash, number);
    }
    memcpy(&number, last, sizeof number);
    return redis_mix(hash, number);
}

#endif
