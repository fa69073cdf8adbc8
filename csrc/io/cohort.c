/* They hang in the order in which they are to close. Most live for the same time, so a new one is put in
 * from the end. */
#include "io/cohort.h"

#include <stdlib.h>
#include <string.h>

#define LIVES_MS 100

struct rlk_cohort {
    struct rlk_lines *lines;
    struct rlk_in_line in_line;
    struct rlk_link by_end;
    struct rlk_lease lease; /* its present owner's */
    int64_t deadline_ms;    /* of that, when it began */
    int64_t closes_ms;
    char key[];
};

void rlk_cohorts_init(struct rlk_cohorts *cohorts, struct rlk_lines *lines)
{
    cohorts->lines = lines;
    rlk_list_init(&cohorts->by_end);
}

void rlk_cohorts_free(struct rlk_cohorts *cohorts)
{
    struct rlk_link *link;
    while ((link = rlk_list_first(&cohorts->by_end)) != NULL)
        rlk_cohorts_close(rlk_owner(link, struct rlk_cohort, by_end));
}

/* Nobody but a cohort stands in line without a lock. */
static struct rlk_cohort *at_head_of(const struct rlk_in_line *first)
{
    return first && !first->lock ? rlk_owner(first, struct rlk_cohort, in_line) : NULL;
}

static struct rlk_cohort *found_new(struct rlk_cohorts *cohorts, struct rlk_key key)
{
    struct rlk_cohort *cohort = calloc(1, sizeof *cohort + key.len);
    if (!cohort)
        return NULL;
    memcpy(cohort->key, key.bytes, key.len);
    cohort->lines = cohorts->lines;
    if (rlk_lines_head(cohorts->lines, &cohort->in_line, (struct rlk_key){cohort->key, key.len}))
        return cohort;
    free(cohort);
    return NULL;
}

static void note_owner(struct rlk_cohort *cohort, const struct rlk_lock *owner)
{
    cohort->lease = owner->lease;
    cohort->deadline_ms = owner->deadline_ms;
}

static void put_in_order(struct rlk_cohorts *cohorts, struct rlk_cohort *cohort)
{
    struct rlk_link *next = &cohorts->by_end;
    while (next->previous != &cohorts->by_end &&
           rlk_owner(next->previous, struct rlk_cohort, by_end)->closes_ms > cohort->closes_ms)
        next = next->previous;
    rlk_list_append(next, &cohort->by_end); /* before it */
}

/* One whose owner has lost the lock may still be there. */
void rlk_cohorts_open(struct rlk_cohorts *cohorts, const struct rlk_lock *owner)
{
    struct rlk_cohort *cohort = at_head_of(rlk_lines_first(cohorts->lines, owner->key));
    if (!cohort)
        cohort = found_new(cohorts, owner->key);
    if (!cohort)
        return;
    note_owner(cohort, owner);
    cohort->closes_ms = rlk_earlier(owner->lease.granted_ms + LIVES_MS, owner->deadline_ms);
    rlk_unlink(&cohort->by_end);
    put_in_order(cohorts, cohort);
}

struct rlk_cohort *rlk_cohorts_find(const struct rlk_cohorts *cohorts, struct rlk_key key,
                                    const struct rlk_lease *lease)
{
    struct rlk_cohort *cohort = at_head_of(rlk_lines_first(cohorts->lines, key));
    bool is_owner = cohort && cohort->lease.fence == lease->fence &&
                    memcmp(cohort->lease.token, lease->token, sizeof lease->token) == 0;
    return is_owner ? cohort : NULL;
}

/* As long a lease, so that it is the nodes' as long as it would be if they had been asked. */
static bool takes_part(const struct rlk_lock *next, const struct rlk_terms *owner)
{
    const struct rlk_terms *terms = &next->lease.terms;
    return terms->cohort && terms->ttl_ms == owner->ttl_ms && terms->at_least_ms == 0;
}

static bool may_receive(const struct rlk_lock *next, const struct rlk_terms *owner, int64_t now_ms)
{
    return next->state == RLK_STANDING_BY && now_ms < next->wait_until_ms &&
           takes_part(next, owner);
}

static struct rlk_lock *next_of(const struct rlk_cohort *cohort)
{
    return cohort->in_line.next ? cohort->in_line.next->lock : NULL;
}

struct rlk_lock *rlk_cohort_pass_on(struct rlk_cohort *cohort, int64_t deadline_ms, int64_t now_ms)
{
    const struct rlk_lease *lease = &cohort->lease;
    struct rlk_lock *next = next_of(cohort);
    int64_t left_ms = deadline_ms - now_ms;
    bool is_open = now_ms < cohort->closes_ms && (lease->fence + 1) % RLK_FENCE_BLOCK != 0;
    bool is_a_lease = left_ms > 0 && left_ms >= lease->terms.ttl_ms / 2;
    if (!next || !is_open || !is_a_lease || !may_receive(next, &lease->terms, now_ms))
        return NULL;
    rlk_lock_receive(next, lease, deadline_ms, now_ms);
    note_owner(cohort, next);
    return next;
}

struct rlk_lock *rlk_cohorts_stranger(const struct rlk_cohorts *cohorts, struct rlk_key key)
{
    if (rlk_list_is_empty(&cohorts->by_end))
        return NULL;
    const struct rlk_cohort *cohort = at_head_of(rlk_lines_first(cohorts->lines, key));
    struct rlk_lock *next = cohort ? next_of(cohort) : NULL;
    bool is_stranger =
        next && next->state == RLK_STANDING_BY && !takes_part(next, &cohort->lease.terms);
    return is_stranger ? next : NULL;
}

struct rlk_lock *rlk_cohorts_close(struct rlk_cohort *cohort)
{
    struct rlk_in_line *next = rlk_lines_leave(cohort->lines, &cohort->in_line);
    rlk_unlink(&cohort->by_end);
    free(cohort);
    return next ? next->lock : NULL;
}

struct rlk_cohort *rlk_cohorts_due(const struct rlk_cohorts *cohorts, int64_t now_ms)
{
    return now_ms >= rlk_cohorts_next_time(cohorts)
               ? rlk_owner(cohorts->by_end.next, struct rlk_cohort, by_end)
               : NULL;
}

int64_t rlk_cohorts_next_time(const struct rlk_cohorts *cohorts)
{
    const struct rlk_link *oldest = rlk_list_first(&cohorts->by_end);
    return oldest ? rlk_owner(oldest, struct rlk_cohort, by_end)->closes_ms : RLK_NEVER;
}

void rlk_cohort_explain(const struct rlk_in_line *place, int64_t now_ms)
{
    const struct rlk_cohort *cohort = at_head_of(rlk_line_first(place));
    if (!cohort || place->lock->sent)
        return;
    int64_t left_ms = cohort->deadline_ms - now_ms;
    rlk_lock_note_owner(place->lock, &cohort->lease, left_ms > 0 ? left_ms : 0);
}
