/* Each invariant is one function of the world, or of one step. */
#include "exhaustive/judge.h"

static enum invariant worst;

void judge_note(enum invariant broken)
{
    if (worst == HOLDS || broken < worst)
        worst = broken;
}

enum invariant judge_verdict(void)
{
    enum invariant verdict = worst;
    worst = HOLDS;
    return verdict;
}

static void must(bool holds, enum invariant invariant)
{
    if (!holds)
        judge_note(invariant);
}

const char *invariant_name(enum invariant invariant)
{
    static const char *const names[INVARIANTS] = {
        [HOLDS] = "everything holds",
        [ONE_OWNER] = "one owner at a time",
        [FENCES_RISE] = "fences rise with every grant",
        [DEADLINE_IS_REAL] = "a deadline comes before the expiry on a majority",
        [NOT_BEFORE_TIME] = "nobody owns it before the time that its last owner asked for",
        [NO_ORPHAN] = "a token that nobody owns or has to release stands nowhere",
        [NO_RESURRECTION] = "an extension makes no key and shortens no lease",
        [NO_LATE_EXTENSION] = "no extension succeeds once there is a newer owner",
        [NO_SHORTENING] = "a deadline never comes nearer",
        [LOSS_IS_TRUE] = "a loss is told only if no majority is left",
        [RELEASE_IS_TRUE] = "a release is told only if no majority is left",
        [FRESH_TOKENS] = "each attempt has a token of its own",
        [WATCHDOG_STOPS] = "renewals stop with the owner, and at max_hold",
        [NOBODY_IS_STUCK] = "what has not ended will go on",
        [NO_ASSERTION] = "no assertion of the core fails",
    };
    return names[invariant];
}

static bool is_majority(const struct world *world, int count)
{
    return 2 * count > world->scene->nodes;
}

static uint8_t token_of(const struct rlk_lock *lock)
{
    return token_number(lock->lease.token);
}

/* ---- inputs ---- */

/* But for what arrived over a connection that was given up before. */
static int nodes_with(const struct world *world, uint8_t token)
{
    int count = 0;
    for (int node = 0; node < world->scene->nodes; node++)
        count += world->nodes[node].token == token && !world->nodes[node].haunted;
    return count;
}

static void judge_tenure(const struct world *world, const struct rlk_lock *lock,
                         const struct rlk_lock *before)
{
    bool owned = before->state == RLK_OWNED;
    if (!owned)
        must(lock->lease.fence > world->highest_fence, FENCES_RISE);
    if (!owned)
        must(world->now_ms >= world->kept_until_ms, NOT_BEFORE_TIME);
    if (owned)
        must(lock->deadline_ms >= before->deadline_ms, NO_SHORTENING);
    if (owned && lock->outcome == RLK_EXTENDED && before->outcome != RLK_EXTENDED)
        must(lock->lease.fence == world->highest_fence, NO_LATE_EXTENSION);
}

void judge_input(const struct world *world, int client, const struct rlk_lock *before)
{
    const struct rlk_lock *lock = &world->clients[client].lock;
    bool ended = lock->state == RLK_IDLE && before->state != RLK_IDLE;
    if (lock->state == RLK_OWNED)
        judge_tenure(world, lock, before);
    if (ended && lock->outcome == RLK_LOST && lock->loss != RLK_EXPIRED)
        must(!is_majority(world, nodes_with(world, token_of(lock))), LOSS_IS_TRUE);
    bool early = lock->t0_ms < lock->lease.granted_ms + lock->lease.terms.at_least_ms;
    if (ended && lock->outcome == RLK_RELEASED && !early)
        must(!is_majority(world, nodes_with(world, token_of(lock))), RELEASE_IS_TRUE);
}

/* ---- requests ---- */

/* Asked for in another round, of this call or of one before. */
static bool is_used_up(const struct client *client, const struct rlk_request *request, int node)
{
    const struct link *link = &client->links[node];
    for (int i = 0; i < link->count; i++) {
        const struct message *message = &link->flight[i];
        if (is_acquire(message) && message->token == token_number(request->token) &&
            (message->round != request->round || message->call != client->calls))
            return true;
    }
    return false;
}

void judge_request(const struct world *world, int client, int node,
                   const struct rlk_request *request)
{
    const struct client *who = &world->clients[client];
    const struct rlk_lock *lock = &who->lock;
    const struct rlk_lease *lease = &lock->lease;
    if (request->kind == RLK_ACQUIRE)
        must(!is_used_up(who, request, node), FRESH_TOKENS);
    if (request->kind != RLK_EXTEND)
        return;
    must(lock->state == RLK_OWNED, WATCHDOG_STOPS);
    if (lock->renewing && lease->terms.max_hold_ms != RLK_NEVER)
        must(lock->t0_ms < lease->granted_ms + lease->terms.max_hold_ms, WATCHDOG_STOPS);
}

/* ---- nodes ---- */

void judge_run(const struct world *world, int node, const struct node *before,
               const struct message *message)
{
    const struct node *after = &world->nodes[node];
    if (!is_extension(message))
        return;
    must(after->token == before->token, NO_RESURRECTION);
    must(after->expires_ms >= before->expires_ms, NO_RESURRECTION);
}

/* ---- the world ---- */

static bool believes(const struct world *world, int client)
{
    return rlk_lock_remaining(&world->clients[client].lock, world->now_ms) > 0;
}

static void judge_owners(const struct world *world)
{
    int owners = 0;
    for (int client = 0; client < CLIENTS; client++)
        owners += believes(world, client);
    must(owners <= 1, ONE_OWNER);
}

/* To the node, and to whoever asks for the time, a moment may look a millisecond earlier or later
 * than it is. A node that forgot it, and does not vote until then, counts as well. */
static bool lasts(const struct world *world, int node, uint8_t token, int64_t deadline_ms)
{
    const struct node *at = &world->nodes[node];
    if (at->token == token)
        return node_clock_ms(world, node, deadline_ms + 1) + 1 <= at->expires_ms;
    if (!world->scene->guard && at->restarted_ms >= 0)
        return true; /* it does not, and that is what the scene is to show */
    return is_guarded(world, node) && at->restarted_ms + world->scene->ttl_ms >= deadline_ms;
}

static void judge_deadlines(const struct world *world)
{
    for (int client = 0; client < CLIENTS; client++) {
        const struct rlk_lock *lock = &world->clients[client].lock;
        int count = 0;
        if (!believes(world, client))
            continue;
        for (int node = 0; node < world->scene->nodes; node++)
            count += lasts(world, node, token_of(lock), lock->deadline_ms);
        must(is_majority(world, count), DEADLINE_IS_REAL);
    }
}

static bool is_on_its_way(const struct link *link, uint8_t token)
{
    for (int i = 0; i < link->count; i++) {
        const struct message *message = &link->flight[i];
        if (is_release(message) && message->token == token &&
            (message->answer == RLK_NO_ANSWER || rlk_reason_is_undelivered(message->answer)))
            return true;
    }
    return false;
}

static bool is_in_use(const struct client *client, uint8_t token)
{
    const struct rlk_lock *lock = &client->lock;
    bool lost = lock->state == RLK_IDLE && lock->outcome == RLK_LOST;
    return token_of(lock) == token && (lock->state == RLK_ACQUIRING || lock->state == RLK_OWNED ||
                                       lock->state == RLK_RELEASING || lost);
}

static bool is_owed(const struct client *client, int node, uint8_t token)
{
    const struct rlk_debts *debts = &client->lock.debts;
    return ((debts->owed | debts->owed_later) & rlk_node_bit(node)) &&
           token_number(client->tallies[node].owed_token) == token;
}

/* Somebody owns it, or knows that it is to be released; or it is so old that nobody has to. */
static bool is_cared_for(const struct world *world, int node, uint8_t token)
{
    const struct client *client = &world->clients[token_owner(token)];
    return is_in_use(client, token) || is_owed(client, node, token) ||
           is_on_its_way(&client->links[node], token) || world->nodes[node].haunted ||
           (client->owned >> token % (TOKENS_MAX + 1) & 1) ||
           world->now_ms >= client->ends_ms[token % (TOKENS_MAX + 1)];
}

static void judge_orphans(const struct world *world)
{
    for (int node = 0; node < world->scene->nodes; node++)
        if (world->nodes[node].token)
            must(is_cared_for(world, node, world->nodes[node].token), NO_ORPHAN);
}

static bool awaits_reply(const struct world *world, const struct client *client)
{
    for (int node = 0; node < world->scene->nodes; node++) {
        const struct link *link = &client->links[node];
        if (link->count > 0 || link->phase != LINK_UP || link->cut ||
            (client->lock.unsent & rlk_node_bit(node)))
            return true;
    }
    return false;
}

/* Nothing is on its way, and the time that it waits for never comes. */
static void judge_progress(const struct world *world)
{
    for (int index = 0; index < CLIENTS; index++) {
        const struct client *client = &world->clients[index];
        const struct rlk_lock *lock = &client->lock;
        bool timed = rlk_lock_next_time(lock) != RLK_NEVER;
        if (lock->state == RLK_IDLE)
            must(rlk_lock_is_done(lock) || timed || awaits_reply(world, client), NOBODY_IS_STUCK);
        else
            must(timed, NOBODY_IS_STUCK);
        if (lock->state == RLK_ACQUIRING)
            must(awaits_reply(world, client), NOBODY_IS_STUCK);
    }
}

void judge_world(const struct world *world)
{
    judge_owners(world);
    judge_deadlines(world);
    judge_orphans(world);
    judge_progress(world);
}
