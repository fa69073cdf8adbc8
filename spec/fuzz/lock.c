/* Fuzzes sequences of calls on the core: locks of several clients' worth, their line, cohorts,
 * debts, batches and the conversations with their nodes, while servers answer what they like, in
 * whatever order time goes on.
 *
 * Claimed: a lock is owned by a majority that granted this very attempt, or one whose lease was
 * passed on, and no longer than its lease; a token is asked for once; the ballots of a lock rise;
 * nothing is acquired on a node before what is owed there was answered; who follows a release asks
 * behind it, and who awaits its turn no earlier than that; a driver that does what it is told never
 * spins; and once every server answers, all locks come to rest with nothing owed. */
#include "core/lock.h"

#include <string.h>

#include "core/batches.h"
#include "core/line.h"
#include "core/members.h"
#include "core/node.h"
#include "core/scripts.h"
#include "input.h"
#include "io/cohort.h"

#define LOCKS 4
#define LOCKS_OF_A_KEY 3
#define TURN_AFTER_MS 3
#define NO_ROUND UINT32_MAX
#define NODES_MAX 5
#define IN_FLIGHT_MAX 64
#define STEPS_AT_A_MOMENT 200 /* more than anything may take without time going on */
#define STEPS_TO_REST 5000

struct member {
    struct rlk_lock lock;
    struct rlk_in_line place;
    struct rlk_tally tallies[RLK_NODES_MAX];
    struct rlk_inquiry inquiry;
    char key[8];
    bool attached, stands;       /* in the loop; in a line */
    bool gives_time;             /* to the next in line, before that asks the nodes as well */
    bool is_followed;            /* by the first in line, when it lets go */
    bool has_passed_on;          /* its lease: that is another's */
    bool is_unfit;               /* for that: it has asked for more than its terms say */
    int64_t turn_at_ms;          /* it asks no node before, but behind a release */
    const struct member *leader; /* whose release an attempt of it comes behind */
    uint64_t follows_with;       /* the token of that attempt */
    uint32_t acquire_round;      /* of the attempt whose votes are counted */
    rlk_nodes granted;           /* by votes that were delivered */
    rlk_nodes debt_in_flight;    /* a token is to be released there, and that has no answer */
    uint64_t token;              /* of the last attempt */
    int64_t ballot;              /* the same */
    int64_t attempt_ms;          /* no later than the first byte of it */
    int64_t lease_ms;            /* that it asked for */
    int64_t lasts_until_ms;      /* no token of it can stand on a node for longer */
    int64_t lasted_until_ms;     /* and none of an attempt before the last */
    int64_t owed_until_ms[NODES_MAX];
};

struct flight {
    struct member *member;
    uint32_t round;
    enum rlk_request_kind kind;
};

/* A call as the server reads it: of one lock or of many. */
struct call {
    enum rlk_request_kind kind;
    size_t count;
};

struct server {
    struct rlk_node *node;
    bool up;
    struct flight flights[IN_FLIGHT_MAX]; /* in the order of asking; no vote yet */
    size_t flight_count;
    struct call calls[IN_FLIGHT_MAX]; /* in the order of their bytes; not answered yet, a ring */
    size_t called, answered;
};

struct world {
    struct input input;
    struct rlk_quorum quorum;
    struct rlk_members members;
    struct rlk_lines lines;
    struct rlk_cohorts cohorts;
    struct rlk_memo memos[RLK_REQUEST_KINDS];
    struct rlk_batches batches[NODES_MAX];
    struct server servers[NODES_MAX];
    struct member locks[LOCKS];
    int64_t now_ms;
    uint64_t tokens;
    bool healed;
};

static const struct rlk_login login = {0};

/* ---- what is claimed of a lock after every input ---- */

static void top_up(struct world *world)
{
    world->quorum.wall_us = 1700000000000000 + world->now_ms * 1000;
    if (!world->quorum.token[0])
        snprintf(world->quorum.token, sizeof world->quorum.token, "%028llu",
                 (unsigned long long)++world->tokens);
}

static bool is_owned(const struct member *member)
{
    return member->lock.state == RLK_OWNED;
}

static void check_grant(struct world *world, struct member *member)
{
    const struct rlk_lock *lock = &member->lock;
    claim(rlk_count(member->granted) >= rlk_majority(&world->quorum),
          "a majority granted this attempt");
    claim(lock->lease.fence == member->ballot, "its fence is the ballot that was granted");
    claim(lock->deadline_ms <= member->attempt_ms + member->lease_ms,
          "a lease begins before the attempt");
    claim(lock->deadline_ms >= member->attempt_ms + lock->lease.terms.at_least_ms,
          "a lease is as long as it is to be");
    claim(world->now_ms < lock->deadline_ms, "what is granted too late is not owned");
    claim(strtoull(lock->lease.token, NULL, 10) == member->token,
          "it owns the token that was granted");
}

static void check_extension(struct member *member, int64_t deadline_before_ms)
{
    const struct rlk_lock *lock = &member->lock;
    claim(lock->deadline_ms >= deadline_before_ms, "a lease is not shortened");
    if (lock->deadline_ms > deadline_before_ms)
        claim(lock->deadline_ms <= lock->t0_ms + lock->round_ttl_ms,
              "an extension is no longer than asked");
}

/* What a lock was before an input, and whether it may be what it is after it. */
struct before {
    bool owned;
    enum rlk_state state;
    int64_t deadline_ms;
};

static struct before look(const struct member *member)
{
    return (struct before){is_owned(member), member->lock.state, member->lock.deadline_ms};
}

static void check(struct world *world, struct member *member, struct before before)
{
    const struct rlk_lock *lock = &member->lock;
    if (is_owned(member) && !before.owned)
        check_grant(world, member);
    else if (is_owned(member))
        check_extension(member, before.deadline_ms);
    claim(is_owned(member) || rlk_lock_remaining(lock, world->now_ms) == 0,
          "what is not owned has no time left");
    claim(rlk_lock_remaining(lock, lock->deadline_ms) == 0, "a lease ends at its deadline");
    claim((lock->outcome == RLK_LOST) <= (lock->loss != RLK_NOT_LOST),
          "what is lost is lost for a reason");
    claim(!(rlk_lock_wants(lock) & ~rlk_all_nodes(&world->quorum)),
          "only nodes that there are are wanted");
    if (rlk_lock_is_done(lock))
        claim(rlk_debts_are_paid(&lock->debts) && !rlk_lock_is_owing(lock),
              "who is done owes nothing");
}

/* ---- members ---- */

static struct member *member_of(struct rlk_lock *lock)
{
    return (struct member *)lock; /* its first */
}

static void touch(struct world *world, struct member *member)
{
    rlk_members_touch(&world->members, &member->lock);
    rlk_members_plan(&world->members, &member->lock);
}

static void attach(struct world *world, struct member *member)
{
    if (member->attached)
        return;
    claim(rlk_members_add(&world->members, &member->lock), "there is memory");
    member->attached = true;
}

/* Its turn has come, or will in a while. */
static void give_turn(struct world *world, struct member *next, bool nodes_answered, bool at_once)
{
    struct before before = look(next);
    top_up(world);
    next->turn_at_ms = at_once ? 0 : world->now_ms + TURN_AFTER_MS;
    if (at_once)
        rlk_lock_take_turn(&next->lock, nodes_answered, world->now_ms);
    else
        rlk_lock_await_turn(&next->lock, next->turn_at_ms);
    check(world, next, before);
    touch(world, next);
}

/* Whoever stands before it has asked the nodes for it as well; or owns what it waits for. */
static void explain(struct world *world, struct member *member)
{
    const struct rlk_in_line *first = rlk_line_first(&member->place);
    if (!first->lock)
        rlk_cohort_explain(&member->place, world->now_ms);
    else if (first != &member->place)
        rlk_lock_copy_reasons(&member->lock, first->lock);
}

/* Who has its outcome leaves its line, and the next takes its turn: as core/line.h says. */
static void leave_line(struct world *world, struct member *member)
{
    struct rlk_in_line *next = NULL;
    if (!member->stands || member->lock.outcome == RLK_PENDING)
        return;
    member->stands = false;
    explain(world, member);
    next = rlk_lines_leave(&world->lines, &member->place);
    while (next && rlk_lock_share_verdict(next->lock, &member->lock)) {
        member_of(next->lock)->stands = false;
        next = rlk_lines_leave(&world->lines, next);
    }
    if (next && next->lock->state == RLK_STANDING_BY)
        give_turn(world, member_of(next->lock), rlk_lock_was_answered(&member->lock),
                  member->lock.outcome != RLK_ACQUIRED || !member->gives_time);
}

/* Who was granted the lock by the nodes is the first of a cohort: as by the engine. */
static void found_cohort(struct world *world, struct member *member, struct before before)
{
    const struct rlk_lease *lease = &member->lock.lease;
    bool is_granted = is_owned(member) && !before.owned && lease->fence % RLK_FENCE_BLOCK == 0;
    if (is_granted && lease->terms.cohort && lease->terms.at_least_ms == 0)
        rlk_cohorts_open(&world->cohorts, &member->lock);
}

static void moved(struct world *world, struct member *member, struct before before)
{
    check(world, member, before);
    touch(world, member);
    found_cohort(world, member, before);
    leave_line(world, member);
}

/* ---- servers ---- */

/* The first of those that this lock asked: for one lock the order is kept, whatever leaves
 * between. */
static struct flight take_flight(struct server *server, const struct rlk_lock *lock)
{
    size_t i = 0;
    while (i < server->flight_count && &server->flights[i].member->lock != lock)
        i++;
    claim(lock && i < server->flight_count, "a vote is for who asked");
    struct flight flight = server->flights[i];
    server->flight_count--;
    memmove(&server->flights[i], &server->flights[i + 1],
            (server->flight_count - i) * sizeof flight);
    return flight;
}

static void note_vote(struct world *world, int node, struct flight flight,
                      const struct rlk_vote *vote)
{
    struct member *member = flight.member;
    rlk_nodes bit = rlk_node_bit(node);
    if (flight.round & RLK_ROUND_TOKEN)
        member->debt_in_flight &= ~bit;
    if (flight.kind == RLK_ACQUIRE && flight.round == member->acquire_round &&
        vote->reason == RLK_GRANTED)
        member->granted |= bit;
    (void)world;
}

static void deliver(struct world *world, int node, struct flight flight,
                    const struct rlk_vote *vote)
{
    struct before before = look(flight.member);
    note_vote(world, node, flight, vote);
    top_up(world);
    rlk_lock_vote(&flight.member->lock, node, flight.round, vote, world->now_ms);
    moved(world, flight.member, before);
}

static void go_down(struct world *world, int node);

/* The node's events, each to the lock that asked: the tag is that of its membership. */
static void take_events(struct world *world, int node)
{
    struct server *server = &world->servers[node];
    struct rlk_event event;
    while (rlk_node_next_event(server->node, &event)) {
        if (event.kind == RLK_EVENT_BROKEN)
            go_down(world, node);
        if (event.kind != RLK_EVENT_VOTE)
            continue;
        struct flight flight =
            take_flight(server, rlk_members_find(&world->members, event.asker.tag));
        claim(event.asker.round == flight.round,
              "the votes for a lock come in the order of asking");
        deliver(world, node, flight, &event.vote);
    }
}

static void say(struct world *world, int node, const char *reply)
{
    rlk_node_feed(world->servers[node].node, reply, strlen(reply));
    take_events(world, node);
}

static void go_down(struct world *world, int node)
{
    struct server *server = &world->servers[node];
    if (!server->up)
        return;
    server->up = false;
    server->called = server->answered = 0;
    rlk_node_close(server->node, RLK_DISCONNECTED);
    take_events(world, node);
}

static void come_up(struct world *world, int node)
{
    struct server *server = &world->servers[node];
    if (server->up)
        return;
    take_events(world, node);
    claim(rlk_node_open(server->node), "there is memory");
    server->up = true;
    say(world, node, "$21\r\nuptime_in_seconds:999\r\n");
    claim(rlk_node_is_ready(server->node), "the login is done");
}

/* ---- what a server says to what it was asked first ---- */

static const char *const answers_to_acquire[] = {
    ":1\r\n",
    "*3\r\n:0\r\n:20\r\n$16\r\n1700000000000000\r\n",
    "*3\r\n:0\r\n:-1\r\n$1\r\n0\r\n",
    "*2\r\n:-1\r\n$16\r\n1700000009000000\r\n",
    "*2\r\n:-1\r\n$16\r\n9000000000000000\r\n",
    "*2\r\n:-1\r\n$1\r\nx\r\n",
};

static const char *const answers_about_token[] = {":1\r\n", ":0\r\n", ":-1\r\n", ":2\r\n"};

static const char *const errors[] = {
    "-NOSCRIPT No matching script.\r\n", "-BUSY Redis is busy\r\n",
    "-LOADING Redis is loading\r\n",     "-WRONGTYPE Operation\r\n",
    "-NOPERM no permissions\r\n",        "-OOM command not allowed\r\n",
    "-READONLY You can't write\r\n",     "-ERR something\r\n",
};

static const char *answer_to(struct input *input, enum rlk_request_kind kind, bool healed)
{
    unsigned choice = healed ? 0 : choose(input, 8);
    if (choice == 7)
        return errors[choose(input, sizeof errors / sizeof *errors)];
    if (kind == RLK_ACQUIRE)
        return answers_to_acquire[choice % 6];
    if (kind == RLK_INSPECT)
        return choice < 4 ? "*4\r\n$-1\r\n:-2\r\n$1\r\n0\r\n:0\r\n"
                          : "*4\r\n$9\r\nabcdefghi\r\n:9\r\n$13\r\n7 abcdefgh me\r\n:0\r\n";
    if (kind == RLK_SCAN)
        return choice < 4 ? "$3\r\n1:0\r\n" : "$19\r\n2:171:a1:b1:91:71:0\r\n";
    return answers_about_token[choice % 4];
}

/* To many: for all, or for each its own; now and then a wrong number of them. */
static void answer_many(struct world *world, int node, struct call call)
{
    char text[64 + (IN_FLIGHT_MAX + 1) * 32];
    bool acquires = call.kind == RLK_ACQUIRE_MANY;
    unsigned choice = world->healed ? 1 : choose(&world->input, 8);
    size_t count = call.count + (choice == 7);
    if (choice == 0) {
        say(world, node, errors[choose(&world->input, sizeof errors / sizeof *errors)]);
        return;
    }
    if (choice == 1 && call.kind != RLK_EXTEND_MANY) {
        say(world, node, ":1\r\n");
        return;
    }
    int len = snprintf(text, sizeof text, "*%zu\r\n", acquires ? 3 * count : count);
    for (size_t i = 0; i < count; i++)
        len += snprintf(text + len, sizeof text - (size_t)len,
                        acquires ? ":%d\r\n:30\r\n$1\r\n5\r\n" : ":%d\r\n",
                        world->healed ? 1 : (int)choose(&world->input, 3) - 1);
    say(world, node, text);
}

static bool is_of_many(enum rlk_request_kind kind)
{
    return kind == RLK_ACQUIRE_MANY || kind == RLK_EXTEND_MANY || kind == RLK_RELEASE_MANY;
}

static void answer(struct world *world, int node)
{
    struct server *server = &world->servers[node];
    if (!server->up || server->called == server->answered)
        return;
    struct call call = server->calls[server->answered++ % IN_FLIGHT_MAX];
    if (is_of_many(call.kind))
        answer_many(world, node, call);
    else
        say(world, node, answer_to(&world->input, call.kind, world->healed));
}

/* What a server may send at any time, and should not. */
static void say_nonsense(struct world *world, int node)
{
    static const char *const nonsense[] = {":1\r\n",  "+OK\r\n", "-ERR Protocol error\r\n",
                                           "$-1\r\n", "!",       "*1\r\n:1\r\n"};
    struct server *server = &world->servers[node];
    if (!server->up)
        return;
    server->answered += server->called != server->answered; /* it passes for the next answer */
    say(world, node, nonsense[choose(&world->input, 6)]);
}

/* ---- what a server reads ---- */

static enum rlk_request_kind kind_of(const redisReply *command)
{
    int kind = 0;
    const redisReply *script = command->element[1];
    while (kind < RLK_REQUEST_KINDS &&
           strcmp(script->str, rlk_script((enum rlk_request_kind)kind)->sha1) != 0 &&
           strcmp(script->str, rlk_script((enum rlk_request_kind)kind)->text) != 0)
        kind++;
    claim(kind < RLK_REQUEST_KINDS, "a server is asked to run a script of ours");
    return (enum rlk_request_kind)kind;
}

static void read_call(struct server *server, const redisReply *command)
{
    if (strncmp(command->element[0]->str, "EVAL", 4) != 0)
        return; /* of the login */
    enum rlk_request_kind kind = kind_of(command);
    size_t keys = strtoul(command->element[2]->str, NULL, 10);
    claim(server->called - server->answered < IN_FLIGHT_MAX, "no more is asked than was wanted");
    server->calls[server->called++ % IN_FLIGHT_MAX] =
        (struct call){kind, kind == RLK_EXTEND_MANY ? keys : keys / 2};
}

/* What has been written to it so far. */
static void read_calls(struct server *server)
{
    size_t len;
    void *command = NULL;
    const char *bytes = rlk_node_output(server->node, &len);
    if (len == 0)
        return;
    redisReader *reader = redisReaderCreate();
    redisReaderFeed(reader, bytes, len);
    while (redisReaderGetReply(reader, &command) == REDIS_OK && command) {
        read_call(server, command);
        freeReplyObject(command);
        command = NULL;
    }
    redisReaderFree(reader);
    rlk_node_written(server->node, len);
}

/* ---- requests ---- */

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Of its release. */
static bool is_told(const struct member *leader, int node)
{
    return leader->lock.kind != RLK_RELEASE || !(leader->lock.unsent & rlk_node_bit(node));
}

static void note_acquire(struct world *world, struct member *member, int node,
                         const struct rlk_request *request)
{
    uint64_t token = strtoull(request->token, NULL, 10);
    bool is_owed = member->debt_in_flight & rlk_node_bit(node);
    claim(!is_owed || world->now_ms >= member->owed_until_ms[node],
          "nothing is acquired before the debt was answered");
    claim(!member->lock.follows || request->fair, "who comes behind others is fair");
    claim(world->now_ms >= member->turn_at_ms, "who awaits its turn asks no node before");
    if (member->leader && member->follows_with == token)
        claim(is_told(member->leader, node), "who follows asks behind the release");
    if (member->acquire_round == request->round && member->token == token)
        return;
    claim(token > member->token, "every attempt has a token of its own");
    claim(request->fence > member->ballot, "ballots rise");
    member->token = token;
    member->ballot = request->fence;
    member->lasted_until_ms = member->lasts_until_ms;
    member->acquire_round = request->round;
    member->granted = 0;
    member->attempt_ms = member->lock.t0_ms;
    member->lease_ms = request->ttl_ms;
    member->lasts_until_ms = later(member->lasts_until_ms, member->attempt_ms + request->ttl_ms);
    claim(member->attempt_ms <= world->now_ms, "an attempt begins before its first byte");
}

static void note_request(struct world *world, struct member *member, int node,
                         const struct rlk_request *request)
{
    struct server *server = &world->servers[node];
    if (request->kind == RLK_ACQUIRE)
        note_acquire(world, member, node, request);
    if (request->kind == RLK_EXTEND)
        member->lasts_until_ms =
            later(member->lasts_until_ms, member->lock.t0_ms + request->ttl_ms);
    if (request->round & RLK_ROUND_TOKEN) {
        claim(request->token[0], "a debt is a token");
        member->debt_in_flight |= rlk_node_bit(node);
        bool is_last = strtoull(request->token, NULL, 10) == member->token;
        member->owed_until_ms[node] = is_last ? member->lasts_until_ms : member->lasted_until_ms;
    }
    claim(request->key.len == strlen(member->key), "the key is the lock's");
    server->flights[server->flight_count++] =
        (struct flight){member, request->round, request->kind};
}

static bool has_room(const struct server *server)
{
    return server->flight_count < IN_FLIGHT_MAX;
}

/* To a node that is up; who wants something of one that is down is told so, as by the loop. */
static void ask(struct world *world, struct member *member, int node)
{
    struct rlk_request request;
    struct server *server = &world->servers[node];
    bool wanted = rlk_lock_wants(&member->lock) & rlk_node_bit(node);
    if (server->up) {
        bool any = false;
        while (has_room(server) &&
               rlk_lock_next_request(&member->lock, node, world->now_ms, &request)) {
            any = true;
            note_request(world, member, node, &request);
            rlk_batches_send(&world->batches[node], &request,
                             (struct rlk_asker){member->lock.id, request.round});
        }
        claim(any <= wanted, "a request is for a node that was wanted");
    } else if (member->lock.unsent & rlk_node_bit(node)) {
        struct rlk_vote vote = {.reason = RLK_UNREACHABLE};
        struct before before = look(member);
        top_up(world);
        rlk_lock_vote(&member->lock, node, member->lock.round, &vote, world->now_ms);
        moved(world, member, before);
    }
}

/* Hands out what is wanted until nobody wants anything of a node that is up: without time going
 * on, that ends. */
static void serve(struct world *world)
{
    struct rlk_lock *lock;
    int steps = 0;
    while ((lock = rlk_members_take_touched(&world->members)) != NULL) {
        claim(++steps < STEPS_AT_A_MOMENT, "requests come to an end");
        for (int node = 0; node < world->quorum.nodes; node++)
            ask(world, member_of(lock), node);
        rlk_members_plan(&world->members, lock);
    }
    for (int node = 0; node < world->quorum.nodes; node++) {
        if (!world->servers[node].up)
            continue;
        rlk_batches_flush(&world->batches[node]);
        read_calls(&world->servers[node]);
    }
}

static void touch_all(struct world *world)
{
    for (int i = 0; i < LOCKS; i++)
        if (world->locks[i].attached)
            touch(world, &world->locks[i]);
}

/* ---- time ---- */

static void pass_time(struct world *world)
{
    struct rlk_lock *lock;
    int steps = 0;
    while ((lock = rlk_members_take_due(&world->members, world->now_ms)) != NULL) {
        struct before before = look(member_of(lock));
        claim(++steps < STEPS_AT_A_MOMENT, "what is due at a moment comes to an end");
        top_up(world);
        rlk_lock_time(lock, world->now_ms);
        claim(!is_owned(member_of(lock)) || world->now_ms < lock->deadline_ms,
              "a lease that is over is lost");
        moved(world, member_of(lock), before);
        serve(world);
    }
}

/* Their time is over, and the next in line asks the nodes. */
static void close_cohorts(struct world *world)
{
    struct rlk_cohort *cohort;
    while ((cohort = rlk_cohorts_due(&world->cohorts, world->now_ms)) != NULL) {
        struct rlk_lock *next = rlk_cohorts_close(cohort);
        if (next && next->state == RLK_STANDING_BY)
            give_turn(world, member_of(next), true, true);
    }
}

static void let_time_go_on(struct world *world, bool to_next)
{
    int64_t next_ms =
        rlk_earlier(rlk_members_next_time(&world->members), rlk_cohorts_next_time(&world->cohorts));
    if (!to_next)
        world->now_ms += (int64_t)take_number(&world->input, 2) >> choose(&world->input, 16);
    else if (next_ms != RLK_NEVER && next_ms > world->now_ms)
        world->now_ms = next_ms;
    pass_time(world);
    close_cohorts(world);
    serve(world);
}

/* ---- commands ---- */

static struct rlk_terms take_terms(struct input *input, unsigned traits)
{
    static const int64_t waits[] = {0, 0, 1, 30, 1000, RLK_NEVER};
    struct rlk_terms terms = {
        .ttl_ms = 1 + (int64_t)(take_number(input, 2) >> choose(input, 16)),
        .wait_ms = waits[choose(input, 6)],
        .max_hold_ms = traits & 1 ? RLK_NEVER : (int64_t)take_number(input, 2),
        .fence_ttl_s = traits & 2 ? RLK_FENCE_TTL_S : 1 + choose(input, 100),
        .renew = traits & 4,
        .fair = traits & 8,
        .at_least_ms = traits & 16 ? (int64_t)take_number(input, 2) : 0,
        .cohort = traits & 32,
    };
    if (terms.cohort) /* who wants another lease receives none */
        terms.ttl_ms = terms.ttl_ms > 100 ? 30000 : 200;
    return terms;
}

static void acquire(struct world *world, struct member *member)
{
    unsigned traits = take_byte(&world->input);
    struct rlk_terms terms = take_terms(&world->input, traits);
    if (member->lock.state != RLK_IDLE || member->stands || world->healed)
        return;
    member->gives_time = traits & 64;
    member->is_followed = traits & 128;
    member->has_passed_on = member->is_unfit = false;
    member->turn_at_ms = 0;
    member->stands = terms.wait_ms > 0 && choose(&world->input, 2) &&
                     rlk_lines_join(&world->lines, &member->place, &member->lock);
    if (member->stands && !rlk_line_is_first(&member->place))
        rlk_lock_stand_by(&member->lock, &terms, world->now_ms);
    else
        rlk_lock_acquire(&member->lock, &terms, world->now_ms);
}

static void extend(struct world *world, struct member *member)
{
    int64_t ttl_ms = 1 + (int64_t)take_number(&world->input, 2);
    member->is_unfit |= ttl_ms > member->lock.lease.terms.ttl_ms;
    rlk_lock_extend(&member->lock, ttl_ms, world->now_ms);
}

/* It owns what the other did: by the grant of the same nodes, until the same time. */
static void receive(struct world *world, struct member *member, const struct member *owner)
{
    struct rlk_lock *lock = &member->lock;
    claim(lock->lease.nodes == owner->lock.lease.nodes, "its token stands where it stood");
    claim(lock->deadline_ms == owner->lock.deadline_ms, "a lease is passed on as it is");
    claim((owner->ballot + 1) % RLK_FENCE_BLOCK != 0, "and never beyond its block");
    member->acquire_round = NO_ROUND;
    member->granted = owner->granted;
    member->token = owner->token;
    member->ballot = owner->ballot + 1;
    member->attempt_ms = world->now_ms;
    member->lease_ms = lock->lease.terms.ttl_ms;
    member->lasted_until_ms = member->lasts_until_ms;
    member->lasts_until_ms = later(member->lasts_until_ms, world->now_ms + member->lease_ms);
    moved(world, member, (struct before){.owned = false});
}

/* To the next of its cohort. */
static bool pass_on(struct world *world, struct member *owner)
{
    struct rlk_lock *lock = &owner->lock;
    struct rlk_cohort *cohort = rlk_cohorts_find(&world->cohorts, lock->key, &lock->lease);
    if (!cohort || !is_owned(owner) || owner->is_unfit || lock->outcome == RLK_PENDING)
        return false;
    struct rlk_lock *next = rlk_cohort_pass_on(cohort, lock->deadline_ms, world->now_ms);
    if (!next)
        return false;
    rlk_lock_hand_over(lock);
    owner->has_passed_on = true;
    receive(world, member_of(next), owner);
    return true;
}

/* The first in line asks behind it. */
static void follow(struct world *world, struct member *leader)
{
    const struct rlk_in_line *first = rlk_lines_first(&world->lines, leader->lock.key);
    if (!first || !first->lock ||
        rlk_lease_keep_ms(&world->quorum, &leader->lock.lease, world->now_ms) > 0)
        return;
    struct member *member = member_of(first->lock);
    struct before before = look(member);
    bool waits = member->lock.state == RLK_STANDING_BY || member->lock.state == RLK_WAITING;
    bool in_time = world->now_ms < member->lock.wait_until_ms;
    top_up(world);
    rlk_lock_follow(&member->lock, world->now_ms);
    claim(waits || member->lock.state == before.state, "only who waits follows");
    if (waits && in_time) {
        claim(member->lock.follows, "who waits follows");
        member->turn_at_ms = 0;
        member->leader = leader;
        member->follows_with = strtoull(member->lock.lease.token, NULL, 10);
    }
    moved(world, member, before);
}

/* Not what is another's by now. */
static void release(struct world *world, struct member *member)
{
    struct rlk_lock *lock = &member->lock;
    if (member->has_passed_on || pass_on(world, member))
        return;
    rlk_lock_release(lock, world->now_ms);
    touch(world, member);
    struct rlk_cohort *cohort = rlk_cohorts_find(&world->cohorts, lock->key, &lock->lease);
    if (cohort)
        rlk_cohorts_close(cohort);
    if (cohort || member->is_followed)
        follow(world, member);
}

static void inspect(struct world *world, struct member *member)
{
    static const enum rlk_request_kind kinds[] = {RLK_INSPECT, RLK_BREAK, RLK_SCAN};
    struct rlk_inquiry asked = {.kind = kinds[choose(&world->input, 3)]};
    unsigned traits = take_byte(&world->input);
    asked.nodes = traits;
    asked.all = traits & 64;
    asked.word = (struct rlk_key){"a*", traits & 128 ? 2 : 0};
    for (int node = 0; node < NODES_MAX; node++)
        memcpy(asked.cursors[node], "0", 2);
    rlk_inquiry_ask(&member->inquiry, &asked);
    member->lock.inquiry = &member->inquiry;
    rlk_lock_inspect(&member->lock, world->now_ms);
}

static void command(struct world *world, struct member *member, unsigned choice)
{
    struct rlk_lock *lock = &member->lock;
    struct before before = look(member);
    attach(world, member);
    top_up(world);
    bool at_rest = lock->state == RLK_IDLE || lock->state == RLK_OWNED;
    switch (choice) {
    case 0:
    case 1:
        acquire(world, member);
        break;
    case 2:
        if (is_owned(member))
            extend(world, member);
        break;
    case 3:
        if (at_rest && !member->stands)
            release(world, member);
        break;
    case 4:
        if (lock->state == RLK_IDLE && !member->stands)
            inspect(world, member);
        break;
    case 5:
        rlk_lock_cancel(lock, world->now_ms);
        break;
    case 6:
        if (is_owned(member) && lock->outcome != RLK_PENDING)
            rlk_lock_hand_over(lock);
        break;
    default:
        rlk_lock_inbox_ready(lock, world->now_ms);
    }
    moved(world, member, before);
}

/* A vote that nobody asked for now: of a round that is over, or to come. */
static void vote_stale(struct world *world, struct member *member, int node)
{
    static const enum rlk_reason reasons[] = {RLK_GRANTED, RLK_HELD, RLK_ABSENT, RLK_ANOTHERS};
    struct rlk_vote vote = {.reason = reasons[choose(&world->input, 4)]};
    struct before before = look(member);
    uint32_t round = member->lock.round + 1 + choose(&world->input, 200);
    top_up(world);
    rlk_lock_vote(&member->lock, node, round, &vote, world->now_ms);
    claim(is_owned(member) == before.owned, "a vote of another round decides nothing");
    moved(world, member, before);
}

static void wake(struct world *world, struct member *member, int node)
{
    struct before before = look(member);
    top_up(world);
    rlk_lock_wake(&member->lock, node, (int64_t)(take_number(&world->input, 7) % RLK_FENCE_MAX),
                  world->now_ms);
    moved(world, member, before);
}

static void take_step(struct world *world)
{
    unsigned choice = choose(&world->input, 16);
    int node = (int)choose(&world->input, (unsigned)world->quorum.nodes);
    struct member *member = &world->locks[choose(&world->input, LOCKS)];
    if (choice < 4) {
        command(world, member, choose(&world->input, 8));
    } else if (choice < 8) {
        answer(world, node);
    } else if (choice == 8) {
        say_nonsense(world, node);
    } else if (choice == 9) {
        let_time_go_on(world, false);
    } else if (choice == 10) {
        let_time_go_on(world, true);
    } else if (choice == 11) {
        go_down(world, node);
    } else if (choice == 12) {
        come_up(world, node);
        touch_all(world);
    } else if (choice == 13) {
        world->quorum.inbox_ready ^= rlk_node_bit(node);
    } else if (member->attached && choice == 14) {
        wake(world, member, node);
    } else if (member->attached) {
        vote_stale(world, member, node);
    }
    serve(world);
}

/* ---- the end ---- */

static bool all_at_rest(const struct world *world)
{
    for (int i = 0; i < LOCKS; i++)
        if (world->locks[i].attached && !rlk_lock_is_done(&world->locks[i].lock))
            return false;
    return true;
}

/* Every server is up and answers, nobody wants anything new: what is owed is paid, and all is
 * quiet. */
static void heal(struct world *world)
{
    world->healed = true;
    for (int node = 0; node < world->quorum.nodes; node++)
        come_up(world, node);
    touch_all(world);
    serve(world);
    for (int steps = 0; !all_at_rest(world); steps++) {
        claim(steps < STEPS_TO_REST, "once all answer, every lock comes to rest");
        for (int i = 0; i < LOCKS; i++) {
            if (!world->locks[i].attached)
                continue;
            command(world, &world->locks[i], 5);
            if (is_owned(&world->locks[i]))
                command(world, &world->locks[i], 3);
        }
        serve(world);
        for (int node = 0; node < world->quorum.nodes; node++) {
            come_up(world, node);
            answer(world, node);
        }
        let_time_go_on(world, steps % 8 == 7);
    }
}

static void build(struct world *world)
{
    struct rlk_quorum *quorum = &world->quorum;
    quorum->nodes = 1 + (int)choose(&world->input, NODES_MAX);
    quorum->drift_factor = (double)choose(&world->input, 100) / 200;
    quorum->timeout_ms = 1 + choose(&world->input, 100);
    quorum->random = 1 + take_number(&world->input, 2);
    memcpy(quorum->inbox, "redlock:inbox", sizeof "redlock:inbox");
    world->now_ms = 1000000;
    rlk_members_init(&world->members);
    rlk_lines_init(&world->lines, 7);
    rlk_cohorts_init(&world->cohorts, &world->lines);
    for (int i = 0; i < LOCKS; i++) {
        struct member *member = &world->locks[i];
        int len = snprintf(member->key, sizeof member->key, "job%d", i / LOCKS_OF_A_KEY);
        rlk_lock_init(&member->lock, quorum, (struct rlk_key){member->key, (size_t)len},
                      member->tallies);
    }
    for (int node = 0; node < quorum->nodes; node++) {
        world->servers[node].node = rlk_node_new(&login);
        rlk_batches_init(&world->batches[node], world->servers[node].node, world->memos);
        come_up(world, node);
    }
}

static void tear_down(struct world *world)
{
    rlk_cohorts_free(&world->cohorts);
    rlk_lines_free(&world->lines);
    rlk_members_free(&world->members);
    for (int node = 0; node < world->quorum.nodes; node++) {
        rlk_batches_free(&world->batches[node]);
        rlk_node_free(world->servers[node].node);
    }
    for (int kind = 0; kind < RLK_REQUEST_KINDS; kind++)
        rlk_memo_free(&world->memos[kind]);
    for (int i = 0; i < LOCKS; i++)
        rlk_inquiry_end(&world->locks[i].inquiry);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct world world;
    world = (struct world){.input = input_of(bytes, len)};
    build(&world);
    while (world.input.left > 0)
        take_step(&world);
    heal(&world);
    tear_down(&world);
    return 0;
}
