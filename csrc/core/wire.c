/* The argument lists here and the heads of scripts/ *.lua say the same thing twice; nothing else
 * knows them. */
#include "core/wire.h"

#include <assert.h>
#include <string.h>

#include "core/scripts.h"

#define NUMBER_SIZE 24
#define DIGITS "0123456789"
#define WORDS_MAX (8 + 4 * RLK_BATCH_MAX)
#define NOBODY "-" /* in the place of a waiter's id */
#define MARK_LEN 8 /* of a token, where it stands in a fence */

/* ---- requests ---- */

/* A command in the making. It borrows its words, but for those that are made for it, which stand in the
 * memo, one behind the other. */
struct command {
    struct rlk_memo *memo;
    size_t count;
    bool failed;                  /* no memory */
    const char *words[WORDS_MAX]; /* NULL: the next of those that were made */
    size_t lengths[WORDS_MAX];
};

static char *append(char *at, const char *bytes, size_t len)
{
    return (char *)memcpy(at, bytes, len) + len;
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

static char *append_decimal(char *at, int64_t number)
{
    char text[NUMBER_SIZE];
    const char *digits = decimal(text, number);
    return append(at, digits, strlen(digits));
}

static void add(struct command *command, const char *word, size_t len)
{
    assert(command->count < WORDS_MAX);
    command->words[command->count] = word;
    command->lengths[command->count++] = len;
}

static void add_text(struct command *command, const char *text)
{
    add(command, text, strlen(text));
}

static void add_made(struct command *command, const char *bytes, size_t len)
{
    command->failed = !rlk_buffer_append(&command->memo->made, bytes, len) || command->failed;
    add(command, NULL, len);
}

static void add_number(struct command *command, int64_t number)
{
    char text[NUMBER_SIZE];
    const char *digits = decimal(text, number);
    add_made(command, digits, (size_t)(text + NUMBER_SIZE - 1 - digits));
}

/* redisFormatCommandArgv() prints by printf, and takes several times as long. */
static bool format(struct rlk_buffer *out, int argc, const char **argv, const size_t *lengths)
{
    sds bytes = NULL;
    long long len = redisFormatSdsCommandArgv(&bytes, argc, argv, lengths);
    if (len < 0)
        return false;
    bool appended = rlk_buffer_append(out, bytes, (size_t)len);
    redisFreeSdsCommand(bytes);
    return appended;
}

/* How many bytes the formatter writes before a word: "*" or "$", the number, CR and LF. */
static size_t header_len(size_t number)
{
    size_t len = 4;
    while ((number /= 10) > 0)
        len++;
    return len;
}

/* The memo's bytes are of a command with as many words, each as long. */
static bool has_room(const struct rlk_memo *memo, const struct command *command)
{
    return command->count == memo->words &&
           memcmp(command->lengths, memo->lengths, command->count * sizeof *memo->lengths) == 0;
}

/* Puts the words where the formatter had put the last ones. */
static void refill(struct rlk_memo *memo, const struct command *command)
{
    char *at = memo->bytes.bytes + memo->bytes.start + header_len(command->count);
    for (size_t i = 0; i < command->count; i++) {
        at = append(at + header_len(command->lengths[i]), command->words[i], command->lengths[i]);
        at += 2;
    }
}

/* Formats the command into the memo's bytes. */
static bool fill(struct rlk_memo *memo, const struct command *command)
{
    rlk_buffer_clear(&memo->bytes);
    memo->words = 0;
    if (!format(&memo->bytes, (int)command->count, (const char **)command->words, command->lengths))
        return false;
    if (command->count <= RLK_MEMO_WORDS) {
        memo->words = command->count;
        memcpy(memo->lengths, command->lengths, command->count * sizeof *memo->lengths);
    }
    return true;
}

/* The memo's bytes are the command then. False if there is no memory. */
static bool end(struct command *command)
{
    struct rlk_memo *memo = command->memo;
    const char *made = rlk_buffer_bytes(&memo->made);
    for (size_t i = 0; !command->failed && i < command->count; i++) {
        if (command->words[i])
            continue;
        command->words[i] = made;
        made += command->lengths[i];
    }
    if (command->failed)
        return false;
    if (!has_room(memo, command))
        return fill(memo, command);
    refill(memo, command);
    return true;
}

bool rlk_wire_command(struct rlk_buffer *out, int argc, const char **argv, const size_t *lengths)
{
    return format(out, argc, argv, lengths);
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

struct rlk_key rlk_wire_side_key(const struct rlk_key *key, const char *suffix,
                                 char buffer[RLK_SIDE_KEY_SIZE])
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

static void add_side_key(struct command *command, const struct rlk_key *key, const char *suffix)
{
    char buffer[RLK_SIDE_KEY_SIZE];
    struct rlk_key side = rlk_wire_side_key(key, suffix, buffer);
    add_made(command, side.bytes, side.len);
}

/* "EVALSHA sha1 count", which so many keys follow, and other arguments. */
static void begin_script(struct command *command, struct rlk_memo *memo, enum rlk_request_kind kind,
                         bool by_text, size_t keys)
{
    const struct rlk_script *script = rlk_script(kind);
    command->memo = memo;
    rlk_buffer_clear(&memo->made);
    command->count = 0;
    command->failed = false;
    add_text(command, by_text ? "EVAL" : "EVALSHA");
    add_text(command, by_text ? script->text : script->sha1);
    add_number(command, (int64_t)keys);
}

/* The same with the keys of one lock. */
static void begin_single(struct command *command, struct rlk_memo *memo,
                         const struct rlk_request *request, bool by_text, const char *suffix)
{
    begin_script(command, memo, request->kind, by_text, 2);
    add(command, request->key.bytes, request->key.len);
    add_side_key(command, &request->key, suffix);
}

static size_t at_most(size_t most, const char *text)
{
    size_t len = strlen(text);
    return len < most ? len : most;
}

/* What the fence becomes: the ballot, and for people to read, whose it is. */
static void add_fence(struct command *command, const struct rlk_request *request)
{
    const char *identity = request->identity;
    char text[NUMBER_SIZE + MARK_LEN + 2 + RLK_IDENTITY_SIZE];
    char *at = append_decimal(text, request->fence);
    if (identity && *identity) {
        *at++ = ' ';
        at = append(at, request->token, at_most(MARK_LEN, request->token));
        *at++ = ' ';
        at = append(at, identity, at_most(RLK_IDENTITY_SIZE - 1, identity));
    }
    add_made(command, text, (size_t)(at - text));
}

static bool add_acquire(struct rlk_memo *memo, const struct rlk_request *request, bool by_text)
{
    bool waits = request->waiter[0] || request->fair;
    bool names_fence_ttl = waits || request->fence_ttl_s != RLK_FENCE_TTL_S;
    const char *manner = request->fair ? "fair" : request->queued ? "queued" : NULL;
    bool has_manner = waits && manner;
    struct command command;
    begin_single(&command, memo, request, by_text, ":fence");
    add_text(&command, request->token);
    add_number(&command, request->ttl_ms);
    add_fence(&command, request);
    if (names_fence_ttl)
        add_number(&command, request->fence_ttl_s);
    if (waits) {
        add_text(&command, request->waiter);
        add_number(&command, request->arrival_us);
    }
    if (has_manner)
        add_text(&command, manner);
    return end(&command);
}

static bool add_extend(struct rlk_memo *memo, const struct rlk_request *request, bool by_text)
{
    struct command command;
    begin_single(&command, memo, request, by_text, ":fence");
    add_text(&command, request->token);
    add_number(&command, request->ttl_ms);
    add_fence(&command, request);
    add_number(&command, request->fence_ttl_s);
    return end(&command);
}

static bool add_release(struct rlk_memo *memo, const struct rlk_request *request, bool by_text)
{
    struct command command;
    begin_single(&command, memo, request, by_text, ":queue");
    bool keeps = request->keep_ms > 0;
    add_text(&command, request->token);
    if (request->waiter[0] || keeps)
        add_text(&command, request->waiter);
    if (request->steps_back)
        add_number(&command, request->arrival_us);
    else if (keeps)
        add_text(&command, "");
    if (keeps)
        add_number(&command, request->keep_ms);
    return end(&command);
}

static bool add_inspect(struct rlk_memo *memo, const struct rlk_request *request, bool by_text)
{
    struct command command;
    begin_single(&command, memo, request, by_text, ":fence");
    return end(&command);
}

static bool add_break(struct rlk_memo *memo, const struct rlk_request *request, bool by_text)
{
    struct command command;
    begin_single(&command, memo, request, by_text, ":queue");
    add(&command, request->word.len > 0 ? request->word.bytes : "", request->word.len);
    return end(&command);
}

static bool add_scan(struct rlk_memo *memo, const struct rlk_request *request, bool by_text)
{
    struct command command;
    begin_script(&command, memo, RLK_SCAN, by_text, 0);
    add_text(&command, request->token);
    add(&command, request->word.len > 0 ? request->word.bytes : "", request->word.len);
    if (request->all)
        add_text(&command, "all");
    return end(&command);
}

/* All locks, then the companion of each. */
static void add_keys(struct command *command, const struct rlk_request *requests, size_t count,
                     const char *suffix)
{
    for (size_t i = 0; i < count; i++)
        add(command, requests[i].key.bytes, requests[i].key.len);
    for (size_t i = 0; suffix && i < count; i++)
        add_side_key(command, &requests[i].key, suffix);
}

/* One number if it is the same for all, else one for each. */
static void add_numbers(struct command *command, const struct rlk_request *requests, size_t count,
                        int64_t (*number_of)(const struct rlk_request *))
{
    char text[RLK_BATCH_MAX * NUMBER_SIZE];
    char *at = append_decimal(text, number_of(requests));
    size_t same = 1;
    while (same < count && number_of(&requests[same]) == number_of(requests))
        same++;
    for (size_t i = 1; same < count && i < count; i++) {
        *at++ = ' ';
        at = append_decimal(at, number_of(&requests[i]));
    }
    add_made(command, text, (size_t)(at - text));
}

static int64_t ttl_of(const struct rlk_request *request)
{
    return request->ttl_ms;
}

static int64_t fence_ttl_of(const struct rlk_request *request)
{
    return request->fence_ttl_s;
}

/* "inbox/id": where the id begins. */
static const char *id_of_waiter(const struct rlk_request *request)
{
    const char *slash = memrchr(request->waiter, '/', strlen(request->waiter));
    assert(slash);
    return slash + 1;
}

/* "inbox id arrival id arrival...", or nothing if nobody waits. */
static void add_waiters(struct command *command, const struct rlk_request *requests, size_t count)
{
    char text[RLK_BATCH_MAX * (RLK_WAITER_SIZE + NUMBER_SIZE)];
    char *at = text;
    size_t first = 0;
    while (first < count && !requests[first].waiter[0])
        first++;
    if (first < count) {
        const char *inbox = requests[first].waiter;
        at = append(at, inbox, (size_t)(id_of_waiter(&requests[first]) - 1 - inbox));
    }
    for (size_t i = 0; first < count && i < count; i++) {
        const char *id = requests[i].waiter[0] ? id_of_waiter(&requests[i]) : NOBODY;
        *at++ = ' ';
        at = append(at, id, strlen(id));
        *at++ = ' ';
        at = append_decimal(at, requests[i].arrival_us);
    }
    add_made(command, text, (size_t)(at - text));
}

static bool add_acquire_many(struct rlk_memo *memo, const struct rlk_request *requests,
                             size_t count, bool by_text)
{
    struct command command;
    begin_script(&command, memo, RLK_ACQUIRE_MANY, by_text, 2 * count);
    add_keys(&command, requests, count, ":fence");
    add_numbers(&command, requests, count, ttl_of);
    add_numbers(&command, requests, count, fence_ttl_of);
    add_waiters(&command, requests, count);
    add_text(&command, requests->identity ? requests->identity : "");
    for (size_t i = 0; i < count; i++) {
        add_text(&command, requests[i].token);
        add_number(&command, requests[i].fence);
    }
    return end(&command);
}

static bool add_extend_many(struct rlk_memo *memo, const struct rlk_request *requests, size_t count,
                            bool by_text)
{
    struct command command;
    begin_script(&command, memo, RLK_EXTEND_MANY, by_text, count);
    add_keys(&command, requests, count, NULL);
    for (size_t i = 0; i < count; i++) {
        add_text(&command, requests[i].token);
        add_number(&command, requests[i].ttl_ms);
    }
    return end(&command);
}

static bool add_release_many(struct rlk_memo *memo, const struct rlk_request *requests,
                             size_t count, bool by_text)
{
    struct command command;
    begin_script(&command, memo, RLK_RELEASE_MANY, by_text, 2 * count);
    add_keys(&command, requests, count, ":queue");
    for (size_t i = 0; i < count; i++)
        add_text(&command, requests[i].token);
    return end(&command);
}

/* Makes the memo's bytes those of the request. False if there is no memory. */
static bool compose(struct rlk_memo *memo, enum rlk_request_kind kind,
                    const struct rlk_request *requests, size_t count, bool by_text)
{
    assert(count >= 1 && count <= RLK_BATCH_MAX);
    assert(count == 1 || kind != requests->kind);
    switch (kind) {
    case RLK_ACQUIRE:
        return add_acquire(memo, requests, by_text);
    case RLK_ACQUIRE_MANY:
        return add_acquire_many(memo, requests, count, by_text);
    case RLK_EXTEND:
        return add_extend(memo, requests, by_text);
    case RLK_EXTEND_MANY:
        return add_extend_many(memo, requests, count, by_text);
    case RLK_RELEASE:
        return add_release(memo, requests, by_text);
    case RLK_RELEASE_MANY:
        return add_release_many(memo, requests, count, by_text);
    case RLK_INSPECT:
        return add_inspect(memo, requests, by_text);
    case RLK_BREAK:
        return add_break(memo, requests, by_text);
    case RLK_SCAN:
        return add_scan(memo, requests, by_text);
    case RLK_REQUEST_KINDS:
        break;
    }
    return false;
}

bool rlk_wire_request(struct rlk_buffer *out, enum rlk_request_kind kind,
                      const struct rlk_request *requests, size_t count, bool by_text)
{
    struct rlk_memo memo = {0};
    bool done = compose(&memo, kind, requests, count, by_text) &&
                rlk_buffer_append(out, rlk_buffer_bytes(&memo.bytes), rlk_buffer_len(&memo.bytes));
    rlk_memo_free(&memo);
    return done;
}

/* ---- the memo ---- */

/* What may differ between requests of one kind. */
struct asked {
    struct rlk_asker asker;
    bool waits, queued;
    int64_t keep_ms;
    char token[RLK_TOKEN_SIZE];
};

static bool is_same(const struct asked *asked, const struct rlk_request *request,
                    const struct rlk_asker *asker)
{
    return asked->asker.tag == asker->tag && asked->asker.round == asker->round &&
           asked->waits == (request->waiter[0] != '\0') && asked->queued == request->queued &&
           asked->keep_ms == request->keep_ms && strcmp(asked->token, request->token) == 0;
}

static bool is_remembered(const struct rlk_memo *memo, enum rlk_request_kind kind,
                          const struct rlk_request *requests, const struct rlk_asker *askers,
                          size_t count, bool by_text)
{
    struct asked asked;
    const char *at = rlk_buffer_bytes(&memo->asked);
    if (rlk_buffer_len(&memo->asked) != count * sizeof asked || memo->kind != kind ||
        memo->by_text != by_text)
        return false;
    for (size_t i = 0; i < count; i++) {
        memcpy(&asked, at + i * sizeof asked, sizeof asked);
        if (!is_same(&asked, &requests[i], &askers[i]))
            return false;
    }
    return true;
}

/* False, and nothing remembered, if there is no memory. */
static bool remember(struct rlk_memo *memo, enum rlk_request_kind kind,
                     const struct rlk_request *requests, const struct rlk_asker *askers,
                     size_t count, bool by_text)
{
    rlk_buffer_clear(&memo->asked);
    if (!compose(memo, kind, requests, count, by_text))
        return false;
    memo->kind = kind;
    memo->by_text = by_text;
    for (size_t i = 0; i < count; i++) {
        struct asked asked = {.asker = askers[i],
                              .waits = requests[i].waiter[0] != '\0',
                              .queued = requests[i].queued,
                              .keep_ms = requests[i].keep_ms};
        memcpy(asked.token, requests[i].token, sizeof asked.token);
        if (!rlk_buffer_append(&memo->asked, &asked, sizeof asked)) {
            rlk_buffer_clear(&memo->asked);
            return false;
        }
    }
    return true;
}

bool rlk_wire_remembered(struct rlk_buffer *out, struct rlk_memo *memo, enum rlk_request_kind kind,
                         const struct rlk_request *requests, const struct rlk_asker *askers,
                         size_t count, bool by_text)
{
    return (is_remembered(memo, kind, requests, askers, count, by_text) ||
            remember(memo, kind, requests, askers, count, by_text)) &&
           rlk_buffer_append(out, rlk_buffer_bytes(&memo->bytes), rlk_buffer_len(&memo->bytes));
}

void rlk_memo_free(struct rlk_memo *memo)
{
    rlk_buffer_free(&memo->asked);
    rlk_buffer_free(&memo->bytes);
    rlk_buffer_free(&memo->made);
}

/* ---- replies ---- */

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
 * that is this lock's trouble alone. Behind a space may stand whose it is. */
static struct rlk_vote vote_with_fence(enum rlk_reason reason, const redisReply *fence)
{
    struct rlk_vote vote = {.reason = reason};
    size_t len = (size_t)fence->len, digits = strspn(fence->str, DIGITS);
    bool is_fence = digits == len || fence->str[digits] == ' ';
    if (!is_fence || !rlk_wire_number(fence->str, digits, &vote.fence))
        return (struct rlk_vote){.reason = RLK_BAD_FENCE};
    return vote;
}

static struct rlk_vote vote_of_status(enum rlk_request_kind kind, const redisReply *reply)
{
    bool releases = kind == RLK_RELEASE || kind == RLK_RELEASE_MANY;
    if (releases && is_integer(reply) && reply->integer == 2)
        return (struct rlk_vote){.reason = RLK_GRANTED, .told = true};
    if (!is_integer(reply) || reply->integer < -1 || reply->integer > 1)
        return (struct rlk_vote){.reason = RLK_MALFORMED};
    static const enum rlk_reason reasons[] = {RLK_ANOTHERS, RLK_ABSENT, RLK_GRANTED};
    return (struct rlk_vote){.reason = reasons[reply->integer + 1]};
}

/* The class of an error, which was the reply or, of many, stood in the place of a status. */
static struct rlk_vote vote_of_error(enum rlk_request_kind kind, const redisReply *error)
{
    size_t len = (size_t)error->len;
    enum rlk_reason reason = rlk_reason_of_error(error->str, len);
    bool is_about_token = kind == RLK_EXTEND || kind == RLK_RELEASE || kind == RLK_RELEASE_MANY;
    if (reason == RLK_WRONGTYPE && is_about_token)
        reason = RLK_ANOTHERS;
    return (struct rlk_vote){.reason = reason, .text = error->str, .text_len = len};
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

/* "ballot 8-characters-of-a-token identity": whose the fence is, if that token stands. */
static void note_holder(struct rlk_vote *vote, const redisReply *fence)
{
    size_t mark = strspn(fence->str, DIGITS) + 1, identity = mark + MARK_LEN + 1;
    size_t len = (size_t)fence->len;
    if (len <= identity || fence->str[identity - 1] != ' ' || vote->text_len < MARK_LEN ||
        memcmp(fence->str + mark, vote->text, MARK_LEN) != 0)
        return;
    len -= identity;
    vote->details = fence->str + identity;
    vote->details_len = len < RLK_IDENTITY_SIZE ? len : RLK_IDENTITY_SIZE - 1;
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
    if (vote.reason != RLK_GRANTED || !is_text(element[0]))
        return vote;
    vote.text = element[0]->str;
    vote.text_len = (size_t)element[0]->len;
    note_holder(&vote, element[2]);
    return vote;
}

/* A page is for whoever asked to read. */
static struct rlk_vote vote_of_scan(const redisReply *reply)
{
    if (!is_text(reply))
        return (struct rlk_vote){.reason = RLK_MALFORMED};
    return (struct rlk_vote){
        .reason = RLK_GRANTED, .details = reply->str, .details_len = (size_t)reply->len};
}

/* Status, remaining ms and fence; or an error's text in the place of the status. */
static struct rlk_vote vote_of_acquire_among(redisReply **element)
{
    struct rlk_vote vote = {.reason = RLK_MALFORMED};
    if (!is_integer(element[1]) || !is_text(element[2]))
        return vote;
    if (is_text(element[0]))
        return vote_of_error(RLK_ACQUIRE_MANY, element[0]);
    if (!is_integer(element[0]))
        return vote;
    if (element[0]->integer == 1) {
        vote.reason = RLK_GRANTED;
    } else if (element[0]->integer == 0) {
        vote = vote_with_fence(RLK_HELD, element[2]);
        vote.ttl_ms = element[1]->integer;
    } else if (element[0]->integer == -1) {
        vote = vote_with_fence(RLK_OUTBID, element[2]);
    }
    return vote;
}

/* 1, if all were granted or released, or so many elements for each. */
static struct rlk_vote vote_among(enum rlk_request_kind kind, const redisReply *reply, size_t count,
                                  size_t index)
{
    size_t width = kind == RLK_ACQUIRE_MANY ? 3 : 1;
    if (is_integer(reply) && reply->integer == 1 && kind != RLK_EXTEND_MANY)
        return (struct rlk_vote){.reason = RLK_GRANTED};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != width * count)
        return (struct rlk_vote){.reason = RLK_MALFORMED};
    redisReply **element = reply->element + width * index;
    if (kind == RLK_ACQUIRE_MANY)
        return vote_of_acquire_among(element);
    if (kind == RLK_RELEASE_MANY && is_text(element[0]))
        return vote_of_error(kind, element[0]);
    return vote_of_status(kind, element[0]);
}

struct rlk_vote rlk_wire_vote(enum rlk_request_kind kind, const redisReply *reply, size_t count,
                              size_t index)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return vote_of_error(kind, reply);
    switch (kind) {
    case RLK_ACQUIRE:
        return vote_of_acquire(reply);
    case RLK_INSPECT:
        return vote_of_inspect(reply);
    case RLK_SCAN:
        return vote_of_scan(reply);
    case RLK_ACQUIRE_MANY:
    case RLK_EXTEND_MANY:
    case RLK_RELEASE_MANY:
        return vote_among(kind, reply, count, index);
    default:
        return vote_of_status(kind, reply);
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
