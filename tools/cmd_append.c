/* cmd_append.c - quipu append: one event, or one file, committed before the answer is printed.
 *
 * Everything that can be wrong with the arguments is found before the store is opened, so that a
 * mistake makes no store. */
#include "batch.h"
#include "bytes.h"
#include "command.h"
#include "draft.h"
#include "input.h"
#include "json.h"
#include "query.h"
#include "refusal.h"
#include "store.h"
#include "text.h"
#include "uuid.h"

#include <stdlib.h>
#include <string.h>

static const struct qt_option options[] = {
    {.name = "type", .value = "TYPE", .help = "what happened; required", .kind = QT_TEXT},
    {.name = "data", .value = "JSON", .help = "the event's data: any JSON value", .kind = QT_TEXT},
    {.name = "data-file",
     .value = "FILE",
     .help = "the same from a file; - is standard input",
     .kind = QT_TEXT},
    {.name = "raw",
     .value = "FILE",
     .help = "bytes of any kind from a file as data; - likewise",
     .kind = QT_TEXT},
    {.name = "meta", .value = "JSON", .help = "what is not part of the fact", .kind = QT_TEXT},
    {.name = "tag",
     .value = "KEY:VALUE",
     .help = "a tag to find it by; given again: another one",
     .kind = QT_TEXT,
     .repeats = true},
    {.name = "id",
     .value = "UUID",
     .help = "by which it is recognised when it is appended again",
     .kind = QT_TEXT},
    {.name = "schema",
     .value = "N",
     .help = "the version of the type: 0 to 65535",
     .kind = QT_NUMBER,
     .most = UINT16_MAX},
    {.name = "expect",
     .value = QT_EXPECT_FORM,
     .help = "the version that the stream must have: any",
     .kind = QT_TEXT},
    {.name = "unless",
     .value = "QUERY",
     .help = "not if an event after --after matches; again: or this",
     .kind = QT_TEXT,
     .repeats = true},
    {.name = "after",
     .value = "N",
     .help = "the position up to which you have looked",
     .kind = QT_NUMBER},
    {.name = "batch",
     .value = "FILE",
     .help = "one commit out of a file; - is standard input",
     .kind = QT_TEXT},
    {0},
};

/* An event in the making and what its bytes live in. */
struct append {
    struct qt_run *run;
    quipu_draft draft;
    uint64_t expected;
    uint64_t after;
    struct qt_query query; /* of --unless */
    quipu_batch *batch;
    const char **tags;
    struct qt_bytes data;
    struct qt_bytes meta;
};

static int take_expect(struct append *append)
{
    struct qt_run *run = append->run;
    const char *text = qt_args_text(&run->args, "expect");

    append->expected = QUIPU_ANY;
    if (text != NULL && qt_draft_expect(text, &append->expected) < 0) {
        return qt_problem_say(
            &run->problem, QUIPU_MISUSE,
            "--expect is " QT_EXPECT_FORM ", not \"%.80s\"; see quipu help append", text);
    }
    return 0;
}

/* After which position, nobody can guess: 0 says "no such event ever", another one "none that I
 * have not seen". */
static int take_unless(struct append *append)
{
    struct qt_run *run = append->run;
    bool has_unless = qt_args_has(&run->args, "unless");

    if (has_unless && !qt_args_has(&run->args, "after")) {
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "--unless wants --after N, the position up to which you have looked; "
                              "0: no such event may be there");
    }
    if (!has_unless && qt_args_has(&run->args, "after"))
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "--after wants --unless QUERY, which events may not come after it");
    append->after = qt_args_number(&run->args, "after", 0);
    for (size_t i = 0; i < run->args.given_count; i++) {
        const struct qt_given *given = &run->args.given[i];
        quipu_error error = {0};

        if (strcmp(given->option->name, "unless") == 0 &&
            qt_query_add(&append->query, given->text, &error) < 0) {
            return qt_problem_say(&run->problem, QUIPU_MISUSE,
                                  "--unless '%.120s': %s; see quipu help append", given->text,
                                  error.text);
        }
    }
    return 0;
}

/* Check JSON and take the white space out, in place. `source` is what it came from. */
static int compact(struct qt_run *run, struct qt_bytes *bytes, const char *source)
{
    struct qt_json json;
    uint64_t line = 1;
    const char *begin = bytes->data;

    if (qt_json_whole(&json, bytes->data, bytes->size) == 0) {
        bytes->size = qt_json_compact((struct qt_span){bytes->data, bytes->size}, bytes->data);
        return 0;
    }
    for (const char *at = bytes->data; at != json.at; at++) {
        if (*at == '\n') {
            line++;
            begin = at + 1;
        }
    }
    run->problem.line = line;
    run->problem.column = (uint64_t)(json.at - begin) + 1;
    return qt_problem_say(&run->problem, QUIPU_INVALID, "%.300s:%llu:%llu: %s", source,
                          (unsigned long long)line, (unsigned long long)run->problem.column,
                          json.error);
}

/* JSON out of the command line; a mistake is told as --data:LINE:COLUMN. */
static int take_argument(struct qt_run *run, const char *option, struct qt_bytes *bytes)
{
    const char *text = qt_args_text(&run->args, option);
    char source[32] = "--";

    qt_bytes_text(bytes, text);
    if (qt_bytes_room(bytes, 1) == NULL) /* an empty text has a place, too */
        return qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory");
    memcpy(source + 2, option, strlen(option) + 1);
    return compact(run, bytes, source);
}

/* JSON, or with --raw any bytes, out of a file. */
static int take_file(struct qt_run *run, const char *option, struct qt_bytes *bytes)
{
    const char *path = qt_args_text(&run->args, option);
    int rc = qt_input_whole(path, bytes, &run->problem);

    if (rc < 0 || strcmp(option, "raw") == 0)
        return rc;
    return compact(run, bytes, path);
}

/* The option among those that give data, or NULL if there is none; two are too many. */
static int data_option(struct qt_run *run, const char **option)
{
    static const char *const names[] = {"data", "data-file", "raw"};

    *option = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!qt_args_has(&run->args, names[i]))
            continue;
        if (*option != NULL)
            return qt_problem_say(&run->problem, QUIPU_MISUSE, "--%s and --%s exclude each other",
                                  *option, names[i]);
        *option = names[i];
    }
    return 0;
}

/* Fill in data and meta of the draft; they live in `append`. */
static int take_payloads(struct append *append)
{
    struct qt_run *run = append->run;
    quipu_draft *draft = &append->draft;
    const char *option;
    int rc = data_option(run, &option);

    if (rc == 0 && option != NULL)
        rc = strcmp(option, "data") == 0 ? take_argument(run, option, &append->data)
                                         : take_file(run, option, &append->data);
    if (rc == 0 && qt_args_has(&run->args, "meta"))
        rc = take_argument(run, "meta", &append->meta);
    if (rc < 0)
        return rc;
    if (append->data.size > QT_DATA_BYTES_MAX ||
        append->meta.size > QT_DATA_BYTES_MAX - append->data.size)
        return qt_problem_say(&run->problem, QUIPU_TOO_LARGE, "data and meta are over 64 MiB");
    if (append->data.size > 0) {
        draft->data = append->data.data;
        draft->data_size = (uint32_t)append->data.size;
        draft->data_format = qt_args_has(&run->args, "raw") ? QUIPU_BINARY : QUIPU_JSON;
    }
    if (append->meta.size > 0) {
        draft->meta = append->meta.data;
        draft->meta_size = (uint32_t)append->meta.size;
        draft->meta_format = QUIPU_JSON;
    }
    return 0;
}

/* How tags must look, and that no two are equal, the library checks. */
static int take_tags(struct append *append)
{
    const struct qt_args *args = &append->run->args;

    append->tags = calloc(args->given_count + 1, sizeof(*append->tags));
    if (append->tags == NULL)
        return qt_problem_say(&append->run->problem, QUIPU_NO_MEMORY, "out of memory");
    append->draft.tag_count = (uint32_t)qt_args_all(args, "tag", append->tags, args->given_count);
    append->draft.tags = append->draft.tag_count > 0 ? append->tags : NULL;
    return 0;
}

static int take_id(struct append *append)
{
    struct qt_run *run = append->run;
    const char *text = qt_args_text(&run->args, "id");

    if (text == NULL)
        return 0;
    if (qt_uuid_parse(text, append->draft.id) < 0)
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "--id wants a UUID, not \"%.80s\"; see quipu help append", text);
    append->draft.flags |= QUIPU_EVENT_HAS_ID;
    return 0;
}

/* All that can be refused without a store. */
static int take_arguments(struct append *append)
{
    struct qt_run *run = append->run;
    int rc = take_expect(append);

    if (rc == 0)
        rc = take_unless(append);
    if (rc < 0)
        return rc;
    append->draft.type = qt_args_text(&run->args, "type");
    if (append->draft.type == NULL)
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "--type is missing; see quipu help append");
    append->draft.schema = (uint16_t)qt_args_number(&run->args, "schema", 0);
    rc = take_id(append);
    if (rc == 0)
        rc = take_tags(append);
    return rc == 0 ? take_payloads(append) : rc;
}

/* Printed only after the commit: who reads this knows that the event is on the disk. One that was
 * there before is the same success: who sends again only wants to know that it is there. */
static void put_result(struct qt_run *run, const quipu_receipt *receipt)
{
    bool known = receipt->verdict == QUIPU_DUPLICATE;
    struct qt_out *out = &run->out;
    const char *stream = run->args.operands[1];
    size_t size = strlen(stream);

    if (run->json) {
        qt_out_text(out, "{\"verdict\":");
        qt_out_text(out, known ? "\"duplicate\"" : "\"committed\"");
        qt_out_key(out, "stream");
        qt_out_json(out, stream, size);
        qt_out_key(out, "version");
        qt_out_number(out, receipt->last_version);
        qt_out_key(out, "position");
        qt_out_number(out, receipt->last_position);
        qt_out_text(out, "}\n");
        return;
    }
    qt_text_put(out, stream, size);
    qt_out_text(out, " version ");
    qt_out_number(out, receipt->last_version);
    qt_out_text(out, " position ");
    qt_out_number(out, receipt->last_position);
    qt_out_text(out, known ? " duplicate\n" : "\n");
}

/* Fill the batch and commit it. */
static int commit(struct append *append, quipu *store)
{
    static const struct qt_asked asked[] = {{.kind = QT_STEP_EVENT}, {.kind = QT_STEP_UNLESS}};
    struct qt_run *run = append->run;
    const char *stream = run->args.operands[1];
    quipu_receipt receipt = {0};
    quipu_error error = {0};
    int rc;

    /* What a step fails with, the commit says. */
    (void)quipu_batch_append(append->batch, stream, append->expected, &append->draft, 1);
    if (append->query.query.item_count > 0)
        (void)quipu_batch_unless(append->batch, &append->query.query, append->after);
    rc = quipu_commit(store, append->batch, &receipt, &error);
    if (rc == 0)
        put_result(run, &receipt);
    else if (receipt.failed_count > 0)
        rc = qt_refusal_tell(run, rc, append->batch, asked, stream, NULL);
    else
        rc = qt_problem_library(&run->problem, rc, &error, stream);
    return rc;
}

static int append_one(struct qt_run *run)
{
    struct append append = {.run = run, .batch = quipu_batch_new()};
    quipu *store = NULL;
    int rc = take_arguments(&append);

    if (rc == 0 && append.batch == NULL)
        rc = qt_problem_say(&run->problem, QUIPU_NO_MEMORY, "out of memory");
    if (rc == 0)
        rc = qt_store_open(run, QT_STORE_WRITE, &store);
    if (rc == 0)
        rc = commit(&append, store);
    quipu_close(store);
    quipu_batch_free(append.batch);
    qt_query_clear(&append.query);
    free(append.tags);
    qt_bytes_release(&append.data);
    qt_bytes_release(&append.meta);
    return rc;
}

/* A file says all that there is to say. */
static int append_batch(struct qt_run *run, const char *path)
{
    for (const struct qt_option *option = options; option->name != NULL; option++) {
        if (strcmp(option->name, "batch") != 0 && qt_args_has(&run->args, option->name))
            return qt_problem_say(&run->problem, QUIPU_MISUSE,
                                  "--batch and --%s exclude each other", option->name);
    }
    if (run->args.operand_count > 1) {
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "one argument too many: \"%.80s\"; the lines of --batch name streams",
                              run->args.operands[1]);
    }
    return qt_batch_commit(run, path);
}

static int run_append(struct qt_run *run)
{
    const char *path = qt_args_text(&run->args, "batch");

    if (path != NULL)
        return append_batch(run, path);
    if (run->args.operand_count < 2) {
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "an argument is missing; usage: quipu append [options] STORE STREAM, "
                              "or STORE --batch FILE");
    }
    return append_one(run);
}

const struct qt_command qt_command_append = {
    .verb = "append",
    .summary = "append an event, or a batch of them",
    .operands = "STORE [STREAM]",
    .example = "quipu append orders order-1000 --type ORDER_CREATED --data '{\"sum\":9.50}' "
               "--expect new",
    .text = "Appends one event and prints the version and position that it got, when it is on\n"
            "the disk. JSON is kept as it is written, less the white space between its\n"
            "tokens. With --expect, exit code 3 says that somebody else was faster: read\n"
            "again, decide again, append again. A store that is missing is created.\n\n"
            "With --unless it is refused, with exit code 3 and the position that matched, if\n"
            "an event after position N matches QUERY: a rule may span streams. N is how far\n"
            "you have looked, such as the head of quipu stat; 0 says that there must be none.\n"
            "A QUERY is terms that are AND-ed, types OR-ed, and quotes where blanks are:\n\n"
            "  'type=A,\"B c\" tag=k:v stream=s category=c'\n\n"
            "Who does not know whether an event with an --id arrived appends it again: if it\n"
            "is there, nothing is written, its version and position are printed with the word\n"
            "duplicate, and the exit code is 0. With --expect it must stand at that version,\n"
            "else the exit code is 3.\n\n"
            "With --batch, STREAM is not given, and each line of FILE is an event, as import\n"
            "reads it, or one of the others here. All hold and are committed together, or\n"
            "nothing is written and each line that does not hold is named:\n\n"
            "  {\"stream\":\"order-1\",\"type\":\"ORDER_PAID\",\"expect\":1}\n"
            "  {\"check\":\"customer-7\",\"expect\":\"exists\"}\n"
            "  {\"unless\":\"tag=voucher:77\",\"after\":0}    or several: [\"...\",\"...\"]\n"
            "  {\"track\":\"mailbox\",\"number\":4711}      not if it was so far already\n"
            "  {\"mark\":\"report\",\"position\":12}        never moves back\n",
    .options = options,
    .waits = true,
    .run = run_append,
};
