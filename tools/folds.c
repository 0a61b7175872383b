/* folds.c - each stream that a plugin's fold has a snapshot of, checked by quipu_snapshot_check().
 *
 * The list of snapshots has one row for each; a stream and fold are checked with all of theirs at
 * once, so the rows that follow are passed over. */
#include "folds.h"

#include "store.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

struct folds {
    struct qt_run *run;
    quipu *store;
    const quipu_plugin *given;
    uint64_t checked; /* streams, by fold */
    uint64_t differ;
    char stream[256]; /* of the row before; names are at most 255 bytes */
    char fold[256];
};

static void put_difference(struct folds *folds, const quipu_error *error)
{
    struct qt_out *out = &folds->run->out;

    if (!folds->run->json) {
        qt_out_text(out, "DIFFERS ");
        qt_text_put(out, error->text, strlen(error->text));
        qt_out_char(out, '\n');
        return;
    }
    qt_out_text(out, "{\"status\":\"CORRUPT\",\"stream\":");
    qt_out_json(out, folds->stream, strlen(folds->stream));
    qt_out_key(out, "fold");
    qt_out_json(out, folds->fold, strlen(folds->fold));
    qt_out_key(out, "text");
    qt_out_json(out, error->text, strlen(error->text));
    qt_out_text(out, "}\n");
}

/* The fold could once: what has changed is its function. */
static void put_failure(struct folds *folds, const quipu_error *error)
{
    quipu_error said = {0};

    (void)snprintf(said.text, sizeof(said.text), "fold %.60s at %.80s fails: %.80s", folds->fold,
                   folds->stream, error->text);
    put_difference(folds, &said);
}

/* Snapshots of another version of the fold are nothing to compare with. */
static int check_fold(struct folds *folds, const quipu_fold *fold)
{
    quipu_error error = {0};
    int rc = quipu_snapshot_check(folds->store, fold, folds->stream, &error);

    if (rc == QUIPU_NOT_FOUND)
        return 0;
    folds->checked++;
    if (rc != QUIPU_CORRUPT && rc > QUIPU_APPLICATION)
        return rc < 0 ? qt_problem_library(&folds->run->problem, rc, &error, folds->stream) : 0;
    folds->differ++;
    if (rc == QUIPU_CORRUPT)
        put_difference(folds, &error);
    else
        put_failure(folds, &error);
    return 0;
}

/* A plugin may have a fold in several versions. */
static int check_row(struct folds *folds, const quipu_item *item)
{
    int rc = 0;

    if (strcmp(item->name, folds->stream) == 0 && strcmp(item->key, folds->fold) == 0)
        return 0;
    (void)snprintf(folds->stream, sizeof(folds->stream), "%s", item->name);
    (void)snprintf(folds->fold, sizeof(folds->fold), "%s", item->key);
    for (size_t i = 0; i < folds->given->fold_count && rc == 0; i++) {
        const quipu_fold *fold = folds->given->folds[i];

        if (strcmp(fold->name, folds->fold) == 0)
            rc = check_fold(folds, fold);
    }
    return rc;
}

static int check_rows(struct folds *folds)
{
    quipu_list *list = NULL;
    quipu_error error = {0};
    int rc = quipu_list_open(folds->store, QUIPU_LIST_SNAPSHOTS, NULL, &list, &error);

    if (rc < 0)
        return qt_store_failed(folds->run, rc, &error);
    while (rc == 0) {
        quipu_item item = {0};

        rc = quipu_list_next(list, &item, &error);
        if (rc == QUIPU_CORRUPT) { /* it was a finding already */
            rc = 0;
            continue;
        }
        if (rc != QUIPU_ROW) {
            rc = rc < 0 ? qt_store_failed(folds->run, rc, &error) : 0;
            break;
        }
        rc = check_row(folds, &item);
    }
    quipu_list_close(list);
    return rc;
}

static void put_sum(const struct folds *folds)
{
    struct qt_out *out = &folds->run->out;

    if (folds->run->json) {
        qt_out_text(out, "{\"folded\":");
        qt_out_number(out, folds->checked);
        qt_out_key(out, "differ");
        qt_out_number(out, folds->differ);
        qt_out_text(out, "}\n");
        return;
    }
    qt_out_text(out, "folds    ");
    qt_text_grouped(out, folds->checked, 0);
    qt_out_text(out, folds->checked == 1 ? " stream folded again, " : " streams folded again, ");
    if (folds->differ == 0) {
        qt_out_text(out, "all as their snapshots\n");
        return;
    }
    qt_text_grouped(out, folds->differ, 0);
    qt_out_text(out, folds->differ == 1 ? " differs\n" : " differ\n");
}

int qt_folds_check(struct qt_run *run, quipu *store, const struct qt_plugin *plugin)
{
    struct folds folds = {.run = run, .store = store, .given = &plugin->given};
    int rc = check_rows(&folds);

    if (rc < 0)
        return rc;
    put_sum(&folds);
    if (folds.differ == 0)
        return 0;
    return qt_problem_say(&run->problem, QUIPU_CORRUPT,
                          "%.300s: a fold has changed without a new version", plugin->path);
}
