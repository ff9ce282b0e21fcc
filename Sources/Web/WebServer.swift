internal import CWeb
public import EventLoop

/// A browser's request.
public struct WebRequest: Sendable {
    /// `GET`, `POST` and so on.
    public var method: String
    /// The path without its query.
    public var path: String
    /// The secret, from the query or from a header set by the page.
    public var queryToken = "", headerToken = ""
    /// The headers of these names; empty if not sent.
    public var host = "", origin = ""
    /// The query's `key`.
    public var key = ""

    /// A request for `path`.
    public init(method: String = "GET", path: String) {
        self.method = method
        self.path = path
    }
}

/// An answer to a browser.
public struct WebResponse: Sendable {
    /// The HTTP status.
    public var status: Int
    /// The kind of content.
    public var type: String
    /// The sources that a page may load, as a Content-Security-Policy; nil: none is sent.
    public var policy: String?
    /// The content.
    public var body: String

    /// An answer with these values.
    public init(_ status: Int, type: String = "text/plain; charset=utf-8", policy: String? = nil, _ body: String) {
        self.status = status
        self.type = type
        self.policy = policy
        self.body = body
    }
}

/// A small HTTP server on this machine, for a page and for metrics; it runs on the loop's thread.
///
/// libmicrohttpd reads and writes; connections, their memory (16 KiB) and their time (10 s) are bounded. Because of
/// GnuTLS the library takes 3 MB. A server that may never be used therefore loads it with the first connection.
@safe
public final class WebServer {
    /// When the library is loaded.
    public enum Loading: Sendable {
        case atOnce, withTheFirstConnection
    }

    private static let connectionLimit: UInt32 = 16

    private let loop: Loop
    private let handler: (WebRequest) -> WebResponse
    private let descriptor: Int32
    private var server: OpaquePointer?
    private var watch: DescriptorWatch?
    private var timer: LoopTimer?
    private let onFailure: () -> Void
    /// The port on which it listens.
    public let port: UInt16

    /// A socket that listens at a numeric address, for ``init(on:descriptor:loading:onFailure:handler:)``.
    public static func listen(address: String, port: UInt16, isIPv6: Bool) throws(UVError) -> Int32 {
        let descriptor = unsafe cweb_listen(address, port, isIPv6 ? 1 : 0)
        guard descriptor >= 0 else { throw UVError(code: descriptor, call: "listen") }
        return descriptor
    }

    /// Serves the listening socket `descriptor`, which it owns from then on; `handler` is called on the loop.
    ///
    /// `onFailure` is called if the library cannot be loaded with the first connection; the server then answers no more
    /// requests.
    public init(
        on loop: Loop, descriptor: Int32, loading: Loading, onFailure: @escaping () -> Void,
        handler: @escaping (WebRequest) -> WebResponse
    ) throws(UVError) {
        self.loop = loop
        self.onFailure = onFailure
        self.handler = handler
        self.descriptor = descriptor
        port = cweb_port(descriptor)
        switch loading {
        case .atOnce: try start()
        case .withTheFirstConnection:
            watch = try DescriptorWatch(on: loop, descriptor: descriptor) { [unowned self] in connectionCame() }
        }
    }

    deinit { close() }

    /// Ends all connections and stops listening; has no effect the second time.
    public func close() {
        timer?.close()
        timer = nil
        guard let watch else { return }
        watch.close()
        self.watch = nil
        if let server = unsafe server { unsafe cweb_stop(server) } else { cweb_close(descriptor) }
        unsafe server = nil
    }

    /// Passes the socket to the library, which owns it from then on, even after an error.
    private func start() throws(UVError) {
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe server = cweb_start(descriptor, Self.connectionLimit, context, requestArrived)
        guard let server = unsafe server else { throw UVError(code: -95, call: "libmicrohttpd") }
        watch = try DescriptorWatch(on: loop, descriptor: unsafe cweb_descriptor(server)) { [unowned self] in run() }
        timer = LoopTimer(on: loop) { [unowned self] in run() }
    }

    private func connectionCame() {
        watch?.close()
        watch = nil
        do throws(UVError) {
            try start()
            run()
        } catch {
            onFailure()
        }
    }

    private func run() {
        guard let server = unsafe server else { return }
        unsafe cweb_run(server)
        let timeout = unsafe cweb_timeout(server)
        if timeout >= 0 {
            timer?.schedule(at: loop.now + UInt64(max(timeout, 1)) * 1_000_000)
        } else {
            timer?.cancel()
        }
    }

    fileprivate func answer(_ request: WebRequest) -> WebResponse { handler(request) }
}

private func requestArrived(
    _ context: UnsafeMutableRawPointer?, _ request: UnsafePointer<cweb_request>?, _ reply: OpaquePointer?
) {
    guard let context = unsafe context, let request = unsafe request?.pointee else { return }
    let server = unsafe Unmanaged<WebServer>.fromOpaque(context).takeUnretainedValue()
    var asked = WebRequest(
        method: unsafe String(cString: request.method), path: unsafe String(cString: request.path))
    asked.queryToken = unsafe String(cString: request.query_token)
    asked.headerToken = unsafe String(cString: request.header_token)
    asked.host = unsafe String(cString: request.host)
    asked.origin = unsafe String(cString: request.origin)
    asked.key = unsafe String(cString: request.key)
    let response = server.answer(asked)
    var body = response.body
    body.withUTF8 { bytes in
        if let policy = response.policy {
            unsafe cweb_answer(reply, UInt32(response.status), response.type, policy, bytes.baseAddress, bytes.count)
        } else {
            unsafe cweb_answer(reply, UInt32(response.status), response.type, nil, bytes.baseAddress, bytes.count)
        }
    }
}
