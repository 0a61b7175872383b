/* cmd_why.c - quipu why: does a projection move; if not, since when, at what, and what to do.
 *
 * First it is found out which of a few situations this is; text and JSON say the same of it. */
#include "builtin.h"
#include "command.h"
#include "items.h"
#include "number.h"
#include "projection.h"
#include "stamp.h"
#include "store.h"
#include "text.h"
#include "value.h"

#include <string.h>
#include <time.h>

#define LABEL_WIDTH 8
#define NEXT_MAX    3

enum situation {
    CURRENT,  /* nothing is to be done */
    INLINE,   /* the next commit does what is to be done */
    MOVING,   /* it comes nearer */
    PARKED,   /* it moves, but some keys do not */
    WAITING,  /* likewise: what they waited behind was skipped, and they wait to be drained */
    FAULTED,  /* it has stopped at an event */
    PAUSED,   /* it was told to */
    NOBODY,   /* it is behind, and nobody runs it */
    STANDING, /* it is behind, and who runs it does nothing */
};

struct why {
    struct qt_run *run;
    quipu *store;
    const quipu_item *item;
    const quipu_item *parked; /* the first one that failed, or else the first; or NULL */
    enum situation situation;
    int64_t since_ns; /* 0: it does not stand */
    uint64_t position;
    struct qt_span key;
    int32_t status; /* of what failed, with `reason` */
    const char *reason;
    struct qt_bytes event; /* "order-17 v9, PAID": for people */
    struct qt_bytes stream;
    struct qt_bytes type;
    struct qt_bytes next[NEXT_MAX];
    const char *means[NEXT_MAX]; /* what the command does */
    size_t next_count;
};

/* ---- find out ---- */

static bool is_behind(const quipu_item *item)
{
    return item->lag > 0 || qt_projection_is(item, "rebuilding");
}

/* The store's clock is never behind the machine's for long. */
static bool lease_has_ended(const quipu_item *item)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return item->until_ns < (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* An inline one has no runner: the next commit folds what is missing, if that is not too much. */
static bool waits_for_runner(const quipu_item *item)
{
    if (item->mode == QUIPU_INLINE && qt_projection_is(item, "live"))
        return false;
    return is_behind(item) && item->pid == 0;
}

static enum situation find_situation(const struct why *why)
{
    const quipu_item *item = why->item;

    if (item->fault != NULL)
        return FAULTED;
    if (qt_projection_is(item, "paused"))
        return PAUSED;
    if (waits_for_runner(item))
        return NOBODY;
    if (is_behind(item) && item->pid != 0 && lease_has_ended(item))
        return STANDING;
    if (why->parked != NULL)
        return why->parked->status < 0 ? PARKED : WAITING;
    if (!is_behind(item))
        return CURRENT;
    return item->pid != 0 ? MOVING : INLINE;
}

static void take_fault(struct why *why)
{
    const quipu_item *item = why->item;

    why->since_ns = item->last_time_ns;
    if (why->situation < PARKED)
        why->since_ns = 0;
    if (why->situation == FAULTED) {
        why->since_ns = item->time_ns;
        why->position = item->position;
        why->key = (struct qt_span){item->key, (size_t)item->key_size};
        why->status = item->status;
        why->reason = item->fault;
    } else if (why->parked != NULL) {
        if (why->situation == PARKED || why->situation == WAITING)
            why->since_ns = why->parked->time_ns;
        why->position = why->parked->position;
        why->key = (struct qt_span){why->parked->key, (size_t)why->parked->key_size};
        why->status = why->parked->status;
        why->reason = why->parked->text;
    }
}

/* Which event it is. One that cannot be read is left out: its position is said all the same. */
static void take_event(struct why *why)
{
    const quipu_range range = {QUIPU_INIT(quipu_range), .after = why->position - 1,
                               .upto = why->position, .limit = 1};
    quipu_reader *reader = NULL;
    quipu_event event;

    if (why->position == 0 || quipu_read(why->store, NULL, &range, &reader, NULL) < 0)
        return;
    if (quipu_next(reader, &event, NULL) == QUIPU_ROW) {
        char version[QT_NUMBER_MAX + 1] = {0};

        qt_bytes_put(&why->stream, event.stream, event.stream_size);
        qt_bytes_put(&why->type, event.type, event.type_size);
        (void)qt_number_put(version, event.version);
        qt_text_bytes(&why->event, event.stream, event.stream_size);
        qt_bytes_text(&why->event, " v");
        qt_bytes_text(&why->event, version);
        qt_bytes_text(&why->event, ", ");
        qt_text_bytes(&why->event, event.type, event.type_size);
    }
    quipu_reader_close(reader);
}

/* ---- what comes next ---- */

/* "quipu VERB STORE REST": a command to be typed. */
static struct qt_bytes *advise(struct why *why, const char *verb, const char *means)
{
    struct qt_bytes *line = &why->next[why->next_count];

    why->means[why->next_count++] = means;
    qt_bytes_text(line, "quipu ");
    qt_bytes_text(line, verb);
    qt_bytes_char(line, ' ');
    qt_value_quoted(line, why->run->args.operands[0]);
    return line;
}

static void advise_order(struct why *why, const char *order, bool key, const char *means)
{
    struct qt_bytes *line = advise(why, "projection", means);

    qt_bytes_char(line, ' ');
    qt_value_quoted(line, why->item->name);
    qt_bytes_char(line, ' ');
    qt_bytes_text(line, order);
    if (!key)
        return;
    qt_bytes_char(line, ' ');
    if (!qt_value_word(line, why->key))
        qt_bytes_text(line, " --base64");
}

static void advise_running(struct why *why, const char *means)
{
    struct qt_bytes *line = advise(why, "project", means);
    bool builtin = qt_builtin_find(why->item->name) != NULL;

    qt_bytes_text(line, builtin ? " --builtin " : " --plugin FILE --name ");
    qt_value_quoted(line, why->item->name);
}

static void take_advice(struct why *why)
{
    switch (why->situation) {
    case FAULTED:
        advise_order(why, "resume", false, "tries the event again: when the function is mended");
        advise_order(why, "skip", false, "passes over the event, for ever");
        break;
    case PAUSED:
        advise_order(why, "resume", false, "lets it go on");
        break;
    case PARKED:
        advise_order(why, "replay", true, "tries the key's events again: when that can help");
        advise_order(why, "skip", true, "forgets the event");
        advise_order(why, "drain", true, "applies what waits behind one that was skipped");
        break;
    case WAITING:
        advise_order(why, "drain", true, "applies what waits behind one that was skipped");
        if (why->item->pid == 0)
            advise_running(why, "carries it out; or start the program that does");
        break;
    case NOBODY:
        advise_running(why, "runs it; or start the program that does");
        break;
    case STANDING:
        advise_running(why, "takes it over, as any other process that runs it");
        break;
    default:
        break;
    }
}

/* ---- say ---- */

static const char *verdict(const struct why *why)
{
    static const char *const texts[] = {
        [CURRENT] = "up to date",
        [INLINE] = "moving with the next commit of a program that has registered it",
        [MOVING] = "moving",
        [PARKED] = "moving, but for keys with parked events",
        [WAITING] = "moving, but for keys that wait to be drained",
        [FAULTED] = "stuck: it has stopped at an event",
        [PAUSED] = "stuck: it was told to pause",
        [NOBODY] = "stuck: nobody runs it",
        [STANDING] = "stuck: the process that runs it does not go on",
    };

    return texts[why->situation];
}

static bool moves(const struct why *why)
{
    return why->situation <= WAITING;
}

static void put_json(struct why *why)
{
    struct qt_out *out = &why->run->out;

    qt_out_text(out, "{\"projection\":");
    qt_projection_put_json(out, why->item);
    qt_out_text(out, moves(why) ? ",\"moving\":true" : ",\"moving\":false");
    qt_out_key(out, "verdict");
    qt_out_json(out, verdict(why), strlen(verdict(why)));
    if (why->since_ns != 0)
        qt_projection_put_time(out, "since", why->since_ns);
    if (why->position > 0) {
        qt_out_text(out, ",\"at\":{\"position\":");
        qt_out_number(out, why->position);
        if (why->stream.size > 0) {
            qt_out_key(out, "stream");
            qt_text_string(out, why->stream.data, why->stream.size);
            qt_out_key(out, "type");
            qt_text_string(out, why->type.data, why->type.size);
        }
        if (why->key.size > 0) {
            qt_out_char(out, ',');
            qt_value_key(out, why->key);
        }
        if (why->status < 0)
            qt_projection_put_failure(out, why->status, why->reason);
        qt_out_char(out, '}');
    }
    qt_out_text(out, ",\"next\":[");
    for (size_t i = 0; i < why->next_count; i++) {
        qt_out_text(out, i > 0 ? "," : "");
        qt_text_string(out, why->next[i].data, why->next[i].size);
    }
    qt_out_text(out, "]}\n");
}

static void put_label(struct qt_out *out, const char *label)
{
    qt_out_style(out, "1");
    qt_text_padded(out, label, strlen(label), LABEL_WIDTH);
    qt_out_plain(out);
}

static void put_place(struct why *why)
{
    struct qt_out *out = &why->run->out;

    if (why->position == 0)
        return;
    put_label(out, "at");
    qt_out_text(out, "position ");
    qt_text_grouped(out, why->position, 0);
    if (why->event.size > 0) {
        qt_out_text(out, ": ");
        qt_out_put(out, why->event.data, why->event.size);
    }
    qt_out_char(out, '\n');
    if (why->key.size > 0) {
        put_label(out, "key");
        qt_value_key_text(out, why->key, 0);
        qt_out_char(out, '\n');
    }
    if (why->status >= 0)
        return;
    put_label(out, "error");
    qt_out_text(out, quipu_status_name(why->status));
    qt_out_text(out, ": ");
    qt_text_put(out, why->reason, strlen(why->reason));
    qt_out_char(out, '\n');
}

static void put_view(struct why *why)
{
    struct qt_out *out = &why->run->out;
    const quipu_item *item = why->item;

    put_label(out, "view");
    qt_out_text(out, "version ");
    qt_out_number(out, item->version);
    qt_out_text(out, ", mark ");
    qt_text_grouped(out, item->mark, 0);
    qt_out_text(out, ", ");
    qt_text_grouped(out, item->lag, 0);
    qt_out_text(out, item->lag == 1 ? " event behind" : " events behind");
    if (qt_projection_is(item, "rebuilding")) {
        qt_out_text(out, ", built anew beside it: ");
        qt_out_number(out, qt_projection_percent(item));
        qt_out_text(out, " %");
    }
    qt_out_char(out, '\n');
    if (item->parked > 0) {
        put_label(out, "parked");
        qt_text_grouped(out, item->parked, 0);
        qt_out_text(out, item->parked == 1 ? " event\n" : " events\n");
    }
}

static void put_runner(struct why *why)
{
    struct qt_out *out = &why->run->out;
    struct qt_stamp stamp = {0};
    char *to;

    put_label(out, "runner");
    if (why->item->pid == 0) {
        qt_out_text(out, why->item->mode == QUIPU_INLINE
                             ? "commits of programs that have registered it\n"
                             : "none\n");
        return;
    }
    qt_out_text(out, "pid ");
    qt_out_number(out, why->item->pid);
    qt_out_text(out, lease_has_ended(why->item) ? ", its lease ended " : ", its lease ends ");
    to = qt_out_room(out, QT_STAMP_SHORT);
    qt_out_took(out, qt_stamp_short(&stamp, why->item->until_ns, to));
    qt_out_char(out, '\n');
}

static void put_text(struct why *why)
{
    struct qt_out *out = &why->run->out;
    char age[QT_AMOUNT_MAX];

    put_label(out, "status");
    qt_out_text(out, why->item->text);
    qt_out_text(out, ", ");
    qt_out_text(out, verdict(why));
    if (qt_projection_age(why->since_ns, age)[0] != '\0') {
        qt_out_text(out, ", for ");
        qt_out_text(out, age);
    }
    qt_out_char(out, '\n');
    put_place(why);
    put_view(why);
    put_runner(why);
    for (size_t i = 0; i < why->next_count; i++) {
        put_label(out, i == 0 ? "next" : "");
        qt_out_put(out, why->next[i].data, why->next[i].size);
        qt_out_text(out, "     ");
        qt_out_style(out, "2");
        qt_out_text(out, why->means[i]);
        qt_out_plain(out);
        qt_out_char(out, '\n');
    }
}

/* ---- the verb ---- */

/* One that failed, or else, when all of these were skipped, the first of those behind them. */
static const quipu_item *first_parked(const struct qt_items *parked)
{
    for (size_t i = 0; i < parked->count; i++)
        if (qt_items_at(parked, i)->status < 0)
            return qt_items_at(parked, i);
    return parked->count > 0 ? qt_items_at(parked, 0) : NULL;
}

static void release(struct why *why)
{
    qt_bytes_release(&why->event);
    qt_bytes_release(&why->stream);
    qt_bytes_release(&why->type);
    for (size_t i = 0; i < NEXT_MAX; i++)
        qt_bytes_release(&why->next[i]);
}

static void explain(struct why *why)
{
    why->situation = find_situation(why);
    take_fault(why);
    take_event(why);
    take_advice(why);
    if (why->run->json)
        put_json(why);
    else
        put_text(why);
}

/* Returns: 0, or a status with its problem. */
static int look_into(struct why *why, const struct qt_items *items, struct qt_items *parked)
{
    enum { PARKED_MAX = 1000 }; /* of a key the first has failed, or was skipped */
    struct qt_run *run = why->run;
    const char *name = run->args.operands[1];
    const quipu_item *item = qt_items_find(items, name);
    int rc = 0;

    if (item == NULL)
        return qt_problem_say(&run->problem, QUIPU_NOT_FOUND, "no projection %.300s", name);
    if (item->parked > 0)
        rc = qt_items_take(run, why->store, QUIPU_LIST_PARKED, name, PARKED_MAX, parked);
    if (rc < 0)
        return rc;
    why->item = item;
    why->parked = first_parked(parked);
    explain(why);
    return 0;
}

static int run_why(struct qt_run *run)
{
    struct why why = {.run = run};
    struct qt_items items = {0};
    struct qt_items parked = {0};
    const char *name = run->args.operands[1];
    int rc = qt_store_open(run, QT_STORE_READ, &why.store);

    if (rc == 0)
        rc = qt_items_take(run, why.store, QUIPU_LIST_PROJECTIONS, name, UINT64_MAX, &items);
    if (rc == 0)
        rc = look_into(&why, &items, &parked);
    quipu_close(why.store);
    release(&why);
    qt_items_release(&items);
    qt_items_release(&parked);
    return rc;
}

const struct qt_command qt_command_why = {
    .verb = "why",
    .summary = "say what a projection waits for",
    .operands = "STORE PROJECTION",
    .example = "quipu project orders --builtin count-by-type && quipu why orders count-by-type",
    .text = "Does it move, or is it stuck; since when, at which event and key, with which\n"
            "error; who runs it and until when its lease holds; and the commands that come\n"
            "next. Exit code 0, whatever the answer is; --json has \"moving\".\n",
    .options = NULL,
    .waits = true,
    .run = run_why,
};
