/* Preloaded into a program: its wall clock is off by what a file says, from one call to the next.
 * The clocks that cannot be set are left alone.
 *
 * Why not libfaketime: under a Redis that is linked with jemalloc it calls itself without an end, and
 * it learns of a step by parsing a file. Here the file, of the variable TORTURE_CLOCK, is mapped. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

static const volatile int64_t *offset_ns; /* NULL until it is known: no step */

__attribute__((constructor)) static void map_offset(void)
{
    const char *path = getenv("TORTURE_CLOCK");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0 || ftruncate(file, sizeof *offset_ns))
        return;
    void *mapped = mmap(NULL, sizeof *offset_ns, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        offset_ns = mapped;
}

static void read_wall(struct timespec *now)
{
    syscall(SYS_clock_gettime, CLOCK_REALTIME, now);
    if (!offset_ns)
        return;
    int64_t ns = now->tv_nsec + *offset_ns % 1000000000;
    now->tv_sec += *offset_ns / 1000000000;
    if (ns < 0 || ns >= 1000000000) {
        now->tv_sec += ns < 0 ? -1 : 1;
        ns += ns < 0 ? 1000000000 : -1000000000;
    }
    now->tv_nsec = ns;
}

SHOWN int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, now);
    read_wall(now);
    return 0;
}

SHOWN int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec wall;
    read_wall(&wall);
    now->tv_sec = wall.tv_sec;
    now->tv_usec = wall.tv_nsec / 1000;
    return 0;
}

SHOWN time_t time(time_t *now)
{
    struct timespec wall;
    read_wall(&wall);
    if (now)
        *now = wall.tv_sec;
    return wall.tv_sec;
}
