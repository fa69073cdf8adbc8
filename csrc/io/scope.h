/* A scope: something that ends, such as a request, and what is bound to it. When it ends, every
 * bond is ended in turn: what the request held is released, what it waited for is given up.
 *
 * A scope goes by a key of its owner's (the request's address) and lasts until it is ended. All
 * scopes of a process are of one thread, the one that runs the requests. */
#ifndef RLK_SCOPE_H
#define RLK_SCOPE_H

#include <stdint.h>

#include "io/list.h"

struct rlk_scope;

struct rlk_bond {
    struct rlk_link link;
    void (*end)(struct rlk_bond *bond); /* it is bound no longer, and must not bind anything */
    void *context;                      /* end()'s */
};

/* The scope with that key; NULL if there is none. */
struct rlk_scope *rlk_scope_find(uintptr_t key);

/* A new one; NULL if there is no memory. */
struct rlk_scope *rlk_scope_begin(uintptr_t key);

/* Ends everything that is bound to it, and frees it. Takes a pointer to a struct rlk_scope, so that
 * it can be a cleanup handler. */
void rlk_scope_end(void *scope);

void rlk_scope_bind(struct rlk_scope *scope, struct rlk_bond *bond);

/* Nothing if it is not bound. */
void rlk_scope_unbind(struct rlk_bond *bond);

/* The bond's place is taken by another bond, which is bound to the same scope, if to any. */
void rlk_scope_rebind(struct rlk_bond *bond, struct rlk_bond *other);

#endif
