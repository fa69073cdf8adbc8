/* The login is that of every other connection (core/node); then any reply is taken, within
 * bounds. */
#include "io/console.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/node.h"
#include "core/reader.h"
#include "io/stream.h"
#include "io/system.h"

#define READ_SIZE (16 * 1024)

/* SLOWLOG nests three arrays, ACL GETUSER as many. */
static const struct rlk_reader_bounds bounds = {RLK_CONSOLE_REPLY_MAX, 64 * 1024, 4};

struct rlk_console {
    struct rlk_login login;
    struct rlk_stream stream;
    struct rlk_buffer output;
    struct rlk_reader reader;
    bool is_open;
    char error[192];
};

struct rlk_console *rlk_console_new(const struct rlk_settings *settings, int node)
{
    struct rlk_console *console = calloc(1, sizeof *console);
    if (!console)
        return NULL;
    assert(node >= 0 && node < settings->nodes);
    console->login = rlk_settings_login(settings, &settings->endpoints[node]);
    rlk_stream_init(&console->stream, &settings->endpoints[node], settings->tls);
    return console;
}

void rlk_console_close(struct rlk_console *console)
{
    rlk_stream_close(&console->stream);
    rlk_reader_close(&console->reader);
    rlk_buffer_clear(&console->output);
    console->is_open = false;
}

void rlk_console_free(struct rlk_console *console)
{
    if (!console)
        return;
    rlk_console_close(console);
    rlk_buffer_free(&console->output);
    free(console);
}

bool rlk_console_is_open(const struct rlk_console *console)
{
    return console->is_open;
}

const char *rlk_console_error(const struct rlk_console *console)
{
    return console->error;
}

bool rlk_console_may_tell(const struct rlk_console *console, const char *text, size_t len)
{
    const char *password = console->login.password;
    return !password || !memmem(text, len, password, strlen(password));
}

/* False, always. */
static bool fail(struct rlk_console *console, const char *error)
{
    snprintf(console->error, sizeof console->error, "%s", error);
    rlk_console_close(console);
    return false;
}

static bool fail_with_stream(struct rlk_console *console)
{
    char error[sizeof console->stream.error];
    memcpy(error, console->stream.error, sizeof error);
    return fail(console, error);
}

/* Sleeps until the descriptor is ready. False if that is not before the deadline. */
static bool await(struct rlk_console *console, bool has_output, int64_t deadline_ms)
{
    struct pollfd watched = {.fd = rlk_stream_fd(&console->stream),
                             .events = rlk_stream_poll_events(&console->stream, has_output)};
    for (;;) {
        int64_t left_ms = deadline_ms - rlk_clock_ms();
        if (left_ms <= 0)
            return false;
        int ready = poll(&watched, 1, left_ms < INT32_MAX ? (int)left_ms : INT32_MAX);
        if (ready > 0)
            return true;
    }
}

/* ---- connecting ---- */

static bool dial(struct rlk_console *console, int64_t deadline_ms)
{
    struct rlk_stream *stream = &console->stream;
    rlk_stream_dial(stream);
    while (stream->state != RLK_STREAM_OPEN) {
        if (stream->state == RLK_STREAM_FAILED)
            return fail_with_stream(console);
        if (!await(console, false, deadline_ms))
            return fail(console, stream->state == RLK_STREAM_SECURING
                                     ? "no TLS handshake within the timeout"
                                     : "no connection within the timeout");
        rlk_stream_advance(stream);
    }
    return true;
}

static bool write_login(struct rlk_console *console, struct rlk_node *node)
{
    size_t len;
    const char *bytes = rlk_node_output(node, &len);
    if (len == 0 && !rlk_stream_has_unwritten(&console->stream))
        return true;
    long written = rlk_stream_write(&console->stream, bytes, len);
    if (written > 0)
        rlk_node_written(node, (size_t)written);
    return written >= 0 || fail_with_stream(console);
}

static bool read_login(struct rlk_console *console, struct rlk_node *node)
{
    char bytes[READ_SIZE];
    long len = rlk_stream_read(&console->stream, bytes, sizeof bytes);
    if (len < 0)
        return fail_with_stream(console);
    rlk_node_feed(node, bytes, (size_t)len);
    return true;
}

static bool refuse(struct rlk_console *console, const struct rlk_vote *vote)
{
    char error[sizeof console->error];
    if (vote->text_len > 0)
        snprintf(error, sizeof error, "%s (%.*s)", rlk_reason_text(vote->reason),
                 (int)vote->text_len, vote->text);
    else
        snprintf(error, sizeof error, "%s", rlk_reason_text(vote->reason));
    return fail(console, error);
}

static bool converse(struct rlk_console *console, struct rlk_node *node, int64_t deadline_ms)
{
    struct rlk_event event;
    if (!rlk_node_open(node))
        return fail(console, rlk_reason_text(RLK_NO_MEMORY));
    for (;;) {
        size_t len;
        if (rlk_node_next_event(node, &event))
            return event.kind == RLK_EVENT_READY || refuse(console, &event.vote);
        if (!write_login(console, node))
            return false;
        rlk_node_output(node, &len);
        bool has_unread = rlk_stream_has_unread(&console->stream);
        if (!has_unread && !await(console, len > 0, deadline_ms))
            return fail(console, "no login within the timeout");
        if (!read_login(console, node))
            return false;
    }
}

bool rlk_console_open(struct rlk_console *console, int64_t timeout_ms)
{
    int64_t deadline_ms = rlk_clock_ms() + timeout_ms;
    if (console->is_open)
        return true;
    if (!dial(console, deadline_ms))
        return false;
    struct rlk_node *node = rlk_node_new(&console->login);
    bool logged_in =
        node ? converse(console, node, deadline_ms) : fail(console, rlk_reason_text(RLK_NO_MEMORY));
    rlk_node_free(node);
    if (!logged_in)
        return false;
    if (!rlk_reader_open(&console->reader, bounds))
        return fail(console, rlk_reason_text(RLK_NO_MEMORY));
    console->is_open = true;
    return true;
}

bool rlk_console_certificate(const struct rlk_console *console, struct rlk_tls_peer *peer)
{
    return console->is_open && console->stream.session &&
           rlk_tls_look(console->stream.session, peer);
}

/* ---- commands ---- */

bool rlk_console_send(struct rlk_console *console, int argc, const char **argv,
                      const size_t *lengths)
{
    assert(console->is_open);
    return rlk_wire_command(&console->output, argc, argv, lengths);
}

static bool write_output(struct rlk_console *console)
{
    size_t len = rlk_buffer_len(&console->output);
    if (len == 0 && !rlk_stream_has_unwritten(&console->stream))
        return true;
    long written = rlk_stream_write(&console->stream, rlk_buffer_bytes(&console->output), len);
    if (written > 0)
        rlk_buffer_consume(&console->output, (size_t)written);
    return written >= 0 || fail_with_stream(console);
}

static bool read_input(struct rlk_console *console)
{
    char bytes[READ_SIZE];
    long len = rlk_stream_read(&console->stream, bytes, sizeof bytes);
    if (len < 0)
        return fail_with_stream(console);
    rlk_reader_feed(&console->reader, bytes, (size_t)len);
    return true;
}

const redisReply *rlk_console_receive(struct rlk_console *console, int64_t timeout_ms)
{
    int64_t deadline_ms = rlk_clock_ms() + timeout_ms;
    assert(console->is_open);
    for (;;) {
        enum rlk_reading reading = rlk_reader_next(&console->reader);
        if (reading == RLK_READ_REPLY)
            return console->reader.reply;
        if (reading == RLK_READ_MALFORMED) {
            fail(console, "a reply that is malformed or too large");
            return NULL;
        }
        if (!write_output(console))
            return NULL;
        bool has_unread = rlk_stream_has_unread(&console->stream);
        if (!has_unread && !await(console, rlk_buffer_len(&console->output) > 0, deadline_ms)) {
            fail(console, "no answer within the timeout");
            return NULL;
        }
        if (!read_input(console))
            return NULL;
    }
}
