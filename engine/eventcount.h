/* eventcount.h - a word in memory that processes share: it counts, and who has seen a count sleeps
 * until the next one. After Reed and Kanodia, "Synchronization with Eventcounts and Sequencers"
 * (1979).
 *
 * Read it, look for what is awaited, and await the next count if it is not there: then nothing is
 * missed. Any thread of any process. */
#ifndef QP_EVENTCOUNT_H
#define QP_EVENTCOUNT_H

#include "base.h"

#include <stdatomic.h>

typedef atomic_uint qp_eventcount; /* zeroed at first */

uint32_t qp_eventcount_read(const qp_eventcount *word);

/* Sleep until another count than `seen`. false: the time was over; true may be spurious. */
bool qp_eventcount_await(qp_eventcount *word, uint32_t seen, int64_t timeout_ns);

/* Count, and wake who sleeps. No system call if nobody does. Returns whether somebody slept. */
bool qp_eventcount_advance(qp_eventcount *word);

#endif
