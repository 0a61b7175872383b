/* make_store DIRECTORY - make the golden store 1 there. It tells the chain for the test. */
#include "store-1.h"

int main(int count, char **words)
{
    quipu *store = NULL;
    quipu_error error = {0};
    quipu_stat stat = {.struct_size = sizeof(stat)};
    static struct golden_event event;
    quipu_batch *batch = quipu_batch_new();
    int rc = quipu_open(count > 1 ? words[1] : "store", NULL, &store, &error);

    for (unsigned i = 0; i < GOLDEN_EVENTS && rc == QUIPU_OK; i++) {
        golden_event(i, &event);
        rc = quipu_batch_append(batch, event.stream, QUIPU_ANY, &event.draft, 1);
        if (rc < 0 || (i + 1) % 100 != 0)
            continue;
        rc = quipu_commit(store, batch, NULL, &error); /* few commits, few pages of old ones */
        quipu_batch_clear(batch);
    }
    if (rc == QUIPU_OK)
        rc = quipu_stat_get(store, &stat, &error);
    quipu_batch_free(batch);
    quipu_close(store);
    if (rc < 0)
        (void)fprintf(stderr, "%s\n", error.text);
    else
        (void)printf("chain 0x%016llx\n", (unsigned long long)stat.chain);
    return rc < 0 ? 1 : 0;
}
