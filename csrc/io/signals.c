/* One process, one mask: the state is the process' own. Threads that were started before inherit
 * nothing of it, so the program catches first. */
#include "io/signals.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

static sigset_t before;
static bool caught;

static bool is_ignored(int signal)
{
    struct sigaction action;
    return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* A shell without job control has its background jobs ignore SIGINT and SIGQUIT. The interpreter of Lua
 * handles SIGINT whatever it was before: the other tells. */
static void restore_interrupt(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (is_ignored(SIGQUIT))
        sigaction(SIGINT, &ignore, NULL);
}

int rlk_signals_catch(const int *signals, int count)
{
    sigset_t wanted, held;
    restore_interrupt();
    sigemptyset(&wanted);
    for (int i = 0; i < count; i++)
        if (!is_ignored(signals[i]))
            sigaddset(&wanted, signals[i]);
    int fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -1;
    held = wanted;
    sigaddset(&held, SIGTTOU);
    sigaddset(&held, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &held, caught ? NULL : &before);
    caught = true;
    return fd;
}

const sigset_t *rlk_signals_before(void)
{
    if (!caught)
        pthread_sigmask(SIG_BLOCK, NULL, &before);
    return &before;
}

int rlk_signals_read(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

void rlk_signals_obey(int signal, bool whole_group)
{
    struct sigaction standard = {.sa_handler = SIG_DFL}, action;
    struct rlimit no_core = {0, 0};
    sigset_t one, mask;
    sigemptyset(&one);
    sigaddset(&one, signal);
    if (signal == SIGQUIT)
        setrlimit(RLIMIT_CORE, &no_core);
    sigaction(signal, &standard, &action);
    kill(whole_group ? 0 : getpid(), signal);
    pthread_sigmask(SIG_UNBLOCK, &one, &mask); /* here it happens */
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    sigaction(signal, &action, NULL);
}
