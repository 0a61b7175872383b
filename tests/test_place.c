/* test_place.c - place.c: which directories are a store's, what of its files is looked at before
 * they are mapped, and how a new one comes to be. */
#include "key.h"
#include "place.h"
#include "support_events.h"
#include "support_suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

SUPPORT_SUITE(place);

static char *in_dir(char out[SUPPORT_PATH_BYTES], const char *directory, const char *name)
{
    char both[SUPPORT_PATH_BYTES / 2];

    (void)snprintf(both, sizeof(both), "%s/%s", directory, name);
    return support_path(out, both);
}

static void make_dir(const char *name, mode_t mode)
{
    char path[SUPPORT_PATH_BYTES];

    cr_assert_eq(mkdir(support_path(path, name), 0700), 0);
    cr_assert_eq(chmod(path, mode), 0);
}

static void make_file(const char *directory, const char *name)
{
    char path[SUPPORT_PATH_BYTES];

    cr_assert(support_write_file(in_dir(path, directory, name), "x", 1));
}

static int open_place(const char *name, uint32_t flags, enum qp_place_state *state)
{
    char path[SUPPORT_PATH_BYTES];
    struct qp_place place = {.fd = -1};
    quipu_error error = {0};
    int rc = qp_place_open(support_path(path, name), flags, &place, state, &error);

    cr_expect_eq(error.status, rc, "%s", error.text);
    cr_expect_eq(place.fd >= 0, rc == QUIPU_OK && *state == QP_PLACE_STORE,
                 "open only if it is a store");
    qp_place_close(&place);
    qp_place_close(&place);
    return rc;
}

/* ---- the directory ---- */

Test(place, what_it_is)
{
    enum qp_place_state state;

    cr_expect_eq(open_place("none", 0, &state), QUIPU_OK);
    cr_expect_eq(state, QP_PLACE_MISSING);
    make_dir("empty", 0700);
    cr_expect_eq(open_place("empty", 0, &state), QUIPU_OK);
    cr_expect_eq(state, QP_PLACE_EMPTY);
    make_dir("store", 0700);
    make_file("store", "log.mdb");
    cr_expect_eq(open_place("store", 0, &state), QUIPU_OK);
    cr_expect_eq(state, QP_PLACE_STORE);
    cr_expect_eq(open_place("store///", 0, &state), QUIPU_OK);
    cr_expect_eq(state, QP_PLACE_STORE);
    make_file("store", "notes.txt");
    cr_expect_eq(open_place("store", 0, &state), QUIPU_OK, "other files beside a log are let be");
    make_dir("other", 0700);
    make_file("other", "notes.txt");
    cr_expect_eq(open_place("other", 0, &state), QUIPU_UNSAFE);
    make_dir("hidden", 0700);
    make_file("hidden", ".notes");
    cr_expect_eq(open_place("hidden", 0, &state), QUIPU_UNSAFE);
    make_dir("indexed", 0700);
    make_file("indexed", "index.mdb");
    cr_expect_eq(open_place("indexed", 0, &state), QUIPU_UNSAFE, "an index without its log");
}

Test(place, links_and_no_directories)
{
    char path[SUPPORT_PATH_BYTES];
    enum qp_place_state state;

    make_dir("store", 0700);
    make_file("store", "log.mdb");
    cr_assert_eq(symlink("store", support_path(path, "link")), 0);
    cr_expect_eq(open_place("link", 0, &state), QUIPU_UNSAFE);
    cr_expect_eq(open_place("link/", 0, &state), QUIPU_UNSAFE, "the slash must not hide it");
    cr_expect_eq(open_place("link", QUIPU_OPEN_UNSAFE_PATH, &state), QUIPU_OK, "if told to");
    cr_assert_eq(symlink("nowhere", support_path(path, "dangling")), 0);
    cr_expect_eq(open_place("dangling", 0, &state), QUIPU_UNSAFE);
    make_file(".", "file");
    cr_expect_eq(open_place("file", 0, &state), QUIPU_UNSAFE);
    cr_expect_eq(open_place("file/below", 0, &state), QUIPU_UNSAFE);
    cr_assert_eq(symlink(".", support_path(path, "here")), 0);
    cr_expect_eq(open_place("here/store", 0, &state), QUIPU_OK, "links on the way are followed");
}

Test(place, modes)
{
    static const struct {
        mode_t mode;
        uint32_t flags;
        int status;
    } cases[] = {
        {0700, 0, QUIPU_OK},
        {0750, 0, QUIPU_OK},
        {0755, 0, QUIPU_OK},
        {0770, 0, QUIPU_UNSAFE},
        {0702, 0, QUIPU_UNSAFE},
        {0777, 0, QUIPU_UNSAFE},
        {01777, 0, QUIPU_UNSAFE},
        {0770, QUIPU_OPEN_UNSAFE_PATH, QUIPU_OK},
        {0777, QUIPU_OPEN_UNSAFE_PATH, QUIPU_OK},
        {0777, QUIPU_OPEN_NETWORK_FS, QUIPU_UNSAFE},
    };
    char path[SUPPORT_PATH_BYTES];
    enum qp_place_state state;

    make_dir("store", 0700);
    make_file("store", "log.mdb");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(chmod(support_path(path, "store"), cases[i].mode), 0);
        cr_expect_eq(open_place("store", cases[i].flags, &state), cases[i].status, "case %zu", i);
    }
}

Test(place, owner)
{
    char path[SUPPORT_PATH_BYTES];
    enum qp_place_state state;

    if (geteuid() != 0)
        cr_skip_test("only root can give a directory away");
    make_dir("store", 0700);
    make_file("store", "log.mdb");
    cr_assert_eq(chown(support_path(path, "store"), 65534, 65534), 0);
    cr_expect_eq(open_place("store", 0, &state), QUIPU_UNSAFE);
    cr_expect_eq(open_place("store", QUIPU_OPEN_UNSAFE_PATH, &state), QUIPU_OK);
}

Test(place, paths_that_are_none)
{
    struct qp_place place = {.fd = -1};
    enum qp_place_state state;
    char *name = support_repeat('n', 300);
    char *path = support_repeat('/', 5000);

    cr_expect_eq(qp_place_open("", 0, &place, &state, NULL), QUIPU_INVALID);
    path[1] = 'x';
    path[4999] = 'x';
    cr_expect_eq(qp_place_open(path, 0, &place, &state, NULL), QUIPU_INVALID);
    cr_expect_lt(qp_place_open(name, 0, &place, &state, NULL), 0, "longer than a name may be");
    cr_expect_eq(place.fd, -1);
    free(name);
    free(path);
}

Test(place, paths_of_files_follow_a_renamed_directory)
{
    char path[SUPPORT_PATH_BYTES];
    char moved[SUPPORT_PATH_BYTES];
    char file[QP_PLACE_PATH_BYTES];
    struct qp_place place;
    enum qp_place_state state;
    uint64_t inode = 0;

    make_dir("store", 0700);
    make_file("store", "log.mdb");
    cr_assert_eq(qp_place_open(support_path(path, "store"), 0, &place, &state, NULL), QUIPU_OK);
    cr_assert_eq(rename(path, support_path(moved, "moved")), 0);
    qp_place_path(&place, QP_LOG_FILE, file);
    cr_expect_eq(access(file, F_OK), 0);
    cr_assert_eq(qp_place_inode(&place, QP_LOG_FILE, &inode, NULL), QUIPU_OK);
    cr_expect(qp_place_same(&place, QP_LOG_FILE, inode));
    cr_expect_not(qp_place_same(&place, QP_LOG_FILE, inode + 1));
    cr_expect_not(qp_place_same(&place, QP_INDEX_FILE, inode));
    cr_expect_lt(qp_place_inode(&place, QP_INDEX_FILE, &inode, NULL), 0);
    cr_expect_eq(qp_place_remove(&place, QP_LOG_FILE, NULL), QUIPU_OK);
    cr_expect_eq(qp_place_remove(&place, QP_LOG_FILE, NULL), QUIPU_OK, "gone already");
    cr_expect_not(qp_place_same(&place, QP_LOG_FILE, inode));
    qp_place_close(&place);
}

/* ---- its files ---- */

struct look {
    struct qp_place place;
    char path[SUPPORT_PATH_BYTES]; /* of its log.mdb */
};

static void begin_look(struct look *look)
{
    (void)support_path(look->path, "log.mdb");
    look->place = (struct qp_place){.fd = open(support_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    cr_assert_geq(look->place.fd, 0);
}

static int probe(const struct look *look, enum qp_file_state *state)
{
    return qp_place_probe(&look->place, QP_LOG_FILE, state, NULL);
}

Test(place, file_states)
{
    static uint8_t bytes[1 << 20];
    struct look look;
    enum qp_file_state state;
    size_t size = sizeof(bytes);
    uint64_t last;

    begin_look(&look);
    cr_expect(probe(&look, &state) == QUIPU_OK && state == QP_FILE_MISSING);
    cr_assert(support_write_file(look.path, "", 0));
    cr_expect(probe(&look, &state) == QUIPU_OK && state == QP_FILE_EMPTY);
    cr_assert(support_write_file(look.path, "not LMDB's", 10));
    cr_expect(probe(&look, &state) == QUIPU_OK && state == QP_FILE_FOREIGN);
    support_remove(look.path);
    qp_store_close(support_open_log("log.mdb", 4 * QP_MIB));
    cr_expect(probe(&look, &state) == QUIPU_OK && state == QP_FILE_WHOLE);

    cr_assert(support_read_file(look.path, bytes, &size));
    last = qp_get_u64(bytes + 136);
    if (qp_get_u64(bytes + 4096 + 144) > qp_get_u64(bytes + 144))
        last = qp_get_u64(bytes + 4096 + 136);
    cr_assert_leq((last + 1) * 4096, size);
    for (uint64_t cut = 0; cut <= size; cut += cut < 8200 ? 41 : 4095) {
        cr_assert(support_write_file(look.path, bytes, cut));
        cr_expect_eq(probe(&look, &state), QUIPU_OK);
        cr_expect_eq(state == QP_FILE_WHOLE, cut >= (last + 1) * 4096, "cut at %llu",
                     (unsigned long long)cut);
    }
    bytes[4096 + 16] ^= 1; /* the second meta page */
    cr_assert(support_write_file(look.path, bytes, size));
    cr_expect(probe(&look, &state) == QUIPU_OK && state == QP_FILE_SHORT);
    (void)close(look.place.fd);
}

Test(place, files_that_are_refused)
{
    char other[SUPPORT_PATH_BYTES];
    struct look look;
    enum qp_file_state state;

    begin_look(&look);
    cr_assert(support_write_file(support_path(other, "other"), "x", 1));
    cr_assert_eq(symlink("other", look.path), 0);
    cr_expect_eq(probe(&look, &state), QUIPU_UNSAFE, "a symbolic link");
    support_remove(look.path);
    cr_assert_eq(link(other, look.path), 0);
    cr_expect_eq(probe(&look, &state), QUIPU_UNSAFE, "a hard link");
    cr_assert_eq(unlink(other), 0);
    cr_expect_eq(probe(&look, &state), QUIPU_OK, "the other name is gone");
    support_remove(look.path);
    cr_assert_eq(mkfifo(look.path, 0600), 0);
    cr_expect_eq(probe(&look, &state), QUIPU_UNSAFE, "a pipe: and it does not wait for a writer");
    support_remove(look.path);
    cr_assert_eq(mkdir(look.path, 0700), 0);
    cr_expect_eq(probe(&look, &state), QUIPU_UNSAFE, "a directory");
    (void)close(look.place.fd);
}

/* ---- making one ---- */

static unsigned names_in(const char *directory, const char *part)
{
    DIR *all = opendir(directory);
    unsigned count = 0;

    cr_assert_not_null(all);
    for (struct dirent *entry = readdir(all); entry != NULL; entry = readdir(all))
        count += strstr(entry->d_name, part) != NULL ? 1 : 0;
    (void)closedir(all);
    return count;
}

/* Begin, put a log into it, and publish. */
static int stage(const char *path, struct qp_staging *staging)
{
    int rc = qp_staging_begin(path, staging, NULL);
    int fd;

    if (rc < 0)
        return rc;
    fd = openat(staging->place.fd, QP_LOG_FILE, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && close(fd) == 0);
    return QUIPU_OK;
}

Test(place, staging_publishes)
{
    char path[SUPPORT_PATH_BYTES];
    struct qp_staging staging;
    struct stat info;
    enum qp_place_state state;

    for (int i = 0; i < 3; i++) {
        (void)support_path(path, i == 2 ? "new/" : "new");
        if (i == 1)
            make_dir("new", 0755); /* an empty one is replaced */
        cr_assert_eq(stage(path, &staging), QUIPU_OK);
        cr_expect_eq(names_in(support_dir(), ".new.new-"), 1);
        cr_expect_eq(qp_staging_publish(&staging, NULL), QUIPU_OK);
        qp_staging_end(&staging);
        qp_staging_end(&staging);
        cr_expect_eq(names_in(support_dir(), ".new.new-"), 0);
        cr_expect_eq(open_place("new", 0, &state), QUIPU_OK);
        cr_expect_eq(state, QP_PLACE_STORE);
        cr_assert_eq(stat(support_path(path, "new"), &info), 0);
        cr_expect_eq(info.st_mode & 07777, 0700);
        support_remove(path);
    }
}

Test(place, staging_given_up_leaves_nothing)
{
    char path[SUPPORT_PATH_BYTES];
    struct qp_staging staging;

    cr_assert_eq(stage(support_path(path, "new"), &staging), QUIPU_OK);
    qp_staging_end(&staging);
    cr_expect_eq(names_in(support_dir(), "new"), 0);
    staging = (struct qp_staging){.parent = -1, .place = {.fd = -1}};
    qp_staging_end(&staging);
}

Test(place, staging_loses_a_race)
{
    char path[SUPPORT_PATH_BYTES];
    struct qp_staging first;
    struct qp_staging second;
    quipu_error error = {0};

    (void)support_path(path, "new");
    cr_assert_eq(stage(path, &first), QUIPU_OK);
    cr_assert_eq(stage(path, &second), QUIPU_OK);
    cr_expect_str_neq(first.staged, second.staged);
    cr_expect_eq(qp_staging_publish(&first, &error), QUIPU_OK);
    cr_expect_eq(qp_staging_publish(&second, &error), QUIPU_TARGET_EXISTS);
    qp_staging_end(&first);
    qp_staging_end(&second);
    cr_expect_eq(names_in(support_dir(), "new"), 1, "the winner's, and nothing else");
}

Test(place, staging_onto_what_is_no_directory)
{
    char path[SUPPORT_PATH_BYTES];
    struct qp_staging staging;

    for (int i = 0; i < 2; i++) {
        (void)support_path(path, "new");
        cr_assert(i == 0 ? support_write_file(path, "x", 1) : symlink("elsewhere", path) == 0);
        cr_assert_eq(stage(path, &staging), QUIPU_OK);
        cr_expect_lt(qp_staging_publish(&staging, NULL), 0);
        qp_staging_end(&staging);
        cr_expect_eq(names_in(support_dir(), "new"), 1, "it is let be");
        support_remove(path);
    }
}

/* What a creator that died has left is removed; what a living one makes is not. */
static void check_leftovers(const char *name)
{
    char path[SUPPORT_PATH_BYTES];
    char leftover[SUPPORT_PATH_BYTES / 2];
    struct qp_staging staging;
    pid_t child;

    (void)support_path(path, name); /* so that the child has no directory of its own */
    child = fork();
    if (child == 0) {
        (void)stage(path, &staging);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect_eq(names_in(support_dir(), ".new-"), 1);
    (void)snprintf(leftover, sizeof(leftover), ".%s.new-%ld-0", name, (long)getppid());
    make_dir(leftover, 0700);
    (void)snprintf(leftover, sizeof(leftover), ".%s.new-x", name);
    make_dir(leftover, 0700);
    cr_assert_eq(stage(support_path(path, name), &staging), QUIPU_OK);
    cr_expect_eq(names_in(support_dir(), ".new-"), 3, "of a name of %zu bytes", strlen(name));
    qp_staging_end(&staging);
    cr_expect_eq(names_in(support_dir(), ".new-"), 2);
}

Test(place, leftovers_of_the_dead_are_removed)
{
    check_leftovers("store");
}

Test(place, leftovers_of_a_long_name)
{
    char *name = support_repeat('n', 216);

    check_leftovers(name);
    free(name);
}

/* A process id of nobody, for a while at least. */
static long a_dead_pid(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    return child;
}

/* Only what a creator that is gone has made: not what is called nearly so, nor what is no
 * directory, nor one that somebody holds in another pid namespace. */
Test(place, what_is_no_leftover_stays)
{
    static const char *const suffixes[] = {"12",   "12x-0",         "-12-0",       "0-0",
                                           "-1-0", "99999999999-0", "4294967297-0"};
    struct qp_staging staging;
    char path[SUPPORT_PATH_BYTES];
    char name[64];
    long dead = a_dead_pid();
    size_t names = sizeof(suffixes) / sizeof(suffixes[0]);
    int fd;

    for (size_t i = 0; i < names; i++) {
        (void)snprintf(name, sizeof(name), ".store.new-%s", suffixes[i]);
        make_dir(name, 0700);
    }
    (void)snprintf(name, sizeof(name), ".store.new-%ld-7", dead);
    make_file(".", name);
    (void)snprintf(name, sizeof(name), ".store.new-%ld-8", dead);
    make_dir(name, 0700);
    fd = open(support_path(path, name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(flock(fd, LOCK_SH), 0);
    cr_assert_eq(stage(support_path(path, "store"), &staging), QUIPU_OK);
    qp_staging_end(&staging);
    cr_expect_eq(names_in(support_dir(), ".new-"), names + 2);
    (void)close(fd);
    cr_assert_eq(stage(support_path(path, "store"), &staging), QUIPU_OK);
    qp_staging_end(&staging);
    cr_expect_eq(names_in(support_dir(), ".new-"), names + 1, "nobody holds it any more");
}

Test(place, names_that_cannot_be_made)
{
    struct qp_staging staging;
    char path[SUPPORT_PATH_BYTES];
    char *name = support_repeat('n', 217);
    static const struct {
        const char *path;
        int status;
    } cases[] = {{"", QUIPU_INVALID},  {".", QUIPU_INVALID},    {"..", QUIPU_INVALID},
                 {"/", QUIPU_INVALID}, {"a/..", QUIPU_INVALID}, {"none/at/all", QUIPU_NOT_FOUND}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(qp_staging_begin(cases[i].path, &staging, NULL), cases[i].status, "%s",
                     cases[i].path);
        qp_staging_end(&staging);
    }
    cr_expect_eq(qp_staging_begin(support_path(path, name), &staging, NULL), QUIPU_TOO_LARGE);
    qp_staging_end(&staging);
    name[216] = '\0';
    cr_expect_eq(stage(support_path(path, name), &staging), QUIPU_OK);
    cr_expect_eq(qp_staging_publish(&staging, NULL), QUIPU_OK);
    qp_staging_end(&staging);
    free(name);
}

/* Somebody else's sibling is never opened, nor removed. */
Test(place, no_free_sibling)
{
    char path[SUPPORT_PATH_BYTES];
    char name[64];
    struct qp_staging staging;

    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), ".new.new-%ld-%d", (long)getpid(), i);
        make_dir(name, 0700);
    }
    cr_expect_lt(qp_staging_begin(support_path(path, "new"), &staging, NULL), 0);
    qp_staging_end(&staging);
    cr_expect_eq(names_in(support_dir(), ".new-"), 1000);
}
