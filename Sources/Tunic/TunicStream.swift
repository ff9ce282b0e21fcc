internal import EventLoop
internal import Wire

/// A stream of bytes to a destination, through a path.
///
/// One read and one write may be under way at a time. A stream that is let go is closed.
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

    /// The next bytes, as soon as there are any, at most `limit`; empty when the destination has ended its half.
    ///
    /// A task that is cancelled meanwhile throws ``TunicError/cancelled``; bytes are not lost by that.
    public func read(upTo limit: Int = 64 << 10) async throws(TunicError) -> [UInt8] {
        guard limit > 0 else { return [] }
        let operation = client.nextNumber
        return try await TunicClient.ask(sender, orElse: .cancel(number, operation)) {
            .read(number, limit: limit, operation, $0)
        }
    }

    /// Writes all of `bytes`, and returns when the last of them is on its way or in the send buffer.
    ///
    /// After ``TunicError/cancelled`` an unknown part of them was written.
    public func write(_ bytes: [UInt8]) async throws(TunicError) {
        guard !bytes.isEmpty else { return }
        let operation = client.nextNumber
        try await TunicClient.ask(sender, orElse: .cancel(number, operation)) {
            .write(number, bytes, operation, $0)
        }
    }

    /// Ends our half behind what was written.
    ///
    /// Reading goes on. Later writes throw ``TunicError/closed``.
    public func finish() { sender.send(.finish(number)) }

    /// Ends the stream; what was not read is lost, and what was written too, unless ``finish()`` came before.
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

    /// Sends a datagram to `port` of `host`; ``TunicError/notSent`` says that there was no room.
    public func send(_ data: [UInt8], to host: String, port: UInt16) async throws(TunicError) {
        let peer = try TunicClient.destination(host, port)
        try await TunicClient.ask(sender, orElse: nil) { .send(number, data, to: peer, $0) }
    }

    /// The next datagram that comes.
    public func receive() async throws(TunicError) -> TunicDatagram {
        let operation = client.nextNumber
        return try await TunicClient.ask(sender, orElse: .cancel(number, operation)) {
            .receive(number, operation, $0)
        }
    }

    /// Closes the sockets.
    public func close() { sender.send(.close(number)) }
}

/// A datagram and where it came from.
public struct TunicDatagram: Hashable, Sendable {
    /// The host as it was named when something was sent to it.
    public let host: String
    /// The port that it came from.
    public let port: UInt16
    /// What it holds.
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
