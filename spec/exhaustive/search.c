/* Breadth first, level by level. A world that has the form of one that was seen is left out; to try
 * the forms out, some of those are followed a step further in the end: then what comes of them must
 * have the same forms as what came of the first. */
#include "exhaustive/search.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>

#include "exhaustive/form.h"
#include "exhaustive/store.h"
#include "exhaustive/tell.h"

#define TRACE_MAX 1000

struct twin {
    uint32_t number; /* the world that it was taken for */
    size_t at;
};

struct run {
    struct store store;
    struct search_result result;
    struct search_limits limits;
    struct packed twins_packed;
    struct twin *twins;
    uint64_t duplicates;
    uint32_t number;       /* of the world that is looked at */
    struct action culprit; /* what broke the invariant */
};

/* ---- a step, which may end in an assertion ---- */

static sigjmp_buf way_out;

static void on_abort(int signal)
{
    (void)signal;
    siglongjmp(way_out, 1);
}

static bool step(struct world *world, struct action action)
{
    if (sigsetjmp(way_out, 0) == 0)
        return world_act(world, action);
    judge_note(NO_ASSERTION);
    return true;
}

/* ---- one world ---- */

static void keep_twin(struct run *run, const struct world *world, uint32_t number)
{
    uint64_t nth = run->duplicates++;
    if (run->result.checked == run->limits.checks || nth % 97 != 0)
        return;
    run->twins[run->result.checked++] = (struct twin){number, run->twins_packed.len};
    store_pack(&run->store, &run->twins_packed, world);
}

static void note_world(struct run *run, const struct world *world, struct action action,
                       uint64_t form)
{
    uint32_t count = run->store.count;
    uint32_t number = store_find(&run->store, form, (struct origin){run->number, action});
    if (number == NO_WORLD)
        run->result.complete = false;
    else if (number == count)
        store_keep(&run->store, world);
    else if (run->limits.checks > 0)
        keep_twin(run, world, number);
}

/* The sum of the forms of all that may come next; each is noted unless the run is NULL. */
static uint64_t follow(struct run *run, const struct world *from)
{
    struct action actions[ACTIONS_MAX];
    static struct world next;
    uint64_t sum = 0;
    int count = world_actions(from, actions);
    for (int i = 0; i < count; i++) {
        world_copy(&next, from);
        bool inside = step(&next, actions[i]);
        enum invariant broken = judge_verdict();
        uint64_t form = broken ? broken : inside ? world_form(&next) : INVARIANTS;
        sum += form;
        if (!run)
            continue;
        run->result.steps++;
        run->result.beyond += !inside;
        if (broken) {
            run->result.broken = broken;
            run->culprit = actions[i];
            break;
        }
        if (inside)
            note_world(run, &next, actions[i], form);
    }
    return sum;
}

/* ---- all of them ---- */

static void search_level(struct run *run)
{
    static struct world world;
    while (!run->result.broken && store_take(&run->store, &world)) {
        run->store.sums[run->number] = follow(run, &world);
        run->number += !run->result.broken;
    }
}

static void try_twins(struct run *run)
{
    static struct world world;
    for (uint32_t i = 0; i < run->result.checked; i++) {
        const struct twin *twin = &run->twins[i];
        if (twin->number >= run->number)
            continue; /* nothing came of the first, since the search ended before */
        store_unpack(&run->store, run->twins_packed.bytes + twin->at, &world);
        run->result.differ += follow(NULL, &world) != run->store.sums[twin->number];
    }
}

/* ---- how it came about ---- */

static int trace_of(const struct run *run, struct action trace[TRACE_MAX])
{
    int count = 0;
    trace[count++] = run->culprit;
    for (uint32_t at = run->number; count < TRACE_MAX && run->store.origins[at].parent != NO_WORLD;
         at = run->store.origins[at].parent)
        trace[count++] = run->store.origins[at].action;
    return count;
}

static void tell(const struct run *run, FILE *out)
{
    static struct world world;
    struct action trace[TRACE_MAX];
    char text[200];
    int count = trace_of(run, trace);
    world_begin(&world, run->store.first.scene);
    for (int i = count - 1; i >= 0; i--) {
        struct world before;
        world_copy(&before, &world);
        step(&world, trace[i]);
        tell_action(&before, &world, trace[i], text, sizeof text);
        fprintf(out, "%5d  %3d ms  %s\n", count - i, (int)before.now_ms, text);
    }
    (void)judge_verdict();
    tell_world(&world, out);
}

struct search_result search(const struct scene *scene, struct search_limits limits, FILE *out)
{
    static struct world first;
    struct run run = {.limits = limits, .result = {.complete = true}};
    void (*old)(int) = signal(SIGABRT, on_abort);
    world_begin(&first, scene);
    store_open(&run.store, &first, limits.worlds);
    run.twins = calloc(limits.checks + 1, sizeof *run.twins);
    (void)store_find(&run.store, world_form(&first), (struct origin){.parent = NO_WORLD});
    store_keep(&run.store, &first);
    while (!run.result.broken && store_descend(&run.store)) {
        search_level(&run);
        run.result.depth++;
    }
    if (run.result.broken)
        tell(&run, out);
    else
        try_twins(&run);
    run.result.worlds = run.store.count;
    store_close(&run.store);
    free(run.twins_packed.bytes);
    free(run.twins);
    signal(SIGABRT, old);
    return run.result;
}
