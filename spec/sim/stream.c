/* io/stream.h over simulated connections, all of them plain TCP. */
#include "io/stream.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>

#include "network.h"

static void fail(struct rlk_stream *stream, const char *error)
{
    snprintf(stream->error, sizeof stream->error, "%s", error);
    stream->state = RLK_STREAM_FAILED;
}

void rlk_stream_init(struct rlk_stream *stream, const struct rlk_endpoint *endpoint,
                     const struct rlk_tls *tls)
{
    *stream = (struct rlk_stream){.endpoint = endpoint, .tls = tls, .fd = -1};
}

void rlk_stream_dial(struct rlk_stream *stream)
{
    assert(stream->state == RLK_STREAM_CLOSED);
    stream->fd = sim_network_dial(sim_self(), stream->endpoint->port);
    if (stream->fd < 0)
        fail(stream, "too many connections");
    else
        stream->state = RLK_STREAM_CONNECTING;
}

int rlk_stream_fd(const struct rlk_stream *stream)
{
    return stream->fd;
}

short rlk_stream_poll_events(const struct rlk_stream *stream, bool has_output)
{
    if (stream->state == RLK_STREAM_CONNECTING)
        return POLLOUT;
    return (short)(POLLIN | (has_output ? POLLOUT : 0));
}

void rlk_stream_advance(struct rlk_stream *stream)
{
    if (stream->state != RLK_STREAM_CONNECTING)
        return;
    const struct sim_connection *connection = sim_connection(stream->fd);
    if (connection->is_broken)
        fail(stream, "Connection refused");
    else if (connection->is_open)
        stream->state = RLK_STREAM_OPEN;
}

long rlk_stream_read(struct rlk_stream *stream, char *bytes, size_t size)
{
    assert(stream->state == RLK_STREAM_OPEN);
    struct sim_connection *connection = sim_connection(stream->fd);
    size_t len = sim_network_read(connection, bytes, size);
    if (len > 0)
        return (long)len;
    if (!connection->is_broken && !connection->pipes[SIM_TO_CLIENT].has_ended)
        return 0;
    fail(stream, connection->is_broken ? "Connection reset by peer" : "closed by the server");
    return -1;
}

long rlk_stream_write(struct rlk_stream *stream, const char *bytes, size_t len)
{
    assert(stream->state == RLK_STREAM_OPEN);
    struct sim_connection *connection = sim_connection(stream->fd);
    if (!connection->is_broken)
        return (long)sim_network_write(connection, bytes, len);
    fail(stream, "Broken pipe");
    return -1;
}

bool rlk_stream_has_unwritten(const struct rlk_stream *stream)
{
    (void)stream;
    return false;
}

bool rlk_stream_has_unread(const struct rlk_stream *stream)
{
    (void)stream;
    return false;
}

void rlk_stream_close(struct rlk_stream *stream)
{
    if (stream->fd >= 0)
        sim_network_close(sim_connection(stream->fd));
    rlk_stream_init(stream, stream->endpoint, stream->tls);
}

/* Nothing here is encrypted. */
void rlk_tls_free(struct rlk_tls *tls)
{
    (void)tls;
}
