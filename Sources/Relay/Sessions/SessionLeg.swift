internal import Onion
internal import Sessions
internal import Transport
internal import Wire

/// The end of a path that is a leg of one of this node's sessions, once its first packet has said of which.
final class SessionLeg: PathEnd {
    let path: TerminalPath
    let secrets: SessionSecrets
    private unowned let host: SessionHost
    /// The session, and which of its legs this is.
    private(set) var place: (session: HostedSession, id: LegID)?
    /// Whether there is no session for it: then its path ends soon.
    private var isRefused = false

    /// A path that was built to `host`.
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

    /// Joins the session that a first packet names; frames before that are refused.
    private func join(_ payload: RawSpan, _ now: Instant) -> (HostedSession, LegID)? {
        guard let hello = (try? LegHello.first(of: payload)) ?? nil else { return nil }
        let session: HostedSession
        switch host.find(hello, for: self, now: now) {
        case .session(let found): session = found
        case .noSession:
            // Its client learns so that it must begin again. Until then this is tried with each packet.
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

    /// Whether it carries the streams of a session: it is the leg in use, and no other could be built in its place while this
    /// node drains.
    var isNeeded: Bool {
        guard let place, place.session.streams > 0 else { return false }
        return place.session.session.connection.activeLeg == place.id
    }
}
