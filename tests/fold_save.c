/* fold_save.c - save a snapshot of each stream: fold_save STORE STREAM... */
#include <quipu.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    const quipu_fold *fold = quipu_plugin_get()->folds[0];
    quipu *store = NULL;
    quipu_error error = {0};
    int rc = argc < 2 ? QUIPU_MISUSE : quipu_open(argv[1], NULL, &store, &error);

    for (int i = 2; i < argc && rc == QUIPU_OK; i++)
        rc = quipu_snapshot_save(store, fold, argv[i], NULL, &error);
    if (rc < 0)
        (void)fprintf(stderr, "fold_save: %s\n", error.text);
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
