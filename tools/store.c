/* store.c - options of an open, and what is said when it fails.
 *
 * A verb that only reads opens with READ_ONLY and EXISTING: it must not make a store of a mistyped
 * name, and a store that cannot be written can still be looked at. */
#include "store.h"

#include "draft.h"

/* The library's warnings go to whoever called; what is only information would be noise here. A line
 * that shows progress gives way. */
static void tell(void *payload, int level, const char *text)
{
    struct qt_run *run = payload;

    if (level <= 0)
        return;
    qt_progress_end(&run->progress);
    qt_note("quipu: note: %.500s", text);
}

static uint32_t open_flags(enum qt_store_mode mode)
{
    switch (mode) {
    case QT_STORE_READ:
        return QUIPU_OPEN_READ_ONLY | QUIPU_OPEN_EXISTING;
    case QT_STORE_CHANGE:
        return QUIPU_OPEN_EXISTING;
    case QT_STORE_NEW:
        return QUIPU_OPEN_NEW;
    default:
        return 0;
    }
}

/* 0 is the library's word for its default; from a person it means: do not wait. */
static uint32_t busy_timeout(const struct qt_run *run)
{
    uint64_t wait_ms = qt_args_number(&run->args, "busy-timeout", 10000);

    return wait_ms == 0 ? 1 : (uint32_t)wait_ms;
}

int qt_store_failed(struct qt_run *run, int status, const quipu_error *error)
{
    return qt_problem_library(&run->problem, status, error, run->args.operands[0]);
}

int qt_store_open(struct qt_run *run, enum qt_store_mode mode, quipu **store)
{
    const char *path = run->args.operands[0];
    quipu_error error = {0};
    quipu_options options = {
        QUIPU_INIT(quipu_options),
        .flags = open_flags(mode),
        .busy_timeout_ms = busy_timeout(run),
        /* Whatever a program could store, dump and import must carry. */
        .data_bytes_max = QT_DATA_BYTES_MAX,
        .batch_bytes_max = 2 * QT_DATA_BYTES_MAX, /* one such event and its names are a batch */
        .log = tell,
        .log_payload = run,
    };
    int rc;

    if (mode == QT_STORE_WRITE_ATOMIC) {
        options.batch_events_max = 1048576;
        options.batch_bytes_max = (uint64_t)1024 * 1024 * 1024;
    }
    rc = quipu_open(path, &options, store, &error);
    if (rc == QUIPU_NOT_FOUND && (mode == QT_STORE_READ || mode == QT_STORE_CHANGE))
        return qt_problem_say(&run->problem, rc, "no store here: %.300s", path);
    if (rc == QUIPU_NOT_FOUND) {
        return qt_problem_say(&run->problem, rc,
                              "cannot make a store here, the directory above is missing: %.300s",
                              path);
    }
    if (rc == QUIPU_TARGET_EXISTS)
        return qt_problem_say(&run->problem, rc, "there is a store already: %.300s", path);
    return rc < 0 ? qt_store_failed(run, rc, &error) : 0;
}
