/* page.c - offsets from LMDB 0.9's mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta on a 64-bit machine.
 * Every number comes from a file that may be damaged: each is checked before it is used.
 *
 *     a branch page
 *     0         16                lower                          page size
 *     | header  | u16 u16 u16 ... | free ...  | node | node | node |
 *                  |   |                             ^      ^
 *                  |   +-----------------------------|------+     offsets, in the order of the keys
 *                  +---------------------------------+
 *     a node of it
 *     0                6               8
 *     | child, 48 bits | key size u16  | key
 *
 * Refuses to read anything itself: the caller has the bytes, or the map. */
#include "page.h"

#include "key.h"

#include <assert.h>
#include <string.h>

enum {
    AT_FLAGS = 10, /* u16 */
    AT_LOWER = 12, /* u16: end of the node pointers */
    BRANCH = 0x01,
    META = 0x08,

    META_MAGIC = QP_PAGE_HEADER_BYTES,
    META_VERSION = QP_PAGE_HEADER_BYTES + 4,
    META_PAGE_BYTES = QP_PAGE_HEADER_BYTES + 24, /* pad of the free list's record */
    META_LAST_PAGE = QP_PAGE_HEADER_BYTES + 120,
    META_TRANSACTION = QP_PAGE_HEADER_BYTES + 128,

    TABLE_DEPTH = 6, /* u16 */
    TABLE_ROOT = 40, /* u64 */
    TABLE_BYTES = 48,

    NODE_KEY_SIZE = 6,
    NODE_KEY = 8,
    NODE_BYTES = 16 /* with an 8-byte key */
};

#define LMDB_MAGIC     UINT32_C(0xBEEFC0DE)
#define PAGE_BYTES_MAX 65536

/* The page size stands where a table's record has its padding: LMDB keeps it in that of the free
 * list. A page after the last test's would have an offset that does not fit 64 bits. */
bool qp_page_meta_read(const uint8_t *page, struct qp_page_meta *meta)
{
    uint32_t bytes;

    if ((qp_get_u16(page + AT_FLAGS) & META) == 0 || qp_get_u32(page + META_MAGIC) != LMDB_MAGIC ||
        qp_get_u32(page + META_VERSION) != 1)
        return false;
    bytes = qp_get_u32(page + META_PAGE_BYTES);
    if (bytes < 512 || bytes > PAGE_BYTES_MAX || (bytes & (bytes - 1)) != 0)
        return false;
    meta->page_bytes = bytes;
    meta->last_page = qp_get_u64(page + META_LAST_PAGE);
    meta->transaction = qp_get_u64(page + META_TRANSACTION);
    return meta->last_page < UINT64_MAX / PAGE_BYTES_MAX;
}

/* An empty table has depth 0 and a root that is no page: page_at() of the caller refuses the
 * number. */
bool qp_page_root(struct qp_bytes table_record, uint64_t *root, unsigned *depth)
{
    const uint8_t *at = table_record.data;

    if (table_record.size != TABLE_BYTES)
        return false;
    *depth = qp_get_u16(at + TABLE_DEPTH);
    *root = qp_get_u64(at + TABLE_ROOT);
    return true;
}

/* The node that pointer `index` leads to; NULL if it is outside of the page. */
static const uint8_t *node_at(const uint8_t *page, size_t page_bytes, size_t index)
{
    size_t offset = qp_get_u16(page + QP_PAGE_HEADER_BYTES + 2 * index);

    assert(QP_PAGE_HEADER_BYTES + 2 * index + 2 <= page_bytes);
    return offset >= QP_PAGE_HEADER_BYTES && offset + NODE_KEY <= page_bytes ? page + offset : NULL;
}

/* A branch's first key stands for everything below the second, whatever its bytes say. */
static bool node_key(const uint8_t *page, size_t page_bytes, size_t index, uint64_t *key)
{
    const uint8_t *node = node_at(page, page_bytes, index);

    if (node == NULL)
        return false;
    if (index == 0) {
        *key = 0;
        return true;
    }
    if (qp_get_u16(node + NODE_KEY_SIZE) != 8 || (size_t)(node - page) + NODE_BYTES > page_bytes)
        return false;
    *key = qp_get_u64(node + NODE_KEY);
    return true;
}

/* A binary search for the last node whose key is not after `key`. Always ends: whatever the keys
 * are, the range is halved. A damaged page that lies about its order leads to a wrong page and no
 * further. */
bool qp_page_child(const uint8_t *page, size_t page_bytes, uint64_t key, uint64_t *child)
{
    size_t lower = qp_get_u16(page + AT_LOWER);
    size_t low = 0;
    size_t high;
    const uint8_t *node;

    if ((qp_get_u16(page + AT_FLAGS) & BRANCH) == 0 || lower > page_bytes ||
        lower < QP_PAGE_HEADER_BYTES + 2)
        return false;
    high = (lower - QP_PAGE_HEADER_BYTES) / 2;
    assert(high > 0);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        uint64_t at_middle;

        if (!node_key(page, page_bytes, middle, &at_middle))
            return false;
        if (at_middle <= key)
            low = middle;
        else
            high = middle;
    }
    assert(low + 1 == high);
    node = node_at(page, page_bytes, low);
    if (node == NULL)
        return false;
    /* A branch's node has no data: LMDB keeps the upper 16 bits where a leaf has its flags. */
    *child = qp_get_u32(node) | (uint64_t)qp_get_u16(node + 4) << 32;
    return true;
}
