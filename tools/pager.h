/* pager.h - the events of a filter, read in pages, so that no reader stays open while somebody
 * takes his time to read our output. */
#ifndef QT_PAGER_H
#define QT_PAGER_H

#include "command.h"
#include "filter.h"
#include "progress.h"
#include "quipu.h"

#include <stdbool.h>
#include <stdint.h>

/* What happens with an event. */
typedef void (*qt_pager_fn)(void *payload, const quipu_event *event);

struct qt_pager {
    struct qt_run *run;
    quipu *store;
    struct qt_filter *filter;
    qt_pager_fn put; /* NULL: events are only counted */
    void *payload;
    bool backwards;
    bool quiet;     /* what is damaged is passed over without a word */
    bool upcasts;   /* what upcasters make of the events, and not what is stored */
    bool waits;     /* somebody reads our output as it comes */
    uint64_t after; /* what is still to be read: (after, upto] */
    uint64_t upto;
    uint64_t limit;
    uint64_t shown;
    uint64_t total;        /* events in the range, if that is known without reading; else 0 */
    uint64_t damaged;      /* passed over with a word */
    uint64_t damaged_last; /* position of the last of them */
};

/* Everything that the filter lets through, forward. */
void qt_pager_init(struct qt_pager *pager, struct qt_run *run, quipu *store,
                   struct qt_filter *filter);

/* The newest number there is. Returns: 0, or a status with its problem. */
int qt_pager_head(const struct qt_pager *pager, uint64_t *head);

/* One page: as many events as may be read while a reader is open.
 *
 * Returns: 1 if there may be more, 0 at the end or limit, or a status with its problem. */
int qt_pager_page(struct qt_pager *pager);

/* Pages until the end, the limit, or until nobody listens any more. Each is written as soon as its
 * reader is closed, if somebody waits for it. `progress` may be NULL.
 *
 * Returns: 0, or a status with its problem. */
int qt_pager_pages(struct qt_pager *pager, struct qt_progress *progress);

/* After a limit. Returns: 1 if there is at least one more, 0, or a status with its problem. */
int qt_pager_more(const struct qt_pager *pager);

/* At the end of all. Returns: 0, or QUIPU_CORRUPT with its problem if something was damaged. */
int qt_pager_result(const struct qt_pager *pager);

#endif
