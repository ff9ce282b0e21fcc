/// The first bytes of a stream towards the exit: what it is to be connected to.
///
///     version 1 (= 1) │ kind 1 │ destination
///
/// Bytes of the application follow at once, before the reply.
public struct OpenRequest: Hashable, Sendable {
    /// What the exit opens.
    public enum Kind: UInt8, Sendable {
        /// A TCP connection.
        case tcp = 1
        /// Nothing: it looks up the address of a name.
        case resolve = 2
        /// Nothing: it looks up the name of an address.
        case resolvePointer = 3
        /// A UDP association, for as long as the stream is open; its datagrams are the session's, with the stream's number
        /// for a flow (`FlowDatagram`).
        case udp = 4
        /// Nothing: it asks its name servers for the records of a name (`RecordsReply`).
        case records = 5
    }

    /// The version of the format.
    public static let version: UInt8 = 1
    /// No request is longer, whatever its version may add: a stream with more unread bytes and no request is broken.
    public static let maximumSize = 300

    /// What to open.
    public var kind: Kind
    /// Where to; for records the port is their type, and for a UDP association it is ``nowhere``.
    public var destination: Destination

    /// The destination of a request that has none: 0.0.0.0 and port 0.
    public static let nowhere = Destination(host: .address(IPAddress(v4: 0)), port: 0)

    /// Asks for `kind` towards `destination`.
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

    /// Reads a request from the first bytes of a stream; `nil` while more are needed.
    ///
    /// `bytes` is all that has come so far; `consumed` of it is the request, the rest is for the destination. Throws for an
    /// unknown version or kind, an impossible destination and, for TCP and records, port 0, as soon as the bytes show it. A
    /// look-up of an address or name has port 0, and a name or an address, whichever it is for.
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
            case (.udp, _): guard destination == nowhere else { throw .outOfRange }
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

/// The first bytes of a stream from the exit: how opening went.
public struct OpenReply: Hashable, Sendable {
    /// How opening went.
    public enum Status: UInt8, Sendable, CaseIterable {
        /// It stands; the destination's bytes follow.
        case ok = 0
        /// The destination refused.
        case refused = 1
        /// No way to the host.
        case hostUnreachable = 2
        /// No way to its network.
        case networkUnreachable = 3
        /// The name does not resolve.
        case hostNotFound = 4
        /// The exit's policy forbids it.
        case notAllowed = 5
        /// The destination did not answer in time.
        case timeout = 6
        /// Something else failed, or the request could not be read.
        case generalFailure = 7
        /// The session or the exit has as many streams as it may have.
        case tooManyStreams = 8
    }

    /// How opening went.
    public var status: Status

    /// A reply that says `status`.
    public init(status: Status) { self.status = status }

    /// The encoding: one byte.
    public func encoded() -> [UInt8] { [status.rawValue] }

    /// Reads a reply from the first bytes of a stream; `nil` while more are needed, `unknownKind` for an unknown status.
    public static func decode(from bytes: RawSpan) throws(WireError) -> (reply: OpenReply, consumed: Int)? {
        guard bytes.byteCount > 0 else { return nil }
        var reader = ByteReader(bytes)
        let byte = try reader.u8()
        guard let status = Status(rawValue: byte) else { throw .unknownKind(UInt64(byte)) }
        return (OpenReply(status: status), reader.offset)
    }
}
