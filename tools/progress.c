/* progress.c - at most five lines a second, and nothing at all before half a second has passed. */
#include "progress.h"

#include "number.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FIRST_NS INT64_C(500000000)
#define EVERY_NS INT64_C(200000000)

/* Monotonic: a clock that is set must not stop the line, nor flood it. */
static int64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void put(const char *text, size_t size)
{
    /* Decoration: that it cannot be written is no failure. */
    ssize_t written = write(STDERR_FILENO, text, size);

    (void)written;
}

void qt_progress_begin(struct qt_progress *progress, const char *what)
{
    int64_t now = now_ns();

    *progress = (struct qt_progress){
        .what = what,
        .on = isatty(STDERR_FILENO) != 0,
        .began_ns = now,
        .next_ns = now + FIRST_NS,
    };
}

bool qt_progress_due(struct qt_progress *progress)
{
    int64_t now;

    if (!progress->on)
        return false;
    now = now_ns();
    if (now < progress->next_ns)
        return false;
    progress->next_ns = now + EVERY_NS;
    return true;
}

void qt_progress_put(struct qt_progress *progress, const char *text)
{
    put("\r", 1);
    put(text, strlen(text));
    put("\033[K", 3);
    progress->shown = true;
}

void qt_progress_show(struct qt_progress *progress, uint64_t done, uint64_t total)
{
    char grouped[QT_GROUPED_MAX];
    char rate[QT_GROUPED_MAX];
    char line[160];
    int64_t took_ns;

    if (!qt_progress_due(progress))
        return;
    took_ns = now_ns() - progress->began_ns;
    qt_number_grouped(done, grouped);
    qt_number_grouped((uint64_t)((double)done * 1e9 / (double)took_ns), rate);
    if (total > 0) {
        (void)snprintf(line, sizeof(line), "%s %s, %u %%, %s/s", grouped, progress->what,
                       (unsigned)(100.0 * (double)done / (double)total), rate);
    } else {
        (void)snprintf(line, sizeof(line), "%s %s, %s/s", grouped, progress->what, rate);
    }
    qt_progress_put(progress, line);
}

void qt_progress_end(struct qt_progress *progress)
{
    if (progress->shown)
        put("\r\033[K", 4);
    progress->shown = false;
}
