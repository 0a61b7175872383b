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
    AT_NUMBER = 0, /* u64 */
    AT_FLAGS = 10, /* u16 */
    AT_LOWER = 12, /* u16 */
    AT_UPPER = 14, /* u16 */
    AT_RUN = 12,   /* u32, over lower and upper */

    META_MAGIC = QP_PAGE_HEADER_BYTES,
    META_VERSION = QP_PAGE_HEADER_BYTES + 4,
    META_FREE_LIST = QP_PAGE_HEADER_BYTES + 24,
    META_PAGE_BYTES = META_FREE_LIST, /* pad of the free list's record */
    META_TABLES = META_FREE_LIST + QP_PAGE_TREE_BYTES,
    META_LAST_PAGE = QP_PAGE_HEADER_BYTES + 120,
    META_TRANSACTION = QP_PAGE_HEADER_BYTES + 128,

    TREE_PAD = 0,      /* u32 */
    TREE_FLAGS = 4,    /* u16 */
    TREE_DEPTH = 6,    /* u16 */
    TREE_BRANCHES = 8, /* u64, as all that follow */
    TREE_LEAVES = 16,
    TREE_OVERFLOWS = 24,
    TREE_ENTRIES = 32,
    TREE_ROOT = 40,

    NODE_LOW = 0,   /* u32: size of the value; of a branch the lower bits of the child */
    NODE_FLAGS = 4, /* u16; of a branch the upper bits of the child */
    NODE_KEY_SIZE = 6,
    NODE_KEY = 8,
    NODE_BYTES = 16 /* with an 8-byte key */
};

#define LMDB_MAGIC     UINT32_C(0xBEEFC0DE)
#define PAGE_BYTES_MAX 65536

/* LMDB keeps the page size in the free list's record, where those of other tables have padding. The
 * last test sees to it that the offset of every page fits 64 bits. */
bool qp_page_meta_read(const uint8_t *page, struct qp_page_meta *meta)
{
    uint32_t bytes;

    if ((qp_get_u16(page + AT_FLAGS) & QP_PAGE_META) == 0 ||
        qp_get_u32(page + META_MAGIC) != LMDB_MAGIC || qp_get_u32(page + META_VERSION) != 1)
        return false;
    bytes = qp_get_u32(page + META_PAGE_BYTES);
    if (bytes < 512 || bytes > PAGE_BYTES_MAX || (bytes & (bytes - 1)) != 0)
        return false;
    meta->page_bytes = bytes;
    meta->last_page = qp_get_u64(page + META_LAST_PAGE);
    meta->transaction = qp_get_u64(page + META_TRANSACTION);
    qp_page_tree_read(page + META_FREE_LIST, &meta->free_list);
    qp_page_tree_read(page + META_TABLES, &meta->tables);
    return meta->last_page < UINT64_MAX / PAGE_BYTES_MAX;
}

/* Transaction n writes page n % 2: LMDB looks for it there. Only a file in which nothing was ever
 * committed has two of number 0. */
const char *qp_page_metas_wrong(const uint8_t pages[QP_PAGE_METAS][QP_PAGE_META_BYTES],
                                uint64_t file_bytes, struct qp_page_meta *newest)
{
    struct qp_page_meta metas[QP_PAGE_METAS];
    uint64_t left;
    uint64_t right;

    if (!qp_page_meta_read(pages[0], &metas[0]) || qp_get_u64(pages[0] + AT_NUMBER) != 0)
        return "page 0 is no meta page";
    if (!qp_page_meta_read(pages[1], &metas[1]) || qp_get_u64(pages[1] + AT_NUMBER) != 1)
        return "page 1 is no meta page";
    if (metas[0].page_bytes != metas[1].page_bytes)
        return "the two meta pages say different sizes of a page";
    left = metas[0].transaction;
    right = metas[1].transaction;
    if (left % 2 != 0 || (right % 2 == 0 && right + left != 0))
        return "a meta page has the number of a transaction that wrote the other one";
    if (left + 1 != right && right + 1 != left && right + left != 0)
        return "the meta pages are not of two transactions that followed each other";
    *newest = metas[left < right];
    for (size_t i = 0; i < QP_PAGE_METAS; i++) {
        if (metas[i].last_page < QP_PAGE_METAS - 1 || metas[i].last_page > newest->last_page)
            return "a meta page has a last page that cannot be";
    }
    if (newest->last_page >= QP_PAGE_COUNT_MAX ||
        file_bytes / newest->page_bytes <= newest->last_page)
        return "the file ends before its last page";
    return NULL;
}

void qp_page_tree_read(const uint8_t *record, struct qp_page_tree *tree)
{
    *tree = (struct qp_page_tree){
        .pad = qp_get_u32(record + TREE_PAD),
        .flags = qp_get_u16(record + TREE_FLAGS),
        .depth = qp_get_u16(record + TREE_DEPTH),
        .branches = qp_get_u64(record + TREE_BRANCHES),
        .leaves = qp_get_u64(record + TREE_LEAVES),
        .overflows = qp_get_u64(record + TREE_OVERFLOWS),
        .entries = qp_get_u64(record + TREE_ENTRIES),
        .root = qp_get_u64(record + TREE_ROOT),
    };
}

void qp_page_header_read(const uint8_t *page, struct qp_page_header *header)
{
    *header = (struct qp_page_header){
        .number = qp_get_u64(page + AT_NUMBER),
        .flags = qp_get_u16(page + AT_FLAGS),
        .lower = qp_get_u16(page + AT_LOWER),
        .upper = qp_get_u16(page + AT_UPPER),
        .run = qp_get_u32(page + AT_RUN),
    };
}

/* An empty table has depth 0 and a root that is no page: page_at() of the caller refuses the
 * number. */
bool qp_page_root(struct qp_bytes table_record, uint64_t *root, unsigned *depth)
{
    const uint8_t *at = table_record.data;

    if (table_record.size != QP_PAGE_TREE_BYTES)
        return false;
    *depth = qp_get_u16(at + TREE_DEPTH);
    *root = qp_get_u64(at + TREE_ROOT);
    return true;
}

/* The node that pointer `index` leads to; NULL if it is outside of the page. */
static const uint8_t *node_at(const uint8_t *page, size_t page_bytes, size_t index)
{
    size_t offset = qp_get_u16(page + QP_PAGE_HEADER_BYTES + 2 * index);

    assert(QP_PAGE_HEADER_BYTES + 2 * index + 2 <= page_bytes);
    return offset >= QP_PAGE_HEADER_BYTES && offset + NODE_KEY <= page_bytes ? page + offset : NULL;
}

/* A leaf's node ends with its value, or with the number of the page where that begins. */
bool qp_page_node_read(const uint8_t *page, size_t page_bytes, size_t index, bool branch,
                       struct qp_page_node *node)
{
    const uint8_t *at = node_at(page, page_bytes, index);
    size_t size;

    if (at == NULL)
        return false;
    *node = (struct qp_page_node){
        .offset = (size_t)(at - page),
        .key = {at + NODE_KEY, qp_get_u16(at + NODE_KEY_SIZE)},
    };
    size = NODE_KEY + node->key.size;
    if (branch) {
        node->child = qp_get_u32(at + NODE_LOW) | (uint64_t)qp_get_u16(at + NODE_FLAGS) << 32;
    } else {
        node->flags = qp_get_u16(at + NODE_FLAGS);
        node->value_size = qp_get_u32(at + NODE_LOW);
        node->value = at + size;
        size += (node->flags & QP_NODE_BIG) != 0 ? sizeof(node->child) : node->value_size;
    }
    node->size = size + size % 2;
    if (node->size > page_bytes - node->offset)
        return false;
    if (!branch && (node->flags & QP_NODE_BIG) != 0)
        node->child = qp_get_u64(node->value);
    return true;
}

/* ---- is it right? ---- */

static bool is_before(struct qp_bytes left, struct qp_bytes right, bool integer_key)
{
    if (integer_key)
        return qp_get_u64(left.data) < qp_get_u64(right.data);
    return qp_bytes_order(left, right) < 0;
}

/* Each key is after the one before, and between the bounds. The first of a leaf may equal the one
 * that the branch above has for this leaf. The first node of a branch has no key. */
static const char *wrong_key(const uint8_t *page, size_t page_bytes,
                             const struct qp_page_rules *rules, size_t count)
{
    struct qp_bytes before = rules->low;
    bool may_equal = !rules->branch;

    for (size_t i = rules->branch ? 1 : 0; i < count; i++) {
        struct qp_page_node node = {0};
        struct qp_bytes key;

        (void)qp_page_node_read(page, page_bytes, i, rules->branch, &node);
        key = node.key;
        if (key.size == 0 || key.size > QP_KEY_BYTES_MAX || (rules->integer_key && key.size != 8))
            return "a key has a length that no key has";
        if (before.data != NULL && !is_before(before, key, rules->integer_key) &&
            (!may_equal || is_before(key, before, rules->integer_key)))
            return "a key is out of order";
        if (rules->high.data != NULL && !is_before(key, rules->high, rules->integer_key))
            return "a key belongs on a later page";
        before = key;
        may_equal = false;
    }
    return NULL;
}

/* A bit for each two bytes of a page: a node begins here. */
struct starts {
    uint8_t bits[PAGE_BYTES_MAX / 16];
};

static bool starts_at(const struct starts *starts, size_t offset)
{
    return (starts->bits[offset / 16] >> (offset / 2 % 8) & 1) != 0;
}

/* Do the nodes leave no gap, and share no byte? They do if one begins at `upper`, each ends where
 * another begins or where the page ends, and their sizes add up to the room. For who begins at
 * `upper`, and goes on where each node ends, comes through the whole room: the sizes of these nodes
 * are its size. A further node, which shared bytes with them, would make the sum too large. */
static bool is_paved(const uint8_t *page, size_t page_bytes, size_t upper, size_t count,
                     bool branch)
{
    struct qp_page_node node = {0};
    struct starts starts;
    size_t sum = 0;

    memset(starts.bits, 0, page_bytes / 16);
    for (size_t i = 0; i < count; i++) {
        if (!qp_page_node_read(page, page_bytes, i, branch, &node) || node.offset < upper ||
            node.offset % 2 != 0)
            return false;
        starts.bits[node.offset / 16] |= (uint8_t)(1U << node.offset / 2 % 8);
        sum += node.size;
    }
    for (size_t i = 0; i < count; i++) {
        (void)qp_page_node_read(page, page_bytes, i, branch, &node);
        if (node.offset + node.size != page_bytes && !starts_at(&starts, node.offset + node.size))
            return false;
    }
    return sum == page_bytes - upper && starts_at(&starts, upper);
}

const char *qp_page_wrong(const uint8_t *page, size_t page_bytes, const struct qp_page_rules *rules,
                          size_t *count)
{
    struct qp_page_header header;

    assert(page_bytes <= PAGE_BYTES_MAX);
    qp_page_header_read(page, &header);
    if (header.number != rules->number)
        return "it has the number of another page";
    if (header.flags != (rules->branch ? QP_PAGE_BRANCH : QP_PAGE_LEAF))
        return rules->branch ? "it is no branch" : "it is no leaf";
    if (header.lower % 2 != 0 || header.lower < QP_PAGE_HEADER_BYTES ||
        header.lower > header.upper || header.upper > page_bytes)
        return "its bounds are not those of a page";
    *count = (header.lower - QP_PAGE_HEADER_BYTES) / 2U;
    if (*count < rules->count_min)
        return "it has too few rows";
    if (!is_paved(page, page_bytes, header.upper, *count, rules->branch))
        return "its rows do not lie side by side";
    return wrong_key(page, page_bytes, rules, *count);
}

/* ---- where a record stands ---- */

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

    if ((qp_get_u16(page + AT_FLAGS) & QP_PAGE_BRANCH) == 0 || lower > page_bytes ||
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
    *child = qp_get_u32(node + NODE_LOW) | (uint64_t)qp_get_u16(node + NODE_FLAGS) << 32;
    return true;
}
