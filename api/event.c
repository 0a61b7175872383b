/* event.c - an event's members, for folds without a decoder; its tags; copies; ids. */
#include "event.h"

#include "clock.h"
#include "id.h"
#include "json.h"
#include "memory.h"
#include "quipu.h"

#include <string.h>

int quipu_event_is(const quipu_event *event, const char *type)
{
    return event != NULL && type != NULL && event->type != NULL && strcmp(event->type, type) == 0;
}

const char *quipu_event_tag(const quipu_event *event, const char *key)
{
    if (event == NULL || key == NULL || event->tags == NULL)
        return NULL;
    return qp_event_tag(event, key);
}

int quipu_event_copy(const quipu_event *event, quipu_event **out)
{
    if (out == NULL)
        return QUIPU_MISUSE;
    *out = NULL;
    if (event == NULL)
        return QUIPU_MISUSE;
    *out = qp_event_copy(event);
    return *out != NULL ? QUIPU_OK : QUIPU_NO_MEMORY;
}

void quipu_event_free(quipu_event *event)
{
    qp_free(event);
}

/* ---- ids ---- */

void quipu_id_new(uint8_t id[16])
{
    uint8_t random[QP_ID_RANDOM_BYTES];

    if (id == NULL)
        return;
    qp_id_random(random);
    qp_id_time(qp_clock_wall_ns(), random, id);
}

void quipu_id_from(const void *key, size_t size, uint8_t id[16])
{
    if (id != NULL)
        qp_id_from(key, key != NULL ? size : 0, id);
}

/* ---- members ---- */

/* Returns: 1 if there is a member of this kind. */
static int find(const quipu_event *event, const char *name, const void *out,
                struct qp_member *member)
{
    if (event == NULL || name == NULL || out == NULL)
        return 0;
    qp_event_member(event, name, member);
    return 1;
}

int quipu_get_i64(const quipu_event *event, const char *name, int64_t *out)
{
    struct qp_member member;

    if (!find(event, name, out, &member) || member.kind != QP_MEMBER_INTEGER)
        return 0;
    *out = member.integer;
    return 1;
}

int quipu_get_f64(const quipu_event *event, const char *name, double *out)
{
    struct qp_member member;

    if (!find(event, name, out, &member) ||
        (member.kind != QP_MEMBER_REAL && member.kind != QP_MEMBER_INTEGER))
        return 0;
    *out = member.real;
    return 1;
}

int quipu_get_bool(const quipu_event *event, const char *name, int *out)
{
    struct qp_member member;

    if (!find(event, name, out, &member) || member.kind != QP_MEMBER_BOOLEAN)
        return 0;
    *out = member.boolean ? 1 : 0;
    return 1;
}

int64_t quipu_get_text(const quipu_event *event, const char *name, char *out, size_t capacity)
{
    struct qp_member member;
    size_t copied;

    if (event == NULL || name == NULL || (out == NULL && capacity > 0))
        return -1;
    qp_event_member(event, name, &member);
    if (member.kind != QP_MEMBER_TEXT)
        return -1;
    if (member.escaped)
        return qp_json_unescape(member.text, member.text_size, out, capacity);
    if (capacity == 0)
        return (int64_t)member.text_size;
    copied = member.text_size < capacity ? member.text_size : capacity - 1;
    memcpy(out, member.text, copied);
    out[copied] = '\0';
    return (int64_t)member.text_size;
}
