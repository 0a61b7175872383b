/* cmd_projection.c - quipu projection: an order to a projection, by whoever looks after it. It goes
 * into the store, and whoever runs the projection sees it before its next commit. */
#include "command.h"
#include "items.h"
#include "projection.h"
#include "store.h"
#include "value.h"

#include <string.h>

static const struct qt_option options[] = {
    {.name = "base64", .help = "KEY is given as base64"},
    {0},
};

static const struct order {
    const char *word;
    const char *done; /* what can be said of it afterwards */
    int control;      /* quipu_control */
    bool takes_key;
    bool by_runner; /* whoever runs it next carries it out */
} orders[] = {
    {"pause", "is paused", QUIPU_PAUSE, false, false},
    {"resume", "goes on", QUIPU_RESUME, false, true},
    {"rebuild", "will be built anew", QUIPU_REWIND, false, true},
    {"delete", "is deleted, with its view; what it emitted stays", QUIPU_DELETE, false, false},
    {"replay", "will be tried again", QUIPU_REPLAY, true, true},
    {"skip", "has one event less", QUIPU_SKIP, true, false},
    {"drain", "will be applied", QUIPU_DRAIN, true, true},
    {"drop", "is parked no more", QUIPU_DROP, true, false},
};

static const struct order *find_order(const char *word)
{
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        if (strcmp(orders[i].word, word) == 0)
            return &orders[i];
    return NULL;
}

/* Returns: 0 with the key's bytes and a 0 behind them, or a status with its problem. */
static int take_key(struct qt_run *run, const char *text, struct qt_bytes *key)
{
    bool base64 = qt_args_has(&run->args, "base64");

    if (qt_value_read(text, base64, key) < 0)
        return qt_problem_say(&run->problem, QUIPU_MISUSE, "\"%.300s\" is no base64", text);
    if (key->size == 0 || memchr(key->data, '\0', key->size) != NULL)
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "a key that is empty or has a zero byte cannot be named");
    qt_bytes_char(key, '\0');
    return key->failed ? qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory") : 0;
}

static void tell_json(struct qt_run *run, const struct order *order)
{
    struct qt_out *out = &run->out;
    const char *name = run->args.operands[1];

    qt_out_text(out, "{\"projection\":");
    qt_out_json(out, name, strlen(name));
    qt_out_key(out, "order");
    qt_out_json(out, order->word, strlen(order->word));
    if (run->args.operand_count == 4) {
        const char *key = run->args.operands[3];

        if (qt_args_has(&run->args, "base64")) {
            qt_out_key(out, "key_base64");
            qt_out_json(out, key, strlen(key));
        } else {
            qt_out_char(out, ',');
            qt_value_key(out, (struct qt_span){key, strlen(key)}); /* it need not be UTF-8 */
        }
    }
    qt_out_text(out, "}\n");
}

/* What waits for a runner may wait for long. */
static void tell_who(struct qt_run *run, quipu *store, const struct order *order)
{
    struct qt_items items = {0};
    const quipu_item *item = NULL;
    const char *name = run->args.operands[1];

    if (qt_items_take(run, store, QUIPU_LIST_PROJECTIONS, name, UINT64_MAX, &items) == 0)
        item = qt_items_find(&items, name);
    if (item != NULL && item->pid == 0)
        qt_note("nobody runs it now: %s is for who does next", order->word);
    qt_items_release(&items);
}

static int give_order(struct qt_run *run, const struct order *order, const char *key)
{
    quipu *store = NULL;
    quipu_error error = {0};
    const char *name = run->args.operands[1];
    int rc = qt_store_open(run, QT_STORE_CHANGE, &store);

    if (rc < 0)
        return rc;
    rc = quipu_projection_control(store, name, order->control, 0, key, &error);
    if (rc < 0) {
        rc = qt_problem_library(&run->problem, rc, &error, name);
    } else if (run->json) {
        tell_json(run, order);
    } else {
        qt_note("%.150s%s%.300s %s", name, key != NULL ? ", key " : "",
                key != NULL ? run->args.operands[3] : "", order->done);
        if (order->by_runner)
            tell_who(run, store, order);
    }
    quipu_close(store);
    return rc;
}

static int run_projection(struct qt_run *run)
{
    const struct order *order = find_order(run->args.operands[2]);
    struct qt_bytes key = {0};
    bool has_key = run->args.operand_count == 4;
    int rc = 0;

    if (order == NULL) {
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "no such order: \"%.80s\"; see quipu help projection",
                              run->args.operands[2]);
    }
    if (has_key && !order->takes_key)
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "%s is for the projection, and not for a key", order->word);
    if (has_key)
        rc = take_key(run, run->args.operands[3], &key);
    if (rc == 0)
        rc = give_order(run, order, has_key ? key.data : NULL);
    qt_bytes_release(&key);
    return rc;
}

const struct qt_command qt_command_projection = {
    .verb = "projection",
    .summary = "pause, resume, rebuild, delete, ... one",
    .operands = "STORE NAME ORDER [KEY]",
    .orders = "pause|resume|rebuild|delete|replay|skip|drain|drop",
    .example = "quipu project orders --builtin count-by-type && "
               "quipu projection orders count-by-type pause --json",
    .text = "An ORDER is one of these:\n\n"
            "pause    nobody folds it until resume\n"
            "resume   one that has stopped tries its event again\n"
            "rebuild  it is built anew beside the view, which stays until that is done\n"
            "delete   the projection, its view and what is parked; its streams stay\n"
            "replay   tries the parked events of KEY, or all, again: each key until one fails\n"
            "skip     forgets the first parked event of KEY; without KEY the one that the\n"
            "         projection stopped at is passed over\n"
            "drain    applies what waits in KEY behind one that was skipped\n"
            "drop     forgets the parked events of KEY, or all: they are never applied\n\n"
            "What is to be folded is folded by who runs the projection: quipu project, or a\n"
            "program with a runner.\n",
    .options = options,
    .waits = true,
    .run = run_projection,
};
