/* lease.c - a lease is free when
 *
 *     nobody has it
 *     its owner is dead          at once: a descriptor of the process says so (origin.c)
 *     its time is over, and      its owner is stopped, or hangs: one that only had nothing to do
 *     nothing has moved since    moves as soon as there is something
 *
 * So who has nothing to do need not renew it: an idle store stays idle. */
#include "lease.h"

#include "clock.h"

#include <unistd.h>

#define LEASE_NS    (10 * QP_NS_PER_S)
#define STANDING_NS QP_NS_PER_S /* so long nothing has moved before an ended lease is taken */

bool qp_lease_holds(const struct qp_lease *lease, const struct qp_projection_row *row)
{
    return lease->token != 0 && row->owner_pid != 0 && row->token == lease->token;
}

void qp_lease_hold(const struct qp_lease *lease, const struct qp_shared *shared, int64_t now_ns,
                   struct qp_projection_row *next)
{
    if (!qp_lease_holds(lease, next))
        next->token++;
    next->owner_slot = shared->slot;
    next->owner_generation = shared->generation;
    next->owner_pid = (uint32_t)getpid();
    next->lease_until_ns = now_ns + LEASE_NS + lease->longer_ns;
}

void qp_lease_let_go(struct qp_projection_row *next)
{
    next->owner_pid = 0;
    next->owner_slot = 0;
    next->owner_generation = 0;
    next->lease_until_ns = 0;
}

/* One that was lost was too short: its pages take longer. Else two slow processes would take it
 * from each other for ever. */
bool qp_lease_ask(struct qp_lease *lease, struct qp_shared *shared,
                  const struct qp_projection_row *row, bool behind, int64_t now_ns)
{
    int64_t now = qp_clock_monotonic_ns();

    if (row->owner_pid == 0 || qp_lease_holds(lease, row))
        return true;
    lease->longer_ns += lease->token != 0 ? LEASE_NS : 0;
    lease->token = 0;
    if (qp_shared_lives(shared, row->owner_slot, row->owner_generation) == QP_ORIGIN_GONE)
        return true;
    if (lease->watched != row->sequence || !behind) {
        lease->watched = row->sequence;
        lease->watched_ns = now;
    }
    return row->lease_until_ns <= now_ns && now - lease->watched_ns >= STANDING_NS;
}
