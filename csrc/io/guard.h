/* What runs in the warden's process (see warden.h). */
#ifndef RLK_GUARD_H
#define RLK_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/child.h"

#define RLK_GUARD_ENVIRONMENT_MAX 8192

/* Shared by both processes. */
struct rlk_guard_page {
    _Atomic int64_t deadline_ms; /* the supervisor's */

    /* the guard's: as in struct rlk_command_state */
    _Atomic pid_t pid;
    atomic_int failure;
    atomic_int stopped;
    atomic_int stops;
    atomic_int ending;
    atomic_int status;
    atomic_bool has_ended;
    atomic_bool group_has_ended;
};

enum rlk_guard_word { RLK_GUARD_START, RLK_GUARD_END };

/* From the supervisor; a start is followed by the environment. What comes back is a byte: look at the
 * page. */
struct rlk_guard_order {
    enum rlk_guard_word word;
    int terminal;
};

struct rlk_guard {
    struct rlk_guard_page *page;
    int socket;
    int64_t grace_ms;
    struct rlk_child_terms terms; /* environment and terminal come with the start */

    /* its own */
    int signals, timer;
    bool is_alone; /* the supervisor is gone */
    bool is_reaped;
    int64_t kill_ms; /* when SIGKILL is due, or what is left is looked at */
};

/* Runs in a fresh fork with all signals blocked, and never returns. */
_Noreturn void rlk_guard_run(struct rlk_guard *guard);

#endif
