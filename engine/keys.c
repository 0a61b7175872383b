/* keys.c - most events have one key or two: those are looked at one by one. Behind the first few a
 * hash table says which there are. */
#include "keys.h"

#include "status.h"

enum { FEW_BYTES = 512 };

void qp_keys_clear(struct qp_keys *keys)
{
    keys->all.size = 0;
    keys->few = 0;
    qp_sheet_release(&keys->many);
}

void qp_keys_release(struct qp_keys *keys)
{
    qp_buffer_release(&keys->all);
    qp_sheet_release(&keys->many);
}

/* Among the first `size` bytes. */
static bool stands(const struct qp_keys *keys, size_t size, struct qp_bytes key)
{
    struct qp_bytes other;
    size_t at = 0;

    while (at < size && qp_keys_next(keys, &at, &other))
        if (qp_bytes_equal(other, key))
            return true;
    return false;
}

int qp_keys_add(struct qp_keys *keys, struct qp_bytes key, quipu_error *error)
{
    uint8_t head[QP_KEYS_HEAD_BYTES];
    struct qp_bytes found;
    int rc = QUIPU_OK;

    if (keys->few == 0 && keys->all.size >= FEW_BYTES)
        keys->few = keys->all.size;
    if (stands(keys, keys->few > 0 ? keys->few : keys->all.size, key))
        return QUIPU_OK;
    if (keys->few > 0)
        rc = qp_sheet_get(&keys->many, key, &found, error);
    if (rc != QUIPU_OK)
        return rc == QUIPU_ROW ? QUIPU_OK : rc;
    if (keys->few > 0)
        rc = qp_sheet_put(&keys->many, key, (struct qp_bytes){head, 0}, error);
    if (rc == QUIPU_OK && !qp_buffer_reserve(&keys->all, sizeof(head) + key.size))
        rc = qp_fail_memory(error);
    if (rc < 0)
        return rc;
    qp_set_u16(head, (uint16_t)key.size);
    (void)qp_buffer_put(&keys->all, head, sizeof(head));
    (void)qp_buffer_put(&keys->all, key.data, key.size);
    return QUIPU_OK;
}

int qp_keys_set(struct qp_keys *keys, struct qp_bytes all, quipu_error *error)
{
    qp_keys_clear(keys);
    return qp_buffer_put(&keys->all, all.data, all.size) ? QUIPU_OK : qp_fail_memory(error);
}

bool qp_keys_has(const struct qp_keys *keys, struct qp_bytes key)
{
    return stands(keys, keys->all.size, key);
}
