/// The first bytes of a stream towards the exit: the request to open a connection.
///
///     version 1 (= 1) │ kind 1 │ destination
///
/// The application's bytes follow at once, before the reply.
public struct OpenRequest: Hashable, Sendable {
    /// The kind of a request.
    public enum Kind: UInt8, Sendable {
        /// A TCP connection.
        case tcp = 1
        /// The address of a name; opens nothing.
        case resolve = 2
        /// The name of an address; opens nothing.
        case resolvePointer = 3
        /// A UDP association, for as long as the stream is open; its datagrams are the session's, with the stream's
        /// number as flow (`FlowDatagram`).
        case udp = 4
        /// The records of a name, from the exit's name servers (`RecordsReply`); opens nothing.
        case records = 5
    }

    /// The version of the format.
    public static let version: UInt8 = 1
    /// The longest request in bytes in any version: a stream with more unread bytes and no request is refused.
    public static let maximumSize = 300

    /// The kind of the request.
    public var kind: Kind
    /// The destination; for records the port is their type, and for a UDP association it is ``unspecified``.
    public var destination: Destination

    /// The destination of a request that has none: 0.0.0.0 and port 0.
    public static let unspecified = Destination(host: .address(IPAddress(v4: 0)), port: 0)

    /// A request of `kind` for `destination`.
    public init(kind: Kind = .tcp, destination: Destination) {
        self.kind = kind
        self.destination = destination
    }

    /// The encoding, at most `maximumSize` bytes.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 2 + Destination.maximumSize)
        writer.u8(Self.version)
        writer.u8(kind.rawValue)
        destination.encode(into: &writer)
        return writer.bytes
    }

    /// Reads a request from the first bytes of a stream; nil while more are needed.
    ///
    /// `bytes` has everything that has come so far; the request takes `consumed` of it, and the rest is for the
    /// destination. As soon as the bytes show it, throws for an unknown version or kind, an invalid destination and,
    /// for TCP and records, port 0. A look-up has port 0, and a name or an address, depending on its kind.
    public static func decode(from bytes: RawSpan) throws(WireError) -> (request: OpenRequest, consumed: Int)? {
        var reader = ByteReader(bytes)
        do throws(WireError) {
            let version = try reader.u8()
            guard version == Self.version else { throw .unknownKind(UInt64(version)) }
            let kindByte = try reader.u8()
            guard let kind = Kind(rawValue: kindByte) else { throw .unknownKind(UInt64(kindByte)) }
            let destination = try Destination.decode(from: &reader)
            switch (kind, destination.host) {
            case (.tcp, _), (.records, .name): guard destination.port != 0 else { throw .outOfRange }
            case (.udp, _): guard destination == unspecified else { throw .outOfRange }
            case (.resolve, .name), (.resolvePointer, .address):
                guard destination.port == 0 else { throw .outOfRange }
            case (.resolve, .address), (.resolvePointer, .name), (.records, .address): throw .outOfRange
            }
            return (OpenRequest(kind: kind, destination: destination), reader.offset)
        } catch {
            if error == .truncated, bytes.byteCount < maximumSize { return nil }
            throw error
        }
    }
}

/// The first byte of a stream from the exit: the result of opening.
public struct OpenReply: Hashable, Sendable {
    /// The result of opening.
    public enum Status: UInt8, Sendable, CaseIterable {
        /// The connection is open; the destination's bytes follow.
        case ok = 0
        /// The destination refused the connection.
        case refused = 1
        /// There is no route to the host.
        case hostUnreachable = 2
        /// There is no route to its network.
        case networkUnreachable = 3
        /// The name does not resolve.
        case hostNotFound = 4
        /// The exit's policy forbids it.
        case notAllowed = 5
        /// The destination did not answer in time.
        case timeout = 6
        /// Something else failed, or the request could not be read.
        case generalFailure = 7
        /// The session or the exit has its limit of streams.
        case tooManyStreams = 8
    }

    /// The result of opening.
    public var status: Status

    /// A reply with `status`.
    public init(status: Status) { self.status = status }

    /// The encoding: one byte.
    public func encoded() -> [UInt8] { [status.rawValue] }

    /// Reads a reply from the first bytes of a stream; `nil` while more are needed, `unknownKind` for an unknown
    /// status.
    public static func decode(from bytes: RawSpan) throws(WireError) -> (reply: OpenReply, consumed: Int)? {
        guard bytes.byteCount > 0 else { return nil }
        var reader = ByteReader(bytes)
        let byte = try reader.u8()
        guard let status = Status(rawValue: byte) else { throw .unknownKind(UInt64(byte)) }
        return (OpenReply(status: status), reader.offset)
    }
}
