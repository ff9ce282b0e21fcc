internal import EventLoop
internal import Wire

/// A stream of bytes to a destination, through a path.
///
/// One read and one write may be under way at a time. Releasing a stream closes it.
public final class TunicStream: Sendable {
    private let number: UInt64
    private let sender: Mailbox<Command>.Sender
    /// The client lives as long as its streams.
    private let client: TunicClient

    init(_ number: UInt64, _ sender: Mailbox<Command>.Sender, _ client: TunicClient) {
        self.number = number
        self.sender = sender
        self.client = client
    }

    deinit { sender.send(.close(number)) }

    /// The next bytes, at most `limit`, as soon as there are any; empty if the destination has ended its half.
    ///
    /// If the task is cancelled, this throws ``TunicError/cancelled``, and no bytes are lost.
    public func read(upTo limit: Int = 64 << 10) async throws(TunicError) -> [UInt8] {
        guard limit > 0 else { return [] }
        let operation = client.nextNumber
        return try await TunicClient.ask(sender, orElse: .cancel(number, operation)) {
            .read(number, limit: limit, operation, $0)
        }
    }

    /// Writes all of `bytes`, and returns when the last of them is sent or in the send buffer.
    ///
    /// After ``TunicError/cancelled``, an unknown part of the bytes was written.
    public func write(_ bytes: [UInt8]) async throws(TunicError) {
        guard !bytes.isEmpty else { return }
        let operation = client.nextNumber
        try await TunicClient.ask(sender, orElse: .cancel(number, operation)) {
            .write(number, bytes, operation, $0)
        }
    }

    /// Ends our half after the bytes written so far.
    ///
    /// Reading remains possible. Later writes throw ``TunicError/closed``.
    public func finish() { sender.send(.finish(number)) }

    /// Ends the stream; unread bytes are lost, and so are unsent ones unless ``finish()`` was called before.
    public func close() { sender.send(.close(number)) }
}

/// UDP sockets at an exit.
///
/// A datagram may get lost, as over UDP. One ``receive()`` may be under way at a time.
public final class TunicDatagrams: Sendable {
    private let number: UInt64
    private let sender: Mailbox<Command>.Sender
    /// The client lives as long as its sockets.
    private let client: TunicClient

    init(_ number: UInt64, _ sender: Mailbox<Command>.Sender, _ client: TunicClient) {
        self.number = number
        self.sender = sender
        self.client = client
    }

    deinit { sender.send(.close(number)) }

    /// Sends a datagram to `port` of `host`.
    ///
    /// Throws ``TunicError/notSent`` if it is too long, or if there is no room for it now, and
    /// ``TunicError/refused(_:)`` if no exit is ever asked for the host, as one of this machine's own network.
    public func send(_ data: [UInt8], to host: String, port: UInt16) async throws(TunicError) {
        let peer = try TunicClient.destination(host, port)
        try await TunicClient.ask(sender, orElse: nil) { .send(number, data, to: peer, $0) }
    }

    /// The next datagram that arrives.
    public func receive() async throws(TunicError) -> TunicDatagram {
        let operation = client.nextNumber
        return try await TunicClient.ask(sender, orElse: .cancel(number, operation)) {
            .receive(number, operation, $0)
        }
    }

    /// Ends the association: its sockets are closed, and no more datagrams come.
    public func close() { sender.send(.close(number)) }
}

/// A received datagram and its source.
public struct TunicDatagram: Hashable, Sendable {
    /// The source's host, under the name to which datagrams were sent; there are none of other hosts.
    public let host: String
    /// The source's port.
    public let port: UInt16
    /// The payload.
    public let data: [UInt8]

    init(_ peer: Destination, _ data: [UInt8]) {
        host =
            switch peer.host {
            case .address(let address): address.description
            case .name(let name): name.text
            }
        port = peer.port
        self.data = data
    }
}
