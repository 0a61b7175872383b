/* interrupt.h - ctrl-C and SIGTERM as a descriptor: long writers end between two commits. */
#ifndef QT_INTERRUPT_H
#define QT_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

struct qt_interrupt {
    int fd; /* readable once a signal came; -1: none, signals end the process as ever */
    sigset_t before;
};

void qt_interrupt_open(struct qt_interrupt *interrupt);
bool qt_interrupt_came(const struct qt_interrupt *interrupt);
void qt_interrupt_close(struct qt_interrupt *interrupt);

#endif
