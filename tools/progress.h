/* progress.h - one line on stderr that changes as a long call goes on, if stderr is a terminal. */
#ifndef QT_PROGRESS_H
#define QT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct qt_progress {
    const char *what; /* "events" */
    bool on;
    bool shown;
    int64_t began_ns;
    int64_t next_ns;
};

void qt_progress_begin(struct qt_progress *progress, const char *what);

/* `done` of `total` (0: unknown). Cheap enough for every thousand. */
void qt_progress_show(struct qt_progress *progress, uint64_t done, uint64_t total);

/* Is it time for a new line? Then qt_progress_put() puts it, whatever it says. */
bool qt_progress_due(struct qt_progress *progress);
void qt_progress_put(struct qt_progress *progress, const char *text);

/* Wipe the line, so that what is printed next stands alone. */
void qt_progress_end(struct qt_progress *progress);

#endif
