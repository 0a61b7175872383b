/* cmd_verify.c - quipu verify: is every byte what it was, and what is not?
 *
 * Findings are printed as they are found, then the sum of it, then what to do. Damage is exit code
 * 5; a call that could not be finished says so instead, and is no statement about the store. */
#include "command.h"
#include "folds.h"
#include "number.h"
#include "plugin.h"
#include "progress.h"
#include "store.h"
#include "text.h"

#include <string.h>

static const struct qt_option options[] = {
    {.name = "folds", .help = "also snapshots, against the folds of --plugin"},
    QT_PLUGIN_OPTION,
    {0},
};

struct verify {
    struct qt_run *run;
    struct qt_progress progress;
    uint64_t log_findings; /* those of the index heal themselves */
};

static void put_json_finding(struct qt_out *out, const quipu_finding *finding)
{
    const char *status = quipu_status_name(finding->status);

    qt_out_text(out, "{\"status\":");
    qt_out_json(out, status, strlen(status));
    if (finding->file != NULL) {
        qt_out_key(out, "file");
        qt_out_json(out, finding->file, strlen(finding->file));
    }
    if (finding->table != NULL) {
        qt_out_key(out, "table");
        qt_out_json(out, finding->table, strlen(finding->table));
    }
    if (finding->position != 0) {
        qt_out_key(out, "position");
        qt_out_number(out, finding->position);
    }
    qt_out_key(out, "text");
    qt_out_json(out, finding->text, strlen(finding->text));
    qt_out_text(out, "}\n");
}

/* One line each, so that they can be counted and searched. */
static void put_text_finding(struct qt_out *out, const quipu_finding *finding)
{
    qt_out_style(out, "31");
    qt_out_text(out, "DAMAGED");
    qt_out_plain(out);
    if (finding->file != NULL) {
        qt_out_char(out, ' ');
        qt_text_put(out, finding->file, strlen(finding->file));
    }
    if (finding->table != NULL && finding->table[0] != '\0') {
        qt_out_char(out, ' ');
        qt_text_put(out, finding->table, strlen(finding->table));
    }
    if (finding->position != 0) {
        qt_out_text(out, ": position ");
        qt_text_grouped(out, finding->position, 0);
    }
    qt_out_text(out, ": ");
    qt_text_put(out, finding->text, strlen(finding->text));
    qt_out_char(out, '\n');
}

/* The library calls this for each finding; anything but 0 ends the verification. */
static int found(void *payload, const quipu_finding *finding)
{
    struct verify *verify = payload;
    struct qt_out *out = &verify->run->out;

    if (finding->file == NULL || strcmp(finding->file, "index.mdb") != 0)
        verify->log_findings++;
    qt_progress_end(&verify->progress);
    if (verify->run->json)
        put_json_finding(out, finding);
    else
        put_text_finding(out, finding);
    return out->failed == 0 ? 0 : QUIPU_CLOSED;
}

/* Called every now and then, also while nothing is found. */
static int progress(void *payload, uint64_t done, uint64_t total)
{
    struct verify *verify = payload;

    qt_progress_show(&verify->progress, done, total);
    return 0;
}

/* The last line, also after findings. */
static void put_json(struct qt_out *out, const quipu_verified *verified)
{
    char chain[17];

    qt_number_hex16(verified->chain, chain);
    qt_out_text(out, "{\"checked\":");
    qt_out_number(out, verified->checked);
    qt_out_key(out, "findings");
    qt_out_number(out, verified->findings);
    qt_out_key(out, "head");
    qt_out_number(out, verified->head);
    qt_out_key(out, "chain");
    qt_out_json(out, chain, 16);
    qt_out_text(out, "}\n");
}

static void put_label(struct qt_out *out, const char *label)
{
    qt_out_style(out, "1");
    qt_text_padded(out, label, strlen(label), 9);
    qt_out_plain(out);
}

/* Pages of the log are damaged, so that the library did not read it. A dump does, at its own risk.
 */
static void put_unread(struct qt_out *out)
{
    put_label(out, "events");
    qt_out_text(out, "not read: log.mdb itself is damaged\n");
    put_label(out, "next");
    qt_out_text(out,
                "keep these files as they are, and go back to a backup: a copy of its log.mdb\n"
                "         is a whole store. Without one, all that can be reached; a damaged page\n"
                "         may end it on the way:\n"
                "           quipu dump STORE --json --skip-damaged | quipu import NEW\n");
}

/* What to do next; the log is the truth, the index can be made again from it. */
static void put_advice(struct qt_out *out, const struct verify *verify)
{
    put_label(out, "next");
    if (verify->log_findings == 0) {
        qt_out_text(out, "close the store everywhere, then\n"
                         "           quipu reindex STORE\n"
                         "         The index is made again from the log, and nothing is lost.\n");
        return;
    }
    qt_out_text(
        out, "keep these files as they are, and go back to a backup: a copy of its log.mdb\n"
             "         is a whole store. What came after it:\n"
             "           quipu dump STORE --json --after HEAD_OF_COPY | quipu import COPY\n"
             "         Without one, all that is whole:\n"
             "           quipu dump STORE --json --skip-damaged | quipu import NEW\n"
             "         In NEW the events after a damaged one have lower positions, in its stream\n"
             "         lower versions too, and ids that no caller gave are others.\n");
}

/* The sum of it for people; the chain lets two stores be compared. */
static void put_text(struct qt_out *out, const struct verify *verify,
                     const quipu_verified *verified)
{
    char chain[17];

    if (verified->checked == 0 && verified->head == 0 && verify->log_findings > 0) {
        put_unread(out);
        return;
    }
    put_label(out, "events");
    qt_text_grouped(out, verified->checked, 0);
    qt_out_text(out, " checked, ");
    if (verified->findings == 0) {
        qt_out_text(out, "all whole\n");
    } else {
        qt_text_grouped(out, verified->findings, 0);
        qt_out_text(out, verified->findings == 1 ? " finding\n" : " findings\n");
    }
    qt_number_hex16(verified->chain, chain);
    put_label(out, "chain");
    qt_out_text(out, chain);
    qt_out_text(out, " at ");
    qt_text_grouped(out, verified->head, 0);
    qt_out_char(out, '\n');
    if (verified->findings > 0)
        put_advice(out, verify);
}

/* What can be said only with an application's functions. */
static int check_folds(struct qt_run *run, const struct qt_plugin *plugin)
{
    const quipu_options reads = {QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_READ_ONLY};
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = quipu_open(run->args.operands[0], &reads, &store, &error);

    if (rc < 0)
        return qt_store_failed(run, rc, &error);
    rc = qt_plugin_register(plugin, run, store);
    if (rc == 0)
        rc = qt_folds_check(run, store, plugin);
    quipu_close(store);
    return rc;
}

static int verify_store(struct qt_run *run)
{
    struct verify verify = {.run = run};
    quipu_verified verified = {QUIPU_INIT(quipu_verified), .checked = 0};
    quipu_error error = {0};
    const char *path = run->args.operands[0];
    int rc;

    qt_progress_begin(&verify.progress, "events");
    rc = quipu_verify(path, 0, found, progress, &verify, &verified, &error);
    qt_progress_end(&verify.progress);
    if (rc == QUIPU_CLOSED && run->out.failed != 0)
        return 0; /* nobody listens any more; finish_output() knows whether that is a failure */
    if (rc == QUIPU_NOT_FOUND)
        return qt_problem_say(&run->problem, rc, "no store here: %.300s", path);
    if (rc < 0 && (rc != QUIPU_CORRUPT || verified.findings == 0))
        return qt_store_failed(run, rc, &error);
    if (run->json)
        put_json(&run->out, &verified);
    else
        put_text(&run->out, &verify, &verified);
    if (rc == 0)
        return 0;
    return qt_problem_say(&run->problem, rc, "%.300s: damaged: %llu finding%s", path,
                          (unsigned long long)verified.findings, verified.findings == 1 ? "" : "s");
}

static int run_verify(struct qt_run *run)
{
    bool folds = qt_args_has(&run->args, "folds");
    struct qt_plugin plugin;
    int rc;

    if (folds != qt_args_has(&run->args, "plugin"))
        return qt_problem_say(&run->problem, QUIPU_MISUSE,
                              "--folds and --plugin FILE go together; see quipu help verify");
    rc = qt_plugin_load(&plugin, run);
    if (rc == 0)
        rc = verify_store(run);
    if (rc == 0 && folds)
        rc = check_folds(run, &plugin);
    qt_plugin_unload(&plugin);
    return rc;
}

const struct qt_command qt_command_verify = {
    .verb = "verify",
    .summary = "check a store from end to end",
    .operands = "STORE",
    .example = "quipu verify orders",
    .text = "Checks the pages of both files, each value's checksum, the chain through all\n"
            "events, positions and versions without gaps, and that the index says what the\n"
            "log says. Exit code 5 if anything is damaged. Other programs may go on writing:\n"
            "what is there now is checked. A log.mdb whose pages are damaged is not read\n"
            "further.\n\n"
            "With --folds, if all that is whole: each stream that a fold of the plugin has a\n"
            "snapshot of is folded again from its first event on. Exit code 5 if the state is\n"
            "another: the fold was changed without a new version, or depends on more than the\n"
            "events.\n",
    .options = options,
    .run = run_verify,
};
