internal import CCurl
internal import Directory
internal import Process

/// Fetches one file by HTTPS from a server whose certificate it verifies.
enum SecureFetch {
    /// The longest time for the whole fetch, including redirects, in milliseconds.
    private static let timeout = 30_000
    private static let redirects = 3

    /// The contents at `url`, an https address, at most `limit` bytes; `SSL_CERT_FILE` replaces the system's
    /// authorities.
    ///
    /// It blocks the caller's thread and uses no proxy.
    static func get(_ url: String, limit: Int) throws(Failure) -> [UInt8] {
        guard shim_http_load() == 0, let http = unsafe shim_http_new() else {
            throw Failure(
                .unavailable,
                "the library libcurl (libcurl4) is not installed; fetch the file another way: curl -fsSL \(url) | tunic join -"
            )
        }
        defer { unsafe shim_http_free(http) }
        let authorities = Files.environment("SSL_CERT_FILE")
        let begun =
            if let authorities {
                unsafe shim_http_get(http, url, authorities, redirects, timeout, limit)
            } else {
                unsafe shim_http_get(http, url, nil, redirects, timeout, limit)
            }
        guard unsafe begun != nil else { throw Failure(.system, "\(url): libcurl cannot fetch it") }
        while true {
            guard let exchange = unsafe shim_http_next(http) else {
                unsafe shim_http_wait(http, 1_000)
                continue
            }
            defer { unsafe shim_http_release(http, exchange) }
            if unsafe shim_http_is_over_limit(exchange) != 0 { throw tooLarge(url) }
            if unsafe shim_http_is_refused_scheme(exchange) != 0 {
                throw Failure(.unavailable, "\(url) redirects to an address that is not https://, which is not fetched")
            }
            if let failure = unsafe shim_http_failure(exchange) {
                let reason = unsafe String(cString: failure)
                throw Failure(.unavailable, "cannot fetch \(url): \(reason)")
            }
            let status = unsafe shim_http_status(exchange)
            guard status == 200 else {
                throw Failure(.unavailable, "\(url): the server does not return the file (HTTP status \(status))")
            }
            var length = 0
            guard let body = unsafe shim_http_body(exchange, &length) else { return [] }
            return unsafe [UInt8](UnsafeBufferPointer(start: body, count: length))
        }
    }

    /// The failure for contents larger than a network file.
    static func tooLarge(_ url: String) -> Failure {
        Failure(.data, "\(url) is too large: a network file has at most \(NetworkFile.maximumFileSize) bytes")
    }
}
