/* cmd_reindex.c - quipu reindex: the index thrown away and made again from the log.
 *
 * Nothing but time is at stake: the log is not touched, and whoever opens the store after this was
 * cut off goes on where it ended. So ctrl-C needs no care here. */
#include "command.h"
#include "number.h"
#include "progress.h"
#include "store.h"
#include "text.h"

#include <time.h>

struct reindex {
    struct qt_progress progress;
    uint64_t events;
};

static int progress(void *payload, uint64_t done, uint64_t total)
{
    struct reindex *reindex = payload;

    reindex->events = done;
    qt_progress_show(&reindex->progress, done, total);
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void put_json(struct qt_out *out, uint64_t events, uint64_t took_ms)
{
    qt_out_text(out, "{\"events\":");
    qt_out_number(out, events);
    qt_out_key(out, "ms");
    qt_out_number(out, took_ms);
    qt_out_text(out, "}\n");
}

static void put_text(struct qt_out *out, uint64_t events, uint64_t took_ms)
{
    char *to;

    qt_text_grouped(out, events, 0);
    qt_out_text(out, events == 1 ? " event indexed in " : " events indexed in ");
    qt_text_grouped(out, took_ms / 1000, 0);
    to = qt_out_room(out, 8);
    *to++ = '.';
    qt_out_took(out, qt_number_padded(to, (uint32_t)(took_ms % 1000), 3));
    qt_out_text(out, " s");
    if (took_ms > 0) {
        qt_out_text(out, ", ");
        qt_text_grouped(out, (uint64_t)((double)events * 1e3 / (double)took_ms), 0);
        qt_out_text(out, "/s");
    }
    qt_out_char(out, '\n');
}

static int run_reindex(struct qt_run *run)
{
    struct reindex reindex = {.events = 0};
    const char *path = run->args.operands[0];
    quipu_error error = {0};
    int64_t began_ms = now_ms();
    uint64_t took_ms;
    int rc;

    qt_progress_begin(&reindex.progress, "events");
    rc = quipu_reindex(path, progress, &reindex, &error);
    qt_progress_end(&reindex.progress);
    if (rc == QUIPU_NOT_FOUND)
        return qt_problem_say(&run->problem, rc, "no store here: %.300s", path);
    if (rc < 0)
        return qt_store_failed(run, rc, &error);
    took_ms = (uint64_t)(now_ms() - began_ms);
    if (run->json)
        put_json(&run->out, reindex.events, took_ms);
    else
        put_text(&run->out, reindex.events, took_ms);
    return 0;
}

const struct qt_command qt_command_reindex = {
    .verb = "reindex",
    .summary = "make the index again from the log",
    .operands = "STORE",
    .example = "quipu reindex orders",
    .text = "Throws the index away and makes it again. The log, where the events are, is not\n"
            "touched. Nobody can use the store meanwhile: if somebody has it open, the exit\n"
            "code is 6. What is cut off goes on at the next open. An index that cannot be\n"
            "read is made again by each open anyhow; this is for one that quipu verify finds\n"
            "wrong.\n",
    .options = NULL,
    .run = run_reindex,
};
