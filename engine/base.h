/* base.h - what every module stands on: the platform, the limits with their reasons, plain bytes.
 *
 * The engine takes its vocabulary (statuses, drafts, events, options) from the public header and
 * calls none of its functions. */
#ifndef QP_BASE_H
#define QP_BASE_H

#include "mutant.h"
#include "quipu.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__linux__)
#error "Quipu runs on Linux only: it needs open-file-description locks, robust mutexes and futexes"
#endif
#if __SIZEOF_POINTER__ != 8
#error "Quipu needs a 64-bit machine: it maps a store of up to 1 TiB"
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Quipu needs a little-endian machine: its records are little-endian in the mapped file"
#endif

#define QP_KIB       UINT64_C(1024)
#define QP_MIB       (1024 * QP_KIB)
#define QP_GIB       (1024 * QP_MIB)
#define QP_NS_PER_MS INT64_C(1000000)
#define QP_NS_PER_S  INT64_C(1000000000)

/* Names. A length fits one byte; kind + name + number stay far below LMDB's 511-byte keys. */
#define QP_NAME_MAX        255
#define QP_OWNER_NAME_MAX  127           /* folds: two of them and two numbers share one key */
#define QP_TAGS_MAX        64            /* each is an index entry of its own */
#define QP_QUERY_ITEMS_MAX 64            /* each is held against every candidate */
#define QP_QUERY_BYTES_MAX (64 * QP_KIB) /* of names: some thousand, each a list to be opened */

/* Upcasters: what one stored event takes and becomes. Chains of a few dozen shapes are long; what
 * goes on for ever must end before the memory does. */
#define QP_UPCAST_STEPS_MAX  64   /* one after the other */
#define QP_UPCAST_EVENTS_MAX 4096 /* as many as a batch has by default */

/* Payloads. The hard limit keeps a record's size far inside 32 bits. */
#define QP_DATA_BYTES_DEFAULT (16 * QP_MIB)
#define QP_DATA_BYTES_MAX     (64 * QP_MIB)
#define QP_RECORD_BYTES_MAX   (QP_DATA_BYTES_MAX + 32 * QP_KIB) /* header, names, all tags */

/* Batches. One holds the store lock for all of its events, and LMDB keeps a transaction's pages in
 * memory: the defaults take a few milliseconds and 64 MiB. At most as many events as may wait for
 * the index. */
#define QP_BATCH_EVENTS_DEFAULT 4096
#define QP_BATCH_EVENTS_MAX     QP_UNMERGED_MAX
#define QP_BATCH_BYTES_DEFAULT  (64 * QP_MIB)
#define QP_BATCH_BYTES_MAX      (1 * QP_GIB)

/* What one transaction takes: a follower waits for it. */
#define QP_GROUP_BATCHES_MAX 1024
#define QP_GROUP_BYTES_MAX   (8 * QP_MIB)

/* Asynchronous commits that nobody was told of yet. */
#define QP_ASYNC_PENDING_DEFAULT QP_GROUP_BATCHES_MAX
#define QP_ASYNC_PENDING_MAX     1048576

/* Rows. A 4 KiB page less LMDB's 16-byte header: a larger value needs a run of free pages, and
 * finding one cost 44 ms a commit after a purge. */
#define QP_ROW_BYTES_MAX 4080
#define QP_KEY_BYTES_MAX 511 /* LMDB's */

/* Views. A key shares LMDB's with the projection's name; a value goes through memory whole. */
#define QP_VIEW_KEY_MAX        255
#define QP_VIEW_VALUE_MAX      (16 * QP_MIB)
#define QP_PARKED_REASON_BYTES 1000

/* A page of a projection: folded outside of the transaction, committed in one. Its writes hold the
 * store lock, 1 to 2 microseconds each: events and bytes bound them. The time is for functions that
 * are slow. Short pages cost more, as each commit copies the leaves that it touches: with 50 ms a
 * busy machine made three times as many, and appends beside them waited longer, not less. */
#define QP_PAGE_EVENTS_DEFAULT 65536
#define QP_PAGE_MS             200
#define QP_PAGE_BYTES          (8 * QP_MIB)
#define QP_RETRIES_DEFAULT     3
#define QP_RUNNER_MAX          1024 /* projections, and threads, of one runner */

/* Rows that one commit cleans up, or changes by an order: some milliseconds under the store lock.
 */
#define QP_CLEAN_ROWS_MAX 1000

/* An inline projection folds so many events within a commit, beside the commit's own. */
#define QP_INLINE_BEHIND_MAX 1000

/* Positions. 2^48 events at a million a second last nine years; a block of 512 deltas then fits a
 * row whatever they are. */
#define QP_POSITION_MAX    ((UINT64_C(1) << 48) - 1)
#define QP_BLOCK_POSITIONS 512

/* The tail and its merge, in events. A longer tail is merged after the commit; a segment of it, and
 * so one index transaction, has at most as many. Each such transaction rewrites most pages of
 * `terms`: few and large ones cost least, and the memory of a tail this long is the price. What is
 * less than the minimum waits for the next merge, at close too: folding it takes 1 ms. */
#define QP_MERGE_EVENTS       196608
#define QP_MERGE_EVENTS_MIN   4096
#define QP_UNMERGED_MAX       1048576 /* above it a committer merges first */
#define QP_TAIL_BYTES_DEFAULT (64 * QP_MIB)
#define QP_TAIL_BYTES_MIN     (1 * QP_MIB) /* with less every commit would merge */

/* Readers. A slot has 64 bytes in LMDB's lock file, and a commit looks at all that are in use.
 * Snapshots at rest keep theirs, which others may need. */
#define QP_READERS_DEFAULT 1022 /* with the file's head 16 pages */
#define QP_READERS_MAX     65535
#define QP_POOL_MAX        16 /* a process */

/* Processes and maps. A map is address space alone, of which x86-64 has 128 TiB; making it larger
 * needs that nobody reads, so it does not begin tiny. */
#define QP_PROCESSES_MAX           128 /* slots in the file `shared` */
#define QP_LOG_MAP_BYTES_DEFAULT   (1024 * QP_GIB)
#define QP_MAP_BYTES_MIN           (4 * QP_MIB)
#define QP_BUSY_TIMEOUT_MS_DEFAULT 10000 /* far longer than a commit of the largest batch */

/* How often an execute decides. With its pauses 32 threads that keep at one stream are served. */
#define QP_ATTEMPTS_DEFAULT 16

/* Bytes that somebody else owns. */
struct qp_bytes {
    const void *data;
    size_t size;
};

/* Sizes first: most names differ there, and the bytes need not be fetched. */
static inline bool qp_bytes_equal(struct qp_bytes left, struct qp_bytes right)
{
    return left.size == right.size && __builtin_memcmp(left.data, right.data, left.size) == 0;
}

/* LMDB's order of keys: by bytes, and of two where one begins the other the shorter first. Below 0,
 * 0, above 0. */
static inline int qp_bytes_order(struct qp_bytes left, struct qp_bytes right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size > 0 ? __builtin_memcmp(left.data, right.data, size) : 0;

    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

#define QP_LITERAL(text) ((struct qp_bytes){(text), sizeof(text) - 1})

#endif
