/* The order of answers on a connection is that of its requests: a queue says what each answers. */
#include "dialogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/scripts.h"
#include "history.h"
#include "resp.h"

#define LINE_SIZE 360
#define WORDS_MAX 64
#define QUEUE_SIZE 256

#define NO_SCRIPT RLK_REQUEST_KINDS

static const char *const names[RLK_REQUEST_KINDS] = {
    [RLK_ACQUIRE] = "acquire", [RLK_ACQUIRE_MANY] = "acquire_many",
    [RLK_EXTEND] = "extend",   [RLK_EXTEND_MANY] = "extend_many",
    [RLK_RELEASE] = "release", [RLK_RELEASE_MANY] = "release_many",
    [RLK_INSPECT] = "inspect",
};

/* What was asked and is not answered yet. */
static struct queue {
    uint8_t kinds[QUEUE_SIZE];
    uint8_t first, next;
} queues[SIM_CONNECTIONS_MAX];

static struct queue *queue_of(const struct sim_connection *connection)
{
    return &queues[connection - sim_connection(0)];
}

/* ---- requests ---- */

static int kind_of(struct sim_word script)
{
    for (int kind = 0; kind < RLK_REQUEST_KINDS; kind++) {
        const struct rlk_script *known = rlk_script((enum rlk_request_kind)kind);
        bool is_sha1 = script.len == 40 && memcmp(script.bytes, known->sha1, 40) == 0;
        bool is_text =
            script.len == known->text_len && memcmp(script.bytes, known->text, script.len) == 0;
        if (is_sha1 || is_text)
            return kind;
    }
    return NO_SCRIPT;
}

/* Tokens and inboxes cut to what tells them apart. */
static size_t write_word(char *out, size_t size, struct sim_word word)
{
    const size_t token_len = RLK_TOKEN_SIZE - 1, prefix_len = 8;
    const char *inbox = memmem(word.bytes, word.len, "redlock:", prefix_len);
    if (word.len == token_len)
        return (size_t)snprintf(out, size, " %.4s", word.bytes);
    if (inbox && word.len >= prefix_len + token_len)
        return (size_t)snprintf(out, size, " inbox-%.4s%.*s", inbox + prefix_len,
                                (int)(word.len - prefix_len - token_len),
                                inbox + prefix_len + token_len);
    return (size_t)snprintf(out, size, " %.*s", (int)(word.len < 48 ? word.len : 48), word.bytes);
}

static void show_request(const struct sim_connection *connection, const char *bytes, size_t size)
{
    struct sim_word words[WORDS_MAX];
    char what[LINE_SIZE];
    int count = sim_resp_words(bytes, size, words, WORDS_MAX), first = 0, kind = NO_SCRIPT;
    size_t at =
        (size_t)snprintf(what, sizeof what, "runs for %s%s:", sim_process_name(connection->process),
                         connection->is_closed ? ", which is gone" : "");
    if (sim_resp_is_script(bytes, size) && count > 2) {
        kind = kind_of(words[1]);
        at += (size_t)snprintf(what + at, sizeof what - at, " %s",
                               kind == NO_SCRIPT ? "a script" : names[kind]);
        first = 3;
    }
    for (int i = first; i < count && at + 80 < sizeof what; i++)
        at += write_word(what + at, sizeof what - at, words[i]);
    sim_history_add(sim_node_name(connection->node), "%s", what);
    struct queue *queue = queue_of(connection);
    queue->kinds[queue->next++] = (uint8_t)kind;
}

void sim_dialogue_requests(struct sim_connection *connection)
{
    const struct sim_pipe *pipe = &connection->pipes[SIM_TO_SERVER];
    size_t size;
    if (!sim_history_is_kept)
        return;
    if (connection->shown == 0)
        *queue_of(connection) = (struct queue){.next = 0};
    while ((size = sim_resp_command_len(pipe->bytes + connection->shown,
                                        pipe->read - connection->shown)) > 0) {
        show_request(connection, pipe->bytes + connection->shown, size);
        connection->shown += (uint32_t)size;
    }
}

/* ---- answers ---- */

/* Of an array of three: the second, a number, and the third, a text. */
static void describe_refused(char *out, size_t size, const char *bytes, size_t len)
{
    const char *text = memchr(bytes, '$', len);
    const char *fence = text ? strchr(text, '\n') : NULL;
    if (strncmp(bytes, "*3\r\n:0\r\n:", 9) == 0 && fence)
        snprintf(out, size, "held for %ld ms, fence %ld", strtol(bytes + 9, NULL, 10),
                 strtol(fence, NULL, 10));
    else if (strncmp(bytes, "*2\r\n:-1\r\n", 9) == 0 && fence)
        snprintf(out, size, "free, but outbid by fence %ld", strtol(fence, NULL, 10));
}

static void describe_status(char *out, size_t size, int kind, const char *bytes)
{
    bool acquires = kind == RLK_ACQUIRE || kind == RLK_ACQUIRE_MANY;
    bool extends = kind == RLK_EXTEND || kind == RLK_EXTEND_MANY;
    if (*bytes == ':' && bytes[1] == '1')
        snprintf(out, size, "%s", acquires ? "granted" : extends ? "extended" : "released");
    else if (*bytes == ':')
        snprintf(out, size, "%s", bytes[1] == '0' ? "absent" : "another's");
}

/* As it was sent, in one line. */
static void copy_line(char *out, size_t size, const char *bytes, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; i < len && at < size - 1; i++)
        if (bytes[i] != '\r')
            out[at++] = bytes[i] == '\n' ? ' ' : bytes[i];
    out[at] = '\0';
}

static void describe(char *out, size_t size, int kind, const char *bytes, size_t len)
{
    copy_line(out, size, bytes, len);
    if (*bytes == '$' && len > 60)
        snprintf(out, size, "(a text)");
    if (kind == RLK_ACQUIRE)
        describe_refused(out, size, bytes, len);
    if (kind != NO_SCRIPT)
        describe_status(out, size, kind, bytes);
}

static bool is_message(const char *bytes, size_t len)
{
    return len > 12 && memcmp(bytes, "*3\r\n$7\r\nmess", 12) == 0;
}

static void show_reply(const struct sim_connection *connection, const char *bytes, size_t size)
{
    char what[160];
    const char *process = sim_process_name(connection->process);
    const char *node = sim_node_name(connection->node);
    struct queue *queue = queue_of(connection);
    struct sim_word words[3];
    if (is_message(bytes, size) && sim_resp_words(bytes, size, words, 3) == 3) {
        write_word(what, sizeof what, words[1]);
        sim_history_add(node, "tells %s by%s: %.*s", process, what, (int)words[2].len,
                        words[2].bytes);
        return;
    }
    int kind = queue->first == queue->next ? NO_SCRIPT : queue->kinds[queue->first++];
    describe(what, sizeof what, kind, bytes, size);
    sim_history_add(node, "answers %s: %s", process, what);
}

void sim_dialogue_reply(const struct sim_connection *connection, const char *bytes, size_t len)
{
    size_t size;
    if (!sim_history_is_kept || !connection)
        return;
    for (size_t at = 0; at < len && (size = sim_resp_reply_len(bytes + at, len - at)) > 0;
         at += size)
        show_reply(connection, bytes + at, size);
}

void sim_dialogue_refusal(struct sim_connection *connection, size_t len, const char *error)
{
    const struct sim_pipe *pipe = &connection->pipes[SIM_TO_SERVER];
    if (!sim_history_is_kept)
        return;
    sim_dialogue_requests(connection);
    show_request(connection, pipe->bytes + connection->shown, len);
    connection->shown += (uint32_t)len;
    sim_dialogue_reply(connection, error, strlen(error));
}
