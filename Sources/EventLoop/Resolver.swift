import CCares
import CLibUV
import Glibc

/// Looks up names and addresses in /etc/hosts and at the system's name servers, without blocking the loop.
///
/// Search domains and host aliases of the system are not applied: a name is looked up as given. When the system's list
/// of name servers changes, pending queries are also sent to the new ones.
@safe
public final class Resolver {
    /// The address families to ask for.
    public enum Family: Sendable {
        /// Only IPv4.
        case ipv4Only
        /// Only IPv6.
        case ipv6Only
        /// Both, with IPv4 first in the answer.
        case ipv4First
        /// Both, with IPv6 first in the answer.
        case ipv6First
    }

    /// The servers and limits of look-ups.
    public struct Configuration: Sendable {
        /// The name servers as `host:port` or `host`; nil for those in `file`.
        public var servers: [String]?
        /// The system's list of name servers.
        public var file = "/etc/resolv.conf"
        /// The port of the servers in `file`.
        public var port: UInt16 = 53
        /// How often `file` is checked while there are queries, in nanoseconds.
        public var fileInterval: UInt64 = 1_000_000_000
        /// Nanoseconds after which a query fails.
        public var timeout: UInt64 = 10_000_000_000
        /// The most queries under way at a time.
        public var maximumQueries = 8_192

        /// The default values: the system's servers, 10 seconds, 8,192 queries.
        public init() {}
    }

    /// Identifies a query under way, to cancel it.
    public struct Query: Hashable, Sendable {
        fileprivate let number: UInt64
    }

    /// The result of a query: at least one address and at most ``maximumAddresses``, or the error.
    public typealias Answer = Result<[SocketAddress], ResolverError>

    /// The result of a query for a name: the name as received, which may not be a host name, or the error.
    public typealias NameAnswer = Result<String, ResolverError>

    /// The result of a query for records: the name server's message, or the error.
    public typealias MessageAnswer = Result<[UInt8], ResolverError>

    /// The most addresses in an answer.
    public static let maximumAddresses = 16

    fileprivate struct Pending {
        let wanted: Wanted
        let question: Question
        let deadline: UInt64
    }

    /// The question of a query.
    fileprivate enum Question {
        case addresses(name: String, Family)
        case name(SocketAddress)
        case records(name: String, type: UInt16)
    }

    /// Identifies a version of the system's list of name servers.
    private struct FileVersion: Equatable {
        var device: UInt64 = 0, file: UInt64 = 0
        var size: Int64 = 0
        var seconds: Int = 0, nanoseconds: Int = 0
    }

    /// The kind of a query and its callback.
    fileprivate enum Wanted {
        case addresses(port: UInt16, family: Family, callback: (Answer) -> Void)
        case name(callback: (NameAnswer) -> Void)
        case message(callback: (MessageAnswer) -> Void)

        func tell(_ found: Found) {
            switch (self, found) {
            case (.addresses(_, _, let callback), .addresses(let addresses)): callback(.success(addresses))
            case (.addresses(_, _, let callback), .none(let error)): callback(.failure(error))
            case (.name(let callback), .name(let name)): callback(.success(name))
            case (.name(let callback), .none(let error)): callback(.failure(error))
            case (.message(let callback), .message(let message)): callback(.success(message))
            case (.message(let callback), .none(let error)): callback(.failure(error))
            case (.addresses, _), (.name, _), (.message, _): preconditionFailure("an answer to another kind of query")
            }
        }
    }

    /// The result of a query, before it is delivered.
    fileprivate enum Found {
        case addresses([SocketAddress])
        case name(String)
        case message([UInt8])
        case none(ResolverError)
    }

    private let loop: Loop
    private let configuration: Configuration
    private var channel: ares_channel?
    private var timer: LoopTimer?
    private var sockets: [Int32: ResolverSocket] = [:]
    /// Queries whose callback was not called yet.
    private var pending: [UInt64: Pending] = [:]
    /// Results of finished queries, delivered outside of c-ares.
    private var answered: [(number: UInt64, found: Found)] = []
    /// Queries that c-ares still processes, including cancelled and late ones.
    private var running = 0
    private var nextNumber = UInt64(0)
    /// No pending query has a lower number.
    private var oldest: UInt64 = 0
    /// Whether a call into c-ares is running; callbacks then wait.
    private var isProcessing = false
    /// Whether the channel is being replaced: the queries that it cancels are asked again.
    private var isReopening = false
    private var fileVersion: FileVersion?
    private var nextLook: UInt64 = 0
    /// How many queries in a row got no answer from any name server.
    private var unanswered = 0

    /// A resolver with the system's or the given servers.
    public init(on loop: Loop, configuration: Configuration = Configuration()) throws(UVError) {
        loop.assertOnThread()
        precondition(!loop.isClosed, "the loop is closed")
        self.loop = loop
        self.configuration = configuration
        timer = LoopTimer(on: loop) { [unowned self] in timerFired() }

        if loop.host == nil { fileVersion = version() }
        nextLook = loop.now &+ configuration.fileInterval
        try open()
    }

    /// For tests only: opening a channel fails for lack of memory.
    var cannotOpen = false

    /// Makes the channel, with the present servers.
    private func open() throws(UVError) {
        guard loop.host == nil else { return }
        guard !cannotOpen else { throw UVError(code: UV_ENOMEM.rawValue, call: "ares_init") }
        var options = unsafe ares_options()
        unsafe options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES
        // Two rounds, the second twice as long, within the query's time limit.
        unsafe options.timeout = Int32(clamping: max(configuration.timeout / 4_000_000, 1))
        unsafe options.tries = 2
        unsafe options.udp_port = configuration.port
        unsafe options.tcp_port = configuration.port
        unsafe options.sock_state_cb = resolverSocketChanged
        unsafe options.sock_state_cb_data = Unmanaged.passUnretained(self).toOpaque()
        let mask =
            ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS
            | ARES_OPT_RESOLVCONF | ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT
        // The files first, then the name servers.
        let made = unsafe "fb".withCString { lookups in
            unsafe configuration.file.withCString { file in
                unsafe options.lookups = UnsafeMutablePointer(mutating: lookups)
                unsafe options.resolvconf_path = UnsafeMutablePointer(mutating: file)
                return unsafe ares_init_options(&channel, &options, mask)
            }
        }
        guard made == ARES_SUCCESS else {
            throw UVError(code: made == ARES_ENOMEM ? UV_ENOMEM.rawValue : UV_EIO.rawValue, call: "ares_init")
        }
        if let servers = configuration.servers {
            let set = unsafe ares_set_servers_ports_csv(channel, servers.joined(separator: ","))
            guard set == ARES_SUCCESS else {
                close()
                throw UVError(code: UV_EINVAL.rawValue, call: "ares_set_servers")
            }
        }
    }

    deinit { close() }

    /// Looks up `name`; the callback is called once, on the loop, never inside this call.
    ///
    /// The addresses come with `port`. A numeric address is its own result, whatever the family. `localhost` and names
    /// below it are the loopback addresses (RFC 6761, 6.3): no name server is asked, and not every machine has them in
    /// its hosts file.
    @discardableResult
    public func resolve(
        _ name: String, port: UInt16, family: Family, callback: @escaping (Answer) -> Void
    ) -> Query {
        let wanted = Wanted.addresses(port: port, family: family, callback: callback)
        let number = begin(wanted, .addresses(name: name, family))
        if let address = SocketAddress(numericHost: name, port: port) {
            answered.append((number, .addresses([address])))
        } else if !Self.isValid(name) {
            answered.append((number, .none(.invalidName)))
        } else if Self.isLoopback(name) {
            answered.append((number, .addresses(Self.loopback(port: port, family))))
        } else {
            ask(.addresses(name: name, family), number)
        }
        setTimer()
        return Query(number: number)
    }

    /// Looks up the name of an address, whatever its port; the callback is called once, on the loop, never inside this call.
    @discardableResult
    public func name(of address: SocketAddress, callback: @escaping (NameAnswer) -> Void) -> Query {
        let number = begin(.name(callback: callback), .name(address))
        ask(.name(address), number)
        setTimer()
        return Query(number: number)
    }

    /// Asks the name servers, and no file, for the records of `name` of one type.
    ///
    /// The callback is called once, on the loop, never inside this call. It gets the name server's message, which may
    /// be malformed, even if the message has no record of the type.
    @discardableResult
    public func records(
        of name: String, type: UInt16, callback: @escaping (MessageAnswer) -> Void
    ) -> Query {
        let number = begin(.message(callback: callback), .records(name: name, type: type))
        if Self.isValid(name) {
            ask(.records(name: name, type: type), number)
        } else {
            answered.append((number, .none(.invalidName)))
        }
        setTimer()
        return Query(number: number)
    }

    /// The class of the Internet's records.
    private static let internetClass = Int32(1)

    private func begin(_ wanted: Wanted, _ question: Question) -> UInt64 {
        loop.assertOnThread()
        lookAtFile()
        let number = nextNumber
        nextNumber += 1
        pending[number] = Pending(
            wanted: wanted, question: question, deadline: loop.now &+ configuration.timeout)
        return number
    }

    /// Passes a question to c-ares.
    private func ask(_ question: Question, _ number: UInt64) {
        if let host = loop.host { return ask(question, number, of: host) }
        guard let channel = unsafe channelForQuery(number) else { return }
        isProcessing = true
        defer { isProcessing = false }
        switch question {
        case .addresses(let name, let family):
            var hints = ares_addrinfo_hints()
            hints.ai_flags = Int32(ARES_AI_NOSORT)
            hints.ai_family =
                switch family {
                case .ipv4Only: AF_INET
                case .ipv6Only: AF_INET6
                case .ipv4First, .ipv6First: AF_UNSPEC
                }
            unsafe ares_getaddrinfo(channel, name, nil, &hints, resolverAnswered, ticket(number))
        case .name(let address) where address.isIPv4:
            var bytes = UInt32(truncatingIfNeeded: address.low).bigEndian
            unsafe ares_gethostbyaddr(channel, &bytes, 4, AF_INET, resolverNamed, ticket(number))
        case .name(let address):
            var bytes = (address.high.bigEndian, address.low.bigEndian)
            unsafe ares_gethostbyaddr(channel, &bytes, 16, AF_INET6, resolverNamed, ticket(number))
        case .records(let name, let type):
            unsafe ares_query(channel, name, Self.internetClass, Int32(type), resolverAsked, ticket(number))
        }
    }

    /// Asks the name server of a simulated network.
    private func ask(_ question: Question, _ number: UInt64, of host: SimulatedHost) {
        switch question {
        case .addresses(let name, let family):
            host.ask(name) { [weak self] addresses in
                guard let self, case .addresses(let port, _, _)? = pending[number]?.wanted else { return }
                let found = Self.inOrder(addresses.map { $0.with(port: port) }, family)
                unanswered = 0
                answered.append((number, found.isEmpty ? .none(.notFound) : .addresses(found)))
                process(reading: -1, writing: -1)
            }
        case .name, .records:
            // A simulated name server has only addresses.
            answered.append((number, .none(.notFound)))
        }
    }

    // MARK: - The system's list

    /// Whether no name server has answered recently: the last queries, three or more, all timed out.
    public var isUnanswered: Bool { unanswered >= 3 }

    /// Whether the name servers are those of the system's list.
    private var followsFile: Bool { configuration.servers == nil && loop.host == nil }

    private func version() -> FileVersion? {
        var found = stat()
        guard unsafe stat(configuration.file, &found) == 0 else { return nil }
        return FileVersion(
            device: UInt64(found.st_dev), file: UInt64(found.st_ino), size: Int64(found.st_size),
            seconds: found.st_mtim.tv_sec, nanoseconds: found.st_mtim.tv_nsec)
    }

    /// Switches to other name servers if the system's list has changed.
    private func lookAtFile() {
        guard followsFile, timer != nil, loop.now >= nextLook, !isProcessing else { return }
        nextLook = loop.now &+ configuration.fileInterval
        let present = version()
        guard present != fileVersion else { return }
        fileVersion = present
        reopen()
    }

    /// Makes a new channel, and asks pending queries again there, each within its remaining time.
    private func reopen() {
        let waiting = Set(answered.map(\.number))
        if let old = unsafe channel {
            unsafe channel = nil
            isReopening = true
            isProcessing = true
            unsafe ares_destroy(old)
            isProcessing = false
            isReopening = false
        }
        unanswered = 0
        // Without a channel every query fails until the file changes again.
        guard (try? open()) != nil else { return }
        for number in pending.keys.sorted() where !waiting.contains(number) {
            if let question = pending[number]?.question { ask(question, number) }
        }
    }

    /// The channel for one more query, which must then be passed to c-ares; nil if the query is answered without it.
    private func channelForQuery(_ number: UInt64) -> ares_channel? {
        guard let channel = unsafe channel else {
            answered.append((number, .none(.failed(ARES_EDESTRUCTION))))
            return nil
        }
        guard running < configuration.maximumQueries else {
            answered.append((number, .none(.tooManyQueries)))
            return nil
        }
        running += 1
        return unsafe channel
    }

    /// The pointer that c-ares returns with the answer; freed by the callback, which c-ares calls exactly once.
    private func ticket(_ number: UInt64) -> UnsafeMutablePointer<ResolverTicket> {
        let ticket = UnsafeMutablePointer<ResolverTicket>.allocate(capacity: 1)
        unsafe ticket.initialize(to: ResolverTicket(resolver: Unmanaged.passUnretained(self), number: number))
        return unsafe ticket
    }

    /// Cancels a query: its callback is released and not called.
    public func cancel(_ query: Query) {
        loop.assertOnThread()
        pending[query.number] = nil
    }

    /// Cancels all queries and closes the sockets; has no effect the second time.
    public func close() {
        loop.assertOnThread()
        pending = [:]
        if let old = unsafe channel {
            unsafe channel = nil
            isProcessing = true
            unsafe ares_destroy(old)
            isProcessing = false
        }
        answered = []
        timer?.close()
        timer = nil
        for socket in sockets.values { socket.close() }
        sockets = [:]
    }

    /// Whether the name is valid: 1 to 255 bytes, without control characters, spaces, bytes above ASCII, or escapes.
    private static func isValid(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 255 && name.utf8.allSatisfy { 0x21...0x7e ~= $0 && $0 != 0x5c }
    }

    private static func isLoopback(_ name: String) -> Bool {
        let name = (name.hasSuffix(".") ? String(name.dropLast()) : name).lowercased()
        return name == "localhost" || name.hasSuffix(".localhost")
    }

    private static func loopback(port: UInt16, _ family: Family) -> [SocketAddress] {
        switch family {
        case .ipv4Only: [.loopbackIPv4(port: port)]
        case .ipv6Only: [.loopbackIPv6(port: port)]
        case .ipv4First: [.loopbackIPv4(port: port), .loopbackIPv6(port: port)]
        case .ipv6First: [.loopbackIPv6(port: port), .loopbackIPv4(port: port)]
        }
    }

    // MARK: - Events

    /// Lets c-ares read and write, or only check its timeouts.
    fileprivate func process(reading: Int32, writing: Int32) {
        guard !isProcessing else { return }
        if let channel = unsafe channel {
            isProcessing = true
            unsafe ares_process_fd(channel, reading, writing)
            isProcessing = false
        }
        deliver()
        setTimer()
    }

    private func timerFired() {
        lookAtFile()
        process(reading: -1, writing: -1)
    }

    /// Delivers the results of finished and late queries.
    private func deliver() {
        let answers = answered
        answered = []
        for (number, found) in answers { pending.removeValue(forKey: number)?.wanted.tell(found) }
        let now = loop.now
        while let first = firstPending, first.deadline <= now {
            unanswered += 1
            pending.removeValue(forKey: first.number)?.wanted.tell(.none(.timedOut))
        }
    }

    /// The query that has waited longest: all have the same time limit, so numbers are in the order of deadlines.
    private var firstPending: (number: UInt64, deadline: UInt64)? {
        while oldest < nextNumber {
            if let query = pending[oldest] { return (oldest, query.deadline) }
            oldest += 1
        }
        return nil
    }

    /// Sets the timer for c-ares' timeout and the first deadline, or for now if results wait.
    private func setTimer() {
        guard answered.isEmpty else {
            timer?.schedule(at: loop.now)
            return
        }
        var deadline = firstPending?.deadline ?? .max
        var interval = timeval()
        if let channel = unsafe channel, unsafe ares_timeout(channel, nil, &interval) != nil {
            let wait = UInt64(max(interval.tv_sec, 0)) * 1_000_000_000 + UInt64(max(interval.tv_usec, 0)) * 1000
            deadline = min(deadline, loop.now + wait)
        }
        if followsFile, !pending.isEmpty { deadline = min(deadline, nextLook) }
        if deadline == .max { timer?.cancel() } else { timer?.schedule(at: deadline) }
    }

    /// Records that c-ares is done with a query.
    private func noteEnd(_ status: Int32) {
        running -= 1
        switch status {
        case ARES_ETIMEOUT, ARES_ECONNREFUSED: unanswered += 1
        case ARES_EDESTRUCTION, ARES_ECANCELLED: break
        default: unanswered = 0
        }
    }

    /// Records c-ares' answer.
    fileprivate func answered(_ number: UInt64, _ status: Int32, _ result: UnsafeMutablePointer<ares_addrinfo>?) {
        defer { if let result = unsafe result { unsafe ares_freeaddrinfo(result) } }
        noteEnd(status)
        guard !isReopening, case .addresses(let port, let family, _)? = pending[number]?.wanted else { return }
        guard status == ARES_SUCCESS else {
            answered.append((number, .none(Self.error(status))))
            return
        }
        let addresses = unsafe Self.addresses(result, port, family)
        answered.append((number, addresses.isEmpty ? .none(.notFound) : .addresses(addresses)))
    }

    /// Records c-ares' answer to a query for a name.
    fileprivate func named(_ number: UInt64, _ status: Int32, _ result: UnsafeMutablePointer<hostent>?) {
        noteEnd(status)
        guard !isReopening, case .name? = pending[number]?.wanted else { return }
        if status == ARES_SUCCESS, let name = unsafe result?.pointee.h_name {
            answered.append((number, .name(unsafe String(cString: name))))
        } else {
            answered.append((number, .none(status == ARES_SUCCESS ? .notFound : Self.error(status))))
        }
    }

    /// Records c-ares' answer to a query for records.
    fileprivate func asked(_ number: UInt64, _ status: Int32, _ message: [UInt8]) {
        noteEnd(status)
        guard !isReopening, case .message? = pending[number]?.wanted else { return }
        if status == ARES_SUCCESS || status == ARES_ENODATA, !message.isEmpty {
            answered.append((number, .message(message)))
        } else {
            answered.append((number, .none(Self.error(status))))
        }
    }

    private static func error(_ status: Int32) -> ResolverError {
        switch status {
        case ARES_ENOTFOUND, ARES_ENODATA: .notFound
        case ARES_ETIMEOUT: .timedOut
        case ARES_EBADNAME: .invalidName
        default: .failed(status)
        }
    }

    private static func addresses(
        _ result: UnsafeMutablePointer<ares_addrinfo>?, _ port: UInt16, _ family: Family
    ) -> [SocketAddress] {
        var addresses: [SocketAddress] = []
        var node = unsafe result?.pointee.nodes
        while let current = unsafe node {
            unsafe node = current.pointee.ai_next
            guard let name = unsafe current.pointee.ai_addr,
                let address = unsafe SocketAddress(sockaddr: name, length: Int(current.pointee.ai_addrlen))
            else { continue }
            addresses.append(address.with(port: port))
        }
        return inOrder(addresses, family)
    }

    /// Those of `addresses` that `family` asks for, in its order.
    private static func inOrder(_ addresses: [SocketAddress], _ family: Family) -> [SocketAddress] {
        let wantsIPv4First =
            switch family {
            case .ipv4Only, .ipv4First: true
            case .ipv6Only, .ipv6First: false
            }
        // A mapped IPv4 address in an AAAA record counts as an IPv4 address.
        let first = addresses.filter { $0.isIPv4 == wantsIPv4First }
        let second = addresses.filter { $0.isIPv4 != wantsIPv4First }
        switch family {
        case .ipv4Only, .ipv6Only: return Array(first.prefix(maximumAddresses))
        case .ipv4First, .ipv6First:
            // Some addresses of the second family are kept, if only to be tried last.
            let kept = first.prefix(maximumAddresses - min(second.count, maximumAddresses / 4))
            return Array(kept) + second.prefix(maximumAddresses - kept.count)
        }
    }

    /// Polls one of c-ares' sockets for the requested events, or stops.
    fileprivate func socketChanged(_ descriptor: Int32, reads: Bool, writes: Bool) {
        let events = (reads ? UV_READABLE.rawValue : 0) | (writes ? UV_WRITABLE.rawValue : 0)
        if events == 0 {
            sockets.removeValue(forKey: descriptor)?.close()
        } else if let socket = sockets[descriptor] {
            socket.poll(events)
        } else if unsafe channel != nil, !loop.isClosed, let socket = ResolverSocket(self, loop, descriptor) {
            sockets[descriptor] = socket
            socket.poll(events)
        }
    }
}

/// The pointer that c-ares returns with an answer; the resolver destroys the channel, and so all tickets, in its
/// deinitializer.
@safe
private struct ResolverTicket {
    let resolver: Unmanaged<Resolver>
    let number: UInt64
}

/// The poll handle of one of c-ares' sockets; c-ares owns the descriptor.
@safe
private final class ResolverSocket: HandleOwner {
    private weak var resolver: Resolver?
    private let descriptor: Int32
    private let handle: UnsafeMutablePointer<uv_poll_t>
    private var isClosed = false

    init?(_ resolver: Resolver, _ loop: Loop, _ descriptor: Int32) {
        self.resolver = resolver
        self.descriptor = descriptor
        unsafe handle = .allocate(capacity: 1)
        // Without polling the query times out.
        guard unsafe uv_poll_init(loop.uv, handle, descriptor) == 0 else { return nil }
        unsafe handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    deinit { unsafe handle.deallocate() }

    func poll(_ events: UInt32) {
        guard !isClosed else { return }
        unsafe uv_poll_start(handle, Int32(events), resolverSocketReady)
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        unsafe uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self), resolverSocketClosed)
    }

    func ready(_ status: Int32, _ events: Int32) {
        guard !isClosed, let resolver else { return }
        // After an error c-ares tries both and finds the reason.
        let reads = status < 0 || events & Int32(UV_READABLE.rawValue) != 0
        let writes = status < 0 || events & Int32(UV_WRITABLE.rawValue) != 0
        resolver.process(reading: reads ? descriptor : -1, writing: writes ? descriptor : -1)
    }
}

private func resolverSocketChanged(
    _ data: UnsafeMutableRawPointer?, _ descriptor: Int32, _ reads: Int32, _ writes: Int32
) {
    unsafe Unmanaged<Resolver>.fromOpaque(data!)._withUnsafeGuaranteedRef {
        $0.socketChanged(descriptor, reads: reads != 0, writes: writes != 0)
    }
}

private func resolverAnswered(
    _ argument: UnsafeMutableRawPointer?, _ status: Int32, _ timeouts: Int32,
    _ result: UnsafeMutablePointer<ares_addrinfo>?
) {
    let ticket = unsafe argument!.assumingMemoryBound(to: ResolverTicket.self)
    let (resolver, number) = unsafe (ticket.pointee.resolver, ticket.pointee.number)
    unsafe ticket.deallocate()
    unsafe resolver._withUnsafeGuaranteedRef { unsafe $0.answered(number, status, result) }
}

private func resolverNamed(
    _ argument: UnsafeMutableRawPointer?, _ status: Int32, _ timeouts: Int32, _ result: UnsafeMutablePointer<hostent>?
) {
    let ticket = unsafe argument!.assumingMemoryBound(to: ResolverTicket.self)
    let (resolver, number) = unsafe (ticket.pointee.resolver, ticket.pointee.number)
    unsafe ticket.deallocate()
    unsafe resolver._withUnsafeGuaranteedRef { unsafe $0.named(number, status, result) }
}

private func resolverAsked(
    _ argument: UnsafeMutableRawPointer?, _ status: Int32, _ timeouts: Int32, _ bytes: UnsafeMutablePointer<UInt8>?,
    _ count: Int32
) {
    let ticket = unsafe argument!.assumingMemoryBound(to: ResolverTicket.self)
    let (resolver, number) = unsafe (ticket.pointee.resolver, ticket.pointee.number)
    unsafe ticket.deallocate()
    let message = unsafe Array(UnsafeBufferPointer(start: bytes, count: bytes == nil ? 0 : Int(max(count, 0))))
    unsafe resolver._withUnsafeGuaranteedRef { $0.asked(number, status, message) }
}

private func resolverSocketReady(_ handle: UnsafeMutablePointer<uv_poll_t>?, _ status: Int32, _ events: Int32) {
    unsafe Unmanaged<ResolverSocket>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef {
        $0.ready(status, events)
    }
}

private func resolverSocketClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    unsafe Unmanaged<ResolverSocket>.fromOpaque(handle!.pointee.data).release()
}
