internal import CCurl
internal import OnionCrypto
internal import Wire

/// The running calls to one daemon, on one thread.
@safe final class OxendConnection {
    /// The longest answer in bytes: the list of 10,000 nodes with eleven contributors each has about 15 MB.
    static let answerLimit = 32 << 20

    private let http: OpaquePointer
    private let address: OxendAddress

    /// A connection without calls.
    init(_ address: OxendAddress) throws(OxendError) {
        guard shim_http_load() == 0, let http = unsafe shim_http_new() else { throw .noLibrary }
        unsafe self.http = http
        self.address = address
    }

    deinit { unsafe shim_http_free(http) }

    /// Begins a call with the tag `tag`, which its answer has too; false if memory is missing.
    func begin(_ body: [UInt8], tag: UInt64, timeout: TimeSpan) -> Bool {
        unsafe body.withUnsafeBufferPointer { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { characters in
                unsafe shim_http_post(
                    http, address.url, characters.baseAddress!, characters.count, Int(timeout.nanoseconds / 1_000_000),
                    Self.answerLimit,
                    tag) != nil
            }
        }
    }

    /// The next finished answer; the caller wipes it if it may be secret.
    func next() -> (tag: UInt64, answer: Result<[UInt8], OxendError>)? {
        guard let exchange = unsafe shim_http_next(http) else { return nil }
        defer { unsafe shim_http_release(http, exchange) }
        let tag = unsafe shim_http_tag(exchange)
        if let failure = unsafe shim_http_failure(exchange) {
            return (tag, .failure(.noAnswer(unsafe String(cString: failure))))
        }
        let status = unsafe shim_http_status(exchange)
        guard status == 200 else { return (tag, .failure(.status(Int(status)))) }
        var length = 0
        guard let body = unsafe shim_http_body(exchange, &length) else { return (tag, .success([])) }
        return (tag, .success(unsafe [UInt8](UnsafeBufferPointer(start: body, count: length))))
    }

    /// Waits for an answer or ``wake(_:)``, at most this long.
    func wait(_ milliseconds: Int) { unsafe shim_http_wait(http, Int32(clamping: max(0, milliseconds))) }

    /// The handle for ``wake(_:)``: the address of the connection's set, valid as long as the connection.
    var waker: UInt { UInt(bitPattern: unsafe UnsafeRawPointer(http)) }

    /// Ends a wait of the connection with the handle `address`, from any thread.
    static func wake(_ address: UInt) {
        if let http = unsafe OpaquePointer(bitPattern: address) { unsafe shim_http_wake(http) }
    }

    /// Makes one call and waits for its answer, on the caller's thread.
    func call(_ body: [UInt8], timeout: TimeSpan) throws(OxendError) -> [UInt8] {
        guard begin(body, tag: 0, timeout: timeout) else { throw .noAnswer("no memory") }
        while true {
            if let next = next() { return try next.answer.get() }
            wait(1_000)
        }
    }
}
