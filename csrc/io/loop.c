/* Everything that happens to a lock comes through here: events of the peers and the time go into
 * its machine, and what it then wants is handed to the peers. */
#include "io/loop.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/batches.h"
#include "core/members.h"
#include "io/system.h"

#define OUTPUT_MAX (1024 * 1024) /* bytes waiting for a node that does not take them */
#define LINGER_MIN_MS 25         /* for nodes that are asked for the first time, after a majority */
#define LINGER_MAX_MS 50
#define SERVED_MAX 8
#define CATCH_UP_MS 5
#define EAGER_US 100 /* falling asleep and being woken may cost as much, in virtual machines */
#define POLL_AT_LEAST_MS 1 /* while replies are found without, for all the other connections */
#define EAGER_PAUSE \
    4 /* waits without looking eagerly, after one in vain; twice as many each time */

struct rlk_loop {
    const struct rlk_settings *settings;
    struct rlk_quorum quorum;
    struct rlk_peer *commands; /* one per node */
    struct rlk_peer *inboxes;  /* one per node, connected once somebody waits */
    bool inbox_wanted;
    bool stirred; /* a lock moved while requests were handed out: nobody may sleep on that */
    bool eager;
    int64_t settled_ms; /* when it last took in what had come */
    int64_t polled_ms;  /* when it last looked at all its connections */
    int eager_pause, eager_misses;
    int64_t longest_lease_ms;

    char inbox_name[160]; /* what servers call the inboxes' connections */
    struct rlk_members members;
    struct rlk_memo memos[RLK_REQUEST_KINDS];
    struct rlk_batches *batches; /* one per node; empty between turns */

    uint64_t served[SERVED_MAX]; /* waiters granted lately: their late wake-ups are used up */
    size_t served_next;
    rlk_on_moved *on_moved;
    void *context;
};

/* ---- life ---- */

static bool new_peers(struct rlk_loop *loop)
{
    size_t nodes = (size_t)loop->settings->nodes;
    loop->commands = calloc(nodes, sizeof *loop->commands);
    loop->inboxes = calloc(nodes, sizeof *loop->inboxes);
    loop->batches = calloc(nodes, sizeof *loop->batches);
    if (!loop->commands || !loop->inboxes || !loop->batches)
        return false;
    for (size_t i = 0; i < nodes; i++) {
        const struct rlk_endpoint *endpoint = &loop->settings->endpoints[i];
        struct rlk_quorum *quorum = &loop->quorum;
        struct rlk_login login = rlk_settings_login(loop->settings, endpoint);
        struct rlk_login inbox_login = login;
        inbox_login.channel = quorum->inbox;
        inbox_login.client_name = loop->inbox_name;
        if (!rlk_peer_init(&loop->commands[i], endpoint, loop->settings, &login, quorum) ||
            !rlk_peer_init(&loop->inboxes[i], endpoint, loop->settings, &inbox_login, quorum))
            return false;
        rlk_batches_init(&loop->batches[i], loop->commands[i].node, loop->memos);
    }
    return true;
}

void rlk_loop_top_up(struct rlk_loop *loop)
{
    loop->quorum.wall_us = rlk_wall_us();
    if (!loop->quorum.token[0])
        rlk_random_token(loop->quorum.token);
}

/* Who it is, for people: holders are known by "host:pid client_name purpose", and waiters by the name
 * of the connection that their inbox has, "client_name@host:pid/" and the beginning of its id. */
static void introduce(struct rlk_loop *loop, const char *id)
{
    const struct rlk_settings *settings = loop->settings;
    struct rlk_quorum *quorum = &loop->quorum;
    char process[80];
    snprintf(loop->inbox_name, sizeof loop->inbox_name, "%s", settings->client_name);
    if (settings->is_anonymous)
        return;
    rlk_name_process(process, sizeof process);
    snprintf(quorum->identity, sizeof quorum->identity, "%s %s%s%s", process, settings->client_name,
             settings->purpose[0] ? " " : "", settings->purpose);
    snprintf(loop->inbox_name, sizeof loop->inbox_name, "%s@%s/%.8s", settings->client_name,
             process, id);
}

static void seed_quorum(struct rlk_loop *loop)
{
    char id[RLK_TOKEN_SIZE];
    rlk_random_token(id);
    snprintf(loop->quorum.inbox, sizeof loop->quorum.inbox, "redlock:%s", id);
    introduce(loop, id);
    rlk_random_bytes(&loop->quorum.random, sizeof loop->quorum.random);
    loop->quorum.random |= 1;
    rlk_loop_top_up(loop);
}

struct rlk_loop *rlk_loop_new(const struct rlk_settings *settings)
{
    struct rlk_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return NULL;
    loop->settings = settings;
    loop->quorum.nodes = settings->nodes;
    loop->quorum.drift_factor = settings->drift_factor;
    loop->quorum.timeout_ms = settings->timeout_ms;
    rlk_members_init(&loop->members);
    seed_quorum(loop);
    if (new_peers(loop))
        return loop;
    rlk_loop_free(loop);
    return NULL;
}

static void free_peers(struct rlk_peer *peers, int count)
{
    for (int i = 0; peers && i < count; i++)
        if (peers[i].node)
            rlk_peer_free(&peers[i]);
    free(peers);
}

void rlk_loop_free(struct rlk_loop *loop)
{
    if (!loop)
        return;
    for (int node = 0; loop->batches && node < loop->quorum.nodes; node++)
        rlk_batches_free(&loop->batches[node]);
    free(loop->batches);
    free_peers(loop->commands, loop->quorum.nodes);
    free_peers(loop->inboxes, loop->quorum.nodes);
    rlk_members_free(&loop->members);
    for (int kind = 0; kind < RLK_REQUEST_KINDS; kind++)
        rlk_memo_free(&loop->memos[kind]);
    free(loop);
}

void rlk_loop_close_inherited(struct rlk_loop *loop)
{
    for (int i = 0; i < loop->quorum.nodes; i++) {
        if (loop->commands[i].stream.fd >= 0)
            close(loop->commands[i].stream.fd);
        if (loop->inboxes[i].stream.fd >= 0)
            close(loop->inboxes[i].stream.fd);
        loop->commands[i].stream.fd = loop->inboxes[i].stream.fd = -1;
    }
}

struct rlk_quorum *rlk_loop_quorum(struct rlk_loop *loop)
{
    return &loop->quorum;
}

void rlk_loop_watch(struct rlk_loop *loop, rlk_on_moved *on_moved, void *context)
{
    loop->on_moved = on_moved;
    loop->context = context;
}

/* ---- members ---- */

bool rlk_loop_attach(struct rlk_loop *loop, struct rlk_lock *lock)
{
    return rlk_members_add(&loop->members, lock);
}

void rlk_loop_touch(struct rlk_loop *loop, struct rlk_lock *lock)
{
    rlk_members_touch(&loop->members, lock);
}

bool rlk_loop_has_touched(const struct rlk_loop *loop)
{
    return rlk_members_has_touched(&loop->members);
}

void rlk_loop_detach(struct rlk_loop *loop, struct rlk_lock *lock)
{
    if (lock->state == RLK_OWNED && lock->kind == RLK_ACQUIRE)
        loop->served[loop->served_next++ % SERVED_MAX] = lock->id;
    rlk_members_remove(&loop->members, lock);
}

static void report_moved(struct rlk_loop *loop, struct rlk_lock *lock)
{
    if (loop->on_moved)
        loop->on_moved(loop->context, lock);
}

/* After an input from the world. */
static void moved(struct rlk_loop *loop, struct rlk_lock *lock)
{
    rlk_loop_touch(loop, lock);
    report_moved(loop, lock);
}

/* ---- the restart guard (docs/design.md, "A restarted node") ---- */

static int64_t guard_ms(const struct rlk_loop *loop)
{
    int64_t guard = loop->settings->restart_guard_ms;
    return guard == RLK_GUARD_AUTO ? loop->longest_lease_ms : guard;
}

/* The server's uptime is in whole seconds, so its age may be a second less. */
static bool is_older(const struct rlk_peer *peer, int64_t age_ms, int64_t now_ms)
{
    return now_ms - 1000 - age_ms >= peer->started_ms;
}

enum guard { VOTES, UNDECIDED, GUARDED };

/* The answer may have waited for long until it was read: how old it is at least, and at most, are two
 * things. */
static bool is_young(const struct rlk_peer *peer, int64_t age_ms, int64_t now_ms)
{
    return peer->started_ms != RLK_NEVER && now_ms - 1000 - age_ms < peer->started_from_ms;
}

/* A node that has not said how old it is counts as older: it may have kept what this one forgot.
 * Only when so many of the others are known to be as young that their majority cannot be older,
 * as in a set of nodes that were started together, does a young node vote. */
static enum guard judge_guard(const struct rlk_loop *loop, int node, int64_t now_ms)
{
    const struct rlk_peer *peers = loop->commands;
    int64_t age_ms = guard_ms(loop);
    if (age_ms == 0 || peers[node].started_ms == RLK_NEVER ||
        is_older(&peers[node], age_ms, now_ms))
        return VOTES;
    int others = loop->quorum.nodes - 1, older = 0, young = 0, dialing = 0;
    for (int i = 0; i < loop->quorum.nodes; i++) {
        bool known = i != node && peers[i].started_ms != RLK_NEVER;
        older += known && is_older(&peers[i], age_ms, now_ms);
        young += i != node && is_young(&peers[i], age_ms, now_ms);
        dialing += i != node && !known && peers[i].phase == RLK_PEER_DIALING;
    }
    if (2 * (others - young) <= others)
        return VOTES;
    return 2 * older <= others && dialing > 0 ? UNDECIDED : GUARDED;
}

/* ---- requests ---- */

static void vote_for(struct rlk_loop *loop, struct rlk_lock *lock, int node, enum rlk_reason reason,
                     const char *text, int64_t now_ms)
{
    struct rlk_vote vote = {.reason = reason, .text = text, .text_len = text ? strlen(text) : 0};
    loop->stirred = true;
    rlk_loop_top_up(loop);
    rlk_lock_vote(lock, node, lock->round, &vote, now_ms);
    moved(loop, lock);
}

static void send_requests(struct rlk_loop *loop, struct rlk_lock *lock, int node, int64_t now_ms)
{
    struct rlk_request request;
    while (rlk_lock_next_request(lock, node, now_ms, &request)) {
        struct rlk_asker asker = {lock->id, request.round};
        if (rlk_members_has_touched(&loop->members))
            rlk_batches_send(&loop->batches[node], &request, asker);
        else
            rlk_batches_send_last(&loop->batches[node], &request, asker);
    }
}

static size_t output_len(const struct rlk_peer *peer)
{
    size_t len;
    rlk_node_output(peer->node, &len);
    return len;
}

/* A release still goes out to a node that does not answer: it has to follow its own acquire. */
static enum rlk_reason reason_not_to_ask(const struct rlk_loop *loop, const struct rlk_lock *lock,
                                         int node, int64_t now_ms)
{
    const struct rlk_peer *peer = &loop->commands[node];
    bool asks_round = (lock->unsent & rlk_node_bit(node)) && lock->kind != RLK_RELEASE;
    if (output_len(peer) > OUTPUT_MAX || (asks_round && rlk_peer_is_stalled(peer, now_ms)))
        return RLK_STALLED;
    if (asks_round && rlk_lock_is_put_off(lock, node))
        return RLK_BUSY;
    if (asks_round && lock->kind == RLK_ACQUIRE && judge_guard(loop, node, now_ms) == GUARDED)
        return RLK_GUARDED;
    return RLK_NO_ANSWER;
}

static bool must_wait(const struct rlk_loop *loop, const struct rlk_lock *lock, int node,
                      int64_t now_ms)
{
    return (lock->unsent & rlk_node_bit(node)) && lock->kind == RLK_ACQUIRE &&
           judge_guard(loop, node, now_ms) == UNDECIDED;
}

static void serve_ready(struct rlk_loop *loop, struct rlk_lock *lock, int node, int64_t now_ms)
{
    if (must_wait(loop, lock, node, now_ms))
        return;
    enum rlk_reason reason = reason_not_to_ask(loop, lock, node, now_ms);
    if (reason != RLK_NO_ANSWER && (lock->unsent & rlk_node_bit(node))) {
        vote_for(loop, lock, node, reason, NULL, now_ms);
        return; /* what it wants now is looked at afresh, since it was touched */
    }
    if (output_len(&loop->commands[node]) <= OUTPUT_MAX)
        send_requests(loop, lock, node, now_ms);
}

static void serve(struct rlk_loop *loop, struct rlk_lock *lock, int node, int64_t now_ms)
{
    struct rlk_peer *peer = &loop->commands[node];
    rlk_peer_want(peer, now_ms);
    if (peer->phase == RLK_PEER_READY)
        serve_ready(loop, lock, node, now_ms);
    else if (peer->phase == RLK_PEER_DOWN && (lock->unsent & rlk_node_bit(node)))
        vote_for(loop, lock, node,
                 peer->reason == RLK_DISCONNECTED ? RLK_UNREACHABLE : peer->reason, peer->failure,
                 now_ms);
}

static void serve_touched(struct rlk_loop *loop, int64_t now_ms)
{
    struct rlk_lock *lock;
    while ((lock = rlk_members_take_touched(&loop->members)) != NULL) {
        loop->inbox_wanted |= rlk_lock_wants_inbox(lock);
        if (lock->kind == RLK_ACQUIRE && lock->round_ttl_ms > loop->longest_lease_ms)
            loop->longest_lease_ms = lock->round_ttl_ms;
        for (int node = 0; node < loop->quorum.nodes; node++)
            if ((rlk_lock_wants(lock) | lock->unsent) & rlk_node_bit(node))
                serve(loop, lock, node, now_ms);
        rlk_members_plan(&loop->members, lock);
        report_moved(loop, lock);
    }
}

rlk_nodes rlk_loop_release_blindly(struct rlk_loop *loop, struct rlk_key key,
                                   const struct rlk_lease *lease)
{
    struct rlk_request request = {.kind = RLK_RELEASE, .key = key, .once = true};
    struct rlk_asker nobody = {0};
    rlk_nodes reached = 0;
    memcpy(request.token, lease->token, sizeof request.token);
    request.keep_ms = rlk_lease_keep_ms(&loop->quorum, lease, rlk_clock_ms());
    for (int node = 0; node < loop->quorum.nodes; node++) {
        struct rlk_peer *peer = &loop->commands[node];
        if (peer->phase != RLK_PEER_READY || !(lease->nodes & rlk_node_bit(node)))
            continue;
        bool sent = rlk_node_send(peer->node, &request, nobody, NULL);
        rlk_peer_write(peer, rlk_clock_ms());
        if (sent && peer->phase == RLK_PEER_READY)
            reached |= rlk_node_bit(node);
    }
    return reached;
}

static bool is_first_asked(const struct rlk_peer *peer, enum rlk_request_kind kind)
{
    if (peer->phase == RLK_PEER_READY)
        return !rlk_node_knows(peer->node, kind);
    return peer->phase == RLK_PEER_DIALING && !peer->was_ready && peer->failures == 0;
}

bool rlk_loop_is_first_asking(const struct rlk_loop *loop, const struct rlk_lock *lock)
{
    int64_t now_ms = rlk_clock_ms();
    for (int node = 0; node < loop->quorum.nodes; node++) {
        const struct rlk_peer *peer = &loop->commands[node];
        rlk_nodes bit = rlk_node_bit(node);
        bool kept_waiting = (lock->unsent & bit) && peer->phase == RLK_PEER_READY &&
                            !rlk_peer_is_stalled(peer, now_ms);
        if (!(lock->answered & bit) && (kept_waiting || is_first_asked(peer, lock->kind)))
            return true;
    }
    return false;
}

int64_t rlk_loop_linger_until(const struct rlk_lock *lock)
{
    int64_t now_ms = rlk_clock_ms();
    int64_t grace_ms = rlk_earlier(now_ms - lock->t0_ms, LINGER_MAX_MS);
    if (grace_ms < LINGER_MIN_MS)
        grace_ms = LINGER_MIN_MS;
    return rlk_earlier(now_ms + grace_ms, lock->deadline_ms - 1);
}

/* ---- events ---- */

/* The lock to which a wake-up was sent is gone: the node is told, and wakes the next. */
static void pass_on(struct rlk_loop *loop, int node, const struct rlk_wake *wake)
{
    struct rlk_peer *peer = &loop->commands[node];
    struct rlk_request request = {.kind = RLK_RELEASE, .key = wake->key, .once = true};
    struct rlk_asker nobody = {0};
    for (size_t i = 0; i < SERVED_MAX; i++)
        if (loop->served[i] == wake->waiter)
            return;
    snprintf(request.waiter, sizeof request.waiter, "%s/%" PRIu64, loop->quorum.inbox,
             wake->waiter);
    if (peer->phase == RLK_PEER_READY)
        (void)rlk_node_send(peer->node, &request, nobody, NULL);
}

static void on_wake(struct rlk_loop *loop, int node, const struct rlk_wake *wake, int64_t now_ms)
{
    struct rlk_lock *lock = rlk_members_find(&loop->members, wake->waiter);
    if (!lock) {
        pass_on(loop, node, wake);
        return;
    }
    rlk_loop_top_up(loop);
    rlk_lock_wake(lock, node, wake->fence, now_ms);
    moved(loop, lock);
}

static void on_vote(struct rlk_loop *loop, int node, const struct rlk_event *event, int64_t now_ms)
{
    struct rlk_lock *lock = rlk_members_find(&loop->members, event->asker.tag);
    if (!lock)
        return;
    rlk_loop_top_up(loop);
    rlk_lock_vote(lock, node, event->asker.round, &event->vote, now_ms);
    moved(loop, lock);
}

static bool came_up_or_went_down(const struct rlk_peer *peer)
{
    return peer->phase != peer->phase_seen && peer->phase != RLK_PEER_DIALING;
}

/* A node came up or went down: everybody who wants something of it is looked at. */
static void touch_all(struct rlk_loop *loop)
{
    for (uint32_t slot = 0; slot < loop->members.capacity; slot++) {
        struct rlk_lock *lock = rlk_members_at(&loop->members, slot);
        if (lock && rlk_lock_wants(lock))
            rlk_loop_touch(loop, lock);
    }
}

static void on_inbox_ready(struct rlk_loop *loop, int64_t now_ms)
{
    for (uint32_t slot = 0; slot < loop->members.capacity; slot++) {
        struct rlk_lock *lock = rlk_members_at(&loop->members, slot);
        if (!lock || !rlk_lock_wants_inbox(lock))
            continue;
        rlk_loop_top_up(loop);
        rlk_lock_inbox_ready(lock, now_ms);
        moved(loop, lock);
    }
}

/* An inbox only reads, so of an end that came without a word it learns from the other connection to
 * that node, which was lost: it subscribes anew. */
static void doubt_inbox(struct rlk_loop *loop, int node)
{
    struct rlk_peer *inbox = &loop->inboxes[node];
    if (loop->commands[node].phase != RLK_PEER_READY && inbox->phase == RLK_PEER_READY)
        rlk_peer_distrust(inbox);
}

static void take_command_events(struct rlk_loop *loop, int node, int64_t now_ms)
{
    struct rlk_event event;
    struct rlk_peer *peer = &loop->commands[node];
    while (rlk_peer_next_event(peer, &event, now_ms))
        if (event.kind == RLK_EVENT_VOTE)
            on_vote(loop, node, &event, now_ms);
    if (came_up_or_went_down(peer)) {
        doubt_inbox(loop, node);
        touch_all(loop);
    }
    peer->phase_seen = peer->phase;
}

static void take_inbox_events(struct rlk_loop *loop, int node, int64_t now_ms)
{
    struct rlk_event event;
    struct rlk_peer *peer = &loop->inboxes[node];
    rlk_nodes before = loop->quorum.inbox_ready;
    while (rlk_peer_next_event(peer, &event, now_ms))
        if (event.kind == RLK_EVENT_WAKE)
            on_wake(loop, node, &event.wake, now_ms);
    if (peer->phase == RLK_PEER_READY)
        loop->quorum.inbox_ready |= rlk_node_bit(node);
    else
        loop->quorum.inbox_ready &= ~rlk_node_bit(node);
    if (loop->quorum.inbox_ready & ~before)
        on_inbox_ready(loop, now_ms);
}

static void take_events(struct rlk_loop *loop, int node, int64_t now_ms)
{
    take_command_events(loop, node, now_ms);
    take_inbox_events(loop, node, now_ms);
}

/* ---- a turn ---- */

void rlk_loop_settle(struct rlk_loop *loop)
{
    struct rlk_lock *lock;
    int64_t now_ms = rlk_clock_ms();
    loop->settled_ms = now_ms;
    for (int node = 0; node < loop->quorum.nodes; node++) {
        take_events(loop, node, now_ms);
        bool was_late = rlk_peer_time(&loop->commands[node], now_ms);
        if (rlk_peer_time(&loop->inboxes[node], now_ms) || was_late)
            take_events(loop, node, now_ms);
    }
    while ((lock = rlk_members_take_due(&loop->members, now_ms)) != NULL) {
        rlk_loop_top_up(loop);
        rlk_lock_time(lock, now_ms);
        moved(loop, lock);
    }
}

/* While anybody takes part, nodes that are down are dialed again when their back-off ends. */
static int64_t dial_again(struct rlk_loop *loop, int64_t now_ms)
{
    int64_t next_ms = RLK_NEVER;
    for (int node = 0; node < loop->quorum.nodes; node++) {
        struct rlk_peer *peers[] = {&loop->commands[node],
                                    loop->inbox_wanted ? &loop->inboxes[node] : NULL};
        for (int i = 0; i < 2; i++) {
            if (!peers[i] || loop->members.count == 0)
                continue;
            if (i == 1 || peers[i]->phase == RLK_PEER_DOWN)
                rlk_peer_want(peers[i], now_ms);
            if (peers[i]->phase == RLK_PEER_DOWN && peers[i]->retry_at_ms < next_ms)
                next_ms = peers[i]->retry_at_ms;
        }
    }
    return next_ms;
}

int64_t rlk_loop_prepare(struct rlk_loop *loop)
{
    int64_t now_ms = rlk_clock_ms();
    loop->stirred = false;
    serve_touched(loop, now_ms);
    int64_t next_ms = dial_again(loop, now_ms);
    if (loop->stirred)
        next_ms = now_ms;
    for (int node = 0; node < loop->quorum.nodes; node++) {
        rlk_batches_flush(&loop->batches[node]);
        rlk_peer_write(&loop->commands[node], now_ms);
        rlk_peer_write(&loop->inboxes[node], now_ms);
        if (came_up_or_went_down(&loop->commands[node]))
            next_ms = now_ms;
        next_ms = rlk_earlier(next_ms, rlk_peer_next_time(&loop->commands[node]));
        next_ms = rlk_earlier(next_ms, rlk_peer_next_time(&loop->inboxes[node]));
    }
    return rlk_earlier(next_ms, rlk_members_next_time(&loop->members));
}

static int timeout_until(int64_t until_ms)
{
    if (until_ms == RLK_NEVER)
        return -1;
    int64_t left_ms = until_ms - rlk_clock_ms();
    if (left_ms <= 0)
        return 0;
    return left_ms < 60 * 60 * 1000 ? (int)left_ms : 60 * 60 * 1000;
}

static void watch(struct pollfd *fd, const struct rlk_peer *peer)
{
    fd->fd = rlk_stream_fd(&peer->stream);
    fd->events = rlk_stream_poll_events(&peer->stream, output_len(peer) > 0);
    fd->revents = 0;
}

void rlk_loop_be_eager(struct rlk_loop *loop)
{
    loop->eager = sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

static bool expects_replies(const struct rlk_peer *peer)
{
    return peer->phase == RLK_PEER_READY && rlk_node_in_flight(peer->node) > 0;
}

/* False if nothing has come. */
static bool read_replies(struct rlk_loop *loop, int64_t now_ms)
{
    bool any = false;
    for (int node = 0; node < loop->quorum.nodes; node++)
        if (expects_replies(&loop->commands[node]))
            any |= rlk_peer_read(&loop->commands[node], now_ms);
    return any;
}

static bool expects_any(const struct rlk_loop *loop)
{
    for (int node = 0; node < loop->quorum.nodes; node++)
        if (expects_replies(&loop->commands[node]))
            return true;
    return false;
}

/* Reads without sleeping, and without asking what there is to read. Where that finds nothing, it is
 * not tried again for a while, twice as long each time: on a busy machine, or a slow network, the
 * processor is better left to others. */
static bool look_eagerly(struct rlk_loop *loop)
{
    if (!loop->eager || !expects_any(loop))
        return false;
    if (loop->eager_pause > 0) {
        loop->eager_pause--;
        return false;
    }
    bool found;
    int64_t now_us = rlk_clock_us(), until_us = now_us + EAGER_US;
    do
        found = read_replies(loop, now_us / 1000);
    while (!found && (now_us = rlk_clock_us()) < until_us);
    if (found)
        loop->eager_misses = 0;
    else
        loop->eager_pause = EAGER_PAUSE << (loop->eager_misses < 6 ? loop->eager_misses++ : 6);
    return found;
}

bool rlk_loop_poll(struct rlk_loop *loop, int64_t until_ms, int wake_fd)
{
    struct pollfd fds[2 * RLK_NODES_MAX + 1];
    nfds_t nodes = (nfds_t)loop->quorum.nodes;
    int64_t now_ms = rlk_clock_ms();
    bool found = look_eagerly(loop);
    if (found && now_ms - loop->polled_ms < POLL_AT_LEAST_MS)
        return true;
    for (nfds_t node = 0; node < nodes; node++) {
        watch(&fds[2 * node], &loop->commands[node]);
        watch(&fds[2 * node + 1], &loop->inboxes[node]);
    }
    fds[2 * nodes] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    int ready = poll(fds, 2 * nodes + 1, found ? 0 : timeout_until(until_ms));
    loop->polled_ms = now_ms = rlk_clock_ms();
    for (nfds_t node = 0; ready > 0 && node < nodes; node++) {
        if (fds[2 * node].revents)
            rlk_peer_read(&loop->commands[node], now_ms);
        if (fds[2 * node + 1].revents)
            rlk_peer_read(&loop->inboxes[node], now_ms);
    }
    return found || ready > 0;
}

/* What is there now; false if that is nothing. */
static bool take_in(struct rlk_loop *loop, int64_t now_ms)
{
    bool came = rlk_loop_poll(loop, now_ms, -1);
    rlk_loop_settle(loop);
    return came;
}

void rlk_loop_catch_up(struct rlk_loop *loop)
{
    int64_t now_ms = rlk_clock_ms();
    int64_t paused_ms = now_ms - loop->settled_ms;
    if (paused_ms < CATCH_UP_MS)
        return;
    for (int node = 0; node < loop->quorum.nodes; node++) {
        loop->commands[node].dial_until_ms +=
            paused_ms; /* it was not the dials that took so long */
        loop->inboxes[node].dial_until_ms += paused_ms;
    }
    if (take_in(loop, now_ms)) /* which may have been the last before an end */
        take_in(loop, now_ms);
}

void rlk_loop_turn(struct rlk_loop *loop, int64_t until_ms)
{
    int64_t next_ms = rlk_loop_prepare(loop);
    rlk_loop_poll(loop, rlk_earlier(next_ms, until_ms), -1);
    rlk_loop_settle(loop);
}

static void write_rest(struct rlk_peer *peer, int64_t now_ms)
{
    size_t before, left = output_len(peer);
    do {
        before = left;
        rlk_peer_write(peer, now_ms);
        left = output_len(peer);
    } while (left > 0 && left < before);
}

void rlk_loop_write_rest(struct rlk_loop *loop)
{
    for (int node = 0; node < loop->quorum.nodes; node++)
        if (output_len(&loop->commands[node]) > 0)
            write_rest(&loop->commands[node], rlk_clock_ms());
}

size_t rlk_loop_in_flight(const struct rlk_loop *loop)
{
    size_t most = 0;
    int64_t now_ms = rlk_clock_ms();
    for (int node = 0; node < loop->quorum.nodes; node++) {
        const struct rlk_peer *peer = &loop->commands[node];
        size_t calls = rlk_node_in_flight(peer->node);
        if (peer->phase == RLK_PEER_READY && !rlk_peer_is_stalled(peer, now_ms) && calls > most)
            most = calls;
    }
    return most;
}

void rlk_loop_hasten(struct rlk_loop *loop)
{
    for (int node = 0; node < loop->quorum.nodes; node++)
        rlk_peer_hasten(&loop->commands[node]);
}

static bool is_dialing(struct rlk_loop *loop)
{
    bool dialing = false;
    for (int node = 0; node < loop->quorum.nodes; node++) {
        rlk_peer_want(&loop->commands[node], rlk_clock_ms());
        dialing |= loop->commands[node].phase == RLK_PEER_DIALING;
    }
    return dialing;
}

void rlk_loop_connect(struct rlk_loop *loop, int64_t until_ms)
{
    while (rlk_clock_ms() < until_ms && is_dialing(loop))
        rlk_loop_turn(loop, until_ms);
}

void rlk_loop_drain(struct rlk_loop *loop, int64_t until_ms)
{
    while (rlk_clock_ms() < until_ms && rlk_loop_in_flight(loop) > 0)
        rlk_loop_turn(loop, until_ms);
}
