/* The outbox: where engines tell a program that does not wait for them what has come to pass.
 *
 * A notice carries the program's own tag. It is posted once; the program takes tags, and knows
 * what they stand for. The bell is a descriptor that is written to when the outbox is no longer
 * empty, once until the program has emptied it. One thread of the program reads an outbox; any
 * number of engines fill it. */
#ifndef RLK_OUTBOX_H
#define RLK_OUTBOX_H

#include <stdint.h>

#include "io/list.h"

struct rlk_outbox;

/* What is decided between the one who posts and the one who retracts: who comes first. */
enum rlk_notice_state { RLK_UNPOSTED, RLK_POSTED, RLK_RETRACTED };

struct rlk_notice {
    struct rlk_link link; /* this and the state: under the outbox's mutex */
    enum rlk_notice_state state;
    uint64_t tag;
    int word;     /* what there is to say besides; set before it is posted */
    bool on_heap; /* is freed by whoever takes it; it has to be the first member of its memory */
};

/* With one reference. NULL if there is no memory. */
struct rlk_outbox *rlk_outbox_new(void);
void rlk_outbox_retain(struct rlk_outbox *outbox);
void rlk_outbox_drop(struct rlk_outbox *outbox);

/* For a program that polls: a descriptor that is readable while there is something to take. It
 * becomes the bell, and is the outbox's own. -1 if there is none to be had. */
int rlk_outbox_fd(struct rlk_outbox *outbox);

/* Makes a socket the bell, and takes it over; what is there already is rung for. -1: no bell. */
void rlk_outbox_set_bell(struct rlk_outbox *outbox, int fd);

/* False if it was retracted before. Somebody has to ring afterwards if *must_ring. */
bool rlk_outbox_post(struct rlk_outbox *outbox, struct rlk_notice *notice, bool *must_ring);
void rlk_outbox_ring(struct rlk_outbox *outbox);

/* It is not to be told. False if it was posted before, and is now taken at the latest. */
bool rlk_outbox_retract(struct rlk_outbox *outbox, struct rlk_notice *notice);

/* What a notice said. */
struct rlk_news {
    uint64_t tag;
    int word;
};

/* Takes up to most notices, in the order of posting; how many. The bell does not ring again for
 * what is left: call it until it takes fewer. */
size_t rlk_outbox_take(struct rlk_outbox *outbox, struct rlk_news *news, size_t most);

#endif
