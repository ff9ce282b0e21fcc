// The two ends of one measurement: an application that speaks SOCKS5 to a proxy, and the server behind its exit.
// One file: it is compiled by one command, on machines without this project.
//
//   load down|up|ping|connect [--socks HOST:PORT] [--streams N] [--isolate] [--seconds S] [--warmup S] [--patience S]
//
// Both ends are threads of this process, so that bytes are counted where they arrive and one clock times everything. Without --socks the
// application connects straight to the server. Prints the line "window" when the measured window begins, and one JSON object when it ends.
//
// Every byte is checked: both ends hold the same random pattern, whose period is a prime, and each stream starts at its own place in it; so a
// byte that is lost, repeated, altered or taken from another stream makes the comparison of that chunk fail.
//
// A stream opens with an 8-byte request (the operation, the stream's number, a mark), which the server answers with the same bytes inverted.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PERIOD = 1048583,       // bytes; a prime just above 1 MiB
    CHUNK = 256 * 1024,     // bytes at most in one send or receive
    REQUEST = 8,            // bytes of a request, and of its answer
    MAX_STREAMS = 4096,
    MAX_EVENTS = 256,
    MAX_PINGS = 1 << 21,
    MAX_FAULTS = 1000,      // a connection test ends after so many
};

enum operation { DOWN = 'D', UP = 'U', PING = 'P', CONNECT = 'C' };

// ---------------------------------------------------------------------------------------------------------------- faults

enum fault { FINE, REFUSED, CLOSED, CORRUPT, STALLED, FAULT_KINDS };
static const char *const fault_names[FAULT_KINDS] = {"fine", "refused", "closed", "corrupt", "stalled"};

// ---------------------------------------------------------------------------------------------------------------- options

static struct {
    enum operation operation;
    bool through_proxy, isolate;
    struct sockaddr_in proxy;
    int streams;
    double seconds, warmup, patience;  // patience: how long an opening or an answer may take before it counts as stalled
} options = {.streams = 1, .seconds = 5, .warmup = 1, .patience = 30};

static void die(const char *what) {
    fprintf(stderr, "load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(2);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t ns(double seconds) { return (uint64_t)(seconds * 1e9); }

// ---------------------------------------------------------------------------------------------------------------- pattern

// One period, and then its beginning again, so that a chunk from any place in it is contiguous.
static unsigned char pattern[PERIOD + CHUNK];

static void fill_pattern(void) {
    uint64_t x = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < PERIOD; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        pattern[i] = (unsigned char)(x >> 32);
    }
    memcpy(pattern + PERIOD, pattern, CHUNK);
}

static uint32_t first_place(uint32_t id) { return (uint32_t)((uint64_t)id * 104729u % PERIOD); }

static uint32_t advance(uint32_t place, size_t length) { return (uint32_t)((place + length) % PERIOD); }

// What the receiving side of each stream has verified. Written by one thread, read by the other.
static struct tally {
    _Atomic uint64_t bytes;
    _Atomic int fault;
} tallies[MAX_STREAMS];

// Receives once and checks what came. False when nothing more can come.
static bool receive_and_verify(int fd, struct tally *tally, uint32_t *place, unsigned char *buffer) {
    ssize_t n = recv(fd, buffer, CHUNK, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) {
        atomic_store(&tally->fault, CLOSED);
        return false;
    }
    if (memcmp(pattern + *place, buffer, (size_t)n) != 0) {
        atomic_store(&tally->fault, CORRUPT);
        return false;
    }
    *place = advance(*place, (size_t)n);
    atomic_fetch_add_explicit(&tally->bytes, (uint64_t)n, memory_order_relaxed);
    return true;
}

// Sends once from the pattern. False when the other side has gone.
static bool send_pattern(int fd, uint32_t *place) {
    ssize_t n = send(fd, pattern + *place, CHUNK, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    *place = advance(*place, (size_t)n);
    return true;
}

// ---------------------------------------------------------------------------------------------------------------- requests

static void put_request(unsigned char out[REQUEST], enum operation operation, uint32_t id) {
    const unsigned char request[REQUEST] = {(unsigned char)operation, 'l', 'o', 'a', id >> 24, id >> 16, id >> 8, id};
    memcpy(out, request, REQUEST);
}

// The operation asked for and the stream's number; false when these bytes are no request.
static bool parse_request(const unsigned char in[REQUEST], enum operation *operation, uint32_t *id) {
    *operation = in[0];
    *id = (uint32_t)in[4] << 24 | (uint32_t)in[5] << 16 | (uint32_t)in[6] << 8 | in[7];
    return memcmp(in + 1, "loa", 3) == 0 && *id < MAX_STREAMS && strchr("DUPC", in[0]) != NULL && in[0] != 0;
}

static void put_answer(unsigned char out[REQUEST], const unsigned char request[REQUEST]) {
    for (int i = 0; i < REQUEST; i++) out[i] = (unsigned char)~request[i];
}

// ---------------------------------------------------------------------------------------------------------------- sockets

static void watch(int poller, int fd, void *owner, uint32_t events, int change) {
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(poller, change, fd, &event) != 0) die("epoll_ctl");
}

static void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

// ---------------------------------------------------------------------------------------------------------------- server

struct served {
    int fd;
    enum operation operation;  // 0 until the request is complete
    bool finished;             // has sent all it will send, and waits for the other side to close
    struct tally *tally;
    uint32_t place;
    unsigned char request[REQUEST];
    int have;
};

static struct sockaddr_in server_address;
static int listener;
static _Atomic uint64_t bad_requests;

static void open_listener(void) {
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    server_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof server_address;
    if (listener < 0 || bind(listener, (struct sockaddr *)&server_address, length) != 0 || listen(listener, 4096) != 0 ||
        getsockname(listener, (struct sockaddr *)&server_address, &length) != 0)
        die("cannot listen on 127.0.0.1");
}

static void accept_all(int poller) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct served *served = calloc(1, sizeof *served);
        if (served == NULL) die("out of memory");
        served->fd = fd;
        no_delay(fd);
        watch(poller, fd, served, EPOLLIN, EPOLL_CTL_ADD);
    }
}

// Takes more of the request; once it is whole, answers it and turns to its operation. False to close.
static bool serve_request(int poller, struct served *served) {
    ssize_t n = recv(served->fd, served->request + served->have, (size_t)(REQUEST - served->have), 0);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    served->have += (int)n;
    if (served->have < REQUEST) return true;

    uint32_t id;
    if (!parse_request(served->request, &served->operation, &id)) {
        atomic_fetch_add(&bad_requests, 1);
        return false;
    }
    served->tally = &tallies[id];
    served->place = first_place(id);
    unsigned char answer[REQUEST];
    put_answer(answer, served->request);
    if (send(served->fd, answer, REQUEST, MSG_NOSIGNAL) != REQUEST) return false;
    if (served->operation == DOWN) watch(poller, served->fd, served, EPOLLOUT, EPOLL_CTL_MOD);
    if (served->operation == CONNECT) {
        shutdown(served->fd, SHUT_WR);
        served->finished = true;
    }
    return true;
}

static bool echo(int fd) {
    unsigned char bytes[64];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    return send(fd, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

static bool serve(int poller, struct served *served, unsigned char *buffer) {
    switch ((int)served->operation) {
    case 0: return serve_request(poller, served);
    case DOWN: return send_pattern(served->fd, &served->place);
    case UP: return receive_and_verify(served->fd, served->tally, &served->place, buffer);
    case PING: return echo(served->fd);
    default: return recv(served->fd, buffer, CHUNK, 0) > 0;
    }
}

static void *run_server(void *unused) {
    (void)unused;
    unsigned char *buffer = malloc(CHUNK);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    if (buffer == NULL || poller < 0) die("server");
    watch(poller, listener, NULL, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int count = epoll_wait(poller, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct served *served = events[i].data.ptr;
            if (served == NULL) {
                accept_all(poller);
            } else if (!serve(poller, served, buffer)) {
                close(served->fd);
                free(served);
            }
        }
    }
    return NULL;
}

// ---------------------------------------------------------------------------------------------------------------- streams

enum state { CONNECTING, METHOD, PASSWORD, REPLY, ANSWER, OPEN, ENDED };

struct stream {
    int fd;
    uint32_t id;
    enum state state;
    uint64_t started;  // ns
    uint32_t place;
    unsigned char in[300];
    int have, need;
    unsigned char request[REQUEST];
};

static char last_detail[96];  // of the latest fault, for the report

// Ends a stream; a fault that was found before stays.
static void end_stream(struct stream *stream, enum fault fault, const char *detail) {
    if (fault != FINE) {
        int fine = FINE;
        atomic_compare_exchange_strong(&tallies[stream->id].fault, &fine, fault);
        snprintf(last_detail, sizeof last_detail, "%s", detail);
    }
    if (stream->state != ENDED) close(stream->fd);
    stream->state = ENDED;
}

static void expect(struct stream *stream, enum state state, int need) {
    stream->state = state;
    stream->have = 0;
    stream->need = need;
}

// Sends a short message on a socket whose buffer is empty.
static bool say(struct stream *stream, const void *bytes, size_t length) {
    if (send(stream->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length) return true;
    end_stream(stream, CLOSED, "closed during the handshake");
    return false;
}

static void say_request(struct stream *stream) {
    put_request(stream->request, options.operation, stream->id);
    if (say(stream, stream->request, REQUEST)) expect(stream, ANSWER, REQUEST);
}

static void say_connect(struct stream *stream) {
    unsigned char message[10] = {5, 1, 0, 1};
    memcpy(message + 4, &server_address.sin_addr, 4);
    memcpy(message + 8, &server_address.sin_port, 2);
    if (say(stream, message, sizeof message)) expect(stream, REPLY, 5);
}

// The user name is the isolation key: one for each stream.
static void say_password(struct stream *stream) {
    char message[64];
    int length = snprintf(message + 2, sizeof message - 2, "stream-%04u", (unsigned)stream->id);
    message[0] = 1;
    message[1] = (char)length;
    memcpy(message + 2 + length, "\x04load", 5);
    if (say(stream, message, (size_t)length + 7)) expect(stream, PASSWORD, 2);
}

static void say_hello(struct stream *stream) {
    if (!options.through_proxy) {
        say_request(stream);
        return;
    }
    const unsigned char methods[3] = {5, 1, options.isolate ? 2 : 0};
    if (say(stream, methods, sizeof methods)) expect(stream, METHOD, 2);
}

static void start_stream(struct stream *stream, uint32_t id, int poller) {
    *stream = (struct stream){.id = id, .state = CONNECTING, .started = now_ns(), .place = first_place(id)};
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stream->fd < 0) die("socket");
    no_delay(stream->fd);
    const struct sockaddr_in *address = options.through_proxy ? &options.proxy : &server_address;
    if (connect(stream->fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno != EINPROGRESS)
        end_stream(stream, REFUSED, strerror(errno));
    else
        watch(poller, stream->fd, stream, EPOLLOUT, EPOLL_CTL_ADD);
}

static void finish_connecting(struct stream *stream, int poller) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
        end_stream(stream, REFUSED, strerror(error));
        return;
    }
    watch(poller, stream->fd, stream, EPOLLIN, EPOLL_CTL_MOD);
    say_hello(stream);
}

// The length of the SOCKS reply whose first five bytes these are, or 0.
static int reply_length(const unsigned char in[5]) {
    switch (in[3]) {
    case 1: return 10;
    case 3: return 7 + in[4];
    case 4: return 22;
    default: return 0;
    }
}

static void take_reply(struct stream *stream) {
    char detail[32];
    snprintf(detail, sizeof detail, "SOCKS reply %d", stream->in[1]);
    int length = reply_length(stream->in);
    if (stream->in[0] != 5 || stream->in[1] != 0 || length == 0) end_stream(stream, REFUSED, detail);
    else if (stream->have < length) stream->need = length;
    else say_request(stream);
}

// Acts on a complete message of the handshake.
static void take_message(struct stream *stream) {
    unsigned char answer[REQUEST];
    switch (stream->state) {
    case METHOD:
        if (stream->in[0] != 5 || stream->in[1] != (options.isolate ? 2 : 0)) end_stream(stream, REFUSED, "SOCKS method");
        else if (options.isolate) say_password(stream);
        else say_connect(stream);
        break;
    case PASSWORD:
        if (stream->in[1] != 0) end_stream(stream, REFUSED, "SOCKS password");
        else say_connect(stream);
        break;
    case REPLY: take_reply(stream); break;
    case ANSWER:
        put_answer(answer, stream->request);
        if (memcmp(answer, stream->in, REQUEST) != 0) end_stream(stream, CORRUPT, "the answer differs");
        else stream->state = OPEN;
        break;
    default: break;
    }
}

// Moves a stream towards OPEN; never reads past the message that it waits for.
static void continue_opening(struct stream *stream, int poller) {
    if (stream->state == CONNECTING) {
        finish_connecting(stream, poller);
        return;
    }
    ssize_t n = recv(stream->fd, stream->in + stream->have, (size_t)(stream->need - stream->have), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        end_stream(stream, CLOSED, "closed during the handshake");
        return;
    }
    stream->have += (int)n;
    if (stream->have == stream->need) take_message(stream);
}

// ---------------------------------------------------------------------------------------------------------------- report

static int count_faults(const struct stream *streams, int counts[FAULT_KINDS]) {
    int faults = 0;
    for (int i = 0; i < options.streams; i++) {
        int fault = atomic_load(&tallies[streams[i].id].fault);
        counts[fault]++;
        faults += fault != FINE;
    }
    return faults;
}

// Prints what every report has in common, and leaves the object open.
static void begin_report(double seconds, const int counts[FAULT_KINDS]) {
    printf("{\"seconds\": %.6f, \"faults\": {", seconds);
    const char *separator = "";
    for (int kind = FINE + 1; kind < FAULT_KINDS; kind++)
        if (counts[kind] > 0) printf("%s\"%s\": %d", separator, fault_names[kind], counts[kind]), separator = ", ";
    printf("}, \"bad_requests\": %llu, \"detail\": \"%s\"", (unsigned long long)atomic_load(&bad_requests), last_detail);
}

static void end_report(void) {
    printf("}\n");
    fflush(stdout);
    exit(0);
}

static void begin_window(void) {
    printf("window\n");
    fflush(stdout);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

// Prints nearest-rank percentiles in microseconds; null for one that has too few samples to mean anything.
static void report_percentiles(uint64_t *samples, size_t count) {
    static const struct { const char *name; double share; size_t least; } ranks[] = {
        {"p50_us", 0.5, 1}, {"p99_us", 0.99, 100}, {"p999_us", 0.999, 1000}};
    qsort(samples, count, sizeof *samples, by_value);
    printf(", \"count\": %zu", count);
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        if (count < ranks[i].least) printf(", \"%s\": null", ranks[i].name);
        else printf(", \"%s\": %.3f", ranks[i].name, (double)samples[(size_t)(ranks[i].share * (double)(count - 1) + 0.5)] / 1e3);
    }
}

// ---------------------------------------------------------------------------------------------------------------- throughput

static void carry(struct stream *stream, int poller, unsigned char *buffer) {
    if (stream->state < OPEN) {
        continue_opening(stream, poller);
        if (stream->state == OPEN && options.operation == UP) watch(poller, stream->fd, stream, EPOLLOUT, EPOLL_CTL_MOD);
        return;
    }
    if (stream->state == ENDED) return;
    bool goes_on = options.operation == DOWN
        ? receive_and_verify(stream->fd, &tallies[stream->id], &stream->place, buffer)
        : send_pattern(stream->fd, &stream->place);
    if (goes_on) return;
    bool corrupt = atomic_load(&tallies[stream->id].fault) == CORRUPT;
    end_stream(stream, CLOSED, corrupt ? "bytes differ" : "closed while carrying");
}

static void turn(int poller, unsigned char *buffer) {
    struct epoll_event events[MAX_EVENTS];
    int count = epoll_wait(poller, events, MAX_EVENTS, 20);
    for (int i = 0; i < count; i++) carry(events[i].data.ptr, poller, buffer);
}

static bool all_opened(const struct stream *streams) {
    for (int i = 0; i < options.streams; i++)
        if (streams[i].state < OPEN) return false;
    return true;
}

// Opens all streams, or ends those that do not open in time.
static void open_streams(struct stream *streams, int poller, unsigned char *buffer) {
    uint64_t deadline = now_ns() + ns(options.patience);
    for (int i = 0; i < options.streams; i++) start_stream(&streams[i], (uint32_t)i, poller);
    while (!all_opened(streams) && now_ns() < deadline) turn(poller, buffer);
    for (int i = 0; i < options.streams; i++)
        if (streams[i].state < OPEN) end_stream(&streams[i], STALLED, "did not open in time");
}

static void report_throughput(const struct stream *streams, const uint64_t *before, double seconds) {
    int counts[FAULT_KINDS] = {0};
    uint64_t total = 0, least = UINT64_MAX;
    for (int i = 0; i < options.streams; i++) {
        uint64_t bytes = atomic_load(&tallies[i].bytes) - before[i];
        int fine = FINE;
        if (bytes == 0) atomic_compare_exchange_strong(&tallies[i].fault, &fine, STALLED);
        total += bytes;
        if (bytes < least) least = bytes;
    }
    count_faults(streams, counts);
    begin_report(seconds, counts);
    printf(", \"bytes\": %llu, \"least\": %llu", (unsigned long long)total, (unsigned long long)least);
    end_report();
}

static void measure_throughput(struct stream *streams, int poller) {
    static uint64_t before[MAX_STREAMS];
    unsigned char *buffer = malloc(CHUNK);
    if (buffer == NULL) die("out of memory");
    open_streams(streams, poller, buffer);
    for (uint64_t end = now_ns() + ns(options.warmup); now_ns() < end;) turn(poller, buffer);
    for (int i = 0; i < options.streams; i++) before[i] = atomic_load(&tallies[i].bytes);
    begin_window();
    uint64_t begin = now_ns();
    for (uint64_t end = begin + ns(options.seconds); now_ns() < end;) turn(poller, buffer);
    report_throughput(streams, before, (double)(now_ns() - begin) / 1e9);
}

// ---------------------------------------------------------------------------------------------------------------- ping

static void make_blocking(int fd) {
    struct timeval patience = {.tv_sec = (time_t)options.patience};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

// One byte there and back. FINE, or what went wrong.
static enum fault ping(struct stream *stream) {
    unsigned char sent = pattern[stream->place], received;
    stream->place = advance(stream->place, 1);
    if (send(stream->fd, &sent, 1, MSG_NOSIGNAL) != 1) return CLOSED;
    ssize_t n = recv(stream->fd, &received, 1, 0);
    if (n < 0 && errno == EAGAIN) return STALLED;
    if (n != 1) return CLOSED;
    return received == sent ? FINE : CORRUPT;
}

// Pings for so long; keeps the times where `samples` is given.
static size_t ping_for(struct stream *stream, double seconds, uint64_t *samples) {
    size_t count = 0;
    for (uint64_t last = now_ns(), end = last + ns(seconds); last < end && stream->state == OPEN && count < MAX_PINGS;) {
        enum fault fault = ping(stream);
        uint64_t now = now_ns();
        if (fault != FINE) end_stream(stream, fault, "while pinging");
        else if (samples != NULL) samples[count++] = now - last;
        last = now;
    }
    return count;
}

static void measure_ping(struct stream *streams, int poller) {
    uint64_t *samples = malloc(MAX_PINGS * sizeof *samples);
    int counts[FAULT_KINDS] = {0};
    if (samples == NULL) die("out of memory");
    open_streams(streams, poller, NULL);
    if (streams[0].state == OPEN) make_blocking(streams[0].fd);
    ping_for(&streams[0], options.warmup, NULL);
    begin_window();
    uint64_t begin = now_ns();
    size_t count = ping_for(&streams[0], options.seconds, samples);
    double seconds = (double)(now_ns() - begin) / 1e9;
    count_faults(streams, counts);
    begin_report(seconds, counts);
    report_percentiles(samples, count);
    end_report();
}

// ---------------------------------------------------------------------------------------------------------------- connections

static struct {
    uint64_t *times;
    size_t count, room;
    int faults, counts[FAULT_KINDS];
} opened;

static void keep_time(uint64_t time) {
    if (opened.count == opened.room) {
        opened.room = opened.room ? opened.room * 2 : 1 << 16;
        opened.times = realloc(opened.times, opened.room * sizeof *opened.times);
        if (opened.times == NULL) die("out of memory");
    }
    opened.times[opened.count++] = time;
}

static void keep_fault(struct stream *stream) {
    opened.faults++;
    opened.counts[atomic_exchange(&tallies[stream->id].fault, FINE)]++;
}

// After the 8 bytes the server ends the stream; the fetch is done when that end has come through.
static void await_end(struct stream *stream) {
    unsigned char extra;
    ssize_t n = recv(stream->fd, &extra, 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) end_stream(stream, CORRUPT, "bytes after the end");
    else if (n < 0) end_stream(stream, CLOSED, strerror(errno));
    else end_stream(stream, FINE, "");
}

static void fetch(struct stream *stream, int poller) {
    if (stream->state < OPEN) continue_opening(stream, poller);
    else if (stream->state == OPEN) await_end(stream);
}

// Books an ended stream and starts the next one in its place.
static void renew(struct stream *stream, int poller) {
    if (stream->state != ENDED) return;
    if (atomic_load(&tallies[stream->id].fault) != FINE) keep_fault(stream);
    else keep_time(now_ns() - stream->started);
    start_stream(stream, stream->id, poller);
}

static void end_stalled(struct stream *streams) {
    for (int i = 0; i < options.streams; i++)
        if (streams[i].state != ENDED && now_ns() - streams[i].started > ns(options.patience))
            end_stream(&streams[i], STALLED, "a fetch took too long");
}

static void fetch_until(struct stream *streams, int poller, uint64_t end) {
    uint64_t next_check = 0;
    for (uint64_t now; (now = now_ns()) < end && opened.faults < MAX_FAULTS;) {
        struct epoll_event events[MAX_EVENTS];
        int count = epoll_wait(poller, events, MAX_EVENTS, 20);
        for (int i = 0; i < count; i++) {
            fetch(events[i].data.ptr, poller);
            renew(events[i].data.ptr, poller);
        }
        if (now < next_check) continue;
        next_check = now + ns(0.1);
        end_stalled(streams);
        for (int i = 0; i < options.streams; i++) renew(&streams[i], poller);
    }
}

static void measure_connections(struct stream *streams, int poller) {
    for (int i = 0; i < options.streams; i++) start_stream(&streams[i], (uint32_t)i, poller);
    fetch_until(streams, poller, now_ns() + ns(options.warmup));
    opened.count = 0;
    begin_window();
    uint64_t begin = now_ns();
    fetch_until(streams, poller, begin + ns(options.seconds));
    double seconds = (double)(now_ns() - begin) / 1e9;
    end_stalled(streams);
    if (opened.count == 0 && opened.faults == 0) opened.counts[STALLED] = options.streams;
    begin_report(seconds, opened.counts);
    report_percentiles(opened.times, opened.count);
    end_report();
}

// ---------------------------------------------------------------------------------------------------------------- start

static void parse_address(char *text) {
    char *colon = strrchr(text, ':');
    if (colon == NULL) die("--socks wants HOST:PORT");
    *colon = 0;
    options.proxy = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    if (inet_pton(AF_INET, text, &options.proxy.sin_addr) != 1) die("--socks wants an IPv4 address");
    options.through_proxy = true;
}

static void parse_options(int argc, char **argv) {
    static const struct { const char *name; enum operation operation; } modes[] = {
        {"down", DOWN}, {"up", UP}, {"ping", PING}, {"connect", CONNECT}};
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(argv[1], modes[i].name) == 0) options.operation = modes[i].operation;
    if (options.operation == 0) die("usage: load down|up|ping|connect [options]");
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--isolate") == 0) {
            options.isolate = true;
            continue;
        }
        if (i + 1 == argc) die("an option without its value");
        char *value = argv[i + 1];
        if (strcmp(argv[i], "--socks") == 0) parse_address(value);
        else if (strcmp(argv[i], "--streams") == 0) options.streams = atoi(value);
        else if (strcmp(argv[i], "--seconds") == 0) options.seconds = atof(value);
        else if (strcmp(argv[i], "--warmup") == 0) options.warmup = atof(value);
        else if (strcmp(argv[i], "--patience") == 0) options.patience = atof(value);
        else die("unknown option");
        i++;
    }
    if (options.streams < 1 || options.streams > MAX_STREAMS) die("--streams out of range");
    if (options.operation == PING && options.streams != 1) die("ping takes one stream");
}

int main(int argc, char **argv) {
    static struct stream streams[MAX_STREAMS];
    parse_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    fill_pattern();
    open_listener();
    pthread_t server;
    if (pthread_create(&server, NULL, run_server, NULL) != 0) die("pthread_create");
    int poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) die("epoll_create1");
    switch (options.operation) {
    case PING: measure_ping(streams, poller); break;
    case CONNECT: measure_connections(streams, poller); break;
    default: measure_throughput(streams, poller); break;
    }
    return 0;
}
