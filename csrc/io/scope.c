/* A table of scopes by key, of a fixed size. More requests that hold locks at one time in one worker
 * only make its chains longer. */
#include "io/scope.h"

#include <stdlib.h>

#define BUCKETS 1024

struct rlk_scope {
    struct rlk_scope *next;
    uintptr_t key;
    struct rlk_link bonds;
};

static struct rlk_scope *scopes[BUCKETS];

/* Keys are addresses: their low bits say little. */
static struct rlk_scope **bucket(uintptr_t key)
{
    return &scopes[(key >> 4 ^ key >> 14) % BUCKETS];
}

struct rlk_scope *rlk_scope_find(uintptr_t key)
{
    struct rlk_scope *scope = *bucket(key);
    while (scope && scope->key != key)
        scope = scope->next;
    return scope;
}

struct rlk_scope *rlk_scope_begin(uintptr_t key)
{
    struct rlk_scope *scope = calloc(1, sizeof *scope);
    if (!scope)
        return NULL;
    scope->key = key;
    scope->next = *bucket(key);
    *bucket(key) = scope;
    rlk_list_init(&scope->bonds);
    return scope;
}

void rlk_scope_end(void *ended)
{
    struct rlk_scope *scope = ended, **place = bucket(scope->key);
    struct rlk_link *link;
    while (*place != scope)
        place = &(*place)->next;
    *place = scope->next;
    while ((link = rlk_list_take_first(&scope->bonds)) != NULL) {
        struct rlk_bond *bond = rlk_owner(link, struct rlk_bond, link);
        bond->end(bond);
    }
    free(scope);
}

void rlk_scope_bind(struct rlk_scope *scope, struct rlk_bond *bond)
{
    rlk_list_append(&scope->bonds, &bond->link);
}

void rlk_scope_unbind(struct rlk_bond *bond)
{
    rlk_unlink(&bond->link);
}

void rlk_scope_rebind(struct rlk_bond *bond, struct rlk_bond *other)
{
    if (!rlk_is_linked(&bond->link))
        return;
    rlk_list_append(&bond->link, &other->link);
    rlk_unlink(&bond->link);
}
