/* test_event.c - copies of events, and their tags. */
#include "handles.h"
#include "support_suite.h"

#include <string.h>

SUPPORT_SUITE(event);

static quipu_error why;

static quipu *open_store(void)
{
    char path[SUPPORT_PATH_BYTES];
    quipu *store = NULL;

    (void)quipu_open(support_path(path, "store"), NULL, &store, &why);
    cr_assert_not_null(store, "%s", why.text);
    return store;
}

static const char *const tags[] = {"color:red", "size:9:10", "color:blue", "col:x"};

/* An event with everything, and one with nothing but a type. */
static void append_both(quipu *store)
{
    const quipu_draft drafts[2] = {{.type = "full",
                                    .data = "[12345]",
                                    .data_size = 7,
                                    .meta = "meta",
                                    .meta_size = 4,
                                    .tags = tags,
                                    .tag_count = 4,
                                    .flags = QUIPU_EVENT_HAS_TIME,
                                    .time_ns = -5,
                                    .schema = 3},
                                   {.type = "bare"}};

    cr_assert_eq(quipu_append(store, "stream-1", QUIPU_NEW, drafts, 2, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

/* Both copies, of which nothing may point into the reader. */
static void copy_both(quipu_event *copies[2])
{
    quipu *store = open_store();
    quipu_reader *reader;
    quipu_event event;

    append_both(store);
    cr_assert_eq(quipu_read(store, NULL, NULL, &reader, &why), QUIPU_OK);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(quipu_next(reader, &event, &why), QUIPU_ROW);
        cr_assert_eq(quipu_event_copy(&event, &copies[i]), QUIPU_OK);
        cr_expect(memcmp(copies[i]->id, event.id, 16) == 0);
    }
    quipu_reader_close(reader);
    quipu_close(store);
}

Test(event, a_copy_outlives_its_store)
{
    quipu_event *copies[2];
    const quipu_event *full;
    const char *tag;

    copy_both(copies);
    full = copies[0];
    cr_expect_eq(full->position, 1);
    cr_expect_eq(full->version, 1);
    cr_expect_eq(full->time_ns, -5);
    cr_expect_gt(full->recorded_ns, 0);
    cr_expect_eq(full->schema, 3);
    cr_expect_str_eq(full->stream, "stream-1");
    cr_expect_eq(full->stream_size, 8);
    cr_expect_str_eq(full->type, "full");
    cr_expect_eq(full->data_size, 7);
    cr_expect_str_eq((const char *)full->data, "[12345]", "a 0 stands after them");
    cr_expect_eq((uintptr_t)full->data % 8, 0);
    cr_expect_eq(full->meta_size, 4);
    cr_expect_str_eq((const char *)full->meta, "meta");
    cr_assert_eq(full->tag_count, 4);
    tag = full->tags;
    for (int i = 0; i < 4; i++) {
        cr_expect_str_eq(tag, tags[i]);
        tag += strlen(tag) + 1;
    }
    quipu_event_free(copies[0]);

    cr_expect_eq(copies[1]->version, 2);
    cr_expect_null(copies[1]->data);
    cr_expect_null(copies[1]->meta);
    cr_expect_eq(copies[1]->tag_count, 0);
    cr_expect_str_eq(copies[1]->type, "bare");
    quipu_event_free(copies[1]);
}

/* Sizes around the alignment, each copy of a copy. */
Test(event, a_copy_of_any_size)
{
    char bytes[70];
    quipu_event *first;
    quipu_event *second;

    memset(bytes, 'd', sizeof(bytes));
    for (uint32_t size = 0; size < sizeof(bytes); size++) {
        const quipu_event event = {.position = 1,
                                   .stream = "s",
                                   .stream_size = 1,
                                   .type = "t",
                                   .type_size = 1,
                                   .tags = "a:b\0c:d",
                                   .tag_count = 2,
                                   .data = bytes,
                                   .data_size = size,
                                   .meta = bytes,
                                   .meta_size = (uint32_t)sizeof(bytes) - size};

        cr_assert_eq(quipu_event_copy(&event, &first), QUIPU_OK);
        cr_assert_eq(quipu_event_copy(first, &second), QUIPU_OK);
        quipu_event_free(first);
        cr_expect_eq((uintptr_t)second->data % 8, 0);
        cr_expect(memcmp(second->data, bytes, size) == 0);
        cr_expect(memcmp(second->meta, bytes, sizeof(bytes) - size) == 0);
        cr_expect_str_eq(second->tags + 4, "c:d");
        quipu_event_free(second);
    }
}

Test(event, a_copy_of_what_could_not_be_read)
{
    const quipu_event damaged = {.position = 7};
    quipu_event *copy;

    cr_assert_eq(quipu_event_copy(&damaged, &copy), QUIPU_OK);
    cr_expect_eq(copy->position, 7);
    cr_expect(copy->stream == NULL && copy->type == NULL && copy->tags == NULL);
    cr_expect_null(quipu_event_tag(copy, "color"));
    quipu_event_free(copy);
}

Test(event, a_copy_without_memory_or_arguments)
{
    const quipu_event event = {.position = 7};
    quipu_event *copy = (quipu_event *)&why;

    support_heap_fail(1, false);
    cr_expect_eq(quipu_event_copy(&event, &copy), QUIPU_NO_MEMORY);
    support_heap_fail(0, false);
    cr_expect_null(copy);
    copy = (quipu_event *)&why;
    cr_expect_eq(quipu_event_copy(NULL, &copy), QUIPU_MISUSE);
    cr_expect_null(copy);
    cr_expect_eq(quipu_event_copy(&event, NULL), QUIPU_MISUSE);
    quipu_event_free(NULL);
}

Test(event, tags_by_their_key)
{
    quipu_event *copies[2];

    copy_both(copies);
    cr_expect_str_eq(quipu_event_tag(copies[0], "color"), "red", "the first of two");
    cr_expect_str_eq(quipu_event_tag(copies[0], "size"), "9:10", "split at the first ':'");
    cr_expect_str_eq(quipu_event_tag(copies[0], "col"), "x", "not what begins so");
    cr_expect_null(quipu_event_tag(copies[0], "size:9"));
    cr_expect_null(quipu_event_tag(copies[0], "color:"));
    cr_expect_null(quipu_event_tag(copies[0], "colors"));
    cr_expect_null(quipu_event_tag(copies[0], ""));
    cr_expect_null(quipu_event_tag(copies[1], "color"));
    cr_expect_null(quipu_event_tag(copies[0], NULL));
    cr_expect_null(quipu_event_tag(NULL, "color"));
    quipu_event_free(copies[0]);
    quipu_event_free(copies[1]);
}
