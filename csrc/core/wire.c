/* The argument lists here and the heads of scripts/ *.lua say the same thing twice; nothing else
 * knows them. */
#include "core/wire.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/scripts.h"

#define SIDE_KEY_SIZE (RLK_KEY_MAX + sizeof "{}:fence")
#define NUMBER_SIZE 24
#define ARGUMENTS_MAX 20

/* An argument list in the making. Only borrows. */
struct arguments {
    int count;
    const char *values[ARGUMENTS_MAX];
    size_t lengths[ARGUMENTS_MAX];
};

static void add(struct arguments *arguments, const char *value, size_t len)
{
    assert(arguments->count < ARGUMENTS_MAX);
    arguments->values[arguments->count] = value;
    arguments->lengths[arguments->count++] = len;
}

static void add_text(struct arguments *arguments, const char *text)
{
    add(arguments, text, strlen(text));
}

static const char *decimal(char text[NUMBER_SIZE], int64_t number)
{
    char *digit = text + NUMBER_SIZE - 1;
    assert(number >= 0);
    *digit = '\0';
    do
        *--digit = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return digit;
}

bool rlk_wire_command(struct rlk_buffer *out, int argc, const char **argv, const size_t *lengths)
{
    sds bytes =
        NULL; /* several times faster than redisFormatCommandArgv(), which prints by printf */
    long long len = redisFormatSdsCommandArgv(&bytes, argc, argv, lengths);
    if (len < 0)
        return false;
    bool appended = rlk_buffer_append(out, bytes, (size_t)len);
    redisFreeSdsCommand(bytes);
    return appended;
}

/* A non-empty {tag}: the part of a key that decides its slot (Redis Cluster specification, "Hash
 * tags"). */
static bool has_hash_tag(const struct rlk_key *key)
{
    const char *open = memchr(key->bytes, '{', key->len);
    if (!open)
        return false;
    const char *after = open + 1;
    const char *close = memchr(after, '}', key->len - (size_t)(after - key->bytes));
    return close && close > after;
}

/* The key's companion in the same slot: "{key}:suffix", or "key:suffix" if the key brings its
 * own tag. */
static struct rlk_key side_key(const struct rlk_key *key, const char *suffix,
                               char buffer[SIDE_KEY_SIZE])
{
    bool tagged = has_hash_tag(key);
    size_t len = 0;
    if (!tagged)
        buffer[len++] = '{';
    memcpy(buffer + len, key->bytes, key->len);
    len += key->len;
    if (!tagged)
        buffer[len++] = '}';
    size_t suffix_len = strlen(suffix);
    memcpy(buffer + len, suffix, suffix_len);
    return (struct rlk_key){buffer, len + suffix_len};
}

/* "EVALSHA sha1 2 lock side-key" */
static void add_script(struct arguments *arguments, const struct rlk_request *request, bool by_text,
                       const char *suffix, char side[SIDE_KEY_SIZE])
{
    const struct rlk_script *script = rlk_script(request->kind);
    struct rlk_key side_name = side_key(&request->key, suffix, side);
    add_text(arguments, by_text ? "EVAL" : "EVALSHA");
    add_text(arguments, by_text ? script->text : script->sha1);
    add_text(arguments, "2");
    add(arguments, request->key.bytes, request->key.len);
    add(arguments, side_name.bytes, side_name.len);
}

static bool add_acquire(struct rlk_buffer *out, const struct rlk_request *request, bool by_text)
{
    struct arguments arguments = {0};
    char side[SIDE_KEY_SIZE];
    char ttl[NUMBER_SIZE], fence[NUMBER_SIZE], fence_ttl[NUMBER_SIZE], arrival[NUMBER_SIZE];
    bool queued = request->waiter[0] || request->fair;
    add_script(&arguments, request, by_text, ":fence", side);
    add_text(&arguments, request->token);
    add_text(&arguments, decimal(ttl, request->ttl_ms));
    add_text(&arguments, decimal(fence, request->fence));
    if (queued || request->fence_ttl_s != RLK_FENCE_TTL_S)
        add_text(&arguments, decimal(fence_ttl, request->fence_ttl_s));
    if (queued) {
        add_text(&arguments, request->waiter);
        add_text(&arguments, decimal(arrival, request->arrival_us));
        add_text(&arguments, request->fair ? "1" : "");
    }
    return rlk_wire_command(out, arguments.count, arguments.values, arguments.lengths);
}

static bool add_extend(struct rlk_buffer *out, const struct rlk_request *request, bool by_text)
{
    struct arguments arguments = {0};
    char side[SIDE_KEY_SIZE];
    char ttl[NUMBER_SIZE], fence[NUMBER_SIZE], fence_ttl[NUMBER_SIZE];
    add_script(&arguments, request, by_text, ":fence", side);
    add_text(&arguments, request->token);
    add_text(&arguments, decimal(ttl, request->ttl_ms));
    add_text(&arguments, decimal(fence, request->fence));
    add_text(&arguments, decimal(fence_ttl, request->fence_ttl_s));
    return rlk_wire_command(out, arguments.count, arguments.values, arguments.lengths);
}

static bool add_release(struct rlk_buffer *out, const struct rlk_request *request, bool by_text)
{
    struct arguments arguments = {0};
    char side[SIDE_KEY_SIZE], arrival[NUMBER_SIZE];
    add_script(&arguments, request, by_text, ":queue", side);
    add_text(&arguments, request->token);
    if (request->waiter[0])
        add_text(&arguments, request->waiter);
    if (request->steps_back)
        add_text(&arguments, decimal(arrival, request->arrival_us));
    return rlk_wire_command(out, arguments.count, arguments.values, arguments.lengths);
}

static bool add_inspect(struct rlk_buffer *out, const struct rlk_request *request, bool by_text)
{
    struct arguments arguments = {0};
    char side[SIDE_KEY_SIZE];
    add_script(&arguments, request, by_text, ":fence", side);
    return rlk_wire_command(out, arguments.count, arguments.values, arguments.lengths);
}

static bool add_extend_many(struct rlk_buffer *out, const struct rlk_request *requests,
                            size_t count, bool by_text)
{
    const char *values[3 + 3 * RLK_BATCH_MAX];
    size_t lengths[3 + 3 * RLK_BATCH_MAX];
    char ttls[RLK_BATCH_MAX][NUMBER_SIZE], keys[NUMBER_SIZE];
    const struct rlk_script *script = rlk_script(RLK_EXTEND_MANY);
    values[0] = by_text ? "EVAL" : "EVALSHA";
    values[1] = by_text ? script->text : script->sha1;
    values[2] = decimal(keys, (int64_t)count);
    for (int i = 0; i < 3; i++)
        lengths[i] = strlen(values[i]);
    for (size_t i = 0; i < count; i++) {
        values[3 + i] = requests[i].key.bytes;
        lengths[3 + i] = requests[i].key.len;
        size_t at = 3 + count + 2 * i;
        values[at] = requests[i].token;
        lengths[at] = strlen(values[at]);
        values[at + 1] = decimal(ttls[i], requests[i].ttl_ms);
        lengths[at + 1] = strlen(values[at + 1]);
    }
    return rlk_wire_command(out, (int)(3 + 3 * count), values, lengths);
}

bool rlk_wire_request(struct rlk_buffer *out, enum rlk_request_kind kind,
                      const struct rlk_request *requests, size_t count, bool by_text)
{
    assert(count >= 1 && count <= RLK_BATCH_MAX);
    assert(count == 1 || kind == RLK_EXTEND_MANY);
    switch (kind) {
    case RLK_ACQUIRE:
        return add_acquire(out, requests, by_text);
    case RLK_EXTEND:
        return add_extend(out, requests, by_text);
    case RLK_EXTEND_MANY:
        return add_extend_many(out, requests, count, by_text);
    case RLK_RELEASE:
        return add_release(out, requests, by_text);
    case RLK_INSPECT:
        return add_inspect(out, requests, by_text);
    case RLK_REQUEST_KINDS:
        break;
    }
    return false;
}

static bool is_remembered(const struct rlk_memo *memo, uint64_t asker,
                          const struct rlk_request *request, bool by_text)
{
    return rlk_buffer_len(&memo->bytes) > 0 && memo->asker == asker &&
           memo->round == request->round && memo->kind == request->kind &&
           memo->by_text == by_text && memo->has_waiter == (request->waiter[0] != '\0') &&
           strcmp(memo->token, request->token) == 0;
}

bool rlk_wire_remembered(struct rlk_buffer *out, struct rlk_memo *memo, uint64_t asker,
                         const struct rlk_request *request, bool by_text)
{
    if (!is_remembered(memo, asker, request, by_text)) {
        rlk_buffer_clear(&memo->bytes);
        if (!rlk_wire_request(&memo->bytes, request->kind, request, 1, by_text))
            return false;
        memo->asker = asker;
        memo->round = request->round;
        memo->kind = request->kind;
        memo->by_text = by_text;
        memo->has_waiter = request->waiter[0] != '\0';
        snprintf(memo->token, sizeof memo->token, "%s", request->token);
    }
    return rlk_buffer_append(out, rlk_buffer_bytes(&memo->bytes), rlk_buffer_len(&memo->bytes));
}

bool rlk_wire_number(const char *text, size_t len, int64_t *number)
{
    int64_t value = 0;
    if (len == 0 || len > 16)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = 10 * value + (text[i] - '0');
    }
    *number = value;
    return value <= RLK_FENCE_MAX;
}

static bool is_integer(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_INTEGER;
}

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING;
}

/* The vote that comes with a fence, or without if the key of the fence holds something else:
 * that is this lock's trouble alone. */
static struct rlk_vote vote_with_fence(enum rlk_reason reason, const redisReply *fence)
{
    struct rlk_vote vote = {.reason = reason};
    if (!rlk_wire_number(fence->str, (size_t)fence->len, &vote.fence))
        return (struct rlk_vote){.reason = RLK_BAD_FENCE};
    return vote;
}

static struct rlk_vote vote_of_status(const redisReply *reply)
{
    if (!is_integer(reply) || reply->integer < -1 || reply->integer > 1)
        return (struct rlk_vote){.reason = RLK_MALFORMED};
    static const enum rlk_reason reasons[] = {RLK_ANOTHERS, RLK_ABSENT, RLK_GRANTED};
    return (struct rlk_vote){.reason = reasons[reply->integer + 1]};
}

static struct rlk_vote vote_of_acquire(const redisReply *reply)
{
    struct rlk_vote vote = {.reason = RLK_MALFORMED};
    if (is_integer(reply) && reply->integer == 1)
        vote.reason = RLK_GRANTED;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 || !is_integer(reply->element[0]))
        return vote;
    redisReply **element = reply->element;
    long long status = element[0]->integer;
    if (status == 0 && reply->elements == 3 && is_integer(element[1]) && is_text(element[2])) {
        vote = vote_with_fence(RLK_HELD, element[2]);
        vote.ttl_ms = element[1]->integer;
    } else if (status == -1 && reply->elements == 2 && is_text(element[1])) {
        vote = vote_with_fence(RLK_OUTBID, element[1]);
    }
    return vote;
}

static struct rlk_vote vote_of_inspect(const redisReply *reply)
{
    struct rlk_vote vote = {.reason = RLK_MALFORMED};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4)
        return vote;
    redisReply **element = reply->element;
    if (!is_integer(element[1]) || !is_text(element[2]) || !is_integer(element[3]))
        return vote;
    vote = vote_with_fence(RLK_GRANTED, element[2]);
    vote.ttl_ms = element[1]->integer;
    vote.waiters = element[3]->integer;
    if (vote.reason == RLK_GRANTED && is_text(element[0])) {
        vote.text = element[0]->str;
        vote.text_len = (size_t)element[0]->len;
    }
    return vote;
}

struct rlk_vote rlk_wire_vote(enum rlk_request_kind kind, const redisReply *reply, size_t count,
                              size_t index)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        size_t len = (size_t)reply->len;
        enum rlk_reason reason = rlk_reason_of_error(reply->str, len);
        if (reason == RLK_WRONGTYPE && (kind == RLK_EXTEND || kind == RLK_RELEASE))
            reason = RLK_ANOTHERS;
        return (struct rlk_vote){.reason = reason, .text = reply->str, .text_len = len};
    }
    switch (kind) {
    case RLK_ACQUIRE:
        return vote_of_acquire(reply);
    case RLK_INSPECT:
        return vote_of_inspect(reply);
    case RLK_EXTEND_MANY:
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != count)
            return (struct rlk_vote){.reason = RLK_MALFORMED};
        return vote_of_status(reply->element[index]);
    default:
        return vote_of_status(reply);
    }
}

bool rlk_wire_wake(const char *message, size_t len, struct rlk_wake *wake)
{
    const char *end = message + len;
    const char *space = memchr(message, ' ', len);
    if (!space)
        return false;
    const char *fence = space + 1;
    const char *second = memchr(fence, ' ', (size_t)(end - fence));
    if (!second)
        return false;
    uint64_t waiter = 0;
    if (space == message || space - message > 20)
        return false;
    for (const char *digit = message; digit < space; digit++) {
        if (*digit < '0' || *digit > '9')
            return false;
        waiter = 10 * waiter + (uint64_t)(*digit - '0');
    }
    wake->waiter = waiter;
    wake->key = (struct rlk_key){second + 1, (size_t)(end - second - 1)};
    return wake->key.len >= 1 && wake->key.len <= RLK_KEY_MAX &&
           rlk_wire_number(fence, (size_t)(second - fence), &wake->fence);
}
