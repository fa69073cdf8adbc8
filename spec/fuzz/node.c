/* Fuzzes the conversation with a server (core/node.c): bytes that nobody should send, in pieces
 * of any size, with requests of every kind in flight, over connections that end and are opened
 * again.
 *
 * Claimed: every request gets exactly one vote, in the order of asking; a connection that was
 * broken off says nothing more; what the server says is never answered, and never tells the
 * password. */
#include "core/node.h"

#include <string.h>

#include "input.h"

#define PASSWORD "the-password-of-the-fuzzer"
#define FED_MAX (1024 * 1024)
#define KEPT \
    64 /* expectations that are remembered for replies that fit; more are in flight rarely */

struct asked {
    enum rlk_request_kind kind;
    size_t count;
};

struct world {
    struct input input;
    struct rlk_login login;
    struct rlk_node *node;
    struct rlk_memo memos[RLK_REQUEST_KINDS];
    bool open, ready, broken;
    enum rlk_reason closed_by;
    uint64_t sent, voted; /* tags count up */
    size_t fed;
    struct asked asked[KEPT]; /* of this connection, a ring */
    size_t asked_count, answered_count;
};

/* ---- what is claimed ---- */

static size_t output_len(const struct world *world)
{
    size_t len;
    rlk_node_output(world->node, &len);
    return len;
}

/* Also reads every byte. */
static void check_text(const struct world *world, const struct rlk_vote *vote)
{
    unsigned sum = 0;
    for (size_t i = 0; i < vote->text_len; i++)
        sum += (unsigned char)vote->text[i];
    claim(sum <= 255 * vote->text_len, "a text's bytes are there");
    if (vote->reason == RLK_GRANTED || !world->login.password || vote->text_len == 0)
        return; /* the token that an inspection reads is the server's own */
    claim(!memmem(vote->text, vote->text_len, PASSWORD, strlen(PASSWORD)),
          "no text tells the password");
}

static void check_vote(struct world *world, const struct rlk_event *event)
{
    const struct rlk_vote *vote = &event->vote;
    claim(!world->login.channel, "an inbox has no votes");
    claim(world->voted < world->sent, "only what was asked has a vote");
    world->voted++;
    claim(event->asker.tag == world->voted, "votes come in the order of asking, one for each");
    claim(event->asker.round == (uint32_t)(world->voted * 7), "the round comes back");
    claim(vote->reason > RLK_NO_ANSWER && vote->reason < RLK_REASONS, "a vote has a reason");
    claim(vote->reason != RLK_MALFORMED, "what is malformed ends the connection");
    claim(vote->fence >= 0 && vote->fence <= RLK_FENCE_MAX, "a fence is within its bounds");
    claim(!world->broken, "a connection that was broken off has no votes until it is closed");
    if (world->open)
        claim(world->ready, "votes come after the login");
    else
        claim(vote->reason == world->closed_by,
              "what was in flight is told how the connection ended");
}

static void check_wake(const struct world *world, const struct rlk_wake *wake)
{
    unsigned sum = 0;
    claim(world->ready && world->login.channel, "wake-ups come over an inbox that is subscribed");
    claim(wake->key.len >= 1 && wake->key.len <= RLK_KEY_MAX, "a wake-up has a key");
    claim(wake->fence >= 0 && wake->fence <= RLK_FENCE_MAX,
          "a wake-up's fence is within its bounds");
    for (size_t i = 0; i < wake->key.len; i++)
        sum += (unsigned char)wake->key.bytes[i];
    claim(sum <= 255 * wake->key.len, "a key's bytes are there");
}

static void check_event(struct world *world, const struct rlk_event *event)
{
    switch (event->kind) {
    case RLK_EVENT_READY:
        claim(world->open && !world->ready && !world->broken, "a connection is ready once");
        claim(event->uptime_s >= -1, "an uptime is a number of seconds");
        world->ready = true;
        break;
    case RLK_EVENT_VOTE:
        check_vote(world, event);
        check_text(world, &event->vote);
        break;
    case RLK_EVENT_WAKE:
        check_wake(world, &event->wake);
        break;
    case RLK_EVENT_BROKEN:
        claim(world->open && !world->broken, "a connection is broken off once");
        claim(event->vote.reason != RLK_GRANTED, "it is broken off for a reason");
        check_text(world, &event->vote);
        world->broken = true;
        world->ready = false;
        break;
    }
}

static void take_events(struct world *world)
{
    struct rlk_event event;
    size_t before = output_len(world);
    while (rlk_node_next_event(world->node, &event)) {
        check_event(world, &event);
        claim(rlk_node_is_ready(world->node) == world->ready,
              "it is ready from the login's end to its own");
    }
    claim(!rlk_node_next_event(world->node, &event), "no event is left");
    claim(output_len(world) == before, "what a server says is not answered");
    claim((rlk_node_in_flight(world->node) == 0) == (world->voted == world->sent),
          "what has no vote is in flight");
}

/* ---- bytes ---- */

static void feed(struct world *world, const char *bytes, size_t len)
{
    size_t before = output_len(world);
    if (world->fed + len > FED_MAX)
        return;
    world->fed += len;
    char *copy = exact_copy(bytes, len);
    rlk_node_feed(world->node, copy, len);
    free(copy);
    claim(output_len(world) == before, "what a server says is not answered");
}

/* In pieces of one size, with or without a look at the events in between. */
static void feed_in_pieces(struct world *world, const char *bytes, size_t len)
{
    unsigned choice = choose(&world->input, 8);
    size_t piece = choice < 4 ? len : choice - 3;
    bool looks = choose(&world->input, 2);
    for (size_t at = 0; at < len; at += piece) {
        feed(world, bytes + at, piece < len - at ? piece : len - at);
        if (looks)
            take_events(world);
    }
}

static void feed_raw(struct world *world)
{
    size_t len;
    const char *bytes = take_bytes(&world->input, 512, &len);
    feed_in_pieces(world, bytes, len);
}

/* The same bytes over and over: what a reply may be at most is more than an input can be. */
static void flood(struct world *world)
{
    size_t len;
    size_t times = (size_t)take_number(&world->input, 2) % 10000;
    const char *bytes = take_bytes(&world->input, 24, &len);
    char piece[24 * 64];
    if (len == 0)
        return;
    for (size_t i = 0; i < 64; i++)
        memcpy(piece + i * len, bytes, len);
    for (; times > 0; times -= times < 64 ? times : 64)
        feed(world, piece, (times < 64 ? times : 64) * len);
    take_events(world);
}

static const char *const replies[] = {
    "+OK\r\n",
    "$45\r\n# Server\r\nuptime_in_seconds:4711\r\nhz:10\r\nxxxx\r\n",
    "*3\r\n$9\r\nsubscribe\r\n$13\r\nredlock:inbox\r\n:1\r\n",
    ":1\r\n",
    ":0\r\n",
    ":-1\r\n",
    "*3\r\n:0\r\n:1500\r\n$16\r\n1700000000000000\r\n",
    "*2\r\n:-1\r\n$16\r\n1700000000000000\r\n",
    "*4\r\n$3\r\nabc\r\n:1500\r\n$1\r\n7\r\n:2\r\n",
    "*4\r\n$-1\r\n:-2\r\n$1\r\n0\r\n:0\r\n",
    "*3\r\n$7\r\nmessage\r\n$13\r\nredlock:inbox\r\n$6\r\n1 22 k\r\n",
    "-NOSCRIPT No matching script. Please use EVAL.\r\n",
    "-NOPERM this user has no permissions\r\n",
    "-BUSY Redis is busy running a script\r\n",
    "-WRONGTYPE Operation against a key\r\n",
    "-NOAUTH Authentication required.\r\n",
    "-WRONGPASS invalid username-password pair\r\n",
    "-ERR unknown command 'AUTH', with args beginning with: '" PASSWORD "'\r\n",
    "-" PASSWORD "\r\n",
    "$-1\r\n",
};

static void feed_reply(struct world *world)
{
    const char *reply = replies[choose(&world->input, sizeof replies / sizeof *replies)];
    feed_in_pieces(world, reply, strlen(reply));
}

/* What a server in its right mind might say to what it was asked next. */
static void feed_fitting(struct world *world)
{
    char text[32 * 1024];
    int len = 0;
    if (world->answered_count == world->asked_count)
        return;
    struct asked asked = world->asked[world->answered_count++ % KEPT];
    bool of_many = asked.kind == RLK_ACQUIRE_MANY || asked.kind == RLK_EXTEND_MANY ||
                   asked.kind == RLK_RELEASE_MANY;
    size_t width = asked.kind == RLK_ACQUIRE_MANY ? 3 : 1;
    if (of_many) {
        len = snprintf(text, sizeof text, "*%zu\r\n", width * asked.count);
        for (size_t i = 0; i < asked.count; i++)
            len += snprintf(text + len, sizeof text - (size_t)len,
                            width == 3 ? ":%d\r\n:900\r\n$2\r\n%02d\r\n" : ":%d\r\n",
                            (int)choose(&world->input, 3) - 1, (int)i % 100);
    } else {
        len = snprintf(text, sizeof text, "%s",
                       asked.kind == RLK_INSPECT ? replies[8 + choose(&world->input, 2)]
                                                 : replies[3 + choose(&world->input, 3)]);
    }
    feed_in_pieces(world, text, (size_t)len);
}

/* ---- what the driver does ---- */

static void connect_node(struct world *world)
{
    take_events(world);
    if (world->open)
        return;
    claim(rlk_node_open(world->node), "there is memory");
    claim(output_len(world) > 0, "the login is written");
    world->open = true;
    world->asked_count = world->answered_count = 0;
}

static void close_node(struct world *world)
{
    static const enum rlk_reason ends[] = {RLK_DISCONNECTED, RLK_STALLED, RLK_TIMED_OUT,
                                           RLK_UNREACHABLE};
    if (!world->open)
        return;
    world->closed_by = ends[choose(&world->input, 4)];
    world->open = world->ready = world->broken = false;
    rlk_node_close(world->node, world->closed_by);
    claim(output_len(world) == 0, "nothing is written to a connection that was closed");
}

static void fill_request(struct world *world, struct rlk_request *request)
{
    static const char *const keys[] = {"order:42", "{tag}:1", "k", "{order:42}"};
    const char *key = keys[choose(&world->input, 4)];
    unsigned traits = choose(&world->input, 32);
    *request = (struct rlk_request){.key = {key, strlen(key)}, .ttl_ms = 1000, .fence = 17};
    request->fence_ttl_s = RLK_FENCE_TTL_S;
    request->identity = "host:1 redlock";
    memcpy(request->token, "token-of-this-attempt-number", RLK_TOKEN_SIZE);
    if (traits & 1)
        memcpy(request->waiter, "redlock:inbox/7", sizeof "redlock:inbox/7");
    request->once = traits & 2;
    request->fair = traits & 4;
    request->queued = traits & 8;
    request->steps_back = traits & 16;
}

static struct rlk_asker next_asker(struct world *world)
{
    uint64_t tag = ++world->sent;
    return (struct rlk_asker){tag, (uint32_t)(tag * 7)};
}

static void note_asked(struct world *world, enum rlk_request_kind kind, size_t count)
{
    world->asked[world->asked_count++ % KEPT] = (struct asked){kind, count};
    if (world->asked_count - world->answered_count > KEPT)
        world->answered_count = world->asked_count - KEPT;
}

static void send_one(struct world *world)
{
    static const enum rlk_request_kind kinds[] = {RLK_ACQUIRE, RLK_EXTEND, RLK_RELEASE,
                                                  RLK_INSPECT, RLK_BREAK,  RLK_SCAN};
    struct rlk_request request;
    size_t before = output_len(world);
    fill_request(world, &request);
    request.kind = kinds[choose(&world->input, 6)];
    struct rlk_memo *memo = choose(&world->input, 2) ? &world->memos[request.kind] : NULL;
    claim(rlk_node_send(world->node, &request, next_asker(world), memo), "there is memory");
    claim(output_len(world) > before, "a request is written");
    note_asked(world, request.kind, 1);
}

static void send_many(struct world *world)
{
    static const enum rlk_request_kind kinds[] = {RLK_ACQUIRE, RLK_EXTEND, RLK_RELEASE};
    static struct rlk_request requests[RLK_BATCH_MAX];
    struct rlk_asker askers[RLK_BATCH_MAX];
    size_t count = 1 + choose(&world->input, RLK_BATCH_MAX);
    enum rlk_request_kind kind = kinds[choose(&world->input, 3)];
    fill_request(world, requests);
    requests->kind = kind;
    for (size_t i = 0; i < count; i++) {
        requests[i] = *requests;
        askers[i] = next_asker(world);
    }
    enum rlk_request_kind of_many = rlk_kind_of_many(kind);
    struct rlk_memo *memo = choose(&world->input, 2) ? &world->memos[of_many] : NULL;
    claim(rlk_node_send_many(world->node, requests, askers, count, memo), "there is memory");
    note_asked(world, of_many, count);
}

static void ask(struct world *world, void (*send)(struct world *world))
{
    take_events(world);
    if (world->ready && !world->login.channel && world->sent - world->voted < 4 * RLK_BATCH_MAX)
        send(world);
}

static void write_some(struct world *world)
{
    size_t part = choose(&world->input, 4), len = output_len(world);
    rlk_node_written(world->node, part == 3 ? len : len * part / 3);
}

static void take_step(struct world *world)
{
    switch (choose(&world->input, 12)) {
    case 0:
    case 1:
        connect_node(world);
        break;
    case 2:
        feed_raw(world);
        break;
    case 3:
    case 4:
        feed_reply(world);
        break;
    case 5:
        feed_fitting(world);
        break;
    case 6:
        ask(world, send_one);
        break;
    case 7:
        ask(world, send_many);
        break;
    case 8:
        take_events(world);
        break;
    case 9:
        close_node(world);
        break;
    case 10:
        write_some(world);
        break;
    default:
        flood(world);
    }
}

static void choose_login(struct world *world)
{
    unsigned traits = take_byte(&world->input);
    if (traits & 1)
        world->login.password = PASSWORD;
    if ((traits & 3) == 3)
        world->login.user = "user";
    if (traits & 4)
        world->login.database = 3;
    if (traits & 8)
        world->login.client_name = "redlock";
    if ((traits & 0x30) == 0x30)
        world->login.channel = "redlock:inbox";
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct world world = {.input = input_of(bytes, len)};
    choose_login(&world);
    world.node = rlk_node_new(&world.login);
    while (world.input.left > 0)
        take_step(&world);
    take_events(&world);
    close_node(&world);
    take_events(&world);
    claim(world.voted == world.sent, "in the end everything that was asked has its vote");
    rlk_node_free(world.node);
    for (int kind = 0; kind < RLK_REQUEST_KINDS; kind++)
        rlk_memo_free(&world.memos[kind]);
    return 0;
}
