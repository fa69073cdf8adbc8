/* What the judge's rooms (tenures, tokens, waits) know of one another. */
#ifndef SIM_JUDGE_ROOMS_H
#define SIM_JUDGE_ROOMS_H

#include "judge.h"

#define COHORT_US 102000 /* that a lease is passed on for, by the slowest clock */

/* What a program was granted. */
struct tenure {
    struct sim_process *process;
    int lock;
    struct rlk_holding *holding; /* NULL: not to be looked at any more */
    char name[RLK_TOKEN_SIZE];
    int token; /* its number */
    int64_t fence;
    int64_t asked_us, granted_us; /* true time: the attempt's beginning, and when it was told */
    int64_t deadline_ms;          /* by its process's clock */
    int64_t deadline_us;          /* the same, true */
    int64_t max_hold_ms;
    bool is_renewed;  /* as long as that */
    int64_t asked_ms; /* by its process's clock */
    bool is_in_cohort;
    bool was_passed_on;     /* to it, by another of its cohort; then it asked when it received it */
    int64_t lease_us;       /* true time: not before then were the nodes asked for its token */
    int64_t first_asked_ms; /* by the first of its cohort that is known */
    int64_t ttl_ms;
    int64_t at_least_ms;
    int64_t kept_until_us; /* nobody else is to have it before, by its process's clock */
    int64_t released_us;   /* when its release began */
    int64_t ended_us;
    enum rlk_status status;
    bool has_ended;
    bool was_believed; /* when it was told */
    bool was_seen_lost;
    bool was_extended, extends_unheard, lapsed_at_release, is_watched, has_written, is_dropped;
    int times_told;
    int next_open;
};

struct tenure *sim_tenure(int number);
bool sim_is_believed(const struct tenure *tenure);

/* Believed in or not, nobody else is to have it yet. */
bool sim_is_kept(const struct tenure *tenure);

/* Its release has begun, and was early. */
bool sim_is_released_early(const struct tenure *tenure);
const char *sim_outcome_text(enum rlk_outcome outcome);

/* Whether somebody believes to own it, and who. */
bool sim_judge_is_owned(int lock, struct tenure **owner);

/* ---- tokens.c ---- */

void sim_tokens_begin(void);
void sim_tokens_end(void);

/* The number of a token that was granted to the tenure, and, where that was passed on, to others
 * before. */
int sim_token_of(const char *bytes, int tenure);

/* Somebody else of its owner's cohort has received it, or may have: who has not been told yet, or did
 * not wait for it any more. */
bool sim_may_be_passed_on(const struct tenure *tenure);

/* A majority of nodes bore no token of the lock: now, or until it had one last. True time. */
struct span {
    int64_t since_us, until_us;
};
struct span sim_lock_was_free(int lock);

/* How long a node keeps a token that it is told to keep for so long, at most. */
int64_t sim_longest_keep_us(int64_t keep_us);

/* On how many nodes it stands at that time, unless it is renewed, or was after its owner's end. */
int sim_token_standing_at(int token, int lock, int64_t when_us);

/* On how many nodes it stands. */
int sim_token_standing(int token, int lock);

/* It was deleted by somebody else, somewhere. */
bool sim_token_is_robbed(int token);

/* Whether a majority bears the tenure's token for as long as it is believed in. */
void sim_judge_backing(int tenure);

/* Whether another library believes to own what the tenure is of. */
void sim_judge_against_foreign(const struct tenure *tenure);

/* ---- waits.c ---- */

/* So long may anybody wait for a lock once all is well. */
int64_t sim_progress_bound_us(void);

void sim_waits_begin(void);
void sim_waits_end(void);
void sim_waits_die(const struct sim_process *process);
struct sim_process *sim_wait_process(int wait);
int sim_wait_lock(int wait);
int64_t sim_wait_asked_us(int wait); /* true time */

/* Somebody of the process has waited for the lock since then, and would receive it from an owner. */
bool sim_waits_may_receive(const struct sim_process *process, int lock, int64_t since_us);

/* Since it was asked for. */
bool sim_wait_was_stopped(int wait);

/* Those whom the commands of the connection woke are known. */
void sim_waits_told(const struct sim_connection *connection);

/* A majority has confirmed a release that began then; or it ended otherwise. */
void sim_waits_released(int lock, int64_t since_us);
void sim_waits_ended(int lock);

/* A release by an operation begins. */
void sim_waits_let_go(int lock, const struct sim_process *by);

/* A waiter of the process stands in the queue of the node since now. */
void sim_waits_joined(const struct sim_connection *connection, int lock);

#endif
