public import Links
public import Onion
public import Sessions
public import Transport
public import Wire

/// A built path at its client: the link to the guard, the guard's id for it, and the layers.
///
/// The owner must end it by ``end(on:tellsGuard:)``. If it is only released, its hops keep it until it times out.
public struct BuiltPath: ~Copyable {
    /// The link to the guard.
    public let link: LinkID
    /// The path's id in packets to the guard.
    public let guardPathID: UInt64
    /// How long the answer to BUILD took.
    public let buildTime: TimeSpan
    /// The layers, which open returning packets in place.
    public var layers: ClientPath

    init(_ layers: consuming ClientPath, link: LinkID, guardPathID: UInt64, buildTime: TimeSpan) {
        self.link = link
        self.guardPathID = guardPathID
        self.buildTime = buildTime
        self.layers = layers
    }

    /// Makes a packet for the terminal: `fill` gets its number and payload, and returns whether to send it.
    ///
    /// The payload holds old bytes at first. Returns false if nothing was sent. Must not be called while packets are
    /// received.
    public mutating func send(
        over links: Links, now: Instant, fill: (UInt64, inout MutableRawSpan) -> Bool
    ) -> Bool {
        let number = layers.nextNumber
        return links.withTable { table in
            table.send(on: link) { packet in
                do {
                    var payload = packet._mutatingExtracting(droppingFirst: Packet.payloadOffset)
                    guard fill(number, &payload) else { return false }
                }
                packet.pathID = guardPathID
                return layers.seal(&packet, now: now) == number
            }
        }
    }

    /// Sends the packets that `session` wants to send on `leg`, until the link takes no more; returns their number.
    public mutating func transmit(_ session: Session, on leg: LegID, over links: Links, now: Instant) -> Int {
        var count = 0
        while session.connection.wantsToSend(leg: leg, now: now) {
            let isSent = send(over: links, now: now) { number, payload in
                session.connection.writePacket(leg: leg, packetNumber: number, into: &payload, now: now)
            }
            guard isSent else {
                if !links.hasRoom(on: link) { session.waitForRoom() }
                break
            }
            count += 1
            for _ in 0..<session.connection.numbersToSkip() { layers.skipNumber() }
        }
        return count
    }

    /// Ends the path here; `tellsGuard` is false if the guard has ended it, or its link is gone.
    public consuming func end(on links: Links, tellsGuard: Bool = true) {
        if tellsGuard { links.destroy(guardPathID, on: link) }
        links.removePath(on: link)
    }
}
