/* test_inline.c - what the functions of an inline projection may do while a commit waits for them:
 * look at the store, in readers and views of their own. */
#include "support_suite.h"

#include "quipu.h"

#include <string.h>
#include <unistd.h>

SUPPORT_SUITE(inlined);

static quipu *store;
static quipu_error why;

static int count(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    uint64_t number = 0;
    quipu_value old;
    int rc = quipu_page_get(page, key, key_size, &old);

    (void)event;
    (void)payload;
    (void)error;
    if (rc == QUIPU_ROW)
        memcpy(&number, old.data, sizeof(number));
    number++;
    return rc < 0 ? rc : quipu_page_put(page, key, key_size, &number, sizeof(number));
}

/* The number in a view under the event's stream. */
static int number_of(const char *projection, const quipu_event *event, uint64_t *number,
                     quipu_error *error)
{
    quipu_view *view = NULL;
    quipu_value value = {0};
    int rc = quipu_view_open(store, projection, &view, error);

    *number = 0;
    if (rc == QUIPU_OK)
        rc = quipu_view_get(view, event->stream, event->stream_size, &value, error);
    if (rc == QUIPU_ROW)
        memcpy(number, value.data, sizeof(*number));
    quipu_view_close(view);
    return rc < 0 ? rc : QUIPU_OK;
}

/* What the store had before this commit, seen in three ways. */
static int look(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                void *payload, quipu_error *error)
{
    quipu_reader *reader = NULL;
    quipu_event seen;
    uint64_t numbers[3] = {0};
    int rc = number_of("kept", event, &numbers[0], error);

    (void)payload;
    if (rc == QUIPU_OK)
        rc = number_of("live", event, &numbers[1], error);
    if (rc == QUIPU_OK)
        rc = quipu_read_stream(store, event->stream, NULL, &reader, error);
    if (rc == QUIPU_OK)
        while (quipu_next(reader, &seen, error) == QUIPU_ROW)
            numbers[2]++;
    quipu_reader_close(reader);
    return rc < 0 && rc != QUIPU_NOT_FOUND
               ? rc
               : quipu_page_put(page, key, key_size, numbers, sizeof(numbers));
}

static void add(const char *name, uint32_t mode,
                int (*apply)(quipu_page *page, const void *key, size_t key_size,
                             const quipu_event *event, void *payload, quipu_error *error))
{
    const quipu_projection projection = {QUIPU_INIT(quipu_projection), .version = 1, .name = name,
                                         .mode = mode, .apply = apply};

    cr_assert_eq(quipu_register(store, &projection, &why), QUIPU_OK, "%s", why.text);
}

/* It would wait for ever, with the store lock held. */
Test(inlined, may_look_at_views_and_events, .timeout = 60)
{
    char path[SUPPORT_PATH_BYTES];
    quipu_view *view = NULL;
    quipu_value value = {0};
    uint64_t numbers[3];

    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &store, &why), QUIPU_OK);
    add("kept", QUIPU_INLINE, count);
    add("live", QUIPU_LIVE, count);
    add("looks", QUIPU_INLINE, look);
    (void)alarm(20);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(
            quipu_append(store, "a-1", QUIPU_ANY, &(quipu_draft){.type = "t"}, 1, NULL, &why),
            QUIPU_OK, "%s", why.text);
    cr_assert_eq(quipu_view_open(store, "looks", &view, &why), QUIPU_OK, "%s", why.text);
    cr_expect_eq(quipu_view_mark(view), 3);
    cr_assert_eq(quipu_view_get(view, "a-1", 3, &value, &why), QUIPU_ROW, "%s", why.text);
    cr_assert_eq(value.size, sizeof(numbers));
    memcpy(numbers, value.data, sizeof(numbers));
    cr_expect(numbers[0] == 2 && numbers[1] == 2 && numbers[2] == 2, "%d %d %d", (int)numbers[0],
              (int)numbers[1], (int)numbers[2]);
    quipu_view_close(view);
    quipu_close(store);
}

/* ---- what they must not do ------------------------------------------------------------------- */

static int calls;

static int write_all_ways(quipu_page *page, const void *key, size_t key_size,
                          const quipu_event *event, void *payload, quipu_error *error)
{
    const quipu_projection again = {QUIPU_INIT(quipu_projection), .version = 1, .name = "again",
                                    .mode = QUIPU_INLINE, .apply = count};
    const quipu_projection other = {QUIPU_INIT(quipu_projection), .version = 1, .name = "other",
                                    .apply = count};
    quipu_batch *batch = quipu_batch_new();

    (void)event;
    (void)payload;
    (void)error;
    calls++;
    cr_expect_eq(quipu_append(store, "b", QUIPU_ANY, &(quipu_draft){.type = "t"}, 1, NULL, NULL),
                 QUIPU_MISUSE);
    cr_expect_eq(quipu_commit_async(store, batch, NULL, NULL, NULL), QUIPU_MISUSE);
    quipu_batch_free(batch);
    cr_expect_eq(quipu_flush(store, NULL), QUIPU_MISUSE);
    cr_expect_eq(quipu_register(store, &again, NULL), QUIPU_MISUSE);
    cr_expect_eq(quipu_project(store, &other, NULL, NULL, NULL, NULL), QUIPU_MISUSE);
    cr_expect_eq(quipu_projection_control(store, "writes", QUIPU_PAUSE, 0, NULL, NULL),
                 QUIPU_MISUSE);
    return quipu_page_put(page, key, key_size, "x", 1);
}

/* The commit that it is within would wait for it, and it for the commit. */
Test(inlined, must_not_write, .timeout = 60)
{
    char path[SUPPORT_PATH_BYTES];
    uint64_t head = 0;

    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &store, &why), QUIPU_OK);
    add("writes", QUIPU_INLINE, write_all_ways);
    (void)alarm(20);
    cr_expect_eq(quipu_append(store, "a", QUIPU_ANY, &(quipu_draft){.type = "t"}, 1, NULL, &why),
                 QUIPU_OK, "%s", why.text);
    cr_expect_eq(calls, 1);
    cr_expect_eq(quipu_head(store, &head, &why), QUIPU_OK);
    cr_expect_eq(head, 1);
    quipu_close(store);
}
