/* keys.h - the keys of one part of an event, each once, in the order in which they were said. */
#ifndef QP_KEYS_H
#define QP_KEYS_H

#include "sheet.h"

#define QP_KEYS_HEAD_BYTES 2

/* A zeroed one is empty. */
struct qp_keys {
    struct qp_buffer all; /* size u16, bytes */
    size_t few;           /* so many bytes of them are not in `many`; 0: all */
    struct qp_sheet many;
};

void qp_keys_clear(struct qp_keys *keys);
void qp_keys_release(struct qp_keys *keys);

/* One that is there already is the same key. At most QP_VIEW_KEY_MAX bytes. Returns: OK; NO_MEMORY.
 */
int qp_keys_add(struct qp_keys *keys, struct qp_bytes key, quipu_error *error);

/* The next; `*at` is 0 at first. What comes out lives until a key is added. */
static inline bool qp_keys_next(const struct qp_keys *keys, size_t *at, struct qp_bytes *key)
{
    const uint8_t *head;

    if (*at >= keys->all.size)
        return false;
    head = keys->all.bytes + *at;
    *key = (struct qp_bytes){head + QP_KEYS_HEAD_BYTES, qp_get_u16(head)};
    *at += QP_KEYS_HEAD_BYTES + key->size;
    return true;
}

/* Those that another one had: the bytes of its `all`. NO_MEMORY. */
int qp_keys_set(struct qp_keys *keys, struct qp_bytes all, quipu_error *error);

bool qp_keys_has(const struct qp_keys *keys, struct qp_bytes key);

#endif
