/* fork and exec. What the child meets before the command runs comes back through a pipe that the exec
 * closes. */
#include "io/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void add_environment(const struct rlk_child_terms *terms)
{
    const char *text = terms->environment, *end = text + terms->environment_len;
    for (; text < end; text += strlen(text) + 1)
        putenv((char *)text);
}

/* The child puts itself into its group and foreground, so that it is there before the command is. */
static void become_command(const struct rlk_child_terms *terms)
{
    struct sigaction children = {.sa_handler = terms->ignores_children ? SIG_IGN : SIG_DFL};
    setpgid(0, 0);
    if (terms->terminal >= 0)
        tcsetpgrp(terms->terminal, getpid()); /* SIGTTOU is still held off */
    add_environment(terms);
    sigaction(SIGCHLD, &children, NULL);
    sigprocmask(SIG_SETMASK, &terms->mask, NULL);
    execvp(terms->argv[0], terms->argv);
}

static int read_failure(int fd)
{
    int failure = 0;
    ssize_t got;
    do
        got = read(fd, &failure, sizeof failure);
    while (got < 0 && errno == EINTR);
    return got == sizeof failure ? failure : 0;
}

pid_t rlk_child_start(const struct rlk_child_terms *terms)
{
    int report[2], failure;
    if (pipe2(report, O_CLOEXEC))
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        become_command(terms);
        failure = errno;
        ssize_t written = write(report[1], &failure, sizeof failure);
        _exit(written == sizeof failure ? 127 : 126);
    }
    failure = errno;
    close(report[1]);
    if (pid > 0)
        failure = read_failure(report[0]);
    close(report[0]);
    if (pid > 0 && !failure)
        return pid;
    if (pid > 0)
        waitpid(pid, NULL, 0);
    errno = failure;
    return -1;
}
