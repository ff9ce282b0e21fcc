#include "CWeb.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

// The library is loaded at the first request for it: because of GnuTLS, which comes with it, it takes 3 MB and some
// milliseconds.
static struct {
    __typeof__(&MHD_start_daemon) start_daemon;
    __typeof__(&MHD_stop_daemon) stop_daemon;
    __typeof__(&MHD_get_daemon_info) get_daemon_info;
    __typeof__(&MHD_run) run;
    __typeof__(&MHD_get_timeout) get_timeout;
    __typeof__(&MHD_lookup_connection_value) lookup_connection_value;
    __typeof__(&MHD_create_response_from_buffer) create_response_from_buffer;
    __typeof__(&MHD_add_response_header) add_response_header;
    __typeof__(&MHD_queue_response) queue_response;
    __typeof__(&MHD_destroy_response) destroy_response;
} library;

static int load(void) {
    static int is_loaded;
    if (is_loaded) return 1;
    void *handle = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);
    if (!handle) return 0;
#define FIND(name) if (!(library.name = (__typeof__(library.name))dlsym(handle, "MHD_" #name))) return 0
    FIND(start_daemon);
    FIND(stop_daemon);
    FIND(get_daemon_info);
    FIND(run);
    FIND(get_timeout);
    FIND(lookup_connection_value);
    FIND(create_response_from_buffer);
    FIND(add_response_header);
    FIND(queue_response);
    FIND(destroy_response);
#undef FIND
    is_loaded = 1;
    return 1;
}

struct cweb_server {
    struct MHD_Daemon *daemon;
    int descriptor;
    void *context;
    cweb_handler handler;
    // Whether the last run ended a connection.
    int has_ended_some;
};

struct cweb_reply {
    struct MHD_Response *response;
    unsigned int status;
};

int cweb_listen(const char *address, uint16_t port, int is_ipv6) {
    struct sockaddr_storage name;
    socklen_t length;
    memset(&name, 0, sizeof name);
    if (is_ipv6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&name;
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        if (inet_pton(AF_INET6, address, &six->sin6_addr) != 1) return -EINVAL;
        length = sizeof *six;
    } else {
        struct sockaddr_in *four = (struct sockaddr_in *)&name;
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        if (inet_pton(AF_INET, address, &four->sin_addr) != 1) return -EINVAL;
        length = sizeof *four;
    }
    int descriptor = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -errno;
    int on = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (is_ipv6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(descriptor, (struct sockaddr *)&name, length) != 0 || listen(descriptor, 32) != 0) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    return descriptor;
}

uint16_t cweb_port(int descriptor) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    if (getsockname(descriptor, (struct sockaddr *)&name, &length) != 0) return 0;
    if (name.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&name)->sin6_port);
    return name.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&name)->sin_port) : 0;
}

void cweb_close(int descriptor) { close(descriptor); }

static const char *text(const char *value) { return value ? value : ""; }

static const char *header(struct MHD_Connection *connection, const char *name) {
    return text(library.lookup_connection_value(connection, MHD_HEADER_KIND, name));
}

static const char *argument(struct MHD_Connection *connection, const char *name) {
    return text(library.lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name));
}

// The library's messages are not logged, because they may contain a client's data.
static void ignore_log(void *context, const char *format, va_list arguments) {
    (void)context;
    (void)format;
    (void)arguments;
}

static enum MHD_Result handle(
    void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
    const char *upload, size_t *upload_size, void **state) {
    (void)version;
    (void)upload;
    struct cweb_server *server = context;
    static int seen;
    if (!*state) {
        // The first call has only the header.
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_size) {
        // No request here has a body: it is read and ignored.
        *upload_size = 0;
        return MHD_YES;
    }
    struct cweb_request request = {
        .method = method,
        .path = url,
        .query_token = argument(connection, "token"),
        .header_token = header(connection, "X-Tunic-Token"),
        .host = header(connection, "Host"),
        .origin = header(connection, "Origin"),
        .key = argument(connection, "key"),
    };
    struct cweb_reply reply = {0};
    server->handler(server->context, &request, &reply);
    if (!reply.response) return MHD_NO;
    enum MHD_Result result = library.queue_response(connection, reply.status, reply.response);
    library.destroy_response(reply.response);
    return result;
}

static void connection_changed(
    void *context, struct MHD_Connection *connection, void **state, enum MHD_ConnectionNotificationCode code) {
    (void)connection;
    (void)state;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) ((struct cweb_server *)context)->has_ended_some = 1;
}

struct cweb_server *cweb_start(int descriptor, unsigned int connections, void *context, cweb_handler handler) {
    struct cweb_server *server = load() ? calloc(1, sizeof *server) : NULL;
    if (!server) {
        close(descriptor);
        return NULL;
    }
    server->context = context;
    server->handler = handler;
    server->daemon = library.start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, server, MHD_OPTION_EXTERNAL_LOGGER, ignore_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, descriptor, MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT,
        10u, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, server,
        MHD_OPTION_END);
    if (!server->daemon) {
        close(descriptor);
        free(server);
        return NULL;
    }
    const union MHD_DaemonInfo *info = library.get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    server->descriptor = info ? info->epoll_fd : -1;
    return server;
}

int cweb_descriptor(struct cweb_server *server) { return server->descriptor; }

void cweb_run(struct cweb_server *server) {
    server->has_ended_some = 0;
    library.run(server->daemon);
}

int64_t cweb_timeout(struct cweb_server *server) {
    // At the limit of connections the library stops watching the listening socket. It watches it again at the beginning of a
    // run, but connections end at the end of one. After the last has ended, no descriptor and no timeout would ask for a run.
    if (server->has_ended_some) return 0;
    MHD_UNSIGNED_LONG_LONG milliseconds = 0;
    return library.get_timeout(server->daemon, &milliseconds) == MHD_YES ? (int64_t)milliseconds : -1;
}

void cweb_stop(struct cweb_server *server) {
    library.stop_daemon(server->daemon);
    free(server);
}

void cweb_answer(
    struct cweb_reply *reply, unsigned int status, const char *type, const char *policy, const void *body, size_t length) {
    if (reply->response) return;
    struct MHD_Response *response =
        library.create_response_from_buffer(length, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    if (!response) return;
    library.add_response_header(response, "Content-Type", type);
    library.add_response_header(response, "Cache-Control", "no-store");
    library.add_response_header(response, "X-Content-Type-Options", "nosniff");
    library.add_response_header(response, "X-Frame-Options", "DENY");
    library.add_response_header(response, "Referrer-Policy", "no-referrer");
    library.add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
    library.add_response_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    if (policy) library.add_response_header(response, "Content-Security-Policy", policy);
    reply->response = response;
    reply->status = status;
}
