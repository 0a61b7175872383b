/* registered.c - a list that only grows: an inline projection's functions run under no lock of
 * ours, and may look a live one up. What is in it is the business of who puts it there. */
#include "registered.h"

#include "memory.h"

void qp_registered_init(struct qp_registered *registered)
{
    (void)pthread_mutex_init(&registered->lock, NULL);
}

void qp_registered_put(struct qp_registered *registered, struct qp_registered_item *item)
{
    item->next = atomic_load(&registered->list);
    atomic_store(&registered->list, item);
}

void qp_registered_release(struct qp_registered *registered)
{
    struct qp_registered_item *item = atomic_load(&registered->list);

    while (item != NULL) {
        struct qp_registered_item *next = item->next;

        item->free_projection(item->projection);
        qp_free(item);
        item = next;
    }
    (void)pthread_mutex_destroy(&registered->lock);
}
