/* lease.h - who runs a projection. It guards nothing: a page is refused if the row has changed
 * meanwhile, whoever made it. It spares two processes the same work. */
#ifndef QP_LEASE_H
#define QP_LEASE_H

#include "projections.h"
#include "shared.h"

/* What one who runs a projection, or would like to, knows of it. A zeroed one holds nothing. */
struct qp_lease {
    uint64_t token;     /* of the lease that it holds; 0: none */
    int64_t longer_ns;  /* than leases are at first */
    uint64_t watched;   /* somebody else's row: its sequence, and since when it is the same */
    int64_t watched_ns; /* on the monotonic clock */
};

bool qp_lease_holds(const struct qp_lease *lease, const struct qp_projection_row *row);

/* `next`, which was as somebody saw it, says that this process has the lease from now on. */
void qp_lease_hold(const struct qp_lease *lease, const struct qp_shared *shared, int64_t now_ns,
                   struct qp_projection_row *next);

/* It says that nobody has. */
void qp_lease_let_go(struct qp_projection_row *next);

/* Look at it: may it be taken, or is it held already? `behind`: there is something to do. Notes in
 * `lease` what it saw, for the next look, and that a lease of its own was lost. */
bool qp_lease_ask(struct qp_lease *lease, struct qp_shared *shared,
                  const struct qp_projection_row *row, bool behind, int64_t now_ns);

#endif
