/* plugin_permits.c - what tests/cli/permits projects of a log of cases, each a stream:
 *
 *   day/2010-10-02     {"opened":3,"finished":1}
 *   case/permit-891    {"first":NS,"last":NS,"finished":0}
 *
 * A case is opened on the day of its first event, and finished on that of its first event of the
 * type FINISHED; `last` - `first` is how long it has taken so far. Days are UTC. */
#include <quipu.h>

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define FINISHED "T10 Determine necessity to stop indication"
#define CASE     "case/"
#define DAY      "day/"

/* Values are JSON, which can be read as an event's data. */
static int64_t member(quipu_value value, const char *name)
{
    const quipu_event shown = {
        .data = value.data, .data_size = (uint32_t)value.size, .data_format = QUIPU_JSON};
    int64_t number = 0;

    (void)quipu_get_i64(&shown, name, &number);
    return number;
}

static int keys(quipu_page *page, const quipu_event *event, void *payload, quipu_error *error)
{
    char key[256];
    int size = snprintf(key, sizeof(key), CASE "%s", event->stream);

    (void)payload;
    (void)error;
    return quipu_page_key(page, key, (size_t)size);
}

/* One more for the day of the event. */
static int count_day(quipu_page *page, const quipu_event *event, int64_t opened, int64_t finished)
{
    time_t seconds = (time_t)(event->time_ns / 1000000000);
    quipu_value old = {0};
    char key[32];
    char text[96];
    struct tm tm;
    size_t size;
    int rc;

    (void)gmtime_r(&seconds, &tm);
    size = strftime(key, sizeof(key), DAY "%Y-%m-%d", &tm);
    rc = quipu_page_get(page, key, size, &old);
    if (rc < 0)
        return rc;
    rc = snprintf(text, sizeof(text), "{\"opened\":%" PRId64 ",\"finished\":%" PRId64 "}",
                  member(old, "opened") + opened, member(old, "finished") + finished);
    return quipu_page_put(page, key, size, text, (size_t)rc);
}

static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    quipu_value old = {0};
    char text[128];
    int64_t first;
    int64_t finished;
    int known = quipu_page_get(page, key, key_size, &old);
    int rc = known;

    (void)payload;
    (void)error;
    if (known < 0)
        return known;
    first = known == 1 ? member(old, "first") : event->time_ns;
    finished = member(old, "finished");
    if (known == 0)
        rc = count_day(page, event, 1, 0);
    if (rc >= 0 && finished == 0 && quipu_event_is(event, FINISHED)) {
        finished = 1;
        rc = count_day(page, event, 0, 1);
    }
    if (rc < 0)
        return rc;
    rc = snprintf(text, sizeof(text),
                  "{\"first\":%" PRId64 ",\"last\":%" PRId64 ",\"finished\":%" PRId64 "}", first,
                  event->time_ns, finished);
    return quipu_page_put(page, key, key_size, text, (size_t)rc);
}

static const quipu_projection permits = {QUIPU_INIT(quipu_projection), .version = 1,
                                         .name = "permits", .keys = keys, .apply = apply};
static const quipu_projection *const projections[] = {&permits};
static const quipu_plugin plugin = {QUIPU_INIT(quipu_plugin), .version = QUIPU_VERSION_NUMBER,
                                    .projections = projections, .projection_count = 1};

const quipu_plugin *quipu_plugin_get(void)
{
    return &plugin;
}
