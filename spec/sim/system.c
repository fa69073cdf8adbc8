/* io/system.h, as the simulated process whose thread is running sees it. */
#include "io/system.h"

#include <stdio.h>
#include <string.h>

#include "process.h"
#include "report.h"

/* What is read may be old when it is used: the thread is stopped in between. */
static void be_preempted(void)
{
    if (sim_fiber_current() < 0 || !sim_strikes(SIM_PREEMPT))
        return;
    sim_thread_is_delayed(SIM_PREEMPT, 1 + sim_below(1 + sim_below(1500 * sim.mix.ttl_ms)));
}

int64_t rlk_clock_us(void)
{
    int64_t now_us = sim_clock_us(sim_self());
    be_preempted();
    return now_us;
}

int64_t rlk_clock_ms(void)
{
    return rlk_clock_us() / 1000;
}

int64_t rlk_wall_us(void)
{
    const struct sim_process *process = sim_self();
    return sim_clock_us(process) + process->wall_us;
}

void rlk_name_process(char *name, size_t size)
{
    snprintf(name, size, "simulated:%d", sim_number_of(sim_self()));
}

void rlk_random_bytes(void *bytes, size_t len)
{
    for (char *rest = bytes; len > 0;) {
        uint64_t drawn = sim_random_next(&sim.random);
        size_t some = len < sizeof drawn ? len : sizeof drawn;
        memcpy(rest, &drawn, some);
        rest += some;
        len -= some;
    }
}

void rlk_random_token(char token[RLK_TOKEN_SIZE])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t drawn = 0;
    for (int i = 0; i < RLK_TOKEN_SIZE - 1; i++, drawn >>= 6) {
        if (i % 10 == 0)
            drawn = sim_random_next(&sim.random);
        token[i] = digits[drawn & 63];
    }
    token[RLK_TOKEN_SIZE - 1] = '\0';
}

bool rlk_start_thread(pthread_t *thread, size_t stack, void *(*run)(void *), void *argument)
{
    (void)stack;
    int number = sim_thread_start(sim_self(), run, argument);
    *thread = (pthread_t)number;
    return number >= 0;
}

unsigned rlk_fork_generation(void)
{
    return 1;
}
