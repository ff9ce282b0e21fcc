#pragma once

// HTTP by libcurl, which is loaded when it is first asked for: only a node beside an oxend daemon and `tunic join URL` need it, and
// the library with the thirty that it brings would cost every other process 6 MB and as many milliseconds at its start.

#include <stddef.h>
#include <stdint.h>

/// A set of exchanges that are under way, on one thread; only `shim_http_wake` may be called on another.
typedef struct shim_http shim_http;
/// One request and its answer.
typedef struct shim_http_exchange shim_http_exchange;

/// Loads the library, if it is not loaded yet; 0, or -1 when the system has none that will do.
int shim_http_load(void);

/// An empty set, or NULL without memory; the library must be loaded.
shim_http *shim_http_new(void);
/// Ends all exchanges of the set and the set itself.
void shim_http_free(shim_http *http);

/// Begins to post `length` bytes of JSON to `url`, which are copied; the answer has at most `limit` bytes.
///
/// `tag` names the exchange. No proxy, no redirect, HTTP and HTTPS only. NULL without memory.
shim_http_exchange *shim_http_post(
    shim_http *http, const char *url, const char *body, size_t length, long timeout_ms, size_t limit, uint64_t tag);

/// Begins to fetch `url` by HTTPS, with at most so many redirects, to HTTPS alone; the answer has at most `limit` bytes.
///
/// The certificate must be of the host and of an authority of the system's, or of the file `authorities` where that is not NULL. No
/// proxy. NULL without memory, or where the library cannot keep this.
shim_http_exchange *shim_http_get(
    shim_http *http, const char *url, const char *authorities, long redirects, long timeout_ms, size_t limit);

/// Does what can be done without waiting and gives a finished exchange, or NULL; to be freed by the caller.
shim_http_exchange *shim_http_next(shim_http *http);
/// Waits until something can be done, at most so long, or until it is woken.
void shim_http_wait(shim_http *http, int timeout_ms);
/// Ends a wait, from any thread.
void shim_http_wake(shim_http *http);

/// What `shim_http_post` was told.
uint64_t shim_http_tag(const shim_http_exchange *exchange);
/// Why there is no answer, or NULL when there is one.
const char *shim_http_failure(const shim_http_exchange *exchange);
/// Whether the answer was longer than allowed.
int shim_http_is_over_limit(const shim_http_exchange *exchange);
/// Whether a scheme came up that may not be fetched, as by a redirect.
int shim_http_is_refused_scheme(const shim_http_exchange *exchange);
/// The status of the answer.
long shim_http_status(const shim_http_exchange *exchange);
/// The answer's body.
const uint8_t *shim_http_body(const shim_http_exchange *exchange, size_t *length);
/// Frees a finished exchange and wipes its answer.
void shim_http_release(shim_http *http, shim_http_exchange *exchange);
