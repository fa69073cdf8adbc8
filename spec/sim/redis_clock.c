/* The wall clock of a process is what a file says: for LD_PRELOAD. Other clocks are the kernel's.
 *
 * SIM_CLOCK names a file of eight bytes, milliseconds since 1970, which another process may change
 * at any time. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static volatile const int64_t *shown_ms; /* NULL until the file was opened */

__attribute__((constructor)) static void open_clock(void)
{
    const char *path = getenv("SIM_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = mmap(NULL, sizeof *shown_ms, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED)
        _exit(127);
    shown_ms = page;
    close(file);
}

/* Allocators ask before anything was opened. */
EXPORT int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (!shown_ms || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return (int)syscall(SYS_clock_gettime, clock, time);
    int64_t ms = *shown_ms;
    *time = (struct timespec){ms / 1000, ms % 1000 * 1000000};
    return 0;
}

EXPORT int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

EXPORT time_t time(time_t *copy)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (copy)
        *copy = now.tv_sec;
    return now.tv_sec;
}
