internal import Directory
internal import Links
internal import Wire

/// The inquiries of several operators' nodes (`Inquiry`): the one that is under way, and what the last ones have settled.
struct InquiryRounds {
    /// What an inquiry needs beside its rules.
    struct Round {
        /// The rules.
        var inquiry = Inquiry()
        /// Nodes that have answered, with their links, and those that may be asked for their list, when it is their turn.
        var heard: [(node: NodeID, link: LinkID)] = []
        var waiting: [(node: NodeID, link: LinkID)] = []
        /// Since when a list is awaited.
        var listSince: Instant?
    }

    /// How long what was found to be down, or about the clock, holds.
    private static let settledFor = TimeSpan.seconds(3_600)

    /// The one that is under way.
    var current: Round?
    /// Its number; answers to questions of another number come too late.
    private(set) var number: UInt64 = 0
    /// How many have failed in a row, and when the next may begin.
    private(set) var failures = 0
    private(set) var next = Instant(nanoseconds: 0)
    /// When an inquiry was settled last, and the nodes that are down by it.
    private(set) var settled: Instant?
    private(set) var down: Set<NodeID> = []

    /// Whether what was settled last holds no more.
    func isOld(at now: Instant) -> Bool { settled.map { now - $0 >= Self.settledFor } ?? true }

    /// Answers to questions that were asked until now come too late.
    mutating func supersede() { number &+= 1 }

    /// Begins one.
    mutating func begin(_ round: Round) {
        number &+= 1
        current = round
    }

    /// The one under way is settled: `down` are the nodes of which nobody has a descriptor.
    mutating func settle(down: Set<NodeID>, at now: Instant) {
        (self.down, settled, failures) = (down, now, 0)
        end(at: now, pause: 10)
    }

    /// The one under way cannot be settled.
    mutating func fail(at now: Instant) {
        // Where nobody has answered it is most likely this machine's network, and what follows its return should not be late.
        failures = current?.heard.isEmpty != false ? min(failures + 1, 3) : failures + 1
        end(at: now, pause: min(60, 1 << Int64(min(failures, 6))))
    }

    /// The clock was moved: nothing is settled any more.
    ///
    /// Returns whether an inquiry was under way, which has ended.
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
