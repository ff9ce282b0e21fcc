internal import Control
internal import EventLoop
internal import Logging
internal import OnionCrypto
internal import Process
internal import Settings
internal import Web
internal import Wire

/// The status page and the metrics for Prometheus, each at a separate address on this machine.
final class StatusServer {
    /// The data of the page.
    struct State: Encodable {
        /// The monotonic time in seconds.
        var time: Double
        var status: StatusReport
        var paths: [PathsReport.Path]
        var streams: [StreamsReport.Key]
        var exits: [ExitsReport.Exit]
        /// A relay's own node in the registry, as others see it.
        var registry: NodesReport.Node?
        var log: [String]
        /// The set-up of apps; nil if no client listens on a TCP port.
        var setup: ProxySetup?
    }

    /// The closures that answer for the process.
    struct Source {
        var state: () -> State
        var metrics: () -> String
        var newPath: (String?) -> ControlReply
    }

    private let loop: Loop
    private let log: Logger
    private let source: Source
    /// The name of the file in the data folder that keeps the page's secret.
    static let secretName = "web.token"
    /// A page: its configured address, its server, and the token in its address.
    private struct Page {
        let endpoint: Endpoint
        let server: WebServer
        let token: String
    }

    /// The stored secret from which the token of each address is derived; nil until one is needed.
    private var secret: String?
    private let folder: String
    private var page: Page?
    private(set) var figures: (endpoint: Endpoint, server: WebServer)?

    /// The page's secret is stored in `folder`.
    init(on loop: Loop, log: Logger, folder: String, _ source: Source) {
        self.folder = folder
        self.loop = loop
        self.log = log
        self.source = source
        secret = Self.kept(in: folder)
    }

    /// The stored secret; nil if there is none that only this user can read.
    private static func kept(in folder: String) -> String? {
        guard let kept = Files.readPrivate("\(folder)/\(secretName)", limit: 64), kept.count == 32,
            kept.allSatisfy({ "0123456789abcdef".utf8.contains($0) })
        else { return nil }
        return String(decoding: kept, as: UTF8.self)
    }

    /// The token of a page at `address`, which stays the same as long as the secret is kept.
    ///
    /// A browser sends it to that address again and again. It is not valid at another address.
    private func token(at address: String) -> String {
        let secret = secret ?? makeSecret()
        return String(
            hexadecimal(Blake2b.digest(Array("tunic page \(address) \(secret)".utf8).rawSpan).array).prefix(32))
    }

    private static var newToken: String { SecureRandom.u64Text + SecureRandom.u64Text }

    private func makeSecret() -> String {
        let new = Self.newToken
        secret = new
        let path = "\(folder)/\(Self.secretName)"
        Files.remove(path)
        do throws(Failure) {
            try Files.writeNew(path, Array(new.utf8), mode: 0o600)
        } catch {
            log.notice("the status page will have another address after a restart: \(error.message)")
        }
        return new
    }

    /// Deletes the stored secret, so that none of its tokens is accepted again.
    private func forgetSecret() {
        Files.remove("\(folder)/\(Self.secretName)")
        secret = nil
    }

    /// The page's address with its token; nil if there is no page.
    var url: String? { page.map { "http://\(Self.host($0.endpoint, $0.server.port))/?token=\($0.token)" } }

    /// The path of the PAC file of the page with `token`.
    ///
    /// Its secret is valid only for that file: an address in a browser's settings or command line does not open the
    /// page.
    static func pacPath(_ token: String) -> String {
        let digest = Blake2b.digest(Array("tunic proxy.pac \(token)".utf8).rawSpan)
        return "/\(hexadecimal(Array(digest.array.prefix(16))))/proxy.pac"
    }

    /// The set-up of apps for the client of `status`.
    private func setup(_ status: StatusReport) -> ProxySetup? {
        guard let page, status.role == .client else { return nil }
        let pac = "http://\(Self.host(page.endpoint, page.server.port))\(Self.pacPath(page.token))"
        return ProxySetup(listeners: status.socks, pac: pac)
    }

    /// Stops serving.
    func close() {
        page?.server.close()
        figures?.server.close()
        (page, figures) = (nil, nil)
    }

    /// Opens the servers in `settings` that are not open yet; those no longer in them are closed at the commit.
    func prepare(_ settings: Settings) throws(Failure) -> PreparedChange {
        let wantedPage = try address(settings, "web.listen")
        let wantedFigures = try address(settings, "metrics.listen")
        var newPage: Page?
        var newFigures: (endpoint: Endpoint, server: WebServer)?
        if let wantedPage, wantedPage != page?.endpoint {
            do throws(Failure) {
                newPage = try openPage(wantedPage, settings)
            } catch {
                // A failure of the default page is not a reason to stop the start.
                guard !settings.isSet("web.listen") else { throw error }
                log.notice("there is no status page: \(error.message)")
            }
        }
        if let wantedFigures, wantedFigures != figures?.endpoint {
            do throws(Failure) {
                newFigures = (
                    wantedFigures,
                    try open(wantedFigures, "metrics.listen", settings) { [unowned self] in figuresAnswer($0) }
                )
            } catch {
                newPage?.server.close()
                throw error
            }
        }
        let (opened, openedFigures) = (newPage, newFigures)
        return PreparedChange {
            if wantedPage == nil || opened != nil {
                self.page?.server.close()
                self.page = opened
            }
            if wantedFigures == nil || openedFigures != nil {
                self.figures?.server.close()
                self.figures = openedFigures
            }
        } abandon: {
            opened?.server.close()
            openedFigures?.server.close()
        }
    }

    /// The page's server; if its port is the default and another process has it, at a free port.
    ///
    /// A page that is still open in a browser sends its token to the process that has the port. So the stored secret is
    /// deleted, which invalidates all tokens. Another process may later have the free port, so its token is not derived
    /// from a stored secret.
    private func openPage(_ endpoint: Endpoint, _ settings: Settings) throws(Failure) -> Page {
        let handler = { [unowned self] (request: WebRequest) in pageAnswer(request) }
        do throws(Failure) {
            let server = try open(endpoint, "web.listen", settings, handler)
            let isKept = endpoint.port != 0
            return Page(
                endpoint: endpoint, server: server,
                token: isKept ? token(at: Self.host(endpoint, server.port)) : Self.newToken)
        } catch {
            forgetSecret()
            guard !settings.isSet("web.listen") else { throw error }
            let server = try open(Endpoint(address: endpoint.address, port: 0), "web.listen", settings, handler)
            return Page(endpoint: endpoint, server: server, token: Self.newToken)
        }
    }

    private func address(_ settings: Settings, _ key: String) throws(Failure) -> Endpoint? {
        do throws(SettingProblems) {
            return try settings.read(key, SettingText.localAddress) ?? nil
        } catch {
            throw Failure.of(error)
        }
    }

    /// Opens a server; a configured one fails at once if the library is missing, a default one loads it when first
    /// used.
    private func open(
        _ endpoint: Endpoint, _ key: String, _ settings: Settings, _ handler: @escaping (WebRequest) -> WebResponse
    ) throws(Failure) -> WebServer {
        let missing = "\(key): the library libmicrohttpd (libmicrohttpd12) is not installed"
        do throws(UVError) {
            let address = endpoint.address.description
            let descriptor = try WebServer.listen(
                address: address, port: endpoint.port, isIPv6: !endpoint.address.isIPv4)
            return try WebServer(
                on: loop, descriptor: descriptor, loading: settings.isSet(key) ? .atOnce : .withTheFirstConnection,
                onFailure: { [log] in log.warning("\(missing)") }, handler: handler)
        } catch {
            guard error.call != "libmicrohttpd" else { throw Failure(.unavailable, missing) }
            throw Failure.listening(error, at: endpoint.description, option: key)
        }
    }

    private static func host(_ endpoint: Endpoint, _ port: UInt16) -> String {
        endpoint.address.isIPv4 ? "\(endpoint.address):\(port)" : "[\(endpoint.address)]:\(port)"
    }

    // MARK: Answers

    private func pageAnswer(_ request: WebRequest) -> WebResponse {
        let gate = WebGate(port: page?.server.port ?? 0, token: page?.token ?? "")
        if let refusal = gate.refusal(of: request) { return refusal }
        switch (request.method, request.path) {
        case ("GET", "/"):
            // The document itself has no secrets; a browser that returns to it has the secret in its memory.
            let nonce = SecureRandom.u64Text
            return WebResponse(
                200, type: "text/html; charset=utf-8", policy: StatusPage.policy(nonce: nonce),
                StatusPage.document(nonce: nonce, figures: FigureCatalog.json))
        case ("GET", "/state"):
            guard gate.knowsToken(request) else { return WebGate.wantsToken }
            var state = source.state()
            state.setup = setup(state.status)
            return WebResponse(200, type: "application/json", json(state))
        case ("GET", let path) where page.map { WebGate.areEqual(path, Self.pacPath($0.token)) } ?? false:
            guard let setup = setup(source.state().status) else {
                return WebResponse(404, "No client listens at a TCP port here.\n")
            }
            return WebResponse(200, type: ProxySetup.pacType, setup.pacFile)
        case ("POST", "/newpath"):
            switch source.newPath(request.key.isEmpty ? nil : request.key) {
            case .report(let report): return WebResponse(200, type: "application/json", json(report))
            case .refusal(let reason): return WebResponse(409, reason + "\n")
            case .status, .paths, .later: return WebResponse(500, "\n")
            }
        default: return WebResponse(404, "There is nothing here.\n")
        }
    }

    private func figuresAnswer(_ request: WebRequest) -> WebResponse {
        let gate = WebGate(port: figures?.server.port ?? 0, token: "")
        if let refusal = gate.refusal(of: request) { return refusal }
        guard request.path == "/metrics" else { return WebResponse(404, "The figures are at /metrics.\n") }
        return WebResponse(
            200, type: "application/openmetrics-text; version=1.0.0; charset=utf-8", source.metrics())
    }
}

extension SecureRandom {
    /// 64 random bits as 16 hexadecimal digits.
    static var u64Text: String {
        let text = String(u64(), radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }
}
