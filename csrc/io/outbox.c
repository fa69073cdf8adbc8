/* Two mutexes: one guards the notices, for a few instructions; the other keeps the bell from
 * being replaced while somebody rings it, which is a system call. */
#include "io/outbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct rlk_outbox {
    atomic_int references;
    pthread_mutex_t mutex;
    struct rlk_link notices;
    bool rung; /* and not emptied since */

    pthread_mutex_t bell_mutex;
    int bell;      /* -1: none */
    bool is_event; /* the bell is an eventfd of our own */
};

struct rlk_outbox *rlk_outbox_new(void)
{
    struct rlk_outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox)
        return NULL;
    atomic_init(&outbox->references, 1);
    pthread_mutex_init(&outbox->mutex, NULL);
    pthread_mutex_init(&outbox->bell_mutex, NULL);
    rlk_list_init(&outbox->notices);
    outbox->bell = -1;
    return outbox;
}

void rlk_outbox_retain(struct rlk_outbox *outbox)
{
    atomic_fetch_add(&outbox->references, 1);
}

static void free_notice(struct rlk_notice *notice)
{
    if (notice->on_heap)
        free(notice);
}

void rlk_outbox_drop(struct rlk_outbox *outbox)
{
    struct rlk_link *link;
    if (atomic_fetch_sub(&outbox->references, 1) > 1)
        return;
    while ((link = rlk_list_take_first(&outbox->notices)) != NULL)
        free_notice(rlk_owner(link, struct rlk_notice, link));
    if (outbox->bell >= 0)
        close(outbox->bell);
    pthread_mutex_destroy(&outbox->mutex);
    pthread_mutex_destroy(&outbox->bell_mutex);
    free(outbox);
}

/* ---- the bell ---- */

static bool has_notices(struct rlk_outbox *outbox)
{
    pthread_mutex_lock(&outbox->mutex);
    bool any = !rlk_list_is_empty(&outbox->notices);
    outbox->rung = any;
    pthread_mutex_unlock(&outbox->mutex);
    return any;
}

static void replace_bell(struct rlk_outbox *outbox, int fd, bool is_event)
{
    pthread_mutex_lock(&outbox->bell_mutex);
    if (outbox->bell >= 0)
        close(outbox->bell);
    outbox->bell = fd;
    outbox->is_event = is_event;
    pthread_mutex_unlock(&outbox->bell_mutex);
    if (has_notices(outbox))
        rlk_outbox_ring(outbox);
}

int rlk_outbox_fd(struct rlk_outbox *outbox)
{
    if (!outbox->is_event) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
            return -1;
        replace_bell(outbox, fd, true);
    }
    return outbox->bell;
}

void rlk_outbox_set_bell(struct rlk_outbox *outbox, int fd)
{
    replace_bell(outbox, fd, false);
}

/* A socket that takes no more is full of earlier rings, and one that is broken has nobody behind
 * it: whoever read it will take notice of that. */
void rlk_outbox_ring(struct rlk_outbox *outbox)
{
    ssize_t rung = 0;
    pthread_mutex_lock(&outbox->bell_mutex);
    do {
        if (outbox->bell >= 0 && outbox->is_event)
            rung = eventfd_write(outbox->bell, 1);
        else if (outbox->bell >= 0)
            rung = send(outbox->bell, "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (rung < 0 && errno == EINTR);
    pthread_mutex_unlock(&outbox->bell_mutex);
}

/* ---- notices ---- */

bool rlk_outbox_post(struct rlk_outbox *outbox, struct rlk_notice *notice, bool *must_ring)
{
    pthread_mutex_lock(&outbox->mutex);
    bool posted = notice->state == RLK_UNPOSTED;
    if (posted) {
        notice->state = RLK_POSTED;
        rlk_list_append(&outbox->notices, &notice->link);
    }
    *must_ring = posted && !outbox->rung;
    outbox->rung |= posted;
    pthread_mutex_unlock(&outbox->mutex);
    return posted;
}

bool rlk_outbox_retract(struct rlk_outbox *outbox, struct rlk_notice *notice)
{
    pthread_mutex_lock(&outbox->mutex);
    bool posted = notice->state == RLK_POSTED;
    notice->state = RLK_RETRACTED;
    rlk_unlink(&notice->link);
    pthread_mutex_unlock(&outbox->mutex);
    return !posted;
}

size_t rlk_outbox_take(struct rlk_outbox *outbox, struct rlk_news *news, size_t most)
{
    size_t count = 0;
    eventfd_t rings;
    struct rlk_link *link;
    if (outbox->is_event)
        eventfd_read(outbox->bell, &rings);
    pthread_mutex_lock(&outbox->mutex);
    while (count < most && (link = rlk_list_take_first(&outbox->notices)) != NULL) {
        struct rlk_notice *notice = rlk_owner(link, struct rlk_notice, link);
        news[count++] = (struct rlk_news){notice->tag, notice->word};
        free_notice(notice);
    }
    if (rlk_list_is_empty(&outbox->notices))
        outbox->rung = false;
    pthread_mutex_unlock(&outbox->mutex);
    return count;
}
