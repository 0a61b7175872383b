/* scan.c - a view as lines for the tests of the command line: scan STORE PROJECTION [PREFIX]
 *
 * Each is KEY, a tab, and the value as it is. */
#include "quipu.h"

#include <stdio.h>
#include <string.h>

static int put_all(quipu_view *view, const char *prefix, quipu_error *error)
{
    quipu_value key;
    quipu_value value;
    int rc = quipu_view_scan(view, prefix, strlen(prefix), NULL, 0, 0, error);

    while (rc >= 0) {
        rc = quipu_view_next(view, &key, &value, error);
        if (rc != 1)
            break;
        (void)fwrite(key.data, 1, key.size, stdout);
        (void)putchar('\t');
        (void)fwrite(value.data, 1, value.size, stdout);
        (void)putchar('\n');
    }
    return rc;
}

int main(int argc, char **argv)
{
    const quipu_options options = {QUIPU_INIT(quipu_options), .flags = QUIPU_OPEN_READ_ONLY};
    quipu *store = NULL;
    quipu_view *view = NULL;
    quipu_error error = {0};
    int rc = argc < 3 ? QUIPU_MISUSE : quipu_open(argv[1], &options, &store, &error);

    if (rc == QUIPU_OK)
        rc = quipu_view_open(store, argv[2], &view, &error);
    if (rc == QUIPU_OK)
        rc = put_all(view, argc > 3 ? argv[3] : "", &error);
    if (rc < 0)
        (void)fprintf(stderr, "scan: %s\n", error.text);
    quipu_view_close(view);
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
