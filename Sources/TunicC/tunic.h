/* Tunic in a C program: streams and datagrams through a network of nodes, without a proxy.
 *
 * Every function may be called from any thread. None changes a signal handler, limit or environment variable of the
 * process. A function that waits documents its longest time. A negative result is one of tunic_error;
 * tunic_last_error() gives the calling thread a sentence about it. Do not pass a client to any function after
 * tunic_shut_down was called for it, nor UDP sockets after tunic_udp_close. Texts are UTF-8. After a fork, the child
 * must not use the client.
 */
#ifndef TUNIC_H
#define TUNIC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum tunic_error {
    TUNIC_NETWORK_FILE = -1,  /* the network file cannot be read or is invalid */
    TUNIC_DATA_FOLDER = -2,   /* the data folder cannot be used */
    TUNIC_IN_USE = -3,        /* another client uses the data folder */
    TUNIC_SYSTEM = -4,        /* the operating system refused a resource */
    TUNIC_CLOSED = -5,        /* the client was shut down, or the sockets closed */
    TUNIC_BAD_ARGUMENT = -6,  /* a null pointer, a host that is neither name nor address, port 0 */
    TUNIC_NO_PATH = -7,       /* no path through the network */
    TUNIC_TIMED_OUT = -8,     /* no answer in time */
    TUNIC_REFUSED = -9,       /* the exit or the destination refused, or no exit is asked for the host */
    TUNIC_BROKEN = -10,       /* the stream or its session broke */
    TUNIC_TOO_MANY = -11,     /* too many streams or identities */
    TUNIC_NOT_SENT = -12,     /* the datagram is too long, or there is no room for it now */
    TUNIC_TOO_SMALL = -13,    /* the datagram is longer than the caller's buffer, and is lost */
    TUNIC_BUSY = -14          /* another thread waits for a datagram of these sockets */
};

/* A client, and UDP sockets at an exit. */
typedef struct tunic_client tunic_client;
typedef struct tunic_udp tunic_udp;

/* A sentence about the last failure on the calling thread, or NULL before the first; valid until the thread's next
 * call. */
const char *tunic_last_error(void);

/* Starts a client of the network that the file describes, and gives it to *client.
 *
 * No other client may use the data folder at the same time. It is made if its parent folder exists. Paths have `hops`
 * nodes: 1 to 4, or 0 for 3. */
int tunic_start(const char *network_file, const char *data_folder, int hops, tunic_client **client);

/* Waits until a path is ready: 0, or TUNIC_TIMED_OUT after `milliseconds` (-1: no limit). */
int tunic_wait_ready(tunic_client *client, int milliseconds);

/* Opens a stream to `port` of `host`, an address or a name that the exit resolves; waits for at most 168 s.
 *
 * The result is a connected, blocking unix socket: read, write, poll, shut down and close it as any other. A broken
 * stream and a finished one both end with an end of file, so use the end marker of your own protocol. Write with
 * MSG_NOSIGNAL or ignore SIGPIPE, because the far end can close at any time. Streams with different `isolation` never
 * share a path; NULL is the same as "". */
int tunic_open(tunic_client *client, const char *host, uint16_t port, const char *isolation);

/* Opens UDP sockets at an exit, and gives them to *udp; waits as tunic_open does. */
int tunic_udp_open(tunic_client *client, const char *isolation, tunic_udp **udp);

/* Sends a datagram to `port` of `host`.
 *
 * TUNIC_NOT_SENT: it is too long, or there is no room now; TUNIC_REFUSED: no exit is ever asked for the host. */
int tunic_udp_send(tunic_udp *udp, const char *host, uint16_t port, const void *data, size_t length);

/* Waits for a datagram for at most `milliseconds` (-1: no limit), and returns its length.
 *
 * The sender's host is written to `host`, 256 bytes or NULL, and its port to `port`, or NULL. */
int tunic_udp_receive(tunic_udp *udp, void *data, size_t size, char *host, uint16_t *port, int milliseconds);

/* Closes the sockets and frees *udp. */
void tunic_udp_close(tunic_udp *udp);

/* Ends all streams, waits until the client's thread has closed its files and sockets, and frees *client. */
void tunic_shut_down(tunic_client *client);

#ifdef __cplusplus
}
#endif
#endif
