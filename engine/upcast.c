/* upcast.c - a stored event goes through its type's chain of upcasters, in rounds:
 *
 *     stored     A1
 *     round 1    A2   B1        the upcaster of A from 1 gave two
 *     round 2    A3   B2  C1    the one of A from 2 gave one, that of B from 1 two
 *     round 3    A3   B2  C1    none is for these: they are the results, in this order
 *
 * Each round reads one list and writes the other, so that what an upcaster reads does not move
 * while it writes. What has no step any more is copied along.
 *
 * Steps stand in a table by type and schema. Whoever registers puts one into a free slot, or makes
 * a larger table and leaves the older one to who reads there; nothing is changed or taken away
 * before the handle goes. They are numbered in the order in which they came: a reader that began
 * before one came passes it over, so that all of its events take the same way.
 *
 * Refuses to know where events come from, and what becomes of the results. */
#include "upcast.h"

#include "batch.h"
#include "status.h"
#include "sum.h"
#include "text.h"

#include <assert.h>
#include <string.h>

enum { TABLE_SLOTS_MIN = 16 };

struct qp_upcast_step {
    quipu_upcaster upcaster; /* `type` is the own name */
    qp_upcast_fn call;
    size_t type_size;
    unsigned number; /* the first has 1 */
    char type[];
};

/* At most half full, so that a search comes to an end. */
struct qp_upcast_table {
    struct qp_upcast_table *older;
    size_t mask;
    _Atomic(struct qp_upcast_step *) slots[];
};

/* ---- what is registered ---- */

void qp_upcasters_init(struct qp_upcasters *upcasters)
{
    (void)pthread_mutex_init(&upcasters->lock, NULL);
}

void qp_upcasters_release(struct qp_upcasters *upcasters)
{
    struct qp_upcast_table *table = atomic_load(&upcasters->table);

    for (size_t i = 0; table != NULL && i <= table->mask; i++)
        qp_free(atomic_load(&table->slots[i])); /* older tables have none but these */
    while (table != NULL) {
        struct qp_upcast_table *older = table->older;

        qp_free(table);
        table = older;
    }
    (void)pthread_mutex_destroy(&upcasters->lock);
}

static size_t first_slot(const struct qp_upcast_table *table, struct qp_bytes type, uint32_t from)
{
    return (size_t)qp_sum(type.data, type.size, from) & table->mask;
}

static bool is_for(const struct qp_upcast_step *step, struct qp_bytes type, uint32_t from)
{
    return step->upcaster.from == from &&
           qp_bytes_equal((struct qp_bytes){step->type, step->type_size}, type);
}

/* Where a step stands, or is to be put. */
static size_t find_slot(const struct qp_upcast_table *table, struct qp_bytes type, uint32_t from)
{
    size_t slot = first_slot(table, type, from);

    for (;;) {
        const struct qp_upcast_step *step =
            atomic_load_explicit(&table->slots[slot], memory_order_acquire);

        if (step == NULL || is_for(step, type, from))
            return slot;
        slot = (slot + 1) & table->mask;
    }
}

static void put_step(struct qp_upcast_table *table, struct qp_upcast_step *step)
{
    const struct qp_bytes type = {step->type, step->type_size};
    size_t slot = find_slot(table, type, step->upcaster.from);

    assert(atomic_load(&table->slots[slot]) == NULL);
    atomic_store_explicit(&table->slots[slot], step, memory_order_release);
}

/* A table with room for one more, which nobody sees yet if it is a new one. NULL: memory is out. */
static struct qp_upcast_table *make_room(struct qp_upcast_table *table, size_t count)
{
    size_t slots = table != NULL ? table->mask + 1 : TABLE_SLOTS_MIN / 2;
    struct qp_upcast_table *larger;

    if (table != NULL && count + 1 <= slots / 2)
        return table;
    slots *= 2;
    larger = qp_zalloc(sizeof(*larger) + slots * sizeof(larger->slots[0]));
    if (larger == NULL)
        return NULL;
    larger->older = table;
    larger->mask = slots - 1;
    for (size_t i = 0; table != NULL && i <= table->mask; i++) {
        struct qp_upcast_step *step = atomic_load(&table->slots[i]);

        if (step != NULL)
            put_step(larger, step);
    }
    return larger;
}

/* A chain has no gaps: the new step is the type's first, or stands next to its others. */
static int check_chain(const struct qp_upcast_table *table, struct qp_bytes type, uint32_t from,
                       quipu_error *error)
{
    uint32_t lowest = UINT32_MAX;
    uint32_t highest = 0;

    for (size_t i = 0; table != NULL && i <= table->mask; i++) {
        const struct qp_upcast_step *step = atomic_load(&table->slots[i]);

        if (step == NULL || !is_for(step, type, step->upcaster.from))
            continue;
        lowest = step->upcaster.from < lowest ? step->upcaster.from : lowest;
        highest = step->upcaster.from > highest ? step->upcaster.from : highest;
    }
    if (lowest > highest)
        return QUIPU_OK;
    if (from >= lowest && from <= highest)
        return qp_fail(error, QUIPU_MISUSE, "%.100s has an upcaster from schema %u already",
                       (const char *)type.data, from);
    if ((from > highest + 1 || from + 1 < lowest) && !QP_MUTANT(UPCAST_GAP)) {
        return qp_fail(error, QUIPU_MISUSE,
                       "%.100s has upcasters from schemas %u to %u: one from %u is missing before "
                       "that from %u",
                       (const char *)type.data, lowest, highest,
                       from > highest ? highest + 1 : lowest - 1, from);
    }
    return QUIPU_OK;
}

static struct qp_upcast_step *new_step(const quipu_upcaster *given, size_t type_size,
                                       qp_upcast_fn call, unsigned number)
{
    struct qp_upcast_step *step = qp_zalloc(sizeof(*step) + type_size + 1);

    if (step == NULL)
        return NULL;
    step->upcaster = *given;
    step->upcaster.type = step->type;
    step->call = call;
    step->type_size = type_size;
    step->number = number;
    memcpy(step->type, given->type, type_size);
    return step;
}

/* Under the lock. The count comes last: who knows of a step finds it in the table. */
static int add(struct qp_upcasters *upcasters, const quipu_upcaster *given, struct qp_bytes type,
               qp_upcast_fn call, quipu_error *error)
{
    struct qp_upcast_table *table = atomic_load(&upcasters->table);
    unsigned count = atomic_load(&upcasters->count);
    struct qp_upcast_step *step;
    int rc = check_chain(table, type, given->from, error);

    if (rc < 0)
        return rc;
    step = new_step(given, type.size, call, count + 1);
    table = step != NULL ? make_room(table, count) : NULL;
    if (table == NULL) {
        qp_free(step);
        return qp_fail_memory(error);
    }
    put_step(table, step);
    atomic_store(&upcasters->table, table);
    atomic_store(&upcasters->count, count + 1);
    return QUIPU_OK;
}

int qp_upcasters_add(struct qp_upcasters *upcasters, const quipu_upcaster *given, qp_upcast_fn call,
                     quipu_error *error)
{
    struct qp_bytes type = {.data = given->type};
    int rc = qp_text_name(given->type, QP_NAME_MAX, "an upcaster's type", &type.size, error);

    assert(call != NULL && given->up != NULL);
    if (rc < 0)
        return rc;
    if (given->type[0] == '$')
        return qp_fail(error, QUIPU_INVALID, "an upcaster's type begins with '$': %.60s",
                       given->type);
    if (given->from >= UINT16_MAX)
        return qp_fail(error, QUIPU_MISUSE, "no schema follows %u", given->from);
    (void)pthread_mutex_lock(&upcasters->lock);
    rc = add(upcasters, given, type, call, error);
    (void)pthread_mutex_unlock(&upcasters->lock);
    return rc;
}

/* ---- one event's way ---- */

void qp_upcast_begin(struct qp_upcast *upcast, struct qp_upcasters *upcasters, bool backwards)
{
    *upcast = (struct qp_upcast){.backwards = backwards};
    upcast->known = atomic_load(&upcasters->count); /* before the table, which has them all */
    if (upcast->known > 0)
        upcast->table = atomic_load(&upcasters->table);
}

void qp_upcast_release(struct qp_upcast *upcast)
{
    for (size_t i = 0; i < 2; i++) {
        qp_free(upcast->lists[i].pieces);
        qp_buffer_release(&upcast->lists[i].bytes);
    }
    *upcast = (struct qp_upcast){0};
}

/* NULL: none is for it, or one that came too late. */
static const struct qp_upcast_step *find_step(const struct qp_upcast *upcast,
                                              const quipu_event *event)
{
    const struct qp_bytes type = {event->type, event->type_size};
    const struct qp_upcast_step *step;
    size_t slot;

    if (upcast->table == NULL)
        return NULL;
    slot = find_slot(upcast->table, type, event->schema);
    step = atomic_load_explicit(&upcast->table->slots[slot], memory_order_acquire);
    if (step != NULL && step->number > upcast->known && !QP_MUTANT(UPCAST_LATE))
        return NULL;
    return step;
}

/* A piece at the end, with room for its bytes. NULL: memory is out. */
static struct qp_upcast_piece *add_piece(struct qp_upcast_list *list, size_t size)
{
    struct qp_upcast_piece *piece;

    if (!qp_array_reserve(&list->pieces, &list->capacity, list->count + 1, sizeof(*list->pieces)) ||
        !qp_buffer_reserve(&list->bytes, size))
        return NULL;
    piece = &list->pieces[list->count++];
    *piece = (struct qp_upcast_piece){.offset = list->bytes.size, .size = size};
    return piece;
}

/* Its room was made before. */
static void put(struct qp_upcast_list *list, const void *bytes, size_t size)
{
    bool done = qp_buffer_put(&list->bytes, bytes, size);

    assert(done);
    (void)done;
}

/* The bytes will not move any more: let the events point there. */
static void settle(struct qp_upcast_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct qp_upcast_piece *piece = &list->pieces[i];
        quipu_event *event = &piece->event;
        const uint8_t *at = list->bytes.bytes + piece->offset;

        event->type = (const char *)at;
        at += event->type_size + 1;
        event->tags = (const char *)at;
        at += piece->tags_size;
        event->data = event->data_size > 0 ? at : NULL;
        at += event->data_size;
        event->meta = event->meta_size > 0 ? at : NULL;
        assert(at + event->meta_size == list->bytes.bytes + piece->offset + piece->size);
    }
}

static int copy_along(struct qp_upcast_list *out, const struct qp_upcast_list *from,
                      const struct qp_upcast_piece *piece)
{
    struct qp_upcast_piece *copy = add_piece(out, piece->size);

    if (copy == NULL)
        return QUIPU_NO_MEMORY;
    copy->event = piece->event;
    copy->tags_size = piece->tags_size;
    put(out, from->bytes.bytes + piece->offset, piece->size);
    return QUIPU_OK;
}

/* ---- a step ---- */

/* What a draft leaves open is the event's that it is made of: a place in history has one time, one
 * id and one meta, unless somebody says otherwise. */
static int put_draft(const struct qp_upcast *upcast, const quipu_draft *draft, size_t type_size)
{
    const quipu_event *input = upcast->input;
    bool own_meta = draft->meta_size > 0 || QP_MUTANT(UPCAST_META);
    const void *meta = own_meta ? draft->meta : input->meta;
    uint32_t meta_size = own_meta ? draft->meta_size : input->meta_size;
    size_t tags_size = 0;
    struct qp_upcast_piece *piece;
    quipu_event *event;

    for (uint32_t i = 0; i < draft->tag_count; i++)
        tags_size += strlen(draft->tags[i]) + 1;
    piece =
        add_piece(upcast->out, type_size + 1 + tags_size + (size_t)draft->data_size + meta_size);
    if (piece == NULL)
        return QUIPU_NO_MEMORY;
    piece->tags_size = tags_size;
    event = &piece->event;
    *event = *input;
    event->type_size = (uint32_t)type_size;
    event->tag_count = draft->tag_count;
    event->data_size = draft->data_size;
    event->meta_size = meta_size;
    event->data_format = draft->data_format;
    event->meta_format = own_meta ? draft->meta_format : input->meta_format;
    event->schema = draft->schema;
    if ((draft->flags & QUIPU_EVENT_HAS_TIME) != 0) {
        event->time_ns = draft->time_ns;
        event->flags |= QUIPU_EVENT_HAS_TIME;
    }
    put(upcast->out, draft->type, type_size + 1);
    for (uint32_t i = 0; i < draft->tag_count; i++)
        put(upcast->out, draft->tags[i], strlen(draft->tags[i]) + 1);
    put(upcast->out, draft->data, draft->data_size);
    put(upcast->out, meta, meta_size);
    event->type = draft->type; /* until settle() knows where its own stands */
    piece->step = QP_MUTANT(UPCAST_ONCE) ? NULL : find_step(upcast, event);
    return QUIPU_OK;
}

/* A result of the same type is the next shape of it, or the chain would be left, or never end. */
static int check_result(const struct qp_upcast *upcast, const char *stream,
                        const quipu_draft *draft, quipu_error *error)
{
    const quipu_event *input = upcast->input;
    int rc;

    if (stream != NULL)
        return qp_fail(error, QUIPU_MISUSE, "an upcaster names no stream");
    if (draft == NULL)
        return qp_fail(error, QUIPU_MISUSE, "the draft is NULL");
    rc = qp_batch_check_draft(draft, error);
    if (rc < 0)
        return rc;
    if (strcmp(draft->type, input->type) == 0 && draft->schema != input->schema + 1)
        return qp_fail(error, QUIPU_INVALID, "it gave the same type with schema %u", draft->schema);
    if (upcast->out->count >= QP_UPCAST_EVENTS_MAX)
        return qp_fail(error, QUIPU_TOO_LARGE, "one event becomes more than %d",
                       QP_UPCAST_EVENTS_MAX);
    return QUIPU_OK;
}

int qp_upcast_emit(struct qp_upcast *upcast, const char *stream, const quipu_draft *draft)
{
    quipu_error *failure = &upcast->failure;
    int rc;

    assert(upcast->input != NULL && upcast->out != NULL);
    if (failure->status != QUIPU_OK)
        return failure->status;
    rc = check_result(upcast, stream, draft, failure);
    if (rc == QUIPU_OK && put_draft(upcast, draft, strlen(draft->type)) < 0)
        rc = qp_fail_memory(failure);
    return rc;
}

/* As load.c has it for a fold's functions: into a record of our own first, because what a callback
 * writes and then returns 0 is no error. What an emit has failed with fails the event, whether `up`
 * saw it or not. */
static int call(struct qp_upcast *upcast, const struct qp_upcast_step *step,
                const quipu_event *event, quipu_error *error)
{
    const unsigned long long position = event->position;
    quipu_error own = {0};
    int rc;

    upcast->input = event;
    rc = step->call(&step->upcaster, event, upcast, &own);
    upcast->input = NULL;
    if (rc < 0 && own.text[0] != '\0') {
        own.status = rc;
        if (error != NULL)
            *error = own;
        return rc;
    }
    if (rc == QUIPU_OK || rc == upcast->failure.status)
        rc = upcast->failure.status;
    if (rc == QUIPU_OK || rc == QUIPU_NO_MEMORY)
        return rc == QUIPU_OK ? rc : qp_fail_memory(error);
    if (rc == upcast->failure.status)
        return qp_fail(error, rc, "the upcaster of %.60s from schema %u at position %llu: %.120s",
                       step->type, step->upcaster.from, position, upcast->failure.text);
    return qp_fail(error, rc < 0 ? rc : QUIPU_MISUSE,
                   "the upcaster of %.100s from schema %u returned %d at position %llu", step->type,
                   step->upcaster.from, rc, position);
}

/* ---- rounds ---- */

static struct qp_upcast_list *begin_round(struct qp_upcast *upcast)
{
    struct qp_upcast_list *out =
        upcast->out == &upcast->lists[0] ? &upcast->lists[1] : &upcast->lists[0];

    out->count = 0;
    out->bytes.size = 0;
    upcast->out = out;
    upcast->failure = (quipu_error){0};
    return out;
}

static bool has_step(const struct qp_upcast_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->pieces[i].step != NULL)
            return true;
    return false;
}

static int run_round(struct qp_upcast *upcast, const struct qp_upcast_list *from,
                     quipu_error *error)
{
    struct qp_upcast_list *out = begin_round(upcast);
    int rc = QUIPU_OK;

    assert(out != from);
    for (size_t i = 0; i < from->count && rc == QUIPU_OK; i++) {
        const struct qp_upcast_piece *piece = &from->pieces[i];

        if (piece->step != NULL)
            rc = call(upcast, piece->step, &piece->event, error);
        else if (copy_along(out, from, piece) < 0)
            rc = qp_fail_memory(error);
    }
    if (rc == QUIPU_OK)
        settle(out);
    return rc;
}

/* The stored event is of no list. */
static int run_first(struct qp_upcast *upcast, const struct qp_upcast_step *step,
                     const quipu_event *event, quipu_error *error)
{
    struct qp_upcast_list *out = begin_round(upcast);
    int rc = call(upcast, step, event, error);

    if (rc == QUIPU_OK)
        settle(out);
    return rc;
}

int qp_upcast_event(struct qp_upcast *upcast, const quipu_event *event, quipu_error *error)
{
    const struct qp_upcast_step *step = find_step(upcast, event);
    unsigned steps = 1;
    int rc;

    upcast->plain = step == NULL ? event : NULL;
    upcast->left = 0;
    upcast->results = NULL;
    if (step == NULL)
        return QUIPU_OK;
    rc = run_first(upcast, step, event, error);
    while (rc == QUIPU_OK && has_step(upcast->out)) {
        if (steps++ == QP_UPCAST_STEPS_MAX) {
            return qp_fail(error, QUIPU_INVALID,
                           "the event at position %llu takes more than %d upcasters one after "
                           "the other",
                           (unsigned long long)event->position, QP_UPCAST_STEPS_MAX);
        }
        rc = run_round(upcast, upcast->out, error);
    }
    if (rc < 0)
        return rc;
    upcast->results = upcast->out;
    upcast->left = upcast->results->count;
    return QUIPU_OK;
}

size_t qp_upcast_left(const struct qp_upcast *upcast)
{
    return upcast->plain != NULL ? 1 : upcast->left;
}

void qp_upcast_again(struct qp_upcast *upcast, const quipu_event *event)
{
    if (upcast->results != NULL)
        upcast->left = upcast->results->count;
    else
        upcast->plain = event;
}

const quipu_event *qp_upcast_next(struct qp_upcast *upcast)
{
    const quipu_event *plain = upcast->plain;
    size_t next;

    if (qp_upcast_left(upcast) == 0)
        return NULL;
    upcast->plain = NULL;
    if (plain != NULL)
        return plain;
    upcast->left--;
    next = upcast->backwards ? upcast->left : upcast->results->count - 1 - upcast->left;
    return &upcast->results->pieces[next].event;
}
