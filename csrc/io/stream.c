/* Every address of a host is tried in the resolver's order; the caller's deadline covers them
 * all. */
#include "io/stream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void fail(struct rlk_stream *stream, const char *error)
{
    snprintf(stream->error, sizeof stream->error, "%s", error);
    stream->state = RLK_STREAM_FAILED;
}

static void fail_with_errno(struct rlk_stream *stream, int number)
{
    char text[96];
    fail(stream, strerror_r(number, text, sizeof text));
}

void rlk_stream_init(struct rlk_stream *stream, const struct rlk_endpoint *endpoint,
                     const struct rlk_tls *tls)
{
    *stream = (struct rlk_stream){.endpoint = endpoint, .tls = tls, .fd = -1};
}

static void close_fd(struct rlk_stream *stream)
{
    int fd = stream->fd;
    stream->fd = -1; /* first, so that a fork in another thread never sees a closed number here */
    if (fd >= 0)
        close(fd);
}

void rlk_stream_close(struct rlk_stream *stream)
{
    close_fd(stream);
    if (stream->resolution)
        rlk_resolution_drop(stream->resolution);
    if (stream->addresses)
        freeaddrinfo(stream->addresses);
    rlk_tls_close(stream->session);
    rlk_buffer_free(&stream->wire);
    rlk_stream_init(stream, stream->endpoint, stream->tls);
}

/* ---- connecting ---- */

static void secure(struct rlk_stream *stream)
{
    if (stream->endpoint->transport != RLK_TLS) {
        stream->state = RLK_STREAM_OPEN;
        return;
    }
    stream->state = RLK_STREAM_SECURING;
    stream->session = rlk_tls_open(stream->tls, stream->endpoint->host);
    if (!stream->session)
        fail(stream, "TLS cannot be set up for this host");
    else
        rlk_stream_advance(stream);
}

/* So that a peer that vanished without a word, as by a power cut, is noticed within half a minute by
 * a connection that only reads. */
static void keep_alive(int fd)
{
    int on = 1, idle_s = 10, interval_s = 5, probes = 3;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/* True if it is connected or on its way. */
static bool connect_to(struct rlk_stream *stream, const struct sockaddr *address, socklen_t len)
{
    int on = 1;
    stream->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stream->fd < 0) {
        fail_with_errno(stream, errno);
        return false;
    }
    if (address->sa_family != AF_UNIX) {
        setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        keep_alive(stream->fd);
    }
    if (connect(stream->fd, address, len) == 0) {
        secure(stream);
        if (stream->state == RLK_STREAM_FAILED)
            close_fd(stream);
        return stream->state != RLK_STREAM_FAILED;
    }
    if (errno == EINPROGRESS) {
        stream->state = RLK_STREAM_CONNECTING;
        return true;
    }
    fail_with_errno(stream, errno);
    close_fd(stream);
    return false;
}

static void connect_to_next(struct rlk_stream *stream)
{
    while (stream->next_address) {
        struct addrinfo *address = stream->next_address;
        stream->next_address = address->ai_next;
        if (connect_to(stream, address->ai_addr, address->ai_addrlen))
            return;
    }
}

static void connect_to_path(struct rlk_stream *stream)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert(strlen(stream->endpoint->host) < sizeof address.sun_path);
    strcpy(address.sun_path, stream->endpoint->host);
    connect_to(stream, (const struct sockaddr *)&address, sizeof address);
}

void rlk_stream_dial(struct rlk_stream *stream)
{
    const struct rlk_endpoint *endpoint = stream->endpoint;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    char port[8];
    assert(stream->state == RLK_STREAM_CLOSED);
    if (endpoint->transport == RLK_UNIX) {
        connect_to_path(stream);
        return;
    }
    snprintf(port, sizeof port, "%d", endpoint->port);
    if (getaddrinfo(endpoint->host, port, &hints, &stream->addresses) == 0) {
        stream->next_address = stream->addresses;
        connect_to_next(stream);
        return;
    }
    stream->addresses = NULL;
    stream->resolution = rlk_resolve(endpoint->host, endpoint->port);
    stream->state = RLK_STREAM_RESOLVING;
    if (!stream->resolution)
        fail(stream, "no thread or descriptor to resolve the host with");
}

static void end_resolution(struct rlk_stream *stream)
{
    int error;
    stream->addresses = rlk_resolution_take(stream->resolution, &error);
    rlk_resolution_drop(stream->resolution);
    stream->resolution = NULL;
    stream->next_address = stream->addresses;
    if (stream->addresses)
        connect_to_next(stream);
    else
        fail(stream, error == EAI_SYSTEM ? "the host cannot be resolved" : gai_strerror(error));
}

static void end_connect(struct rlk_stream *stream)
{
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error == 0) {
        secure(stream);
        return;
    }
    close_fd(stream);
    fail_with_errno(stream, error);
    connect_to_next(stream);
}

/* ---- the wire ---- */

/* As rlk_stream_read(), of the bytes on the wire. */
static long receive(struct rlk_stream *stream, char *bytes, size_t size)
{
    ssize_t len;
    do
        len = recv(stream->fd, bytes, size, 0);
    while (len < 0 && errno == EINTR);
    if (len > 0)
        return len;
    if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (len == 0)
        fail(stream, "closed by the server");
    else
        fail_with_errno(stream, errno);
    return -1;
}

static long transmit(struct rlk_stream *stream, const char *bytes, size_t len)
{
    ssize_t sent;
    do
        sent = send(stream->fd, bytes, len, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    fail_with_errno(stream, errno);
    return -1;
}

/* ---- TLS ---- */

static bool flush_wire(struct rlk_stream *stream)
{
    if (!rlk_tls_drain(stream->session, &stream->wire)) {
        fail(stream, "no memory for TLS");
        return false;
    }
    size_t len = rlk_buffer_len(&stream->wire);
    long sent = len ? transmit(stream, rlk_buffer_bytes(&stream->wire), len) : 0;
    if (sent > 0)
        rlk_buffer_consume(&stream->wire, (size_t)sent);
    return sent >= 0;
}

/* Feeds what has arrived to the session: how many bytes, 0 for none, -1 if the stream FAILED. */
static long feed_session(struct rlk_stream *stream)
{
    char bytes[16 * 1024];
    long len = receive(stream, bytes, sizeof bytes);
    if (len > 0 && !rlk_tls_feed(stream->session, bytes, (size_t)len)) {
        fail(stream, "no memory for TLS");
        return -1;
    }
    return len;
}

static void go_on_securing(struct rlk_stream *stream)
{
    for (;;) {
        enum rlk_tls_progress progress =
            rlk_tls_handshake(stream->session, stream->error, sizeof stream->error);
        if (!flush_wire(stream))
            return;
        if (progress == RLK_TLS_DONE)
            stream->state = RLK_STREAM_OPEN;
        if (progress == RLK_TLS_FAILED)
            stream->state = RLK_STREAM_FAILED;
        if (progress != RLK_TLS_WANTS_BYTES || feed_session(stream) <= 0)
            return;
    }
}

static long read_tls(struct rlk_stream *stream, char *bytes, size_t size)
{
    for (;;) {
        long len = rlk_tls_read(stream->session, bytes, size);
        if (len > 0)
            return len;
        if (len < 0) {
            fail(stream, "the TLS session ended");
            return -1;
        }
        len = feed_session(stream);
        if (len <= 0)
            return len;
    }
}

static long write_tls(struct rlk_stream *stream, const char *bytes, size_t len)
{
    if (!rlk_tls_write(stream->session, bytes, len)) {
        fail(stream, "the TLS session ended");
        return -1;
    }
    return flush_wire(stream) ? (long)len : -1;
}

/* ---- the stream ---- */

int rlk_stream_fd(const struct rlk_stream *stream)
{
    return stream->state == RLK_STREAM_RESOLVING ? rlk_resolution_fd(stream->resolution)
                                                 : stream->fd;
}

bool rlk_stream_has_unwritten(const struct rlk_stream *stream)
{
    return rlk_buffer_len(&stream->wire) > 0;
}

bool rlk_stream_has_unread(const struct rlk_stream *stream)
{
    return stream->session && rlk_tls_has_unread(stream->session);
}

short rlk_stream_poll_events(const struct rlk_stream *stream, bool has_output)
{
    if (stream->state == RLK_STREAM_CONNECTING)
        return POLLOUT;
    return (short)(POLLIN | (has_output || rlk_stream_has_unwritten(stream) ? POLLOUT : 0));
}

void rlk_stream_advance(struct rlk_stream *stream)
{
    switch (stream->state) {
    case RLK_STREAM_RESOLVING:
        end_resolution(stream);
        break;
    case RLK_STREAM_CONNECTING:
        end_connect(stream);
        break;
    case RLK_STREAM_SECURING:
        go_on_securing(stream);
        break;
    default:
        break;
    }
}

long rlk_stream_read(struct rlk_stream *stream, char *bytes, size_t size)
{
    assert(stream->state == RLK_STREAM_OPEN);
    return stream->session ? read_tls(stream, bytes, size) : receive(stream, bytes, size);
}

long rlk_stream_write(struct rlk_stream *stream, const char *bytes, size_t len)
{
    assert(stream->state == RLK_STREAM_OPEN);
    return stream->session ? write_tls(stream, bytes, len) : transmit(stream, bytes, len);
}
