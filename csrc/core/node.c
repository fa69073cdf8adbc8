/* The order of replies is the order of requests: a first-in-first-out of what is in flight says
 * whom each reply is for. Nothing that the server sends is trusted: what does not fit ends the
 * connection. */
#include "core/node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/reader.h"

/* No reply of ours nests arrays. */
static const struct rlk_reader_bounds bounds = {RLK_REPLY_MAX, 4 * RLK_BATCH_MAX, 1};

enum step { STEP_AUTH, STEP_SELECT, STEP_SETNAME, STEP_INFO, STEP_SUBSCRIBE, STEPS };

enum phase { CLOSED, LOGGING_IN, READY, BROKEN };

/* What one reply will answer. */
struct expected {
    enum rlk_request_kind kind;
    bool by_text;
    uint32_t count;
};

struct rlk_node {
    struct rlk_login login;
    enum phase phase;
    enum step steps[STEPS]; /* of the login, in the order of their replies */
    int step, step_count;
    int64_t uptime_s;
    enum { ASSUMED, KNOWN, UNKNOWN } scripts[RLK_REQUEST_KINDS]; /* in the server's cache */
    bool refuses_many;

    struct rlk_buffer output;
    struct rlk_buffer in_flight; /* of struct expected */
    struct rlk_buffer askers;    /* of struct rlk_asker, count for each expected */
    enum rlk_reason close_reason;

    struct rlk_reader reader; /* its reply is the one that votes and wake-ups point into */
    uint32_t index;           /* of the next vote in it */
};

/* ---- life ---- */

struct rlk_node *rlk_node_new(const struct rlk_login *login)
{
    struct rlk_node *node = calloc(1, sizeof *node);
    if (node)
        node->login = *login;
    return node;
}

void rlk_node_free(struct rlk_node *node)
{
    if (!node)
        return;
    rlk_reader_close(&node->reader);
    rlk_buffer_free(&node->output);
    rlk_buffer_free(&node->in_flight);
    rlk_buffer_free(&node->askers);
    free(node);
}

bool rlk_node_is_ready(const struct rlk_node *node)
{
    return node->phase == READY;
}

bool rlk_node_knows(const struct rlk_node *node, enum rlk_request_kind kind)
{
    return node->scripts[kind] == KNOWN || node->scripts[rlk_kind_of_many(kind)] == KNOWN;
}

bool rlk_node_takes_many(const struct rlk_node *node)
{
    return !node->refuses_many;
}

size_t rlk_node_in_flight(const struct rlk_node *node)
{
    return rlk_buffer_len(&node->in_flight) / sizeof(struct expected);
}

void rlk_node_close(struct rlk_node *node, enum rlk_reason reason)
{
    rlk_reader_close(&node->reader);
    rlk_buffer_clear(&node->output);
    node->phase = CLOSED;
    node->close_reason = reason;
}

/* ---- login ---- */

static bool ask(struct rlk_node *node, enum step step, int argc, const char **argv)
{
    node->steps[node->step_count++] = step;
    return rlk_wire_command(&node->output, argc, argv, NULL);
}

static bool ask_auth(struct rlk_node *node)
{
    const struct rlk_login *login = &node->login;
    if (!login->password)
        return true;
    if (login->user)
        return ask(node, STEP_AUTH, 3, (const char *[]){"AUTH", login->user, login->password});
    return ask(node, STEP_AUTH, 2, (const char *[]){"AUTH", login->password});
}

static bool ask_select(struct rlk_node *node)
{
    char database[16];
    if (node->login.database == 0)
        return true;
    snprintf(database, sizeof database, "%d", node->login.database);
    return ask(node, STEP_SELECT, 2, (const char *[]){"SELECT", database});
}

static bool ask_name(struct rlk_node *node)
{
    const char *name = node->login.client_name;
    return !name || ask(node, STEP_SETNAME, 3, (const char *[]){"CLIENT", "SETNAME", name});
}

/* Requests wait until the login was answered: behind a refused SELECT they would reach the wrong
 * database. */
bool rlk_node_open(struct rlk_node *node)
{
    assert(node->phase == CLOSED && rlk_node_in_flight(node) == 0);
    node->step = node->step_count = 0;
    node->uptime_s = -1;
    memset(node->scripts, 0, sizeof node->scripts);
    node->refuses_many = false;
    const char *channel = node->login.channel;
    bool asked = rlk_reader_open(&node->reader, bounds) && ask_auth(node) && ask_name(node);
    if (channel)
        asked = asked && ask(node, STEP_SUBSCRIBE, 2, (const char *[]){"SUBSCRIBE", channel});
    else
        asked = asked && ask_select(node) &&
                ask(node, STEP_INFO, 2, (const char *[]){"INFO", "server"});
    if (asked)
        node->phase = LOGGING_IN;
    return asked;
}

static int64_t read_uptime(const redisReply *info)
{
    static const char field[] = "uptime_in_seconds:";
    int64_t seconds;
    const char *at = info->type == REDIS_REPLY_STRING ? strstr(info->str, field) : NULL;
    if (!at)
        return -1;
    at += sizeof field - 1;
    return rlk_wire_number(at, strspn(at, "0123456789"), &seconds) ? seconds : -1;
}

/* A server may forbid INFO or CLIENT to this user and still serve locks; anything else it must
 * grant. */
static enum rlk_reason judge_step(struct rlk_node *node, enum step step)
{
    const redisReply *reply = node->reader.reply;
    if (reply->type == REDIS_REPLY_ERROR) {
        enum rlk_reason reason = rlk_reason_of_error(reply->str, (size_t)reply->len);
        bool optional = step == STEP_SETNAME || step == STEP_INFO;
        if (step == STEP_AUTH && reason == RLK_UNKNOWN_ERROR)
            return RLK_WRONGPASS;
        return optional && reason != RLK_NOAUTH ? RLK_GRANTED : reason;
    }
    if (step == STEP_INFO)
        node->uptime_s = read_uptime(reply);
    bool subscribed = reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
                      reply->element[0]->type == REDIS_REPLY_STRING &&
                      strcmp(reply->element[0]->str, "subscribe") == 0;
    if (step == STEP_SUBSCRIBE && !subscribed)
        return RLK_MALFORMED;
    return RLK_GRANTED;
}

/* ---- requests ---- */

/* Notes who is to have the next reply. False, and nothing noted, if there is no memory. */
static bool expect(struct rlk_node *node, enum rlk_request_kind kind, bool by_text,
                   const struct rlk_asker *askers, size_t count)
{
    struct expected expected = {kind, by_text, (uint32_t)count};
    if (!rlk_buffer_append(&node->askers, askers, count * sizeof *askers))
        return false;
    if (rlk_buffer_append(&node->in_flight, &expected, sizeof expected))
        return true;
    node->askers.end -= count * sizeof *askers;
    return false;
}

static void expect_no_more(struct rlk_node *node, size_t count)
{
    node->askers.end -= count * sizeof(struct rlk_asker);
    node->in_flight.end -= sizeof(struct expected);
}

/* By its text only if the server may not have the script, and then no longer. */
static bool goes_by_text(struct rlk_node *node, enum rlk_request_kind kind, bool once)
{
    bool by_text = node->scripts[kind] == UNKNOWN || (once && node->scripts[kind] != KNOWN);
    if (by_text)
        node->scripts[kind] = ASSUMED;
    return by_text;
}

static bool send_as(struct rlk_node *node, enum rlk_request_kind kind,
                    const struct rlk_request *requests, const struct rlk_asker *askers,
                    size_t count, struct rlk_memo *memo)
{
    assert(node->phase == READY && !node->login.channel);
    bool by_text = goes_by_text(node, kind, requests->once);
    if (!expect(node, kind, by_text, askers, count))
        return false;
    bool sent =
        memo ? rlk_wire_remembered(&node->output, memo, kind, requests, askers, count, by_text)
             : rlk_wire_request(&node->output, kind, requests, count, by_text);
    if (!sent)
        expect_no_more(node, count);
    return sent;
}

bool rlk_node_send(struct rlk_node *node, const struct rlk_request *request, struct rlk_asker asker,
                   struct rlk_memo *memo)
{
    return send_as(node, request->kind, request, &asker, 1, memo);
}

bool rlk_node_send_many(struct rlk_node *node, const struct rlk_request *requests,
                        const struct rlk_asker *askers, size_t count, struct rlk_memo *memo)
{
    return send_as(node, rlk_kind_of_many(requests->kind), requests, askers, count, memo);
}

const char *rlk_node_output(const struct rlk_node *node, size_t *len)
{
    *len = rlk_buffer_len(&node->output);
    return rlk_buffer_bytes(&node->output);
}

void rlk_node_written(struct rlk_node *node, size_t len)
{
    rlk_buffer_consume(&node->output, len);
}

/* ---- replies ---- */

/* A server that does not know AUTH quotes its arguments; what it says then, and whatever else
 * holds the password, goes no further. */
static bool may_be_told(const struct rlk_node *node, const char *text, size_t len)
{
    const char *password = node->login.password;
    bool answers_auth = node->phase == LOGGING_IN && node->steps[node->step] == STEP_AUTH &&
                        rlk_reason_of_error(text, len) == RLK_UNKNOWN_ERROR;
    return !password || (!answers_auth && !memmem(text, len, password, strlen(password)));
}

static struct rlk_vote without_secrets(const struct rlk_node *node, struct rlk_vote vote)
{
    if (vote.text && vote.reason != RLK_GRANTED && !may_be_told(node, vote.text, vote.text_len))
        vote.text_len = 0;
    return vote;
}

static void break_off(struct rlk_node *node, enum rlk_reason reason, struct rlk_event *event)
{
    struct rlk_vote vote = {.reason = reason};
    if (reason != RLK_MALFORMED && node->reader.reply &&
        node->reader.reply->type == REDIS_REPLY_ERROR) {
        vote.text = node->reader.reply->str;
        vote.text_len = (size_t)node->reader.reply->len;
    }
    event->kind = RLK_EVENT_BROKEN;
    event->vote = without_secrets(node, vote);
    node->phase = BROKEN;
}

void rlk_node_feed(struct rlk_node *node, const char *bytes, size_t len)
{
    if (node->phase != LOGGING_IN && node->phase != READY)
        return;
    rlk_reader_feed(&node->reader, bytes, len);
}

/* False at the end of what was fed; a malformed or too large reply leaves the phase BROKEN. */
static bool read_reply(struct rlk_node *node)
{
    enum rlk_reading reading = rlk_reader_next(&node->reader);
    if (reading == RLK_READ_MALFORMED)
        node->phase = BROKEN;
    return reading == RLK_READ_REPLY;
}

static bool event_of_login(struct rlk_node *node, struct rlk_event *event)
{
    enum rlk_reason reason = judge_step(node, node->steps[node->step]);
    if (reason != RLK_GRANTED) {
        break_off(node, reason, event);
        return true;
    }
    if (++node->step < node->step_count)
        return false;
    node->phase = READY;
    event->kind = RLK_EVENT_READY;
    event->uptime_s = node->uptime_s;
    return true;
}

static bool event_of_message(struct rlk_node *node, struct rlk_event *event)
{
    const redisReply *reply = node->reader.reply;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        break_off(node, RLK_MALFORMED, event);
        return true;
    }
    const redisReply *what = reply->element[0], *message = reply->element[2];
    bool is_message = what->type == REDIS_REPLY_STRING && strcmp(what->str, "message") == 0 &&
                      message->type == REDIS_REPLY_STRING;
    event->kind = RLK_EVENT_WAKE;
    return is_message && rlk_wire_wake(message->str, (size_t)message->len, &event->wake);
}

static bool is_of_many(enum rlk_request_kind kind)
{
    return kind == RLK_ACQUIRE_MANY || kind == RLK_EXTEND_MANY || kind == RLK_RELEASE_MANY;
}

/* What the reply says to the next of those who asked as one, and what that tells of the server. */
static struct rlk_vote vote_of_reply(struct rlk_node *node, const struct expected *expected)
{
    struct rlk_vote vote =
        rlk_wire_vote(expected->kind, node->reader.reply, expected->count, node->index);
    if (vote.reason == RLK_NOSCRIPT && expected->by_text)
        vote.reason = RLK_UNKNOWN_ERROR; /* it has the script in hand */
    bool is_refusal = node->reader.reply->type == REDIS_REPLY_ERROR &&
                      (vote.reason == RLK_NOPERM || vote.reason == RLK_UNKNOWN_ERROR);
    if (vote.reason == RLK_NOSCRIPT)
        node->scripts[expected->kind] = UNKNOWN;
    else if (rlk_reason_is_answer(vote.reason))
        node->scripts[expected->kind] = KNOWN;
    if (is_refusal && is_of_many(expected->kind)) {
        node->refuses_many = true;
        vote.reason = RLK_NOSCRIPT;
    }
    return without_secrets(node, vote);
}

/* The next of the votes that the reply, or the loss of the connection, gives to those in flight. */
static bool event_of_vote(struct rlk_node *node, struct rlk_event *event)
{
    struct expected expected;
    if (rlk_node_in_flight(node) == 0)
        return false;
    memcpy(&expected, rlk_buffer_bytes(&node->in_flight), sizeof expected);
    event->kind = RLK_EVENT_VOTE;
    event->vote = (struct rlk_vote){.reason = node->close_reason};
    if (node->phase == READY)
        event->vote = vote_of_reply(node, &expected);
    memcpy(&event->asker, rlk_buffer_bytes(&node->askers), sizeof event->asker);
    rlk_buffer_consume(&node->askers, sizeof event->asker);
    if (++node->index == expected.count) {
        node->index = 0;
        rlk_buffer_consume(&node->in_flight, sizeof expected);
    }
    return true;
}

/* A reply that nobody asked for, or that does not fit what was asked, means that the two sides
 * disagree. */
static bool reply_fits(const struct rlk_node *node)
{
    struct expected expected;
    if (rlk_node_in_flight(node) == 0)
        return false;
    memcpy(&expected, rlk_buffer_bytes(&node->in_flight), sizeof expected);
    for (uint32_t i = 0; i < expected.count; i++)
        if (rlk_wire_vote(expected.kind, node->reader.reply, expected.count, i).reason ==
            RLK_MALFORMED)
            return false;
    return true;
}

static bool event_of_answer(struct rlk_node *node, struct rlk_event *event)
{
    if (reply_fits(node))
        return event_of_vote(node, event);
    break_off(node, RLK_MALFORMED, event);
    return true;
}

static bool event_of_reply(struct rlk_node *node, struct rlk_event *event)
{
    if (node->phase == LOGGING_IN)
        return event_of_login(node, event);
    return node->login.channel ? event_of_message(node, event) : event_of_answer(node, event);
}

/* Nothing has come since it was last asked: most looks at a node end here. */
static bool is_quiet(const struct rlk_node *node)
{
    return node->phase == CLOSED ? rlk_buffer_len(&node->in_flight) == 0
                                 : !node->reader.has_unread && node->index == 0;
}

bool rlk_node_next_event(struct rlk_node *node, struct rlk_event *event)
{
    if (is_quiet(node))
        return false;
    *event = (struct rlk_event){.uptime_s = -1};
    if (node->phase == CLOSED)
        return event_of_vote(node, event);
    if (node->phase == READY && node->index > 0)
        return event_of_vote(node, event);
    while (node->phase == LOGGING_IN || node->phase == READY) {
        if (!read_reply(node)) {
            if (node->phase != BROKEN)
                return false;
            break_off(node, RLK_MALFORMED, event);
            return true;
        }
        if (event_of_reply(node, event))
            return true;
    }
    return false;
}
