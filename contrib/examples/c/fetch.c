// Fetches a page through a Tunic network: fetch NETWORK-FILE DATA-FOLDER HOST PORT PATH
//
//     cc -I Sources/TunicC contrib/examples/c/fetch.c -L .build/release -lTunicC -o fetch
#include "tunic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what) {
    fprintf(stderr, "fetch: %s: %s\n", what, tunic_last_error());
    return 1;
}

static int fetch(tunic_client *client, const char *host, int port, const char *path) {
    if (tunic_wait_ready(client, 60000) != 0) return fail("no path");
    int stream = tunic_open(client, host, (uint16_t)port, "fetch");
    if (stream < 0) return fail(host);

    char buffer[4096];
    int length = snprintf(buffer, sizeof buffer, "GET %s HTTP/1.0\r\nHost: %s:%d\r\n\r\n", path, host, port);
    if (length < 0 || (size_t)length >= sizeof buffer || send(stream, buffer, (size_t)length, MSG_NOSIGNAL) != length) {
        close(stream);
        fprintf(stderr, "fetch: the request cannot be written\n");
        return 1;
    }
    ssize_t count;
    while ((count = read(stream, buffer, sizeof buffer)) > 0) fwrite(buffer, 1, (size_t)count, stdout);
    close(stream);
    return count == 0 ? 0 : 1;
}

int main(int count, char **values) {
    if (count != 6) {
        fprintf(stderr, "usage: fetch NETWORK-FILE DATA-FOLDER HOST PORT PATH\n");
        return 2;
    }
    tunic_client *client;
    if (tunic_start(values[1], values[2], 0, &client) != 0) return fail(values[1]);
    int status = fetch(client, values[3], atoi(values[4]), values[5]);
    tunic_shut_down(client);
    return status;
}
