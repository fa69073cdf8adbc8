/* Included before every shipped source: what it asks the operating system for, it asks the
 * simulated process for (process.c, system.c); and its commands are written by format.c. */
#ifndef SIM_REPLACED_H
#define SIM_REPLACED_H

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

int sim_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int sim_eventfd(unsigned count, int flags);
int sim_eventfd_write(int fd, eventfd_t rings);
int sim_eventfd_read(int fd, eventfd_t *rings);
int sim_close(int fd);
int sim_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int sim_mutex_destroy(pthread_mutex_t *mutex);
int sim_mutex_lock(pthread_mutex_t *mutex);
int sim_mutex_unlock(pthread_mutex_t *mutex);
int sim_thread_join(pthread_t thread, void **result);
long sim_sysconf(int name);

#define poll sim_poll
#define eventfd sim_eventfd
#define eventfd_write sim_eventfd_write
#define eventfd_read sim_eventfd_read
#define close sim_close
#define pthread_mutex_init sim_mutex_init
#define pthread_mutex_destroy sim_mutex_destroy
#define pthread_mutex_lock sim_mutex_lock
#define pthread_mutex_unlock sim_mutex_unlock
#define pthread_join sim_thread_join
#define sysconf sim_sysconf
#define redisFormatSdsCommandArgv sim_format_command
#define redisFreeSdsCommand sim_free_command

#endif
