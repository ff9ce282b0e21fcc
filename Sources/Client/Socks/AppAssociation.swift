internal import EventLoop
internal import Links
internal import Sessions
internal import SocksProtocol
internal import Transport
internal import Wire

/// The client's end of an app's UDP association (RFC 1928, section 7): a port at the address that the app connected to.
///
/// The first sender of a readable datagram from the app's address owns the port, if its socket is of the app's user.
/// Datagrams of other senders are dropped, and no other sender is answered.
final class AppAssociation: DatagramReceiver {
    /// The most associations of a client.
    static let limit = 1_024

    /// How many first datagrams the kernel is asked about in a second, and in one piece.
    static let questions = (perSecond: 8, burst: 16)
    /// The user of the socket from which a datagram came to the port; nil if the kernel knows none.
    typealias UserOf = (_ source: SocketAddress, _ port: SocketAddress) -> UInt32?

    private weak var session: Session?
    private let flow: StreamID
    /// The address of the app's TCP connection, with the port that the app announced for its datagrams, or 0.
    private let expected: SocketAddress
    /// The user of the app, if it is on this machine.
    private let user: UInt32?
    /// Asks the kernel; nil if it tells no users.
    private let userOf: UserOf?
    /// How often the kernel is asked.
    private var questions: TokenBucket
    private let dropped: (DatagramDrops.Reason) -> Void
    private let idleLimit: TimeSpan
    private let admits: (Destination.Host) -> Bool
    private let ended: () -> Void
    private var socket: DatagramSocket?
    /// The address and port that the app sends from; nil before its first datagram.
    private var app: SocketAddress?
    /// The hosts that may answer.
    private var sent = SentHosts()
    private var lastUsed: Instant
    private var timer: LoopTimer?

    /// An association for an app at `expected`; `ended` is called once, after `idleLimit` without a datagram.
    ///
    /// Datagrams to hosts that `admits` refuses are dropped, and those of hosts to which the app has sent nothing;
    /// `dropped` is called for each.
    init(
        session: Session, flow: StreamID, expected: SocketAddress, user: UInt32?, idleLimit: TimeSpan,
        userOf: UserOf? = SocketUsers.ofThisProcess.tells(.udp) ? { $0.user(of: .udp, to: $1) } : nil,
        admits: @escaping (Destination.Host) -> Bool, dropped: @escaping (DatagramDrops.Reason) -> Void,
        ended: @escaping () -> Void
    ) {
        self.user = user
        self.userOf = userOf
        self.session = session
        self.flow = flow
        self.expected = expected
        self.idleLimit = idleLimit
        self.admits = admits
        self.dropped = dropped
        self.ended = ended
        lastUsed = Instant(nanoseconds: session.turn.loop.now)
        questions = TokenBucket(
            perSecond: Self.questions.perSecond, burst: Self.questions.burst, now: lastUsed)
    }

    /// Opens a port at `address`, and returns where the app must send to; nil if no port can be opened.
    func open(at address: SocketAddress) -> Endpoint? {
        guard let loop = session?.turn.loop, loop.hasDescriptorsToSpare,
            let socket = try? DatagramSocket(
                on: loop, bindTo: address.with(port: 0), configuration: .small, receiver: self)
        else { return nil }
        self.socket = socket
        timer = LoopTimer(on: loop) { [weak self] in self?.timerFired(loop) }
        timer?.schedule(at: (lastUsed + idleLimit).nanoseconds)
        return Endpoint(socket.localAddress)
    }

    private func timerFired(_ loop: Loop) {
        let end = lastUsed + idleLimit
        if end.nanoseconds > loop.now { timer?.schedule(at: end.nanoseconds) } else { ended() }
    }

    /// Passes datagrams of the app to the session.
    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
        guard let session, !session.connection.isClosed else { return }
        for index in 0..<batch.count {
            let source = batch.source(of: index)
            guard isApp(source) else {
                dropped(.udpSource)
                continue
            }
            let packet = batch.packet(index)
            guard let (peer, offset) = SocksDatagram.decode(from: packet.bytes) else {
                dropped(.udpUnreadable)
                continue
            }
            let now = Instant(nanoseconds: session.turn.loop.now)
            guard app != nil || isOfUser(source, now: now) else {
                dropped(.udpSource)
                continue
            }
            app = source
            lastUsed = now
            guard admits(peer.host) else {
                dropped(.udpNotAllowed)
                continue
            }
            let data = packet.bytes.extracting(droppingFirst: offset)
            guard let bytes = FlowDatagram.encoded(peer, data) else {
                dropped(.udpUnreadable)
                continue
            }
            sent.add(peer.host)
            if !session.connection.sendDatagram(flow: flow.value, bytes.rawSpan) { dropped(.udpQueue) }
        }
        session.touch()
    }

    /// The address and port that the app at `remote` is expected to send from, by the `hint` in its request.
    ///
    /// The hint's port counts if its address is zero or the app's own. Many apps put their destination there instead,
    /// which says nothing about their own port. The result then has port 0, which stands for any port.
    static func expected(_ hint: Destination, from remote: SocketAddress) -> SocketAddress {
        guard case .address(let address) = hint.host else { return remote.with(port: 0) }
        let isOwn = address == Endpoint(remote).address
        return remote.with(
            port: isOwn || address == IPAddress(v4: 0) || address == IPAddress(high: 0, low: 0) ? hint.port : 0)
    }

    private func isApp(_ source: SocketAddress) -> Bool {
        if let app { return source == app }
        return source.high == expected.high && source.low == expected.low
            && (expected.port == 0 || source.port == expected.port)
    }

    /// Whether the socket that has sent from `source` is of the app's user, as far as the kernel tells.
    ///
    /// Any user of the machine can send to the port. A socket that is closed already is of nobody, so that nobody can
    /// send and be gone. Where the kernel does not tell users, the address has to do.
    ///
    /// A question costs two system calls, and any user can cause one. So beyond the rate a datagram is of nobody.
    private func isOfUser(_ source: SocketAddress, now: Instant) -> Bool {
        guard let userOf, let user, let own = socket?.localAddress else { return true }
        return questions.take(now: now) && userOf(source, own) == user
    }

    /// Passes a datagram of the session to the app, if it is of a host to which the app has sent something.
    ///
    /// The header names the host to the app (RFC 1928, section 7), as the exit names it to the client. A hostile exit
    /// could name any, and make the app believe that a host of its own network speaks.
    func deliver(_ datagram: [UInt8]) {
        guard let socket, let app, let session else { return }
        guard let (peer, offset) = try? FlowDatagram.decode(from: datagram.rawSpan), sent.contains(peer.host) else {
            return dropped(.udpSource)
        }
        lastUsed = Instant(nanoseconds: session.turn.loop.now)
        let data = datagram.rawSpan.extracting(droppingFirst: offset)
        let bytes = SocksDatagram.encoded(from: peer, data)
        socket.send(bytes.rawSpan, to: app)
    }

    /// Closes the port; a second call does nothing.
    func close() {
        timer?.close()
        timer = nil
        socket?.close()
        socket = nil
    }
}
