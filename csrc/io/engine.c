/* The mutex guards the lists by which holdings and operations come and go, and nothing that takes
 * time. The thread takes whole lists; what it keeps is then its alone. */
#include "io/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/runner.h"
#include "io/system.h"
#include "io/watchdog.h"

#define STACK_SIZE (256 * 1024)
#define GATHER_US 1000 /* submissions gather for this long at most */
#define AWAKE INT64_MIN
#define AT_ONCE (INT64_MIN + 1)

struct rlk_engine {
    const struct rlk_settings *settings;
    pthread_t thread;
    int wake_fd;

    pthread_mutex_t mutex;
    struct rlk_link arriving, leaving;   /* holdings, by engine_link */
    struct rlk_link submitted, given_up; /* operations, by the links of these names */
    int64_t sleeping_until_ms; /* AWAKE while the thread will look at the lists before it sleeps */
    int64_t horizon_ms;        /* what it was last kicked for: it sleeps no longer than that */
    int64_t stop_at_ms;        /* RLK_NEVER: it runs on */
    struct rlk_outbox *last_words; /* where its end is told; NULL: nowhere */
    struct rlk_notice *end;

    /* the thread's alone */
    int64_t gather_until_us;
    struct rlk_loop *loop;
    struct rlk_watchdog watchdog;
    struct rlk_runner runner;
};

/* ---- the thread: holdings ---- */

static void take_arriving(struct rlk_engine *engine, struct rlk_holding *holding)
{
    for (struct rlk_holding *next; holding; holding = next) {
        next = holding->next;
        if (atomic_load(&holding->status) != RLK_HOLDS) {
            rlk_watchdog_note_end(&engine->watchdog, holding);
        } else if (!rlk_watchdog_keeps(holding)) {
            rlk_watchdog_keep(&engine->watchdog, holding);
        } else {
            rlk_watchdog_credit(&engine->watchdog, holding);
        }
    }
}

static void take_leaving(struct rlk_engine *engine, struct rlk_holding *holding)
{
    while (holding) {
        struct rlk_holding *next = holding->next;
        rlk_watchdog_let_go(&engine->watchdog, holding);
        rlk_holding_drop(holding);
        holding = next;
    }
}

/* What is lost is watched no longer; the owner still holds a reference, and this one stays until
 * it lets go too. */
static void end_holdings(struct rlk_engine *engine)
{
    struct rlk_holding *holding;
    while ((holding = rlk_watchdog_next_ended(&engine->watchdog)) != NULL) {
        pthread_mutex_lock(&engine->mutex);
        bool kept = holding->place == RLK_KEPT;
        if (kept)
            holding->place = RLK_OUTSIDE;
        pthread_mutex_unlock(&engine->mutex);
        if (kept)
            rlk_holding_drop(holding);
    }
}

/* ---- the thread: operations ---- */

/* Operations have tallies, renewals have none. */
static void on_moved(void *context, struct rlk_lock *lock)
{
    struct rlk_engine *engine = context;
    if (lock->tallies)
        rlk_runner_on_moved(&engine->runner, lock);
    else
        rlk_watchdog_on_moved(&engine->watchdog, lock);
}

static void take_submitted(struct rlk_engine *engine, struct rlk_link *submitted)
{
    struct rlk_link *link;
    while ((link = rlk_list_take_first(submitted)) != NULL)
        rlk_runner_begin(&engine->runner, rlk_owner(link, struct rlk_operation, submitted));
}

static void take_given_up(struct rlk_engine *engine, struct rlk_link *given_up_list)
{
    struct rlk_link *link;
    while ((link = rlk_list_take_first(given_up_list)) != NULL) {
        struct rlk_operation *operation = rlk_owner(link, struct rlk_operation, given_up);
        rlk_runner_give_up(&engine->runner, operation);
        rlk_operation_drop(operation);
    }
}

/* ---- the thread ---- */

/* Under the mutex. From then on the owner may put them on a list again, so what was taken hangs
 * together by a link that is the thread's alone. By the same link those hang that have ended, but of
 * them none is left: end_holdings() was there before. */
static struct rlk_holding *take(struct rlk_link *list, enum rlk_place place)
{
    struct rlk_holding *taken = NULL, **end = &taken;
    struct rlk_link *link;
    while ((link = rlk_list_take_first(list)) != NULL) {
        struct rlk_holding *holding = rlk_owner(link, struct rlk_holding, engine_link);
        holding->place = place;
        *end = holding;
        end = &holding->next;
    }
    *end = NULL;
    return taken;
}

/* While nodes are busy with what they were sent just now, operations gather, and then travel
 * together: that costs the nodes, and us, much less for each. */
static bool gathers(const struct rlk_engine *engine, int64_t now_us)
{
    return rlk_loop_in_flight(engine->loop) > 0 && now_us < engine->gather_until_us;
}

/* When to stop. */
static int64_t take_lists(struct rlk_engine *engine)
{
    struct rlk_link submitted, given_up_list;
    int64_t now_us = rlk_clock_us();
    bool gathering = gathers(engine, now_us);
    rlk_list_init(&submitted);
    rlk_list_init(&given_up_list);
    pthread_mutex_lock(&engine->mutex);
    struct rlk_holding *arriving = take(&engine->arriving, RLK_KEPT);
    struct rlk_holding *leaving = take(&engine->leaving, RLK_OUTSIDE);
    bool may_gather = engine->stop_at_ms == RLK_NEVER && rlk_list_is_empty(&engine->given_up);
    if (!gathering || !may_gather) /* what is given up has begun before */
        rlk_list_move(&engine->submitted, &submitted);
    rlk_list_move(&engine->given_up, &given_up_list);
    int64_t stop_at_ms = engine->stop_at_ms;
    engine->sleeping_until_ms = AWAKE;
    pthread_mutex_unlock(&engine->mutex);
    if (!rlk_list_is_empty(&submitted))
        engine->gather_until_us = now_us + GATHER_US;
    take_arriving(engine, arriving);
    take_leaving(engine, leaving);
    take_submitted(engine, &submitted);
    take_given_up(engine, &given_up_list);
    return stop_at_ms;
}

/* Under the mutex. */
static bool has_arrivals(const struct rlk_engine *engine)
{
    return !rlk_list_is_empty(&engine->arriving) || !rlk_list_is_empty(&engine->leaving) ||
           !rlk_list_is_empty(&engine->given_up);
}

/* False if somebody has put something on the lists meanwhile; submissions that gather are looked at
 * in a millisecond at the latest, and nobody need kick for them. Sleeping until the horizon,
 * although what it was kicked for may be gone by now, is what spares a program that locks and
 * releases all the time a kick for every lock. */
static bool fall_asleep(struct rlk_engine *engine, int64_t *until_ms)
{
    int64_t now_us = rlk_clock_us(), now_ms = now_us / 1000;
    bool gathering = gathers(engine, now_us);
    if (gathering)
        *until_ms = rlk_earlier(*until_ms, now_ms + 1);
    pthread_mutex_lock(&engine->mutex);
    bool idle = !has_arrivals(engine) && (gathering || rlk_list_is_empty(&engine->submitted));
    if (now_ms < engine->horizon_ms && engine->horizon_ms < *until_ms)
        *until_ms = engine->horizon_ms;
    if (idle)
        engine->sleeping_until_ms = gathering ? AWAKE : *until_ms;
    pthread_mutex_unlock(&engine->mutex);
    return idle;
}

static bool may_stop(struct rlk_engine *engine, int64_t stop_at_ms)
{
    return stop_at_ms != RLK_NEVER &&
           (rlk_runner_is_idle(&engine->runner) || rlk_clock_ms() >= stop_at_ms);
}

static void say_last_words(struct rlk_engine *engine)
{
    bool must_ring;
    if (!engine->last_words)
        return;
    rlk_outbox_post(engine->last_words, engine->end, &must_ring);
    if (must_ring)
        rlk_outbox_ring(engine->last_words);
}

/* Sends what is wanted, until that moves nothing any more; until when to sleep. */
static int64_t prepare(struct rlk_engine *engine)
{
    int64_t until_ms;
    do {
        until_ms = rlk_loop_prepare(engine->loop);
        rlk_runner_settle(&engine->runner);
    } while (rlk_loop_has_touched(engine->loop));
    return until_ms;
}

static void *run(void *argument)
{
    struct rlk_engine *engine = argument;
    eventfd_t kicks;
    for (;;) {
        int64_t stop_at_ms = take_lists(engine);
        rlk_loop_settle(engine->loop);
        if (stop_at_ms != RLK_NEVER)
            rlk_runner_wind_up(&engine->runner);
        rlk_runner_settle(&engine->runner); /* what was extended just now is not to expire now */
        rlk_runner_time(&engine->runner);
        rlk_watchdog_time(&engine->watchdog);
        int64_t until_ms = prepare(engine);
        end_holdings(engine);
        if (may_stop(engine, stop_at_ms)) {
            rlk_loop_drain(engine->loop, stop_at_ms);
            say_last_words(engine);
            return NULL;
        }
        until_ms = rlk_earlier(until_ms, rlk_watchdog_next_time(&engine->watchdog));
        until_ms = rlk_earlier(until_ms, rlk_runner_next_time(&engine->runner));
        until_ms = rlk_earlier(until_ms, stop_at_ms);
        if (!fall_asleep(engine, &until_ms))
            continue;
        rlk_loop_poll(engine->loop, until_ms, engine->wake_fd);
        eventfd_read(engine->wake_fd, &kicks);
    }
}

/* ---- from other threads ---- */

/* Under the mutex. */
static bool must_kick(struct rlk_engine *engine, int64_t due_ms)
{
    if (engine->sleeping_until_ms == AWAKE || due_ms >= engine->sleeping_until_ms)
        return false;
    engine->sleeping_until_ms = AWAKE;
    engine->horizon_ms = due_ms;
    return true;
}

static void kick(struct rlk_engine *engine)
{
    while (eventfd_write(engine->wake_fd, 1) != 0 && errno == EINTR)
        continue;
}

static int64_t first_renewal(const struct rlk_holding *holding)
{
    return holding->lease.granted_ms + holding->lease.terms.ttl_ms / 4;
}

void rlk_engine_keep(struct rlk_engine *engine, struct rlk_holding *holding)
{
    bool kicked = false;
    pthread_mutex_lock(&engine->mutex);
    if (holding->place == RLK_OUTSIDE) {
        rlk_holding_retain(holding);
        holding->place = RLK_ARRIVING;
        rlk_list_append(&engine->arriving, &holding->engine_link);
        kicked = must_kick(engine, first_renewal(holding));
    }
    pthread_mutex_unlock(&engine->mutex);
    if (kicked)
        kick(engine);
}

void rlk_engine_drop(struct rlk_engine *engine, struct rlk_holding *holding)
{
    bool forgotten = false;
    pthread_mutex_lock(&engine->mutex);
    if (holding->place == RLK_ARRIVING) {
        rlk_unlink(&holding->engine_link);
        forgotten = !holding->credited;
        holding->place = forgotten ? RLK_OUTSIDE : RLK_KEPT;
    }
    if (holding->place == RLK_KEPT) {
        rlk_list_append(&engine->leaving, &holding->engine_link);
        holding->place = RLK_LEAVING;
    }
    pthread_mutex_unlock(&engine->mutex);
    if (forgotten)
        rlk_holding_drop(holding);
}

/* It arrives once more, for the engine to see its new deadline. */
void rlk_engine_credit(struct rlk_engine *engine, struct rlk_holding *holding)
{
    pthread_mutex_lock(&engine->mutex);
    if (holding->place == RLK_KEPT) {
        holding->place = RLK_ARRIVING;
        holding->credited = true;
        rlk_list_append(&engine->arriving, &holding->engine_link);
    }
    pthread_mutex_unlock(&engine->mutex);
}

static void hand_in(struct rlk_engine *engine, struct rlk_link *list, struct rlk_link *link)
{
    pthread_mutex_lock(&engine->mutex);
    rlk_list_append(list, link);
    bool kicked = must_kick(engine, AT_ONCE);
    pthread_mutex_unlock(&engine->mutex);
    if (kicked)
        kick(engine);
}

void rlk_engine_submit(struct rlk_engine *engine, struct rlk_operation *operation)
{
    rlk_operation_retain(operation);
    hand_in(engine, &engine->submitted, &operation->submitted);
}

void rlk_engine_give_up(struct rlk_engine *engine, struct rlk_operation *operation)
{
    rlk_operation_retain(operation);
    hand_in(engine, &engine->given_up, &operation->given_up);
}

void rlk_engine_finish(struct rlk_engine *engine, const struct rlk_lock *lock)
{
    int nodes = engine->settings->nodes;
    struct rlk_operation *operation = rlk_operation_new(RLK_RELEASE, lock->key, nodes);
    if (!operation)
        return;
    operation->lock = *lock;
    operation->lock.key = operation->key;
    operation->lock.tallies = operation->tallies;
    memcpy(operation->tallies, lock->tallies, (size_t)nodes * sizeof *operation->tallies);
    rlk_lock_retire(&operation->lock);
    operation->is_decided = true;
    hand_in(engine, &engine->submitted, &operation->submitted);
}

/* ---- life ---- */

static void free_engine(struct rlk_engine *engine)
{
    if (engine->wake_fd >= 0)
        close(engine->wake_fd);
    rlk_loop_free(engine->loop);
    rlk_runner_free(&engine->runner);
    rlk_watchdog_free(&engine->watchdog);
    pthread_mutex_destroy(&engine->mutex);
    free(engine);
}

static void init_lists(struct rlk_engine *engine)
{
    struct rlk_link *lists[] = {&engine->arriving, &engine->leaving, &engine->submitted,
                                &engine->given_up};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        rlk_list_init(lists[i]);
}

struct rlk_engine *rlk_engine_start(const struct rlk_settings *settings)
{
    uint64_t seed;
    struct rlk_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return NULL;
    engine->settings = settings;
    engine->sleeping_until_ms = AWAKE;
    engine->stop_at_ms = RLK_NEVER;
    engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    engine->loop = rlk_loop_new(settings);
    rlk_random_bytes(&seed, sizeof seed);
    init_lists(engine);
    rlk_watchdog_init(&engine->watchdog, engine->loop);
    rlk_runner_init(&engine->runner, engine->loop, &engine->watchdog, settings->nodes, seed);
    pthread_mutex_init(&engine->mutex, NULL);
    if (engine->loop)
        rlk_loop_watch(engine->loop, on_moved, engine);
    if (engine->wake_fd >= 0 && engine->loop &&
        rlk_start_thread(&engine->thread, STACK_SIZE, run, engine))
        return engine;
    free_engine(engine);
    return NULL;
}

/* The thread has ended, and with it what it had under way. */
static void end_operations(struct rlk_engine *engine)
{
    take_submitted(engine, &engine->submitted);
    take_given_up(engine, &engine->given_up);
    rlk_runner_end(&engine->runner);
}

static void request_stop(struct rlk_engine *engine, int64_t grace_ms)
{
    pthread_mutex_lock(&engine->mutex);
    engine->stop_at_ms = rlk_earlier(engine->stop_at_ms, rlk_clock_ms() + grace_ms);
    pthread_mutex_unlock(&engine->mutex);
    kick(engine);
}

bool rlk_engine_begin_stop(struct rlk_engine *engine, int64_t grace_ms, struct rlk_outbox *outbox,
                           uint64_t tag)
{
    struct rlk_notice *end = calloc(1, sizeof *end);
    if (!end)
        return false;
    *end = (struct rlk_notice){.tag = tag, .on_heap = true};
    rlk_outbox_retain(outbox);
    pthread_mutex_lock(&engine->mutex);
    engine->end = end;
    engine->last_words = outbox;
    pthread_mutex_unlock(&engine->mutex);
    request_stop(engine, grace_ms);
    return true;
}

void rlk_engine_stop(struct rlk_engine *engine, int64_t grace_ms)
{
    request_stop(engine, grace_ms);
    pthread_join(engine->thread, NULL);
    end_operations(engine);
    take_leaving(engine, take(&engine->leaving, RLK_OUTSIDE));
    if (engine->last_words)
        rlk_outbox_drop(engine->last_words);
    free_engine(engine);
}

void rlk_engine_disown(struct rlk_engine *engine)
{
    close(engine->wake_fd);
    rlk_loop_close_inherited(engine->loop);
}
