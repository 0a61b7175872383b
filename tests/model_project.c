/* model_project.c - projections: see model.c. What they must show follows from the events that the
 * store has (support_folds.h), which are held against the array elsewhere; here it is remembered
 * what was ordered, and so what may be missing. */
#include "model.h"

#include "support_folds.h"

#include <inttypes.h>
#include <string.h>

enum { FORGOTTEN_MAX = 2000, INLINE_MOST = 1000 };

/* Events of a stream that were parked, and are in no view because somebody said so. */
struct forgotten {
    unsigned stream;
    uint64_t from;
    uint64_t to;
};

static struct {
    uint32_t version;
    uint32_t generation;
    struct forgotten forgotten[FORGOTTEN_MAX];
    size_t count;
} known[FOLDS_COUNT];

static uint64_t registered_at; /* model.reopens + 1; 0: not yet */

void model_project_begin(void)
{
    memset(known, 0, sizeof(known));
    for (size_t i = 0; i < FOLDS_COUNT; i++)
        known[i].version = 1;
    registered_at = 0;
}

static enum folds_which pick(void)
{
    return model_chance(60) ? FOLDS_LISTS : FOLDS_INLINE;
}

/* Another generation has forgotten nothing. */
static void look(enum folds_which which, struct folds_row *row)
{
    folds_row(model.store, which, row);
    if (row->generation != known[which].generation)
        known[which].count = 0;
    known[which].generation = row->generation;
}

/* ---- looks ----------------------------------------------------------------------------------- */

static bool may_forget(void *payload, uint32_t version, const char *stream, uint64_t position)
{
    const enum folds_which *which = payload;

    (void)version;
    for (size_t i = 0; i < known[*which].count; i++) {
        const struct forgotten *one = &known[*which].forgotten[i];

        if (strcmp(model_streams[one->stream], stream) == 0 && position >= one->from &&
            position <= one->to)
            return true;
    }
    return false;
}

static uint64_t count_forgotten(enum folds_which which)
{
    uint64_t count = 0;

    for (size_t i = 0; i < known[which].count; i++) {
        const struct forgotten *one = &known[which].forgotten[i];

        for (uint64_t position = one->from; position <= one->to; position++)
            count += model.events[position - 1].stream == one->stream;
    }
    return count;
}

static void check(void)
{
    struct folds_log log;

    folds_log_read(model.store, &log);
    CHECK(log.count == model.head, "%zu events", log.count);
    for (enum folds_which which = FOLDS_LISTS; which < FOLDS_COUNT; which++) {
        struct folds_checked checked;
        struct folds_row row;

        look(which, &row);
        folds_check(model.store, &log, which, may_forget, &which, &checked);
        CHECK(row.deleted || checked.forgotten == count_forgotten(which),
              "%s: %" PRIu64 " are forgotten, not %" PRIu64, folds_name(which), checked.forgotten,
              count_forgotten(which));
        model.views++;
    }
    folds_log_free(&log);
}

/* ---- project --------------------------------------------------------------------------------- */

/* Some runs end after some pages, as those of a program that is stopped. */
static int stop(void *payload, const quipu_progress *progress)
{
    unsigned *pages = payload;

    CHECK(progress->mark <= progress->head && progress->head == model.head, "progress");
    return (*pages)-- == 0;
}

static void project(enum folds_which which)
{
    static const uint32_t sizes[] = {0, 1, 7, 100, 1000};
    bool stops = model_chance(25);
    unsigned pages = (unsigned)model_below(6);
    struct folds_function function = {.which = which, .mended = model_chance(60)};
    quipu_projection projection;
    struct folds_row before;
    struct folds_row row;
    quipu_error error = {0};
    int rc;

    known[which].version += which == FOLDS_LISTS && model_chance(8);
    function.version = known[which].version;
    folds_make(&function, sizes[model_below(stops ? 5 : 3) + (stops ? 0 : 2)], &projection);
    look(which, &before);
    rc = quipu_project(model.store, &projection, stops ? stop : NULL, &pages, NULL, &error);
    CHECK(rc == (model.read_only ? QUIPU_READ_ONLY : QUIPU_OK), "project: %d %s", rc, error.text);
    look(which, &row);
    CHECK(!before.exists || before.deleted || row.generation == before.generation || row.mark > 0 ||
              model.head == 0,
          "an empty view took the place of another");
    if (stops || model.read_only)
        return;
    if (before.halted) {
        CHECK(row.halted && row.mark == before.mark, "it moved, and was paused");
        return;
    }
    CHECK(row.mark == model.head && row.building_version == 0 && !row.unclean && !row.replays &&
              row.version == function.version,
          "mark %" PRIu64 " of %" PRIu64, row.mark, model.head);
    if (before.generation != row.generation && before.building_version == 0 && function.mended)
        CHECK(row.parked == 0, "%" PRIu64 " are parked of a mended function", row.parked);
}

/* Its commits leave it nowhere but at the head, if nobody has ordered otherwise. */
static void commit_inline(void)
{
    static const struct folds_function function = {.which = FOLDS_INLINE, .version = 1};
    uint64_t head = model.head;
    uint64_t beside = model.beside;
    quipu_projection projection;
    struct folds_row row;
    bool follows;
    int rc;

    folds_make(&function, 0, &projection);
    rc = quipu_register(model.store, &projection, NULL);
    if (model.read_only) {
        CHECK(rc == QUIPU_READ_ONLY, "register: %d", rc);
        return;
    }
    CHECK(rc == (registered_at == model.reopens + 1 ? QUIPU_CONFLICT : QUIPU_OK), "register: %d",
          rc);
    registered_at = model.reopens + 1;
    look(FOLDS_INLINE, &row);
    follows = row.exists && !row.deleted && !row.halted && !row.replays && !row.rebuilds &&
              row.building_version == 0 && row.mark + INLINE_MOST >= model.head;
    model_append();
    look(FOLDS_INLINE, &row);
    if (follows && model.head > head && model.beside == beside)
        CHECK(row.mark == model.head, "the inline one is at %" PRIu64 " of %" PRIu64, row.mark,
              model.head);
}

/* ---- orders ---------------------------------------------------------------------------------- */

static void forget(enum folds_which which, unsigned stream, uint64_t from, uint64_t to)
{
    if (from == 0)
        return;
    CHECK(known[which].count < FORGOTTEN_MAX, "too many");
    known[which].forgotten[known[which].count++] = (struct forgotten){stream, from, to};
}

static int foretell(int order, const struct folds_row *row, bool by_key, uint64_t first,
                    bool failed)
{
    bool parked = by_key ? first != 0 : row->parked > 0;
    const int ok = model.read_only ? QUIPU_READ_ONLY : QUIPU_OK;

    if (!row->exists || (row->deleted && order != QUIPU_DELETE))
        return QUIPU_NOT_FOUND;
    switch (order) {
    case QUIPU_DRAIN:
        if (by_key && first != 0 && failed)
            return QUIPU_CONFLICT;
        /* fall through */
    case QUIPU_SKIP:
        if (!by_key)
            return QUIPU_MISUSE;
        /* fall through */
    case QUIPU_DROP:
    case QUIPU_REPLAY:
        return parked ? ok : QUIPU_NOT_FOUND;
    default:
        return ok;
    }
}

static void order(enum folds_which which)
{
    static const int orders[] = {QUIPU_PAUSE, QUIPU_RESUME, QUIPU_RESUME, QUIPU_REWIND,
                                 QUIPU_DROP,  QUIPU_REPLAY, QUIPU_REPLAY, QUIPU_SKIP,
                                 QUIPU_SKIP,  QUIPU_DRAIN,  QUIPU_DELETE};
    int control = orders[model_below(sizeof(orders) / sizeof(orders[0]))];
    bool by_key = model_chance(85);
    unsigned stream = (unsigned)model_below(STREAMS);
    bool failed = false;
    struct folds_row row;
    quipu_error error = {0};
    uint64_t first;
    int rc;

    look(which, &row);
    first = folds_first_parked(model.store, which, model_streams[stream], &failed);
    for (unsigned i = 0; i < STREAMS && first == 0 && model_chance(98); i++) {
        stream = (stream + 1) % STREAMS;
        first = folds_first_parked(model.store, which, model_streams[stream], &failed);
    }
    if (control == QUIPU_DELETE && model_chance(70))
        control = QUIPU_RESUME;
    for (unsigned i = 0; i < STREAMS && control == QUIPU_DROP && !by_key && !model.read_only; i++)
        forget(which, i, folds_first_parked(model.store, which, model_streams[i], &failed),
               row.mark);
    rc = quipu_projection_control(model.store, folds_name(which), control, 0,
                                  by_key ? model_streams[stream] : NULL, &error);
    CHECK(rc == foretell(control, &row, by_key, first, failed), "order %d: %d, not %d: %s", control,
          rc, foretell(control, &row, by_key, first, failed), error.text);
    if (rc == QUIPU_OK && control == QUIPU_SKIP)
        forget(which, stream, first, first);
    if (rc == QUIPU_OK && control == QUIPU_DROP && by_key)
        forget(which, stream, first, row.mark);
    look(which, &row);
    CHECK(rc != QUIPU_OK || control != QUIPU_DELETE || !row.exists, "it was deleted, and is there");
}

void model_project(void)
{
    enum folds_which which = pick();
    uint64_t how = model_below(10);

    if (how < 3)
        project(which);
    else if (how < 6)
        order(which);
    else if (how < 9)
        commit_inline();
    else
        check();
}
