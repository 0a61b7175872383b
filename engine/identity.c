/* identity.c - index and tail name positions by (id, sum of the stream's name); streams may share a
 * sum, so the record there has the last word.
 *
 *     (id, sum) ---> index: 4711 ---> record: stream "order-42", id   yes: version 3
 *               `--> tail:  9100 ---> record: stream "order-99", id   no
 *
 * An id that nobody has used, which is what most appends bring, costs one search in the index and a
 * look into each segment of the tail. Of what is known exactly as long as its record is there,
 * nothing is remembered anywhere else. */
#include "identity.h"

#include "postings.h"

#include <assert.h>
#include <string.h>

void qp_identity_init(struct qp_identity *identity, struct qp_bytes stream, uint64_t stream_sum,
                      const uint8_t id[16])
{
    identity->stream = stream;
    identity->id = id;
    qp_key_id_name(identity->name, id, stream_sum);
}

/* Is it the event at this position? Returns: ROW with its version; OK: another one. */
static int confirm(const struct qp_identity *identity, struct qp_moment *moment, uint64_t position,
                   uint64_t *version, quipu_error *error)
{
    struct qp_record record;
    int rc;

    rc = qp_log_get_names(&moment->log, position, &record, error);
    if (rc != QUIPU_ROW)
        return rc;
    if (record.id == NULL || memcmp(record.id, identity->id, 16) != 0 ||
        !qp_bytes_equal(record.stream, identity->stream))
        return QUIPU_OK;
    *version = record.version;
    return QUIPU_ROW;
}

/* In the index, where the name was found more than once: streams share a sum. */
static int find_in_list(const struct qp_identity *identity, struct qp_moment *moment,
                        uint64_t *position, uint64_t *version, quipu_error *error)
{
    struct qp_postings postings;
    struct qp_bytes name = {identity->name, sizeof(identity->name)};
    uint64_t number;
    int rc = qp_postings_open(&postings, moment, QP_TERM_ID, name, error);

    if (rc == QUIPU_ROW)
        rc = qp_postings_seek(&postings, false, 0, error);
    while (rc == QUIPU_OK) {
        rc = qp_postings_next(&postings, position, &number, error);
        if (rc != QUIPU_ROW)
            break;
        rc = confirm(identity, moment, *position, version, error);
    }
    qp_postings_release(&postings);
    return rc;
}

int qp_identity_find(const struct qp_identity *identity, struct qp_moment *moment,
                     uint64_t *position, uint64_t *version, quipu_error *error)
{
    struct qp_term_row row;
    struct qp_key key;
    int rc;

    assert(moment->txn != NULL && moment->handle->index != NULL); /* who asks writes */
    qp_key_term(&key, QP_TERM_ID, (struct qp_bytes){identity->name, sizeof(identity->name)});
    rc = qp_index_term(&moment->index_txn, qp_key_bytes(&key), &row, error);
    if (rc == QUIPU_ROW && row.count == 1) {
        *position = row.first_position;
        rc = confirm(identity, moment, *position, version, error);
    } else if (rc == QUIPU_ROW) {
        rc = find_in_list(identity, moment, position, version, error);
    }
    if (rc == QUIPU_OK)
        *position = 0; /* from the begin of the tail */
    while (rc == QUIPU_OK) {
        *position = qp_tail_id(&moment->handle->tail, &moment->pin, identity->name, *position);
        if (*position == 0)
            break;
        rc = confirm(identity, moment, *position, version, error);
    }
    return rc;
}
