/* Memory of a key that is gone waits for the next one, so that a server that is emptied and filled
 * again asks for none. Nothing here depends on where memory lies. */
#include "sim/redis_keys.h"

#include <assert.h>

#define SLOTS_AT_FIRST 64

void redis_keys_init(struct redis_keys *keys)
{
    *keys = (struct redis_keys){.slot_count = SLOTS_AT_FIRST};
    keys->slots = redis_grow(NULL, SLOTS_AT_FIRST * sizeof *keys->slots);
    memset(keys->slots, 0, SLOTS_AT_FIRST * sizeof *keys->slots);
}

static void clear_members(struct redis_key *key)
{
    struct redis_member *members = redis_key_members(key);
    for (size_t i = 0; i < key->member_count; i++)
        free(members[i].bytes);
    key->first_member = key->member_count = 0;
}

static void put_aside(struct redis_keys *keys, struct redis_key *key)
{
    clear_members(key);
    key->next_free = keys->free;
    keys->free = key;
}

void redis_keys_clear(struct redis_keys *keys)
{
    for (size_t slot = 0; keys->key_count > 0; slot++) {
        if (!keys->slots[slot])
            continue;
        put_aside(keys, keys->slots[slot]);
        keys->slots[slot] = NULL;
        keys->key_count--;
    }
}

void redis_keys_free(struct redis_keys *keys)
{
    struct redis_key *next;
    redis_keys_clear(keys);
    for (struct redis_key *key = keys->free; key; key = next) {
        next = key->next_free;
        free(key->name.bytes);
        free(key->string.bytes);
        free(key->members);
        free(key);
    }
    free(keys->slots);
}

/* ---- slots ---- */

static size_t slot_after(const struct redis_keys *keys, size_t slot)
{
    return (slot + 1) & (keys->slot_count - 1);
}

static size_t first_slot(const struct redis_keys *keys, uint64_t hash)
{
    return hash & (keys->slot_count - 1);
}

static struct redis_word name_of(const struct redis_key *key)
{
    return (struct redis_word){key->name.bytes, key->name.end};
}

static struct redis_key *look_up(const struct redis_keys *keys, int database,
                                 struct redis_word name)
{
    uint64_t hash = redis_word_hash(name, (uint64_t)database);
    struct redis_key *key;
    for (size_t slot = first_slot(keys, hash); (key = keys->slots[slot]);
         slot = slot_after(keys, slot))
        if (key->hash == hash && key->database == database && redis_word_is(name_of(key), name))
            return key;
    return NULL;
}

static bool has_expired(const struct redis_key *key, int64_t now_ms)
{
    return now_ms > key->expires_at_ms;
}

struct redis_key *redis_keys_find(struct redis_keys *keys, int database, struct redis_word name,
                                  int64_t now_ms)
{
    struct redis_key *key = look_up(keys, database, name);
    if (!key || !has_expired(key, now_ms))
        return key;
    redis_keys_remove(keys, key);
    return NULL;
}

const struct redis_key *redis_keys_peek(const struct redis_keys *keys, int database,
                                        struct redis_word name, int64_t now_ms)
{
    const struct redis_key *key = look_up(keys, database, name);
    return key && !has_expired(key, now_ms) ? key : NULL;
}

static void put(struct redis_keys *keys, struct redis_key *key)
{
    size_t slot = first_slot(keys, key->hash);
    while (keys->slots[slot])
        slot = slot_after(keys, slot);
    keys->slots[slot] = key;
}

static void double_slots(struct redis_keys *keys)
{
    struct redis_key **old = keys->slots;
    size_t old_count = keys->slot_count;
    keys->slot_count = 2 * old_count;
    keys->slots = redis_grow(NULL, keys->slot_count * sizeof *keys->slots);
    memset(keys->slots, 0, keys->slot_count * sizeof *keys->slots);
    for (size_t slot = 0; slot < old_count; slot++)
        if (old[slot])
            put(keys, old[slot]);
    free(old);
}

static struct redis_key *take_free(struct redis_keys *keys)
{
    struct redis_key *key = keys->free;
    if (!key) {
        key = redis_grow(NULL, sizeof *key);
        *key = (struct redis_key){0};
        return key;
    }
    keys->free = key->next_free;
    return key;
}

struct redis_key *redis_keys_add(struct redis_keys *keys, int database, struct redis_word name,
                                 enum redis_type type)
{
    if (4 * (keys->key_count + 1) > 3 * keys->slot_count)
        double_slots(keys);
    struct redis_key *key = take_free(keys);
    key->hash = redis_word_hash(name, (uint64_t)database);
    key->expires_at_ms = REDIS_NEVER;
    key->type = type;
    key->database = database;
    redis_bytes_clear(&key->name);
    redis_bytes_append(&key->name, name.bytes, name.len);
    redis_bytes_clear(&key->string);
    put(keys, key);
    keys->key_count++;
    return key;
}

/* Those behind it that it had pushed on move up (Knuth, volume 3, 6.4, algorithm R). */
void redis_keys_remove(struct redis_keys *keys, struct redis_key *key)
{
    size_t hole = first_slot(keys, key->hash);
    while (keys->slots[hole] != key)
        hole = slot_after(keys, hole);
    size_t mask = keys->slot_count - 1;
    for (size_t slot = slot_after(keys, hole); keys->slots[slot]; slot = slot_after(keys, slot)) {
        size_t wanted = first_slot(keys, keys->slots[slot]->hash);
        if (((slot - wanted) & mask) >= ((slot - hole) & mask)) {
            keys->slots[hole] = keys->slots[slot];
            hole = slot;
        }
    }
    keys->slots[hole] = NULL;
    keys->key_count--;
    put_aside(keys, key);
}

/* ---- values ---- */

void redis_key_set_string(struct redis_key *key, struct redis_word value)
{
    clear_members(key);
    key->type = REDIS_STRING;
    redis_bytes_clear(&key->string);
    redis_bytes_append(&key->string, value.bytes, value.len);
}

size_t redis_key_member(const struct redis_key *key, struct redis_word name)
{
    const struct redis_member *members = redis_key_members(key);
    size_t index = 0;
    while (index < key->member_count &&
           !redis_word_is((struct redis_word){members[index].bytes, members[index].len}, name))
        index++;
    return index;
}

static bool is_before(const struct redis_member *member, double score, struct redis_word name)
{
    if (member->score < score || member->score > score)
        return member->score < score;
    size_t len = member->len < name.len ? member->len : name.len;
    int order = len > 0 ? memcmp(member->bytes, name.bytes, len) : 0;
    return order < 0 || (order == 0 && member->len < name.len);
}

static void make_room_for_member(struct redis_key *key)
{
    if (key->first_member + key->member_count < key->member_capacity)
        return;
    if (key->first_member > 0) {
        memmove(key->members, redis_key_members(key), key->member_count * sizeof *key->members);
        key->first_member = 0;
        return;
    }
    key->member_capacity = 2 * key->member_capacity + 4;
    key->members = redis_grow(key->members, key->member_capacity * sizeof *key->members);
}

void redis_key_add_member(struct redis_key *key, struct redis_word name, double score)
{
    make_room_for_member(key);
    struct redis_member *members = redis_key_members(key);
    size_t index = key->member_count++;
    for (; index > 0 && !is_before(&members[index - 1], score, name); index--)
        members[index] = members[index - 1];
    members[index] = (struct redis_member){score, redis_grow(NULL, name.len + 1), name.len};
    if (name.len > 0)
        memcpy(members[index].bytes, name.bytes, name.len);
}

void redis_key_remove_member(struct redis_key *key, size_t index)
{
    struct redis_member *members = redis_key_members(key);
    assert(index < key->member_count);
    free(members[index].bytes);
    key->member_count--;
    if (index == 0)
        key->first_member++;
    else
        memmove(&members[index], &members[index + 1],
                (key->member_count - index) * sizeof *members);
}
