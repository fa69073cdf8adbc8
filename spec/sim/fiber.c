/* A stack is entered by ucontext once; from then on fibers change places by longjmp(), which costs
 * no system call. */
#include "fiber.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STACK_SIZE (256 * 1024) /* what an engine's thread has */

static struct fiber {
    char *stack;
    jmp_buf resumption;
    void (*run)(void *);
    void *argument;
    bool is_entered, is_idle, has_ended;
} fibers[SIM_FIBERS_MAX];

static jmp_buf resumer;
static int current = -1;

/* A stack that is idle is used again from here. */
static void live(void)
{
    for (;;) {
        struct fiber *fiber = &fibers[current];
        fiber->is_idle = false;
        fiber->run(fiber->argument);
        fiber->has_ended = fiber->is_idle = true;
        if (_setjmp(fiber->resumption) == 0)
            _longjmp(resumer, 1);
    }
}

static void enter(struct fiber *fiber)
{
    ucontext_t context;
    fiber->is_entered = true;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber->stack;
    context.uc_stack.ss_size = STACK_SIZE;
    context.uc_link = NULL;
    makecontext(&context, live, 0);
    setcontext(&context);
}

static void have_stack(struct fiber *fiber)
{
    if (fiber->stack)
        return;
    fiber->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fiber->stack == MAP_FAILED) {
        fputs("sim: no memory for a stack\n", stderr);
        exit(3);
    }
}

void sim_fiber_start(int number, void (*run)(void *), void *argument)
{
    struct fiber *fiber = &fibers[number];
    have_stack(fiber);
    fiber->run = run;
    fiber->argument = argument;
    fiber->has_ended = false;
    if (!fiber->is_idle)
        fiber->is_entered = false; /* it was given up in the middle */
}

void sim_fiber_resume(int number)
{
    struct fiber *fiber = &fibers[number];
    current = number;
    if (_setjmp(resumer) == 0) {
        if (fiber->is_entered)
            _longjmp(fiber->resumption, 1);
        enter(fiber);
    }
    current = -1;
}

bool sim_fiber_has_ended(int fiber)
{
    return fibers[fiber].has_ended;
}

int sim_fiber_current(void)
{
    return current;
}

void sim_fiber_give_way(void)
{
    if (_setjmp(fibers[current].resumption) == 0)
        _longjmp(resumer, 1);
}
