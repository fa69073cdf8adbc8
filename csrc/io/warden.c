/* The supervisor's side: a page, a socket by which orders go and a bell comes, and a process id.
 * What the process itself does is in guard.c. */
#include "io/warden.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/guard.h"
#include "io/signals.h"

struct rlk_warden {
    struct rlk_guard_page *page;
    int socket;
    pid_t pid;
    bool is_gone;
};

static struct rlk_guard_page *new_page(void)
{
    struct rlk_guard_page *page =
        mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? NULL : page;
}

static bool fork_guard(struct rlk_warden *warden, char *const *argv, int64_t grace_ms)
{
    int sockets[2];
    struct sigaction children;
    sigset_t all, mask;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
        return false;
    struct rlk_guard guard = {.page = warden->page, .socket = sockets[1], .grace_ms = grace_ms};
    guard.terms = (struct rlk_child_terms){.argv = argv, .mask = *rlk_signals_before()};
    sigaction(SIGCHLD, NULL, &children);
    guard.terms.ignores_children = children.sa_handler == SIG_IGN;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask); /* no signal meets the guard unprepared */
    warden->pid = fork();
    if (warden->pid == 0) {
        close(sockets[0]);
        rlk_guard_run(&guard);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
    warden->socket = sockets[0];
    close(sockets[1]);
    return warden->pid > 0;
}

struct rlk_warden *rlk_warden_new(char *const *argv, int64_t grace_ms)
{
    struct rlk_warden *warden = calloc(1, sizeof *warden);
    if (!warden)
        return NULL;
    warden->socket = -1;
    warden->page = new_page();
    if (warden->page && fork_guard(warden, argv, grace_ms))
        return warden;
    int failure = errno;
    rlk_warden_free(warden);
    errno = failure;
    return NULL;
}

static bool order(struct rlk_warden *warden, struct rlk_guard_order order, const char *text,
                  size_t len)
{
    struct iovec parts[] = {{&order, sizeof order}, {(char *)text, len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent;
    do
        sent = sendmsg(warden->socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

void rlk_warden_credit(struct rlk_warden *warden, int64_t deadline_ms)
{
    if (deadline_ms > atomic_load(&warden->page->deadline_ms))
        atomic_store(&warden->page->deadline_ms, deadline_ms);
}

bool rlk_warden_start(struct rlk_warden *warden, const char *environment, size_t len, int terminal,
                      int64_t deadline_ms)
{
    struct rlk_guard_order start = {RLK_GUARD_START, terminal};
    if (len > RLK_GUARD_ENVIRONMENT_MAX) {
        errno = E2BIG;
        return false;
    }
    rlk_warden_credit(warden, deadline_ms);
    return order(warden, start, environment, len);
}

void rlk_warden_end(struct rlk_warden *warden)
{
    order(warden, (struct rlk_guard_order){RLK_GUARD_END, -1}, NULL, 0);
}

int rlk_warden_fd(const struct rlk_warden *warden)
{
    return warden->socket;
}

static void drain(struct rlk_warden *warden)
{
    char ring;
    ssize_t got;
    do
        got = recv(warden->socket, &ring, 1, MSG_DONTWAIT);
    while (got > 0 || (got < 0 && errno == EINTR));
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
        warden->is_gone = true;
}

void rlk_warden_look(struct rlk_warden *warden, struct rlk_command_state *state)
{
    struct rlk_guard_page *page = warden->page;
    drain(warden);
    /* Backwards: what ended was started. */
    state->warden_is_gone = warden->is_gone;
    state->group_has_ended = atomic_load(&page->group_has_ended);
    state->has_ended = atomic_load(&page->has_ended);
    state->status = atomic_load(&page->status);
    state->ending = (enum rlk_ending)atomic_load(&page->ending);
    state->stopped = atomic_load(&page->stopped);
    state->stops = atomic_load(&page->stops);
    state->failure = atomic_load(&page->failure);
    state->pid = atomic_load(&page->pid);
}

/* The guard keeps the number from being used again. */
void rlk_warden_signal(struct rlk_warden *warden, int signal, bool whole_group)
{
    pid_t pid = atomic_load(&warden->page->pid);
    if (pid > 0 && !atomic_load(&warden->page->group_has_ended))
        kill(whole_group ? -pid : pid, signal);
}

/* It ends as soon as it sees that we are gone. */
static bool has_nothing_to_do(const struct rlk_warden *warden)
{
    struct rlk_guard_page *page = warden->page;
    if (warden->is_gone || !page || !atomic_load(&page->pid))
        return true;
    return atomic_load(&page->ending) ? atomic_load(&page->group_has_ended)
                                      : atomic_load(&page->has_ended);
}

void rlk_warden_free(struct rlk_warden *warden)
{
    struct rlk_guard_page *page = warden->page;
    bool is_over = has_nothing_to_do(warden);
    if (warden->socket >= 0)
        close(warden->socket);
    if (warden->pid > 0 && is_over)
        while (waitpid(warden->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    if (page)
        munmap(page, sizeof *page);
    free(warden);
}
