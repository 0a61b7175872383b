/* verify_views.c - rows that are whole by their sums, and what they say of each other:
 *
 *     marks    projection: marks, generations, counts <---.
 *     views    name generation key: value, or a blob -----+--> blobs   number, chunks
 *     parked   name generation key position --------------'    meta    blobs: the next number
 *     streams  stream: its owner
 *
 * A row with a wrong sum is told by who looks at sums. Here it is passed over, and what it may have
 * said is not held against others. A blob that no row has is no finding: it costs space and nothing
 * else. The rules are those of docs/FORMAT.md. */
#include "verify_views.h"

#include "blob_uses.h"
#include "meta.h"
#include "projections.h"
#include "status.h"
#include "streams.h"
#include "text.h"
#include "views.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct check {
    struct qp_txn *txn;
    uint64_t head;
    qp_views_found_fn found;
    void *payload;
    quipu_error *error;
    struct qp_buffer assembly;
    struct qp_blob_uses uses;
    bool needs_bit; /* there are rows that an older library must not write beside */

    /* Whose rows are being looked at: those of one generation are neighbours. */
    struct qp_bytes name;
    uint32_t generation;
    bool known; /* the row of its projection is there, and can be read */
    struct qp_projection_row row;
};

static int tell(struct check *check, enum qp_table table, struct qp_bytes key, uint64_t position,
                const char *what)
{
    char name[100];
    char text[400];

    qp_key_text(key, name, sizeof(name));
    (void)snprintf(text, sizeof(text), "row %s: %s", name, what);
    return check->found(check->payload, qp_table_name(table), position, text);
}

/* What cannot be read at all ends the verify. */
static int fail(struct check *check, int rc, const quipu_error *why)
{
    if (check->error != NULL)
        *check->error = *why;
    return rc;
}

/* Called for each row of a table whose sum is right. Not 0: stop. */
typedef int (*check_row_fn)(struct check *check, struct qp_bytes key, struct qp_bytes value);

static int check_table(struct check *check, enum qp_table table, check_row_fn check_row)
{
    struct qp_cursor cursor = {0};
    struct qp_bytes key = {0};
    struct qp_bytes value = {0};
    int rc = qp_cursor_open(&cursor, check->txn, table, check->error);

    if (rc == QUIPU_OK)
        rc = qp_cursor_seek(&cursor, QP_FIRST, &key, &value, check->error);
    while (rc == QUIPU_ROW) {
        rc = qp_row_whole(table, key, value) ? check_row(check, key, value) : QUIPU_OK;
        if (rc != QUIPU_OK)
            break; /* a callback may say stop with the number of QUIPU_ROW */
        rc = qp_cursor_seek(&cursor, QP_NEXT, &key, &value, check->error);
    }
    qp_cursor_close(&cursor);
    return rc;
}

/* ---- projections ---- */

static bool is_name(struct qp_bytes bytes, size_t most)
{
    char name[QP_NAME_MAX + 1] = {0};
    size_t size;

    assert(most < sizeof(name));
    if (bytes.size == 0 || bytes.size > most)
        return false;
    memcpy(name, bytes.data, bytes.size);
    return qp_text_name(name, most, "a name", &size, NULL) == QUIPU_OK && size == bytes.size;
}

/* How many events are parked in a generation. A row that is damaged counts as well. */
static int count_parked(struct check *check, struct qp_bytes name, uint32_t generation,
                        uint64_t *count)
{
    struct qp_cursor cursor = {0};
    struct qp_bytes value;
    struct qp_key prefix;
    struct qp_bytes key;
    int rc = qp_cursor_open(&cursor, check->txn, QP_TABLE_PARKED, check->error);

    *count = 0;
    qp_key_view(&prefix, name, generation, (struct qp_bytes){0});
    key = qp_key_bytes(&prefix);
    if (rc == QUIPU_OK)
        rc = qp_cursor_seek(&cursor, QP_AT_LEAST, &key, &value, check->error);
    while (rc == QUIPU_ROW) {
        if (key.size < prefix.size || memcmp(key.data, prefix.bytes, prefix.size) != 0)
            break;
        ++*count;
        rc = qp_cursor_seek(&cursor, QP_NEXT, &key, &value, check->error);
    }
    qp_cursor_close(&cursor);
    return rc < 0 ? rc : QUIPU_OK;
}

static int compare_parked(struct check *check, struct qp_bytes key, uint32_t generation,
                          uint64_t said)
{
    const struct qp_bytes name = {(const uint8_t *)key.data + 1, key.size - 1};
    char text[100];
    uint64_t count;
    int rc = count_parked(check, name, generation, &count);

    if (rc < 0 || count == said)
        return rc;
    (void)snprintf(text, sizeof(text), "it counts %" PRIu64 " parked events, there are %" PRIu64,
                   said, count);
    return tell(check, QP_TABLE_MARKS, key, 0, text);
}

/* Rows of one that is deleted go before it does, and it does not count them. */
static int check_counts(struct check *check, struct qp_bytes key,
                        const struct qp_projection_row *row)
{
    int rc = QUIPU_OK;

    if ((row->flags & QP_PROJECTION_DELETED) != 0)
        return rc;
    rc = compare_parked(check, key, row->generation, row->parked);
    if (rc == QUIPU_OK && row->building != 0)
        rc = compare_parked(check, key, row->building, row->building_parked);
    return rc;
}

static int check_projection(struct check *check, struct qp_bytes key, struct qp_bytes value)
{
    const uint8_t *kind = key.data;
    struct qp_projection_row row;
    const char *wrong = NULL;

    assert(kind != NULL); /* LMDB has no empty keys */
    if (kind[0] != QP_MARK_PROJECTION)
        return QUIPU_OK;
    check->needs_bit = true;
    if (!is_name((struct qp_bytes){kind + 1, key.size - 1}, QP_OWNER_NAME_MAX))
        wrong = "its key is no projection's";
    else if (!qp_projection_read(value, &row))
        wrong = "it is no projection's row";
    else
        wrong = qp_projection_wrong(&row);
    if (wrong == NULL &&
        (row.mark > check->head || row.building_mark > check->head || row.emitted > check->head))
        wrong = "its mark is after the newest event";
    if (wrong == NULL && row.fault_position > check->head)
        wrong = "it has stopped at an event after the newest one";
    if (wrong != NULL)
        return tell(check, QP_TABLE_MARKS, key, 0, wrong);
    return check_counts(check, key, &row);
}

/* ---- whose rows these are ---- */

/* The generation is the view's, or the one being built, or one that is on its way out. */
static bool may_have(const struct qp_projection_row *row, uint32_t generation)
{
    if (generation == row->generation || (generation == row->building && row->building != 0))
        return true;
    return generation != 0 && generation < row->next_generation &&
           (row->flags & (QP_PROJECTION_UNCLEAN | QP_PROJECTION_DELETED)) != 0;
}

/* One finding is enough for all rows of a generation. What a damaged row of `marks` would say of
 * them nobody knows. */
static int check_owner(struct check *check, enum qp_table table, struct qp_bytes key,
                       const struct qp_owned_key *owned)
{
    quipu_error why = {0};
    int rc;

    if (check->name.size > 0 && qp_bytes_equal(check->name, owned->name) &&
        check->generation == owned->generation)
        return QUIPU_OK;
    check->name = owned->name;
    check->generation = owned->generation;
    rc = qp_projections_get(check->txn, owned->name, &check->row, &why);
    check->known = rc == QUIPU_ROW;
    if (rc == QUIPU_CORRUPT)
        return QUIPU_OK;
    if (rc < 0)
        return fail(check, rc, &why);
    if (rc == QUIPU_OK)
        return tell(check, table, key, 0, "no projection has this and what follows it");
    if (!may_have(&check->row, owned->generation) &&
        (table != QP_TABLE_PARKED || owned->generation != QP_OWED_GENERATION))
        return tell(check, table, key, 0, "its generation is none of the projection's");
    return QUIPU_OK;
}

/* ---- views ---- */

/* The value is read as who looks at the view reads it, with all that it is made of. */
static int check_value(struct check *check, struct qp_bytes key, struct qp_bytes stored)
{
    struct qp_long_row row;
    quipu_error why = {0};
    int rc = qp_blobs_read(check->txn, &qp_view_home, key, stored, &check->assembly, &row, &why);

    if (rc == QUIPU_CORRUPT) /* its words begin with the table, which the finding has apart */
        return check->found(check->payload, qp_table_name(QP_TABLE_VIEWS), 0,
                            qp_table_text(QP_TABLE_VIEWS, why.text));
    if (rc < 0)
        return fail(check, rc, &why);
    if (row.value.size > QP_VIEW_VALUE_MAX)
        return tell(check, QP_TABLE_VIEWS, key, 0, "its value is longer than a view's may be");
    return qp_blob_uses_add(&check->uses, row.blob, check->error);
}

static int check_view(struct check *check, struct qp_bytes key, struct qp_bytes stored)
{
    struct qp_owned_key owned;
    int rc;

    check->needs_bit = true;
    if (!qp_key_owned_read(key, &owned) || owned.rest.size == 0 ||
        owned.rest.size > QP_VIEW_KEY_MAX)
        return tell(check, QP_TABLE_VIEWS, key, 0, "its key is no view's");
    rc = check_owner(check, QP_TABLE_VIEWS, key, &owned);
    return rc == QUIPU_OK ? check_value(check, key, stored) : rc;
}

/* ---- parked events ---- */

/* What is owed was passed once, and has no more to say than from which part on. */
static const char *wrong_owed(const struct check *check, const struct qp_parked *owed)
{
    if ((owed->flags & ~(uint32_t)QP_PARKED_UNKEYED) != 0 || owed->attempts > 0 ||
        owed->status != 0 || owed->reason.size > 0)
        return "it is owed, and says more";
    if (check->known && owed->position > check->row.emitted)
        return "it is owed, and nothing was emitted there yet";
    return NULL;
}

/* One that waits behind another was never tried. */
static const char *wrong_parked(const struct qp_parked *parked)
{
    const uint32_t flags = QP_PARKED_FAILED | QP_PARKED_REPLAY | QP_PARKED_UNKEYED;
    bool failed = (parked->flags & QP_PARKED_FAILED) != 0;

    if ((parked->flags & ~flags) != 0)
        return "it has unknown flags";
    if (failed != (parked->attempts > 0) || failed != (parked->status < 0))
        return "its attempts and its status do not fit its flags";
    if (!failed && ((parked->flags & QP_PARKED_UNKEYED) != 0 || parked->reason.size > 0))
        return "it was not tried, and says why it failed";
    return NULL;
}

static int check_parked(struct check *check, struct qp_bytes key, struct qp_bytes stored)
{
    struct qp_owned_key owned;
    struct qp_parked parked = {0};
    const char *wrong;
    int rc;

    check->needs_bit = true;
    if (!qp_key_owned_read(key, &owned) ||
        !qp_key_parked_rest(owned.rest, &parked.key, &parked.position))
        return tell(check, QP_TABLE_PARKED, key, 0, "its key is no parked event's");
    rc = check_owner(check, QP_TABLE_PARKED, key, &owned);
    if (rc != QUIPU_OK)
        return rc;
    if (!qp_parked_read(stored, &parked))
        wrong = "it is no parked event's row";
    else if (owned.generation == QP_OWED_GENERATION)
        wrong = wrong_owed(check, &parked);
    else
        wrong = wrong_parked(&parked);
    if (wrong == NULL && (parked.position == 0 || parked.position > check->head))
        wrong = "there is no such event";
    if (wrong == NULL && check->known && owned.generation != QP_OWED_GENERATION &&
        ((owned.generation == check->row.generation && parked.position > check->row.mark) ||
         (owned.generation == check->row.building && parked.position > check->row.building_mark)))
        wrong = "the projection has not come to this event";
    return wrong != NULL ? tell(check, QP_TABLE_PARKED, key, parked.position, wrong) : QUIPU_OK;
}

/* ---- long values ---- */

static int check_blob_key(struct check *check, struct qp_bytes key, struct qp_bytes value)
{
    uint64_t number;
    uint32_t n;

    (void)value;
    check->needs_bit = true;
    if (qp_key_blob_read(key, &number, &n) && number > 0)
        return QUIPU_OK;
    return tell(check, QP_TABLE_BLOBS, key, 0, "its key is no part's of a value");
}

static int check_shared_blobs(struct check *check)
{
    size_t at = 0;
    uint64_t number = qp_blob_uses_shared(&check->uses, &at);
    int rc = QUIPU_OK;

    for (; rc == QUIPU_OK && number > 0; number = qp_blob_uses_shared(&check->uses, &at)) {
        char text[80];

        (void)snprintf(text, sizeof(text), "blob %" PRIu64 " is the value of several rows", number);
        rc = check->found(check->payload, qp_table_name(QP_TABLE_VIEWS), 0, text);
    }
    return rc;
}

/* The next number must be above all that are there: the next long value would be written over one.
 * Keys are in the order of their numbers. */
static int check_next_blob(struct check *check)
{
    struct qp_cursor cursor = {0};
    struct qp_bytes key = {0};
    struct qp_bytes value = {0};
    uint64_t last = 0;
    uint32_t n;
    int rc = qp_cursor_open(&cursor, check->txn, QP_TABLE_BLOBS, check->error);

    if (rc == QUIPU_OK)
        rc = qp_cursor_seek(&cursor, QP_LAST, &key, &value, check->error);
    if (rc == QUIPU_ROW && !qp_key_blob_read(key, &last, &n))
        rc = QUIPU_OK; /* told already */
    qp_cursor_close(&cursor);
    if (rc != QUIPU_ROW)
        return rc;
    rc = qp_get(check->txn, QP_TABLE_META, QP_META_BLOBS, &value, check->error);
    if (rc < 0 || (rc == QUIPU_ROW && !qp_row_whole(QP_TABLE_META, QP_META_BLOBS, value)))
        return rc < 0 ? rc : QUIPU_OK;
    if (rc == QUIPU_ROW && value.size == QP_ROW_SUM_BYTES + 8 &&
        qp_get_u64((const uint8_t *)value.data + QP_ROW_SUM_BYTES) > last)
        return QUIPU_OK;
    return tell(check, QP_TABLE_META, QP_META_BLOBS, 0,
                "the next number is not above those that are in use");
}

/* ---- streams ---- */

static int check_stream(struct check *check, struct qp_bytes key, struct qp_bytes value)
{
    struct qp_stream_row row = {0};

    (void)value;
    if (!is_name(key, QP_NAME_MAX))
        return tell(check, QP_TABLE_STREAMS, key, 0, "its key is no stream's name");
    if (qp_streams_get(check->txn, true, key, &row, NULL) != QUIPU_ROW)
        return tell(check, QP_TABLE_STREAMS, key, 0, "it is no stream's row");
    check->needs_bit = check->needs_bit || row.owner.size > 0;
    if (row.owner.size > 0 && !is_name(row.owner, QP_OWNER_NAME_MAX))
        return tell(check, QP_TABLE_STREAMS, key, 0, "its owner is no projection's name");
    if (row.owner.size == 0 && row.flags == 0 && row.first_kept == 0)
        return tell(check, QP_TABLE_STREAMS, key, 0, "it says nothing of the stream");
    return QUIPU_OK;
}

/* ---- all of it ---- */

static int check_bit(struct check *check)
{
    struct qp_format format;
    struct qp_bytes value = {0};
    int rc = qp_get(check->txn, QP_TABLE_META, QP_META_FORMAT, &value, check->error);

    if (rc < 0 || !check->needs_bit ||
        (rc == QUIPU_ROW && qp_format_read(value, &format) &&
         (format.write_bits & QP_WRITES_PROJECTIONS) != 0))
        return rc < 0 ? rc : QUIPU_OK;
    return tell(check, QP_TABLE_META, QP_META_FORMAT, 0,
                "it does not say that the store has projections");
}

int qp_verify_views(struct qp_moment *moment, qp_views_found_fn found, void *payload,
                    quipu_error *error)
{
    struct check check = {.txn = moment->txn,
                          .head = moment->pin.head,
                          .found = found,
                          .payload = payload,
                          .error = error};
    int rc = check_table(&check, QP_TABLE_MARKS, check_projection);

    if (rc == QUIPU_OK)
        rc = check_table(&check, QP_TABLE_VIEWS, check_view);
    check.name = (struct qp_bytes){0};
    if (rc == QUIPU_OK)
        rc = check_table(&check, QP_TABLE_PARKED, check_parked);
    if (rc == QUIPU_OK)
        rc = check_table(&check, QP_TABLE_BLOBS, check_blob_key);
    if (rc == QUIPU_OK)
        rc = check_shared_blobs(&check);
    if (rc == QUIPU_OK)
        rc = check_next_blob(&check);
    if (rc == QUIPU_OK)
        rc = check_table(&check, QP_TABLE_STREAMS, check_stream);
    if (rc == QUIPU_OK)
        rc = check_bit(&check);
    qp_buffer_release(&check.assembly);
    qp_blob_uses_release(&check.uses);
    return rc;
}
