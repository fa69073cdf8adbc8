/* The commands: what the library sends, what its scripts call, and what another client may do to
 * them. */
#ifndef SIM_REDIS_COMMANDS_H
#define SIM_REDIS_COMMANDS_H

#include "sim/redis_server.h"

struct redis_command {
    char name[16]; /* in small letters, "command|subcommand" */
    int arity;     /* with the name; -n: n or more */
    enum { REDIS_ANYWHERE, REDIS_BY_CLIENT, REDIS_BY_SUBSCRIBER } by; /* scripts: the first only */
    void (*run)(struct redis_call *call);
};

/* NULL if there is none. */
const struct redis_command *redis_command(const struct redis_word *words, size_t count);

static inline bool redis_command_takes(const struct redis_command *command, size_t count)
{
    return command->arity < 0 ? count >= (size_t)-command->arity : count == (size_t)command->arity;
}

/* What a client sent. */
void redis_run(struct redis_call *call);

/* What a script that a client runs by this call calls. */
void redis_run_for_script(const struct redis_call *script, const struct redis_word *words,
                          size_t count, struct redis_reply *reply);

#endif
