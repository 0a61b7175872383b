/* post.c - a box has a group as it stands in memory, or its results:
 *
 *     put      count | { sizes | steps | drafts | records | names } { ... } ...        and a sum
 *     answer   { status, receipt, error | results of its steps } { ... } ...           and a plan
 *
 * Both are only read by processes of the same build of these structs: the file says how large they
 * are. Everything in a batch is found by offsets, so that it is copied as it is. The sum is looked
 * at before anything else: the memory is shared, and who wrote it may have been killed in the
 * middle of a word, or have written somewhere else than it meant. */
#include "post.h"

#include "memory.h"
#include "sum.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define POST_MAGIC     UINT64_C(0x3174736f70307071) /* "qp0post1" */
#define TEMPORARY_FILE "post.new"
#define BOX_BYTES      (32 * QP_KIB)
#define HEAD_BYTES     4096

enum box_state { BOX_EMPTY = 0, BOX_POSTED, BOX_TAKEN, BOX_DONE };

struct box {
    atomic_uint state; /* box_state */
    uint32_t size;     /* of what was put */
    uint64_t sum;
    uint64_t plan_position;
    uint64_t plan_chain;
    atomic_uint planned;
    uint32_t count;      /* of batches */
    uint32_t generation; /* of who has put it */
    uint32_t zero;
    uint8_t bytes[BOX_BYTES - 48];
};

struct identity {
    uint64_t magic;
    uint64_t shared_inode; /* of the file `shared` that it belongs to */
    uint32_t step_bytes;
    uint32_t draft_bytes;
};

struct qp_post_file {
    struct identity identity;
    uint8_t rest[HEAD_BYTES - sizeof(struct identity)];
    struct box boxes[QP_PROCESSES_MAX];
};

/* What stands before the arrays of a batch. Each array is padded to 8 bytes. */
struct sizes {
    uint64_t steps;
    uint64_t drafts;
    uint64_t bytes;
    uint64_t names;
};

struct outcome {
    int32_t status;
    uint32_t decided;
    quipu_receipt receipt;
    quipu_error error;
};

/* ---- the file ---- */

static struct identity identity_of(uint64_t shared_inode)
{
    return (struct identity){.magic = POST_MAGIC,
                             .shared_inode = shared_inode,
                             .step_bytes = sizeof(struct qp_step),
                             .draft_bytes = sizeof(struct qp_draft_record)};
}

static struct qp_post_file *map_file(const struct qp_place *place, uint64_t shared_inode)
{
    const struct identity wanted = identity_of(shared_inode);
    struct qp_post_file *file = MAP_FAILED;
    struct stat info;
    int fd = openat(place->fd, QP_POST_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    static_assert(sizeof(struct box) == BOX_BYTES, "boxes begin at pages");
    if (fd < 0)
        return NULL;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (size_t)info.st_size == sizeof(*file))
        file = mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (file == MAP_FAILED)
        return NULL;
    if (memcmp(&file->identity, &wanted, sizeof(wanted)) == 0)
        return file;
    (void)munmap(file, sizeof(*file));
    return NULL;
}

/* Written and not left as a hole: where the disk is full that would be a SIGBUS. */
static bool write_file(int fd, uint64_t shared_inode)
{
    static const uint8_t zeros[BOX_BYTES];
    const struct identity identity = identity_of(shared_inode);
    uint8_t head[HEAD_BYTES] = {0};
    bool good;

    memcpy(head, &identity, sizeof(identity));
    good = write(fd, head, sizeof(head)) == (ssize_t)sizeof(head);
    for (unsigned i = 0; i < QP_PROCESSES_MAX && good; i++)
        good = write(fd, zeros, sizeof(zeros)) == (ssize_t)sizeof(zeros);
    return good;
}

void qp_post_make(const struct qp_place *place, uint64_t shared_inode)
{
    struct qp_post_file *file = map_file(place, shared_inode);
    bool good;
    int fd;

    if (file != NULL) {
        (void)munmap(file, sizeof(*file));
        return;
    }
    (void)unlinkat(place->fd, TEMPORARY_FILE, 0); /* of one who died here; the door is ours */
    fd = openat(place->fd, TEMPORARY_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    good = write_file(fd, shared_inode);
    (void)close(fd);
    if (!good || renameat(place->fd, TEMPORARY_FILE, place->fd, QP_POST_FILE) != 0)
        (void)unlinkat(place->fd, TEMPORARY_FILE, 0);
}

void qp_post_open(struct qp_post *post, const struct qp_place *place, uint64_t shared_inode,
                  struct qp_post_owner own)
{
    assert(post->file == NULL && own.box < QP_PROCESSES_MAX);
    post->file = map_file(place, shared_inode);
    post->own = own;
}

void qp_post_close(struct qp_post *post)
{
    if (post->file != NULL)
        (void)munmap(post->file, sizeof(*post->file));
    post->file = NULL;
}

static struct box *own_box(const struct qp_post *post)
{
    return &post->file->boxes[post->own.box];
}

static enum box_state state_of(const struct box *box)
{
    return (enum box_state)atomic_load(&box->state);
}

static bool move(struct box *box, enum box_state from, enum box_state to)
{
    unsigned expected = from;

    return atomic_compare_exchange_strong(&box->state, &expected, to);
}

/* ---- a group as bytes ---- */

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

/* If its taker dies the log must tell whether it is in: what changes numbers and appends no events
 * leaves nothing there. */
static bool changes_numbers_alone(const struct qp_batch *batch, const struct qp_step *step)
{
    return batch->draft_count == 0 && !QP_MUTANT(NUMBERS_PUT) &&
           (step->kind == QP_STEP_MARK || step->kind == QP_STEP_TRACK);
}

static bool can_be_put(const struct qp_request *request)
{
    const struct qp_batch *batch = request->batch;

    if (batch == NULL)
        return false;
    for (size_t i = 0; i < batch->step_count; i++) {
        const struct qp_step *step = &batch->steps[i];

        if (step->query != NULL || step->kind == QP_STEP_PROJECT ||
            changes_numbers_alone(batch, step))
            return false;
    }
    return true;
}

static size_t bytes_of_put(const struct qp_batch *batch)
{
    return sizeof(struct sizes) + padded(batch->step_count * sizeof(*batch->steps)) +
           padded(batch->draft_count * sizeof(*batch->drafts)) + padded(batch->bytes.size) +
           padded(batch->names.size);
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(at, bytes, size);
    return at + padded(size);
}

static uint8_t *put_batch(uint8_t *at, const struct qp_batch *batch)
{
    const struct sizes sizes = {batch->step_count, batch->draft_count, batch->bytes.size,
                                batch->names.size};

    at = put(at, &sizes, sizeof(sizes));
    at = put(at, batch->steps, batch->step_count * sizeof(*batch->steps));
    at = put(at, batch->drafts, batch->draft_count * sizeof(*batch->drafts));
    at = put(at, batch->bytes.bytes, batch->bytes.size);
    return put(at, batch->names.bytes, batch->names.size);
}

void qp_post_empty(struct qp_post *post)
{
    if (post->file != NULL)
        atomic_store(&own_box(post)->state, BOX_EMPTY);
}

bool qp_post_put(struct qp_post *post, const struct qp_request *group)
{
    struct box *box;
    uint8_t *at;
    size_t bytes = 0;
    uint32_t count = 0;

    if (post->file == NULL || state_of(own_box(post)) != BOX_EMPTY)
        return false;
    for (const struct qp_request *request = group; request != NULL; request = request->next) {
        if (!can_be_put(request))
            return false;
        bytes += bytes_of_put(request->batch);
        count++;
    }
    box = own_box(post);
    if (count == 0 || count > QP_POST_BATCHES_MAX || bytes > sizeof(box->bytes))
        return false;
    at = box->bytes;
    for (const struct qp_request *request = group; request != NULL; request = request->next)
        at = put_batch(at, request->batch);
    assert((size_t)(at - box->bytes) == bytes);
    box->generation = post->own.generation;
    box->count = count;
    box->size = (uint32_t)bytes;
    box->sum = qp_sum(box->bytes, bytes, count);
    atomic_store(&box->planned, 0);
    atomic_store(&box->state, BOX_POSTED);
    return true;
}

/* ---- outcomes as bytes ---- */

static void read_outcomes(const struct box *box, struct qp_request *group)
{
    const uint8_t *at = box->bytes;

    for (struct qp_request *request = group; request != NULL; request = request->next) {
        struct qp_batch *batch = request->batch;
        struct outcome outcome;

        memcpy(&outcome, at, sizeof(outcome));
        at += sizeof(outcome);
        request->status = outcome.status;
        request->receipt = outcome.receipt;
        request->error = outcome.error;
        batch->decided = outcome.decided != 0;
        for (size_t i = 0; i < batch->step_count; i++, at += sizeof(quipu_result))
            memcpy(&batch->steps[i].result, at, sizeof(quipu_result));
    }
}

/* They fit where the group was. */
static void write_outcomes(struct box *box, const struct qp_parcel *parcel)
{
    const struct qp_request *request = parcel->first;
    uint8_t *at = box->bytes;

    static_assert(QP_POST_BATCHES_MAX * sizeof(struct outcome) +
                          sizeof(box->bytes) / sizeof(struct qp_step) * sizeof(quipu_result) <=
                      sizeof(box->bytes),
                  "what became of the most batches with the most steps fits a box");

    for (size_t i = 0; i < parcel->count; i++, request = request->next) {
        const struct qp_batch *batch = request->batch;
        const struct outcome outcome = {.status = request->status,
                                        .decided = batch->decided,
                                        .receipt = request->receipt,
                                        .error = request->error};

        memcpy(at, &outcome, sizeof(outcome));
        at += sizeof(outcome);
        for (size_t j = 0; j < batch->step_count; j++, at += sizeof(quipu_result))
            memcpy(at, &batch->steps[j].result, sizeof(quipu_result));
    }
    assert((size_t)(at - box->bytes) <= sizeof(box->bytes));
}

bool qp_post_waits(const struct qp_post *post)
{
    return state_of(own_box(post)) == BOX_POSTED;
}

bool qp_post_answered(const struct qp_post *post)
{
    return state_of(own_box(post)) == BOX_DONE;
}

enum qp_post_state qp_post_end(struct qp_post *post, struct qp_request *group)
{
    struct box *box = own_box(post);

    if (move(box, BOX_POSTED, BOX_EMPTY) || state_of(box) == BOX_EMPTY)
        return QP_POST_WITHDRAWN; /* empty: thrown away by one who took us for dead */
    if (state_of(box) == BOX_TAKEN)
        return QP_POST_TAKEN;
    assert(state_of(box) == BOX_DONE);
    read_outcomes(box, group);
    atomic_store(&box->state, BOX_EMPTY);
    return QP_POST_DONE;
}

bool qp_post_plan_of(const struct qp_post *post, uint64_t *position, uint64_t *chain)
{
    const struct box *box = own_box(post);

    assert(state_of(box) == BOX_TAKEN);
    if (atomic_load(&box->planned) == 0)
        return false;
    *position = box->plan_position;
    *chain = box->plan_chain;
    return true;
}

void qp_post_read_plan(struct qp_post *post, struct qp_request *group)
{
    assert(state_of(own_box(post)) == BOX_TAKEN);
    read_outcomes(own_box(post), group);
}

/* ---- taking ---- */

/* A parcel in one piece: the requests, the batches, the bytes that these point into. */
struct contents {
    struct qp_parcel parcel;
    struct qp_request requests[QP_POST_BATCHES_MAX];
    struct qp_batch batches[QP_POST_BATCHES_MAX];
    _Alignas(8) uint8_t bytes[BOX_BYTES];
};

static uint8_t *array_at(uint8_t **at, size_t size)
{
    uint8_t *array = *at;

    *at += padded(size);
    return array;
}

/* The bytes are whole, and our own copy: they are what put_batch() wrote. */
static void unpack(struct contents *contents, size_t count)
{
    uint8_t *at = contents->bytes;

    for (size_t i = 0; i < count; i++) {
        struct qp_batch *batch = &contents->batches[i];
        struct sizes sizes;

        memcpy(&sizes, at, sizeof(sizes));
        at += padded(sizeof(sizes));
        *batch = (struct qp_batch){.step_count = sizes.steps,
                                   .draft_count = sizes.drafts,
                                   .bytes.size = sizes.bytes,
                                   .names.size = sizes.names};
        batch->steps = (void *)array_at(&at, sizes.steps * sizeof(*batch->steps));
        batch->drafts = (void *)array_at(&at, sizes.drafts * sizeof(*batch->drafts));
        batch->bytes.bytes = array_at(&at, sizes.bytes);
        batch->names.bytes = array_at(&at, sizes.names);
        contents->requests[i] = (struct qp_request){.batch = batch};
        if (i > 0)
            contents->requests[i - 1].next = &contents->requests[i];
    }
}

/* NULL: nothing is there, or not what it should be; then it is left where it is. */
static struct qp_parcel *take(struct box *box, unsigned number)
{
    struct contents *contents;
    size_t size;
    size_t count;

    contents = qp_resize(NULL, sizeof(*contents));
    if (contents == NULL)
        return NULL;
    if (!move(box, BOX_POSTED, BOX_TAKEN)) {
        qp_free(contents);
        return NULL;
    }
    size = box->size;
    count = box->count;
    if (size > sizeof(box->bytes) || count == 0 || count > QP_POST_BATCHES_MAX) {
        size = 0; /* such a sum is no sum of anything that was put */
        count = 0;
    }
    memcpy(contents->bytes, box->bytes, size);
    if (size == 0 || qp_sum(contents->bytes, size, count) != box->sum) {
        (void)move(box, BOX_TAKEN, BOX_POSTED);
        qp_free(contents);
        return NULL;
    }
    unpack(contents, count);
    contents->parcel = (struct qp_parcel){.box = number,
                                          .first = &contents->requests[0],
                                          .last = &contents->requests[count - 1],
                                          .count = count};
    return &contents->parcel;
}

size_t qp_post_count(const struct qp_post *post)
{
    size_t count = 0;

    if (post->file == NULL)
        return 0;
    for (unsigned i = 0; i < QP_PROCESSES_MAX; i++)
        count += i != post->own.box && state_of(&post->file->boxes[i]) == BOX_POSTED;
    return count;
}

static bool is_of_dead(struct box *box, unsigned number, qp_post_lives_fn lives, void *payload)
{
    enum box_state state = state_of(box);

    return (state == BOX_POSTED || state == BOX_TAKEN) &&
           lives(payload, (struct qp_post_owner){number, box->generation}) == QP_ORIGIN_GONE;
}

bool qp_post_any_of_dead(const struct qp_post *post, qp_post_lives_fn lives, void *payload)
{
    if (post->file == NULL)
        return false;
    for (unsigned i = 0; i < QP_PROCESSES_MAX; i++)
        if (is_of_dead(&post->file->boxes[i], i, lives, payload))
            return true;
    return false;
}

void qp_post_drop_dead(struct qp_post *post, qp_post_lives_fn lives, void *payload)
{
    if (post->file == NULL)
        return;
    for (unsigned i = 0; i < QP_PROCESSES_MAX; i++)
        if (is_of_dead(&post->file->boxes[i], i, lives, payload))
            atomic_store(&post->file->boxes[i].state, BOX_EMPTY);
}

struct qp_parcel *qp_post_take(struct qp_post *post, qp_post_lives_fn lives, void *payload)
{
    struct qp_parcel *parcels = NULL;

    if (post->file == NULL)
        return NULL;
    for (unsigned i = 0; i < QP_PROCESSES_MAX; i++) {
        struct box *box = &post->file->boxes[i];
        struct qp_parcel *parcel = NULL;
        enum qp_origin_life life;

        if (i == post->own.box || state_of(box) != BOX_POSTED)
            continue;
        life = lives(payload, (struct qp_post_owner){i, box->generation});
        if (life == QP_ORIGIN_LIVES || QP_MUTANT(DEAD_TAKEN))
            parcel = take(box, i);
        else if (life == QP_ORIGIN_GONE)
            (void)move(box, BOX_POSTED, BOX_EMPTY);
        if (parcel == NULL)
            continue;
        parcel->next = parcels;
        parcels = parcel;
    }
    return parcels;
}

void qp_post_plan(struct qp_post *post, const struct qp_parcel *parcels, uint64_t position,
                  uint64_t chain)
{
    for (const struct qp_parcel *parcel = parcels; parcel != NULL; parcel = parcel->next) {
        struct box *box = &post->file->boxes[parcel->box];

        atomic_store(&box->planned, 0);
        write_outcomes(box, parcel);
        box->plan_position = position;
        box->plan_chain = chain;
        atomic_store(&box->planned, 1);
    }
}

/* What was planned stands there already, and stays valid should we die here: it was committed. */
void qp_post_answer(struct qp_post *post, const struct qp_parcel *parcels, bool as_planned)
{
    for (const struct qp_parcel *parcel = parcels; parcel != NULL; parcel = parcel->next) {
        struct box *box = &post->file->boxes[parcel->box];

        if (!as_planned) {
            atomic_store(&box->planned, 0);
            write_outcomes(box, parcel);
        }
        if (!QP_MUTANT(POST_UNANSWERED))
            (void)move(box, BOX_TAKEN, BOX_DONE);
    }
}

void qp_post_free(struct qp_parcel *parcels)
{
    while (parcels != NULL) {
        struct qp_parcel *next = parcels->next;

        qp_free(parcels); /* the first member of its contents */
        parcels = next;
    }
}
