/* Cohorts: owners of one engine who pass a lease on among themselves instead of asking the nodes each
 * time (lock cohorting: Dice, Marathe and Shavit, "Lock Cohorting: A General Technique for Designing
 * NUMA Locks", PPoPP 2012).
 *
 * A cohort stands first in the line for its lock, in its owner's place, so that whoever comes stands by
 * behind it. When the owner lets go, the next one receives the lease: the same token, until the same
 * deadline, under the next fence. The cohort closes 100 ms after its lease was asked for, with that lease,
 * or with the last fence of its ballot's block (RLK_FENCE_BLOCK), and then the lock is released to the
 * nodes: so those of other processes get their turn. All of this is the engine's thread's alone. */
#ifndef RLK_COHORT_H
#define RLK_COHORT_H

#include "core/line.h"
#include "io/list.h"

struct rlk_cohorts {
    struct rlk_lines *lines;
    struct rlk_link by_end;
};

void rlk_cohorts_init(struct rlk_cohorts *cohorts, struct rlk_lines *lines);
void rlk_cohorts_free(struct rlk_cohorts *cohorts);

/* The lock's owner, to whom the nodes have just granted it, is the first of a cohort. Without memory
 * for that, there is none. */
void rlk_cohorts_open(struct rlk_cohorts *cohorts, const struct rlk_lock *owner);

/* The cohort whose present owner has this lease, or NULL. */
struct rlk_cohort *rlk_cohorts_find(const struct rlk_cohorts *cohorts, struct rlk_key key,
                                    const struct rlk_lease *lease);

/* Its owner lets go, with a lease until then. The next in line owns it by that, and is returned: an
 * acquire that stands by, wants as long a lease and takes part as well. NULL if that is not so, if the
 * cohort is to close, or if less than half of a lease is left. */
struct rlk_lock *rlk_cohort_pass_on(struct rlk_cohort *cohort, int64_t deadline_ms, int64_t now_ms);

/* The next in line behind the lock's cohort, if it stands by, and its terms are such that the lease cannot be
 * passed on to it; else NULL. */
struct rlk_lock *rlk_cohorts_stranger(const struct rlk_cohorts *cohorts, struct rlk_key key);

/* It ends. Returns who is the first in line then, and NULL if nobody is. */
struct rlk_lock *rlk_cohorts_close(struct rlk_cohort *cohort);

/* The next that has to close, or NULL. */
struct rlk_cohort *rlk_cohorts_due(const struct rlk_cohorts *cohorts, int64_t now_ms);
int64_t rlk_cohorts_next_time(const struct rlk_cohorts *cohorts);

/* What the nodes would tell a lock that stands behind a cohort; nothing if it does not, or has asked them. */
void rlk_cohort_explain(const struct rlk_in_line *place, int64_t now_ms);

#endif
