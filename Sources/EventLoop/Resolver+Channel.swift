import CCares
import CLibUV
import Glibc

/// Queries to c-ares, and its answers.
///
/// c-ares calls back inside of its own functions, so answers are noted here and delivered by `process`.
extension Resolver {
    /// Makes the channel, with the current servers.
    func open() throws(UVError) {
        guard loop.host == nil else { return }
        guard !cannotOpen else { throw UVError(code: UV_ENOMEM.rawValue, call: "ares_init") }
        var room = unsafe cares_options()
        var options = unsafe room.options
        unsafe options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES
        // Two rounds, the second twice as long; with one server both are within the query's own time.
        unsafe options.timeout = Int32(clamping: max(configuration.timeout / 4_000_000, 1))
        unsafe options.tries = 2
        unsafe options.udp_port = configuration.port
        unsafe options.tcp_port = configuration.port
        unsafe options.sock_state_cb = resolverSocketChanged
        unsafe options.sock_state_cb_data = Unmanaged.passUnretained(self).toOpaque()
        // The cache, which c-ares 1.31 and later has by default, gets a longest life of zero: the time of an exit's
        // answer would tell each client for which names others have asked, and a forged answer would serve them all.
        let mask =
            ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS
            | ARES_OPT_RESOLVCONF | ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT
            | Int32(CARES_OPT_QUERY_CACHE)
        // First the hosts file, then the name servers.
        let made = unsafe "fb".withCString { lookups in
            unsafe configuration.file.withCString { file in
                unsafe options.lookups = UnsafeMutablePointer(mutating: lookups)
                unsafe options.resolvconf_path = UnsafeMutablePointer(mutating: file)
                // The fields behind those of this header stay zero.
                unsafe room.options = options
                return unsafe withUnsafeMutablePointer(to: &room) {
                    unsafe $0.withMemoryRebound(to: ares_options.self, capacity: 1) {
                        unsafe ares_init_options(&channel, $0, mask)
                    }
                }
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

    /// The class of the Internet's records.
    private static let internetClass = Int32(1)

    /// Hands a question to c-ares.
    func ask(_ question: Question, _ number: UInt64) {
        guard working.count < configuration.maximumQueries else {
            answered.append((number, .none(.tooManyQueries)))
            return
        }
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

    /// The channel for one more query, which must then be passed to c-ares; nil if the query is answered without it.
    private func channelForQuery(_ number: UInt64) -> ares_channel? {
        guard let channel = unsafe channel else {
            answered.append((number, .none(.failed(ARES_EDESTRUCTION))))
            return nil
        }
        working[number] = false
        return unsafe channel
    }

    /// The argument that c-ares passes back with the answer; freed by the callback, which c-ares calls exactly once.
    private func ticket(_ number: UInt64) -> UnsafeMutablePointer<ResolverTicket> {
        let ticket = UnsafeMutablePointer<ResolverTicket>.allocate(capacity: 1)
        unsafe ticket.initialize(to: ResolverTicket(resolver: Unmanaged.passUnretained(self), number: number))
        return unsafe ticket
    }

    /// Notes that c-ares is done with a query.
    func noteEnd(_ number: UInt64, _ status: Int32) {
        guard let isCounted = working.removeValue(forKey: number) else { return }
        noteOver(number)
        switch status {
        case ARES_ETIMEOUT, ARES_ECONNREFUSED: if !isCounted { unanswered += 1 }
        case ARES_EDESTRUCTION, ARES_ECANCELLED: break
        default: unanswered = 0
        }
    }

    /// Notes c-ares' answer.
    func answered(_ number: UInt64, _ status: Int32, _ result: UnsafeMutablePointer<ares_addrinfo>?) {
        defer { if let result = unsafe result { unsafe ares_freeaddrinfo(result) } }
        noteEnd(number, status)
        guard !isReopening, case .addresses(let port, let family, _)? = pending[number]?.wanted else { return }
        guard status == ARES_SUCCESS else {
            answered.append((number, .none(Self.error(status))))
            return
        }
        let addresses = unsafe Self.addresses(result, port, family)
        answered.append((number, addresses.isEmpty ? .none(.notFound) : .addresses(addresses)))
    }

    /// Notes c-ares' answer to a query for a name.
    func named(_ number: UInt64, _ status: Int32, _ result: UnsafeMutablePointer<hostent>?) {
        noteEnd(number, status)
        guard !isReopening, case .name? = pending[number]?.wanted else { return }
        if status == ARES_SUCCESS, let name = unsafe result?.pointee.h_name {
            answered.append((number, .name(unsafe String(cString: name))))
        } else {
            answered.append((number, .none(status == ARES_SUCCESS ? .notFound : Self.error(status))))
        }
    }

    /// Notes c-ares' answer to a query for records.
    func asked(_ number: UInt64, _ status: Int32, _ message: [UInt8]) {
        noteEnd(number, status)
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

    /// Polls one of c-ares' sockets for the events that c-ares wants, or stops if it wants none.
    func socketChanged(_ descriptor: Int32, reads: Bool, writes: Bool) {
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

/// The argument of c-ares' callbacks; the resolver destroys the channel, and so all tickets, before it is freed.
@safe
struct ResolverTicket {
    let resolver: Unmanaged<Resolver>
    let number: UInt64
}

/// The polling of one of c-ares' sockets; c-ares owns the descriptor.
@safe
final class ResolverSocket: HandleOwner {
    private weak var resolver: Resolver?
    private let descriptor: Int32
    private let handle: UnsafeMutablePointer<uv_poll_t>
    private var isClosed = false

    init?(_ resolver: Resolver, _ loop: Loop, _ descriptor: Int32) {
        self.resolver = resolver
        self.descriptor = descriptor
        unsafe handle = .allocate(capacity: 1)
        // If the socket cannot be polled, the query times out.
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
        // After an error c-ares finds the cause by trying both.
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
