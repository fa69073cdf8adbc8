/* The warden: a process that sees to it that a command does not run on without its lock, even if
 * the program that holds the lock (the supervisor) is stopped, killed or hung.
 *
 * It is the command's parent, and shares one page with the supervisor. There the supervisor writes
 * until when the lock is certainly held, whenever that grows; the warden writes what has become of
 * the command. When that deadline passes, the warden ends the command's process group: SIGTERM, and
 * SIGKILL after a grace. A group that its terminal has stopped along with a living supervisor stays
 * stopped; it meets the signal when it goes on.
 *
 * When the supervisor is gone the warden stays until the command has ended. */
#ifndef RLK_WARDEN_H
#define RLK_WARDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct rlk_warden;

enum rlk_ending { RLK_NOT_ENDING, RLK_ENDED_AS_TOLD, RLK_ENDED_BY_DEADLINE };

/* What has become of the command. */
struct rlk_command_state {
    bool warden_is_gone;    /* somebody has killed it: nothing below will change any more */
    pid_t pid;              /* and process group; 0: it was not started */
    int failure;            /* errno, if it could not be */
    int stopped;            /* by this signal; 0: it is not stopped */
    int stops;              /* how often it was */
    enum rlk_ending ending; /* it was sent SIGTERM by the warden, and why */
    bool has_ended;         /* with this status, as of waitpid(2) */
    int status;
    bool group_has_ended; /* so have all others of its group; only known if it was being ended */
};

/* Forks the warden, for one command (argv, ended by NULL and not changed meanwhile). To be called
 * before the process has threads. NULL with errno if there are no means. */
struct rlk_warden *rlk_warden_new(char *const *argv, int64_t grace_ms);

/* Starts the command, with an environment and a terminal as in struct rlk_child_terms; deadline_ms is
 * on CLOCK_BOOTTIME. False if the warden is gone. */
bool rlk_warden_start(struct rlk_warden *warden, const char *environment, size_t len, int terminal,
                      int64_t deadline_ms);

/* The lock is held until then. An earlier deadline changes nothing. */
void rlk_warden_credit(struct rlk_warden *warden, int64_t deadline_ms);

/* Ends the command: SIGTERM, SIGCONT, and SIGKILL after the grace. */
void rlk_warden_end(struct rlk_warden *warden);

/* Readable when something may have changed; then look. */
int rlk_warden_fd(const struct rlk_warden *warden);
void rlk_warden_look(struct rlk_warden *warden, struct rlk_command_state *state);

/* Sends the command's group, or its first process alone, a signal. */
void rlk_warden_signal(struct rlk_warden *warden, int signal, bool whole_group);

/* The warden is left alone; if the command has ended, it is gone afterwards. */
void rlk_warden_free(struct rlk_warden *warden);

#endif
