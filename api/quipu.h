/* quipu.h - an embedded event store: the whole public surface, and its manual.
 *
 * A store is a directory. A program opens it, appends events to streams, reads them back by
 * stream, category, type, tag or all, and folds them into state. Several threads and several
 * processes may do so at once; one of them writes at a time, everyone reads without waiting.
 *
 * CAVEATS - read these first.
 *
 * - A commit that returned QUIPU_OK is on the disk, unless the store was opened with QUIPU_LAZY.
 *   That needs a local file system whose fdatasync() works. Network file systems are refused
 *   unless QUIPU_OPEN_NETWORK_FS is given.
 * - After QUIPU_IO nobody knows whether the commit is in. Every process refuses to write until all
 *   of them have closed the store and one that may write has opened it again, before any other.
 * - A reader or view left open pins the pages that it sees: each later commit costs 16 to 25 KiB of
 *   file that cannot be used again before it is closed. Do not keep one while you wait for people.
 * - Never use a handle in a child after fork(): every call there returns QUIPU_FORKED. Open anew.
 * - Never copy a live store with cp, and never open its files with LMDB's tools while it is open.
 *   A copy of log.mdb from a closed store is a whole store: everything else is made again.
 * - All processes of a store must share one pid namespace and one time namespace.
 * - Linux on 64-bit little-endian machines only.
 * - XXH3 finds accidents, not forgers. Who may write to the directory may rewrite history.
 *
 * RULES of every call.
 *
 * - Results: 0 done, 1 a row (quipu_next, quipu_list_next, quipu_view_next) or yes (quipu_wait,
 *   quipu_view_get), < 0 a status of the table below. A callback may return its own code
 *   <= QUIPU_APPLICATION, which comes back unchanged.
 * - Any call that takes a handle may return QUIPU_MISUSE (the call breaks its contract and nothing
 *   was changed) and QUIPU_FORKED. Any call that looks into the files may return QUIPU_IO (input or
 *   output failed), QUIPU_CORRUPT (bytes are damaged; the text says where), QUIPU_NEWER_FORMAT (a
 *   newer library wrote what stands there), QUIPU_FULL (no reader slot is free, or the map could
 *   not follow the file), QUIPU_NO_MEMORY and QUIPU_SYSTEM (the system refused something; os_error
 *   says why). The comments below list what comes on top, and what one of these means in
 *   particular.
 * - Errors: `error` may be NULL. It is filled on failure and left alone on success. It belongs to
 *   the caller, so it is never stale and never bound to a thread.
 * - Durable means: after a power cut it is there. With QUIPU_LAZY a power cut may take back the
 *   newest transaction, and no more, until quipu_flush().
 * - Input: names of streams, types and tags are NUL-terminated UTF-8 of 1 to 255 bytes without
 *   control characters. New streams and types must not begin with '$'. Whatever is passed in is
 *   only read during the call: a batch copies what it is given.
 * - Output: a view (an event, an item, a value) points into memory of the handle it came from. It
 *   lives until the next call on that handle, or its close. Names in views are NUL-terminated.
 * - Structs: one that starts with struct_size grows at its end. Set it with QUIPU_INIT() or
 *   quipu_options_init(), also in structs that the library fills; 0 means the size of the first
 *   release. A longer one than the library's is QUIPU_MISUSE where the library reads it; where it
 *   fills it, what it does not know is 0. One without struct_size is frozen, and its `reserved`
 *   must be 0. In any option 0 means the default beside it.
 * - Threads: a `quipu` is shared by all threads of its process. A reader, a list, a quipu_view and
 *   a batch belong to one thread at a time.
 * - Closing: every close takes NULL and then does nothing. Readers, lists, views and runners are
 *   closed before their store. If not, quipu_close() waits for none of them: their next call
 *   returns QUIPU_CLOSED, they must still be closed, and the last of them closes the files.
 *
 * WORDS. A *stream* is the history of one aggregate, by name: "order-42". Its *category* is the
 * part of the name before the first '-' ("order"); a name without one, or that begins with one, is
 * its own category. A *version* counts 1, 2, 3 ... within one stream. A *position* counts 1, 2, 3
 * ... over the whole store in commit order, without gaps. `after` is always exclusive, `upto`
 * inclusive.
 *
 * IN SHORT. To decide on a command: fold the stream, decide, append on condition that the stream
 * still has the version that was folded; on QUIPU_CONFLICT do it again. That is what
 * quipu_execute() does; by hand:
 *
 *     quipu *store;
 *     quipu_open("shop.store", NULL, &store, &error);
 *     do {
 *         quipu_load(store, &order_fold, "order-42", NULL, &order, &version, &error);
 *         draft = decide(&order, command);
 *         rc = quipu_append(store, "order-42", version, &draft, 1, NULL, &error);
 *     } while (rc == QUIPU_CONFLICT);
 *     quipu_close(store);
 *
 * To follow what happens: read from the position that was seen last, and keep quipu_reader_head()
 * with what was made of the events; quipu_wait() tells when there is more.
 *
 *     quipu_range range = {QUIPU_INIT(quipu_range), .after = seen};
 *     quipu_read(store, NULL, &range, &reader, &error);
 *     while (quipu_next(reader, &event, &error) == QUIPU_ROW)
 *         handle(&event);
 *     seen = quipu_reader_head(reader);
 *     quipu_reader_close(reader); */
#ifndef QUIPU_H
#define QUIPU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUIPU_VERSION_NUMBER 100 /* of this header: major * 10000 + minor * 100 + patch */

#ifndef QUIPU_API
#define QUIPU_API __attribute__((visibility("default")))
#endif

/* ---- results and errors ---- */

/* Name, number (never changes, new ones are added at the end), exit code of the command line tool,
 * text. LEASE_LOST and DELETED are for later releases: no call returns them yet.
 */
#define QUIPU_STATUS_MAP(X)                                                                        \
    X(CONFLICT, -1, 3, "a condition does not hold")                                                \
    X(DUPLICATE_ID, -2, 3, "an event id is already known")                                         \
    X(PARTIAL_DUPLICATE, -3, 3, "only the first events are already known")                         \
    X(ALREADY_TRACKED, -4, 3, "the source is already past this number")                            \
    X(LEASE_LOST, -5, 3, "the lease has ended or belongs to another member")                       \
    X(NOT_FOUND, -6, 4, "no such thing")                                                           \
    X(DELETED, -7, 4, "the stream is deleted")                                                     \
    X(TARGET_EXISTS, -8, 1, "the target exists already")                                           \
    X(MISUSE, -9, 2, "the call breaks its contract; nothing was changed")                          \
    X(INVALID, -10, 1, "a value is malformed")                                                     \
    X(TOO_LARGE, -11, 1, "a value or batch is over its limit")                                     \
    X(BUSY, -12, 6, "another process holds the store")                                             \
    X(FULL, -13, 1, "no space is left")                                                            \
    X(IO, -14, 1, "input/output failed; the outcome of pending commits is unknown, reopen")        \
    X(CORRUPT, -15, 5, "stored bytes are damaged")                                                 \
    X(NO_MEMORY, -16, 1, "out of memory")                                                          \
    X(NEWER_FORMAT, -17, 1, "the store's format is newer than this library")                       \
    X(FORKED, -18, 1, "the handle belongs to the parent process")                                  \
    X(UNSAFE, -19, 1, "refused: link, owner, mode, file system, replaced files or pid namespace")  \
    X(READ_ONLY, -20, 1, "the store is open for reading only")                                     \
    X(CLOSED, -21, 1, "the handle is closed or cancelled")                                         \
    X(TIMEOUT, -22, 1, "the time is over")                                                         \
    X(FAULTED, -23, 1, "the projection has stopped at an event")                                   \
    X(SYSTEM, -24, 1, "a system call failed")                                                      \
    X(IN_DOUBT, -25, 1, "another process has the batch and is stopped; the outcome is unknown")

enum quipu_status {
#define QUIPU_X(name, number, exit_code, text) QUIPU_##name = (number),
    QUIPU_STATUS_MAP(QUIPU_X)
#undef QUIPU_X
        QUIPU_OK = 0,
    QUIPU_ROW = 1,
    QUIPU_APPLICATION = -1000 /* a callback's own codes are this or less */
};

typedef struct quipu_error { /* frozen */
    int32_t status;          /* the value that the call returned */
    int32_t os_error;        /* errno or LMDB's code behind it; 0 if none */
    char text[240]; /* one line without a newline; an application's callback may write it too */
} quipu_error;

/* The name of a status without its prefix ("CONFLICT"), "OK", "ROW", or "APPLICATION" for codes of
 * callbacks, "UNKNOWN" for anything else.
 *
 * Memory:  static storage.
 * Threads: any. */
QUIPU_API const char *quipu_status_name(int status);

/* The library's QUIPU_VERSION_NUMBER, which may be newer than the header's.
 *
 * Threads: any. */
QUIPU_API int quipu_version(void);

/* Let every allocation of the library go through `resize`, which behaves as realloc() for size > 0
 * and as free() for size 0. `resize` == NULL brings malloc back. What LMDB and the C library (to
 * sort, to list a directory) take for themselves stays theirs.
 *
 * Threads: call it while no store is open and no batch exists; `resize` is called by any thread.
 * Returns: QUIPU_OK; QUIPU_MISUSE while a store is open. */
QUIPU_API int quipu_set_allocator(void *(*resize)(void *memory, size_t size, void *payload),
                                  void *payload);

/* ---- store ---- */

typedef struct quipu quipu;

/* MERGE_THREAD: a thread that the library starts for the store merges what commits leave for the
 * index, and ends with the last close; no signal is handled in it. Without it the thread whose
 * commit makes the tail long merges before its call returns, which now and then makes that call
 * slow. No other thread is started but a runner's. When commits are faster than the merges, for
 * long, they wait. */
enum quipu_open_flags {
    QUIPU_OPEN_READ_ONLY = 1,   /* write neither log nor index; needs write access to lock files */
    QUIPU_OPEN_EXISTING = 2,    /* never create: NOT_FOUND */
    QUIPU_OPEN_NEW = 4,         /* create, or TARGET_EXISTS */
    QUIPU_OPEN_UNSAFE_PATH = 8, /* allow a link, another owner, a directory others may write */
    QUIPU_OPEN_NETWORK_FS = 16, /* allow NFS, SMB, 9p, FUSE */
    QUIPU_OPEN_FULL_CHECK = 64, /* walk the pages of both files before anything is read */
    QUIPU_OPEN_MERGE_THREAD = 128 /* see above; not with READ_ONLY */
};

enum quipu_durability {
    QUIPU_SYNC = 0, /* acknowledged means durable */
    QUIPU_LAZY = 1  /* a commit waits for one flush instead of two. A power cut may take back the
                       newest transaction, which others may have read and acted on; never more, and
                       nothing is ever damaged or torn. A process that dies takes nothing back.
                       quipu_flush() is the barrier. Each open chooses for its own commits */
};

/* Told of what an operator may want to know (an index discarded, a dead writer's lock taken over).
 * level: 0 information, 1 warning. One line without a newline. Any thread, any time; must not call
 * the library. */
typedef void (*quipu_log_fn)(void *payload, int level, const char *text);

typedef struct quipu_options {
    uint32_t struct_size;
    uint32_t flags;            /* quipu_open_flags; 0: create if missing, read and write */
    uint32_t durability;       /* quipu_durability; QUIPU_SYNC */
    uint32_t busy_timeout_ms;  /* 10 000; each wait for another process; UINT32_MAX: for ever */
    uint64_t map_bytes;        /* 1 TiB of address space for the log, a quarter of it for the index;
                                  halved until it fits, at least 4 MiB */
    uint64_t tail_bytes_max;   /* 64 MiB, at least 1 MiB: for what is not in the index yet */
    uint32_t readers_max;      /* 1 022, at most 65 535; counts if no other process has it open */
    uint32_t data_bytes_max;   /* 16 MiB, at most 64 MiB: one event's data plus meta */
    uint32_t batch_events_max; /* 4 096, at most 1 048 576 */
    uint32_t async_pending_max; /* 1 024, at most 1 048 576: see quipu_commit_async() */
    uint64_t batch_bytes_max;   /* 64 MiB, at most 1 GiB: of records, for more than one event */
    quipu_log_fn log;           /* NULL: silent */
    void *log_payload;
} quipu_options;

/* Fill with zeroes and set struct_size: for languages without designated initializers.
 *
 * Threads: any. */
QUIPU_API void quipu_options_init(quipu_options *options, size_t struct_size);

/* The first member of a compound literal that has at least one other:
 * &(quipu_options){QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_READ_ONLY} */
#define QUIPU_INIT(type) ((uint32_t)sizeof(type))

/* Open the store in directory `path`, creating it if it is missing or an empty directory.
 *
 * A store may be opened several times in one process: that is one store, counted, and closed by the
 * last close. The options of such an open must equal those of the first.
 *
 * With QUIPU_OPEN_FULL_CHECK both files are read once before anything relies on them, as by
 * quipu_verify(): damaged pages of the log are QUIPU_CORRUPT. A damaged index is made again by a
 * writer that is alone; a reader does without it. One that is open already is not looked at again.
 *
 * Memory:  `*out` belongs to the caller until quipu_close(). `options` may be NULL.
 * Threads: any. The handle is for all threads of the process that opened it.
 * Returns: QUIPU_OK; QUIPU_NOT_FOUND: no store (with EXISTING or READ_ONLY), or no directory to
 *          create it in; QUIPU_TARGET_EXISTS (with NEW); QUIPU_MISUSE: unknown flags, NEW together
 *          with EXISTING or READ_ONLY, READ_ONLY with MERGE_THREAD, or other options than the
 *          handle already open has; QUIPU_TOO_LARGE: an option over its limit, or a new store's
 *          name over 216 bytes; QUIPU_INVALID: log.mdb is not a store's, or a path that is empty,
 *          too long, or no name; QUIPU_UNSAFE: a symbolic link, another owner, writable by others,
 *          hard links, a network file system, a directory with other files in it, another LMDB
 *          program on the files, another pid namespace, no write access to the lock files;
 *          QUIPU_BUSY: another process opens, closes or holds it for longer than busy_timeout_ms,
 *          or has it open while its index must be made again, or 128 processes have; with
 *          FULL_CHECK also others that write so fast that a file could not be checked;
 *          QUIPU_CORRUPT: log.mdb is damaged; QUIPU_FULL: the disk. On failure `*out` is NULL. */
QUIPU_API int quipu_open(const char *path, const quipu_options *options, quipu **out,
                         quipu_error *error);

/* Close the store. Of several opens the last close does it: wait for commits under way, commit
 * asynchronous ones and call their functions, merge a long tail into the index, release all locks.
 * In a forked child: free nothing that the parent needs, release no lock of the parent.
 *
 * Threads: with the last close no other call on `store` may be under way, but for commits and for
 *          quipu_wait(), which then returns QUIPU_CLOSED, and none may begin. Readers, lists and
 *          views may still be open: see Closing above. */
QUIPU_API void quipu_close(quipu *store);

/* The position of the newest event, 0 if there is none.
 *
 * Threads: any.
 * Returns: QUIPU_OK; what every call may return. */
QUIPU_API int quipu_head(quipu *store, uint64_t *position, quipu_error *error);

/* Wait until the head is above `after`, whoever appended: a thread of this process or another one.
 * Together with quipu_reader_head() it follows a store: read, wait for more, read on.
 *
 *     while (quipu_wait(store, seen, -1, NULL, &error) == 1)
 *         seen = read_on(store, seen);
 *
 * `timeout_ms` -1 waits for ever, 0 is a look. A commit wakes it at once, in any process; that of a
 * process which dies just then is found within 100 ms. It holds no snapshot meanwhile.
 *
 * Memory:  `head` may be NULL; on 1 and 0 it is the newest position.
 * Threads: any number of them at once.
 * Returns: 1: the head is above `after`; QUIPU_OK: not in time; QUIPU_CLOSED: the store was closed
 *          meanwhile; QUIPU_MISUSE: a timeout below -1; what every call may return. */
QUIPU_API int quipu_wait(quipu *store, uint64_t after, int timeout_ms, uint64_t *head,
                         quipu_error *error);

/* How far a mark or a source has come: what quipu_batch_mark() or quipu_batch_track() stored last.
 *
 * Threads: any.
 * Returns: QUIPU_OK; QUIPU_NOT_FOUND: nobody has set it yet; QUIPU_INVALID, QUIPU_TOO_LARGE: no
 *          such name can be; what every call may return. */
QUIPU_API int quipu_mark_get(quipu *store, const char *name, uint64_t *position,
                             quipu_error *error);
QUIPU_API int quipu_tracked_get(quipu *store, const char *source, uint64_t *number,
                                quipu_error *error);

/* ---- events ----
 *
 * An event has two payloads, `data` for the application and `meta` for what stands around it (who,
 * why, in which request). The library keeps both byte for byte. What it knows of their format it
 * checks when they are appended, so that everyone who reads may rely on it; it never converts.
 *
 * And two times. `time_ns` says when the thing happened, and is the application's: it may lie in
 * the past, run backwards, be of another clock. `recorded_ns` is the store's own clock at the
 * commit: it begins at the wall clock when the first process opens the store, is driven by a clock
 * that nobody can set, and never runs backwards from one position to the next. */

enum quipu_format {
    QUIPU_BINARY = 0,
    QUIPU_JSON = 1,   /* checked to be UTF-8 when appended */
    QUIPU_MSGPACK = 2 /* checked when appended: one whole value, at most 32 levels deep */
};

enum quipu_event_flags {
    QUIPU_EVENT_HAS_ID = 1,      /* draft: `id` counts. event: the caller gave it */
    QUIPU_EVENT_HAS_TIME = 2,    /* draft: `time_ns` counts. event: the caller gave it */
    QUIPU_EVENT_HAS_RECORDED = 8 /* draft: `recorded_ns` counts */
};

/* An event not yet appended: frozen, 96 bytes on LP64, so that it goes into arrays. All zero but
 * for `type` is a whole draft: no data, no tags, happened when it is recorded. */
typedef struct quipu_draft {
    const char *type;        /* 1 to 255 bytes */
    const void *data;        /* NULL with size 0: none */
    const void *meta;        /* NULL with size 0: none */
    const char *const *tags; /* "key:value", tag_count of them, no two equal; 1 to 255 bytes each */
    uint8_t id[16];          /* with HAS_ID; a UUID in network order. Ids that ascend in time, as
                                UUIDv7 do, cost the index less than random ones */
    int64_t time_ns; /* UTC, since 1970: when it happened; without HAS_TIME: when recorded */
    uint32_t data_size;
    uint32_t meta_size;
    uint32_t tag_count;  /* at most 64 */
    uint32_t flags;      /* quipu_event_flags */
    uint8_t data_format; /* quipu_format */
    uint8_t meta_format;
    uint16_t schema; /* the type's own version; 0: unversioned */
    uint8_t reserved8[4];
    int64_t recorded_ns; /* kept if last recorded <= it <= now, else the store's clock counts */
    uint64_t reserved[1];
} quipu_draft;

/* An event as it is read: a frozen view of 152 bytes. `stream`, `type` and each tag end with a 0
 * that their sizes do not count; `data` and `meta` do not. Neither is aligned. */
typedef struct quipu_event {
    uint64_t position;
    uint64_t version;
    int64_t time_ns;     /* UTC: when it happened, as the draft said, else = recorded_ns */
    int64_t recorded_ns; /* UTC: the store's clock at commit; never runs backwards */
    const char *stream;
    const char *type;
    const char *tags; /* tag_count strings one after another, each with its 0 */
    const void *data;
    const void *meta;
    uint8_t id[16]; /* as given, else derived from the store, the position and the history */
    uint32_t stream_size;
    uint32_t type_size;
    uint32_t tag_count;
    uint32_t data_size;
    uint32_t meta_size;
    uint32_t flags; /* quipu_event_flags */
    uint8_t data_format;
    uint8_t meta_format;
    uint16_t schema;
    uint8_t reserved8[4];
    uint64_t reserved[4];
} quipu_event;

/* Copy an event with all that it points to into one block, which outlives its reader: to queue it,
 * or to hand it to another thread. `data` is aligned to 8 bytes there. After `data` and after
 * `meta` stands a 0 that their sizes do not count, so that JSON is a C string. What the event has
 * none of (`data`, `meta` NULL) the copy has none of.
 *
 * Memory:  `*out` is the caller's until quipu_event_free().
 * Threads: that of the event; the copy is bound to none.
 * Returns: QUIPU_OK; QUIPU_NO_MEMORY; QUIPU_MISUSE. On failure `*out` is NULL. */
QUIPU_API int quipu_event_copy(const quipu_event *event, quipu_event **out);

/* Free what quipu_event_copy() made, and nothing else. NULL does nothing.
 *
 * Threads: any. */
QUIPU_API void quipu_event_free(quipu_event *event);

/* The value of the event's tag whose key is `key`: what stands after the tag's first ':'. Of
 * several tags with that key the first one's, in the order in which they were given.
 *
 * Memory:  as long as the event's.
 * Threads: that of the event.
 * Returns: NULL: it has no such tag. */
QUIPU_API const char *quipu_event_tag(const quipu_event *event, const char *key);

/* Is the event of this type?
 *
 * Threads: that of the event.
 * Returns: 1 if it is, else 0. */
QUIPU_API int quipu_event_is(const quipu_event *event, const char *type);

/* A top-level member of the event's msgpack or JSON data, so that a fold needs no decoder of its
 * own. Of members with the same name the last one counts. No allocation; the cost grows with the
 * data's size. A number with a fraction or an exponent is no i64; an i64 is read as f64 too. A
 * JSON name with escapes is found if it has at most 255 bytes without them.
 *
 * Threads: that of the event.
 * Returns: 1 found, 0 absent, of another kind, out of range, or the data is no whole map or object.
 *          On 0 `*out` is left alone. */
QUIPU_API int quipu_get_i64(const quipu_event *event, const char *name, int64_t *out);
QUIPU_API int quipu_get_f64(const quipu_event *event, const char *name, double *out);
QUIPU_API int quipu_get_bool(const quipu_event *event, const char *name, int *out);

/* The same for text, like snprintf(): copies at most capacity - 1 bytes and a 0. JSON's escapes are
 * resolved. `out` may be NULL if capacity is 0.
 *
 * Threads: that of the event.
 * Returns: the text's full length in bytes, or -1 if it is absent or not text. */
QUIPU_API int64_t quipu_get_text(const quipu_event *event, const char *name, char *out,
                                 size_t capacity);

/* A new id for a draft: a UUID of version 7 (RFC 9562). 48 bits of milliseconds since 1970 and 12
 * of their fraction come first, so that ids sort by the time of their making to a quarter of a
 * microsecond, as far as the machine's clock is right; 62 random bits follow.
 *
 * It cannot fail: where the system refuses random bytes, as a sandbox may, the number of process
 * and thread, the clocks, and the random bytes that each program is started with take their place.
 * With `id` NULL it does nothing.
 *
 * Threads: any; also in a child after fork(). */
QUIPU_API void quipu_id_new(uint8_t id[16]);

/* An id that follows from a key - a request's number, a row of another system - so that who sends
 * the same thing again sends the same id. A UUID of version 8: the XXH3 sum of 128 bits over the
 * key, its low half first and each half little-endian, but for the six bits that say version and
 * variant. The same in every release and on every machine. It keeps accidents apart and no
 * forgers: who chooses the keys may choose two with one id. Such ids are scattered, so they cost
 * the index what random ones do. A `key` of NULL is one without bytes; with `id` NULL it does
 * nothing.
 *
 * Threads: any. */
QUIPU_API void quipu_id_from(const void *key, size_t size, uint8_t id[16]);

/* ---- queries ---- */

/* All given fields are AND-ed; NULL or 0 is no restriction. Frozen.
 *
 * The store finds an item's events by the shortest of its lists (the stream's, the category's, each
 * tag's, the types' together), passes over what other lists of up to 64 times that length rule out,
 * and holds what is left against the item: it costs what the shortest list costs, however large the
 * store is. An item without any of them is every event. */
typedef struct quipu_query_item {
    const char *stream;
    const char *category;
    const char *const *types; /* OR-ed */
    const char *const *tags;  /* AND-ed */
    uint32_t type_count;
    uint32_t tag_count; /* at most 64 */
    uint64_t reserved[2];
} quipu_query_item;

/* Items are OR-ed. NULL instead of a query, or a query without items, is every event. At most 64
 * items and 64 KiB of names. */
typedef struct quipu_query {
    const quipu_query_item *items;
    size_t item_count;
} quipu_query;

/* Make a query of one item from a text, as people write it on a command line:
 *
 *     type=OrderPaid,"Order lost" tag=customer:7 tag=region:"New York" category=order
 *
 * Terms are divided by blanks and AND-ed. The keys are type, tag, stream and category. Types are
 * divided by commas and OR-ed; tags stand in a term each. A value, or a part of it, may stand in
 * quotes, and must if it has a blank, a comma or a quote; inside of quotes \" and \\ stand for '"'
 * and '\'. A text without terms is an item without restrictions: every event.
 *
 * Memory:  `*out` is one block, the caller's until quipu_query_free(); nothing else frees it. Its
 *          items may be copied into another quipu_query, to OR several texts, and live as long.
 * Threads: any. The query is only read by who uses it: several threads may do so at once.
 * Returns: QUIPU_OK; QUIPU_INVALID: an unknown key, a '=' or value that is missing, a key other
 *          than tag that stands twice, a ',' in a term that is not type, a quote without end, a '\'
 *          in quotes before neither '"' nor '\', a name; QUIPU_TOO_LARGE: a value over 255 bytes,
 *          over 64 tags, over 64 KiB of names; QUIPU_MISUSE; QUIPU_NO_MEMORY. The error's text says
 *          in which column, counted in bytes from 1. On failure `*out` is NULL. */
QUIPU_API int quipu_query_parse(const char *text, quipu_query **out, quipu_error *error);

/* Free what quipu_query_parse() made, and nothing else. NULL does nothing.
 *
 * Threads: any, when no other uses it. */
QUIPU_API void quipu_query_free(quipu_query *query);

/* ---- batch: the one door ---- */

/* Expected versions beside exact ones. An exact one n says: the stream's newest event has version
 * n. */
#define QUIPU_NEW    UINT64_C(0)      /* the stream has no events */
#define QUIPU_ANY    UINT64_MAX       /* not checked */
#define QUIPU_EXISTS (UINT64_MAX - 1) /* the stream has at least one event */

enum quipu_verdict {
    QUIPU_REFUSED = 0,   /* nothing was written */
    QUIPU_COMMITTED = 1, /* all conditions held; everything was written, and is durable */
    QUIPU_DUPLICATE = 2  /* all of it was there already: nothing was written, and it is durable */
};

typedef struct quipu_receipt { /* frozen, 88 bytes */
    int32_t verdict;
    uint32_t failed_count;   /* steps that failed; quipu_batch_result() tells each */
    uint64_t first_position; /* of the batch; DUPLICATE: where it stands; 0 if nothing does */
    uint64_t last_position;
    uint64_t last_version; /* of the last append's stream */
    uint32_t failed_step;  /* the first that failed for an id or a tracked number, else the first */
    uint32_t failed_draft; /* of failed_step, as the next three: see quipu_result */
    uint64_t expected;
    uint64_t actual;
    uint64_t matched;
    uint64_t reserved[3];
} quipu_receipt;

typedef struct quipu_result { /* one step of a batch after its commit; frozen */
    int32_t status;           /* QUIPU_OK, or what it failed with: see quipu_commit() */
    uint32_t draft;          /* whose id it failed for; PARTIAL_DUPLICATE: the first that differs */
    uint64_t first_position; /* of this append's first event. This, first_version and count are 0
                                unless the batch was committed or is a DUPLICATE */
    uint64_t first_version;
    uint64_t count;    /* events written or known, at versions one after the other */
    uint64_t expected; /* as asked for: a version; `after`; the position or number to be stored */
    uint64_t actual;   /* the version, position or number before this step; 0 of a query */
    uint64_t matched;  /* the first position that matched the query, or that holds the id;
                          PARTIAL_DUPLICATE: where the first draft stands; 0: it failed for neither,
                          or one stands twice in the batch */
    uint64_t reserved[2];
} quipu_result;

/* Conditions and effects that commit together or not at all. Steps are numbered from 0 in the order
 * of the calls. A call that fails is remembered, and quipu_commit() returns that status with its
 * text: a program need not check each step. A batch may be committed again after a failure,
 * cleared, and used again. Conditions see the store and the batches before, never the batch's own
 * appends; later appends to the same stream see the versions of the earlier ones, and later steps
 * with the same mark or source its number.
 *
 *     quipu_batch *batch = quipu_batch_new();
 *     quipu_batch_expect(batch, "customer-7", QUIPU_EXISTS);
 *     quipu_batch_append(batch, "order-42", QUIPU_NEW, &created, 1);
 *     quipu_batch_append(batch, "stock-9", 17, &reserved, 1);
 *     rc = quipu_commit(store, batch, &receipt, &error);
 *     quipu_batch_free(batch);
 *
 * Its events get consecutive positions in the order of the steps. A batch belongs to no store: it
 * may be filled before there is one. It holds about as many bytes as its events have. */
typedef struct quipu_batch quipu_batch;

/* An empty batch.
 *
 * Memory:  the caller's until quipu_batch_free().
 * Threads: any; a batch is one thread's at a time.
 * Returns: NULL if memory is out. */
QUIPU_API quipu_batch *quipu_batch_new(void);

/* Make it as new: no steps, no remembered failure. NULL does nothing.
 *
 * Memory:  is kept, for the next round.
 * Threads: that of the batch. */
QUIPU_API void quipu_batch_clear(quipu_batch *batch);

/* Free a batch. NULL does nothing. One that quipu_commit_async() took is the library's to free.
 *
 * Threads: that of the batch. */
QUIPU_API void quipu_batch_free(quipu_batch *batch);

/* Append `count` drafts to `stream` if it has the `expected` version. No drafts: only the
 * condition.
 *
 * Memory:  everything is copied.
 * Threads: that of the batch.
 * Returns: QUIPU_OK; QUIPU_INVALID: a name, tag, UTF-8 or msgpack; QUIPU_TOO_LARGE; QUIPU_MISUSE;
 *          QUIPU_NO_MEMORY. quipu_commit() checks the store's own limits of data and batch. */
QUIPU_API int quipu_batch_append(quipu_batch *batch, const char *stream, uint64_t expected,
                                 const quipu_draft *drafts, size_t count);

/* The same as quipu_batch_append() without drafts: a condition on a stream that is not written. A
 * batch of nothing but conditions may be committed: it then only says whether they hold.
 *
 * Memory:  everything is copied.
 * Threads: that of the batch.
 * Returns: as quipu_batch_append(). */
QUIPU_API int quipu_batch_expect(quipu_batch *batch, const char *stream, uint64_t expected);

/* Refuse the batch if an event with a position above `after` matches the query: nothing of what it
 * was decided on has changed. `after` is what the decider has seen: quipu_reader_head() of the
 * reader that it read the same query with. So a rule may span any events, not those of one stream:
 *
 *     quipu_read(store, &seats, NULL, &reader, &error);         all of the course and the student
 *     ... fold them; may the student subscribe? ...
 *     after = quipu_reader_head(reader);
 *     quipu_batch_append(batch, "student-7", QUIPU_ANY, &subscribed, 1);
 *     quipu_batch_unless(batch, &seats, after);
 *     rc = quipu_commit(store, batch, &receipt, &error);        CONFLICT: read again, decide again
 *
 * It is exact: names are compared as bytes, and what another batch of the same moment writes
 * counts. It costs what stands behind `after` in the query's shortest list, however large the store
 * is. NULL, and a query without items, is every event.
 *
 * Memory:  everything is copied.
 * Threads: that of the batch.
 * Returns: QUIPU_OK; as quipu_read() for what is wrong with the query; QUIPU_MISUSE: `after` is no
 *          position; QUIPU_NO_MEMORY. */
QUIPU_API int quipu_batch_unless(quipu_batch *batch, const quipu_query *query, uint64_t after);

/* Store that `source` was taken in up to `number`, refused with QUIPU_ALREADY_TRACKED unless that
 * is more than what is stored. What is sent again by who does not know whether it arrived - a line
 * of a file, an offset of a queue, a row of another database - has its effects once: they commit
 * with the number. A source nobody has set yet takes any number.
 *
 * `source` has 1 to 127 bytes and does not begin with '$'.
 *
 * Memory:  everything is copied.
 * Threads: that of the batch.
 * Returns: QUIPU_OK; QUIPU_INVALID, QUIPU_TOO_LARGE: the name; QUIPU_MISUSE; QUIPU_NO_MEMORY. */
QUIPU_API int quipu_batch_track(quipu_batch *batch, const char *source, uint64_t number);

/* Move the mark `name` to `position`, with the batch: how far a program has come that reads this
 * store, committed with what it made of the events. It never moves back: a smaller position is
 * QUIPU_CONFLICT. The same one changes nothing.
 *
 * `name` has 1 to 127 bytes and does not begin with '$'.
 *
 * Memory:  everything is copied.
 * Threads: that of the batch.
 * Returns: as quipu_batch_track(); QUIPU_MISUSE: `position` is none that can be. */
QUIPU_API int quipu_batch_mark(quipu_batch *batch, const char *name, uint64_t position);

/* How many steps were added.
 *
 * Threads: that of the batch; of an asynchronous commit within its quipu_committed_fn.
 * Returns: their number; 0 for NULL. */
QUIPU_API size_t quipu_batch_steps(const quipu_batch *batch);

/* What became of one step in the last quipu_commit() of this batch.
 *
 * Threads: that of the batch; of an asynchronous commit within its quipu_committed_fn.
 * Returns: QUIPU_OK; QUIPU_MISUSE: no such step, or the last commit came to no decision
 *          (QUIPU_BUSY, QUIPU_IO ...), or none was since a step was added. */
QUIPU_API int quipu_batch_result(const quipu_batch *batch, size_t step, quipu_result *out);

/* Commit a batch. Batches of all threads queue; one thread leads and commits those that wait in one
 * transaction, and what other processes have waiting, so that a hundred threads cost about as many
 * flushes as one. On QUIPU_OK everything is durable. Each batch has its own verdict: what another
 * one of its group is refused for is not this one's business.
 *
 * Events that were sent before are recognised by their ids, within their stream, for as long as the
 * event is in the store. Who does not know whether a commit is in sends the same batch again:
 *
 *     verdict DUPLICATE   every append of the batch is there already: each one's ids in its stream,
 *                         one after the other, at the expected version if that was an exact one.
 *                         Nothing is written; the receipt says where it stands; a success
 *     PARTIAL_DUPLICATE   the first events of an append are there, and then another one follows
 *     DUPLICATE_ID        a known id among new ones; known appends beside new ones; the expected
 *                         version is the newest, and the first id is known; an id twice for one
 *                         stream in the batch
 *     CONFLICT            known, but not at the version that was expected; no id is known, and the
 *                         expected version is not the newest; an event matches a query; a mark
 *                         would move back
 *     ALREADY_TRACKED     a source has that number or a higher one
 *
 * Ids are looked up before versions. If all appends are known nothing else of the batch is looked
 * at. An event without an id is never known.
 *
 * A thread that led may do more before it returns, while all others go on. It may call the
 * functions of asynchronous commits. And unless the store has a merge thread it may merge into the
 * index what many commits have left: once in 196 608 events, or sooner where the tail is half of
 * tail_bytes_max; for about 100 ms, and for longer where random ids scatter over a large index.
 *
 * Memory:  `receipt` may be NULL. It is filled on QUIPU_OK and on QUIPU_CONFLICT,
 *          QUIPU_DUPLICATE_ID, QUIPU_PARTIAL_DUPLICATE and QUIPU_ALREADY_TRACKED; else it is
 *          zeroed.
 * Threads: any for `store`; the batch is used by this call alone.
 * Returns: QUIPU_OK, and the receipt has the verdict; QUIPU_CONFLICT, QUIPU_DUPLICATE_ID,
 *          QUIPU_PARTIAL_DUPLICATE, QUIPU_ALREADY_TRACKED: see above, each step that failed has
 *          its result; QUIPU_BUSY: another process held the store, or merged into the index, for
 *          longer than busy_timeout_ms; QUIPU_IN_DOUBT: a process that had this batch in its own
 *          commit was stopped: the batch is in once that one goes on, or never is, and there is
 *          nothing to reopen; QUIPU_FULL: the disk or the map, nothing is in and it works again
 *          when there is room; QUIPU_IO: unknown outcome, reopen; QUIPU_CORRUPT: an event is
 *          damaged of which nobody knows the stream, and no batch can be committed; or, of this
 *          batch alone, what one of its ids, streams, marks, sources or queries is looked up in
 *          cannot be read; QUIPU_NEWER_FORMAT likewise; QUIPU_READ_ONLY; QUIPU_TOO_LARGE;
 *          QUIPU_UNSAFE: the store's files were replaced; what a step before has failed with. */
QUIPU_API int quipu_commit(quipu *store, quipu_batch *batch, quipu_receipt *receipt,
                           quipu_error *error);

/* Told of an asynchronous commit. `status`, `receipt` and `error` are what quipu_commit() would
 * have given; `error` has status 0 if there was none. All pointers are views for this call; `batch`
 * is freed after it. Functions are called one at a time, in the order of the commits. */
typedef void (*quipu_committed_fn)(void *payload, int status, const quipu_receipt *receipt,
                                   const quipu_batch *batch, const quipu_error *error);

/* Commit a batch without waiting for the disk: `done` is called once it is durable, or refused. So
 * one thread keeps hundreds of commits in flight, and they share their flushes.
 *
 * The library has no thread for them. They are committed with what any thread commits; by this
 * call, once async_pending_max of them are pending; by quipu_flush() and by quipu_close(). So who
 * has nothing more to send calls quipu_flush(): what is pending stays so until somebody calls.
 *
 * `done` runs in a thread inside quipu_commit(), quipu_append(), quipu_execute(),
 * quipu_commit_async(), quipu_flush() or quipu_close(), holding nothing. It must be short. It may
 * call nothing of this store but quipu_commit_async(), which never waits there: QUIPU_BUSY if too
 * many are pending.
 *
 * It may run before this call returns, and in any thread: hold no lock that `done` takes while you
 * call one of these. As with quipu_commit() a thread that led may merge before it returns.
 *
 * Memory:  on QUIPU_OK the library owns the batch, and frees it after `done`; else it stays the
 *          caller's, and `done` is not called.
 * Threads: any.
 * Returns: QUIPU_OK: it was taken; QUIPU_MISUSE: batch or done is NULL; QUIPU_BUSY: within `done`,
 *          no room; QUIPU_CLOSED: the store is being closed; QUIPU_READ_ONLY; QUIPU_TOO_LARGE; what
 *          a step before has failed with. What only the store can say comes to `done`. */
QUIPU_API int quipu_commit_async(quipu *store, quipu_batch *batch, quipu_committed_fn done,
                                 void *payload, quipu_error *error);

/* Wait until every commit that any thread of this process began before is durable or refused, and
 * the functions of asynchronous ones have returned. With QUIPU_LAZY: until everything that is in
 * the store is durable, whoever committed it.
 *
 * Threads: any; not within a quipu_committed_fn.
 * Returns: QUIPU_OK; QUIPU_MISUSE: within a quipu_committed_fn; QUIPU_READ_ONLY; QUIPU_BUSY,
 *          QUIPU_IO and QUIPU_UNSAFE as quipu_commit(). What became of each commit its own function
 *          was told. */
QUIPU_API int quipu_flush(quipu *store, quipu_error *error);

/* A batch with one append, committed: what most programs call.
 *
 * Memory:  everything is copied; `receipt` as for quipu_commit().
 * Threads: any.
 * Returns: as quipu_batch_append() and quipu_commit(). */
QUIPU_API int quipu_append(quipu *store, const char *stream, uint64_t expected,
                           const quipu_draft *drafts, size_t count, quipu_receipt *receipt,
                           quipu_error *error);

/* ---- read ---- */

/* A snapshot: what was committed when it was opened, and nothing else, in order. It never waits for
 * a writer and no writer for it, but it keeps the pages that it sees: close it soon, and go on with
 * a new one from quipu_reader_head(). With QUIPU_RENEW it is a row of snapshots: each goes on where
 * the one before ended, up to the head of the first. */
typedef struct quipu_reader quipu_reader;

enum quipu_range_flags {
    QUIPU_BACKWARDS = 1,      /* the same set, newest first */
    QUIPU_SKIP_CHECKSUMS = 2, /* trust the bytes */
    QUIPU_UPCAST = 4,         /* hand out what upcasters make of the events: see
                                 quipu_register_upcaster() */
    QUIPU_RENEW = 8 /* for long scans: every 100 ms, or 10 000 records looked at, quipu_next() goes
                       on in a new snapshot, up to the head of the first one. So it pins no pages
                       for longer, as long as it is called */
};

/* The set (after, upto] in either order: versions for quipu_read_stream(), else positions. The
 * newest ten: .flags = QUIPU_BACKWARDS, .limit = 10. A range that holds nothing is no error.
 *
 * With QUIPU_UPCAST what a stored event becomes comes in its place, with its position and version;
 * backwards the last of it comes first. `limit` counts stored events, not what they become: all of
 * one is handed out, so that a page never ends within it, and each page comes further. It may hold
 * more events than that, or fewer, none even, and more may follow. */
typedef struct quipu_range {
    uint32_t struct_size;
    uint32_t flags; /* quipu_range_flags */
    uint64_t after;
    uint64_t upto;  /* 0: the head */
    uint64_t limit; /* 0: none; counts from the end that is read first */
} quipu_range;

/* Read the events of a query (NULL: all) in position order.
 *
 * Memory:  `*out` is the caller's until quipu_reader_close(). `range` may be NULL: everything.
 * Threads: any for `store`.
 * Returns: QUIPU_OK; QUIPU_INVALID: a name; QUIPU_TOO_LARGE: the query; what every call may
 *          return. On failure `*out` is NULL. */
QUIPU_API int quipu_read(quipu *store, const quipu_query *query, const quipu_range *range,
                         quipu_reader **out, quipu_error *error);

/* Read one stream by its versions. An empty range is no error.
 *
 * Memory:  as quipu_read().
 * Threads: any for `store`.
 * Returns: as quipu_read(), and QUIPU_NOT_FOUND: no such stream; QUIPU_DELETED. */
QUIPU_API int quipu_read_stream(quipu *store, const char *stream, const quipu_range *range,
                                quipu_reader **out, quipu_error *error);

/* The next event.
 *
 * Memory:  what `event` points to lives until the next call on this reader.
 * Threads: that of the reader.
 * Returns: QUIPU_ROW; QUIPU_OK at the end; QUIPU_CORRUPT or QUIPU_NEWER_FORMAT: an event that
 *          cannot be read and may have been one of those asked for: event->position says which,
 *          all else in it is 0, and the next call goes on after it. With position 0 it is the index
 *          that is damaged: what comes next cannot be told, by no later call of this reader either;
 *          quipu_reindex() makes it anew. With QUIPU_RENEW and position 0 it may also be that no
 *          new snapshot could be had: the next call tries that again. QUIPU_CLOSED; what every call
 *          may return: it passes nothing over, the next call tries again or says it again. With
 *          QUIPU_UPCAST what an upcaster fails with, as quipu_load(): event->position says at
 *          which event, and the next call tries that one again. */
QUIPU_API int quipu_next(quipu_reader *reader, quipu_event *event, quipu_error *error);

/* The position up to which this reader has seen everything that was asked for: pass it as `after`
 * next, and no event is missed or seen twice. After the end of a forward read it is the head of the
 * snapshot (with QUIPU_RENEW of the first one), or `upto`, also if nothing was found; before the
 * end, and when `limit` cut it short, it is the last event's. Backwards it is the head or `upto`
 * from the start. Always a position, of a stream's reader too. With QUIPU_UPCAST an event counts as
 * seen once the last of what it becomes was handed out.
 *
 * Threads: that of the reader.
 * Returns: the position; 0 if the reader's store is closed. */
QUIPU_API uint64_t quipu_reader_head(const quipu_reader *reader);

/* Let its snapshot go. NULL does nothing.
 *
 * Threads: that of the reader. */
QUIPU_API void quipu_reader_close(quipu_reader *reader);

/* ---- fold ---- */

/* The library's, lent to a callback to write bytes into. */
typedef struct quipu_buffer quipu_buffer;

/* Add bytes to what the callback has written so far.
 *
 * Memory:  copied.
 * Threads: that of the callback, and only while it runs.
 * Returns: QUIPU_OK; QUIPU_NO_MEMORY; QUIPU_TOO_LARGE: more than 64 MiB in all; QUIPU_MISUSE. The
 *          first failure is remembered: who does not look writes nothing, not half of it. */
QUIPU_API int quipu_buffer_put(quipu_buffer *buffer, const void *bytes, size_t size);

/* A pure function (state, event) -> state. `apply` sees the events of one stream by version, each
 * once; it must depend on nothing else, for the same events to give the same state for ever. What
 * it does not know it passes over: streams outlive programs. The event is a view for the call. An
 * `init` or `apply` that returns less than 0 (a code <= QUIPU_APPLICATION is its own) ends the
 * load.
 *
 *     static int apply(void *state, const quipu_event *event, void *payload, quipu_error *error)
 *     {
 *         struct order *order = state;
 *
 *         if (quipu_event_is(event, "OrderPaid"))
 *             order->paid = true;
 *         return 0;
 *     } */
typedef struct quipu_fold {
    uint32_t struct_size;
    uint32_t version;  /* of the function: another one makes other states */
    const char *name;  /* 1 to 127 bytes */
    size_t state_size; /* of the caller's state, which the library zeroes before `init` */
    int (*init)(void *state, void *payload); /* NULL: zeroes are the initial state */
    int (*apply)(void *state, const quipu_event *event, void *payload, quipu_error *error);
    void (*release)(void *state, void *payload); /* NULL: nothing to free */
    /* Snapshots: see below. NULL and 0: none is saved. */
    int (*save)(const void *state, quipu_buffer *out, void *payload);
    int (*load)(void *state, const void *bytes, size_t size, void *payload);
    int (*worth)(const void *state, const quipu_event *event, void *payload);
    void *payload;
    uint32_t snapshot_every; /* after so many events; 0: not by count */
    uint32_t snapshot_keep;  /* so many of the newest stay; 0: 1 */
    uint64_t snapshot_bytes; /* after so many bytes of data and meta; 0: not by bytes */
} quipu_fold;

/* SNAPSHOTS OF FOLDS. A snapshot is the state at some version of a stream. quipu_load() and
 * quipu_execute() begin at the newest one that stream, fold name and fold version have, and fold
 * only what came after it. With and without snapshots the same state comes out: one is used only if
 * its bytes are whole, the event that it stands at is there with the same history before it, and it
 * is not newer than what was asked for. Else it is passed over and counted (quipu_stat), for an
 * older one or for none; the first of a kind is told to the application's log. They live in
 * index.mdb, and losing them all costs nothing but time. A load that begins at a snapshot does not
 * look at the events before it: it works although one of them is damaged.
 *
 * When one is saved is the fold's to say, by any of three: `snapshot_every`, `snapshot_bytes`,
 * counted from the last snapshot on, and `worth`, which is asked after each event and returns other
 * than 0 if a snapshot at this event is worth it. The load that comes to such an event saves the
 * state there (the newest one, if there are several) when it has ended; quipu_execute() after its
 * commit. So appends never do it, nor loads of an earlier point, nor a store that is open for
 * reading only. If another thread or process writes the index just then it is left to a later load.
 * A save costs a flush of the disk; a failure is told to the application's log alone. The newest
 * `snapshot_keep` of a stream and fold version stay. Those of other fold versions are left alone,
 * as another process may still run that program: quipu_snapshot_drop() removes them.
 *
 * Without `save` and `load` the state's own bytes are saved, and one of another size is passed
 * over: right for a struct without pointers. So a fold with `release` needs both, and without them
 * uses no snapshot. `save` writes by quipu_buffer_put() whatever `load` understands: bytes of its
 * own, msgpack, JSON; equal states should give equal bytes. `load` gets a state after `init`, and
 * bytes that need not be aligned. Each returns 0, or other than 0 if it cannot: then there is no
 * snapshot, or the next older one is tried in a state that was released and begun anew, so `load`
 * leaves what `release` can release. Change `version` whenever `apply`, `save`, the struct or an
 * upcaster whose events `apply` sees changes. */

enum quipu_point_kind {
    QUIPU_AT_HEAD = 0,
    QUIPU_AT_VERSION = 1,  /* up to this version of the stream */
    QUIPU_AT_POSITION = 2, /* up to this position: the same cut through all streams */
    QUIPU_AT_TIME = 3,     /* before the stream's first event whose time_ns is later */
    QUIPU_AT_RECORDED = 4  /* as the store was at that instant of its own clock */
};

typedef struct quipu_point { /* frozen */
    uint32_t kind;
    uint32_t reserved;
    int64_t value;
} quipu_point;

/* Fold a stream into `state`, as of `at` (NULL: now). `apply` sees what upcasters make of its
 * events; `at` and `*version` go by what is stored. A stream without events, or one that begins
 * later, is version 0 and the initial state, not an error: `*version` then is QUIPU_NEW, so that it
 * can be passed to quipu_append() as it is.
 *
 * A snapshot may spare most of the work, and one may be saved at the end: see above.
 *
 * Memory:  `state` has fold->state_size bytes. On QUIPU_OK it is the caller's to release; on
 *          failure the library has released it, unless `init` failed: that cleans up after itself.
 *          `version` may be NULL.
 * Threads: any; the fold's functions run in this thread, and may read the store.
 * Returns: QUIPU_OK; QUIPU_INVALID, QUIPU_TOO_LARGE: the name, or what an upcaster gave;
 *          QUIPU_DELETED; what `init`, `apply` or `up` returned if that was below 0, with a text if
 *          it gave none; QUIPU_MISUSE if it was above; what every call may return. */
QUIPU_API int quipu_load(quipu *store, const quipu_fold *fold, const char *stream,
                         const quipu_point *at, void *state, uint64_t *version, quipu_error *error);

/* What is to become of a stream, given what it is now: adds steps to `batch`, which is empty.
 * `version` is the stream's, QUIPU_NEW if it has no events. Appends to that stream say QUIPU_ANY:
 * that it still has this version is checked for them. It may be called several times, each time
 * with a state of its own, which lives for the call: so it must change nothing but the batch. It
 * may read the store; it must not close it, nor commit or free the batch.
 *
 * Returns: QUIPU_OK commits the batch; 1: nothing is to be committed; < 0: refused (a code <=
 *          QUIPU_APPLICATION is its own). */
typedef int (*quipu_decide_fn)(const void *state, uint64_t version, quipu_batch *batch,
                               void *payload, quipu_error *error);

/* The loop that most commands are: fold the stream, decide, commit on condition that the stream
 * still has the version that was folded; if it has not, begin again.
 *
 *     static int pay(const void *state, uint64_t version, quipu_batch *batch, void *payload,
 *                    quipu_error *error)
 *     {
 *         const struct order *order = state;
 *         const quipu_draft paid = {.type = "OrderPaid"};
 *
 *         (void)version;
 *         if (order->paid)
 *             return 1;
 *         return quipu_batch_append(batch, payload, QUIPU_ANY, &paid, 1);
 *     }
 *
 *     quipu_execute(store, &order_fold, "order-42", pay, "order-42", 0, NULL, &error);
 *
 * The check of the version is the batch's last step, after those that `decide` added; a batch
 * without steps is committed for its sake. Any condition that does not hold is a conflict, those
 * that `decide` added too. It is tried up to `attempts` times (0: 16), after pauses of a random
 * length that grow up to 50 ms: some thirty threads that keep at one stream are served so.
 *
 * Memory:  the states are the library's, aligned as malloc() does it; fold->release is called for
 *          each, unless its `init` failed. `receipt` may be NULL. It is filled as by quipu_commit()
 *          if the last attempt came to a commit; else it is zeroed, verdict too, as when `decide`
 *          returned 1.
 * Threads: any; `decide` and the fold's functions run in this thread, without a lock. quipu_close()
 *          waits for it as for a commit.
 * Returns: as quipu_load() and quipu_commit(), events that are known already (verdict DUPLICATE)
 *          included. QUIPU_OK also when `decide` returned 1; what `decide` returned if that was
 *          below 0, with a text if it gave none, and not tried again, QUIPU_CONFLICT neither;
 *          QUIPU_MISUSE if it was above 1. QUIPU_CONFLICT of a commit: all attempts were in vain;
 *          the receipt is the last one's. */
QUIPU_API int quipu_execute(quipu *store, const quipu_fold *fold, const char *stream,
                            quipu_decide_fn decide, void *payload, uint32_t attempts,
                            quipu_receipt *receipt, quipu_error *error);

/* Fold a stream and save a snapshot of its state now, whatever the policies say; then those that
 * are beyond fold->snapshot_keep go. If newer ones fill that number, or if the stream has no events
 * (`*version` is 0), nothing is saved.
 *
 * Memory:  `version` may be NULL. The state is the library's.
 * Threads: any; waits for who writes the index, as long as busy_timeout_ms says.
 * Returns: as quipu_load(); what `save` returned; QUIPU_MISUSE: a fold with `release` and without
 *          `save`; QUIPU_TOO_LARGE: more than 64 MiB; QUIPU_READ_ONLY; QUIPU_BUSY; QUIPU_FULL;
 *          QUIPU_IO. */
QUIPU_API int quipu_snapshot_save(quipu *store, const quipu_fold *fold, const char *stream,
                                  uint64_t *version, quipu_error *error);

/* For each snapshot of this stream, fold and fold version that a load may use: fold the stream from
 * its beginning, save, and compare the bytes. Says whether somebody changed a fold and forgot to
 * change its version, or whether it depends on more than its events. `save` must give equal bytes
 * for equal states; of a fold without it the state must have no holes that `apply` fills otherwise.
 *
 * Threads: any.
 * Returns: QUIPU_OK: all are equal; QUIPU_CORRUPT: one is not, or is damaged, the text says which;
 *          QUIPU_NOT_FOUND: there is none; as quipu_load() and quipu_snapshot_save(). */
QUIPU_API int quipu_snapshot_check(quipu *store, const quipu_fold *fold, const char *stream,
                                   quipu_error *error);

/* Copy the state of a snapshot: that of the stream's `version`, of several fold versions the
 * highest one's; 0: the newest of the highest fold version.
 *
 * Memory:  `*size` is the capacity of `bytes` before, and the state's full size after: if it is
 *          larger, only so many bytes were copied. `bytes` may be NULL for a capacity of 0.
 * Threads: any.
 * Returns: QUIPU_OK, also if no load could use it; QUIPU_NOT_FOUND; QUIPU_CORRUPT: its bytes are
 *          damaged; QUIPU_INVALID, QUIPU_TOO_LARGE: a name; what every call may return. */
QUIPU_API int quipu_snapshot_get(quipu *store, const char *stream, const char *fold,
                                 uint64_t version, void *bytes, size_t *size, quipu_error *error);

/* Remove snapshots, whatever their versions: of a stream (NULL: of all) and a fold (NULL: of all).
 *
 * Memory:  `dropped`, how many there were, may be NULL. It is right on failure too: many are
 *          removed in steps.
 * Threads: any; waits for who writes the index, as long as busy_timeout_ms says.
 * Returns: QUIPU_OK, also if there was none; QUIPU_READ_ONLY; QUIPU_BUSY; QUIPU_INVALID,
 *          QUIPU_TOO_LARGE: a name; QUIPU_FULL; QUIPU_IO; what every call may return. */
QUIPU_API int quipu_snapshot_drop(quipu *store, const char *stream, const char *fold,
                                  uint64_t *dropped, quipu_error *error);

/* ---- upcast ---- */

/* What a callback that makes events is lent to write them into. */
typedef struct quipu_page quipu_page;

/* Events are stored for ever, and the shape of a type changes. An upcaster makes of a stored event
 * of one type, at schema `from`, what it would be at schema from + 1, so that folds know the newest
 * shape alone. What is stored stays as it is.
 *
 *     static int up(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
 *     {
 *         char json[64];                                  OrderPaid, schema 0: euros; 1: cents
 *         int64_t euros = 0;
 *         quipu_draft draft = {.type = "OrderPaid", .schema = 1, .data_format = QUIPU_JSON};
 *
 *         (void)quipu_get_i64(event, "euros", &euros);
 *         draft.data_size = (uint32_t)snprintf(json, sizeof(json), "{\"cents\":%lld}",
 *                                              (long long)euros * 100);
 *         draft.data = json;
 *         return quipu_page_emit(out, NULL, &draft);
 *     }
 *
 * `up` calls quipu_page_emit() once for each event that it becomes, in their order: not at all if
 * it is of no use any more, several times if one fact has become several. An event goes on from
 * upcaster to upcaster as long as there is one for its type and schema; a draft of another type
 * goes through the upcasters of that one. An event that none is for is handed out as it is.
 *
 * It must be a pure function of the event, as a fold's `apply` is. It may read the store, in other
 * readers. The event is a view for the call. An `up` that returns less than 0 (a code <=
 * QUIPU_APPLICATION is its own) ends the load, or fails the quipu_next(). */
typedef struct quipu_upcaster {
    uint32_t struct_size;
    uint32_t from;    /* a schema; 0 for events that were written without one */
    const char *type; /* 1 to 255 bytes */
    int (*up)(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error);
    void *payload;
} quipu_upcaster;

/* Let an upcaster take part in quipu_load(), quipu_execute(), projections and readers with
 * QUIPU_UPCAST. Those of one type make a chain without gaps, which grows at both of its ends. What
 * is under way goes on with the upcasters that there were when it began: register them before the
 * first use.
 *
 * They belong to the store as this process has it open, however often it has, and are gone when its
 * files are closed: with its last quipu_close(), or with the last reader, list, view or runner that
 * outlives it. Nothing of them is stored. Queries, ranges and points in time look at what is
 * stored, and so do lists, quipu_verify() and, without a plugin, the command line tool.
 *
 * Memory:  `upcaster` and its type are copied; what `payload` points to must live until then.
 * Threads: any; `up` is called by any thread that reads, by several at once.
 * Returns: QUIPU_OK; QUIPU_MISUSE: there is one for this type and schema already, one between it
 *          and the others of its type is missing (the text says which), `up` is NULL, `from` is
 *          over 65 534; QUIPU_INVALID, QUIPU_TOO_LARGE: the type; QUIPU_NO_MEMORY; QUIPU_FORKED. */
QUIPU_API int quipu_register_upcaster(quipu *store, const quipu_upcaster *upcaster,
                                      quipu_error *error);

/* ---- project ----
 *
 * A *projection* is a fold over a query that maintains a *view*: keys with values, kept in the
 * store. View and *mark* - the position up to which the view is the fold of the log - commit
 * together: after any crash the view equals the fold up to its mark.
 *
 *     static int apply(quipu_page *page, const void *key, size_t key_size,
 *                      const quipu_event *event, void *payload, quipu_error *error)
 *     {
 *         uint64_t count = 0;
 *         quipu_value old;
 *
 *         if (quipu_page_get(page, key, key_size, &old) == 1)
 *             memcpy(&count, old.data, sizeof(count));
 *         count++;
 *         return quipu_page_put(page, key, key_size, &count, sizeof(count));
 *     }
 *
 *     const quipu_projection orders = {QUIPU_INIT(quipu_projection), .version = 1,
 *                                      .name = "orders", .apply = apply};
 *     quipu_project(store, &orders, NULL, NULL, NULL, &error);
 *     quipu_view_open(store, "orders", &view, &error);
 *     quipu_view_get(view, "order-42", 8, &value, &error);
 *
 * Its functions must be pure, as a fold's are: they see events in the order of positions, and the
 * view as the events before have left it. They may read the store, in readers and views of their
 * own; they must not write to it, for which one that a commit folds gets QUIPU_MISUSE, and that one
 * must not wait for anything. Upcasters apply. */

/* Bytes of the library's, or of the caller's: which, and how long they live, the calls say. */
typedef struct quipu_value { /* frozen */
    const void *data;
    size_t size;
} quipu_value;

/* ASYNC: quipu_project() or a runner folds what is there, page by page, outside of any lock.
 * INLINE: each commit of a process that has registered it folds the events that it appends, under
 * the store lock and in the thread that commits; the view is never behind such a commit. What other
 * processes append the next such commit folds too, up to 1 000 events; one that is further behind
 * is left out until quipu_project() or a runner has brought it near.
 * LIVE: nothing is kept; quipu_view_open() folds the query from its first event on: for few. */
enum quipu_projection_mode { QUIPU_ASYNC = 0, QUIPU_INLINE = 1, QUIPU_LIVE = 2 };

/* What becomes of an event whose function fails, after its last attempt. PARK: it waits under its
 * key, with the error, and so do later events of that key; all other keys go on. Nothing is lost:
 * see quipu_projection_control(). SKIP: it is passed over for that key, for ever. STOP: the
 * projection stays before the event. */
enum quipu_fault_policy { QUIPU_FAULT_PARK = 0, QUIPU_FAULT_SKIP = 1, QUIPU_FAULT_STOP = 2 };

typedef struct quipu_projection {
    uint32_t struct_size;
    uint32_t version;      /* of its functions: a higher one is built anew, from the first event on,
                              beside the view; a lower one than the store knows is QUIPU_CONFLICT */
    const char *name;      /* 1 to 127 bytes; does not begin with '$' */
    quipu_query query;     /* which events; no items: all */
    uint32_t mode;         /* quipu_projection_mode */
    uint32_t fault_policy; /* quipu_fault_policy */
    uint32_t retries;      /* 3; after pauses of 10, 50, 250 ms ...; none within a commit */
    uint32_t page_events;  /* 65 536: a page ends earlier after 200 ms or 8 MiB */
    /* Which keys the event has: calls quipu_page_key() for each. NULL: the stream's name. */
    int (*keys)(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error);
    /* Called for each of them. What it wrote is undone if it returns other than 0. */
    int (*apply)(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error);
    void *payload;
} quipu_projection;

/* For `keys`: the event has this key, of 1 to 255 bytes; said twice it is still one.
 *
 * Memory:  it is copied.
 * Threads: that of the callback, as the three below.
 * Returns: QUIPU_OK; QUIPU_INVALID: no bytes; QUIPU_TOO_LARGE; QUIPU_NO_MEMORY; QUIPU_MISUSE: not
 *          in `keys`. */
QUIPU_API int quipu_page_key(quipu_page *page, const void *key, size_t size);

/* For `keys` and `apply`: the value under any key of the view, as the events before have left it.
 *
 * Memory:  `out` lives until the next call on the page.
 * Returns: 1 found, 0 not; QUIPU_INVALID, QUIPU_TOO_LARGE: the key; QUIPU_MISUSE; a failure of the
 *          store, which ends the page whatever the function makes of it. */
QUIPU_API int quipu_page_get(quipu_page *page, const void *key, size_t size, quipu_value *out);

/* For `apply`: write or delete a key, of 1 to 255 bytes, with a value of at most 16 MiB. Several
 * lists live in one view under keys that begin differently: "order/42", "user/7".
 *
 * Memory:  everything is copied; the value may be what quipu_page_get() gave.
 * Returns: QUIPU_OK; QUIPU_INVALID, QUIPU_TOO_LARGE; QUIPU_MISUSE: not in `apply`; as
 *          quipu_page_get(). */
QUIPU_API int quipu_page_put(quipu_page *page, const void *key, size_t size, const void *value,
                             size_t value_size);
QUIPU_API int quipu_page_delete(quipu_page *page, const void *key, size_t size);

/* With a `stream`, for the `apply` of an async projection: append an event, in one commit with the
 * view and the mark. It gets the tag "causation:POSITION" of the event that it was made of; it
 * brings no id. The stream becomes the projection's own with its first event: appends of others
 * there are QUIPU_MISUSE, and the projection itself passes its own events over. While a projection
 * is rebuilt nothing is emitted for the events that it had passed before, as that was done then:
 * but for those that it had parked as an async one, for each of which whoever applies it first
 * emits. For what was skipped or dropped nobody ever does.
 *
 * Without one, for `up`: the event becomes this draft, and with further calls these too. Type,
 * schema, data, formats and tags are the draft's; so are the time with QUIPU_EVENT_HAS_TIME, and
 * meta if it brings one. All else is the event's that it is made of: position, version, stream,
 * `recorded_ns` and id, so those of the draft do not count. What the payloads' bytes say is not
 * checked again. A draft of the same type must have the schema from + 1. One stored event goes
 * through at most 64 upcasters, one after the other, and becomes at most 4 096 events. A call that
 * fails is remembered: whatever `up` returns then, the load or quipu_next() fails with it, and with
 * a text.
 *
 * Memory:  everything is copied.
 * Threads: that of the callback, and until it returns.
 * Returns: QUIPU_OK; QUIPU_INVALID: a name or tag, or the same type with another schema;
 *          QUIPU_TOO_LARGE: as quipu_batch_append() and quipu_commit(), or 64 tags of its own;
 *          QUIPU_MISUSE: what quipu_batch_append() would call so, and a stream in `up`; none in
 *          `apply`, an id there, a stream that is not the projection's, an inline or live one;
 *          QUIPU_NO_MEMORY; in `up` what an emit before it has failed with, in `apply` a failure of
 *          the store, as quipu_page_get(). */
QUIPU_API int quipu_page_emit(quipu_page *page, const char *stream, const quipu_draft *draft);

enum quipu_projection_status {
    QUIPU_PROJECTION_LIVE = 0,    /* at most 1 000 events behind */
    QUIPU_PROJECTION_CATCHING_UP, /* further behind */
    QUIPU_PROJECTION_REBUILDING,  /* beside the view, which stays as it is until it is done */
    QUIPU_PROJECTION_PAUSED,
    QUIPU_PROJECTION_FAULTED /* stopped at an event */
};

typedef struct quipu_progress {
    uint32_t struct_size;
    uint32_t status;      /* quipu_projection_status */
    uint64_t mark;        /* of what is being folded: the view, or what is built beside it */
    uint64_t head;        /* of the store */
    uint64_t applied;     /* events since the view was begun; a parked one again when replayed */
    uint64_t parked;      /* events that wait */
    double events_per_s;  /* positions passed, in this call */
    double seconds_left;  /* until the head, at that rate; 0: nobody knows */
    uint64_t new_applied; /* this and the next three: committed in this call; events */
    uint64_t new_parked;  /* by key: an event with three keys may be parked three times */
    uint64_t new_skipped;
    uint64_t new_failed; /* all attempts in vain: parked or skipped for it, or parked before */
} quipu_progress;

/* Told after each page; other than 0 stops. */
typedef int (*quipu_project_fn)(void *payload, const quipu_progress *progress);

/* Let this process's commits fold an inline projection, or quipu_view_open() a live one: before
 * they are used, in each process that appends or looks. An inline one that the store does not know,
 * or knows by an older version, is brought to the head by quipu_project().
 *
 * It belongs to the store as this process has it open, as an upcaster does.
 *
 * Memory:  `projection` is copied, with its query; what `payload` points to must live as long.
 * Threads: any; its functions are called by whoever commits, one at a time, or opens the view.
 * Returns: QUIPU_OK; QUIPU_MISUSE: an async one, an unknown mode or policy, no `apply`;
 *          QUIPU_CONFLICT: one of this name is registered, or the store knows a newer version; as
 *          quipu_read() for the query, as quipu_commit() for an inline one; QUIPU_INVALID,
 *          QUIPU_TOO_LARGE: the name. */
QUIPU_API int quipu_register(quipu *store, const quipu_projection *projection, quipu_error *error);

/* Bring a projection to what the store has when this is called, and return. If it is new it is
 * begun; if its version is higher than the view's it is built anew beside it, from the first event
 * on, and takes its place in one commit; what a process that died had done of that is kept.
 *
 * One runs a projection at a time, over all processes: if another one does, this waits until it has
 * come as far. One that dies is taken over at once, one that is stopped after ten seconds.
 *
 * Memory:  `page`, `progress` may be NULL; `progress->struct_size` is set by the caller.
 * Threads: any; `page` and the projection's functions run in this thread, which must not hold a
 *          reader or view of its own open if the file may have to grow.
 * Returns: QUIPU_OK, also if it is paused; QUIPU_FAULTED: it has stopped at an event, the text says
 *          which and why; QUIPU_MISUSE: a live one; QUIPU_CONFLICT: the store knows a newer
 *          version; QUIPU_BUSY: somebody else runs it and does not go on, or runs an older
 *          version; QUIPU_READ_ONLY; QUIPU_CLOSED: the store was closed meanwhile; QUIPU_CORRUPT:
 *          an event or a row of the view is damaged; what `page` returned to stop, if that was
 *          below 0 (else QUIPU_OK); as quipu_register() and quipu_commit(). */
QUIPU_API int quipu_project(quipu *store, const quipu_projection *projection, quipu_project_fn page,
                            void *payload, quipu_progress *progress, quipu_error *error);

/* Fold a projection twice from the first event on, in memory, and compare what each event makes:
 * does it depend on nothing but the events?
 *
 * Memory:  two views of it. `position` may be NULL: of the first event that makes a difference, or
 *          that cannot be applied.
 * Threads: any; its functions run in this thread.
 * Returns: QUIPU_OK: no difference; QUIPU_INVALID: there is one; QUIPU_FAULTED: an event cannot be
 *          applied, with the policy to stop; as quipu_project(). */
QUIPU_API int quipu_projection_check(quipu *store, const quipu_projection *projection,
                                     uint64_t *position, quipu_error *error);

/* Keeps projections at the head, on threads that it starts; no signal is handled in them. */
typedef struct quipu_runner quipu_runner;

/* Begin to keep `count` projections up with the log, whoever appends. Each is folded by one of the
 * `threads` at a time (0: one thread). What it fails at is told to the store's log, and tried again
 * after a second, or after the next commit if only that can change it.
 *
 * A runner in another process with the same projection waits, and takes over when this one dies.
 *
 * Memory:  the projections are copied, as by quipu_register(). `*out` is the caller's until
 *          quipu_runner_stop().
 * Threads: any; their functions are called in the runner's threads.
 * Returns: QUIPU_OK; QUIPU_MISUSE: no projections, a live one, two of one name; QUIPU_TOO_LARGE:
 *          over 1 024 projections or threads; QUIPU_SYSTEM: no threads are to be had; as
 *          quipu_project(). On failure `*out` is NULL. */
QUIPU_API int quipu_runner_start(quipu *store, const quipu_projection *const *projections,
                                 size_t count, uint32_t threads, quipu_runner **out,
                                 quipu_error *error);

/* Let it end the pages under way, wait for its threads, and free it. Before quipu_close(); one that
 * outlives its store ends by itself, and must still be stopped. NULL does nothing.
 *
 * Threads: any but its own.
 * Returns: QUIPU_OK, or what one of its projections fails with just now; QUIPU_FORKED. */
QUIPU_API int quipu_runner_stop(quipu_runner *runner, quipu_error *error);

/* One snapshot of one view: nothing in it changes, and its mark is that of what it shows. As long
 * as it is open it keeps pages, as a reader does. */
typedef struct quipu_view quipu_view;

/* Open a projection's view. "$rebuild:NAME" is what is being built beside it.
 *
 * Memory:  `*out` is the caller's until quipu_view_close(). A live one is folded into memory.
 * Threads: any for `store`; a view belongs to one thread at a time.
 * Returns: QUIPU_OK; QUIPU_NOT_FOUND: no such projection, or nothing is built beside it;
 *          QUIPU_FAULTED: a live one that must stop; QUIPU_INVALID, QUIPU_TOO_LARGE: the name; what
 *          every call may return. On failure `*out` is NULL. */
QUIPU_API int quipu_view_open(quipu *store, const char *projection, quipu_view **out,
                              quipu_error *error);

/* The position up to which the view is the fold of the log.
 *
 * Threads: that of the view.
 * Returns: the position; 0 if the view's store is closed. */
QUIPU_API uint64_t quipu_view_mark(const quipu_view *view);

/* The value under a key.
 *
 * Memory:  `out` lives until the next call on this view.
 * Threads: that of the view.
 * Returns: 1 found; 0 not, as of a key over 255 bytes; QUIPU_MISUSE: a key without bytes;
 *          QUIPU_CLOSED; what every call may return. */
QUIPU_API int quipu_view_get(quipu_view *view, const void *key, size_t size, quipu_value *out,
                             quipu_error *error);

enum quipu_scan_flags {
    QUIPU_SCAN_BACKWARDS = 1, /* from the last key to the first */
    QUIPU_SCAN_KEYS = 2       /* keys alone: the values come out empty */
};

/* From now on quipu_view_next() gives the keys that begin with `prefix` (NULL: all), in the order
 * of their bytes, from the one behind `after` on (NULL: from the first): page by page with the last
 * key that was seen, in the next view too. Backwards it begins with the last, and what is behind
 * `after` is before it.
 *
 * Memory:  both are copied.
 * Threads: that of the view.
 * Returns: QUIPU_OK; QUIPU_MISUSE: unknown flags, or a size without bytes; QUIPU_TOO_LARGE: over
 *          255 bytes; QUIPU_CLOSED; what every call may return. */
QUIPU_API int quipu_view_scan(quipu_view *view, const void *prefix, size_t size, const void *after,
                              size_t after_size, uint32_t flags, quipu_error *error);

/* The next one of the scan.
 *
 * Memory:  both live until the next call on this view.
 * Threads: that of the view.
 * Returns: 1; 0 at the end, or without a scan; QUIPU_CORRUPT: `key` says whose value, the next call
 *          goes on after it; QUIPU_CLOSED; what every call may return. */
QUIPU_API int quipu_view_next(quipu_view *view, quipu_value *key, quipu_value *value,
                              quipu_error *error);

/* How many keys begin with `prefix`: counted one by one. Ends the scan under way.
 *
 * Threads: that of the view.
 * Returns: as quipu_view_scan() and quipu_view_next(). */
QUIPU_API int quipu_view_count(quipu_view *view, const void *prefix, size_t size, uint64_t *count,
                               quipu_error *error);

/* Let its snapshot go. NULL does nothing.
 *
 * Threads: that of the view. */
QUIPU_API void quipu_view_close(quipu_view *view);

/* Wait until a view has what stands at `position`: who has appended reads its own writes. -1 waits
 * for ever, 0 only looks. Events that are parked count as folded. It holds no snapshot meanwhile.
 *
 * Threads: any number at once.
 * Returns: QUIPU_OK: it has; QUIPU_TIMEOUT; QUIPU_FAULTED: it has stopped before; QUIPU_NOT_FOUND;
 *          QUIPU_CLOSED: the store was closed meanwhile; QUIPU_MISUSE: a timeout below -1;
 *          QUIPU_INVALID, QUIPU_TOO_LARGE: the name; what every call may return. */
QUIPU_API int quipu_view_wait(quipu *store, const char *projection, uint64_t position,
                              int timeout_ms, quipu_error *error);

enum quipu_control {
    QUIPU_PAUSE = 1,  /* nobody folds it until RESUME */
    QUIPU_RESUME = 2, /* one that has stopped tries its event again */
    QUIPU_REWIND = 3, /* to 0: build it anew beside the view */
    QUIPU_DROP = 4,   /* forget the parked events, of `key` or all */
    QUIPU_REPLAY = 5, /* try the parked events of `key`, or all, again, each key until one fails */
    QUIPU_SKIP = 6,   /* forget the first parked event of `key`; NULL: the one that it stopped at */
    QUIPU_DRAIN = 7,  /* apply what waits in `key` behind one that was skipped */
    QUIPU_DELETE = 8  /* the projection, its view and what is parked; its streams stay */
};

/* Give an order to a projection, from any process and without its functions: whoever runs it sees
 * the order before its next commit. REPLAY and DRAIN are carried out by whoever runs it next.
 *
 * Memory:  `key` is the key as it is parked, NUL-terminated; NULL: see above. One with a 0 byte in
 *          it is reached with all others only. `value` is 0.
 * Threads: any. quipu_close() waits for it as for a commit.
 * Returns: QUIPU_OK; QUIPU_NOT_FOUND: no such projection, or nothing is parked there;
 *          QUIPU_CONFLICT: a DRAIN of a key whose first event has failed, or its runner was always
 *          faster; QUIPU_MISUSE: no such order, or one that needs a key; QUIPU_INVALID,
 *          QUIPU_TOO_LARGE: a name; as quipu_commit(). */
QUIPU_API int quipu_projection_control(quipu *store, const char *projection, int control,
                                       int64_t value, const char *key, quipu_error *error);

/* ---- plugins ----
 *
 * A *plugin* is a shared object that brings an application's functions to the command line tool:
 * `quipu project STORE --plugin ./orders.so` runs its projections, `dump`, `tail`, `show` and
 * `state` bring events up to date by its upcasters, `verify --folds` holds snapshots against its
 * folds.
 *
 *     static const quipu_projection *const projections[] = {&orders};
 *     static const quipu_plugin plugin = {QUIPU_INIT(quipu_plugin),
 *                                         .version = QUIPU_VERSION_NUMBER,
 *                                         .projections = projections,
 *                                         .projection_count = 1};
 *
 *     const quipu_plugin *quipu_plugin_get(void)
 *     {
 *         return &plugin;
 *     }
 *
 *     cc -shared -fPIC -I... orders.c -o orders.so
 *
 * It is linked to no libquipu: the program that loads it has all functions of this header, and
 * lends them to it. A plugin is code, and may do what who runs it may. */

typedef struct quipu_plugin {
    uint32_t struct_size;
    uint32_t version; /* QUIPU_VERSION_NUMBER of the header that it was built with: another major
                         number than the program's is refused; one that needs functions that the
                         program has not cannot be loaded */
    const quipu_projection *const *projections; /* NULL with a count of 0: none, as below */
    const quipu_fold *const *folds;
    const quipu_upcaster *const *upcasters; /* are registered in this order */
    size_t projection_count;
    size_t fold_count;
    size_t upcaster_count;
} quipu_plugin;

/* What a plugin defines, and the program that loads it calls, once. The library has no such
 * function.
 *
 * Memory:  all of it is the plugin's, and stays as it is until the plugin is unloaded.
 * Threads: one, before any function of the plugin is called.
 * Returns: the plugin; NULL: it does not want to be used. */
__attribute__((visibility("default"))) const quipu_plugin *quipu_plugin_get(void);

/* ---- look after ---- */

enum quipu_list_kind {
    /* name; version; count: events; first_position, position: the last; time_ns: of the first,
     * last_time_ns: of the last */
    QUIPU_LIST_STREAMS = 1,
    /* name; text: "mark" or "source"; mark: the position, or a source's number; lag: of a mark,
     * events behind it; last_time_ns: the store's clock when it changed */
    QUIPU_LIST_MARKS = 2,
    /* name; text: "live", "catching-up", "rebuilding", "paused" or "faulted" (as
     * quipu_projection_status); mode; version: of the functions that made the view; mark: of the
     * view; lag: events behind it; first_position: the mark of what is built beside it, 0: nothing
     * is; count: events applied since that, or else the view, was begun; parked: events that wait;
     * pid, until_ns: of who runs it, and the end of its lease, on the store's clock, 0: nobody
     * does; last_time_ns: that clock when anything of this changed. If it has stopped: position,
     * status and fault, the error's text; key; time_ns: when. Live ones are not listed: nothing of
     * them is stored. */
    QUIPU_LIST_PROJECTIONS = 3,
    /* The parked events of one projection (the prefix is its whole name; "$rebuild:NAME": of what
     * is built beside it): those of a key from the oldest to the newest, shorter keys first. name:
     * the projection's; key; position; count: how often it was tried; text, status: why it failed,
     * "" and 0 if it waits behind one that did; time_ns, last_time_ns: the store's clock when it
     * was parked and when it was tried last */
    QUIPU_LIST_PARKED = 5,
    /* Snapshots of folds, by stream, fold, its version, version. name: the stream; key: the fold;
     * mark: the fold's version; version, position: where it stands; count: bytes of the state;
     * text: "usable", or "stale" if the event that it stands at is not there any more (it is passed
     * over, and goes with the next save); time_ns: when that event was recorded, 0 if stale. One
     * that is damaged is QUIPU_CORRUPT, with name, key, mark and version; loads pass it over too.
     */
    QUIPU_LIST_SNAPSHOTS = 6,
    QUIPU_LIST_CATEGORIES = 7, /* as STREAMS, without a version */
    QUIPU_LIST_TYPES = 8,      /* as STREAMS, without a version */
    QUIPU_LIST_TAGS = 9,       /* as STREAMS, without a version */
    /* Snapshots of the log, of all processes, this one's own among them, the one furthest behind
     * first: pid; name: of the process, "" if it is not known; lag: transactions behind the newest,
     * of which each keeps pages; time_ns: when that process began the oldest one that it holds, on
     * the store's clock, 0 if that is not known. Those of dead processes are cleared first, and not
     * listed. */
    QUIPU_LIST_READERS = 10,
    /* What quipu_view_open() can open of all that is kept: name; text: "async", "inline", or
     * "rebuild" of what is built beside a view: its name is "$rebuild:NAME", it comes after NAME's
     * and has its prefix; mode; version; mark; lag; parked; last_time_ns: as PROJECTIONS; count:
     * its generation, how many times the projection was begun. How many keys it has nobody knows
     * before quipu_view_count() */
    QUIPU_LIST_VIEWS = 11
};

typedef struct quipu_item { /* frozen view; fields that a kind does not use are 0 */
    const char *name;
    const char *key;
    const char *text;
    uint64_t version;
    uint64_t position;
    uint64_t mark;
    uint64_t lag;
    uint64_t count;
    uint64_t first_position;
    int64_t time_ns;
    int64_t last_time_ns;
    int32_t status;
    uint32_t pid;
    uint64_t in_flight;
    uint64_t parked;
    uint64_t redelivered;
    uint64_t oldest;
    const char *fault;
    uint64_t key_size; /* of a projection's `key`, which may have any bytes; a 0 is behind them */
    int64_t until_ns;
    uint32_t mode; /* quipu_projection_mode */
    uint32_t reserved;
} quipu_item;

/* A snapshot of names, in the order of their bytes. As long as it is open it keeps pages, as a
 * reader does. One of READERS has its own order, is of the time when it was opened, and keeps no
 * pages. */
typedef struct quipu_list quipu_list;

/* List names that begin with `prefix` (NULL or "": all). Of READERS it is the process's name, of
 * PARKED it is whose, of SNAPSHOTS the whole name of a fold.
 *
 * Memory:  `*out` is the caller's until quipu_list_close().
 * Threads: any for `store`.
 * Returns: QUIPU_OK; QUIPU_MISUSE: no such kind, PARKED of nobody; QUIPU_NOT_FOUND: PARKED of a
 *          projection that is not there, or builds nothing; QUIPU_INVALID, QUIPU_TOO_LARGE: the
 *          prefix; QUIPU_CORRUPT: an event is damaged, so that names may be missing; what every
 *          call may return. */
QUIPU_API int quipu_list_open(quipu *store, int kind, const char *prefix, quipu_list **out,
                              quipu_error *error);

/* The next item.
 *
 * Memory:  the item's names live until the next call on this list.
 * Threads: that of the list.
 * Returns: QUIPU_ROW; QUIPU_OK at the end; QUIPU_CORRUPT: item->name says of what, the next call
 *          goes on after it; QUIPU_CLOSED; what every call may return. */
QUIPU_API int quipu_list_next(quipu_list *list, quipu_item *item, quipu_error *error);

/* Let its snapshot go. NULL does nothing.
 *
 * Threads: that of the list. */
QUIPU_API void quipu_list_close(quipu_list *list);

typedef struct quipu_stat {
    uint32_t struct_size;
    uint32_t format;
    uint64_t events;
    uint64_t streams;
    uint64_t head;      /* the newest position */
    uint64_t indexed;   /* the index is complete up to here */
    uint64_t log_bytes; /* of the files */
    uint64_t index_bytes;
    uint64_t tail_events;       /* head - indexed */
    uint64_t oldest_reader_lag; /* transactions of the log that the oldest reader is behind */
    uint32_t oldest_reader_pid; /* 0: none */
    uint32_t readers;      /* snapshots of the log in all processes, this call's own among them */
    int64_t first_time_ns; /* of the events at position 1 and at the head; 0 if there is none */
    int64_t last_time_ns;
    uint64_t chain;      /* of the newest event: equal chain at equal position, equal history */
    uint64_t free_bytes; /* inside log.mdb, to be used again */
    int64_t oldest_reader_since_ns; /* when that process began the oldest snapshot that it holds, on
                                       the store's clock, as recorded_ns; 0: nobody knows */
    uint8_t uuid[16];               /* of the store, from its creation */
    uint64_t snapshots;             /* of folds, in the index */
    uint64_t snapshots_used;        /* by loads, since this process opened the store */
    uint64_t snapshots_ignored;     /* likewise passed over: damaged, of another history, refused by
                                       the fold, of another fold version, newer than asked for */
} quipu_stat;

/* Figures of one moment: counted, not estimated. It walks LMDB's free list and the tail. Readers
 * that a process left when it died are cleared first: the pages that they kept can be used again.
 * Each open that may write clears them too.
 *
 * Memory:  `out->struct_size` is set by the caller.
 * Threads: any.
 * Returns: QUIPU_OK; what every call may return. */
QUIPU_API int quipu_stat_get(quipu *store, quipu_stat *out, quipu_error *error);

/* One thing that verify found wrong. */
typedef struct quipu_finding { /* a view, for the call */
    int32_t status;
    uint32_t reserved;
    uint64_t position; /* 0 if it is not about an event */
    const char *file;  /* "log.mdb" or "index.mdb" */
    const char *table; /* "": the file as a whole; LMDB's own are "tables" and "free list" */
    const char *text;  /* one line */
} quipu_finding;

/* Told of each finding, and every few thousand events of how far it is. 0 goes on; anything else
 * stops. */
typedef int (*quipu_finding_fn)(void *payload, const quipu_finding *finding);
typedef int (*quipu_progress_fn)(void *payload, uint64_t done, uint64_t total);

typedef struct quipu_verified {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t checked; /* events looked at */
    uint64_t findings;
    uint64_t head;
    uint64_t chain; /* of the newest event */
} quipu_verified;

/* Check a store from end to end. First all pages of both files, without mapping them: no file,
 * whatever is in it, ends the process or keeps it for ever. Damaged pages are findings without a
 * position, a hundred a file and then one that says that there are more. If they are the log's
 * nothing else is looked at (`checked` and `head` are 0), if they are the index's the log is read
 * without it. Then each value's checksum, the chain, positions and versions without gaps, and that
 * the index equals the fold of the log; of projections that their marks, generations, views and
 * parked events fit each other, not that a view is the fold. Other processes may go on writing:
 * what was committed when it began is checked, in snapshots that are held to the end.
 *
 * Memory:  `found`, `progress` and `out` may be NULL.
 * Threads: any; callbacks run in this thread.
 * Returns: QUIPU_OK; QUIPU_CORRUPT after the last finding if there was any; what a callback
 *          returned to stop if that is negative (else QUIPU_OK); and as quipu_open() with
 *          READ_ONLY. With damaged pages of an index that this process has open: QUIPU_CORRUPT,
 *          and the log is not looked at. QUIPU_BUSY also if others write so fast that a file could
 *          not be checked: nothing is wrong, try again. */
QUIPU_API int quipu_verify(const char *path, uint32_t flags, quipu_finding_fn found,
                           quipu_progress_fn progress, void *payload, quipu_verified *out,
                           quipu_error *error);

/* Throw the index away and make it again from the log. Nothing but time is lost by a failure, or by
 * a process that dies in it: the next opener goes on where it ended. Nobody can open the store
 * meanwhile. An index that cannot be opened, or does not fit the log, is made again by quipu_open()
 * anyhow; this is for one that quipu_verify(), or a call that says QUIPU_CORRUPT, finds wrong.
 *
 * Memory:  `progress` may be NULL; it is told of events done and in all, and stops by other than 0.
 * Threads: any; `progress` runs in this thread, and must not use this store.
 * Returns: QUIPU_OK; QUIPU_BUSY: this or another process has it open; QUIPU_NOT_FOUND; what
 *          `progress` returned to stop if that is negative (else QUIPU_OK); and as quipu_open(). */
QUIPU_API int quipu_reindex(const char *path, quipu_progress_fn progress, void *payload,
                            quipu_error *error);

#ifdef __cplusplus
}
#endif

#endif
