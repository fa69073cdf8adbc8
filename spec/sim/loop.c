/* An event loop: its tasks submit operations, and go on when the outbox says so. Some of what they
 * ask for is bound to a request, which may end at any time. */
#include <stddef.h>

#include "history.h"
#include "process.h"
#include "program.h"
#include "report.h"

#define WATCH_TAG (UINT64_C(1) << 40)
#define CLOSE_TAG (UINT64_C(1) << 41)

enum step {
    RESTS,
    ASKS,
    HOLDS,
    EXTENDS,
    RELEASES,
    ENDED,
};

struct loop;

struct task {
    enum step step;
    int64_t next_us; /* by the process's clock: when to do something else; SIM_NEVER: not */
    int lock, rounds, last_rounds;
    bool is_last;
    int wait, tenure;
    struct rlk_operation *operation;
    struct rlk_holding *holding;
    struct rlk_scope *request; /* NULL: it is bound to none */
    int64_t request_ends_us;
};

struct loop {
    struct sim_process *process;
    struct rlk_client *client;
    struct rlk_outbox *outbox;
    int tasks_count;
    bool has_closed;
    struct task tasks[SIM_TASKS_MAX];
};

static struct loop loops[SIM_PROCESSES_MAX];

static int64_t clock_us(const struct loop *loop)
{
    return sim_clock_us(loop->process);
}

static uint64_t number_of(const struct loop *loop, const struct task *task)
{
    return (uint64_t)(task - loop->tasks);
}

static void rest(struct loop *loop, struct task *task, int64_t us)
{
    task->step = RESTS;
    task->next_us = clock_us(loop) + us;
}

/* ---- requests ---- */

static void begin_request(struct loop *loop, struct task *task)
{
    uintptr_t key = ((uintptr_t)sim_number_of(loop->process) << 16 | number_of(loop, task)) << 5;
    bool binds = sim_below(100) < sim.mix.bound_percent && !sim.has_healed;
    task->request = binds ? rlk_scope_begin(key) : NULL;
    bool is_cut_short = task->request && sim_strikes(SIM_REQUEST_ENDS);
    task->request_ends_us = is_cut_short ? clock_us(loop) + 2 * sim_program_pause_us() : SIM_NEVER;
}

static void end_request(struct task *task)
{
    struct rlk_scope *request = task->request;
    task->request = NULL;
    task->request_ends_us = SIM_NEVER;
    if (request)
        rlk_scope_end(request);
}

static void forget(struct loop *loop, struct task *task)
{
    sim_judge_forgets(task->tenure);
    rlk_client_forget(loop->client, task->holding);
    sim_judge_has_forgotten(task->tenure);
    task->holding = NULL;
}

/* In the middle of whatever it did. What is under way comes to its end by a notice; a lock that is not
 * bound to the request outlives it. */
static void lose_request(struct loop *loop, struct task *task)
{
    sim_count_fault(SIM_REQUEST_ENDS);
    bool is_bound = task->holding && rlk_is_linked(&task->holding->bond.link);
    if (is_bound)
        sim_judge_lets_go(task->tenure);
    if (task->step == ASKS && task->operation)
        sim_judge_gives_up(task->wait); /* the next may have its turn before this one is told */
    end_request(task);
    if (is_bound)
        sim_judge_looks(task->tenure, false, rlk_holding_remaining_us(task->holding) > 0);
    if (task->step == HOLDS) {
        forget(loop, task);
        rest(loop, task, sim_program_pause_us());
    }
}

/* ---- acquire ---- */

static bool acquire(struct loop *loop, struct task *task, struct rlk_terms terms)
{
    task->wait = sim_judge_asks(loop->process, task->lock, &terms);
    task->operation = rlk_client_submit_acquire(loop->client, sim_program_key(task->lock), &terms,
                                                loop->outbox, number_of(loop, task));
    if (!task->operation) {
        sim_judge_answered(task->wait, RLK_UNAVAILABLE, NULL);
        if (task->is_last)
            sim_judge_asks_again(task->wait);
        rest(loop, task, sim_program_pause_us());
        return false;
    }
    task->step = ASKS;
    task->next_us = SIM_NEVER;
    begin_request(loop, task);
    if (task->request)
        rlk_client_bind(loop->client, task->operation, task->request, sim_below(4) == 0);
    return true;
}

static void abandon(struct loop *loop, struct task *task)
{
    rlk_client_abandon(loop->client, task->operation);
    task->operation = NULL;
    sim_judge_gives_up(task->wait);
    end_request(task);
    rest(loop, task, sim_program_pause_us());
}

static void watch(struct loop *loop, struct task *task)
{
    if (sim_below(2) == 0 && rlk_client_watch(loop->client, task->holding, loop->outbox,
                                              WATCH_TAG | (uint64_t)task->tenure))
        sim_judge_watches(task->tenure);
}

static void on_acquired(struct loop *loop, struct task *task, enum rlk_outcome outcome)
{
    sim_judge_answered(task->wait, outcome, task->holding);
    if (outcome != RLK_ACQUIRED) {
        if (task->is_last)
            sim_judge_asks_again(task->wait);
        end_request(task);
        rest(loop, task, sim_program_pause_us());
        return;
    }
    task->last_rounds += task->is_last;
    task->tenure = sim_judge_granted(task->wait, task->holding);
    watch(loop, task);
    task->step = HOLDS;
    task->next_us = clock_us(loop) + (sim.has_healed ? sim_below(5000) : sim_program_pause_us());
}

/* ---- extend, release ---- */

static int64_t draw_extension_ms(void)
{
    return sim.mix.ttl_ms / 2 + sim_below(sim.mix.ttl_ms / 2) + 1;
}

static void extend(struct loop *loop, struct task *task)
{
    int64_t ttl_ms = draw_extension_ms();
    task->operation = rlk_client_submit_extend(loop->client, task->holding, ttl_ms, loop->outbox,
                                               number_of(loop, task));
    if (!task->operation)
        return;
    sim_judge_extends(task->tenure, ttl_ms);
    task->step = EXTENDS;
    task->next_us = SIM_NEVER;
}

/* Nobody waits for what comes of it, and the lock may be let go meanwhile. */
static void extend_unheard(struct loop *loop, struct task *task)
{
    int64_t ttl_ms = draw_extension_ms();
    struct rlk_operation *operation =
        rlk_client_submit_extend(loop->client, task->holding, ttl_ms, NULL, 0);
    if (!operation)
        return;
    sim_judge_extends_unheard(task->tenure, ttl_ms);
    rlk_operation_drop(operation);
    task->next_us = clock_us(loop) + sim_below(1000 + 2 * (sim.mix.latency_us + sim.mix.jitter_us));
}

static void let_go(struct loop *loop, struct task *task)
{
    forget(loop, task);
    end_request(task);
    rest(loop, task, sim_program_pause_us());
}

/* All of its loop waits, as if stopped. What nobody has confirmed is released once more, soon. */
static void release_by_call(struct loop *loop, struct task *task)
{
    int64_t began_us = sim.now_us;
    sim_judge_releases(task->tenure, false);
    enum rlk_outcome outcome = rlk_client_release(loop->client, task->holding);
    loop->process->stopped_us += sim.now_us - began_us;
    sim_judge_released(task->tenure, outcome);
    if (outcome == RLK_UNAVAILABLE)
        task->next_us = clock_us(loop) + sim_below(5000);
    else
        let_go(loop, task);
}

static void release(struct loop *loop, struct task *task)
{
    bool forgets = sim_strikes(SIM_FORGET);
    if (forgets)
        sim_count_fault(SIM_FORGET);
    if (forgets || rlk_holding_is_let_go(task->holding)) {
        let_go(loop, task);
        return;
    }
    if (sim.mix.any_haste && !task->request && sim_below(3) == 0) {
        release_by_call(loop, task);
        return;
    }
    sim_judge_releases(task->tenure, true);
    task->operation =
        rlk_client_submit_release(loop->client, task->holding, loop->outbox, number_of(loop, task));
    if (!task->operation) {
        let_go(loop, task);
        return;
    }
    task->step = RELEASES;
    task->next_us = SIM_NEVER;
}

static void hold_on(struct loop *loop, struct task *task)
{
    sim_program_write(task->tenure, task->holding);
    task->next_us = clock_us(loop) + sim_program_pause_us();
    if (sim_below(5) == 0 && !sim.has_healed && rlk_holding_remaining_us(task->holding) > 0) {
        if (sim.mix.any_haste && sim_below(2) == 0)
            extend_unheard(loop, task);
        else
            extend(loop, task);
    } else if (sim_below(3) > 0 || sim.has_healed)
        release(loop, task);
}

/* ---- the steps of a task ---- */

/* Once nothing goes wrong any more, the tasks share the locks among them, and get each. */
static void begin_last_round(struct loop *loop, struct task *task)
{
    int lock = (int)number_of(loop, task) + task->last_rounds * loop->tasks_count;
    task->step = ENDED;
    task->next_us = SIM_NEVER;
    task->lock = lock;
    task->is_last = true;
    if (lock < sim.mix.locks)
        acquire(loop, task, sim_program_last_terms());
}

static void begin_round(struct loop *loop, struct task *task)
{
    if (sim.has_healed) {
        begin_last_round(loop, task);
    } else if (task->rounds++ < sim.mix.rounds) {
        task->lock = (int)sim_below(sim.mix.locks);
        if (acquire(loop, task, sim_program_terms()) && sim_strikes(SIM_ABANDON))
            task->next_us = clock_us(loop) + sim_program_pause_us();
    } else {
        rest(loop, task, sim.mix.faults_us + sim.mix.faults_us / 100 + 1000 - sim.now_us);
    }
}

static void step(struct loop *loop, struct task *task)
{
    if (task->step == RESTS) {
        begin_round(loop, task);
    } else if (task->step == ASKS) {
        sim_count_fault(SIM_ABANDON);
        abandon(loop, task);
    } else if (task->step == HOLDS) {
        hold_on(loop, task);
    }
}

static void on_orphan(struct loop *loop, struct task *task)
{
    if (task->step == ASKS && task->operation)
        abandon(loop, task);
}

static void on_notice(struct loop *loop, struct task *task)
{
    struct rlk_operation *operation = task->operation;
    struct rlk_holding *granted;
    enum rlk_outcome outcome = rlk_client_conclude(loop->client, operation, &granted);
    if (granted)
        task->holding = granted;
    rlk_operation_drop(operation);
    task->operation = NULL;
    if (task->step == ASKS) {
        on_acquired(loop, task, outcome);
    } else if (task->step == EXTENDS) {
        sim_judge_extended(task->tenure, outcome);
        task->step = HOLDS;
        task->next_us = clock_us(loop) + sim_program_pause_us();
    } else {
        sim_judge_released(task->tenure, outcome);
        let_go(loop, task);
    }
}

/* ---- closing ---- */

static void end_close(struct loop *loop)
{
    rlk_client_close(loop->client, sim.mix.timeout_ms);
    sim_judge_has_closed(loop->process);
    loop->has_closed = true;
}

static void begin_close(struct loop *loop)
{
    sim_judge_closes(loop->process);
    for (int i = 0; i < loop->tasks_count; i++)
        if (loop->tasks[i].holding)
            sim_judge_lets_go(loop->tasks[i].tenure);
    loop->has_closed = false;
    if (!rlk_client_begin_close(loop->client, sim.mix.timeout_ms, loop->outbox, CLOSE_TAG))
        end_close(loop);
}

/* Everything that was under way has come to its end. */
static bool is_idle(const struct loop *loop)
{
    for (int i = 0; i < loop->tasks_count; i++)
        if (loop->tasks[i].operation)
            return false;
    return true;
}

static void drop_client(struct loop *loop)
{
    for (int i = 0; i < loop->tasks_count; i++) {
        struct task *task = &loop->tasks[i];
        if (task->holding)
            let_go(loop, task);
    }
    rlk_client_free(loop->client);
    loop->client = NULL;
}

/* ---- the loop ---- */

static void on_news(struct loop *loop, const struct rlk_news *news)
{
    struct task *task = &loop->tasks[news->tag & 0xff];
    if (news->tag & WATCH_TAG)
        sim_judge_is_told((int)(news->tag & ~WATCH_TAG), (enum rlk_status)news->word);
    else if (news->tag & CLOSE_TAG)
        end_close(loop);
    else if (news->tag & RLK_ORPHAN)
        on_orphan(loop, task);
    else if (task->operation)
        on_notice(loop, task);
}

static void take_notices(struct loop *loop)
{
    struct rlk_news news[16];
    size_t count;
    do {
        count = rlk_outbox_take(loop->outbox, news, 16);
        for (size_t i = 0; i < count; i++)
            on_news(loop, &news[i]);
    } while (count == 16);
}

static void step_due(struct loop *loop)
{
    for (int i = 0; i < loop->tasks_count; i++) {
        struct task *task = &loop->tasks[i];
        if (task->request && clock_us(loop) >= task->request_ends_us)
            lose_request(loop, task);
        if (clock_us(loop) >= task->next_us)
            step(loop, task);
    }
}

static int64_t next_step_us(const struct loop *loop)
{
    int64_t next_us = SIM_NEVER;
    for (int i = 0; i < loop->tasks_count; i++) {
        next_us = rlk_earlier(next_us, loop->tasks[i].next_us);
        next_us = rlk_earlier(next_us, loop->tasks[i].request_ends_us);
    }
    if (sim.mix.in_step_us > 0 && next_us != SIM_NEVER)
        next_us += sim.mix.in_step_us - next_us % sim.mix.in_step_us;
    return next_us;
}

static bool has_ended(const struct loop *loop)
{
    for (int i = 0; i < loop->tasks_count; i++)
        if (loop->tasks[i].step != ENDED)
            return false;
    return true;
}

static void close_and_reopen(struct loop *loop)
{
    sim_count_fault(SIM_CLOSE);
    begin_close(loop);
    take_notices(loop);
    while (!loop->has_closed || !is_idle(loop)) {
        sim_thread_wait(rlk_outbox_fd(loop->outbox), SIM_NEVER);
        take_notices(loop);
    }
    drop_client(loop);
    loop->client = sim_program_client();
}

/* Its memory is gone, so nothing of it may be called: what is bound is taken off its request. */
void sim_loop_die(struct sim_process *process)
{
    struct loop *loop = &loops[sim_number_of(process)];
    for (int i = 0; i < loop->tasks_count; i++) {
        struct task *task = &loop->tasks[i];
        if (task->request && task->operation)
            rlk_scope_unbind(&task->operation->bond);
        if (task->request && task->holding)
            rlk_scope_unbind(&task->holding->bond);
        end_request(task);
    }
}

static void begin(struct loop *loop, struct sim_process *process)
{
    *loop = (struct loop){
        .process = process,
        .tasks_count = sim.mix.tasks[sim_number_of(process)],
    };
    loop->client = sim_program_client();
    loop->outbox = rlk_outbox_new();
    for (int i = 0; i < loop->tasks_count; i++) {
        loop->tasks[i].request_ends_us = SIM_NEVER;
        rest(loop, &loop->tasks[i], sim_program_pause_us());
    }
}

static void end(struct loop *loop)
{
    sim_judge_closes(loop->process);
    rlk_client_close(loop->client, sim.mix.timeout_ms);
    sim_judge_has_closed(loop->process);
    drop_client(loop);
    take_notices(loop);
    rlk_outbox_drop(loop->outbox);
    sim_program_ends(loop->process);
}

void *sim_loop_run(void *process)
{
    struct loop *loop = &loops[sim_number_of(process)];
    begin(loop, process);
    for (;;) {
        step_due(loop);
        take_notices(loop);
        if (sim_below(20) == 0 && sim_strikes(SIM_CLOSE))
            close_and_reopen(loop);
        if (has_ended(loop))
            break;
        sim_thread_wait(rlk_outbox_fd(loop->outbox), next_step_us(loop));
    }
    end(loop);
    return NULL;
}
