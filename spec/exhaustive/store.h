/* The worlds that were seen: of each its form, and how it came about; and those, whole but packed,
 * that are still to be looked at. */
#ifndef EXHAUSTIVE_STORE_H
#define EXHAUSTIVE_STORE_H

#include "exhaustive/world.h"

#define NO_WORLD UINT32_MAX

struct origin {
    uint32_t parent; /* the number of the world before; NO_WORLD for the first */
    struct action action;
};

struct packed {
    uint8_t *bytes;
    size_t len, capacity;
};

struct store {
    size_t capacity; /* of the table, a power of two */
    uint32_t *table; /* numbers by form */
    uint32_t count;  /* worlds seen */
    uint32_t limit;  /* at most so many */
    uint64_t *forms; /* by number */
    uint64_t *sums;  /* of the forms that follow, once they are known */
    struct origin *origins;
    struct packed level, next_level;
    size_t read;        /* of the level */
    struct world first; /* what all are told apart from */
};

/* Ends the program if there is no memory, as the others do. */
void store_open(struct store *store, const struct world *first, uint32_t limit);
void store_close(struct store *store);

/* The number of a form, which is new if it is the count from before. NO_WORLD if it would be one
 * too many. */
uint32_t store_find(struct store *store, uint64_t form, struct origin origin);

/* For later. */
void store_keep(struct store *store, const struct world *world);

/* The next of this level, in the order in which they were kept. False at its end, where the next
 * level begins. */
bool store_take(struct store *store, struct world *world);
bool store_descend(struct store *store);

/* A world by itself, packed. */
void store_pack(const struct store *store, struct packed *packed, const struct world *world);
size_t store_unpack(const struct store *store, const uint8_t *bytes, struct world *world);

#endif
