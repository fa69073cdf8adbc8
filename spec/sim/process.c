/* Threads change places where they wait, and, as drawn, where they look at a clock or come to a
 * mutex. A wait for descriptors ends with a lag, as a scheduler's would. */
#include "process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "judge.h"
#include "memory.h"
#include "network.h"
#include "replaced.h"
#include "report.h"

#undef poll
#undef close

#define MUTEX_LOOK_US 100
#define TODAY_US INT64_C(1700000000000000)
#define WAKE_LAG_US 40
#define TIMER_LAG_US 120
#define IDLE_LOOKS_MAX 3
#define EVENT_FDS_MAX 256
#define EVENT_FD_FIRST SIM_CONNECTIONS_MAX

static struct event_fd {
    bool is_used;
    uint64_t rings;
    int poller;
} event_fds[EVENT_FDS_MAX];

static struct event_fd *event_fd_of(int fd)
{
    return fd >= EVENT_FD_FIRST ? &event_fds[fd - EVENT_FD_FIRST] : NULL;
}

/* ---- processes ---- */

void sim_process_set_wall(struct sim_process *process)
{
    int64_t right_us = TODAY_US + sim.now_us - sim_clock_us(process);
    process->wall_us = right_us + sim_between(-1000, 1000) * (sim.mix.wall_us / 1000);
}

static void begin(struct sim_process *process)
{
    const struct sim_mix *mix = &sim.mix;
    *process = (struct sim_process){.is_alive = true};
    process->clock.rate_ppm = sim_between(-mix->client_ppm, mix->client_ppm);
    process->clock.base_us = 1000000 + sim_below(1000000000);
    sim_process_set_wall(process);
}

void sim_processes_begin(void)
{
    sim.thread_count = 0;
    memset(event_fds, 0, sizeof event_fds);
    for (int i = 0; i < SIM_FIBERS_MAX; i++)
        sim.wake_at_us[i] = SIM_NEVER;
    for (int i = 0; i < sim.mix.processes; i++)
        begin(&sim.processes[i]);
}

int64_t sim_clock_us(const struct sim_process *process)
{
    return sim_clock_read(&process->clock, sim.now_us);
}

static void close_connections(const struct sim_process *process)
{
    for (int i = 0; i < sim_connection_count(); i++) {
        struct sim_connection *connection = sim_connection(i);
        if (connection->is_used && !connection->is_closed &&
            connection->process == sim_number_of(process))
            sim_network_close(connection);
    }
}

int64_t sim_process_stopped_us(const struct sim_process *process)
{
    int64_t until_us = process->paused_until_us;
    for (int i = 0; i < sim.thread_count; i++) {
        const struct sim_thread *thread = &sim.threads[i];
        if (thread->process == process && thread->starved_until_us > until_us)
            until_us = thread->starved_until_us;
        if (thread->process == process && thread->delayed_until_us > until_us)
            until_us = thread->delayed_until_us;
    }
    return process->stopped_us - (until_us > sim.now_us ? until_us - sim.now_us : 0);
}

bool sim_process_is_delayed(const struct sim_process *process)
{
    for (int i = 0; i < sim.thread_count; i++)
        if (sim.threads[i].process == process && sim.threads[i].delayed_until_us > sim.now_us)
            return true;
    return false;
}

void sim_process_kill(struct sim_process *process)
{
    process->is_alive = false;
    for (int i = 0; i < sim.thread_count; i++)
        if (sim.threads[i].process == process) {
            sim.threads[i].is_running = false;
            sim.wake_at_us[i] = SIM_NEVER;
        }
    close_connections(process);
}

bool sim_process_has_threads(const struct sim_process *process)
{
    for (int i = 0; i < sim.thread_count; i++)
        if (sim.threads[i].process == process && sim.threads[i].is_running)
            return true;
    return false;
}

/* ---- threads ---- */

static void live(void *argument)
{
    struct sim_thread *thread = argument;
    thread->run(thread->argument);
    thread->is_running = false;
    if (thread->joined_by >= 0)
        sim_thread_wake(thread->joined_by);
}

int sim_thread_start(struct sim_process *process, void *(*run)(void *), void *argument)
{
    if (sim.thread_count == SIM_FIBERS_MAX)
        return -1;
    int number = sim.thread_count++;
    struct sim_thread *thread = &sim.threads[number];
    *thread = (struct sim_thread){
        .process = process,
        .turn_us = sim.now_us,
        .joined_by = -1,
        .is_running = true,
        .run = run,
        .argument = argument,
    };
    sim_fiber_start(number, live, thread);
    sim.wake_at_us[number] = sim.now_us;
    return number;
}

void sim_thread_wake(int thread)
{
    if (thread < 0 || !sim.threads[thread].is_running)
        return;
    int64_t at_us = sim.now_us + sim_below(WAKE_LAG_US);
    if (at_us < sim.wake_at_us[thread])
        sim.wake_at_us[thread] = at_us;
}

static int64_t stopped_until(const struct sim_thread *thread)
{
    int64_t paused_us = thread->process->paused_until_us;
    return paused_us > thread->starved_until_us ? paused_us : thread->starved_until_us;
}

void sim_thread_run(int number)
{
    struct sim_thread *thread = &sim.threads[number];
    int64_t until_us = stopped_until(thread);
    thread->is_held_up = sim.now_us < until_us;
    if (thread->is_held_up) {
        sim.wake_at_us[number] = until_us;
        return;
    }
    sim.wake_at_us[number] = SIM_NEVER;
    sim_memory_use_schedules(true);
    sim_fiber_resume(number);
    sim_memory_use_schedules(false);
    sim_judge_process(thread->process);
}

int sim_thread_next(int64_t *at_us)
{
    int next = -1;
    *at_us = SIM_NEVER;
    for (int i = 0; i < sim.thread_count; i++)
        if (sim.wake_at_us[i] < *at_us) {
            *at_us = sim.wake_at_us[i];
            next = i;
        }
    return next;
}

static void wait_until(int64_t at_us)
{
    int thread = sim_fiber_current();
    if (at_us < sim.wake_at_us[thread])
        sim.wake_at_us[thread] = at_us;
    sim_fiber_give_way();
}

void sim_thread_sleep(int64_t us)
{
    wait_until(sim.now_us + us);
}

void sim_thread_is_delayed(enum sim_fault fault, int64_t us)
{
    struct sim_thread *thread = &sim.threads[sim_fiber_current()];
    sim_disturb(fault, sim.now_us + us);
    thread->process->stopped_us += us;
    thread->delayed_until_us = sim.now_us + us;
    while (sim.now_us < thread->delayed_until_us)
        wait_until(thread->delayed_until_us);
}

void sim_thread_sleep_until(int64_t clock_us)
{
    int64_t at_us = sim_clock_when(&sim_self()->clock, clock_us) + sim_below(TIMER_LAG_US);
    while (sim.now_us < at_us)
        wait_until(at_us);
}

void sim_thread_wait(int fd, int64_t clock_us)
{
    int64_t left_us = clock_us - sim_clock_us(sim_self());
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    if (clock_us == SIM_NEVER)
        sim_poll(&pollfd, 1, -1);
    else if (left_us > 0)
        sim_poll(&pollfd, 1, (int)((left_us + 999) / 1000));
}

/* ---- what takes the place of poll() and its like ---- */

static short readiness(const struct pollfd *fd)
{
    const struct event_fd *event_fd = event_fd_of(fd->fd);
    if (event_fd)
        return event_fd->rings > 0 ? POLLIN : 0;
    const struct sim_connection *connection = sim_connection(fd->fd);
    if (connection->is_broken)
        return POLLIN | POLLOUT | POLLERR;
    if (!connection->is_open)
        return 0;
    bool readable =
        sim_network_has_unread(connection) || connection->pipes[SIM_TO_CLIENT].has_ended;
    return (short)(POLLOUT | (readable ? POLLIN : 0));
}

static int note_ready(struct pollfd *fds, nfds_t count)
{
    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        if (fds[i].fd < 0)
            continue;
        short now = readiness(&fds[i]);
        fds[i].revents = (short)(now & (fds[i].events | POLLERR));
        ready += fds[i].revents != 0;
    }
    return ready;
}

static void watch(const struct pollfd *fds, nfds_t count, int thread)
{
    for (nfds_t i = 0; i < count; i++) {
        if (fds[i].fd < 0)
            continue;
        struct event_fd *event_fd = event_fd_of(fds[i].fd);
        if (event_fd)
            event_fd->poller = thread;
        else
            sim_connection(fds[i].fd)->poller = thread;
    }
}

/* Looking without waiting costs next to nothing, but no thread can do that for ever. */
static void look_idly(struct sim_thread *thread)
{
    if (++thread->idle_looks < IDLE_LOOKS_MAX)
        return;
    sim_judge_idle_look(thread);
    sim_thread_sleep(1);
}

int sim_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    int number = sim_fiber_current();
    struct sim_thread *thread = &sim.threads[number];
    int ready = note_ready(fds, count);
    thread->turn_us = sim.now_us;
    if (timeout_ms == 0 && ready == 0) {
        look_idly(thread);
        return 0;
    }
    thread->idle_looks = 0;
    if (ready > 0)
        return ready;
    watch(fds, count, number);
    int64_t until_us = SIM_NEVER;
    if (timeout_ms > 0)
        until_us = sim_clock_when(&thread->process->clock,
                                  sim_clock_us(thread->process) + 1000 * (int64_t)timeout_ms) +
                   sim_below(TIMER_LAG_US);
    while (ready == 0 && sim.now_us < until_us) {
        wait_until(until_us);
        ready = note_ready(fds, count);
    }
    thread->turn_us = sim.now_us;
    return ready;
}

int sim_eventfd(unsigned count, int flags)
{
    (void)flags;
    for (int i = 0; i < EVENT_FDS_MAX; i++)
        if (!event_fds[i].is_used) {
            event_fds[i] = (struct event_fd){.is_used = true, .rings = count, .poller = -1};
            return EVENT_FD_FIRST + i;
        }
    errno = EMFILE;
    return -1;
}

int sim_eventfd_write(int fd, eventfd_t rings)
{
    struct event_fd *event_fd = event_fd_of(fd);
    event_fd->rings += rings;
    sim_thread_wake(event_fd->poller);
    return 0;
}

int sim_eventfd_read(int fd, eventfd_t *rings)
{
    struct event_fd *event_fd = event_fd_of(fd);
    *rings = event_fd->rings;
    event_fd->rings = 0;
    errno = EAGAIN;
    return *rings > 0 ? 0 : -1;
}

int sim_close(int fd)
{
    struct event_fd *event_fd = event_fd_of(fd);
    if (event_fd)
        event_fd->is_used = false;
    else
        sim_network_close(sim_connection(fd));
    return 0;
}

/* ---- mutexes: who has it is noted in its memory ---- */

int sim_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    (void)attributes;
    memset(mutex, 0, sizeof *mutex);
    return 0;
}

int sim_mutex_destroy(pthread_mutex_t *mutex)
{
    (void)mutex;
    return 0;
}

static bool *is_taken(pthread_mutex_t *mutex)
{
    return (bool *)(void *)mutex;
}

/* Whoever has it may be stopped for long, and each look is an event. */
int sim_mutex_lock(pthread_mutex_t *mutex)
{
    int64_t pause_us = 1;
    if (sim_fiber_current() >= 0 && sim_strikes(SIM_CONTEND))
        sim_thread_is_delayed(SIM_CONTEND, 1 + sim_below(300));
    for (; *is_taken(mutex); pause_us = rlk_earlier(2 * pause_us, MUTEX_LOOK_US))
        sim_thread_sleep(pause_us);
    *is_taken(mutex) = true;
    return 0;
}

int sim_mutex_unlock(pthread_mutex_t *mutex)
{
    *is_taken(mutex) = false;
    return 0;
}

int sim_thread_join(pthread_t thread, void **result)
{
    (void)result;
    sim.threads[thread].joined_by = sim_fiber_current();
    while (sim.threads[thread].is_running)
        wait_until(SIM_NEVER);
    return 0;
}

long sim_sysconf(int name)
{
    (void)name;
    return 1; /* processors: to look eagerly would be in vain, since time stands still meanwhile */
}
