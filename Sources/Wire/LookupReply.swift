/// The exit's whole reply to a look-up, as bytes of its stream: the status and the result.
///
///     status 1 │ host, where the status is 0
///
/// The host is encoded as in a destination: an address for a name, a name for an address.
public struct LookupReply: Hashable, Sendable {
    /// The result of the look-up, or its status.
    public enum Outcome: Hashable, Sendable {
        /// The address of the name, or the name of the address.
        case found(Destination.Host)
        /// How the look-up failed.
        case failed(OpenReply.Status)
    }

    /// The outcome of the look-up.
    public var outcome: Outcome

    /// A reply with the result `host`.
    public init(found host: Destination.Host) { outcome = .found(host) }

    private init(_ outcome: Outcome) { self.outcome = outcome }

    /// The encoding of a successful look-up; other statuses are encoded as ``OpenReply``.
    public static func encoded(found host: Destination.Host) -> [UInt8] {
        var writer = ByteWriter(capacity: 1 + Destination.maximumSize)
        writer.u8(OpenReply.Status.ok.rawValue)
        host.encode(into: &writer)
        return writer.bytes
    }

    /// Reads a reply to a request of `kind` from the first bytes of a stream; nil while more are needed.
    ///
    /// Throws for an unknown status and an invalid host, and for a name where an address is due or the other way round.
    public static func decode(from bytes: RawSpan, to kind: OpenRequest.Kind) throws(WireError) -> LookupReply? {
        guard let (reply, consumed) = try OpenReply.decode(from: bytes) else { return nil }
        guard reply.status == .ok else { return LookupReply(.failed(reply.status)) }
        var reader = ByteReader(bytes.extracting(droppingFirst: consumed))
        let host: Destination.Host
        do throws(WireError) {
            host = try Destination.Host.decode(from: &reader)
        } catch {
            if error == .truncated { return nil }
            throw error
        }
        switch (kind, host) {
        case (.resolve, .address), (.resolvePointer, .name): return LookupReply(found: host)
        case (.resolve, .name), (.resolvePointer, .address), (.tcp, _), (.udp, _), (.records, _):
            throw .outOfRange
        }
    }
}
