/// A datagram of a UDP association on its way through a session: to whom, or from whom, and what.
///
///     destination │ data
///
/// Towards the exit the destination is where the datagram goes, by address or by name. From the exit it is where it came from:
/// the host as it was named when something was last sent to it, and the port that it came from.
public enum FlowDatagram {
    /// The most bytes of the whole: what the session carries as one datagram.
    public static let maximumSize = 65_507

    /// The encoding; `nil` when it would be longer than ``maximumSize``.
    public static func encoded(_ peer: Destination, _ data: RawSpan) -> [UInt8]? {
        var writer = ByteWriter(capacity: Destination.maximumSize + data.byteCount)
        peer.encode(into: &writer)
        guard writer.bytes.count + data.byteCount <= maximumSize else { return nil }
        unsafe data.withUnsafeBytes { unsafe writer.raw($0) }
        return writer.bytes
    }

    /// Reads a datagram; the data begins at `offset`.
    ///
    /// Throws for an impossible destination, and for port 0.
    public static func decode(from bytes: RawSpan) throws(WireError) -> (peer: Destination, offset: Int) {
        var reader = ByteReader(bytes)
        let peer = try Destination.decode(from: &reader)
        guard peer.port != 0 else { throw .outOfRange }
        return (peer, reader.offset)
    }
}
