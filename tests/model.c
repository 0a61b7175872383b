/* model.c - random operations on a store, each held against a plain array of events.
 *
 * model [--seed N] [--steps N]    without a seed: a few fixed ones and one that is new each time
 *
 * Merges of the tail into the index happen at random moments (the thresholds of base.h would never
 * be reached here), so that lookups meet tails and indexes of every length. */
#include "model.h"

#include "handles.h"
#include "merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model model;

uint64_t model_below(uint64_t bound)
{
    return sys_below(&model.random, bound);
}

bool model_chance(unsigned percent)
{
    return sys_chance(&model.random, percent);
}

/* ---- merge, close, open ---------------------------------------------------------------------- */

static void do_merge(void)
{
    quipu_error error = {0};
    int rc = qp_merge(model.store->handle, &error);

    CHECK(rc == QUIPU_OK, "merge: %d %s", rc, error.text);
    model.merges++;
}

void model_open(uint32_t flags)
{
    static const uint32_t pending_max[] = {0, 0, 1, 2, 5};
    quipu_error error = {0};
    int rc;

    model.options = (quipu_options){QUIPU_INIT(quipu_options), .flags = flags,
                                    .async_pending_max = pending_max[model_below(5)]};
    rc = quipu_open(model.path, &model.options, &model.store, &error);
    CHECK(rc == QUIPU_OK, "open %x: %d %s", flags, rc, error.text);
    model.read_only = (flags & QUIPU_OPEN_READ_ONLY) != 0;
}

void model_close_kept(bool store_is_closed)
{
    for (size_t i = 0; i < KEPT_MAX; i++) {
        quipu_event event;

        if (model.kept[i].reader == NULL)
            continue;
        if (store_is_closed)
            CHECK(quipu_next(model.kept[i].reader, &event, NULL) == QUIPU_CLOSED, "kept %zu", i);
        quipu_reader_close(model.kept[i].reader);
        model.kept[i].reader = NULL;
    }
}

static void remove_files(bool all_but_log)
{
    static const char *const names[] = {"index.mdb", "index.mdb-lock", "log.mdb-lock", "guard",
                                        "shared"};

    for (size_t i = 0; i < (all_but_log ? 5 : 2); i++) {
        char path[SYS_PATH_BYTES];

        sys_join(path, model.path, names[i]);
        (void)remove(path);
    }
}

static void do_reopen(void)
{
    bool children_first = model_chance(50);

    model.reopens++;
    if (children_first)
        model_close_kept(false);
    quipu_close(model.store);
    if (!children_first)
        model_close_kept(true);
    if (model_chance(20))
        remove_files(model_chance(50));
    model_open(model_chance(25)   ? QUIPU_OPEN_READ_ONLY
               : model_chance(50) ? QUIPU_OPEN_EXISTING
                                  : 0);
}

/* A second open is the same store, counted. */
static void do_open_twice(void)
{
    quipu_options options = model.options;
    quipu *again;

    options.flags = model.read_only ? QUIPU_OPEN_READ_ONLY : 0U;
    CHECK(quipu_open(model.path, &options, &again, NULL) == QUIPU_OK, "open again");
    CHECK(again == model.store, "another store");
    quipu_close(again);
}

/* ---- run ------------------------------------------------------------------------------------- */

static const struct {
    unsigned weight;
    void (*run)(void);
    const char *name;
} operations[] = {
    {300, model_append, "append"},
    {25, model_group, "group"},
    {280, model_read, "read"},
    {180, model_keep, "kept reader"},
    {80, model_load, "load"},
    {40, model_list, "list"},
    {30, model_stat, "stat"},
    {30, model_list_terms, "list of terms"},
    {20, model_list_marks, "list of marks"},
    {3, model_verify, "verify"},
    {10, do_reopen, "reopen"},
    {10, do_open_twice, "open twice"},
    {60, model_project, "project"},
};

static void one_step(uint64_t seed, uint64_t step, uint64_t steps)
{
    unsigned total = 0;
    unsigned at;
    size_t which = 0;

    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        total += operations[i].weight;
    at = (unsigned)model_below(total);
    while (at >= operations[which].weight)
        at -= operations[which++].weight;
    (void)snprintf(sys_note, sizeof(sys_note),
                   "seed %" PRIu64 ", step %" PRIu64 " (%s): model --seed %" PRIu64
                   " --steps %" PRIu64,
                   seed, step, operations[which].name, seed, steps);
    operations[which].run();
    if (model_chance(model.merge_percent))
        do_merge();
}

static void run(uint64_t seed, uint64_t steps)
{
    static const unsigned merge_percents[] = {0, 1, 4, 25};
    double begin = sys_seconds();

    memset(&model, 0, sizeof(model));
    model.random.state = seed;
    model.merge_percent = merge_percents[model_below(4)];
    model.big_percent = (unsigned)model_below(3);
    (void)printf("seed %" PRIu64 " steps %" PRIu64 " merge %u%% big %u%%: ", seed, steps,
                 model.merge_percent, model.big_percent);
    (void)fflush(stdout);
    sys_directory(model.directory, true);
    sys_join(model.path, model.directory, "store");
    model_open(QUIPU_OPEN_NEW);
    model_project_begin();
    for (uint64_t step = 0; step < steps; step++)
        one_step(seed, step, steps);
    model_verify();
    model_close_kept(false);
    quipu_close(model.store);
    model_verify();
    sys_remove(model.directory);
    for (uint64_t i = 0; i < model.head; i++)
        free(model.events[i].bytes);
    free(model.events);
    (void)printf("%" PRIu64 " events, %" PRIu64 " batches by others, %" PRIu64 " groups, %" PRIu64
                 " known, %" PRIu64 " with wrong ids, queries %" PRIu64 "/%" PRIu64
                 ", numbers %" PRIu64 "/%" PRIu64 ", %" PRIu64 " reads, %" PRIu64
                 " merges, %" PRIu64 " reopens, %" PRIu64 " views, %.1f s\n",
                 model.head, model.beside, model.groups, model.known, model.refused,
                 model.unless[0], model.unless[1], model.moved[0], model.moved[1], model.reads,
                 model.merges, model.reopens, model.views, sys_seconds() - begin);
}

int main(int count, char **arguments)
{
    uint64_t seed = 0;
    uint64_t steps = 5000;

    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "--seed") == 0)
            seed = strtoull(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--steps") == 0)
            steps = strtoull(arguments[i + 1], NULL, 10);
    }
    model_make_names();
    if (seed != 0) {
        run(seed, steps);
        return 0;
    }
    for (seed = 1; seed <= 3; seed++)
        run(seed, steps);
    run(sys_seed(), steps);
    return 0;
}
