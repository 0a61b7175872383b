/* test_owned.c - what a projection has emitted it passes over: also what it emitted before it was
 * deleted and made anew, and in pages of any size. */
#include "support_suite.h"

#include "quipu.h"

#include <string.h>

SUPPORT_SUITE(owned);

enum { EVENTS = 10 };

static quipu *store;
static quipu_error why;

/* Counts what it sees, and makes an event of each. */
static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    uint64_t count = 0;
    char stream[32];
    quipu_value old;
    int rc = quipu_page_get(page, "seen", 4, &old);

    (void)key;
    (void)key_size;
    (void)payload;
    (void)error;
    if (rc == QUIPU_ROW)
        memcpy(&count, old.data, sizeof(count));
    count++;
    if (rc >= 0)
        rc = quipu_page_put(page, "seen", 4, &count, sizeof(count));
    (void)snprintf(stream, sizeof(stream), "out-%u", (unsigned)event->position);
    return rc < 0 ? rc : quipu_page_emit(page, stream, &(quipu_draft){.type = "made"});
}

static uint64_t project(uint32_t page_events)
{
    const quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1, .name = "p",
                                         .page_events = page_events, .apply = apply};
    quipu_view *view = NULL;
    quipu_value value = {0};
    uint64_t count = 0;

    cr_assert_eq(quipu_project(store, &projection, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
    cr_assert_eq(quipu_view_open(store, "p", &view, &why), QUIPU_OK, "%s", why.text);
    cr_assert_eq(quipu_view_get(view, "seen", 4, &value, &why), QUIPU_ROW);
    memcpy(&count, value.data, sizeof(count));
    quipu_view_close(view);
    return count;
}

Test(owned, events_of_an_earlier_life)
{
    static const uint32_t pages[] = {4096, 4096, 3, 4096, 1};
    char path[SUPPORT_PATH_BYTES];

    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &store, &why), QUIPU_OK);
    for (int i = 0; i < EVENTS; i++)
        cr_assert_eq(
            quipu_append(store, "a-1", QUIPU_ANY, &(quipu_draft){.type = "t"}, 1, NULL, &why),
            QUIPU_OK);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        cr_expect_eq(project(pages[i]), EVENTS, "pages of %u", pages[i]);
        cr_expect_eq(quipu_projection_control(store, "p", QUIPU_DELETE, 0, NULL, &why), QUIPU_OK,
                     "%s", why.text);
    }
    quipu_close(store);
}
