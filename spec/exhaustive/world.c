/* What may happen, and what happens then: between clients and nodes. The clients are the core's
 * machines, driven as csrc/io/loop.c drives them: requests leave as soon as they are wanted and the
 * connection stands, and a connection that broke is dialed again. */
#include "exhaustive/world.h"

#include <stdio.h>
#include <string.h>

#include "exhaustive/judge.h"
#include "exhaustive/nodes.h"

#define JITTER_SEED 88172645463325252 /* the same before every input: no world differs by chance */
#define WALL_US 8                     /* from there fences soon have another digit */

static const char key_bytes[] = "name";

/* ---- life ---- */

void world_point(struct world *world)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &world->clients[i];
        client->lock.quorum = &client->quorum;
        client->lock.tallies = client->tallies;
        client->lock.key.bytes = key_bytes;
    }
}

void world_copy(struct world *to, const struct world *from)
{
    memcpy(to, from, sizeof *to);
    world_point(to);
}

static void new_machine(struct client *client)
{
    struct rlk_key key = {key_bytes, sizeof key_bytes - 1};
    rlk_lock_init(&client->lock, &client->quorum, key, client->tallies);
}

void world_begin(struct world *world, const struct scene *scene)
{
    memset(world, 0, sizeof *world);
    world->scene = scene;
    for (int i = 0; i < CLIENTS; i++) {
        struct rlk_quorum *quorum = &world->clients[i].quorum;
        quorum->nodes = scene->nodes;
        quorum->drift_factor = scene->drift / 100.0;
        quorum->timeout_ms = scene->timeout_ms;
        quorum->wall_us = WALL_US;
        new_machine(&world->clients[i]);
    }
    for (int node = 0; node < scene->nodes; node++) {
        world->nodes[node].is_fast = node < scene->fast;
        world->nodes[node].restarted_ms = -1;
    }
}

/* ---- a client's inputs ---- */

static void top_up(struct world *world, int index)
{
    struct client *client = &world->clients[index];
    client->quorum.random = JITTER_SEED;
    if (client->quorum.token[0] == '\0' && client->tokens < TOKENS_MAX)
        token_text((uint8_t)(index * (TOKENS_MAX + 1) + ++client->tokens), client->quorum.token);
}

/* As batches.c has it, renewals always go by the script for many. */
static enum rlk_request_kind script_of(const struct scene *scene, const struct rlk_request *request)
{
    bool many = request->batchable && (scene->many || request->kind == RLK_EXTEND);
    return many ? rlk_kind_of_many(request->kind) : request->kind;
}

static struct message message_of(const struct world *world, const struct client *client,
                                 const struct rlk_request *request)
{
    return (struct message){
        .kind = (uint8_t)script_of(world->scene, request),
        .token = token_number(request->token),
        .call = client->calls,
        .answer = RLK_NO_ANSWER,
        .round = request->round,
        .ttl_ms = (int16_t)(request->kind == RLK_RELEASE ? request->keep_ms : request->ttl_ms),
        .fence = (int16_t)request->fence,
    };
}

static void note_life(struct world *world, struct client *client, const struct message *message)
{
    int32_t *ends_ms = &client->ends_ms[message->token % (TOKENS_MAX + 1)];
    int32_t latest_ms = world->now_ms + message->ttl_ms + world->scene->timeout_ms;
    if (!is_release(message) && latest_ms > *ends_ms)
        *ends_ms = latest_ms;
}

static bool may_ask(const struct world *world, int index, int node)
{
    const struct client *client = &world->clients[index];
    bool acquires = client->lock.kind == RLK_ACQUIRE &&
                    (client->lock.unsent & rlk_node_bit(node)); /* as loop.c has it */
    return client->links[node].phase == LINK_UP && !(acquires && is_guarded(world, node));
}

static void pull(struct world *world, int index)
{
    struct client *client = &world->clients[index];
    struct rlk_request request;
    for (int node = 0; node < world->scene->nodes; node++) {
        struct link *link = &client->links[node];
        while (may_ask(world, index, node) && link->count < FLIGHT_MAX &&
               rlk_lock_next_request(&client->lock, node, world->now_ms, &request)) {
            struct message *message = &link->flight[link->count++];
            *message = message_of(world, client, &request);
            message->lost = link->cut;
            note_life(world, client, message);
            judge_request(world, index, node, &request);
        }
    }
}

/* Around each input to the machine. */
static struct rlk_lock before_input(struct world *world, int index)
{
    top_up(world, index);
    return world->clients[index].lock;
}

static void after_input(struct world *world, int index, const struct rlk_lock *before)
{
    struct client *client = &world->clients[index];
    const struct rlk_lock *lock = &client->lock;
    judge_input(world, index, before);
    if (lock->kind == RLK_ACQUIRE && lock->state != RLK_IDLE && lock->round != before->round)
        client->attempts++;
    bool owns = lock->state == RLK_OWNED && before->state != RLK_OWNED;
    if (owns && lock->lease.fence > world->highest_fence)
        world->highest_fence = (int32_t)lock->lease.fence;
    if (owns && world->scene->at_least_ms > 0) {
        world->kept_until_ms = (int32_t)lock->lease.granted_ms + world->scene->at_least_ms;
        client->owned |= (uint16_t)(1 << token_number(lock->lease.token) % (TOKENS_MAX + 1));
    }
}

static void vote(struct world *world, int index, int node, const struct message *message)
{
    struct client *client = &world->clients[index];
    struct rlk_vote vote = {.reason = message->answer,
                            .ttl_ms = message->answer_ttl_ms,
                            .fence = message->answer_fence};
    if (message->call != client->calls)
        return;
    struct rlk_lock before = before_input(world, index);
    rlk_lock_vote(&client->lock, node, message->round, &vote, world->now_ms);
    after_input(world, index, &before);
}

static void call(struct world *world, int index)
{
    const struct scene *scene = world->scene;
    struct client *client = &world->clients[index];
    struct rlk_terms terms = {.ttl_ms = scene->ttl_ms,
                              .wait_ms = scene->wait_ms,
                              .max_hold_ms = scene->max_hold_ms ? scene->max_hold_ms : RLK_NEVER,
                              .fence_ttl_s = 1000,
                              .at_least_ms = scene->at_least_ms,
                              .renew = scene->renews};
    if (client->lock.outcome == RLK_LOST && !client->gave_back) /* it never will be */
        client->ends_ms[token_number(client->lock.lease.token) % (TOKENS_MAX + 1)] = 0;
    client->calls++;
    client->gave_back = false;
    new_machine(client);
    struct rlk_lock before = before_input(world, index);
    rlk_lock_acquire(&client->lock, &terms, world->now_ms);
    after_input(world, index, &before);
}

/* What the program may do whenever it likes, and the time. */
static void command(struct world *world, int index, enum action_kind kind)
{
    struct client *client = &world->clients[index];
    struct rlk_lock before = before_input(world, index);
    if (kind == EXTEND) {
        world->extensions++;
        rlk_lock_extend(&client->lock, world->scene->extend_ms, world->now_ms);
    } else if (kind == RELEASE) {
        client->gave_back = true;
        rlk_lock_release(&client->lock, world->now_ms);
    } else if (kind == CANCEL) {
        world->cancels++;
        rlk_lock_cancel(&client->lock, world->now_ms);
    } else {
        rlk_lock_time(&client->lock, world->now_ms);
    }
    after_input(world, index, &before);
}

/* ---- connections ---- */

static void refuse(struct world *world, int index, int node)
{
    struct client *client = &world->clients[index];
    bool down = client->links[node].phase == LINK_DOWN;
    struct message nothing = {.call = client->calls,
                              .answer = down ? RLK_UNREACHABLE : RLK_GUARDED,
                              .round = client->lock.round};
    vote(world, index, node, &nothing);
}

static bool is_answered(const struct message *message)
{
    return message->answer != RLK_NO_ANSWER;
}

/* The first that the node has not run; NULL if there is none. */
static struct message *next_to_run(struct link *link)
{
    for (int i = 0; i < link->count; i++)
        if (!is_answered(&link->flight[i]))
            return link->flight[i].lost ? NULL : &link->flight[i];
    return NULL;
}

static void run(struct world *world, int node, struct message *message)
{
    struct node before = world->nodes[node];
    node_run(world, node, message);
    judge_run(world, node, &before, message);
}

static void drop_first(struct message *messages, uint8_t *count)
{
    --*count;
    memmove(messages, messages + 1, *count * sizeof *messages);
    memset(&messages[*count], 0, sizeof *messages);
}

static void reply(struct world *world, int index, int node)
{
    struct link *link = &world->clients[index].links[node];
    struct message first = link->flight[0];
    drop_first(link->flight, &link->count);
    vote(world, index, node, &first);
}

static void haunt(struct link *link, const struct message *message)
{
    if (!is_answered(message) && !message->lost && link->ghosts < FLIGHT_MAX)
        link->ghost[link->ghosts++] = *message;
}

static void break_link(struct world *world, struct action action)
{
    struct link *link = &world->clients[action.client].links[action.node], broken;
    for (int i = 0; i < action.count; i++)
        run(world, action.node, next_to_run(link));
    broken = *link;
    world->breaks += !link->cut;
    memset(link->flight, 0, sizeof link->flight);
    link->count = 0;
    link->cut = false;
    link->phase = world->scene->outages > 0 ? LINK_DIALING : LINK_UP;
    for (int i = 0; i < broken.count; i++) {
        struct message *message = &broken.flight[i];
        if (action.kind == HAUNT)
            haunt(link, message);
        message->answer = RLK_DISCONNECTED;
        message->answer_ttl_ms = message->answer_fence = 0;
        vote(world, action.client, action.node, message);
    }
}

static void run_ghost(struct world *world, int index, int node)
{
    struct link *link = &world->clients[index].links[node];
    struct message first = link->ghost[0];
    drop_first(link->ghost, &link->ghosts);
    uint8_t before = world->nodes[node].token;
    run(world, node, &first);
    if (world->nodes[node].token != before)
        world->nodes[node].haunted = world->nodes[node].token != 0;
}

/* ---- nodes and time ---- */

static void restart(struct world *world, int node)
{
    struct node *at = &world->nodes[node];
    bool is_fast = at->is_fast;
    world->restarts++;
    memset(at, 0, sizeof *at);
    at->is_fast = is_fast;
    at->restarted_ms = world->now_ms;
    for (int i = 0; i < CLIENTS; i++) {
        struct link *link = &world->clients[i].links[node];
        link->cut = link->phase == LINK_UP;
        link->ghosts = 0;
        memset(link->ghost, 0, sizeof link->ghost);
        for (int j = 0; j < link->count; j++)
            link->flight[j].lost = !is_answered(&link->flight[j]);
    }
}

/* What is not there yet when time passes. */
static int late_now(const struct world *world)
{
    int late = 0;
    for (int index = 0; index < CLIENTS; index++) {
        const struct client *client = &world->clients[index];
        late += rlk_lock_next_time(&client->lock) <= world->now_ms;
        for (int node = 0; node < world->scene->nodes; node++) {
            const struct link *link = &client->links[node];
            late += link->cut || link->phase == LINK_DIALING ||
                    (link->count > 0 && !link->flight[0].late);
        }
    }
    return late;
}

static void tick(struct world *world)
{
    world->late = (uint8_t)(world->late + late_now(world));
    for (int index = 0; index < CLIENTS; index++)
        for (int node = 0; node < world->scene->nodes; node++)
            world->clients[index].links[node].flight[0].late = false;
    world->now_ms += world->scene->tick_ms;
    for (int node = 0; node < world->scene->nodes; node++)
        node_tick(world, node);
}

/* ---- what may happen ---- */

struct list {
    struct action *actions;
    int count;
};

static void add(struct list *list, enum action_kind kind, int client, int node, int count)
{
    list->actions[list->count++] =
        (struct action){(uint8_t)kind, (uint8_t)client, (uint8_t)node, (uint8_t)count};
}

static bool is_idle(const struct world *world, const struct client *client)
{
    for (int node = 0; node < world->scene->nodes; node++)
        if (client->links[node].count > 0)
            return false;
    return rlk_lock_is_done(&client->lock);
}

static void add_commands(const struct world *world, int index, struct list *list)
{
    const struct scene *scene = world->scene;
    const struct client *client = &world->clients[index];
    const struct rlk_lock *lock = &client->lock;
    bool tries = lock->state == RLK_ACQUIRING || lock->state == RLK_WAITING;
    bool owns = lock->state == RLK_OWNED;
    bool lost = lock->state == RLK_IDLE && lock->outcome == RLK_LOST && !client->gave_back;
    if (client->calls < scene->calls && is_idle(world, client))
        add(list, ACQUIRE, index, 0, 0);
    if (owns && !lock->asking && world->extensions < scene->extensions)
        add(list, EXTEND, index, 0, 0);
    if (owns || lost)
        add(list, RELEASE, index, 0, 0);
    if (tries && world->cancels < scene->cancels)
        add(list, CANCEL, index, 0, 0);
    if (rlk_lock_next_time(lock) <= world->now_ms)
        add(list, TIME, index, 0, 0);
}

static int count_to_run(const struct link *link)
{
    int count = 0;
    for (int i = 0; i < link->count && !link->cut; i++)
        count += !is_answered(&link->flight[i]);
    return count;
}

/* A request that is run long before its answer is read makes a difference only if something else
 * comes between at the node: the other client's request, a restart, or the time. */
static void add_runs(const struct world *world, int index, int node, struct list *list)
{
    const struct scene *scene = world->scene;
    const struct link *link = &world->clients[index].links[node];
    bool is_first = !is_answered(&link->flight[0]);
    bool contended = count_to_run(&world->clients[!index].links[node]) > 0;
    if (is_first)
        add(list, ANSWER, index, node, 0);
    if (contended || world->restarts < scene->restarts || !is_first)
        add(list, RUN, index, node, 0);
    if (is_first && world->late < scene->late)
        add(list, RUN_LATE, index, node, 0);
    if (world->refusals < scene->refusals)
        add(list, BUSY, index, node, 0);
}

static void add_breaks(const struct world *world, int index, int node, struct list *list)
{
    const struct scene *scene = world->scene;
    const struct link *link = &world->clients[index].links[node];
    int to_run = count_to_run(link);
    bool may_break = link->count > 0 && world->breaks < scene->breaks;
    for (int count = 0; (link->cut || may_break) && count <= to_run; count++)
        add(list, BREAK, index, node, count);
    for (int count = 0; scene->ghosts && may_break && count < to_run; count++)
        add(list, HAUNT, index, node, count);
}

static void add_of_link(const struct world *world, int index, int node, struct list *list)
{
    const struct scene *scene = world->scene;
    const struct client *client = &world->clients[index];
    const struct link *link = &client->links[node];
    bool guarded =
        link->phase == LINK_UP && client->lock.kind == RLK_ACQUIRE && is_guarded(world, node);
    if ((client->lock.unsent & rlk_node_bit(node)) && (link->phase == LINK_DOWN || guarded))
        add(list, REFUSE, index, node, 0);
    if (count_to_run(link) > 0)
        add_runs(world, index, node, list);
    if (link->count > 0 && is_answered(&link->flight[0]) && !link->flight[0].late)
        add(list, READ, index, node, 0);
    add_breaks(world, index, node, list);
    if (link->ghosts > 0)
        add(list, GHOST, index, node, 0);
    if (link->phase != LINK_UP)
        add(list, CONNECT, index, node, 0);
    if (link->phase == LINK_DIALING && world->outages < scene->outages)
        add(list, FAIL_TO_CONNECT, index, node, 0);
}

int world_actions(const struct world *world, struct action actions[ACTIONS_MAX])
{
    struct list list = {actions, 0};
    const struct scene *scene = world->scene;
    for (int index = 0; index < CLIENTS; index++) {
        add_commands(world, index, &list);
        for (int node = 0; node < scene->nodes; node++)
            add_of_link(world, index, node, &list);
    }
    for (int node = 0; node < scene->nodes && world->restarts < scene->restarts; node++)
        add(&list, RESTART, 0, node, 0);
    if (world->now_ms < scene->ticks * scene->tick_ms &&
        world->late + late_now(world) <= scene->late)
        add(&list, TICK, 0, 0, 0);
    return list.count;
}

/* ---- what happens ---- */

static void act_on_link(struct world *world, struct action action)
{
    int index = action.client, node = action.node;
    struct link *link = &world->clients[index].links[node];
    switch (action.kind) {
    case REFUSE:
        refuse(world, index, node);
        break;
    case ANSWER:
        run(world, node, next_to_run(link));
        reply(world, index, node);
        break;
    case RUN_LATE:
        world->late++;
        link->flight[0].late = true;
        run(world, node, next_to_run(link));
        break;
    case RUN:
        run(world, node, next_to_run(link));
        break;
    case BUSY:
        world->refusals++;
        next_to_run(link)->answer = RLK_BUSY;
        break;
    case READ:
        reply(world, index, node);
        break;
    case BREAK:
    case HAUNT:
        break_link(world, action);
        break;
    case GHOST:
        run_ghost(world, index, node);
        break;
    case CONNECT:
        link->phase = LINK_UP;
        break;
    case FAIL_TO_CONNECT:
        world->outages++;
        link->phase = LINK_DOWN;
        break;
    default:
        break;
    }
}

bool world_act(struct world *world, struct action action)
{
    switch (action.kind) {
    case ACQUIRE:
        call(world, action.client);
        break;
    case EXTEND:
    case RELEASE:
    case CANCEL:
    case TIME:
        command(world, action.client, action.kind);
        break;
    case RESTART:
        restart(world, action.node);
        break;
    case TICK:
        tick(world);
        break;
    default:
        act_on_link(world, action);
    }
    for (int index = 0; index < CLIENTS; index++)
        pull(world, index);
    judge_world(world);
    for (int index = 0; index < CLIENTS; index++)
        if (world->clients[index].attempts > world->scene->attempts)
            return false;
    return true;
}
