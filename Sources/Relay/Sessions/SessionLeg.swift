internal import Onion
internal import Sessions
internal import Transport
internal import Wire

/// The end of a path at this node, which becomes a leg of the session that its first packet names.
final class SessionLeg: PathEnd {
    let path: TerminalPath
    let secrets: SessionSecrets
    private unowned let host: SessionHost
    /// The session, and the number of this leg in it; nil before the first packet and after the end.
    private(set) var place: (session: HostedSession, id: LegID)?
    /// Whether no session was found for it, so that its path ends soon.
    private var isRefused = false

    /// The end of a path that was built to `host`.
    init(_ path: TerminalPath, secrets: consuming SessionSecrets, at host: SessionHost) {
        self.path = path
        self.secrets = secrets
        self.host = host
    }

    func received(_ payload: RawSpan, number: UInt64, now: Instant) {
        if place == nil { place = join(payload, now) }
        guard let place else { return }
        _ = place.session.session.connection.receive(leg: place.id, packetNumber: number, payload: payload, now: now)
        place.session.session.touch()
    }

    /// Joins the session that the hello at the start of `payload` names.
    ///
    /// Packets without a hello are dropped until then.
    private func join(_ payload: RawSpan, _ now: Instant) -> (HostedSession, LegID)? {
        guard let hello = (try? LegHello.first(of: payload)) ?? nil else { return nil }
        let session: HostedSession
        switch host.find(hello, for: self, now: now) {
        case .session(let found): session = found
        case .noSession:
            // The end of the path tells the client to begin again. Until then, each packet is another attempt.
            if !isRefused { isRefused = path.endSoon() }
            return nil
        case .wrong: return nil
        }
        let id = LegID(hello.leg)
        guard session.add(self, as: id, now: now) else { return nil }
        if isRefused { path.keep() }
        isRefused = false
        return (session, id)
    }

    func ended() {
        guard let place else { return }
        self.place = nil
        place.session.remove(place.id)
    }

    /// Whether it carries streams: it is the active leg of a session that has some.
    ///
    /// While this node drains, it accepts no new path that could replace this one.
    var isNeeded: Bool {
        guard let place, place.session.streams > 0 else { return false }
        return place.session.session.connection.activeLeg == place.id
    }
}
