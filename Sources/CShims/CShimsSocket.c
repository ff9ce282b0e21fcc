#define _GNU_SOURCE
#include "CShimsSocket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

_Static_assert(sizeof(struct shim_message) == sizeof(struct mmsghdr), "layout of mmsghdr");
_Static_assert(offsetof(struct shim_message, length) == offsetof(struct mmsghdr, msg_len), "layout of mmsghdr");
_Static_assert(sizeof(struct shim_vector) == sizeof(struct iovec), "layout of iovec");
_Static_assert(offsetof(struct shim_vector, base) == offsetof(struct iovec, iov_base), "layout of iovec");
_Static_assert(offsetof(struct shim_vector, length) == offsetof(struct iovec, iov_len), "layout of iovec");
_Static_assert(CMSG_SPACE(sizeof(int)) <= SHIM_CONTROL_SIZE, "room for a control message");

int shim_receive_messages(int fd, struct shim_message *messages, unsigned int count) {
    int received = recvmmsg(fd, (struct mmsghdr *)messages, count, MSG_DONTWAIT, NULL);
    return received < 0 ? -errno : received;
}

int shim_send_messages(int fd, struct shim_message *messages, unsigned int count) {
    int sent = sendmmsg(fd, (struct mmsghdr *)messages, count, MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

unsigned int shim_received_segment_size(const struct msghdr *header) {
    struct msghdr *message = (struct msghdr *)header;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SHIM_SOL_UDP && c->cmsg_type == SHIM_UDP_GRO && c->cmsg_len >= CMSG_LEN(sizeof(int))) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof size);
            return size > 0 ? (unsigned int)size : 0;
        }
    }
    return 0;
}

void shim_set_segment_size(struct msghdr *header, void *control, uint16_t size) {
    header->msg_control = control;
    header->msg_controllen = CMSG_SPACE(sizeof size);
    struct cmsghdr *c = CMSG_FIRSTHDR(header);
    c->cmsg_level = SHIM_SOL_UDP;
    c->cmsg_type = SHIM_UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(c), &size, sizeof size);
}

int shim_socket(int family, int type) {
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int shim_pipe(int ends[2]) {
    return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0;
}

int shim_set_option(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

int shim_take_socket_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno : error;
}

int shim_timer_create(void) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int shim_timer_set(int fd, uint64_t deadline) {
    struct itimerspec when = {{0, 0}, {(time_t)(deadline / 1000000000), (long)(deadline % 1000000000)}};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? -errno : 0;
}
