/* Fuzzes what goes over the wire (core/wire.c): replies to votes, wake-ups, numbers, and requests
 * to RESP.
 *
 * Claimed: whatever the reply, a vote is within its bounds and an error is no grant; numbers and
 * wake-ups are what a second, simpler reading says; a request is read back as what it was, its
 * companions share its slot, and what is remembered is what would be written. */
#include "core/wire.h"

#include <string.h>

#include "core/reader.h"
#include "core/scripts.h"
#include "input.h"

/* ---- replies ---- */

static void check_vote(const redisReply *reply, const struct rlk_vote *vote)
{
    unsigned sum = 0;
    claim(vote->reason > RLK_NO_ANSWER && vote->reason < RLK_REASONS, "a vote has a reason");
    claim(vote->fence >= 0 && vote->fence <= RLK_FENCE_MAX, "a fence is within its bounds");
    claim(reply->type != REDIS_REPLY_ERROR || vote->reason != RLK_GRANTED, "an error is no grant");
    claim(vote->text_len == 0 || vote->text, "a text that is there can be read");
    for (size_t i = 0; i < vote->text_len; i++)
        sum += (unsigned char)vote->text[i];
    claim(sum <= 255 * vote->text_len, "a text's bytes are there");
}

/* A 1 that is alone grants to all; renewals are told one by one. */
static bool grants_to_all(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
}

static void check_kind(enum rlk_request_kind kind, const redisReply *reply, size_t count)
{
    size_t malformed = 0;
    for (size_t index = 0; index < count; index++) {
        struct rlk_vote vote = rlk_wire_vote(kind, reply, count, index);
        check_vote(reply, &vote);
        malformed += vote.reason == RLK_MALFORMED;
        if (vote.reason == RLK_GRANTED && reply->type == REDIS_REPLY_INTEGER)
            claim(grants_to_all(reply) || (kind == RLK_RELEASE && reply->integer == 2),
                  "no number but 1 is a grant, and of a release 2");
    }
    claim(reply->type != REDIS_REPLY_NIL || malformed == count, "nothing is no answer");
}

static void check_reply(const redisReply *reply, size_t count)
{
    for (int kind = 0; kind < RLK_REQUEST_KINDS; kind++) {
        bool of_many =
            rlk_kind_of_many((enum rlk_request_kind)kind) == (enum rlk_request_kind)kind &&
            kind != RLK_INSPECT;
        check_kind((enum rlk_request_kind)kind, reply, of_many ? count : 1);
    }
}

/* Beyond what any reply of ours needs. */
static const struct rlk_reader_bounds bounds = {.bytes = 1 << 20,
                                                .elements = 16 * RLK_BATCH_MAX,
                                                .depth = 4};

static void read_replies(struct input *input)
{
    size_t count = 1 + choose(input, RLK_BATCH_MAX);
    struct rlk_reader reader;
    claim(rlk_reader_open(&reader, bounds), "there is memory");
    rlk_reader_feed(&reader, (const char *)input->at, input->left);
    while (rlk_reader_next(&reader) == RLK_READ_REPLY)
        check_reply(reader.reply, count);
    rlk_reader_close(&reader);
}

/* ---- numbers and wake-ups ---- */

/* As rlk_wire_number() is meant: by the C library. */
static bool is_number(const char *text, size_t len, int64_t *number)
{
    char digits[32] = "";
    if (len == 0 || len > 16)
        return false;
    memcpy(digits, text, len);
    if (strspn(digits, "0123456789") < len)
        return false;
    *number = strtoll(digits, NULL, 10);
    return *number <= RLK_FENCE_MAX;
}

static void read_number(struct input *input)
{
    int64_t number = 0, expected = 0;
    char *exact = exact_copy(input->at, input->left);
    bool valid = rlk_wire_number(exact, input->left, &number);
    claim(valid == is_number(exact, input->left, &expected), "digits alone are a number");
    claim(!valid || number == expected, "a number is what its digits say");
    free(exact);
}

static void read_wake(const char *message, size_t len)
{
    struct rlk_wake wake;
    char *exact = exact_copy(message, len);
    if (rlk_wire_wake(exact, len, &wake)) {
        claim(wake.key.len >= 1 && wake.key.len <= RLK_KEY_MAX, "a wake-up has a key");
        claim(wake.key.bytes + wake.key.len == exact + len, "the key is the message's end");
        claim(wake.fence >= 0 && wake.fence <= RLK_FENCE_MAX, "its fence is within its bounds");
    }
    free(exact);
}

static void write_wake(struct input *input)
{
    char message[64 + RLK_KEY_MAX];
    struct rlk_wake wake;
    size_t key_len;
    uint64_t waiter = take_number(input, 8);
    int64_t fence = (int64_t)(take_number(input, 8) % (RLK_FENCE_MAX + 1));
    const char *key = take_bytes(input, RLK_KEY_MAX, &key_len);
    int head = snprintf(message, sizeof message, "%llu %lld ", (unsigned long long)waiter,
                        (long long)fence);
    if (key_len > 0)
        memcpy(message + head, key, key_len);
    bool read = rlk_wire_wake(message, (size_t)head + key_len, &wake);
    claim(read == (key_len > 0), "what wake.lua writes is a wake-up, if it has a key");
    if (!read)
        return;
    claim(wake.waiter == waiter && wake.fence == fence, "waiter and fence come back");
    claim(wake.key.len == key_len && memcmp(wake.key.bytes, key, key_len) == 0,
          "the key comes back");
}

/* ---- requests ---- */

#define INBOX "redlock:inbox-of-this-loop"

static size_t words_of(const redisReply *command)
{
    return command->elements;
}

static bool is_word(const redisReply *command, size_t index, const char *bytes, size_t len)
{
    const redisReply *word = command->element[index];
    return word->type == REDIS_REPLY_STRING && (size_t)word->len == len &&
           memcmp(word->str, bytes, len) == 0;
}

/* What decides a key's slot, as the Redis Cluster specification has it ("Hash tags"). */
static struct rlk_key tag_of(const char *bytes, size_t len)
{
    const char *open = memchr(bytes, '{', len);
    const char *close = open ? memchr(open, '}', len - (size_t)(open - bytes)) : NULL;
    if (close && close > open + 1)
        return (struct rlk_key){open + 1, (size_t)(close - open - 1)};
    return (struct rlk_key){bytes, len};
}

/* A name with a brace that closes nothing cannot be anybody's tag. */
static bool can_be_a_tag(struct rlk_key key)
{
    struct rlk_key tag = tag_of(key.bytes, key.len);
    return tag.len < key.len || !memchr(key.bytes, '}', key.len);
}

static void check_companion(const redisReply *word, struct rlk_key key)
{
    struct rlk_key side = tag_of(word->str, (size_t)word->len), own = tag_of(key.bytes, key.len);
    claim((size_t)word->len > key.len + 1, "a companion's name is longer");
    claim(memmem(word->str, (size_t)word->len, key.bytes, key.len),
          "a companion's name holds the key");
    if (can_be_a_tag(key))
        claim(side.len == own.len && memcmp(side.bytes, own.bytes, own.len) == 0,
              "a companion shares the key's slot");
}

/* The words of every script's call: how it is named, the number of keys, keys, companions, and
 * what follows. */
static void check_command(const redisReply *command, enum rlk_request_kind kind,
                          const struct rlk_request *requests, size_t count, bool by_text)
{
    const struct rlk_script *script = rlk_script(kind);
    char keys[16];
    if (kind == RLK_SCAN)
        count = 0; /* it names no keys */
    size_t companions = kind == RLK_EXTEND_MANY ? 0 : count;
    int len = snprintf(keys, sizeof keys, "%zu", count + companions);
    claim(command->type == REDIS_REPLY_ARRAY && words_of(command) >= 3 + count + companions,
          "a request has its words");
    claim(is_word(command, 0, by_text ? "EVAL" : "EVALSHA", by_text ? 4 : 7), "a script is called");
    claim(by_text ? is_word(command, 1, script->text, script->text_len)
                  : is_word(command, 1, script->sha1, 40),
          "it is the script of the kind");
    claim(is_word(command, 2, keys, (size_t)len), "the number of keys is that of the keys");
    for (size_t i = 0; i < count; i++) {
        claim(is_word(command, 3 + i, requests[i].key.bytes, requests[i].key.len),
              "keys come first");
        if (companions)
            check_companion(command->element[3 + count + i], requests[i].key);
    }
}

static void check_encoding(const struct rlk_buffer *out, enum rlk_request_kind kind,
                           const struct rlk_request *requests, size_t count, bool by_text)
{
    void *command = NULL;
    redisReader *reader = redisReaderCreate();
    redisReaderFeed(reader, rlk_buffer_bytes(out), rlk_buffer_len(out));
    claim(redisReaderGetReply(reader, &command) == REDIS_OK && command, "a request is one command");
    claim(reader->pos == reader->len || reader->len == 0, "and no byte more");
    check_command(command, kind, requests, count, by_text);
    freeReplyObject(command);
    redisReaderFree(reader);
}

/* Without a NUL, since tokens have none. */
static void take_token(struct input *input, char token[RLK_TOKEN_SIZE])
{
    size_t len;
    const char *bytes = take_bytes(input, RLK_TOKEN_SIZE - 1, &len);
    for (size_t i = 0; i < len && bytes[i]; i++)
        token[i] = bytes[i];
}

static void take_request(struct input *input, struct rlk_request *request)
{
    unsigned traits = take_byte(input);
    *request = (struct rlk_request){
        .ttl_ms = (int64_t)(take_number(input, traits & 1 ? 8 : 2) >> 1),
        .fence = (int64_t)(take_number(input, traits & 2 ? 8 : 2) >> 1),
        .fence_ttl_s = traits & 4 ? RLK_FENCE_TTL_S : (int64_t)take_number(input, 4),
        .arrival_us = (int64_t)take_number(input, 7),
        .fair = traits & 8,
        .queued = traits & 16,
        .steps_back = traits & 32,
        .identity = traits & 128 ? "host:1 redlock somebody" : NULL,
        .all = traits & 8,
        .keep_ms = traits & 32 ? 500 : 0,
        .word = {"a*\0b", traits & 64 ? 4 : 0},
    };
    take_token(input, request->token);
    if (traits & 64)
        snprintf(request->waiter, sizeof request->waiter, "%s/%llu", INBOX,
                 (unsigned long long)take_number(input, 8));
    request->key.bytes = take_bytes(input, RLK_KEY_MAX, &request->key.len);
    if (request->key.len == 0)
        request->key = (struct rlk_key){"k", 1};
}

/* How many are the input's choice; those beyond its end are like the last that was in it. */
static size_t take_requests(struct input *input, bool of_many, struct rlk_request *requests)
{
    size_t count = of_many ? 1 + choose(input, RLK_BATCH_MAX) : 1;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && input->left == 0)
            requests[i] = requests[i - 1];
        else
            take_request(input, &requests[i]);
    }
    return count;
}

static void check_memo(const struct rlk_buffer *plain, enum rlk_request_kind kind,
                       const struct rlk_request *requests, size_t count, bool by_text)
{
    struct rlk_memo memo = {0};
    static struct rlk_asker askers[RLK_BATCH_MAX];
    for (size_t i = 0; i < count; i++)
        askers[i] = (struct rlk_asker){i, 3};
    for (int time = 0; time < 2; time++) {
        struct rlk_buffer out = {0};
        claim(rlk_wire_remembered(&out, &memo, kind, requests, askers, count, by_text),
              "there is memory");
        claim(rlk_buffer_len(&out) == rlk_buffer_len(plain) &&
                  memcmp(rlk_buffer_bytes(&out), rlk_buffer_bytes(plain), rlk_buffer_len(plain)) ==
                      0,
              "what is remembered is what would be written");
        rlk_buffer_free(&out);
    }
    rlk_memo_free(&memo);
}

static void write_request(struct input *input)
{
    static struct rlk_request requests[RLK_BATCH_MAX];
    static const enum rlk_request_kind of_one[] = {
        RLK_ACQUIRE, RLK_EXTEND,  RLK_RELEASE, RLK_INSPECT, RLK_ACQUIRE,
        RLK_EXTEND,  RLK_RELEASE, RLK_INSPECT, RLK_BREAK,   RLK_SCAN};
    unsigned choice = choose(input, 10);
    bool of_many = choice >= 4 && choice < 7, by_text = choose(input, 2);
    enum rlk_request_kind one = of_one[choice];
    enum rlk_request_kind kind = of_many ? rlk_kind_of_many(one) : one;
    size_t count = take_requests(input, of_many, requests);
    struct rlk_buffer out = {0};
    for (size_t i = 0; i < count; i++)
        requests[i].kind = one;
    claim(rlk_wire_request(&out, kind, requests, count, by_text), "there is memory");
    check_encoding(&out, kind, requests, count, by_text);
    check_memo(&out, kind, requests, count, by_text);
    rlk_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct input input = input_of(bytes, len);
    switch (choose(&input, 6)) {
    case 0:
    case 1:
        read_replies(&input);
        break;
    case 2:
        read_number(&input);
        break;
    case 3:
        read_wake((const char *)input.at, input.left);
        break;
    case 4:
        write_wake(&input);
        break;
    default:
        write_request(&input);
    }
    return 0;
}
