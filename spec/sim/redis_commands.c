/* Each command checks before it changes anything, and says what Redis 7.0 says. */
#include "sim/redis_commands.h"

#include <stdio.h>

#include "sim/redis_number.h"
#include "sim/redis_scripts.h"

#define DATABASES 16
#define QUOTED_MAX 128 /* characters of what is unknown */
#define COMMAND_SIZE sizeof commands->name

/* ---- words ---- */

static bool read_integer(const struct redis_call *call, size_t index, int64_t *value)
{
    if (redis_read_integer(call->words[index], value))
        return true;
    redis_reply_error(call->reply, "ERR value is not an integer or out of range");
    return false;
}

static bool read_score(const struct redis_call *call, size_t index, double *score)
{
    if (redis_read_score(call->words[index], score))
        return true;
    redis_reply_error(call->reply, "ERR value is not a valid float");
    return false;
}

/* ---- keys ---- */

static struct redis_keys *keys_of(const struct redis_call *call)
{
    return &call->session->redis->keys;
}

static struct redis_key *find(const struct redis_call *call, size_t index)
{
    return redis_keys_find(keys_of(call), call->session->database, call->words[index],
                           call->now_ms);
}

static struct redis_key *add_key(const struct redis_call *call, enum redis_type type)
{
    return redis_keys_add(keys_of(call), call->session->database, call->words[1], type);
}

static void remove_key(const struct redis_call *call, struct redis_key *key)
{
    redis_keys_remove(keys_of(call), key);
}

/* True, and said so, if a key holds something else. */
static bool is_wrong(const struct redis_call *call, const struct redis_key *key,
                     enum redis_type type)
{
    if (!key || key->type == type)
        return false;
    redis_reply_error(call->reply,
                      "WRONGTYPE Operation against a key holding the wrong kind of value");
    return true;
}

static void reply_integer(const struct redis_call *call, int64_t value)
{
    call->reply->kind->integer(call->reply, value);
}

/* ---- strings ---- */

static void run_get(struct redis_call *call)
{
    struct redis_key *key = find(call, 1);
    if (is_wrong(call, key, REDIS_STRING))
        return;
    if (key)
        call->reply->kind->bulk(call->reply, redis_key_string(key));
    else
        call->reply->kind->nil(call->reply);
}

static void run_mget(struct redis_call *call)
{
    call->reply->kind->array(call->reply, call->count - 1);
    for (size_t i = 1; i < call->count; i++) {
        struct redis_key *key = find(call, i);
        if (key && key->type == REDIS_STRING)
            call->reply->kind->bulk(call->reply, redis_key_string(key));
        else
            call->reply->kind->nil(call->reply);
    }
}

struct set_options {
    bool if_absent, if_present;
    size_t ttl_index; /* 0 for none */
    int64_t ttl_unit_ms;
};

static bool read_set_options(const struct redis_call *call, struct set_options *options)
{
    *options = (struct set_options){0};
    for (size_t i = 3; i < call->count; i++) {
        struct redis_word word = call->words[i];
        bool has_next = i + 1 < call->count && options->ttl_index == 0;
        if (redis_word_says(word, "nx") && !options->if_present) {
            options->if_absent = true;
        } else if (redis_word_says(word, "xx") && !options->if_absent) {
            options->if_present = true;
        } else if (has_next && (redis_word_says(word, "px") || redis_word_says(word, "ex"))) {
            options->ttl_unit_ms = redis_small(*word.bytes) == 'p' ? 1 : 1000;
            options->ttl_index = ++i;
        } else {
            redis_reply_error(call->reply, "ERR syntax error");
            return false;
        }
    }
    return true;
}

/* The moment after a time to live, which may be in the past. */
static bool read_expiry(const struct redis_call *call, size_t index, int64_t unit_ms,
                        const char *command, int64_t *moment_ms)
{
    int64_t ttl;
    if (!read_integer(call, index, &ttl))
        return false;
    if (__builtin_mul_overflow(ttl, unit_ms, &ttl) ||
        __builtin_add_overflow(ttl, call->now_ms, moment_ms)) {
        redis_reply_error(call->reply, "ERR invalid expire time in '%s' command", command);
        return false;
    }
    return true;
}

static bool read_set_expiry(const struct redis_call *call, const struct set_options *options,
                            int64_t *expires_at_ms)
{
    *expires_at_ms = REDIS_NEVER;
    if (options->ttl_index == 0)
        return true;
    if (!read_expiry(call, options->ttl_index, options->ttl_unit_ms, "set", expires_at_ms))
        return false;
    if (*expires_at_ms > call->now_ms)
        return true;
    redis_reply_error(call->reply, "ERR invalid expire time in 'set' command");
    return false;
}

static void run_set(struct redis_call *call)
{
    struct set_options options;
    int64_t expires_at_ms;
    if (!read_set_options(call, &options) || !read_set_expiry(call, &options, &expires_at_ms))
        return;
    struct redis_key *key = find(call, 1);
    if ((key && options.if_absent) || (!key && options.if_present)) {
        call->reply->kind->nil(call->reply);
        return;
    }
    if (!key)
        key = add_key(call, REDIS_STRING);
    redis_key_set_string(key, call->words[2]);
    key->expires_at_ms = expires_at_ms;
    redis_reply_ok(call->reply);
}

/* ---- any key ---- */

static void run_del(struct redis_call *call)
{
    int64_t deleted = 0;
    for (size_t i = 1; i < call->count; i++) {
        struct redis_key *key = find(call, i);
        if (!key)
            continue;
        remove_key(call, key);
        deleted++;
    }
    reply_integer(call, deleted);
}

static void run_exists(struct redis_call *call)
{
    int64_t count = 0;
    for (size_t i = 1; i < call->count; i++)
        count += find(call, i) != NULL;
    reply_integer(call, count);
}

/* -2 for an absent key, -1 for ever. */
static int64_t remaining_ms(const struct redis_call *call)
{
    const struct redis_key *key = find(call, 1);
    if (!key)
        return -2;
    return key->expires_at_ms == REDIS_NEVER ? -1 : key->expires_at_ms - call->now_ms;
}

static void run_pttl(struct redis_call *call)
{
    reply_integer(call, remaining_ms(call));
}

static void run_ttl(struct redis_call *call)
{
    int64_t left_ms = remaining_ms(call);
    reply_integer(call, left_ms < 0 ? left_ms : (left_ms + 500) / 1000);
}

static void expire(struct redis_call *call, int64_t unit_ms, const char *command)
{
    int64_t moment_ms;
    if (call->count > 3) {
        redis_reply_error(call->reply, "ERR Unsupported option %.*s", (int)call->words[3].len,
                          call->words[3].bytes);
        return;
    }
    if (!read_expiry(call, 2, unit_ms, command, &moment_ms))
        return;
    struct redis_key *key = find(call, 1);
    if (key && moment_ms <= call->now_ms)
        remove_key(call, key);
    else if (key)
        key->expires_at_ms = moment_ms;
    reply_integer(call, key != NULL);
}

static void run_expire(struct redis_call *call)
{
    expire(call, 1000, "expire");
}

static void run_pexpire(struct redis_call *call)
{
    expire(call, 1, "pexpire");
}

static void run_flushall(struct redis_call *call)
{
    redis_keys_clear(keys_of(call));
    redis_reply_ok(call->reply);
}

/* ---- sorted sets, and a hash ---- */

/* True if it was not there. */
static bool put_member(struct redis_keys *keys, struct redis_key *key, struct redis_word name,
                       double score, bool if_absent)
{
    size_t index = redis_key_member(key, name);
    bool is_new = index == key->member_count;
    if (!is_new && if_absent)
        return false;
    if (!is_new)
        redis_key_remove_member(key, index);
    redis_key_add_member(key, name, score);
    if (is_new)
        key->newest_member = ++keys->new_members;
    return is_new;
}

static void run_zadd(struct redis_call *call)
{
    bool if_absent = redis_word_says(call->words[2], "nx");
    size_t first = if_absent ? 3 : 2;
    double score;
    if (call->count == first || (call->count - first) % 2 != 0) {
        redis_reply_error(call->reply, "ERR syntax error");
        return;
    }
    for (size_t i = first; i < call->count; i += 2)
        if (!read_score(call, i, &score))
            return;
    struct redis_key *key = find(call, 1);
    if (is_wrong(call, key, REDIS_SORTED_SET))
        return;
    if (!key)
        key = add_key(call, REDIS_SORTED_SET);
    int64_t added = 0;
    for (size_t i = first; i < call->count; i += 2)
        if (redis_read_score(call->words[i], &score))
            added += put_member(keys_of(call), key, call->words[i + 1], score, if_absent);
    reply_integer(call, added);
}

static void take_member(const struct redis_call *call, struct redis_key *key, size_t index)
{
    redis_key_remove_member(key, index);
    if (key->member_count == 0)
        remove_key(call, key);
}

static void run_zrem(struct redis_call *call)
{
    struct redis_key *key = find(call, 1);
    int64_t removed = 0;
    if (is_wrong(call, key, REDIS_SORTED_SET))
        return;
    for (size_t i = 2; key && i < call->count && key->member_count > 0; i++) {
        size_t index = redis_key_member(key, call->words[i]);
        if (index == key->member_count)
            continue;
        take_member(call, key, index);
        removed++;
    }
    reply_integer(call, removed);
}

static void run_zpopmin(struct redis_call *call)
{
    struct redis_key *key = find(call, 1);
    char text[REDIS_NUMBER_SIZE];
    if (is_wrong(call, key, REDIS_SORTED_SET))
        return;
    call->reply->kind->array(call->reply, key ? 2 : 0);
    if (!key)
        return;
    struct redis_member *least = redis_key_members(key);
    call->reply->kind->bulk(call->reply, (struct redis_word){least->bytes, least->len});
    call->reply->kind->bulk(call->reply, redis_write_double(text, least->score));
    take_member(call, key, 0);
}

static void run_zcard(struct redis_call *call)
{
    struct redis_key *key = find(call, 1);
    if (!is_wrong(call, key, REDIS_SORTED_SET))
        reply_integer(call, key ? (int64_t)key->member_count : 0);
}

static void run_hset(struct redis_call *call)
{
    if (call->count % 2 != 0) {
        redis_reply_error(call->reply, "ERR wrong number of arguments for 'hset' command");
        return;
    }
    struct redis_key *key = find(call, 1);
    if (is_wrong(call, key, REDIS_HASH))
        return;
    if (!key)
        key = add_key(call, REDIS_HASH);
    int64_t added = 0;
    for (size_t i = 2; i < call->count; i += 2)
        added += put_member(keys_of(call), key, call->words[i], 0, true);
    reply_integer(call, added);
}

/* ---- messages ---- */

static void run_publish(struct redis_call *call)
{
    reply_integer(call, redis_publish(call->session->redis, call->words[1], call->words[2]));
}

static void reply_subscription(const struct redis_call *call, const char *what,
                               const struct redis_word *channel)
{
    const struct redis_reply_kind *kind = call->reply->kind;
    kind->array(call->reply, 3);
    kind->bulk(call->reply, (struct redis_word){what, strlen(what)});
    if (channel)
        kind->bulk(call->reply, *channel);
    else
        kind->nil(call->reply);
    kind->integer(call->reply, (int64_t)call->session->subscription_count);
}

static void run_subscribe(struct redis_call *call)
{
    for (size_t i = 1; i < call->count; i++) {
        redis_subscribe(call->session, call->words[i]);
        reply_subscription(call, "subscribe", &call->words[i]);
    }
}

/* Redis leaves several channels in the order of its hash table, which nobody is to rely on: they
 * have to be named. */
static void unsubscribe_from_all(struct redis_call *call)
{
    struct redis_word channel = redis_channel(call->session);
    if (call->session->subscription_count > 1) {
        redis_reply_error(call->reply, "ERR name the channels");
    } else if (call->session->subscription_count == 0) {
        reply_subscription(call, "unsubscribe", NULL);
    } else {
        redis_unsubscribe(call->session, channel);
        reply_subscription(call, "unsubscribe", &channel);
    }
}

static void run_unsubscribe(struct redis_call *call)
{
    if (call->count == 1)
        unsubscribe_from_all(call);
    for (size_t i = 1; i < call->count; i++) {
        redis_unsubscribe(call->session, call->words[i]);
        reply_subscription(call, "unsubscribe", &call->words[i]);
    }
}

/* ---- the connection ---- */

static void run_ping(struct redis_call *call)
{
    const struct redis_reply_kind *kind = call->reply->kind;
    struct redis_word word = call->count > 1 ? call->words[1] : (struct redis_word){"", 0};
    if (call->count > 2) {
        redis_reply_error(call->reply, "ERR wrong number of arguments for 'ping' command");
    } else if (call->session->subscription_count > 0) {
        kind->array(call->reply, 2);
        kind->bulk(call->reply, (struct redis_word){"pong", 4});
        kind->bulk(call->reply, word);
    } else if (call->count > 1) {
        kind->bulk(call->reply, word);
    } else {
        redis_write_line(call->reply->target, '+', (struct redis_word){"PONG", 4});
    }
}

/* There are no passwords here, and no user but the default one, who needs none. */
static void run_auth(struct redis_call *call)
{
    if (call->count > 3)
        redis_reply_error(call->reply, "ERR syntax error");
    else if (call->count == 2)
        redis_reply_error(call->reply,
                          "ERR AUTH <password> called without any password configured for the "
                          "default user. Are you sure your configuration is correct?");
    else if (!redis_word_is(call->words[1], (struct redis_word){"default", 7}))
        redis_reply_error(call->reply,
                          "WRONGPASS invalid username-password pair or user is disabled.");
    else
        redis_reply_ok(call->reply);
}

static void run_client_setname(struct redis_call *call)
{
    struct redis_word name = call->words[2];
    for (size_t i = 0; i < name.len; i++)
        if (name.bytes[i] < '!' || name.bytes[i] > '~') {
            redis_reply_error(call->reply, "ERR Client names cannot contain spaces, newlines or "
                                           "special characters.");
            return;
        }
    redis_reply_ok(call->reply);
}

static void run_select(struct redis_call *call)
{
    int64_t database;
    if (!read_integer(call, 1, &database))
        return;
    if (database < 0 || database >= DATABASES) {
        redis_reply_error(call->reply, "ERR DB index is out of range");
        return;
    }
    call->session->database = (int)database;
    redis_reply_ok(call->reply);
}

/* Of a moment, which may be before the clock's zero. */
static int64_t whole_seconds(int64_t ms)
{
    return ms >= 0 ? ms / 1000 : -((999 - ms) / 1000);
}

/* The lines that a client may want. A process is known by when it started: so it has the same
 * run_id wherever and whenever it is simulated. */
static void run_info(struct redis_call *call)
{
    char text[256];
    int64_t started_at_ms = call->session->redis->started_at_ms;
    if (call->count != 2 || !redis_word_says(call->words[1], "server")) {
        redis_reply_error(call->reply, "ERR only the section of the server is here");
        return;
    }
    int len = snprintf(text, sizeof text,
                       "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n"
                       "run_id:%040llx\r\nuptime_in_seconds:%lld\r\n",
                       (unsigned long long)started_at_ms,
                       (long long)(whole_seconds(call->now_ms) - whole_seconds(started_at_ms)));
    call->reply->kind->bulk(call->reply, (struct redis_word){text, (size_t)len});
}

static void run_quit(struct redis_call *call)
{
    call->session->is_over = true;
    redis_reply_ok(call->reply);
}

/* ---- the table ---- */

/* Those that the scripts call most come first. A command without a function has subcommands. */
static const struct redis_command commands[] = {
    {"get", 2, REDIS_ANYWHERE, run_get},
    {"set", -3, REDIS_ANYWHERE, run_set},
    {"evalsha", -3, REDIS_BY_CLIENT, redis_evalsha},
    {"exists", -2, REDIS_ANYWHERE, run_exists},
    {"del", -2, REDIS_ANYWHERE, run_del},
    {"pttl", 2, REDIS_ANYWHERE, run_pttl},
    {"pexpire", -3, REDIS_ANYWHERE, run_pexpire},
    {"expire", -3, REDIS_ANYWHERE, run_expire},
    {"zadd", -4, REDIS_ANYWHERE, run_zadd},
    {"zrem", -3, REDIS_ANYWHERE, run_zrem},
    {"zpopmin", 2, REDIS_ANYWHERE, run_zpopmin},
    {"publish", 3, REDIS_ANYWHERE, run_publish},
    {"mget", -2, REDIS_ANYWHERE, run_mget},
    {"zcard", 2, REDIS_ANYWHERE, run_zcard},
    {"eval", -3, REDIS_BY_CLIENT, redis_eval},
    {"client", -2, REDIS_BY_CLIENT, NULL},
    {"client|setname", 3, REDIS_BY_CLIENT, run_client_setname},
    {"info", -1, REDIS_ANYWHERE, run_info},
    {"subscribe", -2, REDIS_BY_SUBSCRIBER, run_subscribe},
    {"select", 2, REDIS_BY_CLIENT, run_select},
    {"auth", -2, REDIS_BY_CLIENT, run_auth},
    {"script", -2, REDIS_BY_CLIENT, NULL},
    {"script|load", 3, REDIS_BY_CLIENT, redis_script_load},
    {"script|flush", -2, REDIS_BY_CLIENT, redis_script_flush},
    {"script|exists", -3, REDIS_BY_CLIENT, redis_script_exists},
    {"unsubscribe", -1, REDIS_BY_SUBSCRIBER, run_unsubscribe},
    {"ping", -1, REDIS_BY_SUBSCRIBER, run_ping},
    {"quit", -1, REDIS_BY_SUBSCRIBER, run_quit},
    {"hset", -4, REDIS_ANYWHERE, run_hset},
    {"ttl", 2, REDIS_ANYWHERE, run_ttl},
    {"flushall", 1, REDIS_BY_CLIENT, run_flushall},
};

/* Appends the word in small letters. False if there is no room. */
static bool append_small(char name[COMMAND_SIZE], size_t *len, struct redis_word word)
{
    if (*len + word.len >= COMMAND_SIZE)
        return false;
    for (size_t i = 0; i < word.len; i++)
        name[(*len)++] = redis_small(word.bytes[i]);
    return true;
}

static const struct redis_command *command_named(const char name[COMMAND_SIZE])
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (memcmp(commands[i].name, name, COMMAND_SIZE) == 0)
            return &commands[i];
    return NULL;
}

static const struct redis_command *look_up(const struct redis_word *words, size_t count)
{
    char name[COMMAND_SIZE] = {0};
    size_t len = 0;
    if (memchr(words->bytes, '|', words->len) || !append_small(name, &len, *words))
        return NULL;
    const struct redis_command *command = command_named(name);
    if (!command || command->run || count < 2)
        return command;
    name[len++] = '|';
    return append_small(name, &len, words[1]) ? command_named(name) : NULL;
}

/* What short names meant the last time. */
const struct redis_command *redis_command(const struct redis_word *words, size_t count)
{
    static _Thread_local struct {
        uint64_t name;
        size_t len;
        const struct redis_command *command;
    } memos[64], *memo;
    if (words->len > sizeof memo->name)
        return look_up(words, count);
    uint64_t name = redis_word_number(*words);
    memo = &memos[redis_mix(0, name) % 64];
    if (memo->name == name && memo->len == words->len && memo->command)
        return memo->command;
    const struct redis_command *command = look_up(words, count);
    if (command && command->run && command == look_up(words, 1)) { /* no subcommand */
        memo->name = name;
        memo->len = words->len;
        memo->command = command;
    }
    return command;
}

/* "'word' ", for so many characters in all. */
static int quote_arguments(const struct redis_call *call, char text[2 * QUOTED_MAX])
{
    int len = 0;
    for (size_t i = 1; i < call->count && len < QUOTED_MAX; i++) {
        struct redis_word word = call->words[i];
        int most = QUOTED_MAX - len;
        int shown = word.len < (size_t)most ? (int)word.len : most;
        len += snprintf(text + len, (size_t)(2 * QUOTED_MAX - len), "'%.*s' ", shown, word.bytes);
    }
    return len;
}

static void reply_unknown(const struct redis_call *call)
{
    char arguments[2 * QUOTED_MAX];
    struct redis_word word = call->words[0];
    if (redis_command(call->words, 1)) {
        struct redis_word sub = call->words[1];
        redis_reply_error(call->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                          (int)(sub.len < QUOTED_MAX ? sub.len : QUOTED_MAX), sub.bytes,
                          redis_small(*word.bytes) == 'c' ? "CLIENT" : "SCRIPT");
        return;
    }
    int len = quote_arguments(call, arguments);
    redis_reply_error(call->reply, "ERR unknown command '%.*s', with args beginning with: %.*s",
                      (int)(word.len < QUOTED_MAX ? word.len : QUOTED_MAX), word.bytes, len,
                      arguments);
}

void redis_run(struct redis_call *call)
{
    const struct redis_command *command = redis_command(call->words, call->count);
    if (!command)
        reply_unknown(call);
    else if (!redis_command_takes(command, call->count))
        redis_reply_error(call->reply, "ERR wrong number of arguments for '%s' command",
                          command->name);
    else if (call->session->subscription_count > 0 && command->by != REDIS_BY_SUBSCRIBER)
        redis_reply_error(call->reply,
                          "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING "
                          "/ QUIT / RESET are allowed in this context",
                          command->name);
    else
        command->run(call);
}

void redis_run_for_script(const struct redis_call *script, const struct redis_word *words,
                          size_t count, struct redis_reply *reply)
{
    const struct redis_command *command = redis_command(words, count);
    struct redis_call call = *script;
    call.words = words;
    call.count = count;
    call.reply = reply;
    if (!command)
        redis_reply_error(reply, "ERR Unknown Redis command called from script");
    else if (!redis_command_takes(command, count))
        redis_reply_error(reply, "ERR Wrong number of args calling Redis command from script");
    else if (command->by != REDIS_ANYWHERE)
        redis_reply_error(reply, "ERR This Redis command is not allowed from script");
    else
        command->run(&call);
}
