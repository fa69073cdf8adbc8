/* What a server and its sessions are made of, for the files that make up the model. */
#ifndef SIM_REDIS_SERVER_H
#define SIM_REDIS_SERVER_H

#include "sim/redis.h"
#include "sim/redis_bytes.h"
#include "sim/redis_keys.h"
#include "sim/redis_reply.h"
#include "sim/redis_request.h"

struct redis_subscription {
    struct sim_session *session;
    struct redis_bytes channel;
};

struct sim_redis {
    struct redis_keys keys;
    struct redis_request request;
    int64_t started_at_ms;
    bool *knows_script; /* by its number in the interpreter's cache */
    size_t script_count;
    struct redis_subscription *subscriptions; /* in the order in which they were made */
    size_t subscription_count, subscription_capacity;
    struct sim_session *sessions, *free_sessions;
    struct sim_session *first_to_send, *last_to_send; /* in the order in which they had something */
};

struct sim_session {
    struct sim_redis *redis;
    struct redis_bytes input, output;
    int database;
    size_t subscription_count;
    bool is_over;
    bool is_to_send; /* stands in that list */
    struct sim_session *previous, *next;
    struct sim_session *previous_to_send, *next_to_send;
};

/* A command in the making of its reply. */
struct redis_call {
    struct sim_session *session;
    int64_t now_ms;
    const struct redis_word *words; /* the command's name first */
    size_t count;
    struct redis_reply *reply;
};

/* Its output grew. */
void redis_session_has_output(struct sim_session *session);

/* The first channel of a session that has any, until the next that is subscribed to. */
struct redis_word redis_channel(const struct sim_session *session);

void redis_subscribe(struct sim_session *session, struct redis_word channel);
void redis_unsubscribe(struct sim_session *session, struct redis_word channel);

/* How many heard it. */
int64_t redis_publish(struct sim_redis *redis, struct redis_word channel,
                      struct redis_word message);

#endif
