/* Runs scripts in Lua, and the commands that they call. The servers of a thread share it. */
#ifndef SIM_REDIS_INTERPRETER_H
#define SIM_REDIS_INTERPRETER_H

#include "sim/redis_server.h"
#include "sim/redis_tree.h"

#define REDIS_NO_FUNCTION 0

/* The function of a text, for as long as the thread lives; or none, and the reply says why. */
int redis_compile(struct redis_call *call, struct redis_word text);

/* Of EVAL or EVALSHA, whose third word says how many of the others are keys. The SHA1 is what an
 * error names. Commands that were run before are not run again: their answers are given. */
void redis_interpret(struct redis_call *call, int function, const char *sha1, size_t key_count,
                     const struct tree_answers *answers);

#endif
