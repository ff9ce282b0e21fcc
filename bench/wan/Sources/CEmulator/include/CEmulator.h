#ifndef CEMULATOR_H
#define CEMULATOR_H

#include <poll.h>
#include <time.h>

/// `ppoll` without a signal mask, which Swift does not import.
int emulator_poll(struct pollfd *polled, nfds_t count, const struct timespec *timeout);

#endif
