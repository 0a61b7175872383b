/* test_ahead.c - ahead.c: which pages the system is asked to read soon. Only leaves of the log that
 * are not there yet; and where the file does not say what it should, none at all. madvise() and
 * mincore() come here first, because this program defines them itself. */
#include "ahead.h"
#include "log.h"
#include "support_events.h"
#include "support_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EVENTS = 3000, PAGE = 4096, POSITIONS = 200 };
enum { TREE_DEPTH_AT = 6, TREE_ROOT_AT = 40, FLAGS_AT = 10 }; /* LMDB's, in a record, in a page */

static enum { AS_IT_IS, THERE, NOT_THERE, UNKNOWN } cached;
static unsigned advised;
static uintptr_t lowest;
static uintptr_t highest;
static uintptr_t latest;

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int mincore(void *at, size_t size, unsigned char *present)
{
    if (cached == AS_IT_IS) /* Criterion looks for room of its own by this */
        return (int)syscall(SYS_mincore, at, size, present);
    *present = cached == THERE;
    errno = ENOMEM;
    return cached == UNKNOWN ? -1 : 0;
}

EXPORTED int madvise(void *at, size_t size, int advice)
{
    uintptr_t page = (uintptr_t)at;

    if (advice != MADV_WILLNEED)
        return (int)syscall(SYS_madvise, at, size, advice);
    cr_expect_neq(page, latest, "asked for twice");
    lowest = advised == 0 || page < lowest ? page : lowest;
    highest = advised == 0 || page + size > highest ? page + size : highest;
    latest = page;
    advised++;
    return 0;
}

/* ---- a log ----------------------------------------------------------------------------------- */

static struct qp_store *store;
static struct qp_txn txn;
static struct qp_log_cursor log_cursor;
static const uint8_t *value; /* of the first event, in the map */
static const uint8_t *map;
static size_t bytes; /* of the file */

static void begin(void)
{
    static struct support_event events[EVENTS];
    struct support_random random = {.state = 1};
    struct qp_record record;
    size_t page_bytes;
    uint64_t pages;
    uint64_t number;

    support_begin();
    support_make_events(&random, 0, events, EVENTS);
    store = support_open_log("log", QP_MAP_BYTES_MIN);
    support_append_events(store, events, 0, EVENTS);
    txn = (struct qp_txn){0};
    log_cursor = (struct qp_log_cursor){0};
    if (qp_txn_begin_read(store, &txn, NULL) != QUIPU_OK ||
        qp_log_open(&log_cursor, &txn, true, NULL) != QUIPU_OK ||
        qp_log_get(&log_cursor, 1, &record, NULL) != QUIPU_ROW)
        abort();
    value = record.stream.data;
    qp_store_extent(&txn, &page_bytes, &pages);
    bytes = pages * page_bytes;
    map = (const uint8_t *)((uintptr_t)value & ~(uintptr_t)(PAGE - 1));
    number = qp_get_u64(map);
    map -= number * PAGE;
}

static void end(void)
{
    qp_log_close(&log_cursor);
    qp_txn_end(&txn);
    qp_store_close(store);
    support_suite_end();
}

TestSuite(ahead, .init = begin, .fini = end, .timeout = 60);

/* Scattered, ascending. */
static unsigned ask(const void *at, size_t count)
{
    uint64_t positions[POSITIONS];

    for (size_t i = 0; i < POSITIONS; i++)
        positions[i] = 1 + i * (EVENTS / POSITIONS);
    advised = 0;
    latest = 0;
    qp_ahead_positions(&txn, at, positions, count);
    return advised;
}

static void patch(size_t at, const void *with, size_t size)
{
    char path[SUPPORT_PATH_BYTES];
    int fd = open(support_path(path, "log"), O_WRONLY | O_CLOEXEC);

    cr_assert_eq(pwrite(fd, with, size, (off_t)at), (ssize_t)size);
    (void)close(fd);
}

/* Where the record of the log's table stands in the file. */
static size_t record_at(void)
{
    struct qp_bytes record;

    cr_assert_eq(qp_table_record(&txn, "log", &record), QUIPU_ROW);
    return (size_t)((const uint8_t *)record.data - map);
}

/* ---- what is asked for ----------------------------------------------------------------------- */

Test(ahead, leaves_that_are_not_there)
{
    cached = NOT_THERE;
    cr_expect_gt(ask(value, POSITIONS), 10);
    cr_expect_lt(advised, POSITIONS + 1);
    cr_expect(lowest >= (uintptr_t)map && highest <= (uintptr_t)map + bytes, "outside of the file");
    cached = UNKNOWN;
    cr_expect_gt(ask(value, POSITIONS), 10, "what cannot be told is not there");
    cached = THERE;
    cr_expect_eq(ask(value, POSITIONS), 0);
    cached = NOT_THERE;
    cr_expect_eq(ask(value, 1), 0, "one is read as soon as it is asked for");
    cr_expect_eq(ask(value, 0), 0);
}

/* ---- what is damaged ------------------------------------------------------------------------- */

Test(ahead, a_page_with_a_number_that_is_none)
{
    static _Alignas(PAGE) uint8_t page[PAGE];
    const struct qp_bytes row = {page + 1000, 100};
    uintptr_t window = 0;

    cached = NOT_THERE;
    qp_set_u64(page, bytes / PAGE);
    cr_expect_eq(ask(page + 1000, POSITIONS), 0);
    for (int backwards = 0; backwards < 2; backwards++) {
        qp_ahead_scan(&txn, row, backwards == 1, &window);
        cr_expect_eq(advised, 0);
        cr_expect_eq(window, 0);
    }
}

Test(ahead, a_tree_that_is_none)
{
    static const uint16_t depths[] = {33, 1000, UINT16_MAX};
    const size_t at = record_at();
    const uint64_t root = qp_get_u64(map + at + TREE_ROOT_AT);
    const uint16_t depth = qp_get_u16(map + at + TREE_DEPTH_AT);
    const uint64_t roots[] = {bytes / PAGE, UINT64_MAX, UINT64_MAX / PAGE};
    const uint16_t flags = 0;

    cached = NOT_THERE;
    cr_assert_gt(depth, 1);
    for (size_t i = 0; i < 3; i++) {
        patch(at + TREE_ROOT_AT, &roots[i], sizeof(roots[i]));
        cr_expect_eq(ask(value, POSITIONS), 0, "root %zu", i);
        patch(at + TREE_ROOT_AT, &root, sizeof(root));
        patch(at + TREE_DEPTH_AT, &depths[i], sizeof(depths[i]));
        cr_expect_eq(ask(value, POSITIONS), 0, "depth %zu", i);
        patch(at + TREE_DEPTH_AT, &depth, sizeof(depth));
    }
    cr_expect_gt(ask(value, POSITIONS), 0, "as it was");
    patch(root * PAGE + FLAGS_AT, &flags, sizeof(flags));
    cr_expect_eq(ask(value, POSITIONS), 0, "the root is no page of a tree");
}
