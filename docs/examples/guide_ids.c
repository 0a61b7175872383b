/* guide_ids.c - what a commit says of ids that it knows: prints the table of docs/GUIDE.md.
 *
 *   guide_ids STORE
 *
 * Each row is tried on a stream of its own that has the events x, y and z at versions 1, 2, 3. */
#include <quipu.h>

#include <stdio.h>
#include <string.h>

enum { DRAFTS_MAX = 4 };

static const struct row {
    const char *expected; /* as it is printed */
    uint64_t version;
    const char *ids; /* a letter each; '-' has none */
    const char *why;
} rows[] = {
    {"3", 3, "pq", "new ids, and the version holds"},
    {"0", 0, "xyz", "the same again, at the version at which it was written"},
    {"`QUIPU_ANY`", QUIPU_ANY, "yz", "a run of known ids, in their order"},
    {"`QUIPU_ANY`", QUIPU_ANY, "zp", "one known, then a new one"},
    {"0", 0, "xz", "known, but y stood between them"},
    {"`QUIPU_ANY`", QUIPU_ANY, "pz", "a new one, then one that is known"},
    {"3", 3, "x", "the stream is at 3: who asks for 3 means something new, and x is not"},
    {"1", 1, "z", "known, but z came after 2 and not after 1"},
    {"0", 0, "p", "a new id, and the version does not hold"},
    {"`QUIPU_ANY`", QUIPU_ANY, "-", "without an id an event is always new"},
};

static int append(quipu *store, const char *stream, uint64_t expected, const char *ids,
                  quipu_receipt *receipt, quipu_error *error)
{
    quipu_draft drafts[DRAFTS_MAX];
    size_t count = strlen(ids);

    for (size_t i = 0; i < count; i++) {
        drafts[i] = (quipu_draft){.type = "Noted"};
        if (ids[i] != '-') {
            drafts[i].flags = QUIPU_EVENT_HAS_ID;
            quipu_id_from(&ids[i], 1, drafts[i].id);
        }
    }
    return quipu_append(store, stream, expected, drafts, count, receipt, error);
}

static void print_row(const struct row *row, int rc, const quipu_receipt *receipt)
{
    const char *verdict = quipu_status_name(rc);

    if (rc == QUIPU_OK)
        verdict = receipt->verdict == QUIPU_DUPLICATE ? "DUPLICATE" : "COMMITTED";
    printf("| %s |", row->expected);
    for (const char *id = row->ids; *id != '\0'; id++)
        printf(" %c", *id);
    printf(" | `%s` | %s |\n", verdict, row->why);
}

int main(int argc, char **argv)
{
    quipu *store = NULL;
    quipu_error error = {0};
    quipu_receipt receipt;
    int rc = quipu_open(argc > 1 ? argv[1] : "ids.store", NULL, &store, &error);

    for (size_t i = 0; rc == QUIPU_OK && i < sizeof(rows) / sizeof(rows[0]); i++) {
        char stream[32];

        (void)snprintf(stream, sizeof(stream), "row-%zu", i);
        rc = append(store, stream, QUIPU_NEW, "xyz", NULL, &error);
        if (rc == QUIPU_OK)
            print_row(&rows[i], append(store, stream, rows[i].version, rows[i].ids, &receipt, NULL),
                      &receipt);
    }
    if (rc < 0)
        (void)fprintf(stderr, "%s: %s\n", quipu_status_name(rc), error.text);
    quipu_close(store);
    return rc < 0 ? 1 : 0;
}
