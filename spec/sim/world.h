/* The world of one schedule: who is in it, and what time it is. There is one at a time. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "clock.h"
#include "fiber.h"
#include "mix.h"
#include "random.h"

#include "io/settings.h"

struct sim_redis;
struct sim_client_program;

/* A server. */
struct sim_node {
    struct sim_redis *redis;
    struct sim_clock clock;
    bool is_up;
    bool is_silent;            /* while down: nobody says so, as where the machine is gone */
    bool is_hung;              /* stopped: what arrives waits */
    bool was_flushed;          /* it has forgotten its scripts, once at least */
    const char *refusal;       /* an error reply instead of what is asked; NULL: none */
    int64_t troubled_until_us; /* the last fault so far of the server is over then */
    int64_t restarted_us;      /* true time; before 0 if it was before the schedule */
    int64_t forgot_us;         /* the same, the last time without its data; INT64_MIN: never */
};

struct sim_process {
    struct sim_clock clock;
    int64_t wall_us; /* what its wall clock shows beyond the other */
    int64_t paused_until_us;
    int64_t stopped_us; /* so long in all has it, or a thread of it, been stopped */
    bool is_alive;
    bool is_done; /* its program has ended */
    int64_t ended_us;
    int64_t closing_us,
        stopped_before_us; /* its client began to be closed; how long it was stopped */
};

/* A thread of a process; its number is its fiber's. */
struct sim_thread {
    struct sim_process *process;
    int64_t starved_until_us;
    int64_t delayed_until_us; /* by chance, where it was */
    int64_t turn_us;          /* when it last came back from a wait */
    int idle_looks;           /* in a row that waited for nothing, at one moment */
    int joined_by;            /* a thread that waits for its end; -1: none */
    bool is_running;          /* it was started, and has not ended */
    bool is_held_up;          /* it was to run while it was stopped */
    void *(*run)(void *);
    void *argument;
};

struct sim_link {
    int64_t latency_us;
    int64_t blocked_until_us[2]; /* by way */
    bool has_lost;               /* a connection died without a word, with what was on it */
    int64_t troubled_until_us;   /* the last fault so far of it, or of a connection, is over then */
};

struct sim_world {
    uint64_t seed;
    enum sim_profile profile;
    struct sim_mix mix;
    struct sim_random random;
    int64_t now_us;
    uint64_t events;
    bool has_healed;
    int64_t healed_us;
    int64_t disturbed_until_us; /* the last fault so far is over then */
    bool is_over;               /* the judge found something */
    struct sim_node nodes[SIM_NODES_MAX];
    struct sim_process processes[SIM_PROCESSES_MAX];
    struct sim_thread threads[SIM_FIBERS_MAX];
    int thread_count;
    int64_t wake_at_us[SIM_FIBERS_MAX]; /* INT64_MAX: not by itself */
    struct sim_link links[SIM_PROCESSES_MAX][SIM_NODES_MAX];
    struct rlk_settings settings;
    uint64_t digest; /* of all that happened */
};

extern struct sim_world sim;

#define SIM_NEVER INT64_MAX

static inline int sim_number_of(const struct sim_process *process)
{
    return (int)(process - sim.processes);
}

/* The process whose thread is running. */
static inline struct sim_process *sim_self(void)
{
    return sim.threads[sim_fiber_current()].process;
}

static inline int64_t sim_below(int64_t bound)
{
    return sim_random_below(&sim.random, bound);
}

static inline int64_t sim_between(int64_t low, int64_t high)
{
    return sim_random_between(&sim.random, low, high);
}

/* By its rate of the mix, while things go wrong. */
static inline bool sim_strikes(enum sim_fault fault)
{
    return !sim.has_healed && sim_random_happens(&sim.random, sim.mix.rates[fault]);
}

/* A fault strikes, and may be felt until then. */
void sim_disturb(enum sim_fault fault, int64_t until_us);

/* Later than what is remembered; once all is well, nothing is wrong any more. */
static inline void sim_lasts_until(int64_t *until_us, int64_t end_us)
{
    if (end_us > *until_us)
        *until_us = end_us;
}

/* What the schedule shows of a name, such as "order:1". */
const char *sim_lock_name(int lock, size_t *len);

/* For the specs of the simulator itself: something that the judge has to find. */
enum sim_plant {
    SIM_NO_PLANT,
    SIM_PLANT_CLOCKS, /* those of the servers run further apart than the drift allows */
    SIM_PLANT_CRASH,  /* the program ends by a signal, in the middle of a schedule */
};
extern enum sim_plant sim_plant;

/* Runs one schedule to its end. */
void sim_world_run(uint64_t seed, enum sim_profile profile);

#endif
