/* A script is compiled once in a thread, and has a number from then on. Which scripts a server
 * knows is its own affair. */
#include "sim/redis_scripts.h"

#include <openssl/sha.h>
#include <stdio.h>

#include "sim/redis_interpreter.h"
#include "sim/redis_number.h"
#include "sim/redis_tree.h"

#define SHA1_DIGITS 40

struct script {
    char sha1[SHA1_DIGITS + 1];
    struct redis_word text;
    const struct tree_function *tree; /* NULL: it is more than a tree can be */
    int function;                     /* of LuaJIT, then */
};

/* Numbers of scripts by a hash, with linear probing. */
struct index {
    size_t *slots; /* the script's number, and 1; 0 if it is free */
    size_t slot_count;
};

/* A thread's, for as long as the thread lives. */
static _Thread_local struct cache {
    struct script *scripts;
    size_t count, capacity;
    struct index by_text, by_sha1;
} cache;

enum redis_engine redis_engine = REDIS_EITHER;

/* ---- the cache ---- */

static uint64_t hash_of_sha1(struct redis_word sha1)
{
    return redis_word_hash((struct redis_word){sha1.bytes, 16}, 0);
}

/* Both ends and the length tell scripts apart well enough. */
static uint64_t hash_of_text(struct redis_word text)
{
    size_t len = text.len < 32 ? text.len : 32;
    uint64_t head = redis_word_hash((struct redis_word){text.bytes, len}, text.len);
    return redis_word_hash((struct redis_word){text.bytes + text.len - len, len}, head);
}

static struct redis_word sha1_of(const struct script *script)
{
    return (struct redis_word){script->sha1, SHA1_DIGITS};
}

/* The slot where a number under this hash is looked for first. */
static size_t first_slot(const struct index *index, uint64_t hash)
{
    return hash & (index->slot_count - 1);
}

static size_t next_slot(const struct index *index, size_t slot)
{
    return (slot + 1) & (index->slot_count - 1);
}

static void put(struct index *index, uint64_t hash, size_t number)
{
    size_t slot = first_slot(index, hash);
    while (index->slots[slot])
        slot = next_slot(index, slot);
    index->slots[slot] = number + 1;
}

static void put_script(size_t number)
{
    put(&cache.by_text, hash_of_text(cache.scripts[number].text), number);
    put(&cache.by_sha1, hash_of_sha1(sha1_of(&cache.scripts[number])), number);
}

static void clear_index(struct index *index, size_t slot_count)
{
    index->slot_count = slot_count;
    index->slots = redis_grow(index->slots, slot_count * sizeof *index->slots);
    memset(index->slots, 0, slot_count * sizeof *index->slots);
}

/* For one more, and at the first time for the first. */
static void make_room(void)
{
    if (2 * (cache.count + 1) <= cache.by_text.slot_count)
        return;
    size_t slot_count = cache.by_text.slot_count ? 2 * cache.by_text.slot_count : 32;
    cache.capacity = slot_count / 2;
    cache.scripts = redis_grow(cache.scripts, cache.capacity * sizeof *cache.scripts);
    clear_index(&cache.by_text, slot_count);
    clear_index(&cache.by_sha1, slot_count);
    for (size_t number = 0; number < cache.count; number++)
        put_script(number);
}

/* How many there are, if it is none of them. */
static size_t script_of_text(struct redis_word text)
{
    const struct index *index = &cache.by_text;
    make_room();
    for (size_t slot = first_slot(index, hash_of_text(text)); index->slots[slot];
         slot = next_slot(index, slot))
        if (redis_word_is(cache.scripts[index->slots[slot] - 1].text, text))
            return index->slots[slot] - 1;
    return cache.count;
}

static size_t script_of_sha1(struct redis_word sha1)
{
    const struct index *index = &cache.by_sha1;
    make_room();
    for (size_t slot = first_slot(index, hash_of_sha1(sha1)); index->slots[slot];
         slot = next_slot(index, slot))
        if (redis_word_is(sha1_of(&cache.scripts[index->slots[slot] - 1]), sha1))
            return index->slots[slot] - 1;
    return cache.count;
}

static void write_sha1(char digits[SHA1_DIGITS + 1], struct redis_word text)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)text.bytes, text.len, digest);
    for (int i = 0; i < SHA_DIGEST_LENGTH; i++)
        snprintf(digits + 2 * i, 3, "%02x", digest[i]);
}

static void remember(struct redis_word text, const struct tree_function *tree, int function)
{
    make_room();
    struct script *script = &cache.scripts[cache.count];
    char *copy = redis_grow(NULL, text.len + 1);
    memcpy(copy, text.bytes, text.len);
    *script = (struct script){.text = {copy, text.len}, .tree = tree, .function = function};
    write_sha1(script->sha1, text);
    put_script(cache.count++);
}

/* ---- what servers know ---- */

static bool knows(const struct sim_redis *redis, size_t number)
{
    return number < redis->script_count && redis->knows_script[number];
}

static void learn(struct sim_redis *redis, size_t number)
{
    if (number >= redis->script_count) {
        size_t count = 2 * number + 16;
        redis->knows_script = redis_grow(redis->knows_script, count * sizeof *redis->knows_script);
        memset(redis->knows_script + redis->script_count, 0, count - redis->script_count);
        redis->script_count = count;
    }
    redis->knows_script[number] = true;
}

/* For what no tree can be, or do. */
static int compile(struct redis_call *call, struct redis_word text)
{
    if (redis_engine != REDIS_TREES)
        return redis_compile(call, text);
    redis_reply_error(call->reply, "ERR a tree cannot do that");
    return REDIS_NO_FUNCTION;
}

/* The script of a text, which the server knows from then on; or NULL, and the reply says why. */
static struct script *learn_text(struct redis_call *call, struct redis_word text)
{
    size_t number = script_of_text(text);
    if (number == cache.count) {
        const struct tree_function *tree = redis_engine == REDIS_LUAJIT ? NULL : tree_parse(text);
        int function = tree ? REDIS_NO_FUNCTION : compile(call, text);
        if (!tree && function == REDIS_NO_FUNCTION)
            return NULL;
        remember(text, tree, function);
    }
    learn(call->session->redis, number);
    return &cache.scripts[number];
}

/* The script of that SHA1, in small letters or large, if the server knows it; or NULL. */
static struct script *known_script(const struct redis_call *call, struct redis_word sha1)
{
    char digits[SHA1_DIGITS];
    if (sha1.len != SHA1_DIGITS)
        return NULL;
    size_t number = script_of_sha1(sha1);
    if (number == cache.count) {
        for (int i = 0; i < SHA1_DIGITS; i++)
            digits[i] = redis_small(sha1.bytes[i]);
        number = script_of_sha1((struct redis_word){digits, SHA1_DIGITS});
    }
    return knows(call->session->redis, number) ? &cache.scripts[number] : NULL;
}

/* ---- the commands ---- */

static bool read_key_count(const struct redis_call *call, size_t *key_count)
{
    int64_t count;
    const char *error = NULL;
    if (!redis_read_integer(call->words[2], &count))
        error = "value is not an integer or out of range";
    else if (count > (int64_t)call->count - 3)
        error = "Number of keys can't be greater than number of args";
    else if (count < 0)
        error = "Number of keys can't be negative";
    if (error)
        redis_reply_error(call->reply, "ERR %s", error);
    *key_count = error ? 0 : (size_t)count;
    return !error;
}

/* What a tree gives up LuaJIT goes through again. */
static void run_script(struct redis_call *call, struct script *script, size_t key_count)
{
    struct tree_answers answers = {0};
    if (script->tree && tree_run_script(call, script->tree, script->sha1, key_count, &answers))
        return;
    if (script->function == REDIS_NO_FUNCTION)
        script->function = compile(call, script->text);
    if (script->function != REDIS_NO_FUNCTION)
        redis_interpret(call, script->function, script->sha1, key_count, &answers);
}

void redis_eval(struct redis_call *call)
{
    size_t key_count;
    if (!read_key_count(call, &key_count))
        return;
    struct script *script = learn_text(call, call->words[1]);
    if (script)
        run_script(call, script, key_count);
}

void redis_evalsha(struct redis_call *call)
{
    size_t key_count;
    struct redis_word sha1 = call->words[1];
    if (sha1.len == SHA1_DIGITS && !read_key_count(call, &key_count))
        return;
    struct script *script = known_script(call, sha1);
    if (script)
        run_script(call, script, key_count);
    else
        redis_reply_error(call->reply, "NOSCRIPT No matching script. Please use EVAL.");
}

void redis_script_load(struct redis_call *call)
{
    struct script *script = learn_text(call, call->words[2]);
    if (script)
        call->reply->kind->bulk(call->reply, sha1_of(script));
}

void redis_script_flush(struct redis_call *call)
{
    bool named = call->count == 3 && (redis_word_says(call->words[2], "sync") ||
                                      redis_word_says(call->words[2], "async"));
    if (call->count > 2 && !named) {
        redis_reply_error(call->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        return;
    }
    sim_redis_flush_scripts(call->session->redis);
    redis_reply_ok(call->reply);
}

void redis_script_exists(struct redis_call *call)
{
    call->reply->kind->array(call->reply, call->count - 2);
    for (size_t i = 2; i < call->count; i++)
        call->reply->kind->integer(call->reply, known_script(call, call->words[i]) != NULL);
}
