/* The thread and the one who asked each hold a reference; whoever lets go last frees. */
#include "io/resolver.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/system.h"

struct rlk_resolution {
    atomic_int references;
    int fd;
    char host[256];
    char port[8];
    struct addrinfo *addresses;
    int error;
};

void rlk_resolution_drop(struct rlk_resolution *resolution)
{
    if (atomic_fetch_sub(&resolution->references, 1) > 1)
        return;
    if (resolution->addresses)
        freeaddrinfo(resolution->addresses);
    close(resolution->fd);
    free(resolution);
}

static void *resolve(void *argument)
{
    struct rlk_resolution *resolution = argument;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    resolution->error =
        getaddrinfo(resolution->host, resolution->port, &hints, &resolution->addresses);
    if (eventfd_write(resolution->fd, 1) != 0)
        resolution->error = EAI_SYSTEM;
    rlk_resolution_drop(resolution);
    return NULL;
}

struct rlk_resolution *rlk_resolve(const char *host, int port)
{
    pthread_t thread;
    struct rlk_resolution *resolution = calloc(1, sizeof *resolution);
    if (!resolution)
        return NULL;
    snprintf(resolution->host, sizeof resolution->host, "%s", host);
    snprintf(resolution->port, sizeof resolution->port, "%d", port);
    resolution->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&resolution->references, 2);
    if (resolution->fd >= 0 && rlk_start_thread(&thread, 0, resolve, resolution)) {
        pthread_detach(thread);
        return resolution;
    }
    if (resolution->fd >= 0)
        close(resolution->fd);
    free(resolution);
    return NULL;
}

int rlk_resolution_fd(const struct rlk_resolution *resolution)
{
    return resolution->fd;
}

struct addrinfo *rlk_resolution_take(struct rlk_resolution *resolution, int *error)
{
    eventfd_t done;
    eventfd_read(resolution->fd, &done);
    struct addrinfo *addresses = resolution->addresses;
    *error = resolution->error;
    resolution->addresses = NULL;
    return addresses;
}
