/* test_once.c - a projection emits once for each event, key and part, whatever of the event was
 * parked, by whichever of its versions, and whichever rebuild was given up. */
#include "support_suite.h"
#include "support_view.h"

#include <string.h>

SUPPORT_SUITE(once);

static quipu_error why;

#define EXPECT(status, call)                                                                       \
    do {                                                                                           \
        int got = (call);                                                                          \
        cr_expect_eq(got, (status), "%s: %d, not %d: %s", #call, got, (status), why.text);         \
    } while (0)

/* ---- what fails ------------------------------------------------------------------------------ */

/* At this event: the upcaster, which keys it has, or this part of it, for this key. 0: nothing. */
static struct {
    uint64_t up;
    uint64_t keys;
    int keys_asked; /* so often they could be told */
    uint64_t apply;
    int part;
    char key;
} poison;

/* An event's data are the letters that are its keys, and how many parts it has: "ab2". */
static int up(const quipu_event *event, quipu_page *out, void *payload, quipu_error *error)
{
    const char *data = event->data;
    int rc = event->position == poison.up ? QUIPU_INVALID : QUIPU_OK;

    (void)payload;
    (void)error;
    for (char part = '0'; part < data[event->data_size - 1] && rc == QUIPU_OK; part++) {
        char made[16];
        const quipu_draft draft = {.type = "Part", .data = made, .data_size = event->data_size};

        cr_assert_lt(event->data_size, sizeof(made));
        memcpy(made, data, event->data_size);
        made[event->data_size - 1] = part;
        rc = quipu_page_emit(out, NULL, &draft);
    }
    return rc;
}

static int keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    const char *data = event->data;
    int rc = event->position == poison.keys && poison.keys_asked-- <= 0 ? QUIPU_INVALID : QUIPU_OK;

    (void)payload;
    (void)error;
    for (uint32_t i = 0; i + 1 < event->data_size && rc == QUIPU_OK; i++)
        rc = quipu_page_key(page, data + i, 1);
    return rc;
}

static int apply(quipu_page *page, const void *key, size_t size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    char letter = *(const char *)key;
    char part = ((const char *)event->data)[event->data_size - 1];
    char made[32];
    quipu_draft draft = {.type = "Out", .data = made};
    int rc = support_note(page, key, size, event);

    (void)payload;
    (void)error;
    draft.data_size = (uint32_t)snprintf(made, sizeof(made), "%llu%c%c",
                                         (unsigned long long)event->position, letter, part);
    if (rc == QUIPU_OK)
        rc = quipu_page_emit(page, "out", &draft);
    if (rc == QUIPU_OK && event->position == poison.apply && letter == poison.key &&
        part == '0' + poison.part)
        rc = QUIPU_INVALID;
    return rc;
}

static quipu_projection projection;
static quipu *store;

static void begin(void)
{
    static const quipu_upcaster upcaster = {QUIPU_INIT(quipu_upcaster), .type = "In", .up = up};
    const quipu_options options = {QUIPU_INIT(quipu_options), .durability = QUIPU_LAZY};
    char path[SUPPORT_PATH_BYTES];

    memset(&poison, 0, sizeof(poison));
    projection = (quipu_projection){QUIPU_INIT(quipu_projection),
                                    .version = 1,
                                    .name = "p",
                                    .retries = 1,
                                    .keys = keys,
                                    .apply = apply};
    EXPECT(QUIPU_OK, quipu_open(support_path(path, "store"), &options, &store, &why));
    EXPECT(QUIPU_OK, quipu_register_upcaster(store, &upcaster, &why));
}

static void append(const char *data)
{
    EXPECT(QUIPU_OK, support_append(store, "s", "In", data, &why));
}

/* What fails just now, and how far it goes: a page has one event. */
static int behind(void *payload, const quipu_progress *now)
{
    return now->status == QUIPU_PROJECTION_REBUILDING && now->mark >= *(const uint64_t *)payload;
}

static void project(uint32_t version)
{
    projection.version = version;
    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, NULL, &why));
}

static void rebuild_to(uint32_t version, uint64_t mark)
{
    projection.version = version;
    projection.page_events = 1;
    EXPECT(QUIPU_OK, quipu_project(store, &projection, behind, &mark, NULL, &why));
    projection.page_events = 0;
}

static void heal_and_replay(void)
{
    memset(&poison, 0, sizeof(poison));
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REPLAY, 0, NULL, &why));
    project(projection.version);
}

/* What was emitted, in the order of the log; and nothing is parked. */
static void end(const char *expected)
{
    char text[256] = "";
    quipu_progress progress = {QUIPU_INIT(quipu_progress), .status = 99};
    quipu_reader *reader = NULL;
    quipu_event event;

    EXPECT(QUIPU_OK, quipu_project(store, &projection, NULL, NULL, &progress, &why));
    cr_expect_eq(progress.parked, 0);
    EXPECT(QUIPU_OK, quipu_read_stream(store, "out", NULL, &reader, &why));
    while (quipu_next(reader, &event, &why) == QUIPU_ROW) {
        size_t size = strlen(text);

        (void)snprintf(text + size, sizeof(text) - size, "%.*s ", (int)event.data_size,
                       (const char *)event.data);
    }
    quipu_reader_close(reader);
    cr_expect_str_eq(text, expected, "\"%s\", not \"%s\"", text, expected);
    quipu_close(store);
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* The view has emitted the first part; a later version fails at that one already. */
Test(once, a_rebuild_parks_an_earlier_part)
{
    begin();
    append("a3");
    poison.apply = 1;
    poison.key = 'a';
    poison.part = 2;
    project(1);
    poison.part = 0;
    project(2);
    heal_and_replay();
    end("1a0 1a1 1a2 ");
}

/* Of an event that emitted nothing it emits for the first part, and is given up. */
Test(once, a_rebuild_that_emitted_for_a_part_is_given_up)
{
    begin();
    append("a3");
    append("b1");
    poison.apply = 1;
    poison.key = 'a';
    project(1);
    poison.part = 1;
    rebuild_to(2, 1);
    poison.part = 2;
    rebuild_to(3, 1);
    memset(&poison, 0, sizeof(poison));
    project(4);
    end("2b0 1a0 1a1 1a2 ");
}

/* ---- keys that cannot be told ---------------------------------------------------------------- */

Test(once, a_rebuild_cannot_bring_an_event_up_to_date)
{
    begin();
    append("a1");
    append("b1");
    project(1);
    poison.up = 1;
    project(2);
    heal_and_replay();
    end("1a0 2b0 ");
}

Test(once, a_rebuild_cannot_tell_the_keys_of_parts)
{
    begin();
    append("a2");
    project(1);
    poison.keys = 1;
    project(2);
    heal_and_replay();
    end("1a0 1a1 ");
}

/* The event before it was emitted, this one was not. */
Test(once, nobody_could_bring_an_event_up_to_date)
{
    begin();
    append("a1");
    append("b1");
    poison.up = 2;
    project(1);
    project(2);
    heal_and_replay();
    end("1a0 2b0 ");
}

/* The next version can, and has emitted for one of them before it is given up. */
Test(once, an_event_without_keys_is_parked_under_one)
{
    begin();
    append("ab1");
    append("c1");
    poison.keys = 1;
    project(1);
    poison.keys = 0;
    poison.apply = 1;
    poison.key = 'b';
    rebuild_to(2, 1);
    memset(&poison, 0, sizeof(poison));
    project(3);
    end("2c0 1a0 1b0 ");
}

static void lose_the_keys(const char *data, char parked, const char *expected)
{
    begin();
    append(data);
    poison.apply = 1;
    poison.key = parked;
    project(1);
    poison.keys = 1;
    project(2);
    heal_and_replay();
    end(expected);
}

Test(once, an_event_parked_under_one_key_loses_them)
{
    lose_the_keys("ab1", 'a', "1b0 1a0 ");
}

Test(once, and_that_key_is_the_name_of_its_stream)
{
    lose_the_keys("sb1", 's', "1b0 1s0 ");
}

/* ---- keys of parts are asked for once ----------------------------------------------------------
 */

/* They can be told so often, which is for each part once; a part may wait for another reason. */
static void ask_once(const char *data, int asked, char parked)
{
    begin();
    append(data);
    append("a1");
    poison.keys = 1;
    poison.keys_asked = asked;
    poison.apply = parked != 0;
    poison.key = parked;
    project(1);
    if (parked != 0)
        heal_and_replay();
}

Test(once, keys_of_parts_are_asked_for_once)
{
    ask_once("a2", 2, 0);
    cr_expect_str_eq(support_view(store, "p"), "a=1,1,2 @5");
    poison.keys_asked = 2;
    project(2);
    cr_expect_str_eq(support_view(store, "p"), "a=1,1,2 @5");
    end("1a0 1a1 2a0 ");
}

Test(once, where_one_part_waits)
{
    ask_once("ab2", 2, 'b');
    cr_expect_str_eq(support_view(store, "p"), "a=1,1,2 b=1,1 @7");
    end("1a0 1a1 2a0 1b0 1b1 ");
}

Test(once, where_it_waits_under_the_name_of_the_stream)
{
    ask_once("s2", 2, 's');
    cr_expect_str_eq(support_view(store, "p"), "a=2 s=1,1 @5");
    end("2a0 1s0 1s1 ");
}

/* It had no keys at all; then two of three parts are told, and all of them. */
Test(once, where_they_could_not_be_told_before)
{
    ask_once("a3", 0, 0);
    poison.keys_asked = 2;
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REPLAY, 0, NULL, &why));
    project(1);
    cr_expect_str_eq(support_view(store, "p"), "a=2 @3");
    poison.keys_asked = 3;
    project(2);
    cr_expect_str_eq(support_view(store, "p"), "a=1,1,1,2 @6");
    end("2a0 1a0 1a1 1a2 ");
}

/* ---- what nobody wants ----------------------------------------------------------------------- */

/* Nobody tries it again: it is not owed any more, whoever can apply it later. */
static void give_away(int order, const char *key)
{
    begin();
    append("a1");
    append("b1");
    append("a1");
    poison.apply = 1;
    poison.key = 'a';
    project(1);
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", order, 0, key, &why));
    memset(&poison, 0, sizeof(poison));
    if (order == QUIPU_SKIP)
        EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REPLAY, 0, NULL, &why));
    project(1);
    project(2);
    end(order == QUIPU_SKIP ? "2b0 3a0 " : "2b0 ");
}

Test(once, dropped)
{
    give_away(QUIPU_DROP, NULL);
}

Test(once, dropped_by_key)
{
    give_away(QUIPU_DROP, "a");
}

Test(once, skipped)
{
    give_away(QUIPU_SKIP, "a");
}

/* By the order of somebody who looked at it: a rebuild applies it in silence. */
Test(once, skipped_where_it_stopped)
{
    begin();
    append("a1");
    append("b1");
    projection.fault_policy = QUIPU_FAULT_STOP;
    poison.apply = 2;
    poison.key = 'b';
    projection.version = 1;
    EXPECT(QUIPU_FAULTED, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_SKIP, 0, NULL, &why));
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REWIND, 0, NULL, &why));
    memset(&poison, 0, sizeof(poison));
    project(1);
    end("1a0 ");
}

/* Version 1 has parked the event for one of its keys; version 2 comes to it with this policy. */
static void park_for_a(uint32_t policy)
{
    begin();
    append("ab1");
    poison.apply = 1;
    poison.key = 'a';
    project(1);
    projection.fault_policy = policy;
}

/* Version 3 can apply it: for what nobody wants it emits nothing. */
static void end_with(const char *expected)
{
    memset(&poison, 0, sizeof(poison));
    project(3);
    end(expected);
}

Test(once, skipped_by_the_policy_of_the_next_version)
{
    park_for_a(QUIPU_FAULT_SKIP);
    project(2);
    end_with("1b0 ");
}

Test(once, skipped_without_its_keys_by_the_policy_of_the_next_version)
{
    park_for_a(QUIPU_FAULT_SKIP);
    poison.keys = 1;
    project(2);
    end_with("1b0 ");
}

Test(once, skipped_without_its_keys)
{
    park_for_a(QUIPU_FAULT_PARK);
    poison.keys = 1;
    project(2);
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_SKIP, 0, "s", &why));
    end_with("1b0 ");
}

Test(once, skipped_where_the_next_version_stopped)
{
    park_for_a(QUIPU_FAULT_STOP);
    append("a1");
    projection.version = 2;
    EXPECT(QUIPU_FAULTED, quipu_project(store, &projection, NULL, NULL, NULL, &why));
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_SKIP, 0, NULL, &why));
    end_with("1b0 3a0 ");
}

/* What it owed goes with it: the next one of that name begins with nothing. */
Test(once, deleted)
{
    begin();
    append("a1");
    poison.apply = 1;
    poison.key = 'a';
    project(1);
    EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_DELETE, 0, NULL, &why));
    memset(&poison, 0, sizeof(poison));
    project(1);
    project(2);
    end("1a0 ");
}

/* ---- a rebuild that is given up beyond the view ------------------------------------------------
 */

static void give_up_beyond(bool rewinds)
{
    begin();
    append("a1");
    project(1);
    append("b1"); /* at position 3 */
    append("c1");
    poison.apply = 3;
    poison.key = 'b';
    rebuild_to(2, 3);
    memset(&poison, 0, sizeof(poison));
    if (rewinds)
        EXPECT(QUIPU_OK, quipu_projection_control(store, "p", QUIPU_REWIND, 0, NULL, &why));
    project(rewinds ? 2 : 3);
    end("1a0 3b0 4c0 ");
}

Test(once, a_rebuild_that_has_parked_beyond_the_view_is_given_up)
{
    give_up_beyond(false);
}

Test(once, and_is_begun_again)
{
    give_up_beyond(true);
}
