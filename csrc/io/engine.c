/* The mutex guards the lists by which holdings and chores come and go, and nothing that takes
 * time. The thread takes whole lists; what it keeps is then its alone. */
#include "io/engine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/system.h"

#define STACK_SIZE (256 * 1024)
#define AWAKE INT64_MIN

/* A lock machine that is only there to finish releases. */
struct chore {
    struct chore *next;
    struct rlk_lock lock;
    char key[RLK_KEY_MAX];
    struct rlk_tally tallies[];
};

struct rlk_engine {
    const struct rlk_settings *settings;
    pthread_t thread;
    int wake_fd;

    pthread_mutex_t mutex;
    struct rlk_holding *arriving, *leaving; /* by engine_next */
    struct chore *new_chores;
    int64_t sleeping_until_ms; /* AWAKE while the thread will look at the lists before it sleeps */
    int64_t horizon_ms;        /* what it was last kicked for: it sleeps no longer than that */
    bool stopping;

    /* the thread's alone */
    struct rlk_loop *loop;
    struct chore *chores;
    struct rlk_holding *ended; /* by next_ended: no longer held, to be let go */
};

/* ---- lists ---- */

static void link_in(struct rlk_holding **list, struct rlk_holding *holding)
{
    holding->engine_previous = NULL;
    holding->engine_next = *list;
    if (*list)
        (*list)->engine_previous = holding;
    *list = holding;
}

static void link_out(struct rlk_holding **list, struct rlk_holding *holding)
{
    if (holding->engine_previous)
        holding->engine_previous->engine_next = holding->engine_next;
    else
        *list = holding->engine_next;
    if (holding->engine_next)
        holding->engine_next->engine_previous = holding->engine_previous;
}

/* ---- the thread ---- */

static struct rlk_holding *holding_of(struct rlk_lock *lock)
{
    return (struct rlk_holding *)((char *)lock - offsetof(struct rlk_holding, lock));
}

static void note_end(struct rlk_engine *engine, struct rlk_holding *holding)
{
    holding->next_ended = engine->ended;
    engine->ended = holding;
}

/* Tells the owner what the machine has come to. Chores have tallies, holdings have none. */
static void on_moved(void *context, struct rlk_lock *lock)
{
    struct rlk_holding *holding = holding_of(lock);
    if (lock->tallies)
        return;
    if (lock->state == RLK_OWNED)
        rlk_holding_credit(holding, lock->deadline_ms);
    else if (rlk_holding_end(holding, rlk_status_of_loss(lock->loss)))
        note_end(context, holding);
}

static void start_keeping(struct rlk_engine *engine, struct rlk_holding *holding)
{
    rlk_lock_credit(&holding->lock, atomic_load(&holding->deadline_ms));
    if (rlk_loop_attach(engine->loop, &holding->lock))
        rlk_loop_touch(engine->loop, &holding->lock);
    else
        rlk_holding_end(holding, RLK_LOST_EXPIRED); /* rather than believed in, and not renewed */
}

static bool is_attached(const struct rlk_holding *holding)
{
    return holding->lock.id != 0;
}

static void let_go(struct rlk_engine *engine, struct rlk_holding *holding)
{
    if (is_attached(holding))
        rlk_loop_detach(engine->loop, &holding->lock);
    holding->lock.id = 0;
}

static void take_arriving(struct rlk_engine *engine, struct rlk_holding *holding)
{
    for (; holding; holding = holding->next_taken) {
        if (atomic_load(&holding->status) != RLK_HOLDS) {
            note_end(engine, holding);
        } else if (!is_attached(holding)) {
            start_keeping(engine, holding);
        } else {
            rlk_lock_credit(&holding->lock, atomic_load(&holding->deadline_ms));
            rlk_loop_touch(engine->loop, &holding->lock);
        }
    }
}

static void take_leaving(struct rlk_engine *engine, struct rlk_holding *holding)
{
    while (holding) {
        struct rlk_holding *next = holding->next_taken;
        let_go(engine, holding);
        rlk_holding_drop(holding);
        holding = next;
    }
}

static void take_chores(struct rlk_engine *engine, struct chore *chore)
{
    while (chore) {
        struct chore *next = chore->next;
        chore->lock.quorum = rlk_loop_quorum(engine->loop);
        if (rlk_loop_attach(engine->loop, &chore->lock)) {
            rlk_loop_touch(engine->loop, &chore->lock);
            chore->next = engine->chores;
            engine->chores = chore;
        } else {
            free(chore);
        }
        chore = next;
    }
}

static void end_chores(struct rlk_engine *engine)
{
    struct chore **link = &engine->chores;
    while (*link) {
        struct chore *chore = *link;
        if (!rlk_lock_is_done(&chore->lock)) {
            link = &chore->next;
            continue;
        }
        *link = chore->next;
        rlk_loop_detach(engine->loop, &chore->lock);
        free(chore);
    }
}

/* What is lost is watched no longer; the owner still holds a reference, and this one stays until
 * it lets go too. */
static void end_holdings(struct rlk_engine *engine)
{
    while (engine->ended) {
        struct rlk_holding *holding = engine->ended;
        engine->ended = holding->next_ended;
        let_go(engine, holding);
        pthread_mutex_lock(&engine->mutex);
        bool kept = holding->place == RLK_KEPT;
        if (kept)
            holding->place = RLK_OUTSIDE;
        pthread_mutex_unlock(&engine->mutex);
        if (kept)
            rlk_holding_drop(holding);
    }
}

/* Under the mutex. From then on the owner may put them on a list again, so what was taken hangs
 * together by a link that is the thread's alone. */
static struct rlk_holding *take(struct rlk_holding **list, enum rlk_place place)
{
    struct rlk_holding *taken = *list;
    for (struct rlk_holding *holding = taken; holding; holding = holding->engine_next) {
        holding->place = place;
        holding->next_taken = holding->engine_next;
    }
    *list = NULL;
    return taken;
}

static void take_lists(struct rlk_engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    struct rlk_holding *arriving = take(&engine->arriving, RLK_KEPT);
    struct rlk_holding *leaving = take(&engine->leaving, RLK_OUTSIDE);
    struct chore *chores = engine->new_chores;
    engine->new_chores = NULL;
    engine->sleeping_until_ms = AWAKE;
    pthread_mutex_unlock(&engine->mutex);
    take_arriving(engine, arriving);
    take_leaving(engine, leaving);
    take_chores(engine, chores);
}

/* False if somebody has put something on the lists meanwhile. Sleeping until the horizon,
 * although what it was kicked for may be gone by now, is what spares a program that locks and
 * releases all the time a kick for every lock. */
static bool fall_asleep(struct rlk_engine *engine, int64_t *until_ms)
{
    int64_t now_ms = rlk_clock_ms();
    pthread_mutex_lock(&engine->mutex);
    bool idle = !engine->arriving && !engine->leaving && !engine->new_chores;
    if (now_ms < engine->horizon_ms && engine->horizon_ms < *until_ms)
        *until_ms = engine->horizon_ms;
    if (idle)
        engine->sleeping_until_ms = *until_ms;
    pthread_mutex_unlock(&engine->mutex);
    return idle;
}

static bool may_stop(struct rlk_engine *engine, int64_t *stop_at_ms)
{
    pthread_mutex_lock(&engine->mutex);
    bool stopping = engine->stopping;
    pthread_mutex_unlock(&engine->mutex);
    if (!stopping)
        return false;
    int64_t now_ms = rlk_clock_ms();
    if (*stop_at_ms == RLK_NEVER)
        *stop_at_ms = now_ms + engine->settings->timeout_ms;
    return !engine->chores || now_ms >= *stop_at_ms;
}

static void *run(void *argument)
{
    struct rlk_engine *engine = argument;
    int64_t stop_at_ms = RLK_NEVER;
    eventfd_t kicks;
    for (;;) {
        take_lists(engine);
        rlk_loop_settle(engine->loop);
        int64_t until_ms = rlk_loop_prepare(engine->loop);
        end_chores(engine);
        end_holdings(engine);
        if (may_stop(engine, &stop_at_ms)) {
            rlk_loop_drain(engine->loop, stop_at_ms);
            return NULL;
        }
        if (stop_at_ms < until_ms)
            until_ms = stop_at_ms;
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
    return holding->lock.lease.granted_ms + holding->lock.lease.terms.ttl_ms / 4;
}

struct rlk_quorum *rlk_engine_quorum(struct rlk_engine *engine)
{
    return rlk_loop_quorum(engine->loop);
}

void rlk_engine_keep(struct rlk_engine *engine, struct rlk_holding *holding)
{
    rlk_holding_retain(holding);
    pthread_mutex_lock(&engine->mutex);
    holding->place = RLK_ARRIVING;
    link_in(&engine->arriving, holding);
    bool kicked = must_kick(engine, first_renewal(holding));
    pthread_mutex_unlock(&engine->mutex);
    if (kicked)
        kick(engine);
}

void rlk_engine_drop(struct rlk_engine *engine, struct rlk_holding *holding)
{
    bool forgotten = false;
    pthread_mutex_lock(&engine->mutex);
    if (holding->place == RLK_ARRIVING) {
        link_out(&engine->arriving, holding);
        if (holding->credited) {
            link_in(&engine->leaving, holding);
            holding->place = RLK_LEAVING;
        } else {
            holding->place = RLK_OUTSIDE;
            forgotten = true;
        }
    } else if (holding->place == RLK_KEPT) {
        link_in(&engine->leaving, holding);
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
        link_in(&engine->arriving, holding);
    }
    pthread_mutex_unlock(&engine->mutex);
}

void rlk_engine_finish(struct rlk_engine *engine, const struct rlk_lock *lock)
{
    size_t tallies = (size_t)engine->settings->nodes * sizeof(struct rlk_tally);
    struct chore *chore = malloc(sizeof *chore + tallies);
    if (!chore)
        return;
    chore->lock = *lock;
    memcpy(chore->key, lock->key.bytes, lock->key.len);
    memcpy(chore->tallies, lock->tallies, tallies);
    chore->lock.key.bytes = chore->key;
    chore->lock.tallies = chore->tallies;
    rlk_lock_retire(&chore->lock);
    pthread_mutex_lock(&engine->mutex);
    chore->next = engine->new_chores;
    engine->new_chores = chore;
    bool kicked = must_kick(engine, INT64_MIN + 1);
    pthread_mutex_unlock(&engine->mutex);
    if (kicked)
        kick(engine);
}

/* ---- life ---- */

static bool start_thread(struct rlk_engine *engine)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&engine->thread, &attributes, run, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failure == 0;
}

static void free_engine(struct rlk_engine *engine)
{
    if (engine->wake_fd >= 0)
        close(engine->wake_fd);
    rlk_loop_free(engine->loop);
    pthread_mutex_destroy(&engine->mutex);
    free(engine);
}

struct rlk_engine *rlk_engine_start(const struct rlk_settings *settings)
{
    struct rlk_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return NULL;
    engine->settings = settings;
    engine->sleeping_until_ms = AWAKE;
    engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    engine->loop = rlk_loop_new(settings);
    pthread_mutex_init(&engine->mutex, NULL);
    if (engine->wake_fd < 0 || !engine->loop) {
        free_engine(engine);
        return NULL;
    }
    rlk_loop_watch(engine->loop, on_moved, engine);
    if (!start_thread(engine)) {
        free_engine(engine);
        return NULL;
    }
    return engine;
}

static void free_chores(struct chore *chore)
{
    while (chore) {
        struct chore *next = chore->next;
        free(chore);
        chore = next;
    }
}

void rlk_engine_stop(struct rlk_engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->stopping = true;
    pthread_mutex_unlock(&engine->mutex);
    kick(engine);
    pthread_join(engine->thread, NULL);
    take_leaving(engine, take(&engine->leaving, RLK_OUTSIDE));
    free_chores(engine->chores);
    free_chores(engine->new_chores);
    free_engine(engine);
}

void rlk_engine_disown(struct rlk_engine *engine)
{
    close(engine->wake_fd);
    rlk_loop_close_inherited(engine->loop);
}
