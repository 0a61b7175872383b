/* flip.c - damaged LMDB files: whatever was done to them, `verify` ends, says so or finds nothing
 * wrong, and a store that a full check lets through can be read and written.
 *
 *     flip [--images N] [--seed S]
 *
 * A store with all kinds of rows is made, and of each of its files an older copy is kept. Each
 * image is the store with some damage; a child looks at it, so that a signal that ends it, or a
 * loop, is seen. What reads give of a store that verify finds whole is what was written. */
#include "handles.h"
#include "merge.h"
#include "support_system.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    IMAGES = 1000,
    PAGE = 4096,
    EVENTS = 2000,
    OLDER = 1800, /* events when the older copies are taken */
    STREAMS = 60,
    SECONDS_MAX = 10,  /* for a child; a sanitized one too */
    WRITE_OF = 4,      /* one image of so many is written to */
    LONG_BYTES = 20000 /* data of a long event, and of a long value */
};

/* How a child ends. */
enum { CLEAN = 10, FOUND = 11, WRONG = 12 };

enum mode { BIT, HEADER, ZERO, TRUNCATE, MISDIRECT, STALE, SWAP, NUMBER, MODES };

static const char *const mode_names[MODES] = {"bit",       "header", "zero", "truncate",
                                              "misdirect", "stale",  "swap", "number"};

/* One file of the store: as it was made, as it was before, and where the damage goes. */
struct file {
    const char *name;
    uint8_t *whole;
    uint8_t *older;
    size_t size;
    size_t older_size;
    char path[SYS_PATH_BYTES];
};

static struct {
    char directory[SYS_PATH_BYTES];
    char store[SYS_PATH_BYTES];
    struct file files[2];
    uint64_t sum; /* of all that is read of the whole store */
    struct sys_random random;
} flip = {.files = {{.name = "log.mdb"}, {.name = "index.mdb"}}};

/* ---- the store ---- */

static void stream_name(uint64_t number, char name[32])
{
    (void)snprintf(name, 32, "%s-%u", number % 3 == 0 ? "order" : "permit", (unsigned)number);
}

/* Mostly short; some that need an overflow page, some that need chunks. */
static uint32_t data_size(uint64_t position)
{
    if (position % 211 == 0)
        return LONG_BYTES;
    return (uint32_t)(position % 37 == 0 ? 3000 : 100 + position % 700);
}

static void append_events(quipu *store, uint64_t first, uint64_t last)
{
    static const char *const tags[] = {"region:north", "kind:odd"};
    static char data[LONG_BYTES];

    for (uint64_t position = first; position <= last; position++) {
        char name[32];
        quipu_draft draft = {.type = position % 5 == 0 ? "Rare" : "Usual",
                             .data = data,
                             .data_size = data_size(position),
                             .tags = tags,
                             .tag_count = (uint32_t)(position % 3),
                             .flags = position % 2 == 0 ? QUIPU_EVENT_HAS_ID : 0};

        memset(data, (int)position, sizeof(data));
        memcpy(draft.id, &position, sizeof(position));
        stream_name(position * position % STREAMS, name);
        CHECK(quipu_append(store, name, QUIPU_ANY, &draft, 1, NULL, NULL) == QUIPU_OK, "append");
    }
}

/* A view with short and long values, parked events, a stream of its own. */
static int apply(quipu_page *page, const void *key, size_t key_size, const quipu_event *event,
                 void *payload, quipu_error *error)
{
    static const char value[LONG_BYTES] = "a long value";
    uint64_t number = event->position % 50;
    int rc;

    (void)payload;
    (void)error;
    if (event->position % 700 == 0)
        return QUIPU_INVALID;
    rc = quipu_page_put(page, key, key_size, &event->position, sizeof(event->position));
    if (rc == QUIPU_OK && event->position % 7 == 0)
        rc = quipu_page_put(page, &number, sizeof(number), value, 100 * (size_t)number + 3000);
    if (rc == QUIPU_OK && event->position % 300 == 0)
        rc = quipu_page_emit(page, "made-1", &(quipu_draft){.type = "Made"});
    return rc;
}

static int stop_half_way(void *payload, const quipu_progress *progress)
{
    (void)payload;
    return progress->mark >= EVENTS / 2;
}

static int project(quipu *store, uint32_t version, bool half)
{
    const quipu_projection projection = {
        QUIPU_INIT(quipu_projection), .version = version, .name = "places", .retries = 1,
        .page_events = 250,           .apply = apply};

    return quipu_project(store, &projection, half ? stop_half_way : NULL, NULL, NULL, NULL);
}

static uint8_t *load(const struct file *file, size_t *size)
{
    uint8_t *bytes;

    *size = (size_t)sys_file_size(file->path);
    bytes = malloc(*size);
    CHECK(bytes != NULL, "no memory");
    sys_file_read(file->path, 0, bytes, *size);
    return bytes;
}

static quipu *open_store(uint32_t flags, int *rc)
{
    quipu_options options = {QUIPU_INIT(quipu_options), .flags = flags};
    quipu *store = NULL;

    *rc = quipu_open(flip.store, &options, &store, NULL);
    return store;
}

static void make_store(void)
{
    int rc;
    quipu *store;

    sys_directory(flip.directory, true);
    sys_join(flip.store, flip.directory, "store");
    store = open_store(0, &rc);
    CHECK(rc == QUIPU_OK, "make: %d", rc);
    for (uint64_t done = 0; done < EVENTS; done += 200) {
        append_events(store, done + 1, done + 200);
        if (done % 600 == 0)
            CHECK(project(store, 1, false) == QUIPU_OK, "project");
        if (done + 400 <= EVENTS) /* the last ones stay in the tail */
            CHECK(qp_merge(store->handle, NULL) == QUIPU_OK, "merge");
        if (done + 200 == OLDER) {
            for (int i = 0; i < 2; i++) {
                struct file *file = &flip.files[i];

                sys_join(file->path, flip.store, file->name);
                file->older = load(file, &file->older_size);
            }
        }
    }
    CHECK(project(store, 1, false) == QUIPU_OK, "project");
    CHECK(project(store, 2, true) == QUIPU_OK, "rebuild");
    quipu_close(store);
    for (int i = 0; i < 2; i++)
        flip.files[i].whole = load(&flip.files[i], &flip.files[i].size);
}

static void make_whole_again(void)
{
    for (int i = 0; i < 2; i++)
        sys_file_write(flip.files[i].path, flip.files[i].whole, flip.files[i].size);
}

/* ---- damage ---- */

static uint64_t any_page(const struct file *file)
{
    return sys_below(&flip.random, file->size / PAGE);
}

/* Half of the bytes of a full page that matter are in its header, pointers and nodes' heads. */
static void damage_number(struct file *file, uint64_t page)
{
    uint64_t at = page * PAGE + sys_below(&flip.random, PAGE / 2) * 2;
    uint64_t number = sys_chance(&flip.random, 50) ? any_page(file) : sys_next(&flip.random);
    size_t size = sys_chance(&flip.random, 50) ? 2 : 8;

    if (sys_chance(&flip.random, 50))
        at = page * PAGE + sys_below(&flip.random, 32) * 2;
    if (at + size > file->size)
        at = file->size - size;
    sys_file_patch(file->path, at, &number, size);
}

static void damage_bit(struct file *file, uint64_t at)
{
    uint8_t byte = file->whole[at] ^ (uint8_t)(1U << sys_below(&flip.random, 8));

    sys_file_patch(file->path, at, &byte, 1);
}

static void damage(struct file *file, enum mode mode)
{
    static const uint8_t zeroes[PAGE];
    uint64_t page = any_page(file);
    uint64_t other = any_page(file);
    uint64_t size;

    switch (mode) {
    case BIT:
        damage_bit(file, sys_below(&flip.random, file->size));
        break;
    case HEADER:
        damage_bit(file, page * PAGE + sys_below(&flip.random, 16));
        break;
    case ZERO:
        sys_file_patch(file->path, page * PAGE, zeroes, PAGE);
        break;
    case TRUNCATE:
        size = sys_below(&flip.random, file->size);
        CHECK(truncate(file->path, (off_t)(page % 2 != 0 ? size : size / PAGE * PAGE)) == 0, "cut");
        break;
    case MISDIRECT:
        sys_file_patch(file->path, page * PAGE, file->whole + other * PAGE, PAGE);
        break;
    case STALE:
        page = sys_below(&flip.random, file->older_size / PAGE);
        sys_file_patch(file->path, page * PAGE, file->older + page * PAGE, PAGE);
        break;
    case SWAP:
        sys_file_patch(file->path, page * PAGE, file->whole + other * PAGE, PAGE);
        sys_file_patch(file->path, other * PAGE, file->whole + page * PAGE, PAGE);
        break;
    default:
        damage_number(file, page);
        break;
    }
}

/* ---- what a child does ---- */

/* FNV-1a in steps of eight bytes: most of an image's time would go into single ones. */
static void add(uint64_t *sum, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        size_t step = size < 8 ? size : 8;
        uint64_t word = 0;

        memcpy(&word, at, step);
        *sum = (*sum ^ word) * UINT64_C(0x100000001b3);
        at += step;
        size -= step;
    }
}

static void add_events(quipu_reader *reader, uint64_t *sum)
{
    quipu_event event;

    while (quipu_next(reader, &event, NULL) == QUIPU_ROW) {
        add(sum, &event.position, sizeof(event.position));
        add(sum, &event.version, sizeof(event.version));
        add(sum, event.stream, event.stream_size);
        add(sum, event.data, event.data_size);
    }
    quipu_reader_close(reader);
}

static void add_query(quipu *store, const char *text, uint32_t flags, uint64_t *sum)
{
    quipu_range range = {QUIPU_INIT(quipu_range), .flags = flags};
    quipu_query *query = NULL;
    quipu_reader *reader = NULL;

    CHECK(quipu_query_parse(text, &query, NULL) == QUIPU_OK, "query %s", text);
    if (quipu_read(store, query, &range, &reader, NULL) == QUIPU_OK)
        add_events(reader, sum);
    quipu_query_free(query);
}

static void add_list(quipu *store, int kind, uint64_t *sum)
{
    quipu_list *list = NULL;
    quipu_item item;

    if (quipu_list_open(store, kind, NULL, &list, NULL) != QUIPU_OK)
        return;
    while (quipu_list_next(list, &item, NULL) == QUIPU_ROW) {
        add(sum, item.name, strlen(item.name));
        add(sum, &item.count, sizeof(item.count));
    }
    quipu_list_close(list);
}

static void add_view(quipu *store, const char *name, uint32_t flags, uint64_t *sum)
{
    quipu_view *view = NULL;
    quipu_value key;
    quipu_value value;

    if (quipu_view_open(store, name, &view, NULL) != QUIPU_OK)
        return;
    if (quipu_view_scan(view, NULL, 0, NULL, 0, flags, NULL) == QUIPU_OK) {
        while (quipu_view_next(view, &key, &value, NULL) == QUIPU_ROW) {
            add(sum, key.data, key.size);
            add(sum, value.data, value.size);
        }
    }
    quipu_view_close(view);
}

/* Every way to read. */
static uint64_t read_all(quipu *store)
{
    static const char *const queries[] = {"", "type=Rare", "tag=region:north",
                                          "type=Usual,Rare tag=kind:odd", "category=order"};
    static const int lists[] = {QUIPU_LIST_STREAMS, QUIPU_LIST_CATEGORIES, QUIPU_LIST_TYPES,
                                QUIPU_LIST_TAGS};
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};

    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        add_query(store, queries[i], 0, &sum);
        add_query(store, queries[i], QUIPU_BACKWARDS, &sum);
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        add_list(store, lists[i], &sum);
    for (uint32_t flags = 0; flags <= QUIPU_SCAN_BACKWARDS; flags++) {
        add_view(store, "places", flags, &sum);
        add_view(store, "$rebuild:places", flags, &sum);
    }
    for (uint64_t i = 0; i < STREAMS; i++) {
        quipu_reader *reader = NULL;
        char name[32];

        stream_name(i, name);
        if (quipu_read_stream(store, name, NULL, &reader, NULL) == QUIPU_OK)
            add_events(reader, &sum);
    }
    (void)quipu_stat_get(store, &stat, NULL);
    return sum;
}

/* A writer takes from the free list, splits pages, and merges: what it may walk into is more. */
static void write_some(void)
{
    int rc;
    quipu *store = open_store(QUIPU_OPEN_FULL_CHECK, &rc);

    if (rc != QUIPU_OK)
        return;
    for (unsigned i = 0; i < 40; i++) {
        char data[3000];
        quipu_draft draft = {.type = "New", .data = data, .data_size = 100 + 70 * i};
        char name[32];

        memset(data, 'x', sizeof(data));
        stream_name(i % 7, name);
        (void)quipu_append(store, name, QUIPU_ANY, &draft, 1, NULL, NULL);
    }
    (void)project(store, 2, false);
    (void)quipu_projection_control(store, "places", QUIPU_REPLAY, 0, NULL, NULL);
    (void)project(store, 3, true);
    (void)quipu_projection_control(store, "places", QUIPU_DELETE, 0, NULL, NULL);
    (void)qp_merge(store->handle, NULL);
    quipu_close(store);
}

static int look_at_image(bool writes)
{
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .reserved = 0};
    int rc = quipu_verify(flip.store, 0, NULL, NULL, NULL, &verified, NULL);
    bool clean = rc == QUIPU_OK && verified.findings == 0;
    quipu *store;
    uint64_t sum;
    int opened;

    if (rc == QUIPU_CORRUPT && verified.findings == 0)
        return WRONG; /* what is damaged is said */
    store = open_store(QUIPU_OPEN_FULL_CHECK | QUIPU_OPEN_READ_ONLY, &opened);
    if (opened == QUIPU_OK) {
        sum = read_all(store);
        quipu_close(store);
        if (clean && sum != flip.sum)
            return WRONG;
    } else if (clean) {
        return WRONG;
    }
    if (writes)
        write_some();
    return clean ? CLEAN : FOUND;
}

/* Its exit code, or 256 + a signal. One that does not end is ended. */
static int run_image(bool writes)
{
    pid_t pid = fork();

    CHECK(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        (void)alarm(SECONDS_MAX);
        _exit(look_at_image(writes));
    }
    return sys_wait(pid);
}

/* ---- all of them ---- */

struct counts {
    uint64_t found;
    uint64_t clean;
    uint64_t crashed;
    uint64_t wrong;
};

static void count(struct counts *counts, uint64_t image, const char *what, int code)
{
    if (code == FOUND) {
        counts->found++;
    } else if (code == CLEAN) {
        counts->clean++;
    } else {
        (void)printf("flip: image %" PRIu64 " (%s): %s %d\n", image, what,
                     code == WRONG ? "a wrong answer"
                     : code >= 256 ? "signal"
                                   : "exit code",
                     code >= 256 ? code - 256 : code);
        if (code == WRONG)
            counts->wrong++;
        else
            counts->crashed++;
    }
}

/* Each image has random numbers of its own, so that one can be made again without those before. */
static void try_image(struct counts *counts, uint64_t seed, uint64_t image)
{
    bool writes = image % WRITE_OF == 0;
    char what[200] = "";
    unsigned times;

    flip.random.state = seed * 1000003 + image;
    times = sys_chance(&flip.random, 80) ? 1 : 2 + (unsigned)sys_below(&flip.random, 3);
    for (unsigned i = 0; i < times; i++) {
        struct file *file = &flip.files[sys_chance(&flip.random, 60) ? 0 : 1];
        enum mode mode = (enum mode)sys_below(&flip.random, i == 0 ? MODES : BIT + 1);
        size_t used = strlen(what);

        (void)snprintf(what + used, sizeof(what) - used, "%s%s %s", i > 0 ? ", " : "", file->name,
                       mode_names[mode]);
        if (i > 0 && sys_file_size(file->path) < file->size)
            continue; /* cut off */
        damage(file, mode);
    }
    count(counts, image, what, run_image(writes));
    make_whole_again();
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    CHECK(end != text && *end == '\0', "no number: %s", text);
    return value;
}

int main(int argc, char **argv)
{
    struct counts counts = {0};
    uint64_t images = IMAGES;
    uint64_t first = 0;
    uint64_t seed = 1;
    quipu *store;
    int rc;

    for (int i = 1; i < argc; i += 2) {
        CHECK(i + 1 < argc, "flip [--images N] [--seed S] [--first IMAGE]");
        if (strcmp(argv[i], "--images") == 0)
            images = number(argv[i + 1]);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = number(argv[i + 1]);
        else if (strcmp(argv[i], "--first") == 0)
            first = number(argv[i + 1]);
        else
            CHECK(false, "unknown option: %s", argv[i]);
    }
    make_store();
    store = open_store(QUIPU_OPEN_READ_ONLY | QUIPU_OPEN_FULL_CHECK, &rc);
    CHECK(rc == QUIPU_OK, "open: %d", rc);
    flip.sum = read_all(store);
    quipu_close(store);
    CHECK(run_image(false) == CLEAN, "the whole store is not clean");

    for (uint64_t i = 0; i < images; i++)
        try_image(&counts, seed, first + i);
    sys_remove(flip.directory);
    (void)printf("flip: %" PRIu64 " images (seed %" PRIu64 "), %" PRIu64 " found, %" PRIu64
                 " harmless, %" PRIu64 " wrong answers, %" PRIu64 " crashes\n",
                 images, seed, counts.found, counts.clean, counts.wrong, counts.crashed);
    return counts.crashed + counts.wrong > 0;
}
