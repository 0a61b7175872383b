/* projection.c - what a row of the list of projections says, for programs and for people. */
#include "projection.h"

#include "number.h"
#include "stamp.h"
#include "text.h"
#include "value.h"

#include <string.h>
#include <time.h>

bool qt_projection_is(const quipu_item *item, const char *status)
{
    return strcmp(item->text, status) == 0;
}

unsigned qt_projection_percent(const quipu_item *item)
{
    uint64_t head = item->mark + item->lag;

    return head == 0 ? 100 : (unsigned)((double)item->first_position * 100 / (double)head);
}

const char *qt_projection_age(int64_t time_ns, char out[QT_AMOUNT_MAX])
{
    struct timespec now;
    int64_t seconds;

    out[0] = '\0';
    (void)clock_gettime(CLOCK_REALTIME, &now);
    seconds = (int64_t)now.tv_sec - time_ns / 1000000000;
    if (time_ns != 0 && seconds >= 0)
        (void)qt_number_age((uint64_t)seconds, out);
    return out;
}

/* ---- for programs ---- */

void qt_projection_put_time(struct qt_out *out, const char *name, int64_t time_ns)
{
    struct qt_stamp stamp = {0};
    char *to;

    qt_out_key(out, name);
    to = qt_out_room(out, QT_STAMP_FULL + 2);
    *to++ = '"';
    to = qt_stamp_full(&stamp, time_ns, to);
    *to++ = '"';
    qt_out_took(out, to);
}

void qt_projection_put_failure(struct qt_out *out, int32_t status, const char *reason)
{
    qt_out_key(out, "status");
    qt_text_string(out, quipu_status_name(status), strlen(quipu_status_name(status)));
    qt_out_text(out, ",\"code\":-");
    qt_out_number(out, (uint64_t) - (int64_t)status);
    qt_out_key(out, "reason");
    qt_text_string(out, reason, strlen(reason));
}

static void put_count(struct qt_out *out, const char *name, uint64_t count)
{
    qt_out_key(out, name);
    qt_out_number(out, count);
}

static void put_fault(struct qt_out *out, const quipu_item *item)
{
    qt_out_text(out, ",\"fault\":{\"position\":");
    qt_out_number(out, item->position);
    if (item->key_size > 0) {
        qt_out_char(out, ',');
        qt_value_key(out, (struct qt_span){item->key, (size_t)item->key_size});
    }
    qt_projection_put_failure(out, item->status, item->fault);
    qt_projection_put_time(out, "time", item->time_ns);
    qt_out_char(out, '}');
}

void qt_projection_put_json(struct qt_out *out, const quipu_item *item)
{
    qt_out_text(out, "{\"name\":");
    qt_out_json(out, item->name, strlen(item->name));
    qt_out_key(out, "status");
    qt_out_json(out, item->text, strlen(item->text));
    qt_out_text(out, item->mode == QUIPU_INLINE ? ",\"mode\":\"inline\"" : ",\"mode\":\"async\"");
    put_count(out, "version", item->version);
    put_count(out, "mark", item->mark);
    put_count(out, "lag", item->lag);
    put_count(out, "applied", item->count);
    put_count(out, "parked", item->parked);
    if (qt_projection_is(item, "rebuilding"))
        put_count(out, "rebuilt", item->first_position);
    if (item->pid != 0) {
        qt_out_text(out, ",\"runner\":{\"pid\":");
        qt_out_number(out, item->pid);
        qt_projection_put_time(out, "until", item->until_ns);
        qt_out_char(out, '}');
    }
    qt_projection_put_time(out, "changed", item->last_time_ns);
    if (item->fault != NULL)
        put_fault(out, item);
    qt_out_char(out, '}');
}

void qt_projection_put_array(struct qt_out *out, const struct qt_items *items)
{
    qt_out_char(out, '[');
    for (size_t i = 0; i < items->count; i++) {
        if (i > 0)
            qt_out_char(out, ',');
        qt_projection_put_json(out, qt_items_at(items, i));
    }
    qt_out_char(out, ']');
}

/* ---- for people ---- */

/* How many have this status; `*last` is the last one. */
static size_t count_of(const struct qt_items *items, const char *status, const quipu_item **last)
{
    size_t count = 0;

    for (size_t i = 0; i < items->count; i++) {
        if (!qt_projection_is(qt_items_at(items, i), status))
            continue;
        *last = qt_items_at(items, i);
        count++;
    }
    return count;
}

/* One that is under way says how far it is. */
static void put_way(struct qt_out *out, const quipu_item *item)
{
    if (qt_projection_is(item, "rebuilding")) {
        qt_out_char(out, ' ');
        qt_out_number(out, qt_projection_percent(item));
        qt_out_text(out, " %");
    } else if (qt_projection_is(item, "catching-up")) {
        qt_out_text(out, " (lag ");
        qt_text_grouped(out, item->lag, 0);
        qt_out_char(out, ')');
    }
}

void qt_projection_put_summary(struct qt_out *out, const struct qt_items *items)
{
    static const char *const statuses[] = {"live", "catching-up", "rebuilding", "paused",
                                           "faulted"};
    const char *between = "";
    uint64_t parked = 0;

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        const quipu_item *last = NULL;
        size_t count = count_of(items, statuses[i], &last);

        if (count == 0)
            continue;
        qt_out_text(out, between);
        qt_text_grouped(out, count, 0);
        qt_out_char(out, ' ');
        qt_out_text(out, statuses[i]);
        if (count == 1)
            put_way(out, last);
        between = ", ";
    }
    for (size_t i = 0; i < items->count; i++)
        parked += qt_items_at(items, i)->parked;
    if (parked == 0)
        return;
    qt_out_text(out, "; ");
    qt_text_grouped(out, parked, 0);
    qt_out_text(out, parked == 1 ? " event parked" : " events parked");
}
