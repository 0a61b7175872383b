/* wake.c - whoever waits is woken: programs that answer each other, event by event, and how long
 * after the return of an append another program has it.
 *
 * wake [--rounds N] [--samples N]    --rounds of ping-pong; --samples of a follower's delay
 *
 * Children are this very program: wake child ROLE STORE COUNT. Times are printed, not judged: that
 * no wake was lost is seen by the count of looks that found events without one. */
#include "clock.h"
#include "handles.h"
#include "support_system.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 60000, PAUSE_MS = 2 };

static const quipu_draft draft = {.type = "woke"};

static quipu *open_store(const char *path)
{
    quipu_error error = {0};
    quipu *store = NULL;
    int rc = quipu_open(path, NULL, &store, &error);

    CHECK(rc == QUIPU_OK, "open %s: %d %s", path, rc, error.text);
    return store;
}

static uint64_t append(quipu *store, const char *stream)
{
    quipu_receipt receipt;
    quipu_error error = {0};
    int rc = quipu_append(store, stream, QUIPU_ANY, &draft, 1, &receipt, &error);

    CHECK(rc == QUIPU_OK, "append to %s: %d %s", stream, rc, error.text);
    return receipt.last_position;
}

/* Until there is an event at this position. Returns the newest one's. */
static uint64_t await(quipu *store, uint64_t position)
{
    uint64_t head = 0;
    quipu_error error = {0};
    int rc = quipu_wait(store, position - 1, PATIENCE_MS, &head, &error);

    CHECK(rc == 1 && head >= position, "wait for %" PRIu64 ": %d %s", position, rc, error.text);
    return head;
}

static void close_told(quipu *store)
{
    CHECK(store->handle->waiting.untold == 0, "%" PRIu64 " events without a wake",
          store->handle->waiting.untold);
    quipu_close(store);
}

/* ---- ping-pong ------------------------------------------------------------------------------- */

static int child_pong(const char *path, unsigned rounds)
{
    quipu *store = open_store(path);
    uint64_t position = 0;

    for (unsigned i = 0; i < rounds; i++) {
        CHECK(await(store, position + 1) == position + 1, "one at a time");
        position = append(store, "pong");
    }
    close_told(store);
    return 0;
}

static pid_t spawn(const char *role, const char *path, unsigned count)
{
    char number[16];
    const char *const arguments[] = {"child", role, path, number, NULL};

    (void)snprintf(number, sizeof(number), "%u", count);
    return sys_spawn(arguments);
}

static void ping(const char *path, unsigned rounds)
{
    quipu *store = open_store(path);
    pid_t child = spawn("pong", path, rounds);
    double begun = sys_seconds();

    for (unsigned i = 0; i < rounds; i++)
        (void)await(store, append(store, "ping") + 1);
    (void)printf("ping-pong: %u rounds, %.1f us each\n", rounds,
                 (sys_seconds() - begun) * 1e6 / rounds);
    CHECK(sys_wait(child) == 0, "pong");
    close_told(store);
}

/* ---- a follower's delay ---------------------------------------------------------------------- */

/* When it saw each event, on the monotonic clock, in a file beside the store. */
static int child_follow(const char *path, unsigned samples)
{
    quipu *store = open_store(path);
    int64_t *seen_ns = calloc(samples, sizeof(*seen_ns));
    uint64_t before = append(store, "ready");
    char times[SYS_PATH_BYTES];

    CHECK(seen_ns != NULL, "memory");
    for (unsigned i = 0; i < samples;) {
        uint64_t head = await(store, before + i + 1);
        int64_t now_ns = qp_clock_monotonic_ns();

        while (i < samples && before + i + 1 <= head)
            seen_ns[i++] = now_ns;
    }
    sys_join(times, path, "../times");
    sys_file_write(times, seen_ns, samples * sizeof(*seen_ns));
    free(seen_ns);
    close_told(store);
    return 0;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* Below 0: the follower had it before the append returned. */
static void print_delays(int64_t *delay_ns, unsigned samples)
{
    const size_t at[] = {samples / 2, (samples - 1) * 99 / 100, samples - 1};

    qsort(delay_ns, samples, sizeof(*delay_ns), compare);
    (void)printf("follower, after the append returned: median %.1f us, p99 %.1f us, max %.1f us\n",
                 (double)delay_ns[at[0]] / 1e3, (double)delay_ns[at[1]] / 1e3,
                 (double)delay_ns[at[2]] / 1e3);
}

/* With pauses, so that the follower sleeps each time. */
static void lead(const char *path, unsigned samples)
{
    quipu *store = open_store(path);
    pid_t child = spawn("follow", path, samples);
    int64_t *returned_ns = calloc(samples, sizeof(*returned_ns));
    int64_t *seen_ns = calloc(samples, sizeof(*seen_ns));
    char times[SYS_PATH_BYTES];

    CHECK(returned_ns != NULL && seen_ns != NULL, "memory");
    (void)await(store, 1);
    for (unsigned i = 0; i < samples; i++) {
        sys_sleep_ms(PAUSE_MS);
        (void)append(store, "led");
        returned_ns[i] = qp_clock_monotonic_ns();
    }
    CHECK(sys_wait(child) == 0, "follow");
    sys_join(times, path, "../times");
    sys_file_read(times, 0, seen_ns, samples * sizeof(*seen_ns));
    for (unsigned i = 0; i < samples; i++)
        seen_ns[i] -= returned_ns[i];
    print_delays(seen_ns, samples);
    free(seen_ns);
    free(returned_ns);
    close_told(store);
}

/* ---- main ------------------------------------------------------------------------------------ */

static void run(const char *name, void (*test)(const char *path, unsigned count), unsigned count)
{
    char directory[SYS_PATH_BYTES];
    char path[SYS_PATH_BYTES];

    (void)snprintf(sys_note, sizeof(sys_note), "wake: %s", name);
    sys_directory(directory, true);
    sys_join(path, directory, "store");
    if (count > 0)
        test(path, count);
    sys_remove(directory);
    (void)fflush(stdout);
}

int main(int count, char **arguments)
{
    unsigned rounds = 20000;
    unsigned samples = 500;

    if (count == 5 && strcmp(arguments[1], "child") == 0) {
        unsigned number = (unsigned)strtoul(arguments[4], NULL, 10);

        return strcmp(arguments[2], "pong") == 0 ? child_pong(arguments[3], number)
                                                 : child_follow(arguments[3], number);
    }
    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "--rounds") == 0)
            rounds = (unsigned)strtoul(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--samples") == 0)
            samples = (unsigned)strtoul(arguments[i + 1], NULL, 10);
    }
    run("ping-pong", ping, rounds);
    run("follow", lead, samples);
    return 0;
}
