#define _GNU_SOURCE
#include "CShimsSocket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

_Static_assert(sizeof(struct shim_message) == sizeof(struct mmsghdr), "layout of mmsghdr");
_Static_assert(offsetof(struct shim_message, length) == offsetof(struct mmsghdr, msg_len), "layout of mmsghdr");
_Static_assert(sizeof(struct shim_vector) == sizeof(struct iovec), "layout of iovec");
_Static_assert(offsetof(struct shim_vector, base) == offsetof(struct iovec, iov_base), "layout of iovec");
_Static_assert(offsetof(struct shim_vector, length) == offsetof(struct iovec, iov_len), "layout of iovec");
_Static_assert(
    CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) <= SHIM_CONTROL_SIZE, "room for control messages");
_Static_assert(sizeof(struct in_pktinfo) <= sizeof(struct in6_pktinfo), "room for control messages");
_Static_assert(SHIM_IP_PKTINFO == IP_PKTINFO && SHIM_IPV6_PKTINFO == IPV6_PKTINFO, "numbers of options");
_Static_assert(SHIM_IPV6_RECVPKTINFO == IPV6_RECVPKTINFO, "numbers of options");

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

// The first 12 bytes of a mapped IPv4 address.
static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

int shim_received_own_address(const struct msghdr *header, void *own) {
    struct msghdr *message = (struct msghdr *)header;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
            c->cmsg_len >= CMSG_LEN(sizeof(struct in_pktinfo))) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            memcpy(own, mapped_prefix, sizeof mapped_prefix);
            memcpy((uint8_t *)own + sizeof mapped_prefix, &info.ipi_spec_dst, sizeof info.ipi_spec_dst);
            return 1;
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
            c->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            // A link-local address needs its interface, and a multicast address belongs to no host.
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) || IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) return 0;
            memcpy(own, &info.ipi6_addr, sizeof info.ipi6_addr);
            return 1;
        }
    }
    return 0;
}

// Writes one control message to `room` and returns the position after it.
static uint8_t *put_control(uint8_t *room, int level, int type, const void *value, size_t size) {
    struct cmsghdr *c = (struct cmsghdr *)room;
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), value, size);
    return room + CMSG_SPACE(size);
}

void shim_set_control(struct msghdr *header, void *control, uint16_t size, const void *own) {
    uint8_t *end = control;
    if (size > 0) end = put_control(end, SHIM_SOL_UDP, SHIM_UDP_SEGMENT, &size, sizeof size);
    if (own != NULL && memcmp(own, mapped_prefix, sizeof mapped_prefix) == 0) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, (const uint8_t *)own + sizeof mapped_prefix, sizeof info.ipi_spec_dst);
        end = put_control(end, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else if (own != NULL) {
        struct in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, own, sizeof info.ipi6_addr);
        end = put_control(end, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
    header->msg_control = control;
    header->msg_controllen = (size_t)(end - (uint8_t *)control);
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

int shim_steer_datagrams(int fd, unsigned int count) {
    struct sock_filter steps[] = {
        // Offset 0 is the first byte behind the UDP header. A load behind the datagram's end ends the program with 0.
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 3),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, count, 1, 0),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {sizeof steps / sizeof *steps, steps};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) < 0 ? -errno : 0;
}

int shim_take_socket_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno : error;
}

// The socket for questions to the kernel about sockets, which all threads share; opening one costs more than a question.
static pthread_mutex_t questions_lock = PTHREAD_MUTEX_INITIALIZER;
static int questions = -1;

// Asks the kernel for one socket (sock_diag(7)): 0, or a negative errno. In `id` are the ports and addresses of the question,
// then those of the socket. The caller has the lock.
static int find_socket(int family, int protocol, struct inet_diag_sockid *id, uint32_t *user, uint32_t *inode) {
    static uint32_t number;
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 question;
    } request = {
        .head = {
            .nlmsg_len = sizeof request,
            .nlmsg_type = SOCK_DIAG_BY_FAMILY,
            .nlmsg_flags = NLM_F_REQUEST,
            .nlmsg_seq = ++number,
        },
        .question = {.sdiag_family = (uint8_t)family, .sdiag_protocol = (uint8_t)protocol, .idiag_states = ~0u, .id = *id},
    };
    if (questions < 0) questions = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (questions < 0 || send(questions, &request, sizeof request, 0) < 0) return -errno;
    union {
        struct nlmsghdr head;
        uint8_t bytes[1024];
    } answer;
    // The kernel has answered before it returned. An answer to an earlier question is one that nobody could read.
    ssize_t length;
    do {
        length = recv(questions, &answer, sizeof answer, MSG_DONTWAIT);
        if (length < 0) return -errno;
        if ((size_t)length < sizeof answer.head) return -EBADMSG;
    } while (answer.head.nlmsg_seq != number);
    if ((size_t)length < NLMSG_LENGTH(sizeof(struct inet_diag_msg)) || answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return -ENOENT;
    struct inet_diag_msg found;
    memcpy(&found, NLMSG_DATA(&answer.head), sizeof found);
    *id = found.id;
    *user = found.idiag_uid;
    *inode = found.idiag_inode;
    return 0;
}

int shim_socket_user(
    int protocol, const void *address, uint16_t port, const void *peer, uint16_t peer_port, uint32_t *user) {
    int is_ipv4 = memcmp(address, mapped_prefix, sizeof mapped_prefix) == 0;
    size_t skipped = is_ipv4 ? sizeof mapped_prefix : 0;
    int result = -ENOENT;
    // For UDP source and destination are swapped in the question, but not in the answer.
    int is_swapped = protocol == IPPROTO_UDP;
    struct inet_diag_sockid id = {
        .idiag_sport = htons(is_swapped ? peer_port : port),
        .idiag_dport = htons(is_swapped ? port : peer_port),
        .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE},
    };
    memcpy(is_swapped ? id.idiag_dst : id.idiag_src, (const uint8_t *)address + skipped, 16 - skipped);
    memcpy(is_swapped ? id.idiag_src : id.idiag_dst, (const uint8_t *)peer + skipped, 16 - skipped);
    uint32_t owner = 0, inode = 0;
    pthread_mutex_lock(&questions_lock);
    int failure = find_socket(is_ipv4 ? AF_INET : AF_INET6, protocol, &id, &owner, &inode);
    // A socket whose answers cannot be read is of no more use.
    if (failure != 0 && failure != -ENOENT && questions >= 0) {
        close(questions);
        questions = -1;
    }
    pthread_mutex_unlock(&questions_lock);
    if (failure == 0) {
        // A listener at the port answers for a connection that is gone. A socket that its process has closed has no inode,
        // and no user.
        int is_it = id.idiag_sport == htons(port) && (protocol != IPPROTO_TCP || id.idiag_dport == htons(peer_port));
        if (is_it && inode != 0) {
            *user = owner;
            result = 0;
        }
    }
    return result;
}

int shim_tells_socket_users(int protocol) {
    int fd = socket(AF_INET, (protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof name;
    int tells = 0;
    // A listener is found as the socket that exchanges packets with port 0.
    if (bind(fd, (struct sockaddr *)&name, length) == 0 && (protocol != IPPROTO_TCP || listen(fd, 1) == 0) &&
        getsockname(fd, (struct sockaddr *)&name, &length) == 0) {
        uint8_t address[16];
        memcpy(address, mapped_prefix, sizeof mapped_prefix);
        memcpy(address + sizeof mapped_prefix, &name.sin_addr, sizeof name.sin_addr);
        uint32_t user;
        tells = shim_socket_user(protocol, address, ntohs(name.sin_port), address, 0, &user) == 0;
    }
    close(fd);
    return tells;
}

int shim_timer_create(void) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int shim_timer_set(int fd, uint64_t deadline) {
    struct itimerspec when = {{0, 0}, {(time_t)(deadline / 1000000000), (long)(deadline % 1000000000)}};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? -errno : 0;
}

int shim_peer_user(int fd, uint32_t *user) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -errno;
    *user = peer.uid;
    return 0;
}

int shim_peer_is_member(int fd, uint32_t group) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return 0;
    if (peer.gid == group) return 1;
    // The kernel returns the length of the list if the buffer is too small.
    length = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &length) == 0 || errno != ERANGE) return 0;
    gid_t *groups = malloc(length);
    if (groups == NULL) return 0;
    int is_member = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) == 0) {
        for (size_t place = 0; place < length / sizeof *groups; place++) is_member |= groups[place] == group;
    }
    free(groups);
    return is_member;
}
