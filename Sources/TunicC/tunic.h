/* Tunic in a C program: streams and datagrams through a network of nodes, without a proxy.
 *
 * Every function may be called from any thread. None changes anything of the process: no signal handler, no limit, no
 * environment. Those that wait say for how long. A negative result is one of tunic_error, and tunic_last_error() tells the calling
 * thread more of it. No call may begin on a client or on UDP sockets once tunic_shut_down or tunic_udp_close was called for them.
 * Texts are UTF-8. A process that forks must not use the client in the child.
 */
#ifndef TUNIC_H
#define TUNIC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum tunic_error {
    TUNIC_NETWORK_FILE = -1,  /* the network file cannot be read, or is not one */
    TUNIC_DATA_FOLDER = -2,   /* the data folder cannot be used */
    TUNIC_IN_USE = -3,        /* another client works with the data folder */
    TUNIC_SYSTEM = -4,        /* the operating system refused something */
    TUNIC_CLOSED = -5,        /* the client was shut down, or the sockets closed */
    TUNIC_BAD_ARGUMENT = -6,  /* a null pointer, a host that is neither name nor address, port 0 */
    TUNIC_NO_PATH = -7,       /* no path through the network */
    TUNIC_TIMED_OUT = -8,     /* no answer in time */
    TUNIC_REFUSED = -9,       /* the exit or the destination said no */
    TUNIC_BROKEN = -10,       /* the stream or its session broke */
    TUNIC_TOO_MANY = -11,     /* too many streams or identities */
    TUNIC_NOT_SENT = -12,     /* a datagram that is too long, or for which there is no room now */
    TUNIC_TOO_SMALL = -13,    /* the caller's memory holds less than has come; the datagram is lost */
    TUNIC_BUSY = -14          /* another thread waits for a datagram of the same sockets */
};

/* A client, and UDP sockets at an exit. */
typedef struct tunic_client tunic_client;
typedef struct tunic_udp tunic_udp;

/* One sentence about the last failure of a function that the calling thread called, NULL before the first; valid until its next
 * call. */
const char *tunic_last_error(void);

/* Starts a client of the network that the file describes, and gives it to *client.
 *
 * The data folder is this client's alone, and is made where only it is missing. Paths have `hops` nodes: 1 to 4, or 0 for 3. */
int tunic_start(const char *network_file, const char *data_folder, int hops, tunic_client **client);

/* Waits until a path stands: 0, or TUNIC_TIMED_OUT after `milliseconds` (-1: never). */
int tunic_wait_ready(tunic_client *client, int milliseconds);

/* Opens a stream to `port` of `host`, a name, which the exit resolves, or an address; waits for at most 168 s.
 *
 * The result is a connected, blocking unix socket, to read, write, poll, shut down and close as any other. A stream that breaks ends
 * it as one that is done does: rely on what your protocol says of its own end. Write with MSG_NOSIGNAL, or ignore SIGPIPE: the
 * far end can close at any time. Streams with different `isolation` never share a path; NULL is the same as "". */
int tunic_open(tunic_client *client, const char *host, uint16_t port, const char *isolation);

/* Opens UDP sockets at an exit, and gives them to *udp; waits as tunic_open does. */
int tunic_udp_open(tunic_client *client, const char *isolation, tunic_udp **udp);

/* Sends a datagram to `port` of `host`. */
int tunic_udp_send(tunic_udp *udp, const char *host, uint16_t port, const void *data, size_t length);

/* Waits for a datagram for at most `milliseconds` (-1: for ever), and returns its length.
 *
 * The sender's host is written to `host`, 256 bytes or NULL, and its port to `port`, or NULL. */
int tunic_udp_receive(tunic_udp *udp, void *data, size_t size, char *host, uint16_t *port, int milliseconds);

/* Closes the sockets and frees *udp. */
void tunic_udp_close(tunic_udp *udp);

/* Ends all that is open, waits until the client's thread has let go of everything, and frees *client. */
void tunic_shut_down(tunic_client *client);

#ifdef __cplusplus
}
#endif
#endif
