/* Just enough of the protocol to tell commands and replies apart. */
#ifndef SIM_RESP_H
#define SIM_RESP_H

#include <stdbool.h>
#include <stddef.h>

/* The length of the command that the bytes begin with; 0 if it is not whole. */
size_t sim_resp_command_len(const char *bytes, size_t len);

/* EVAL or EVALSHA. */
bool sim_resp_is_script(const char *command, size_t len);

/* The words of a whole command; how many, of at most so many. */
struct sim_word {
    const char *bytes;
    size_t len;
};
int sim_resp_words(const char *command, size_t len, struct sim_word *words, int most);

/* The length of the reply that the bytes begin with; 0 if it is not whole. */
size_t sim_resp_reply_len(const char *bytes, size_t len);

#endif
