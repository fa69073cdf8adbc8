/* Connections that have not sent the whole cookie yet are candidates; a newer one takes the place of
 * the oldest, so that nobody can keep the door blocked by being silent. */
#include "io/doorbell.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/system.h"

#define CANDIDATES 8
#define COOKIE_LEN (RLK_TOKEN_SIZE - 1)

struct candidate {
    int fd; /* -1: none */
    size_t len;
    char said[COOKIE_LEN];
};

struct rlk_doorbell {
    int fd;
    uint16_t port;
    char cookie[RLK_TOKEN_SIZE];
    struct candidate candidates[CANDIDATES];
    size_t oldest;
};

static bool listen_on_loopback(struct rlk_doorbell *doorbell)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    doorbell->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (doorbell->fd < 0 || bind(doorbell->fd, (struct sockaddr *)&address, len) != 0 ||
        listen(doorbell->fd, CANDIDATES) != 0 ||
        getsockname(doorbell->fd, (struct sockaddr *)&address, &len) != 0)
        return false;
    doorbell->port = ntohs(address.sin_port);
    return true;
}

struct rlk_doorbell *rlk_doorbell_new(void)
{
    struct rlk_doorbell *doorbell = calloc(1, sizeof *doorbell);
    if (!doorbell)
        return NULL;
    rlk_random_token(doorbell->cookie);
    for (size_t i = 0; i < CANDIDATES; i++)
        doorbell->candidates[i].fd = -1;
    if (listen_on_loopback(doorbell))
        return doorbell;
    rlk_doorbell_free(doorbell);
    return NULL;
}

static void turn_away(struct candidate *candidate)
{
    if (candidate->fd >= 0)
        close(candidate->fd);
    candidate->fd = -1;
}

void rlk_doorbell_free(struct rlk_doorbell *doorbell)
{
    for (size_t i = 0; i < CANDIDATES; i++)
        turn_away(&doorbell->candidates[i]);
    if (doorbell->fd >= 0)
        close(doorbell->fd);
    free(doorbell);
}

uint16_t rlk_doorbell_port(const struct rlk_doorbell *doorbell)
{
    return doorbell->port;
}

const char *rlk_doorbell_cookie(const struct rlk_doorbell *doorbell)
{
    return doorbell->cookie;
}

static void admit(struct rlk_doorbell *doorbell)
{
    int fd;
    while ((fd = accept4(doorbell->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct candidate *candidate = &doorbell->candidates[doorbell->oldest++ % CANDIDATES];
        turn_away(candidate);
        *candidate = (struct candidate){.fd = fd};
    }
}

static bool knows_cookie(struct rlk_doorbell *doorbell, struct candidate *candidate)
{
    ssize_t len = recv(candidate->fd, candidate->said + candidate->len, COOKIE_LEN - candidate->len,
                       MSG_DONTWAIT);
    if (len > 0)
        candidate->len += (size_t)len;
    if (candidate->len < COOKIE_LEN)
        return false;
    if (memcmp(candidate->said, doorbell->cookie, COOKIE_LEN) == 0)
        return true;
    turn_away(candidate);
    return false;
}

int rlk_doorbell_answer(struct rlk_doorbell *doorbell)
{
    static const int on = 1;
    admit(doorbell);
    for (size_t i = 0; i < CANDIDATES; i++) {
        struct candidate *candidate = &doorbell->candidates[i];
        int fd = candidate->fd;
        if (fd < 0 || !knows_cookie(doorbell, candidate))
            continue;
        candidate->fd = -1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return fd;
    }
    return -1;
}
