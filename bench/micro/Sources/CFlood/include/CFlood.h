#ifndef CFLOOD_H
#define CFLOOD_H

#include <stddef.h>
#include <stdint.h>

// A UDP socket at an IPv4 address (host byte order) that sends to `target` and never blocks; -1 with errno.
int flood_socket(uint32_t address, uint32_t target, uint16_t port);
// Sends a datagram; 0 where the kernel has no room for it.
int flood_send(int fd, const void *bytes, size_t length);
// The length of a datagram that has come; 0 without one.
size_t flood_receive(int fd, void *bytes, size_t length);
// A set of sockets to wait for; -1 with errno.
int flood_poller(void);
// Adds a socket, which is told of by `number`; -1 with errno.
int flood_watch(int poller, int fd, uint32_t number);
// The numbers of sockets at which something has come, after at most so many milliseconds.
int flood_wait(int poller, uint32_t *numbers, int most, int milliseconds);
// Writes to standard error.
void flood_say(const char *text);
// Nanoseconds of a clock that only goes forward, and of processor time of this process.
uint64_t flood_now(void);
uint64_t flood_processor_time(void);

#endif
