/* The keys of a server: strings, sorted sets, and hashes as far as they are in the way of others. A
 * key whose moment has passed is gone at the next look at it. */
#ifndef SIM_REDIS_KEYS_H
#define SIM_REDIS_KEYS_H

#include "sim/redis_bytes.h"

#define REDIS_NEVER INT64_MAX

enum redis_type { REDIS_STRING, REDIS_SORTED_SET, REDIS_HASH };

/* Of a sorted set, by score and then by bytes; or a field of a hash, whose value nobody reads. */
struct redis_member {
    double score;
    char *bytes;
    size_t len;
};

struct redis_key {
    uint64_t hash;
    int64_t expires_at_ms; /* REDIS_NEVER; it is there through that millisecond */
    enum redis_type type;
    int database;
    struct redis_bytes name, string;
    struct redis_member *members;
    size_t first_member, member_count, member_capacity; /* the members before the first are gone */
    uint64_t
        newest_member; /* the number of the last that was put in anew, among all of the server's */
    struct redis_key *next_free;
};

struct redis_keys {
    struct redis_key **slots; /* open addressing with linear probing */
    size_t slot_count, key_count;
    uint64_t new_members; /* that sorted sets were given so far */
    struct redis_key *free;
};

void redis_keys_init(struct redis_keys *keys);
void redis_keys_free(struct redis_keys *keys);
void redis_keys_clear(struct redis_keys *keys);

/* NULL if it is absent. What has expired is removed. */
struct redis_key *redis_keys_find(struct redis_keys *keys, int database, struct redis_word name,
                                  int64_t now_ms);

/* The same without removing anything. */
const struct redis_key *redis_keys_peek(const struct redis_keys *keys, int database,
                                        struct redis_word name, int64_t now_ms);

/* Of a name that is absent. An empty value of that type, for ever. */
struct redis_key *redis_keys_add(struct redis_keys *keys, int database, struct redis_word name,
                                 enum redis_type type);
void redis_keys_remove(struct redis_keys *keys, struct redis_key *key);

void redis_key_set_string(struct redis_key *key, struct redis_word value);

static inline struct redis_word redis_key_string(const struct redis_key *key)
{
    return (struct redis_word){key->string.bytes, key->string.end};
}

/* The number of members if it is none. */
size_t redis_key_member(const struct redis_key *key, struct redis_word name);

static inline struct redis_member *redis_key_members(const struct redis_key *key)
{
    return key->members ? key->members + key->first_member : NULL;
}

void redis_key_add_member(struct redis_key *key, struct redis_word name, double score);
void redis_key_remove_member(struct redis_key *key, size_t index);

#endif
