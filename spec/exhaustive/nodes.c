/* A call of a script is what stands on the server and what is asked of it; its effect is what is
 * answered and what stands there then. Each call is run once, by the simulated server
 * (sim/redis.h), as bytes that the core wrote and reads again, and its effect is remembered: in
 * millions of worlds there are but some hundreds of calls. */
#include "exhaustive/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire.h"
#include "sim/redis.h"

#define CLOCK_MS 1000000 /* of the simulated server: it never stands still for longer than a call */
#define CALLS_MAX 65536  /* a power of two */

struct call {
    int16_t left_ms; /* of the lease that stands there */
    int16_t fence;
    int16_t asked_ms;
    int16_t asked_fence;
    uint8_t token, asked_token;
    uint8_t kind; /* of the request; 0: nothing is remembered here */
    bool is_known;
};

struct effect {
    struct call call;
    uint8_t answer;
    int16_t answer_ms, answer_fence;
    uint8_t token;
    int16_t left_ms, fence;
};

static const char lock_name[] = "name", fence_name[] = "{name}:fence";
static struct effect *effects;
static uint32_t effects_count;

static void insist(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "exhaustive: %s\n", what);
    exit(2);
}

/* ---- one call, on the simulated server ---- */

static struct rlk_buffer output;

static void send_command(struct sim_session *session, int argc, const char **argv)
{
    rlk_buffer_clear(&output);
    insist(rlk_wire_command(&output, argc, argv, NULL), "out of memory");
    sim_session_receive(session, rlk_buffer_bytes(&output), rlk_buffer_len(&output), CLOCK_MS);
}

static void set(struct sim_session *session, const char *name, const char *value, int ttl_ms)
{
    char ttl[20];
    const char *words[] = {"SET", name, value, "PX", ttl};
    size_t len;
    snprintf(ttl, sizeof ttl, "%d", ttl_ms);
    send_command(session, 5, words);
    const char *reply = sim_session_output(session, &len);
    insist(len == 5 && memcmp(reply, "+OK\r\n", len) == 0, "the simulated server takes no SET");
    sim_session_sent(session, len);
}

static void set_up(struct sim_session *session, const struct call *call)
{
    char token[3], fence[40];
    token_text(call->token, token);
    snprintf(fence, sizeof fence, "%d somebody else", call->fence);
    if (call->token)
        set(session, lock_name, token, call->left_ms);
    if (call->fence)
        set(session, fence_name, fence, 1000000);
}

static void send_request(struct sim_session *session, const struct call *call)
{
    struct rlk_request request = {.key = {lock_name, sizeof lock_name - 1},
                                  .ttl_ms = call->asked_ms,
                                  .fence = call->asked_fence,
                                  .fence_ttl_s = 1000,
                                  .identity = "us"};
    enum rlk_request_kind kind = call->kind;
    request.kind = kind == RLK_ACQUIRE_MANY   ? RLK_ACQUIRE
                   : kind == RLK_EXTEND_MANY  ? RLK_EXTEND
                   : kind == RLK_RELEASE_MANY ? RLK_RELEASE
                                              : kind;
    request.keep_ms = request.kind == RLK_RELEASE ? call->asked_ms : 0;
    token_text(call->asked_token, request.token);
    rlk_buffer_clear(&output);
    insist(rlk_wire_request(&output, kind, &request, 1, true), "out of memory");
    sim_session_receive(session, rlk_buffer_bytes(&output), rlk_buffer_len(&output), CLOCK_MS);
}

static void read_answer(struct sim_session *session, struct effect *effect)
{
    size_t len;
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    const char *bytes = sim_session_output(session, &len);
    insist(reader && redisReaderFeed(reader, bytes, len) == REDIS_OK &&
               redisReaderGetReply(reader, &reply) == REDIS_OK && reply,
           "the simulated server gives no answer");
    sim_session_sent(session, len);
    struct rlk_vote vote = rlk_wire_vote(effect->call.kind, reply, 1, 0);
    effect->answer = (uint8_t)vote.reason;
    effect->answer_ms = (int16_t)vote.ttl_ms;
    effect->answer_fence = (int16_t)vote.fence;
    freeReplyObject(reply);
    redisReaderFree(reader);
}

static void look(const struct sim_redis *redis, struct effect *effect)
{
    char text[40] = "";
    struct sim_value lock = sim_redis_look(redis, lock_name, sizeof lock_name - 1, CLOCK_MS);
    insist(!lock.exists || (lock.len < 3 && lock.expires_at_ms < INT64_MAX), "no such token");
    if (lock.exists) {
        memcpy(text, lock.bytes, lock.len);
        effect->token = token_number(text);
        effect->left_ms = (int16_t)(lock.expires_at_ms - CLOCK_MS);
    }
    struct sim_value fence = sim_redis_look(redis, fence_name, sizeof fence_name - 1, CLOCK_MS);
    memset(text, 0, sizeof text);
    insist(!fence.exists || fence.len < sizeof text, "no such fence");
    if (fence.exists)
        memcpy(text, fence.bytes, fence.len);
    effect->fence = (int16_t)atoi(text);
}

static void run_call(struct effect *effect)
{
    static struct sim_redis *redis;
    if (!redis)
        redis = sim_redis_new();
    insist(redis, "out of memory");
    sim_redis_restart(redis, false, CLOCK_MS);
    struct sim_session *session = sim_redis_accept(redis);
    set_up(session, &effect->call);
    send_request(session, &effect->call);
    read_answer(session, effect);
    look(redis, effect);
    sim_session_close(session);
}

/* ---- all calls ---- */

static uint32_t place_of(const struct call *call)
{
    uint64_t words[2] = {0};
    memcpy(words, call, sizeof *call);
    uint64_t mixed =
        (words[0] ^ words[1] * UINT64_C(0xD6E8FEB86659FD93)) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(mixed >> 40) & (CALLS_MAX - 1);
}

static const struct effect *effect_of(const struct call *call)
{
    if (!effects)
        effects = calloc(CALLS_MAX, sizeof *effects);
    insist(effects, "out of memory");
    uint32_t at = place_of(call);
    for (; effects[at].call.is_known; at = (at + 1) & (CALLS_MAX - 1))
        if (memcmp(&effects[at].call, call, sizeof *call) == 0)
            return &effects[at];
    insist(++effects_count < CALLS_MAX / 2, "the scene is too large");
    effects[at].call = *call;
    run_call(&effects[at]);
    return &effects[at];
}

uint32_t node_calls(void)
{
    return effects_count;
}

/* ---- the nodes of a world ---- */

static int32_t clock_of(const struct world *world, int node)
{
    return (int32_t)node_clock_ms(world, node, world->now_ms);
}

static void forget_lease(struct node *node)
{
    node->token = 0;
    node->haunted = false;
    node->expires_ms = 0;
}

void node_tick(struct world *world, int node)
{
    struct node *at = &world->nodes[node];
    if (at->token && clock_of(world, node) >= at->expires_ms)
        forget_lease(at);
}

void node_run(struct world *world, int node, struct message *message)
{
    struct node *at = &world->nodes[node];
    int32_t now_ms = clock_of(world, node);
    struct call call = {.left_ms = (int16_t)(at->token ? at->expires_ms - now_ms : 0),
                        .fence = (int16_t)at->fence,
                        .asked_ms = message->ttl_ms,
                        .asked_fence = message->fence,
                        .token = at->token,
                        .asked_token = message->token,
                        .kind = message->kind,
                        .is_known = true};
    const struct effect *effect = effect_of(&call);
    message->answer = effect->answer;
    message->answer_ttl_ms = effect->answer_ms;
    message->answer_fence = effect->answer_fence;
    at->fence = effect->fence;
    if (!effect->token) {
        forget_lease(at);
        return;
    }
    at->token = effect->token;
    at->expires_ms = now_ms + effect->left_ms;
}
