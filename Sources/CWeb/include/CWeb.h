// A small HTTP server with libmicrohttpd, run from another loop: its epoll descriptor is readable when it has work.
#ifndef CWEB_H
#define CWEB_H

#include <stddef.h>
#include <stdint.h>

struct cweb_server;
struct cweb_reply;

// A browser's request; strings are empty if it did not send them.
struct cweb_request {
    const char *method;
    const char *path;
    // The query's `token` and the header `X-Tunic-Token`.
    const char *query_token;
    const char *header_token;
    const char *host;
    const char *origin;
    // The query's `key`.
    const char *key;
};

// Answers a request with `cweb_answer`, within the call.
typedef void (*cweb_handler)(void *context, const struct cweb_request *request, struct cweb_reply *reply);

// A socket that listens at an address: a descriptor, or a negative errno.
int cweb_listen(const char *address, uint16_t port, int is_ipv6);

// The port of a listening socket, or 0.
uint16_t cweb_port(int descriptor);

// Closes a listening socket that no server owns.
void cweb_close(int descriptor);

// Serves a listening socket, which the server owns from now on; returns NULL, with the socket closed, after an error.
struct cweb_server *cweb_start(int descriptor, unsigned int connections, void *context, cweb_handler handler);

// A descriptor that is readable when `cweb_run` has work.
int cweb_descriptor(struct cweb_server *server);

// Does the present work, without waiting.
void cweb_run(struct cweb_server *server);

// The longest time until the next call of `cweb_run`, in milliseconds; -1: no limit.
int64_t cweb_timeout(struct cweb_server *server);

// Ends all connections and closes the socket.
void cweb_stop(struct cweb_server *server);

// Sets the answer; `body` is copied, `policy` (a Content-Security-Policy) may be NULL.
void cweb_answer(
    struct cweb_reply *reply, unsigned int status, const char *type, const char *policy, const void *body, size_t length);

#endif
