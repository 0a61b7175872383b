/* survey.c - which snapshot is walked, and how long its pages stay.
 *
 * LMDB writes a page again once no reader can see it any more, and not before two more transactions
 * are in: transaction t takes from the pages that t - 2 and those before it gave up. So the pages
 * of snapshot n stay as long as
 *
 *     nobody has committed n + 2      (n + 3 would be the first to take a page of n's), or
 *     somebody reads n, or an older one: LMDB takes no page that was given up since
 *
 * The first needs nothing, no lock and no map: a file at rest is walked like that, a hostile one
 * too. The meta pages are looked at every now and then, before anything is told, and at the end.
 * The second is for stores that others write all the time. A snapshot needs LMDB, and so a map; but
 * to begin one LMDB looks at its meta pages alone, which were checked, and no other page is touched
 * through this map until the walk has passed it. Holding the writers off would do as well, for as
 * long as a walk of the whole file takes: nobody wants that of a check.
 *
 * Later snapshots have newer pages, which were not walked. They were written since, by somebody who
 * lives; damage that came from outside is in the old ones. */
#include "survey.h"

#include "clock.h"
#include "index.h"
#include "log.h"
#include "status.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MOVED = 2,       /* besides a status: the snapshot's pages may have been written */
    STOPPED = 3,     /* by `found`, which returned `stopped` */
    LOOK_READS = 64, /* reads between two looks at the meta pages */
    ATTEMPTS = 3,    /* of a walk that nobody pins */
    META_TRIES = 10, /* until both meta pages are read as one, 1 ms apart */
    TABLES_MAX = 16
};

#define MAP_ROOM_BYTES (1 * QP_GIB)

struct survey {
    const char *file;
    int fd;
    bool pinned; /* somebody holds a snapshot, this one or an older one */
    struct qp_page_meta meta;
    unsigned reads; /* since the last look */
    qp_walk_found_fn found;
    void *payload;
    quipu_error *error; /* of the call; may be NULL */
    bool told;
    bool foreign;
    int stopped;
};

/* ---- reading ---- */

static int read_all(const struct survey *survey, uint64_t offset, void *bytes, size_t size,
                    quipu_error *error)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got =
            pread(survey->fd, (uint8_t *)bytes + done, size - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return qp_fail_os(error, QUIPU_IO, got < 0 ? errno : EIO, "read %s at %" PRIu64,
                              survey->file, offset + done);
        done += (size_t)got;
    }
    return QUIPU_OK;
}

/* The second begins where the first says that a page ends; zeroes if that cannot be. */
static int read_metas(const struct survey *survey, uint8_t pages[QP_PAGE_METAS][QP_PAGE_META_BYTES],
                      quipu_error *error)
{
    struct qp_page_meta meta;
    int rc = read_all(survey, 0, pages[0], QP_PAGE_META_BYTES, error);

    memset(pages[1], 0, QP_PAGE_META_BYTES);
    if (rc == QUIPU_OK && qp_page_meta_read(pages[0], &meta))
        rc = read_all(survey, meta.page_bytes, pages[1], QP_PAGE_META_BYTES, error);
    return rc;
}

/* Twice the same, so that no half of a write is taken for a meta page. What is wrong is so only if
 * it stays. Returns: OK, `*wrong` is NULL or what is wrong; MOVED; IO. */
static int read_steady_metas(const struct survey *survey,
                             uint8_t pages[QP_PAGE_METAS][QP_PAGE_META_BYTES],
                             struct qp_page_meta *newest, const char **wrong, quipu_error *error)
{
    uint8_t again[QP_PAGE_METAS][QP_PAGE_META_BYTES];
    struct stat info;
    bool same = false;

    *wrong = NULL;
    for (int i = 0; i < META_TRIES && (!same || *wrong != NULL); i++) {
        int rc;

        if (i > 0)
            qp_clock_sleep_ms(1);
        rc = read_metas(survey, pages, error);
        if (rc == QUIPU_OK)
            rc = read_metas(survey, again, error);
        if (rc == QUIPU_OK && fstat(survey->fd, &info) != 0)
            rc = qp_fail_os(error, QUIPU_IO, errno, "stat %s", survey->file);
        if (rc != QUIPU_OK)
            return rc;
        same = memcmp(pages, again, sizeof(again)) == 0;
        *wrong = qp_page_metas_wrong((const uint8_t(*)[QP_PAGE_META_BYTES])pages,
                                     (uint64_t)info.st_size, newest);
    }
    return same ? QUIPU_OK : MOVED;
}

/* May pages of the snapshot have been written by now? */
static int look(struct survey *survey)
{
    uint8_t pages[QP_PAGE_METAS][QP_PAGE_META_BYTES];
    int rc;

    survey->reads = 0;
    if (survey->pinned)
        return QUIPU_OK;
    rc = read_metas(survey, pages, survey->error);
    for (size_t i = 0; i < QP_PAGE_METAS && rc == QUIPU_OK; i++) {
        struct qp_page_meta meta;

        if (!qp_page_meta_read(pages[i], &meta) || meta.transaction > survey->meta.transaction + 1)
            rc = MOVED;
    }
    return rc;
}

static int read_page(void *payload, uint64_t offset, void *bytes, size_t size, quipu_error *error)
{
    struct survey *survey = payload;
    int rc = QUIPU_OK;

    if (++survey->reads >= LOOK_READS)
        rc = look(survey);
    return rc == QUIPU_OK ? read_all(survey, offset, bytes, size, error) : rc;
}

static int tell(struct survey *survey, const char *table, const char *text)
{
    survey->told = true;
    survey->stopped = survey->found(survey->payload, table, text);
    return survey->stopped == QUIPU_OK ? QUIPU_OK : STOPPED;
}

/* What looks wrong may be right and new: a look first. */
static int found_page(void *payload, const char *table, const char *text)
{
    struct survey *survey = payload;
    int rc = look(survey);

    return rc == QUIPU_OK ? tell(survey, table, text) : rc;
}

/* ---- walking ---- */

/* The tables that must be in a file. */
static size_t tables_of(const char *file, struct qp_walk_table tables[TABLES_MAX])
{
    bool log = strcmp(file, QP_LOG_FILE) == 0;
    const struct qp_table_spec *specs = log ? qp_log_tables : qp_index_tables;
    size_t count = log ? qp_log_table_count : qp_index_table_count;

    assert(count <= TABLES_MAX);
    for (size_t i = 0; i < count; i++)
        tables[i] = (struct qp_walk_table){qp_table_name(specs[i].table), specs[i].integer_key};
    return count;
}

/* One attempt. Returns: OK: all of it was walked; MOVED; else what ended it. */
static int walk_once(struct survey *survey)
{
    uint8_t pages[QP_PAGE_METAS][QP_PAGE_META_BYTES];
    struct qp_walk_table tables[TABLES_MAX];
    struct qp_walk_file file = {read_page, survey};
    struct qp_walked walked = {0};
    const char *wrong;
    int rc = read_steady_metas(survey, pages, &survey->meta, &wrong, survey->error);

    if (rc != QUIPU_OK)
        return rc;
    if (wrong != NULL)
        return tell(survey, "", wrong);
    rc = qp_walk_pages(&file, &survey->meta, tables, tables_of(survey->file, tables), found_page,
                       survey, &walked, survey->error);
    survey->foreign = walked.foreign;
    return rc == QUIPU_OK ? look(survey) : rc;
}

/* What was told is certain, whatever happens after it. */
static int end(const struct survey *survey, int rc, enum qp_survey_state *state)
{
    *state = QP_SURVEY_WHOLE;
    if (survey->told)
        *state = QP_SURVEY_DAMAGED;
    else if (rc == MOVED)
        *state = QP_SURVEY_RESTLESS;
    else if (survey->foreign)
        *state = QP_SURVEY_OTHER;
    if (rc == STOPPED)
        return survey->stopped;
    return rc == MOVED ? QUIPU_OK : rc;
}

/* A descriptor of our own: LMDB's locks are on its lock file, so that closing this one ends none.
 * -1: no file that can be walked. */
static int open_file(const struct qp_place *place, struct survey *survey, quipu_error *error)
{
    enum qp_file_state state = QP_FILE_MISSING;
    int rc = qp_place_probe(place, survey->file, &state, error);

    survey->fd = -1;
    if (rc < 0 || state != QP_FILE_WHOLE)
        return rc;
    survey->fd = openat(place->fd, survey->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return survey->fd >= 0 ? QUIPU_OK
                           : qp_fail_os(error, QUIPU_SYSTEM, errno, "open %s", survey->file);
}

static void close_file(struct survey *survey)
{
    if (survey->fd >= 0)
        (void)close(survey->fd);
}

int qp_survey_file(const struct qp_place *place, const char *file, qp_walk_found_fn found,
                   void *payload, enum qp_survey_state *state, quipu_error *error)
{
    struct survey survey = {.file = file, .found = found, .payload = payload, .error = error};
    int rc = open_file(place, &survey, error);

    *state = QP_SURVEY_OTHER;
    if (rc < 0 || survey.fd < 0)
        return rc;
    for (int i = 0; i == 0 || (i < ATTEMPTS && rc == MOVED && !survey.told); i++)
        rc = walk_once(&survey);
    close_file(&survey);
    return end(&survey, rc, state);
}

int qp_survey_store(const struct qp_place *place, const char *file, struct qp_store *store,
                    qp_walk_found_fn found, void *payload, enum qp_survey_state *state,
                    quipu_error *error)
{
    struct survey survey = {
        .file = file, .pinned = true, .found = found, .payload = payload, .error = error};
    struct qp_txn txn = {0};
    int rc = open_file(place, &survey, error);

    *state = QP_SURVEY_OTHER;
    if (rc < 0 || survey.fd < 0)
        return rc;
    rc = qp_txn_begin_read(store, &txn, error);
    if (rc == QUIPU_OK)
        rc = walk_once(&survey);
    qp_txn_end(&txn);
    close_file(&survey);
    return end(&survey, rc, state);
}

/* ---- a handle that is being opened ---- */

/* The first thing that was found. */
struct first {
    bool any;
    char text[200];
};

static int keep_first(void *payload, const char *table, const char *text)
{
    struct first *first = payload;

    if (!first->any)
        (void)snprintf(first->text, sizeof(first->text), "%s%s%s", table,
                       table[0] != '\0' ? ": " : "", text);
    first->any = true;
    return QUIPU_OK;
}

/* A store without tables: LMDB then looks at its meta pages and at nothing else. Its map has room
 * for what others add until a snapshot is held; after that it does not matter. */
static int survey_beside(struct qp_handle *handle, const char *file, struct first *first,
                         enum qp_survey_state *state, quipu_error *error)
{
    char path[QP_PLACE_PATH_BYTES];
    struct qp_store_config config = {
        .path = path, .readers_max = handle->options.readers_max, .read_only = true};
    struct qp_store *store = NULL;
    struct stat info;
    int rc = qp_survey_file(&handle->place, file, keep_first, first, state, error);

    /* Most are seen through without a map. What is to be mapped has good meta pages. */
    if (rc != QUIPU_OK || *state != QP_SURVEY_RESTLESS)
        return rc;
    if (fstatat(handle->place.fd, file, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return qp_fail_os(error, QUIPU_SYSTEM, errno, "stat %s", file);
    config.map_bytes = (uint64_t)info.st_size + MAP_ROOM_BYTES;
    qp_place_path(&handle->place, file, path);
    rc = qp_store_open(&config, &store, error);
    if (rc == QUIPU_OK)
        rc = qp_survey_store(&handle->place, file, store, keep_first, first, state, error);
    qp_store_close(store);
    return rc;
}

static int survey_one(struct qp_handle *handle, const char *file, bool alone, struct first *first,
                      enum qp_survey_state *state, quipu_error *error)
{
    int rc = alone ? qp_survey_file(&handle->place, file, keep_first, first, state, error)
                   : survey_beside(handle, file, first, state, error);

    if (rc == QUIPU_OK && *state == QP_SURVEY_RESTLESS)
        rc =
            qp_fail(error, QUIPU_BUSY, "%s is written all the time: it could not be checked", file);
    return rc;
}

/* The log first: if it is damaged nobody needs to know more. */
static int survey_both(struct qp_handle *handle, bool alone, quipu_error *error)
{
    enum qp_survey_state state;
    struct first of_log = {0};
    struct first of_index = {0};
    int rc = survey_one(handle, QP_LOG_FILE, alone, &of_log, &state, error);

    if (rc == QUIPU_OK && state == QP_SURVEY_DAMAGED)
        rc = qp_fail(error, QUIPU_CORRUPT, "%s is damaged: %s", QP_LOG_FILE, of_log.text);
    if (rc == QUIPU_OK)
        rc = survey_one(handle, QP_INDEX_FILE, alone, &of_index, &state, error);
    if (rc == QUIPU_OK && state == QP_SURVEY_DAMAGED) {
        handle->index_damaged = true;
        qp_handle_tell(handle, 1, "%s is damaged: %s", QP_INDEX_FILE, of_index.text);
    }
    return rc;
}

/* Others need not wait for a walk of both files: byte 1, which this handle has, keeps them from
 * thinking that they are alone. */
int qp_survey_handle(struct qp_handle *handle, bool alone, quipu_error *error)
{
    int64_t deadline;
    int locked;
    int rc;

    if ((handle->options.flags & QUIPU_OPEN_FULL_CHECK) == 0)
        return QUIPU_OK;
    if (alone)
        return survey_both(handle, true, error);
    qp_guard_unlock(&handle->guard, QP_GUARD_DOOR);
    rc = survey_both(handle, false, error);
    deadline = qp_clock_deadline_ns(handle->options.busy_timeout_ms);
    locked = qp_guard_lock(&handle->guard, QP_GUARD_DOOR, QP_GUARD_EXCLUSIVE, deadline,
                           rc == QUIPU_OK ? error : NULL);
    return rc == QUIPU_OK ? locked : rc;
}
