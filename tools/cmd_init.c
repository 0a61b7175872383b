/* cmd_init.c - quipu init: an empty store.
 *
 * append and import make a store where there is none, too; init is for scripts that must know that
 * it is theirs and new. */
#include "command.h"
#include "store.h"
#include "text.h"
#include "uuid.h"

#include <string.h>

static void put_result(struct qt_run *run, const quipu_stat *stat)
{
    struct qt_out *out = &run->out;
    const char *path = run->args.operands[0];

    if (!run->json) {
        qt_out_text(out, "created ");
        qt_text_put(out, path, strlen(path));
        qt_out_char(out, '\n');
        return;
    }
    qt_out_text(out, "{\"uuid\":");
    qt_uuid_put(out, stat->uuid);
    qt_out_key(out, "format");
    qt_out_number(out, stat->format);
    qt_out_text(out, "}\n");
}

static int run_init(struct qt_run *run)
{
    quipu *store = NULL;
    quipu_stat stat = {QUIPU_INIT(quipu_stat), .format = 0};
    quipu_error error = {0};
    int rc = qt_store_open(run, QT_STORE_NEW, &store);

    if (rc < 0)
        goto done;
    rc = quipu_stat_get(store, &stat, &error);
    if (rc < 0)
        rc = qt_store_failed(run, rc, &error);
    else
        put_result(run, &stat);

done:
    quipu_close(store);
    return rc;
}

const struct qt_command qt_command_init = {
    .verb = "init",
    .summary = "create an empty store",
    .operands = "STORE",
    .example = "quipu init orders",
    .text = "Creates the directory STORE; an empty one that is there already is taken. append\n"
            "and import do so too when there is no store yet; init fails if there is one.\n",
    .options = NULL,
    .waits = true,
    .run = run_init,
};
