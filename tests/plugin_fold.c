/* plugin_fold.c - a fold that counts a stream's events, for the tests of `quipu verify --folds`. It
 * is a plugin, and with fold_save.c a program that saves snapshots. QUIPU_TEST_FOLD makes the fold
 * another one: "changed" with the same version, "newer" with a higher one, "beside" with the higher
 * one before it; "fails" at each event. */
#include <quipu.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is(const char *what)
{
    const char *odd = getenv("QUIPU_TEST_FOLD");

    return odd != NULL && strcmp(odd, what) == 0;
}

static int apply(void *state, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)event;
    (void)payload;
    if (is("fails")) {
        (void)snprintf(error->text, sizeof(error->text), "no \033[1mmore");
        return QUIPU_APPLICATION;
    }
    *(int64_t *)state += is("changed") ? 2 : 1;
    return QUIPU_OK;
}

static quipu_fold count = {QUIPU_INIT(quipu_fold), .version = 1, .name = "count",
                           .state_size = sizeof(int64_t), .apply = apply};
static const quipu_fold newer = {QUIPU_INIT(quipu_fold), .version = 2, .name = "count",
                                 .state_size = sizeof(int64_t), .apply = apply};
static const quipu_fold *const folds[] = {&newer, &count};
static quipu_plugin plugin = {QUIPU_INIT(quipu_plugin), .version = QUIPU_VERSION_NUMBER};

const quipu_plugin *quipu_plugin_get(void)
{
    count.version = is("newer") ? 2 : 1;
    plugin.folds = is("beside") ? folds : folds + 1;
    plugin.fold_count = is("beside") ? 2 : 1;
    return &plugin;
}
