/* A command as a child in a process group of its own. */
#ifndef RLK_CHILD_H
#define RLK_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct rlk_child_terms {
    char *const *argv;       /* ended by NULL; looked for in PATH */
    const char *environment; /* "NAME=value", each ended by NUL: what is added to ours */
    size_t environment_len;
    sigset_t mask;         /* of signals */
    bool ignores_children; /* SIGCHLD is ignored, as it was for us */
    int terminal;          /* the child's group comes to its foreground; -1: it does not */
};

/* Returns once the command runs: its process and group. Or -1 with errno, if it cannot be run. For
 * a process without threads. */
pid_t rlk_child_start(const struct rlk_child_terms *terms);

#endif
