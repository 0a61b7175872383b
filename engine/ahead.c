/* ahead.c - madvise() on pages of the map.
 *
 * Where the map begins follows from any value: its page's number stands at the page's begin. The
 * leaf of a position follows from the branch pages, which are few and hot; LMDB has no call for it.
 * A damaged page at most leads to advice about a wrong page: no number is used unchecked.
 *
 *     a scan     done | row      window      window |  not asked for yet
 *                     at                            far end: `*window`
 *                     |<-- one to two of 1 MiB ---->|
 *
 * When less than one window is left, two from here on are asked for: so one call of the kernel in
 * 1 MiB, and it always reads while the scan uses what was read before. */
#include "ahead.h"

#include "page.h"

#include <assert.h>
#include <sys/mman.h>

enum {
    FEW = 16, /* up to here three probes speak for all */
    PROBES_OF_FEW = 3,
    PROBES = 8,
    SYSTEM_PAGE = 4096, /* madvise's unit on the machines that Quipu runs on */
    NODE_BYTES = 16,    /* what LMDB puts before a record: a node's header and an 8-byte key */
    NEIGHBOUR_BYTES_MAX = 1024,
    LINE_BYTES = 64,
    MAP_ENDS = 1, /* bit of a scan's window: there is nothing to ask for after it */
    DEPTH_MAX = 32
};

#define WINDOW_BYTES (1 * QP_MIB)

struct map {
    const uint8_t *begin;
    size_t page_bytes;
    uint64_t pages;
};

/* From a value of this snapshot: its address rounded down is where its page begins. false: the
 * number that stands there is none of the file's. */
static bool find_map(struct qp_txn *txn, const void *value, struct map *map)
{
    const uint8_t *page;
    uint64_t number;

    assert(value != NULL);
    qp_txn_extent(txn, &map->page_bytes, &map->pages);
    page = (const uint8_t *)((uintptr_t)value & ~(uintptr_t)(map->page_bytes - 1));
    number = qp_get_u64(page);
    if (number >= map->pages)
        return false;
    map->begin = page - number * map->page_bytes;
    return true;
}

static const uint8_t *page_at(const struct map *map, uint64_t number)
{
    return number < map->pages ? map->begin + number * map->page_bytes : NULL;
}

/* The leaf under which `position` stands; NULL if it cannot be found. */
static const uint8_t *leaf_of(const struct map *map, uint64_t root, unsigned depth,
                              uint64_t position)
{
    const uint8_t *page = page_at(map, root);

    for (unsigned level = 1; level < depth && page != NULL; level++) {
        uint64_t child;

        if (!qp_page_child(page, map->page_bytes, position, &child))
            return NULL;
        page = page_at(map, child);
    }
    return page;
}

/* Asks the kernel and does not touch the page. What cannot be told is not there. */
static bool is_cached(const uint8_t *page)
{
    unsigned char present = 0;

    return mincore((void *)(uintptr_t)page, SYSTEM_PAGE, &present) == 0 && (present & 1) != 0;
}

/* The leaves of the log's records. */
struct leaves {
    struct map map;
    uint64_t root;
    unsigned depth; /* levels, the leaf's included */
};

static bool find_leaves(struct qp_txn *txn, const void *value, struct leaves *leaves)
{
    struct qp_bytes table;

    return find_map(txn, value, &leaves->map) && qp_table_record(txn, "log", &table) == QUIPU_ROW &&
           qp_page_root(table, &leaves->root, &leaves->depth) && leaves->depth <= DEPTH_MAX;
}

/* A few speak for all, the oldest and the newest among them: advice about what is there already is
 * time lost, 0.4 us a page. */
static bool all_cached(const struct leaves *leaves, const uint64_t *positions, size_t count)
{
    size_t probes = count > FEW ? PROBES : PROBES_OF_FEW;

    if (probes > count)
        probes = count;
    assert(probes >= 2 && probes <= count);
    for (size_t i = 0; i < probes; i++) {
        size_t at = i * (count - 1) / (probes - 1);
        const uint8_t *leaf = leaf_of(&leaves->map, leaves->root, leaves->depth, positions[at]);

        if (leaf == NULL || !is_cached(leaf))
            return false;
    }
    return true;
}

/* Neighbours stand on one page, which is asked for once. That madvise() fails is no failure: the
 * page is then read when it is touched. */
void qp_ahead_positions(struct qp_txn *txn, const void *value, const uint64_t *positions,
                        size_t count)
{
    struct leaves leaves;
    const uint8_t *last = NULL;

    if (count < 2 || !find_leaves(txn, value, &leaves) || all_cached(&leaves, positions, count))
        return;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *leaf = leaf_of(&leaves.map, leaves.root, leaves.depth, positions[i]);

        if (leaf != NULL && leaf != last)
            (void)madvise((void *)(uintptr_t)leaf, leaves.map.page_bytes, MADV_WILLNEED);
        last = leaf;
    }
}

/* LMDB fills a page from its end: the next record mostly stands right before this one, and is about
 * as long. A line fetched in vain costs nothing; one that is there saves a third of a scan's time.
 */
static void fetch_neighbour(struct qp_bytes row, bool backwards)
{
    size_t size = row.size < NEIGHBOUR_BYTES_MAX ? row.size : NEIGHBOUR_BYTES_MAX;
    uintptr_t at = (uintptr_t)row.data;

    at = backwards ? at + row.size : at - size - NODE_BYTES;
    for (size_t i = 0; i < size + LINE_BYTES; i += LINE_BYTES)
        __builtin_prefetch((const void *)(at + i));
}

/* `window` is the far end of what was asked for, `at` where the scan is: is there still a window
 * between the two, or nothing after it? A scan that has jumped is outside of both. */
static bool is_ahead(uintptr_t window, uintptr_t at, bool backwards)
{
    uintptr_t far = window & ~(uintptr_t)MAP_ENDS;
    uintptr_t left = backwards ? at - far : far - at;

    return left <= 3 * WINDOW_BYTES && (left >= WINDOW_BYTES || (window & MAP_ENDS) != 0);
}

void qp_ahead_scan(struct qp_txn *txn, struct qp_bytes row, bool backwards, uintptr_t *window)
{
    uintptr_t at = (uintptr_t)row.data & ~(uintptr_t)(SYSTEM_PAGE - 1);
    struct map map;
    uintptr_t begin;
    uintptr_t end;

    fetch_neighbour(row, backwards);
    if (is_ahead(*window, at, backwards) || !find_map(txn, row.data, &map))
        return;
    begin = (uintptr_t)map.begin;
    end = begin + map.pages * map.page_bytes;
    if (backwards) {
        if (at - begin > 2 * WINDOW_BYTES)
            begin = at - 2 * WINDOW_BYTES;
        (void)madvise((void *)begin, at - begin, MADV_WILLNEED);
        *window = begin | (begin == (uintptr_t)map.begin ? MAP_ENDS : 0U);
    } else {
        bool ends = end - at <= 2 * WINDOW_BYTES;

        if (!ends)
            end = at + 2 * WINDOW_BYTES;
        (void)madvise((void *)at, end - at, MADV_WILLNEED);
        *window = end | (ends ? MAP_ENDS : 0U);
    }
}
