internal import Directory
internal import Links
internal import Wire

/// The inquiries of a client (`Inquiry`): the one under way, and the result of the last one.
struct InquiryRounds {
    /// An inquiry under way.
    struct Round {
        /// The rules: which node is asked next, and when the inquiry is settled.
        var inquiry = Inquiry()
        /// Nodes that have answered, with their links, and nodes that wait to be asked for their list.
        var heard: [(node: NodeID, link: LinkID)] = []
        var waiting: [(node: NodeID, link: LinkID)] = []
        /// Since when a list is awaited.
        var listSince: Instant?
    }

    /// How long the result of an inquiry holds.
    private static let settledFor = TimeSpan.seconds(3_600)

    /// The inquiry under way.
    var current: Round?
    /// The number of the present questions; answers to questions of another number come too late.
    private(set) var number: UInt64 = 0
    /// How many inquiries have failed in a row, and when the next may begin.
    private(set) var failures = 0
    private(set) var next = Instant(nanoseconds: 0)
    /// When an inquiry was last settled, and the nodes that it found to be down.
    private(set) var settled: Instant?
    private(set) var down: Set<NodeID> = []

    /// Whether the last result no longer holds, or there is none.
    func isOld(at now: Instant) -> Bool { settled.map { now - $0 >= Self.settledFor } ?? true }

    /// Makes all outstanding answers late, so that they no longer count.
    mutating func supersede() { number &+= 1 }

    mutating func begin(_ round: Round) {
        number &+= 1
        current = round
    }

    /// Settles the inquiry under way; `down` are the nodes without a descriptor at any node that answered.
    mutating func settle(down: Set<NodeID>, at now: Instant) {
        (self.down, settled, failures) = (down, now, 0)
        end(at: now, pause: 10)
    }

    /// Ends the inquiry under way, which cannot be settled.
    mutating func fail(at now: Instant) {
        // If no node has answered, this machine's network is most likely down. The next inquiry should follow soon
        // after the network is back.
        failures = current?.heard.isEmpty != false ? min(failures + 1, 3) : failures + 1
        end(at: now, pause: min(60, 1 << Int64(min(failures, 6))))
    }

    /// Drops the results, because the clock was moved; returns whether an inquiry was under way, which is ended.
    mutating func forget(at now: Instant) -> Bool {
        let wasUnderWay = current != nil
        (settled, down) = (nil, [])
        if wasUnderWay { end(at: now, pause: 0) }
        next = now
        return wasUnderWay
    }

    private mutating func end(at now: Instant, pause seconds: Int64) {
        current = nil
        number &+= 1
        next = now + .seconds(seconds)
    }
}
