/* ids.h - a set of event ids within streams, in memory: key -> numbers, in the order of putting.
 *
 *     table    [ ][3][ ][1]...                 which entry, 0: none; by the sum of the key
 *     entries  1: key number, 2: ..., 3: ...   one may point to the next with the same key
 *
 * A key is what names an id's term (key.h). What the numbers mean is the owner's business, and so
 * is whether a hit is one: different streams may share a key. */
#ifndef QP_IDS_H
#define QP_IDS_H

#include "key.h"
#include "memory.h"

struct qp_id_entry {
    uint8_t key[QP_ID_NAME_BYTES];
    uint32_t number;
    uint32_t next; /* the next entry with this key, 0: none */
};

/* A zeroed one is empty. */
struct qp_ids {
    struct qp_id_entry *entries;
    size_t count;
    size_t capacity;
    uint32_t *table; /* entries, counted from 1 */
    size_t table_size;
};

void qp_ids_release(struct qp_ids *ids);
size_t qp_ids_bytes(const struct qp_ids *ids);

/* Make room for one more: the next put succeeds. false: memory is out. */
bool qp_ids_ensure(struct qp_ids *ids);
void qp_ids_put(struct qp_ids *ids, const uint8_t key[QP_ID_NAME_BYTES], uint32_t number);

/* The first entry with this key, then the next one; NULL at the end. */
const struct qp_id_entry *qp_ids_find(const struct qp_ids *ids,
                                      const uint8_t key[QP_ID_NAME_BYTES]);
const struct qp_id_entry *qp_ids_next(const struct qp_ids *ids, const struct qp_id_entry *entry);

/* All entries by key, and those of one key by number; the array is the caller's to qp_free(). NULL:
 * memory. */
const struct qp_id_entry **qp_ids_sorted(const struct qp_ids *ids);

#endif
