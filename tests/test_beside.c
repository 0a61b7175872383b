/* test_beside.c - opening, verifying and waiting while another process has the store open. */
#include "handles.h"
#include "index.h"
#include "lock.h"
#include "merge.h"
#include "support_suite.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(beside);

static quipu_error why;

static quipu *open_store(uint32_t flags)
{
    const quipu_options options = {
        .struct_size = sizeof(options), .flags = flags, .busy_timeout_ms = 50};
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    why = (quipu_error){0};
    (void)quipu_open(support_path(path, "store"), &options, &store, &why);
    return store;
}

static int append(quipu *store)
{
    const quipu_draft draft = {.type = "t"};

    why = (quipu_error){0};
    return quipu_append(store, "s-1", QUIPU_ANY, &draft, 1, NULL, &why);
}

static void make_store(void)
{
    quipu *store = open_store(0);

    cr_assert_not_null(store, "%s", why.text);
    cr_assert_eq(append(store), QUIPU_OK);
    cr_assert_eq(qp_merge(store->handle, NULL), QUIPU_OK);
    quipu_close(store);
}

/* ---- another process ------------------------------------------------------------------------- */

enum hold { OPEN, READ_ONLY, STORE_LOCK, MERGER, DOOR };

/* It opens the store, takes what it is to hold, and stays so until it is killed. */
static pid_t begin_other(enum hold hold)
{
    int ready[2];
    char byte = 0;
    pid_t child;

    cr_assert_eq(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        quipu *store = open_store(hold == READ_ONLY ? QUIPU_OPEN_READ_ONLY : 0);
        int rc = QUIPU_OK;

        if (store == NULL)
            _exit(1);
        if (hold == STORE_LOCK)
            rc = qp_lock_take(store->handle, INT64_MAX, NULL);
        if (hold == MERGER)
            rc = qp_lock_take_merger(store->handle, INT64_MAX, NULL);
        if (hold == DOOR)
            rc = qp_guard_lock(&store->handle->guard, QP_GUARD_DOOR, QP_GUARD_EXCLUSIVE, INT64_MAX,
                               NULL);
        if (rc != QUIPU_OK || write(ready[1], "x", 1) != 1)
            _exit(2);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1, "the other process has not come up");
    (void)close(ready[0]);
    return child;
}

static void end_other(pid_t child)
{
    int status;

    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
}

/* A store, another process that holds something of it, and ours, open beside it. */
static quipu *open_beside(enum hold hold, pid_t *other)
{
    quipu *store;

    make_store();
    *other = begin_other(hold);
    store = open_store(0);
    cr_assert_not_null(store, "%s", why.text);
    return store;
}

/* ---- what an operator is told ---------------------------------------------------------------- */

static void expect_busy(int rc, pid_t pid)
{
    char process[32];

    (void)snprintf(process, sizeof(process), "process %d", (int)pid);
    cr_expect_eq(rc, QUIPU_BUSY, "%d: %s", rc, why.text);
    cr_expect_not_null(strstr(why.text, process), "%s: not %s", why.text, process);
}

Test(beside, busy_names_who_holds_the_store)
{
    pid_t other;
    quipu *store = open_beside(STORE_LOCK, &other);

    expect_busy(append(store), other);
    end_other(other);
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    quipu_close(store);
}

Test(beside, busy_names_who_merges)
{
    pid_t other;
    quipu *store = open_beside(MERGER, &other);

    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_OK, "it is left to the other");
    expect_busy(qp_lock_take_merger(store->handle, 0, &why), other);
    atomic_store(&store->handle->unmerged, QP_UNMERGED_MAX);
    cr_expect_eq(qp_merge_if_full(store->handle, &why), QUIPU_OK,
                 "it looked again: there is little");
    end_other(other);
    cr_expect_eq(qp_merge(store->handle, &why), QUIPU_OK);
    quipu_close(store);
}

Test(beside, busy_names_who_has_the_door)
{
    pid_t other;
    quipu *store;

    make_store();
    other = begin_other(DOOR);
    store = open_store(0);
    cr_expect_null(store);
    expect_busy(why.status, other);
    end_other(other);
    store = open_store(0);
    cr_expect_not_null(store, "%s", why.text);
    quipu_close(store);
}

/* ---- files that are not what they should be -------------------------------------------------- */

/* A second name of a file is a second store on the same bytes. */
Test(beside, hard_links_are_refused)
{
    static const char *const files[] = {"log.mdb", "index.mdb"};

    make_store();
    for (size_t i = 0; i < 2; i++) {
        char path[SUPPORT_PATH_BYTES];
        char link_path[SUPPORT_PATH_BYTES];
        char name[32];
        pid_t other = begin_other(OPEN);

        (void)snprintf(name, sizeof(name), "store/%s", files[i]);
        cr_assert_eq(link(support_path(path, name), support_path(link_path, "link")), 0);
        cr_expect_null(open_store(0));
        cr_expect_eq(why.status, QUIPU_UNSAFE, "%s", why.text);
        cr_assert_eq(unlink(link_path), 0);
        end_other(other);
    }
}

/* The row that says how far the index goes. */
static void damage_index(void)
{
    char path[SUPPORT_PATH_BYTES];
    struct qp_store_config config = {.path = support_path(path, "store/index.mdb"),
                                     .tables = qp_index_tables,
                                     .table_count = qp_index_table_count,
                                     .map_bytes = QP_MAP_BYTES_MIN,
                                     .readers_max = QP_READERS_DEFAULT};
    struct qp_store *store;
    struct qp_txn txn = {0};
    enum qp_commit_outcome outcome;

    cr_assert_eq(qp_store_open(&config, &store, NULL), QUIPU_OK);
    cr_assert_eq(qp_txn_begin_write(store, &txn, NULL), QUIPU_OK);
    cr_assert_eq(
        qp_put(&txn, QP_TABLE_INDEX_META, QP_META_INDEXED, QP_LITERAL("nonsense, and long"), NULL),
        QUIPU_OK);
    cr_assert_eq(qp_txn_commit(&txn, &outcome, NULL), QUIPU_OK);
    qp_store_close(store);
}

/* An index that nobody can use is told of, whoever has the store open. */
Test(beside, verify_sees_a_refused_index)
{
    char path[SUPPORT_PATH_BYTES];
    pid_t other;

    make_store();
    damage_index();
    cr_expect_eq(quipu_verify(support_path(path, "store"), 0, NULL, NULL, NULL, NULL, &why),
                 QUIPU_CORRUPT, "alone");
    other = begin_other(READ_ONLY);
    cr_expect_eq(quipu_verify(path, 0, NULL, NULL, NULL, NULL, &why), QUIPU_CORRUPT, "beside");
    cr_expect_null(open_store(0));
    expect_busy(why.status, other);
    end_other(other);
}

/* ---- commits of others ----------------------------------------------------------------------- */

/* What others have committed since is folded before the lock is taken, and counts for the merge. */
Test(beside, idle_process_catches_up)
{
    enum { COMMITS = 100 };
    quipu *store;
    pid_t child;
    int status = 0;
    int go[2];
    char byte;

    make_store();
    cr_assert_eq(pipe(go), 0);
    child = fork();
    if (child == 0) {
        int rc = read(go[0], &byte, 1) == 1 ? QUIPU_OK : QUIPU_IO;

        store = open_store(0);
        for (int i = 0; i < COMMITS && rc == QUIPU_OK; i++)
            rc = append(store);
        _exit(rc == QUIPU_OK ? 0 : 1); /* without a close: nothing is merged */
    }
    store = open_store(0);
    cr_assert_not_null(store, "%s", why.text);
    cr_expect_eq(append(store), QUIPU_OK);
    cr_assert_eq(write(go[1], "x", 1), 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_expect_eq(store->handle->tail.top, 2);
    child = begin_other(STORE_LOCK);
    expect_busy(append(store), child);
    cr_expect_eq(store->handle->tail.top, 2 + COMMITS, "it need not be done under the lock");
    cr_expect_eq(atomic_load(&store->handle->unmerged), 1 + COMMITS);
    end_other(child);
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    quipu_close(store);
}

/* ---- forked children ------------------------------------------------------------------------- */

/* A child that never touches the store has a copy of the descriptor of its locks. */
Test(beside, forked_child_keeps_no_lock)
{
    quipu *store;
    pid_t child;

    make_store();
    store = open_store(0);
    cr_assert_not_null(store, "%s", why.text);
    child = fork();
    if (child == 0) {
        for (;;)
            (void)pause();
    }
    quipu_close(store);
    store = open_store(0);
    cr_expect_not_null(store, "%s", why.text);
    cr_expect_eq(append(store), QUIPU_OK, "%s", why.text);
    quipu_close(store);
    end_other(child);
}

/* ---- a stranger ------------------------------------------------------------------------------ */

/* An LMDB that uses the log without Quipu holds byte 0 of its lock file, as LMDB does. */
Test(beside, an_lmdb_of_somebody_else)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    char path[SUPPORT_PATH_BYTES];
    int ready[2];
    char byte = 0;
    quipu *store;
    pid_t child;

    make_store();
    cr_assert_eq(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        int fd = open(support_path(path, "store/log.mdb-lock"), O_RDWR);

        if (fcntl(fd, F_SETLK, &lock) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        (void)pause();
        _exit(0);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_expect_null(open_store(0));
    cr_expect_eq(why.status, QUIPU_UNSAFE, "%s", why.text);
    (void)kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    store = open_store(0);
    cr_assert_not_null(store, "%s", why.text);
    quipu_close(store);
}
