/// A datagram of a UDP association within a session: its receiver or sender, and its data.
///
///     destination │ data
///
/// Towards the exit the destination is the datagram's receiver, by address or by name. From the exit it is the sender:
/// the host as named in the last datagram sent to it, and the sender's port.
public enum FlowDatagram {
    /// The longest encoding in bytes: the largest datagram of a session.
    public static let maximumSize = 65_507

    /// The encoding; nil if it would be longer than ``maximumSize``.
    public static func encoded(_ peer: Destination, _ data: RawSpan) -> [UInt8]? {
        var writer = ByteWriter(capacity: Destination.maximumSize + data.byteCount)
        peer.encode(into: &writer)
        guard writer.bytes.count + data.byteCount <= maximumSize else { return nil }
        unsafe data.withUnsafeBytes { unsafe writer.raw($0) }
        return writer.bytes
    }

    /// Reads a datagram; the data begins at `offset`.
    ///
    /// Throws for an invalid destination, and for port 0.
    public static func decode(from bytes: RawSpan) throws(WireError) -> (peer: Destination, offset: Int) {
        var reader = ByteReader(bytes)
        let peer = try Destination.decode(from: &reader)
        guard peer.port != 0 else { throw .outOfRange }
        return (peer, reader.offset)
    }
}
