/* test_post.c - post.c: two boxes of one file, as a waiting process and the one with the lock see
 * them. Both are mapped here, by one process. */
#include "post.h"
#include "support_suite.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHARED = 4711, BOX_BYTES = 32768, BOXES_AT = 4096, BOX_HEAD = 40, REQUESTS_MAX = 64 };

static struct qp_place place;
static struct qp_post waiter; /* box 3 */
static struct qp_post owner;  /* box 5 */
static struct qp_batch batches[REQUESTS_MAX];
static struct qp_request requests[REQUESTS_MAX];

static void begin(void)
{
    support_begin();
    place = (struct qp_place){.fd = open(support_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (place.fd < 0)
        abort();
    waiter = (struct qp_post){0};
    owner = (struct qp_post){0};
    qp_post_make(&place, SHARED);
    qp_post_open(&waiter, &place, SHARED, (struct qp_post_owner){3, 1});
    qp_post_open(&owner, &place, SHARED, (struct qp_post_owner){5, 1});
    memset(batches, 0, sizeof(batches));
    memset(requests, 0, sizeof(requests));
}

static void end(void)
{
    for (size_t i = 0; i < REQUESTS_MAX; i++)
        qp_batch_release(&batches[i]);
    qp_post_close(&waiter);
    qp_post_close(&owner);
    (void)close(place.fd);
    support_suite_end();
}

TestSuite(post, .init = begin, .fini = end, .timeout = 60);

/* The first `count` requests as a list; each batch has a step of its own kind and number. */
static struct qp_request *make_group(size_t count)
{
    static const char *const tags[] = {"k:1", "long:2"};

    for (size_t i = 0; i < count; i++) {
        quipu_draft drafts[3] = {{.type = "a", .data = "x", .data_size = 1},
                                 {.type = "b", .tags = tags, .tag_count = 2},
                                 {.type = "c", .flags = QUIPU_EVENT_HAS_ID, .id = {1, 2, 3}}};

        cr_assert_eq(qp_batch_append(&batches[i], "s-1", i, drafts, i % 4), QUIPU_OK);
        if (i % 2 == 1)
            cr_assert_eq(qp_batch_append(&batches[i], "t", QUIPU_ANY, drafts, 1), QUIPU_OK);
        if (i % 3 == 0 && batches[i].draft_count > 0) /* else it is not put */
            cr_assert_eq(qp_batch_number(&batches[i], QP_STEP_MARK, "m", i), QUIPU_OK);
        requests[i].batch = &batches[i];
        requests[i].next = i + 1 < count ? &requests[i + 1] : NULL;
    }
    return &requests[0];
}

static void expect_same(const struct qp_batch *got, const struct qp_batch *wanted, size_t number)
{
    cr_assert_eq(got->step_count, wanted->step_count, "%zu", number);
    cr_assert_eq(got->draft_count, wanted->draft_count, "%zu", number);
    cr_assert_eq(got->bytes.size, wanted->bytes.size, "%zu", number);
    cr_expect(got->bytes.size == 0 ||
                  memcmp(got->bytes.bytes, wanted->bytes.bytes, got->bytes.size) == 0,
              "%zu", number);
    support_expect_bytes(got->names.bytes, got->names.size, wanted->names.bytes, wanted->names.size,
                         "%zu", number);
    cr_expect_eq(memcmp(got->steps, wanted->steps, got->step_count * sizeof(*got->steps)), 0);
    cr_expect(got->draft_count == 0 ||
              memcmp(got->drafts, wanted->drafts, got->draft_count * sizeof(*got->drafts)) == 0);
    for (size_t i = 0; i < got->draft_count; i++)
        cr_expect((qp_batch_id(got, i) == NULL) == (qp_batch_id(wanted, i) == NULL));
}

static enum qp_origin_life life = QP_ORIGIN_LIVES; /* of who has box 3 */

static uint32_t generation; /* of the group that was asked for last */

static enum qp_origin_life lives(void *payload, struct qp_post_owner whose)
{
    (void)payload;
    generation = whose.generation;
    return whose.box == 3 ? life : QP_ORIGIN_LIVES;
}

static struct qp_parcel *take_one(void)
{
    struct qp_parcel *parcel = qp_post_take(&owner, lives, NULL);

    cr_assert_not_null(parcel);
    cr_assert_null(parcel->next);
    return parcel;
}

/* Bytes of the waiter's box. */
static void patch(size_t at, const void *bytes, size_t size)
{
    char path[SUPPORT_PATH_BYTES];
    int fd = open(support_path(path, QP_POST_FILE), O_RDWR | O_CLOEXEC);

    cr_assert_eq(pwrite(fd, bytes, size, BOXES_AT + 3 * BOX_BYTES + (off_t)at), (ssize_t)size);
    (void)close(fd);
}

static void patch_box(size_t at, uint8_t byte)
{
    patch(BOX_HEAD + at, &byte, 1);
}

/* ---- handing over ---- */

Test(post, what_is_put_is_what_is_taken)
{
    for (size_t count = 1; count <= QP_POST_BATCHES_MAX; count += 13) {
        struct qp_request *group = make_group(count);
        struct qp_parcel *parcel;
        const struct qp_request *request;

        cr_assert_eq(qp_post_count(&owner), 0);
        cr_assert(qp_post_put(&waiter, group));
        cr_assert_eq(qp_post_count(&owner), 1);
        cr_assert_eq(qp_post_count(&waiter), 0, "its own is not for itself");
        cr_assert_null(qp_post_take(&waiter, lives, NULL));
        parcel = take_one();
        cr_assert_eq(parcel->count, count);
        request = parcel->first;
        for (size_t i = 0; i < count; i++, request = request->next)
            expect_same(request->batch, &batches[i], i);
        cr_expect_null(request);
        cr_assert_null(qp_post_take(&owner, lives, NULL), "only once");
        qp_post_answer(&owner, parcel, false);
        qp_post_free(parcel);
        cr_assert_eq(qp_post_end(&waiter, group), QP_POST_DONE);
        for (size_t i = 0; i < count; i++)
            qp_batch_clear(&batches[i]);
    }
}

/* What became of each comes back to its own request, whether it was planned or not. */
static void answer(bool as_planned)
{
    struct qp_request *group = make_group(9);
    struct qp_parcel *parcel;
    int number = 0;

    cr_assert(qp_post_put(&waiter, group));
    parcel = take_one();
    for (struct qp_request *request = parcel->first; request != NULL; request = request->next) {
        request->status = number % 2 == 0 ? QUIPU_OK : QUIPU_CONFLICT;
        request->receipt.first_position = 100 + (uint64_t)number;
        (void)snprintf(request->error.text, sizeof(request->error.text), "text %d", number);
        request->batch->decided = true;
        for (size_t i = 0; i < request->batch->step_count; i++)
            request->batch->steps[i].result.actual = 1000 * (uint64_t)number + i;
        number++;
    }
    if (as_planned)
        qp_post_plan(&owner, parcel, 7, 8);
    qp_post_answer(&owner, parcel, as_planned);
    qp_post_free(parcel);
    cr_assert_eq(qp_post_end(&waiter, group), QP_POST_DONE);
    for (int i = 0; i < 9; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "text %d", i);
        cr_expect_eq(requests[i].status, i % 2 == 0 ? QUIPU_OK : QUIPU_CONFLICT);
        cr_expect_eq(requests[i].receipt.first_position, 100 + (uint64_t)i);
        cr_expect_str_eq(requests[i].error.text, text);
        cr_expect(batches[i].decided);
        for (size_t j = 0; j < batches[i].step_count; j++)
            cr_expect_eq(batches[i].steps[j].result.actual, 1000 * (uint64_t)i + j);
    }
    cr_assert(qp_post_put(&waiter, group), "the box is empty again");
}

Test(post, answers_as_planned)
{
    answer(true);
}

Test(post, answers_otherwise)
{
    answer(false);
}

Test(post, nobody_has_taken_it)
{
    struct qp_request *group = make_group(2);

    cr_assert(qp_post_put(&waiter, group));
    cr_assert_not(qp_post_put(&waiter, group), "the box is not empty");
    cr_assert_eq(qp_post_end(&waiter, group), QP_POST_WITHDRAWN);
    cr_assert_null(qp_post_take(&owner, lives, NULL));
    cr_assert(qp_post_put(&waiter, group));
}

/* ---- who took it died ---- */

Test(post, a_plan_outlives_its_maker)
{
    struct qp_request *group = make_group(3);
    struct qp_parcel *parcel;
    uint64_t position = 0;
    uint64_t chain = 0;

    cr_assert(qp_post_put(&waiter, group));
    parcel = take_one();
    cr_assert_eq(qp_post_end(&waiter, group), QP_POST_TAKEN);
    cr_assert_not(qp_post_plan_of(&waiter, &position, &chain), "nothing is planned yet");
    parcel->first->receipt.last_position = 12;
    qp_post_plan(&owner, parcel, 12, 0xabcd);
    qp_post_free(parcel);
    cr_assert(qp_post_plan_of(&waiter, &position, &chain));
    cr_expect_eq(position, 12);
    cr_expect_eq(chain, 0xabcd);
    cr_assert_not(qp_post_put(&waiter, group), "somebody may still have it");
    qp_post_read_plan(&waiter, group);
    cr_expect_eq(group->receipt.last_position, 12);
    qp_post_empty(&waiter);
    cr_assert(qp_post_put(&waiter, group));
}

/* Somebody may have looked already, and found that it is not in. */
Test(post, what_the_dead_have_put_is_thrown_away)
{
    struct qp_request *group = make_group(2);

    cr_assert(qp_post_put(&waiter, group));
    life = QP_ORIGIN_GONE;
    cr_expect_null(qp_post_take(&owner, lives, NULL));
    life = QP_ORIGIN_LIVES;
    cr_expect_null(qp_post_take(&owner, lives, NULL));
    cr_expect_eq(qp_post_count(&owner), 0);
    cr_expect_eq(qp_post_end(&waiter, group), QP_POST_WITHDRAWN, "should it live all the same");
}

/* Neither committed, as it may be dead, nor thrown away, as it may live. */
Test(post, what_may_be_of_the_dead_is_left_where_it_is)
{
    struct qp_request *group = make_group(2);

    cr_assert(qp_post_put(&waiter, group));
    life = QP_ORIGIN_MAY_LIVE;
    cr_expect_null(qp_post_take(&owner, lives, NULL));
    cr_expect_eq(qp_post_count(&owner), 1);
    cr_expect(qp_post_waits(&waiter));
    life = QP_ORIGIN_LIVES;
    qp_post_free(take_one());
    cr_expect_eq(qp_post_end(&waiter, group), QP_POST_TAKEN);
}

/* ---- what is not handed over ---- */

Test(post, what_does_not_go)
{
    struct qp_request flush = {0};
    struct qp_request *group = make_group(2);
    struct qp_post none = {0};
    static char data[BOX_BYTES];
    quipu_draft small = {.type = "t"};
    quipu_draft large = {.type = "t", .data = data, .data_size = sizeof(data)};

    cr_expect_not(qp_post_put(&none, group), "there is no file");
    cr_expect_eq(qp_post_count(&none), 0);
    cr_expect_null(qp_post_take(&none, lives, NULL));
    cr_expect_not(qp_post_put(&waiter, NULL));
    cr_expect_not(qp_post_put(&waiter, &flush));
    cr_assert_eq(qp_batch_unless(&batches[1], NULL, 0), QUIPU_OK);
    cr_expect_not(qp_post_put(&waiter, group), "a query");
    qp_batch_clear(&batches[1]);
    cr_assert_eq(qp_batch_number(&batches[1], QP_STEP_MARK, "m", 1), QUIPU_OK);
    cr_expect_not(qp_post_put(&waiter, group), "the log does not tell whether a mark was moved");
    qp_batch_clear(&batches[1]);
    cr_assert_eq(qp_batch_number(&batches[1], QP_STEP_TRACK, "s", 1), QUIPU_OK);
    cr_expect_not(qp_post_put(&waiter, group), "the same of a source");
    qp_batch_clear(&batches[1]);
    cr_assert_eq(qp_batch_project(&batches[1], QP_LITERAL("p"), 1, NULL, 0, NULL), QUIPU_OK);
    cr_expect_not(qp_post_put(&waiter, group), "a projection's rows do not go");
    cr_assert_eq(qp_batch_append(&batches[1], "s", QUIPU_ANY, &small, 1), QUIPU_OK);
    cr_expect_not(qp_post_put(&waiter, group), "nor with an event");
    qp_batch_clear(&batches[1]);
    cr_assert_eq(qp_batch_number(&batches[1], QP_STEP_TRACK, "s", 1), QUIPU_OK);
    cr_assert_eq(qp_batch_append(&batches[1], "s", QUIPU_ANY, &small, 1), QUIPU_OK);
    cr_expect(qp_post_put(&waiter, group), "but with an event it does");
    cr_expect_eq(qp_post_end(&waiter, group), QP_POST_WITHDRAWN);
    qp_batch_clear(&batches[1]);
    cr_expect(qp_post_put(&waiter, group));
    cr_expect_eq(qp_post_end(&waiter, group), QP_POST_WITHDRAWN);
    cr_assert_eq(qp_batch_append(&batches[1], "s", 0, &large, 1), QUIPU_OK);
    cr_expect_not(qp_post_put(&waiter, group), "too large");
    qp_batch_clear(&batches[1]);
    cr_expect_not(qp_post_put(&waiter, make_group(QP_POST_BATCHES_MAX + 1)), "too many");
}

/* Answers are larger than many small batches: both must fit, at every size. */
Test(post, whatever_is_put_can_be_answered)
{
    for (size_t steps = 1; steps < 400; steps++) {
        struct qp_request *group = &requests[0];
        struct qp_parcel *parcel;

        requests[0] = (struct qp_request){.batch = &batches[0]};
        cr_assert_eq(qp_batch_append(&batches[0], "s", QUIPU_ANY, NULL, 0), QUIPU_OK);
        if (!qp_post_put(&waiter, group))
            continue;
        parcel = take_one();
        qp_post_answer(&owner, parcel, false);
        qp_post_free(parcel);
        cr_assert_eq(qp_post_end(&waiter, group), QP_POST_DONE);
        cr_assert_eq(qp_post_count(&waiter), 0, "the box behind it is untouched");
    }
}

/* ---- what is wrong ---- */

Test(post, bytes_that_changed_are_left_where_they_are)
{
    struct qp_request *group = make_group(2);

    cr_assert(qp_post_put(&waiter, group));
    patch_box(40, 0xee);
    cr_expect_null(qp_post_take(&owner, lives, NULL));
    cr_expect_eq(qp_post_count(&owner), 1);
    cr_expect_eq(qp_post_end(&waiter, group), QP_POST_WITHDRAWN);
}

/* Numbers that would lead out of the box, or nowhere. */
Test(post, heads_that_cannot_be)
{
    static const struct {
        size_t at; /* as post.c lays out a box: 4 is the size, 36 the count */
        uint32_t value;
    } wrong[] = {{4, 0},  {4, BOX_BYTES - BOX_HEAD + 1}, {4, UINT32_MAX},
                 {36, 0}, {36, QP_POST_BATCHES_MAX + 1}, {36, UINT32_MAX}};
    struct qp_request *group = make_group(2);

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert(qp_post_put(&waiter, group));
        patch(wrong[i].at, &wrong[i].value, sizeof(wrong[i].value));
        cr_expect_null(qp_post_take(&owner, lives, NULL), "%zu", i);
        cr_expect_eq(qp_post_end(&waiter, group), QP_POST_WITHDRAWN, "%zu", i);
    }
    cr_assert(qp_post_put(&waiter, group));
    qp_post_free(take_one());
}

/* What a box has may have been put by who had its number before. */
Test(post, a_box_says_who_has_put_its_group)
{
    struct qp_request *group = make_group(2);
    struct qp_post heir = {0};
    struct qp_parcel *parcel;

    cr_assert(qp_post_put(&waiter, group));
    qp_post_open(&heir, &place, SHARED, (struct qp_post_owner){3, 2});
    cr_expect_not(qp_post_put(&heir, group), "it is not empty");
    parcel = qp_post_take(&owner, lives, NULL);
    cr_expect_not_null(parcel);
    cr_expect_eq(generation, 1);
    qp_post_free(parcel);
    qp_post_empty(&heir);
    cr_expect(qp_post_put(&heir, group));
    parcel = qp_post_take(&owner, lives, NULL);
    cr_expect_not_null(parcel);
    cr_expect_eq(generation, 2);
    qp_post_free(parcel);
    qp_post_close(&heir);
}

Test(post, without_memory_it_stays)
{
    struct qp_request *group = make_group(2);
    struct qp_parcel *parcel;

    cr_assert(qp_post_put(&waiter, group));
    support_heap_fail(1, true);
    parcel = qp_post_take(&owner, lives, NULL);
    support_heap_fail(0, false);
    cr_assert_null(parcel);
    parcel = take_one();
    qp_post_free(parcel);
}

Test(post, a_file_of_others_is_not_used)
{
    struct qp_post other = {0};

    qp_post_open(&other, &place, SHARED + 1, (struct qp_post_owner){3, 1});
    cr_assert_null(other.file);
    qp_post_make(&place, SHARED); /* it is there: nothing happens */
    cr_assert(qp_post_put(&waiter, make_group(1)));
    qp_post_make(&place, SHARED + 1);
    qp_post_open(&other, &place, SHARED + 1, (struct qp_post_owner){5, 1});
    cr_assert_not_null(other.file);
    cr_expect_eq(qp_post_count(&other), 0, "it is a new one");
    qp_post_close(&other);
}

/* Where it cannot be made, or is something else, nothing is handed over, and nothing is left. */
Test(post, no_file)
{
    static const char *const what[] = {"a directory", "a fifo", "too short", "a link"};
    char path[SUPPORT_PATH_BYTES];
    char temporary[SUPPORT_PATH_BYTES];
    struct qp_post post = {0};

    (void)support_path(path, QP_POST_FILE);
    (void)support_path(temporary, "post.new");
    for (size_t i = 0; i < 4; i++) {
        support_remove(path);
        if (i == 0)
            cr_assert_eq(mkdir(path, 0700), 0);
        else if (i == 1)
            cr_assert_eq(mkfifo(path, 0600), 0);
        else if (i == 2)
            cr_assert(support_write_file(path, "qp0post1", 8));
        else
            cr_assert_eq(symlink("nowhere", path), 0);
        qp_post_open(&post, &place, SHARED, (struct qp_post_owner){3, 1});
        cr_expect_null(post.file, "%s", what[i]);
        qp_post_make(&place, SHARED);
        qp_post_open(&post, &place, SHARED, (struct qp_post_owner){3, 1});
        cr_expect_eq(post.file != NULL, i != 0, "%s is replaced, if it can be", what[i]);
        cr_expect_neq(access(temporary, F_OK), 0, "%s", what[i]);
        qp_post_close(&post);
    }
    support_remove(path);
    cr_assert_eq(mkdir(temporary, 0700), 0);
    qp_post_make(&place, SHARED);
    qp_post_open(&post, &place, SHARED, (struct qp_post_owner){3, 1});
    cr_expect_null(post.file, "its temporary name is taken");
    cr_expect_neq(access(path, F_OK), 0);
}
