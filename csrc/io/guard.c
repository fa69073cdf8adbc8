/* A loop over three descriptors: the supervisor's socket, SIGCHLD, and a timer on CLOCK_BOOTTIME, so
 * that a machine that wakes from suspend is judged at once. All other signals stay blocked.
 *
 * The command's first process is kept as a zombie after its end, unless its group is being ended:
 * so its number still means that group to whoever sends it a signal. */
#include "io/guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/request.h"
#include "io/system.h"
#include "io/warden.h"

#define LOOK_MS 20           /* how often the rest of a group is looked for */
#define DESCRIPTORS_MAX 4096 /* beyond this many nothing is closed */

static void tell(struct rlk_guard *guard)
{
    send(guard->socket, "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT); /* full: it was told */
}

/* Who holds a pipe's other end would keep its reader from seeing the end. */
static void close_the_rest(const struct rlk_guard *guard)
{
    struct rlimit limit;
    int most = DESCRIPTORS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < DESCRIPTORS_MAX)
        most = (int)limit.rlim_cur;
    for (int fd = 0; fd < most; fd++)
        if (fd != guard->socket && fd != guard->signals && fd != guard->timer)
            close(fd);
}

static void start(struct rlk_guard *guard)
{
    pid_t pid = rlk_child_start(&guard->terms);
    if (pid > 0) {
        close_the_rest(guard);
        atomic_store(&guard->page->pid, pid);
    } else {
        atomic_store(&guard->page->failure, errno);
    }
    tell(guard);
}

static bool is_started(const struct rlk_guard *guard)
{
    return atomic_load(&guard->page->pid) > 0;
}

static bool has_ended(const struct rlk_guard *guard)
{
    return atomic_load(&guard->page->has_ended);
}

static bool is_ending(const struct rlk_guard *guard)
{
    return atomic_load(&guard->page->ending) != RLK_NOT_ENDING;
}

/* SIGTERM, once; and if it may run, the grace begins. */
static void end_group(struct rlk_guard *guard, enum rlk_ending why, bool may_run)
{
    pid_t group = atomic_load(&guard->page->pid);
    if (!is_started(guard) || (has_ended(guard) && !is_ending(guard)))
        return;
    if (!is_ending(guard)) {
        atomic_store(&guard->page->ending, (int)why);
        kill(-group, SIGTERM);
        tell(guard);
    }
    if (may_run && guard->kill_ms == RLK_NEVER) {
        kill(-group, SIGCONT);
        guard->kill_ms = rlk_clock_ms() + guard->grace_ms;
    }
}

static void take_order(struct rlk_guard *guard)
{
    static char message[sizeof(struct rlk_guard_order) + RLK_GUARD_ENVIRONMENT_MAX];
    struct rlk_guard_order order;
    ssize_t len = recv(guard->socket, message, sizeof message, MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (len < (ssize_t)sizeof order) {
        guard->is_alone = true;
        if (is_ending(guard))
            end_group(guard, RLK_ENDED_BY_DEADLINE, true);
        return;
    }
    memcpy(&order, message, sizeof order);
    if (order.word == RLK_GUARD_END) {
        end_group(guard, RLK_ENDED_AS_TOLD, true);
    } else if (!is_started(guard)) {
        guard->terms.environment = message + sizeof order;
        guard->terms.environment_len = (size_t)len - sizeof order;
        guard->terms.terminal = order.terminal;
        start(guard);
    }
}

/* ---- the command ---- */

static void note_stops(struct rlk_guard *guard, pid_t pid)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    while (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WCONTINUED | WNOHANG) == 0 && info.si_pid) {
        bool runs = info.si_code == CLD_CONTINUED;
        atomic_store(&guard->page->stopped, runs ? 0 : info.si_status);
        atomic_fetch_add(&guard->page->stops, runs ? 0 : 1);
        if (runs && is_ending(guard))
            end_group(guard, RLK_ENDED_BY_DEADLINE, true);
        tell(guard);
        memset(&info, 0, sizeof info);
    }
}

static void note_end(struct rlk_guard *guard, pid_t pid)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
        return;
    int status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    atomic_store(&guard->page->stopped, 0);
    atomic_store(&guard->page->status, status);
    atomic_store(&guard->page->has_ended, true);
    tell(guard);
}

/* What the command has left behind comes to us when it ends: where the system's first process does not
 * look after orphans, as in a container, nobody else would. */
static void bury_orphans(const struct rlk_guard *guard, pid_t pid)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
        if (info.si_pid == pid && !guard->is_reaped)
            return;
        waitpid(info.si_pid, NULL, WNOHANG);
        memset(&info, 0, sizeof info);
    }
}

static void look_at_command(struct rlk_guard *guard)
{
    struct signalfd_siginfo info;
    pid_t pid = atomic_load(&guard->page->pid);
    while (read(guard->signals, &info, sizeof info) == sizeof info)
        continue;
    if (!is_started(guard))
        return;
    if (!has_ended(guard)) {
        note_stops(guard, pid);
        note_end(guard, pid);
    }
    if (has_ended(guard) && is_ending(guard) && !guard->is_reaped) {
        waitpid(pid, NULL, 0);
        guard->is_reaped = true;
    }
    bury_orphans(guard, pid);
}

/* ---- time ---- */

static void look_at_group(struct rlk_guard *guard)
{
    pid_t group = atomic_load(&guard->page->pid);
    if (!guard->is_reaped || atomic_load(&guard->page->group_has_ended))
        return;
    if (kill(-group, 0) == 0 || errno != ESRCH)
        return;
    atomic_store(&guard->page->group_has_ended, true);
    tell(guard);
}

static void look_at_time(struct rlk_guard *guard)
{
    int64_t now_ms = rlk_clock_ms();
    bool is_stopped = atomic_load(&guard->page->stopped) != 0;
    if (!is_started(guard))
        return;
    look_at_group(guard);
    if (!is_ending(guard) && now_ms >= atomic_load(&guard->page->deadline_ms))
        end_group(guard, RLK_ENDED_BY_DEADLINE, !is_stopped || guard->is_alone);
    if (is_ending(guard) && now_ms >= guard->kill_ms &&
        !atomic_load(&guard->page->group_has_ended)) {
        kill(-atomic_load(&guard->page->pid), SIGKILL);
        guard->kill_ms = now_ms + guard->grace_ms + LOOK_MS;
    }
}

static int64_t next_moment(const struct rlk_guard *guard)
{
    int64_t next_ms = guard->kill_ms;
    if (!is_started(guard) || atomic_load(&guard->page->group_has_ended))
        return RLK_NEVER;
    if (!is_ending(guard))
        return has_ended(guard) ? RLK_NEVER : atomic_load(&guard->page->deadline_ms);
    if (guard->is_reaped && next_ms > rlk_clock_ms() + LOOK_MS)
        next_ms = rlk_clock_ms() + LOOK_MS;
    return next_ms;
}

static void set_timer(const struct rlk_guard *guard)
{
    int64_t next_ms = next_moment(guard);
    struct itimerspec spec;
    memset(&spec, 0, sizeof spec);
    if (next_ms < RLK_NEVER) {
        spec.it_value.tv_sec = (time_t)(next_ms / 1000);
        spec.it_value.tv_nsec = (long)(next_ms % 1000) * 1000000 + 1; /* nothing would disarm it */
    }
    timerfd_settime(guard->timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* ---- the loop ---- */

static bool is_over(const struct rlk_guard *guard)
{
    if (!guard->is_alone)
        return false;
    if (!is_started(guard))
        return true;
    return is_ending(guard) ? atomic_load(&guard->page->group_has_ended) : has_ended(guard);
}

static bool prepare(struct rlk_guard *guard)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigaction(SIGCHLD, &standard, NULL); /* ignored, it would take away what there is to wait for */
    setpgid(0, 0);                       /* what stops or ends the supervisor's does not reach us */
    prctl(PR_SET_NAME, "redlock-warden");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    guard->kill_ms = RLK_NEVER;
    guard->signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    guard->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return guard->signals >= 0 && guard->timer >= 0;
}

_Noreturn void rlk_guard_run(struct rlk_guard *guard)
{
    if (!prepare(guard))
        _exit(1);
    while (!is_over(guard)) {
        struct pollfd polled[] = {
            {guard->signals, POLLIN, 0},
            {guard->timer, POLLIN, 0},
            {guard->is_alone ? -1 : guard->socket, POLLIN, 0},
        };
        set_timer(guard);
        poll(polled, 3, -1);
        if (polled[2].revents)
            take_order(guard);
        look_at_command(guard);
        look_at_time(guard);
    }
    _exit(0);
}
