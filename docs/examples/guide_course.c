/* guide_course.c - a rule that spans streams, for docs/GUIDE.md: a course has so many seats, and a
 * student takes three courses at most.
 *
 *   guide_course STORE define COURSE SEATS
 *   guide_course STORE subscribe STUDENT COURSE */
#include <quipu.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COURSES_MAX = 3 };

/* ---- what a decision is made on ------------------------------------------------------------ */

struct wish {
    const char *student;
    const char *course;
};

struct seats {
    int64_t offered; /* 0: there is no such course */
    int64_t taken;
    int64_t courses; /* of the student */
    bool is_in;
};

static void apply(struct seats *seats, const struct wish *wish, const quipu_event *event)
{
    const char *course = quipu_event_tag(event, "course");
    const char *student = quipu_event_tag(event, "student");
    bool same_course = course != NULL && strcmp(course, wish->course) == 0;
    bool same_student = student != NULL && strcmp(student, wish->student) == 0;

    if (quipu_event_is(event, "CourseDefined"))
        (void)quipu_get_i64(event, "seats", &seats->offered);
    if (!quipu_event_is(event, "StudentSubscribed"))
        return;
    seats->taken += same_course;
    seats->courses += same_student;
    seats->is_in = seats->is_in || (same_course && same_student);
}

static const char *why_not(const struct seats *seats)
{
    if (seats->offered == 0)
        return "there is no such course";
    if (seats->is_in)
        return "that was done already";
    if (seats->taken >= seats->offered)
        return "the course is full";
    if (seats->courses >= COURSES_MAX)
        return "the student has enough to do";
    return NULL;
}

/* Fold what the query finds; `*after` is how far it has looked. */
static int look(quipu *store, const quipu_query *query, const struct wish *wish,
                struct seats *seats, uint64_t *after, quipu_error *error)
{
    quipu_reader *reader = NULL;
    quipu_event event;
    int rc = quipu_read(store, query, NULL, &reader, error);

    *seats = (struct seats){0};
    while (rc >= 0) {
        rc = quipu_next(reader, &event, error);
        if (rc != QUIPU_ROW)
            break;
        apply(seats, wish, &event);
    }
    if (rc == QUIPU_OK)
        *after = quipu_reader_head(reader);
    quipu_reader_close(reader);
    return rc;
}

/* ---- the two commands ---------------------------------------------------------------------- */

static int define(quipu *store, const char *course, const char *seats, quipu_error *error)
{
    char stream[128];
    char tag[128];
    char json[64];
    const char *const tags[] = {tag};
    quipu_draft defined = {.type = "CourseDefined",
                           .tags = tags,
                           .tag_count = 1,
                           .data = json,
                           .data_format = QUIPU_JSON};

    (void)snprintf(stream, sizeof(stream), "course-%s", course);
    (void)snprintf(tag, sizeof(tag), "course:%s", course);
    (void)snprintf(json, sizeof(json), "{\"seats\":%lld}", strtoll(seats, NULL, 10));
    defined.data_size = (uint32_t)strlen(json);
    return quipu_append(store, stream, QUIPU_NEW, &defined, 1, NULL, error);
}

static int refuse(const char *why, quipu_error *error)
{
    (void)snprintf(error->text, sizeof(error->text), "%s", why);
    return QUIPU_APPLICATION;
}

static int subscribe(quipu *store, const struct wish *wish, quipu_error *error)
{
    char stream[128];
    char course[128];
    char student[128];
    const char *const type = "StudentSubscribed";
    const char *const tags[] = {course, student};
    const quipu_draft subscribed = {.type = type, .tags = tags, .tag_count = 2};
    /* All of the course, and what the student has subscribed to. */
    const quipu_query_item items[] = {
        {.tags = &tags[0], .tag_count = 1},
        {.tags = &tags[1], .tag_count = 1, .types = &type, .type_count = 1},
    };
    const quipu_query query = {.items = items, .item_count = 2};
    quipu_batch *batch = quipu_batch_new();
    struct seats seats;
    uint64_t after = 0;
    int rc;

    (void)snprintf(stream, sizeof(stream), "student-%s", wish->student);
    (void)snprintf(course, sizeof(course), "course:%s", wish->course);
    (void)snprintf(student, sizeof(student), "student:%s", wish->student);
    do {
        rc = look(store, &query, wish, &seats, &after, error);
        if (rc == QUIPU_OK && why_not(&seats) != NULL)
            rc = refuse(why_not(&seats), error);
        if (rc < 0)
            break;
        quipu_batch_clear(batch);
        (void)quipu_batch_append(batch, stream, QUIPU_ANY, &subscribed, 1);
        (void)quipu_batch_unless(batch, &query, after);
        rc = quipu_commit(store, batch, NULL, error);
    } while (rc == QUIPU_CONFLICT); /* somebody was faster: look again */
    quipu_batch_free(batch);
    return rc;
}

static int run(quipu *store, int count, char **words, quipu_error *error)
{
    if (count == 3 && strcmp(words[0], "define") == 0)
        return define(store, words[1], words[2], error);
    if (count == 3 && strcmp(words[0], "subscribe") == 0)
        return subscribe(store, &(struct wish){.student = words[1], .course = words[2]}, error);
    return refuse("define COURSE SEATS, or subscribe STUDENT COURSE?", error);
}

int main(int argc, char **argv)
{
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = quipu_open(argc > 1 ? argv[1] : "course.store", NULL, &store, &error);

    if (rc == QUIPU_OK)
        rc = run(store, argc - 2, argv + 2, &error);
    if (rc == QUIPU_APPLICATION)
        printf("refused: %s\n", error.text);
    else if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", quipu_status_name(rc), error.text);
    else
        printf("done\n");
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
