#define _GNU_SOURCE
#include "CEmulator.h"

#include <stddef.h>

int emulator_poll(struct pollfd *polled, nfds_t count, const struct timespec *timeout) {
    return ppoll(polled, count, timeout, NULL);
}
