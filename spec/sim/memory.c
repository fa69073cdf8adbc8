/* malloc() and its like, for this program and the libraries that it is linked with: two heaps of
 * size classes with free lists. One thread uses them. A heap never gives memory back to the
 * system; the schedule's begins anew. */
#include "memory.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HEAP_SIZE ((size_t)4 << 30) /* of addresses; pages come as they are touched */
#define STEP 16
#define SMALL_MAX 1024
#define SMALL_CLASSES (SMALL_MAX / STEP)
#define CLASSES (SMALL_CLASSES + 22 * 2) /* two for each doubling beyond */

/* What stands before the bytes that were asked for, and keeps them aligned. */
struct block {
    size_t size;
    size_t unused;
};
#define HEADER sizeof(struct block)

struct heap {
    char *start, *free, *end;
    struct block *lists[CLASSES];
};

static struct heap lasting, schedules;
/* Volatile: compilers believe that malloc() reads no variable of ours. */
static struct heap *volatile current = &lasting;

static void open_heap(struct heap *heap)
{
    void *memory = mmap(NULL, HEAP_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        _Exit(3);
    heap->start = heap->free = memory;
    heap->end = heap->start + HEAP_SIZE;
}

static size_t class_of_large(size_t *size)
{
    size_t class = SMALL_CLASSES, bound = SMALL_MAX;
    for (;; bound *= 2, class += 2) {
        if (*size <= bound + bound / 2) {
            *size = bound + bound / 2;
            return class;
        }
        if (*size <= 2 * bound) {
            *size = 2 * bound;
            return class + 1;
        }
    }
}

/* Which class holds so many bytes, and how many it holds. */
static inline size_t class_of(size_t *size)
{
    if (*size > SMALL_MAX)
        return class_of_large(size);
    size_t steps = *size ? (*size + STEP - 1) / STEP : 1;
    *size = steps * STEP;
    return steps - 1;
}

static void *bytes_of(struct block *block)
{
    return (char *)block + HEADER;
}

static struct block *block_of(void *bytes)
{
    return (struct block *)(void *)((char *)bytes - HEADER);
}

/* The next in its list, where the bytes of a free block were. */
static struct block **next_of(struct block *block)
{
    return bytes_of(block);
}

static void *take(struct heap *heap, size_t size)
{
    if (size > HEAP_SIZE / 4)
        return NULL;
    size_t class = class_of(&size);
    struct block *block = heap->lists[class];
    if (block) {
        heap->lists[class] = *next_of(block);
        return bytes_of(block);
    }
    if (!heap->start)
        open_heap(heap);
    if ((size_t)(heap->end - heap->free) < size + HEADER)
        return NULL;
    block = (struct block *)(void *)heap->free;
    heap->free += size + HEADER;
    block->size = size;
    return bytes_of(block);
}

static struct heap *heap_of(const void *bytes)
{
    uintptr_t at = (uintptr_t)bytes, start = (uintptr_t)schedules.start;
    return at >= start && at < (uintptr_t)schedules.end ? &schedules : &lasting;
}

bool sim_memory_use_schedules(bool of_schedule)
{
    bool before = current == &schedules;
    current = of_schedule ? &schedules : &lasting;
    return before;
}

void sim_memory_end_schedule(void)
{
    schedules.free = schedules.start;
    memset(schedules.lists, 0, sizeof schedules.lists);
}

static void release(void *bytes)
{
    struct heap *heap = heap_of(bytes);
    struct block *block = block_of(bytes);
    size_t size = block->size, class = class_of(&size);
    *next_of(block) = heap->lists[class];
    heap->lists[class] = block;
}

static void *resize(struct heap *heap, void *bytes, size_t size)
{
    size_t known = bytes ? block_of(bytes)->size : 0;
    if (bytes && size <= known)
        return bytes;
    void *moved = take(heap, size);
    if (moved && bytes) {
        memcpy(moved, bytes, known);
        release(bytes);
    }
    return moved;
}

void *sim_memory_grow(void *array, size_t *capacity, size_t needed, size_t element_size)
{
    if (needed <= *capacity)
        return array;
    size_t grown = *capacity ? 2 * *capacity : 16;
    while (grown < needed)
        grown *= 2;
    array = resize(&lasting, array, grown * element_size);
    if (!array) {
        fputs("sim: out of memory\n", stderr);
        exit(3);
    }
    *capacity = grown;
    return array;
}

/* ---- what takes the C library's place ---- */

void *malloc(size_t size)
{
    void *bytes = take(current, size);
    if (!bytes)
        errno = ENOMEM;
    return bytes;
}

void free(void *bytes)
{
    if (bytes)
        release(bytes);
}

void *calloc(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    void *bytes =
        take(current, count * size); /* a call of malloc() would be made one of calloc() */
    if (bytes)
        memset(bytes, 0, count * size);
    return bytes;
}

void *realloc(void *bytes, size_t size)
{
    void *moved = resize(bytes ? heap_of(bytes) : current, bytes, size);
    if (!moved)
        errno = ENOMEM;
    return moved;
}

/* Nothing here asks for more than what every block has. */
void *aligned_alloc(size_t alignment, size_t size)
{
    return alignment <= HEADER ? malloc(size) : NULL;
}

int posix_memalign(void **bytes, size_t alignment, size_t size)
{
    *bytes = aligned_alloc(alignment, size);
    return *bytes ? 0 : ENOMEM;
}
