/* registered.c - a list; what is in it is the business of who puts it there. */
#include "registered.h"

#include "memory.h"

void qp_registered_init(struct qp_registered *registered)
{
    (void)pthread_mutex_init(&registered->lock, NULL);
}

void qp_registered_release(struct qp_registered *registered)
{
    for (size_t i = 0; i < registered->count; i++)
        registered->free_item(registered->items[i]);
    qp_free(registered->items);
    (void)pthread_mutex_destroy(&registered->lock);
    *registered = (struct qp_registered){0};
}
