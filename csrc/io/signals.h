/* Signals as something to read, for a program that waits for several things at once; and how it
 * stops and dies as if it had not. Linux's signalfd(2). */
#ifndef RLK_SIGNALS_H
#define RLK_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* From now on these are read from the descriptor that is returned, which is non-blocking; -1 with
 * errno if there is none to be had. What the program was started to ignore (nohup) stays ignored.
 * SIGTTOU and SIGPIPE are held off as well: a terminal that is another's or gone is no reason to
 * stop or to die. */
int rlk_signals_catch(const int *signals, int count);

/* The mask before that, which what we start is given back. */
const sigset_t *rlk_signals_before(void);

/* The next one, or 0. */
int rlk_signals_read(int fd);

/* Does by default what the signal does, to us or, as a terminal does it, to our process group.
 * Returns when it was a stop and we go on, or where the system takes no notice. */
void rlk_signals_obey(int signal, bool whole_group);

#endif
