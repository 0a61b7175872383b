/* interrupt.c - signalfd(2): no handler, no global flag, and no moment at which a signal is missed.
 *
 * While it is open the signals are blocked, so a commit under way is never cut off; they wait in
 * the descriptor, which can be polled together with the input. */
#include "interrupt.h"

#include <poll.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* What nohup or a shell's & has ignored stays ignored; blocked, it would come to the descriptor. */
static void add_unless_ignored(sigset_t *signals, int number)
{
    struct sigaction action;

    if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset(signals, number);
}

void qt_interrupt_open(struct qt_interrupt *interrupt)
{
    sigset_t signals;

    sigemptyset(&signals);
    add_unless_ignored(&signals, SIGINT);
    add_unless_ignored(&signals, SIGTERM);
    add_unless_ignored(&signals, SIGHUP);
    interrupt->fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (interrupt->fd >= 0)
        (void)sigprocmask(SIG_BLOCK, &signals, &interrupt->before);
}

bool qt_interrupt_came(const struct qt_interrupt *interrupt)
{
    struct pollfd waiting = {.fd = interrupt->fd, .events = POLLIN};

    return interrupt->fd >= 0 && poll(&waiting, 1, 0) > 0;
}

void qt_interrupt_close(struct qt_interrupt *interrupt)
{
    struct signalfd_siginfo info;

    if (interrupt->fd < 0)
        return;
    /* What came is answered; left pending, it would end the process before it can say so. */
    while (qt_interrupt_came(interrupt) && read(interrupt->fd, &info, sizeof(info)) > 0)
        continue;
    (void)sigprocmask(SIG_SETMASK, &interrupt->before, NULL);
    close(interrupt->fd);
    interrupt->fd = -1;
}
