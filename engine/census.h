/* census.h - what each term should hold, folded from the log, and held against the index.
 *
 * For each term a count and a sum over its positions: enough to tell that the index has the same
 * ones, in memory that grows with the terms and not with the events. */
#ifndef QP_CENSUS_H
#define QP_CENSUS_H

#include "memory.h"
#include "moment.h"
#include "record.h"

struct qp_census_term {
    uint64_t hash;
    uint64_t count;
    uint64_t sum;   /* over (position, number), in order */
    uint64_t first; /* number of the first entry */
    uint64_t newest;
    uint64_t first_position;
    uint64_t last_position;
    bool seen; /* the index has it */
    uint16_t key_size;
    uint8_t key[];
};

struct qp_census {
    struct qp_arena names;
    struct qp_census_term **table;
    size_t table_size;
    size_t term_count;
    uint64_t *damaged; /* positions without a readable record, ascending */
    size_t damaged_count;
    size_t damaged_capacity;
    uint64_t ids;    /* that the index should have: as many as events, too many for a term each */
    uint64_t id_sum; /* over them, in any order */
};

void qp_census_release(struct qp_census *census);

/* The newest version that the census knows of the record's stream, 0 if none. */
uint64_t qp_census_version(const struct qp_census *census, struct qp_bytes stream);

/* Count a record under its stream, category, type, tags and id; beyond what the index has only the
 * version counts. false: memory is out. */
bool qp_census_add(struct qp_census *census, uint64_t position, uint64_t indexed,
                   const struct qp_record *record);
bool qp_census_add_damaged(struct qp_census *census, uint64_t position);

/* Told of each difference. Not 0: stop. */
typedef int (*qp_census_found_fn)(void *payload, const char *table, const char *text);

/* Compare with the index of this moment. Returns: OK; what `found` returned to stop; IO, NO_MEMORY.
 */
int qp_census_compare(struct qp_census *census, struct qp_moment *moment, qp_census_found_fn found,
                      void *payload, quipu_error *error);

#endif
