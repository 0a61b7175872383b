/* guide_async.c - many commits in flight from one thread, for docs/GUIDE.md: readings of a sensor.
 *
 *   guide_async STORE COUNT
 *
 * commits COUNT readings, each by itself, and says how many are on the disk. */
#include <quipu.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answers {
    uint64_t durable;
    uint64_t failed;
    quipu_error first; /* why the first one failed */
};

/* Called for each commit, one at a time and in their order. It counts, and calls nothing. */
static void answer(void *payload, int status, const quipu_receipt *receipt,
                   const quipu_batch *batch, const quipu_error *error)
{
    struct answers *answers = payload;

    (void)receipt;
    (void)batch;
    if (status == QUIPU_OK)
        answers->durable++;
    else if (answers->failed++ == 0)
        answers->first = *error;
}

/* Begin one commit. It may wait, if a thousand are on their way, but not for this one. */
static int send(quipu *store, uint64_t number, struct answers *answers, quipu_error *error)
{
    char json[64];
    quipu_draft reading = {.type = "Measured", .data = json, .data_format = QUIPU_JSON};
    quipu_batch *batch = quipu_batch_new();
    int rc;

    (void)snprintf(json, sizeof(json), "{\"celsius\":%" PRIu64 "}", number % 40);
    reading.data_size = (uint32_t)strlen(json);
    (void)quipu_batch_append(batch, "sensor-1", QUIPU_ANY, &reading, 1);
    rc = quipu_commit_async(store, batch, answer, answers, error);
    if (rc < 0)
        quipu_batch_free(batch); /* else it is the library's now */
    return rc;
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
    struct answers answers = {0};
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = quipu_open(argc > 1 ? argv[1] : "sensor.store", NULL, &store, &error);

    for (uint64_t i = 0; rc == QUIPU_OK && i < count; i++)
        rc = send(store, i, &answers, &error);
    if (rc == QUIPU_OK)
        rc = quipu_flush(store, &error); /* now each has its answer */
    printf("%" PRIu64 " durable, %" PRIu64 " failed\n", answers.durable, answers.failed);
    if (answers.failed > 0)
        (void)fprintf(stderr, "the first: %s\n", answers.first.text);
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", quipu_status_name(rc), error.text);
    quipu_close(store);
    return rc < 0 || answers.failed > 0 ? 1 : 0;
}
