#define CURL_DISABLE_TYPECHECK
#include "CCurl.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// The few functions that are used, by the names that libcurl gives them. `curl_easy_setopt` and `curl_easy_getinfo` are variadic
// and are called through variadic pointers.
static struct {
    CURLcode (*global_init)(long);
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *);
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
    const char *(*easy_strerror)(CURLcode);
    struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
    void (*slist_free_all)(struct curl_slist *);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_cleanup)(CURLM *);
    CURLMcode (*multi_add_handle)(CURLM *, CURL *);
    CURLMcode (*multi_remove_handle)(CURLM *, CURL *);
    CURLMcode (*multi_perform)(CURLM *, int *);
    CURLMcode (*multi_poll)(CURLM *, struct curl_waitfd[], unsigned int, int, int *);
    CURLMcode (*multi_wakeup)(CURLM *);
    CURLMsg *(*multi_info_read)(CURLM *, int *);
} curl;

struct shim_http_exchange {
    CURL *easy;
    struct curl_slist *headers;
    uint64_t tag;
    CURLcode code;
    int is_over_limit;
    uint8_t *body;
    size_t length, capacity, limit;
    shim_http_exchange *next, *previous;
};

struct shim_http {
    CURLM *multi;
    shim_http_exchange *first;
};

static int find(void *library, const char *name, void *place) {
    void *symbol = dlsym(library, name);
    memcpy(place, &symbol, sizeof symbol);
    return symbol != NULL;
}

static int is_loaded = 0;

static void load(void) {
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib"};
    void *library = NULL;
    for (size_t index = 0; index < sizeof names / sizeof *names && !library; index++)
        library = dlopen(names[index], RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    int is_whole = find(library, "curl_global_init", &curl.global_init) &
        find(library, "curl_easy_init", &curl.easy_init) & find(library, "curl_easy_cleanup", &curl.easy_cleanup) &
        find(library, "curl_easy_setopt", &curl.easy_setopt) & find(library, "curl_easy_getinfo", &curl.easy_getinfo) &
        find(library, "curl_easy_strerror", &curl.easy_strerror) &
        find(library, "curl_slist_append", &curl.slist_append) &
        find(library, "curl_slist_free_all", &curl.slist_free_all) &
        find(library, "curl_multi_init", &curl.multi_init) & find(library, "curl_multi_cleanup", &curl.multi_cleanup) &
        find(library, "curl_multi_add_handle", &curl.multi_add_handle) &
        find(library, "curl_multi_remove_handle", &curl.multi_remove_handle) &
        find(library, "curl_multi_perform", &curl.multi_perform) & find(library, "curl_multi_poll", &curl.multi_poll) &
        find(library, "curl_multi_wakeup", &curl.multi_wakeup) &
        find(library, "curl_multi_info_read", &curl.multi_info_read);
    is_loaded = is_whole && curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

int shim_http_load(void) {
    // Several threads may ask at the same time.
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return is_loaded ? 0 : -1;
}

shim_http *shim_http_new(void) {
    shim_http *http = calloc(1, sizeof *http);
    if (!http) return NULL;
    http->multi = curl.multi_init();
    if (!http->multi) {
        free(http);
        return NULL;
    }
    return http;
}

static size_t received(char *data, size_t size, size_t count, void *context) {
    shim_http_exchange *exchange = context;
    size_t length = size * count;
    if (length > exchange->limit - exchange->length) {
        exchange->is_over_limit = 1;
        return 0;
    }
    if (length > exchange->capacity - exchange->length) {
        size_t capacity = exchange->capacity ? exchange->capacity : 4096;
        while (capacity < exchange->length + length) capacity *= 2;
        // Not realloc, which would leave a copy of what may be a key.
        uint8_t *body = malloc(capacity);
        if (!body) return 0;
        if (exchange->body) {
            memcpy(body, exchange->body, exchange->length);
            explicit_bzero(exchange->body, exchange->length);
            free(exchange->body);
        }
        exchange->body = body;
        exchange->capacity = capacity;
    }
    memcpy(exchange->body + exchange->length, data, length);
    exchange->length += length;
    return length;
}

// An exchange without a method yet, or NULL without memory.
static shim_http_exchange *begin(const char *url, long timeout_ms, size_t limit, uint64_t tag) {
    shim_http_exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange) return NULL;
    exchange->tag = tag;
    exchange->limit = limit;
    exchange->easy = curl.easy_init();
    if (!exchange->easy) {
        free(exchange);
        return NULL;
    }
    CURL *easy = exchange->easy;
    curl.easy_setopt(easy, CURLOPT_URL, url);
    curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(easy, CURLOPT_PROXY, "");
    curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, received);
    curl.easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl.easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    return exchange;
}

// Hands the exchange to the set, which owns it from then on; NULL, and the exchange gone, without memory.
static shim_http_exchange *add(shim_http *http, shim_http_exchange *exchange) {
    if (curl.multi_add_handle(http->multi, exchange->easy) != CURLM_OK) {
        shim_http_release(NULL, exchange);
        return NULL;
    }
    exchange->next = http->first;
    if (http->first) http->first->previous = exchange;
    http->first = exchange;
    return exchange;
}

shim_http_exchange *shim_http_post(
    shim_http *http, const char *url, const char *body, size_t length, long timeout_ms, size_t limit, uint64_t tag) {
    shim_http_exchange *exchange = begin(url, timeout_ms, limit, tag);
    if (!exchange) return NULL;
    exchange->headers = curl.slist_append(NULL, "Content-Type: application/json");
    if (!exchange->headers) {
        shim_http_release(NULL, exchange);
        return NULL;
    }
    CURL *easy = exchange->easy;
    curl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl.easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl.easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_ANYSAFE);
    curl.easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)length);
    curl.easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body);
    curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms < 5000 ? timeout_ms : 5000L);
    return add(http, exchange);
}

shim_http_exchange *shim_http_get(
    shim_http *http, const char *url, const char *authorities, long redirects, long timeout_ms, size_t limit) {
    shim_http_exchange *exchange = begin(url, timeout_ms, limit, 0);
    if (!exchange) return NULL;
    CURL *easy = exchange->easy;
    curl.easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    // All of these must hold: a library that does not know one of them fetches nothing.
    int is_set = curl.easy_setopt(easy, CURLOPT_PROTOCOLS, (long)CURLPROTO_HTTPS) == CURLE_OK &&
        curl.easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, (long)CURLPROTO_HTTPS) == CURLE_OK &&
        curl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
        curl.easy_setopt(easy, CURLOPT_MAXREDIRS, redirects) == CURLE_OK &&
        curl.easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
        curl.easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
        (!authorities || curl.easy_setopt(easy, CURLOPT_CAINFO, authorities) == CURLE_OK);
    if (!is_set) {
        shim_http_release(NULL, exchange);
        return NULL;
    }
    return add(http, exchange);
}

shim_http_exchange *shim_http_next(shim_http *http) {
    int count = 0;
    curl.multi_perform(http->multi, &count);
    CURLMsg *message;
    while ((message = curl.multi_info_read(http->multi, &count))) {
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode code = message->data.result;
        char *context = NULL;
        curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &context);
        shim_http_exchange *exchange = (shim_http_exchange *)context;
        exchange->code = code;
        return exchange;
    }
    return NULL;
}

void shim_http_wait(shim_http *http, int timeout_ms) { curl.multi_poll(http->multi, NULL, 0, timeout_ms, NULL); }

void shim_http_wake(shim_http *http) { curl.multi_wakeup(http->multi); }

uint64_t shim_http_tag(const shim_http_exchange *exchange) { return exchange->tag; }

int shim_http_is_over_limit(const shim_http_exchange *exchange) { return exchange->is_over_limit; }

const char *shim_http_failure(const shim_http_exchange *exchange) {
    if (shim_http_is_over_limit(exchange)) return "the answer is too long";
    return exchange->code == CURLE_OK ? NULL : curl.easy_strerror(exchange->code);
}

int shim_http_is_refused_scheme(const shim_http_exchange *exchange) {
    return exchange->code == CURLE_UNSUPPORTED_PROTOCOL;
}

long shim_http_status(const shim_http_exchange *exchange) {
    long status = 0;
    curl.easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

const uint8_t *shim_http_body(const shim_http_exchange *exchange, size_t *length) {
    *length = exchange->length;
    return exchange->body;
}

void shim_http_release(shim_http *http, shim_http_exchange *exchange) {
    if (http) {
        curl.multi_remove_handle(http->multi, exchange->easy);
        if (exchange->previous) exchange->previous->next = exchange->next;
        if (http->first == exchange) http->first = exchange->next;
        if (exchange->next) exchange->next->previous = exchange->previous;
    }
    if (exchange->easy) curl.easy_cleanup(exchange->easy);
    if (exchange->headers) curl.slist_free_all(exchange->headers);
    if (exchange->body) {
        explicit_bzero(exchange->body, exchange->capacity);
        free(exchange->body);
    }
    free(exchange);
}

void shim_http_free(shim_http *http) {
    while (http->first) shim_http_release(http, http->first);
    curl.multi_cleanup(http->multi);
    free(http);
}
