/* test_parts.c - events that upcasters have split, and faults in one part of them: each part comes
 * into the view once, whatever had to wait, and what is counted as parked is what is parked. */
#include "support_suite.h"

#include "quipu.h"

#include <stdio.h>
#include <string.h>

SUPPORT_SUITE(parts);

/* The data of a part is its key. Which of them fail, in which function. */
static char unkeyed[8];
static char unapplied[8];
static quipu *store;
static quipu_error why;
static char path[SUPPORT_PATH_BYTES];

/* Each byte of the data becomes a part. */
static int split(const quipu_event *event, quipu_page *page, void *payload, quipu_error *error)
{
    int rc = QUIPU_OK;

    (void)payload;
    (void)error;
    for (uint32_t i = 0; i < event->data_size && rc == QUIPU_OK; i++) {
        const quipu_draft part = {
            .type = "part", .data = (const char *)event->data + i, .data_size = 1};

        rc = quipu_page_emit(page, NULL, &part);
    }
    return rc;
}

static int keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    (void)payload;
    (void)error;
    if (strchr(unkeyed, *(const char *)event->data) != NULL)
        return QUIPU_INVALID;
    return quipu_page_key(page, event->data, 1);
}

static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    char digits[64] = "";
    quipu_value old;
    int rc = quipu_page_get(page, key, key_size, &old);

    (void)payload;
    (void)error;
    if (strchr(unapplied, *(const char *)event->data) != NULL)
        return QUIPU_INVALID;
    if (rc == QUIPU_ROW)
        (void)snprintf(digits, sizeof(digits), "%.*s", (int)old.size, (const char *)old.data);
    (void)snprintf(digits + strlen(digits), 8, "%u", (unsigned)event->position);
    return rc < 0 ? rc : quipu_page_put(page, key, key_size, digits, strlen(digits));
}

static void project(void)
{
    const quipu_projection projection = {QUIPU_INIT(quipu_projection),
                                         .version = 1,
                                         .name = "p",
                                         .retries = 1,
                                         .keys = keys,
                                         .apply = apply};

    cr_expect_eq(quipu_project(store, &projection, NULL, NULL, NULL, &why), QUIPU_OK, "%s",
                 why.text);
}

static void append(const char *stream, const char *data)
{
    const quipu_draft draft = {.type = "whole", .data = data, .data_size = (uint32_t)strlen(data)};

    cr_assert_eq(quipu_append(store, stream, QUIPU_ANY, &draft, 1, NULL, &why), QUIPU_OK);
}

static void open_store(void)
{
    const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .type = "whole", .up = split};

    unkeyed[0] = '\0';
    unapplied[0] = '\0';
    cr_assert_eq(quipu_open(support_path(path, "store"), NULL, &store, &why), QUIPU_OK);
    cr_assert_eq(quipu_register_upcaster(store, &upcaster, &why), QUIPU_OK, "%s", why.text);
}

static void expect_whole(void)
{
    cr_expect_eq(quipu_verify(path, 0, NULL, NULL, NULL, NULL, &why), QUIPU_OK, "%s", why.text);
}

/* The positions that the key has seen, in the order in which it saw them. */
static void expect_seen(const char *key, const char *positions)
{
    quipu_view *view = NULL;
    quipu_value value = {"", 0};

    cr_assert_eq(quipu_view_open(store, "p", &view, &why), QUIPU_OK, "%s", why.text);
    (void)quipu_view_get(view, key, strlen(key), &value, &why);
    cr_expect(value.size == strlen(positions) && memcmp(value.data, positions, value.size) == 0,
              "key %s: %.*s, not %s", key, (int)value.size, (const char *)value.data, positions);
    quipu_view_close(view);
}

static void set(char which[8], const char *failing)
{
    (void)snprintf(which, 8, "%s", failing);
}

/* Until nothing is parked any more. */
static void replay_all(void)
{
    int rc = QUIPU_OK;

    for (int i = 0; i < 9 && rc == QUIPU_OK; i++) {
        project();
        expect_whole();
        rc = quipu_projection_control(store, "p", QUIPU_REPLAY, 0, NULL, &why);
    }
    cr_expect_eq(rc, QUIPU_NOT_FOUND, "%s", why.text);
}

Test(parts, key_of_the_first_is_unknown)
{
    open_store();
    append("s", "ab");
    set(unkeyed, "a");
    project();
    expect_whole();
    unkeyed[0] = '\0';
    replay_all();
    expect_seen("a", "1");
    expect_seen("b", "1");
    quipu_close(store);
}

Test(parts, key_of_the_last_is_unknown)
{
    open_store();
    append("s", "ab");
    set(unkeyed, "b");
    project();
    expect_whole();
    unkeyed[0] = '\0';
    replay_all();
    expect_seen("a", "1");
    expect_seen("b", "1");
    quipu_close(store);
}

Test(parts, keys_of_two_are_unknown)
{
    open_store();
    append("s", "abc");
    set(unkeyed, "ab");
    project();
    expect_whole();
    set(unkeyed, "b"); /* one of the two is mended */
    cr_expect_eq(quipu_projection_control(store, "p", QUIPU_REPLAY, 0, NULL, &why), QUIPU_OK);
    project();
    expect_whole();
    unkeyed[0] = '\0';
    replay_all();
    expect_seen("a", "1");
    expect_seen("b", "1");
    expect_seen("c", "1");
    quipu_close(store);
}

/* A part that fails, and one behind it whose key is unknown: of keys before and behind the stream's
 * name, and the same key again. */
Test(parts, one_fails_and_the_key_of_another_is_unknown)
{
    static const char *const datas[] = {"ab", "zb", "aba", "zbz", "aza"};

    for (size_t i = 0; i < sizeof(datas) / sizeof(datas[0]); i++) {
        open_store();
        append("s", datas[i]);
        append("s", "d");
        (void)snprintf(unapplied, sizeof(unapplied), "%c", datas[i][0]);
        (void)snprintf(unkeyed, sizeof(unkeyed), "%c", datas[i][1]);
        project();
        expect_whole();
        unkeyed[0] = '\0';
        cr_expect_eq(quipu_projection_control(store, "p", QUIPU_REPLAY, 0, NULL, &why), QUIPU_OK);
        project();
        expect_whole();
        unapplied[0] = '\0';
        replay_all();
        expect_seen((char[]){datas[i][0], 0}, strlen(datas[i]) == 3 ? "11" : "1");
        expect_seen((char[]){datas[i][1], 0}, "1");
        expect_seen("d", "2");
        quipu_close(store);
        support_remove(path);
    }
}

/* Events of the key wait already when one comes to it whose key was unknown. */
Test(parts, a_key_that_others_wait_in)
{
    open_store();
    append("s", "ab");
    append("t", "b");
    append("t", "b");
    set(unkeyed, "a");
    set(unapplied, "b");
    project();
    expect_whole();
    unkeyed[0] = '\0';
    cr_expect_eq(quipu_projection_control(store, "p", QUIPU_REPLAY, 0, NULL, &why), QUIPU_OK);
    project();
    expect_whole();
    unapplied[0] = '\0';
    replay_all();
    expect_seen("a", "1");
    expect_seen("b", "123");
    quipu_close(store);
}
