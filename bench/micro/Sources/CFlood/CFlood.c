// What the flood needs of the kernel: many small sockets at addresses of their own.

#define _GNU_SOURCE
#include "CFlood.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int flood_socket(uint32_t address, uint32_t target, uint16_t port) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(target)};
    // What nobody reads is dropped soon.
    int size = 16384;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) != 0 || connect(fd, (struct sockaddr *)&other, sizeof other) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int flood_send(int fd, const void *bytes, size_t length) { return send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length; }

size_t flood_receive(int fd, void *bytes, size_t length) {
    ssize_t count = recv(fd, bytes, length, 0);
    return count > 0 ? (size_t)count : 0;
}

int flood_poller(void) { return epoll_create1(EPOLL_CLOEXEC); }

int flood_watch(int poller, int fd, uint32_t number) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

int flood_wait(int poller, uint32_t *numbers, int most, int milliseconds) {
    struct epoll_event events[256];
    int count = epoll_wait(poller, events, most < 256 ? most : 256, milliseconds);
    for (int i = 0; i < count; i++) numbers[i] = events[i].data.u32;
    return count < 0 ? 0 : count;
}

static uint64_t read_clock(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t flood_now(void) { return read_clock(CLOCK_MONOTONIC); }
uint64_t flood_processor_time(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

void flood_say(const char *text) { fputs(text, stderr); }
