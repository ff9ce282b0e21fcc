// Parts of Linux's socket interface that Swift cannot import: recvmmsg, sendmmsg, control messages, UDP offloads,
// socket filters, timerfd.
#ifndef CSHIMS_SOCKET_H
#define CSHIMS_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

// The layout of struct mmsghdr, which glibc declares only under _GNU_SOURCE.
struct shim_message {
    struct msghdr header;
    unsigned int length;
};

enum {
    SHIM_SOL_UDP = 17,
    SHIM_UDP_SEGMENT = 103,
    SHIM_UDP_GRO = 104,
    SHIM_IP_MTU_DISCOVER = 10,
    SHIM_IPV6_MTU_DISCOVER = 23,
    SHIM_PMTUDISC_DONT = 0,
    SHIM_PMTUDISC_PROBE = 3,
    SHIM_PMTUDISC_OMIT = 5,
    SHIM_IPV6_V6ONLY = 26,
    SHIM_IP_PKTINFO = 8,
    SHIM_IPV6_RECVPKTINFO = 49,
    SHIM_IPV6_PKTINFO = 50,
    // Room for one control message with a 16-bit or 32-bit value, and one with an address.
    SHIM_CONTROL_SIZE = 64
};

// The layout of struct iovec, with a name of this module: Swift attributes iovec to different modules from build to
// build.
struct shim_vector {
    void *base;
    size_t length;
};

// recvmmsg without blocking: the number of messages, or a negative errno.
int shim_receive_messages(int fd, struct shim_message *messages, unsigned int count);

// sendmmsg without blocking: the number of messages, or a negative errno.
int shim_send_messages(int fd, struct shim_message *messages, unsigned int count);

// The segment size that UDP_GRO reported for a received message, or 0.
unsigned int shim_received_segment_size(const struct msghdr *header);

// Writes the own address that a received message came to, IPv4 in its mapped form, to the 16 bytes at `own`; returns 0
// if it is not reported.
int shim_received_own_address(const struct msghdr *header, void *own);

// Requests that a message is split into segments of `size` bytes, unless that is 0, and sent from the own address at
// `own` (16 bytes, IPv4 in its mapped form), unless that is NULL; `control` has SHIM_CONTROL_SIZE bytes.
void shim_set_control(struct msghdr *header, void *control, uint16_t size, const void *own);

// A non-blocking, close-on-exec socket: the descriptor, or a negative errno.
int shim_socket(int family, int type);

// A pipe, close-on-exec at both ends: 0, or a negative errno.
int shim_pipe(int ends[2]);

// Sets a socket's integer option: 0, or a negative errno.
int shim_set_option(int fd, int level, int option, int value);

// Has the kernel choose among the `count` sockets that share the port of `fd` by the byte at offset 3 of each datagram: the
// sockets are numbered in the order in which they were bound, and other bytes and shorter datagrams go to number 0.
// Returns 0, or a negative errno.
int shim_steer_datagrams(int fd, unsigned int count);

// A socket's pending error, which this clears, or the errno of the call; never negative.
int shim_take_socket_error(int fd);

// The user who connected to a unix socket: 0, or a negative errno.
int shim_peer_user(int fd, uint32_t *user);

// Whether the process that connected to a unix socket was in the group then: 1, or 0, also if it is not reported.
int shim_peer_is_member(int fd, uint32_t group);

// The user who made the local socket of IPPROTO_TCP or IPPROTO_UDP at an address and port that exchanges packets with a
// peer's: 0, or a negative errno. Addresses have 16 bytes, IPv4 in its mapped form; ports are in host order. -ENOENT: there
// is no such socket on this machine, or the kernel cannot tell.
int shim_socket_user(
    int protocol, const void *address, uint16_t port, const void *peer, uint16_t peer_port, uint32_t *user);

// Whether the kernel tells the user of an own socket of IPPROTO_TCP or IPPROTO_UDP on the loopback: 1, or 0.
int shim_tells_socket_users(int protocol);

// A timer descriptor on CLOCK_MONOTONIC, non-blocking and close-on-exec, or a negative errno.
int shim_timer_create(void);

// Arms the timer for an absolute time in nanoseconds (0 disarms it): 0, or a negative errno.
int shim_timer_set(int fd, uint64_t deadline);

#endif
