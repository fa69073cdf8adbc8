/* Lines are kept in one growing text, and offsets of their beginnings for the last so many. */
#include "history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "core/scripts.h"
#include "judge.h"
#include "judge_rooms.h"
#include "memory.h"
#include "report.h"
#include "resp.h"

#define LINE_MAX_LEN 400
#define WORDS_MAX 64

bool sim_history_is_kept;

static char *text;
static size_t capacity, len;

void sim_history_begin(void)
{
    len = 0;
}

static void add_line(const char *who, const char *what)
{
    text = sim_memory_grow(text, &capacity, len + LINE_MAX_LEN + 64, 1);
    len += (size_t)snprintf(text + len, LINE_MAX_LEN, "%13.6f  %-9s  %s", (double)sim.now_us / 1e6,
                            who, what);
    if (text[len - 1] != '\n')
        text[len++] = '\n';
}

void sim_history_line(const char *who, const char *format, ...)
{
    char what[LINE_MAX_LEN - 40];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    add_line(who, what);
}

void sim_history_print(FILE *out, int last)
{
    size_t from = last < 0 ? 0 : len;
    for (int lines = 0; from > 0; from--)
        if (text[from - 1] == '\n' && lines++ == last)
            break;
    fwrite(text + from, 1, len - from, out);
}

const char *sim_process_name(int process)
{
    static char names[SIM_PROCESSES_MAX][24];
    char *name = names[process];
    snprintf(name, sizeof names[0], "%s %d", sim.mix.is_loop[process] ? "loop" : "script",
             process + 1);
    return name;
}

static const char *node_name(int node)
{
    static char names[SIM_NODES_MAX][24];
    snprintf(names[node], sizeof names[0], "node %d", node + 1);
    return names[node];
}

void sim_history_network(const char *what, int number, const struct sim_connection *connection)
{
    if (sim_history_is_kept)
        sim_history_add("network", "connection %d of %s with node %d: %s", number,
                        sim_process_name(connection->process), connection->node + 1, what);
}

void sim_history_write(int tenure, bool is_taken)
{
    if (sim_history_is_kept)
        sim_history_add("store", "%s a write by %s to %s with fence %" PRId64,
                        is_taken ? "takes" : "refuses",
                        sim_process_name(sim_number_of(sim_tenure(tenure)->process)),
                        sim_lock_name(sim_tenure_lock(tenure), NULL), sim_tenure_fence(tenure));
}

/* ---- what goes over the wire ---- */

static const char *script_name(struct sim_word sha1)
{
    static const char *const names[RLK_REQUEST_KINDS] = {
        [RLK_ACQUIRE] = "acquire", [RLK_ACQUIRE_MANY] = "acquire_many",
        [RLK_EXTEND] = "extend",   [RLK_EXTEND_MANY] = "extend_many",
        [RLK_RELEASE] = "release", [RLK_RELEASE_MANY] = "release_many",
        [RLK_INSPECT] = "inspect",
    };
    for (int kind = 0; kind < RLK_REQUEST_KINDS; kind++) {
        const struct rlk_script *script = rlk_script((enum rlk_request_kind)kind);
        bool is_sha1 = sha1.len == 40 && memcmp(sha1.bytes, script->sha1, 40) == 0;
        bool is_text = sha1.len == script->text_len && !memcmp(sha1.bytes, script->text, sha1.len);
        if (is_sha1 || is_text)
            return names[kind];
    }
    return "a script";
}

static bool is_token(struct sim_word word)
{
    return word.len == RLK_TOKEN_SIZE - 1;
}

/* Tokens and inboxes cut to what tells them apart. */
static size_t write_word(char *out, size_t size, struct sim_word word)
{
    const char *inbox = memmem(word.bytes, word.len, "redlock:", 8);
    if (is_token(word))
        return (size_t)snprintf(out, size, " %.4s", word.bytes);
    if (inbox && word.len >= 8 + RLK_TOKEN_SIZE - 1)
        return (size_t)snprintf(out, size, " inbox-%.4s%.*s", inbox + 8,
                                (int)(word.len - 8 - (RLK_TOKEN_SIZE - 1)),
                                inbox + 8 + RLK_TOKEN_SIZE - 1);
    return (size_t)snprintf(out, size, " %.*s", (int)(word.len < 48 ? word.len : 48), word.bytes);
}

static void add_request(const struct sim_connection *connection, const char *bytes, size_t size)
{
    struct sim_word words[WORDS_MAX];
    char what[LINE_MAX_LEN - 40];
    int count = sim_resp_words(bytes, size, words, WORDS_MAX), first = 0;
    size_t at =
        (size_t)snprintf(what, sizeof what, "runs for %s%s:", sim_process_name(connection->process),
                         connection->is_closed ? ", which is gone" : "");
    if (sim_resp_is_script(bytes, size) && count > 2) {
        at += (size_t)snprintf(what + at, sizeof what - at, " %s", script_name(words[1]));
        first = 3;
    }
    for (int i = first; i < count && at + 80 < sizeof what; i++)
        at += write_word(what + at, sizeof what - at, words[i]);
    sim_history_add(node_name(connection->node), "%s", what);
}

void sim_history_requests(struct sim_connection *connection)
{
    const struct sim_pipe *pipe = &connection->pipes[SIM_TO_SERVER];
    size_t size;
    while (sim_history_is_kept &&
           (size = sim_resp_command_len(pipe->bytes + connection->shown,
                                        pipe->read - connection->shown)) > 0) {
        add_request(connection, pipe->bytes + connection->shown, size);
        connection->shown += (uint32_t)size;
    }
}

static void add_reply(const struct sim_connection *connection, const char *bytes, size_t size)
{
    char what[160];
    size_t at = 0;
    bool is_text = *bytes == '$' && size > 60;
    for (size_t i = 0; i < size && at < sizeof what - 1 && !is_text; i++)
        if (bytes[i] != '\r')
            what[at++] = bytes[i] == '\n' ? ' ' : bytes[i];
    what[at] = '\0';
    sim_history_add(node_name(connection->node), "answers %s: %s",
                    sim_process_name(connection->process), is_text ? "(a text)" : what);
}

void sim_history_reply(const struct sim_connection *connection, const char *bytes, size_t size)
{
    size_t one;
    if (!sim_history_is_kept || !connection)
        return;
    for (size_t at = 0; at < size && (one = sim_resp_reply_len(bytes + at, size - at)) > 0;
         at += one)
        add_reply(connection, bytes + at, one);
}
