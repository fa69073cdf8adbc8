/* The judge: is told what programs ask and get, and sees what stands on the servers. Whatever the
 * library promises is an invariant; the first that does not hold ends the schedule.
 *
 * A tenure is what a program was granted; a wait is what it asked for. Both go by numbers. */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "invariants.h"
#include "io/client.h"
#include "network.h"
#include "report.h"
#include "world.h"

void sim_judge_begin(void);
void sim_judge_end(void);

/* It was found not to hold: which, when, and in words. */
extern struct sim_verdict {
    enum sim_invariant invariant;
    int64_t at_us;
    char text[240];
} sim_verdict;

/* Counts a check; where it fails, the schedule is over. What describes the failure is evaluated only
 * then. */
#define sim_judge_check(invariant, holds, ...)       \
    do {                                             \
        if (sim_is_judged(invariant) && !(holds))    \
            sim_judge_fails(invariant, __VA_ARGS__); \
    } while (0)

void sim_judge_fails(enum sim_invariant invariant, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline bool sim_is_judged(enum sim_invariant invariant)
{
    if (sim.profile != SIM_SOUND && !sim_invariants[invariant].holds_always)
        return false;
    sim_count.checks[invariant]++;
    return true;
}

/* ---- by programs, on their threads ---- */

int sim_judge_asks(struct sim_process *process, int lock, const struct rlk_terms *terms);
void sim_judge_answered(int wait, enum rlk_outcome outcome, const struct rlk_holding *holding);
void sim_judge_gives_up(int wait);

/* The next wait of this process for this lock goes on where this one ended. */
void sim_judge_asks_again(int wait);

int sim_judge_granted(int wait, struct rlk_holding *holding);
void sim_judge_extends(int tenure, int64_t ttl_ms);
void sim_judge_extended(int tenure, enum rlk_outcome outcome);

/* It extends without waiting for what comes of it: that may be sent again when it has ended. */
void sim_judge_extends_unheard(int tenure, int64_t ttl_ms);

/* By an operation, behind which its engine may send what another asks; or by a call. */
void sim_judge_releases(int tenure, bool by_operation);
void sim_judge_released(int tenure, enum rlk_outcome outcome);

/* Its program has asked whether it is held; and whether it might be, before that. */
bool sim_judge_may_hold(int tenure);
void sim_judge_looks(int tenure, bool might_hold, bool is_held);

/* It is about to be released without waiting, or to end with its request: from here on nobody
 * believes in it. */
void sim_judge_lets_go(int tenure);

/* By bytes that nobody waits for: what a connection loses of them is up to the ttl. */
void sim_judge_drops(int tenure);

/* The same, and the holding is not to be looked at any more; and that is done. */
void sim_judge_forgets(int tenure);
void sim_judge_has_forgotten(int tenure);

/* Its client is closed, and has been: what could not be told meanwhile nobody tells any more. */
void sim_judge_closes(struct sim_process *process);
void sim_judge_has_closed(struct sim_process *process);

/* A notice is to come when it is over, and has come. */
void sim_judge_watches(int tenure);
void sim_judge_is_told(int tenure, enum rlk_status why);

/* ---- by the world ---- */

/* One of its threads has run. */
void sim_judge_process(struct sim_process *process);
void sim_judge_died(struct sim_process *process);

/* A thread looked at its descriptors without waiting, though nothing had changed. */
void sim_judge_idle_look(const struct sim_thread *thread);

/* The server has run what arrived by the connection. */
void sim_judge_commands(struct sim_connection *connection);

/* The server has answered an error to a command: what it was told is not to be told again, but if
 * it is busy or loading. */
void sim_judge_refused(int node, const char *error);

/* The server has told a waiter: a message that it sent to the connection. */
void sim_judge_message(const struct sim_connection *connection, const char *bytes, size_t len);

/* A clock of the process was set that must not be. */
void sim_judge_clock(struct sim_process *process);

/* The server came back. */
void sim_judge_node(int node);

void sim_judge_write(int tenure, bool is_taken);

/* Another library asks for a lock under that token; and, as soon as it has it, believes in it until
 * then. */
void sim_judge_foreign_asks(int lock, const char *token);
void sim_judge_foreign_owns(int lock, int64_t until_us);
void sim_judge_foreign_ends(void);

/* Somebody else has written or deleted the key. */
void sim_judge_foreign_wrote(int node, int lock, bool is_robbed);

int sim_tenure_lock(int tenure);
int64_t sim_tenure_fence(int tenure);

#endif
