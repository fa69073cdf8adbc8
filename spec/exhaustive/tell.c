/* Clients are A and B, nodes 1 to 3, and tokens Aa, Ab, Ba, in the order in which they were taken. */
#include "exhaustive/tell.h"

static const char *const states[] = {"idle",  "standing by", "acquiring", "waiting",
                                     "owner", "releasing",   "inspecting"};
static const char *const outcomes[] = {"pending",  "acquired",    "extended",
                                       "released", "inspected",   "locked",
                                       "timeout",  "unavailable", "lost"};
static const char *const phases[] = {"", " (dialing)", " (down)"};

static void tell_request(const struct message *message, char *text, size_t size)
{
    char token[3];
    token_text(message->token, token);
    if (is_acquire(message))
        snprintf(text, size, "acquire of %s, fence %d, for %d ms", token, (int)message->fence,
                 (int)message->ttl_ms);
    else if (is_extension(message))
        snprintf(text, size, "extension of %s to %d ms", token, (int)message->ttl_ms);
    else if (message->token)
        snprintf(text, size, "release of %s", token);
    else
        snprintf(text, size, "leave");
}

static const struct message *next_to_run(const struct link *link)
{
    const struct message *message = link->flight;
    while (message->answer != RLK_NO_ANSWER)
        message++;
    return message;
}

/* The node's answer, if the client has not read it in the same step. */
static void tell_run(const struct world *before, struct action action, char *text, size_t size)
{
    static const char *const ends[ACTION_KINDS] = {
        [ANSWER] = ", which answers",
        [RUN] = "",
        [RUN_LATE] = ", whose answer will be late",
        [BUSY] = ", which is too busy",
    };
    char request[80];
    tell_request(next_to_run(&before->clients[action.client].links[action.node]), request,
                 sizeof request);
    snprintf(text, size, "%c's %s gets to node %d%s", 'A' + action.client, request, action.node + 1,
             ends[action.kind]);
}

static void tell_read(const struct world *before, struct action action, char *text, size_t size)
{
    char request[80];
    const struct message *message = &before->clients[action.client].links[action.node].flight[0];
    tell_request(message, request, sizeof request);
    snprintf(text, size, "%c reads node %d's answer to its %s: %s", 'A' + action.client,
             action.node + 1, request, rlk_reason_text(message->answer));
}

static void tell_ghost(const struct world *before, struct action action, char *text, size_t size)
{
    char request[80];
    tell_request(&before->clients[action.client].links[action.node].ghost[0], request,
                 sizeof request);
    snprintf(text, size, "node %d gets, over %c's connection of old, the %s", action.node + 1,
             'A' + action.client, request);
}

static void tell_of_link(struct action action, char *text, size_t size)
{
    static const char *const verbs[ACTION_KINDS] = {
        [REFUSE] = "knows that it cannot ask",
        [BREAK] = "finds its connection broken to",
        [HAUNT] = "gives up its connection, on which something may still arrive, to",
        [CONNECT] = "is connected to",
        [FAIL_TO_CONNECT] = "cannot reach",
    };
    snprintf(text, size, "%c %s node %d%s", 'A' + action.client, verbs[action.kind],
             action.node + 1, action.count ? ", which has run what was under way" : "");
}

static void tell_command(const struct world *after, struct action action, char *text, size_t size)
{
    static const char *const verbs[ACTION_KINDS] = {
        [ACQUIRE] = "acquires",          [EXTEND] = "extends",
        [RELEASE] = "releases",          [CANCEL] = "gives up its acquire",
        [TIME] = "sees what time it is",
    };
    const struct rlk_lock *lock = &after->clients[action.client].lock;
    snprintf(text, size, "%c %s: %s, %s", 'A' + action.client, verbs[action.kind],
             states[lock->state], outcomes[lock->outcome]);
}

void tell_action(const struct world *before, const struct world *after, struct action action,
                 char *text, size_t size)
{
    switch (action.kind) {
    case TICK:
        snprintf(text, size, "time passes");
        break;
    case RESTART:
        snprintf(text, size, "node %d restarts without its data", action.node + 1);
        break;
    case ANSWER:
    case RUN:
    case RUN_LATE:
    case BUSY:
        tell_run(before, action, text, size);
        break;
    case READ:
        tell_read(before, action, text, size);
        break;
    case GHOST:
        tell_ghost(before, action, text, size);
        break;
    case REFUSE:
    case BREAK:
    case HAUNT:
    case CONNECT:
    case FAIL_TO_CONNECT:
        tell_of_link(action, text, size);
        break;
    default:
        tell_command(after, action, text, size);
    }
}

/* ---- how things stand ---- */

static void tell_client(const struct world *world, int index, FILE *out)
{
    const struct client *client = &world->clients[index];
    const struct rlk_lock *lock = &client->lock;
    fprintf(out, "       %c: %s, %s", 'A' + index, states[lock->state], outcomes[lock->outcome]);
    if (lock->state == RLK_OWNED)
        fprintf(out, " with %s and fence %d until %d ms", lock->lease.token, (int)lock->lease.fence,
                (int)lock->deadline_ms);
    for (int node = 0; node < world->scene->nodes; node++)
        if (client->links[node].phase != LINK_UP)
            fprintf(out, "; node %d%s", node + 1, phases[client->links[node].phase]);
    fputc('\n', out);
}

static void tell_node(const struct world *world, int index, FILE *out)
{
    const struct node *node = &world->nodes[index];
    char token[3];
    token_text(node->token, token);
    fprintf(out, "  node %d: %s, fence %d", index + 1, node->token ? token : "free",
            (int)node->fence);
    if (node->token)
        fprintf(out, ", for another %d ms by its own clock",
                (int)(node->expires_ms - node_clock_ms(world, index, world->now_ms)));
    fputc('\n', out);
}

void tell_world(const struct world *world, FILE *out)
{
    fprintf(out, "  at %d ms\n", (int)world->now_ms);
    for (int index = 0; index < CLIENTS; index++)
        tell_client(world, index, out);
    for (int node = 0; node < world->scene->nodes; node++)
        tell_node(world, node, out);
}
