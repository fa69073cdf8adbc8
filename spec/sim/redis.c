/* Servers, their sessions, and who hears what is published. Bytes come in here, and whole commands
 * go on to redis_commands.c.
 *
 * The same bytes at the same times are answered by the same bytes: nothing depends on where memory
 * lies, on what was simulated before, on a clock or on chance. Memory of sessions and keys is used
 * again. */
#include "sim/redis.h"

#include "sim/redis_commands.h"
#include "sim/redis_server.h"

/* ---- what is to be sent ---- */

static void leave_senders(struct sim_session *session)
{
    struct sim_redis *redis = session->redis;
    if (!session->is_to_send)
        return;
    session->is_to_send = false;
    if (session->previous_to_send)
        session->previous_to_send->next_to_send = session->next_to_send;
    else
        redis->first_to_send = session->next_to_send;
    if (session->next_to_send)
        session->next_to_send->previous_to_send = session->previous_to_send;
    else
        redis->last_to_send = session->previous_to_send;
}

void redis_session_has_output(struct sim_session *session)
{
    struct sim_redis *redis = session->redis;
    if (session->is_to_send || redis_bytes_len(&session->output) == 0)
        return;
    session->is_to_send = true;
    session->next_to_send = NULL;
    session->previous_to_send = redis->last_to_send;
    if (redis->last_to_send)
        redis->last_to_send->next_to_send = session;
    else
        redis->first_to_send = session;
    redis->last_to_send = session;
}

const char *sim_session_output(const struct sim_session *session, size_t *len)
{
    *len = redis_bytes_len(&session->output);
    return session->output.bytes ? session->output.bytes + session->output.start : "";
}

void sim_session_sent(struct sim_session *session, size_t len)
{
    redis_bytes_consume(&session->output, len);
    if (redis_bytes_len(&session->output) == 0)
        leave_senders(session);
}

struct sim_session *sim_redis_next_output(struct sim_redis *redis)
{
    return redis->first_to_send;
}

/* ---- messages ---- */

static struct redis_word channel_of(const struct redis_subscription *subscription)
{
    return (struct redis_word){subscription->channel.bytes, subscription->channel.end};
}

static bool is_of(const struct redis_subscription *subscription, const struct sim_session *session,
                  struct redis_word channel)
{
    return subscription->session == session && redis_word_is(channel_of(subscription), channel);
}

struct redis_word redis_channel(const struct sim_session *session)
{
    const struct sim_redis *redis = session->redis;
    for (size_t i = 0; i < redis->subscription_count; i++)
        if (redis->subscriptions[i].session == session)
            return channel_of(&redis->subscriptions[i]);
    return (struct redis_word){NULL, 0};
}

void redis_subscribe(struct sim_session *session, struct redis_word channel)
{
    struct sim_redis *redis = session->redis;
    for (size_t i = 0; i < redis->subscription_count; i++)
        if (is_of(&redis->subscriptions[i], session, channel))
            return;
    if (redis->subscription_count == redis->subscription_capacity) {
        size_t capacity = 2 * redis->subscription_capacity + 8;
        redis->subscriptions =
            redis_grow(redis->subscriptions, capacity * sizeof *redis->subscriptions);
        memset(redis->subscriptions + redis->subscription_capacity, 0,
               (capacity - redis->subscription_capacity) * sizeof *redis->subscriptions);
        redis->subscription_capacity = capacity;
    }
    struct redis_subscription *subscription = &redis->subscriptions[redis->subscription_count++];
    subscription->session = session;
    redis_bytes_clear(&subscription->channel);
    redis_bytes_append(&subscription->channel, channel.bytes, channel.len);
    session->subscription_count++;
}

/* Its memory goes behind those that are left. */
static void remove_subscription(struct sim_redis *redis, size_t index)
{
    struct redis_subscription removed = redis->subscriptions[index];
    removed.session->subscription_count--;
    redis->subscription_count--;
    memmove(&redis->subscriptions[index], &redis->subscriptions[index + 1],
            (redis->subscription_count - index) * sizeof removed);
    redis->subscriptions[redis->subscription_count] = removed;
}

void redis_unsubscribe(struct sim_session *session, struct redis_word channel)
{
    struct sim_redis *redis = session->redis;
    for (size_t i = redis->subscription_count; i-- > 0;)
        if (is_of(&redis->subscriptions[i], session, channel))
            remove_subscription(redis, i);
}

static void hear_nothing_more(struct sim_session *session)
{
    struct sim_redis *redis = session->redis;
    for (size_t i = redis->subscription_count; session->subscription_count > 0 && i-- > 0;)
        if (redis->subscriptions[i].session == session)
            remove_subscription(redis, i);
}

int64_t redis_publish(struct sim_redis *redis, struct redis_word channel, struct redis_word message)
{
    int64_t heard = 0;
    for (size_t i = 0; i < redis->subscription_count; i++) {
        if (!redis_word_is(channel_of(&redis->subscriptions[i]), channel))
            continue;
        struct sim_session *session = redis->subscriptions[i].session;
        redis_write_count(&session->output, '*', 3);
        redis_write_bulk(&session->output, (struct redis_word){"message", 7});
        redis_write_bulk(&session->output, channel);
        redis_write_bulk(&session->output, message);
        redis_session_has_output(session);
        heard++;
    }
    return heard;
}

/* ---- sessions ---- */

static struct sim_session *take_session(struct sim_redis *redis)
{
    struct sim_session *session = redis->free_sessions;
    if (session) {
        redis->free_sessions = session->next;
        return session;
    }
    session = redis_grow(NULL, sizeof *session);
    *session = (struct sim_session){.redis = redis};
    return session;
}

struct sim_session *sim_redis_accept(struct sim_redis *redis)
{
    struct sim_session *session = take_session(redis);
    session->database = 0;
    session->is_over = false;
    session->previous = NULL;
    session->next = redis->sessions;
    if (redis->sessions)
        redis->sessions->previous = session;
    redis->sessions = session;
    return session;
}

bool sim_session_is_over(const struct sim_session *session)
{
    return session->is_over;
}

/* The server has nothing to do with it any more. */
static void end_session(struct sim_session *session)
{
    hear_nothing_more(session);
    leave_senders(session);
    redis_bytes_clear(&session->input);
    redis_bytes_clear(&session->output);
    session->is_over = true;
}

void sim_session_close(struct sim_session *session)
{
    struct sim_redis *redis = session->redis;
    end_session(session);
    if (session->previous)
        session->previous->next = session->next;
    else
        redis->sessions = session->next;
    if (session->next)
        session->next->previous = session->previous;
    session->next = redis->free_sessions;
    redis->free_sessions = session;
}

/* How many bytes were taken: whole commands, or all of what breaks the protocol. */
static size_t take_command(struct sim_session *session, const char *bytes, size_t len,
                           int64_t now_ms)
{
    struct redis_request *request = &session->redis->request;
    struct redis_reply reply = redis_reply_to_client(&session->output);
    enum redis_parsed parsed = redis_request_parse(request, bytes, len);
    if (parsed == REDIS_INCOMPLETE)
        return 0;
    if (parsed == REDIS_MALFORMED) {
        redis_reply_error(&reply, "%s", request->error);
        session->is_over = true;
        return len;
    }
    if (request->count > 0) {
        struct redis_call call = {session, now_ms, request->words, request->count, &reply};
        redis_run(&call);
    }
    return request->size;
}

static size_t take_commands(struct sim_session *session, const char *bytes, size_t len,
                            int64_t now_ms)
{
    size_t taken = 0, more;
    do {
        more = take_command(session, bytes + taken, len - taken, now_ms);
        taken += more;
    } while (more > 0 && taken < len && !session->is_over);
    return taken;
}

void sim_session_receive(struct sim_session *session, const char *bytes, size_t len, int64_t now_ms)
{
    struct redis_bytes *input = &session->input;
    if (session->is_over)
        return;
    if (redis_bytes_len(input) == 0) {
        size_t taken = take_commands(session, bytes, len, now_ms);
        if (taken < len && !session->is_over)
            redis_bytes_append(input, bytes + taken, len - taken);
    } else {
        redis_bytes_append(input, bytes, len);
        redis_bytes_consume(input, take_commands(session, input->bytes + input->start,
                                                 redis_bytes_len(input), now_ms));
    }
    if (session->is_over)
        hear_nothing_more(session);
    redis_session_has_output(session);
}

/* ---- servers ---- */

struct sim_redis *sim_redis_new(void)
{
    struct sim_redis *redis = calloc(1, sizeof *redis);
    if (redis)
        redis_keys_init(&redis->keys);
    return redis;
}

static void free_sessions(struct sim_session *session)
{
    while (session) {
        struct sim_session *next = session->next;
        free(session->input.bytes);
        free(session->output.bytes);
        free(session);
        session = next;
    }
}

void sim_redis_free(struct sim_redis *redis)
{
    if (!redis)
        return;
    free_sessions(redis->sessions);
    free_sessions(redis->free_sessions);
    for (size_t i = 0; i < redis->subscription_capacity; i++)
        free(redis->subscriptions[i].channel.bytes);
    free(redis->subscriptions);
    free(redis->knows_script);
    redis_request_free(&redis->request);
    redis_keys_free(&redis->keys);
    free(redis);
}

void sim_redis_restart(struct sim_redis *redis, bool keeps_data, int64_t now_ms)
{
    for (struct sim_session *session = redis->sessions; session; session = session->next)
        end_session(session);
    sim_redis_flush_scripts(redis);
    if (!keeps_data)
        redis_keys_clear(&redis->keys);
    redis->started_at_ms = now_ms;
}

void sim_redis_flush_scripts(struct sim_redis *redis)
{
    if (redis->script_count > 0)
        memset(redis->knows_script, 0, redis->script_count * sizeof *redis->knows_script);
}

struct sim_value sim_redis_look(const struct sim_redis *redis, const char *key, size_t len,
                                int64_t now_ms)
{
    struct redis_word name = {key, len};
    const struct redis_key *found = redis_keys_peek(&redis->keys, 0, name, now_ms);
    if (!found)
        return (struct sim_value){.expires_at_ms = INT64_MAX};
    if (found->type != REDIS_STRING)
        return (struct sim_value){true, NULL, found->member_count, found->expires_at_ms,
                                  found->newest_member};
    struct redis_word value = redis_key_string(found);
    const char *bytes = value.bytes ? value.bytes : "";
    return (struct sim_value){true, bytes, value.len, found->expires_at_ms, 0};
}
