public import Onion
public import OnionCrypto
internal import Wire

/// The values that both ends of a session derive from a path's secrets (protocol.md, section 7).
extension SessionSecrets {
    /// The id of the session that this path opens.
    public var sessionID: [UInt8] {
        let id = session.derive("session id")
        return [UInt8](copying: id.bytes.extracting(0..<LegHello.fieldSize))
    }

    /// The MAC with which this path joins a session as leg `leg`, under that session's secret.
    public func joinMAC(session secret: borrowing Secret, leg id: UInt8) -> [UInt8] {
        var message = [UInt8]("join".utf8) + [id] + [UInt8](copying: leg.bytes)
        defer { wipe(&message) }
        return Blake2b.mac16(key: secret.bytes, message.rawSpan)
    }
}
