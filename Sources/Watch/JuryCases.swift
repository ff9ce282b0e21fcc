import Registry
import Wire

extension Jury {
    /// A ballot under way at this node.
    struct Case {
        let ballot: Ballot
        /// The node that opened it and whose share it counts for; nil: this node's own finding or vote.
        var sender: NodeID?
        /// The height at which it was opened.
        let opened: UInt64
        var votes: [UInt8: [UInt8]] = [:]
        var hasVoted = false
        var nextSpread: Instant
        var spreads: Int64 = 0
        var nextSubmit: Instant

        /// When this node must vote, spread its vote or hand in the verdict, which takes `fewest` votes at least.
        func nextDue(fewest: Int) -> Instant {
            guard hasVoted else { return Instant(nanoseconds: 0) }
            return votes.count >= fewest ? min(nextSpread, nextSubmit) : nextSpread
        }
    }

    /// The cases on one node; a finding about the node concerns all of them.
    private struct Group {
        var cases: [Case] = []
        /// Whether this node's tests agree with the verdict, by the last look at them.
        var isHeld = false
        /// No case is due before, unless one is changed.
        var nextDue = Cases.unknown

        /// Adds the ballots of the cases that are due, with a vote of this node or without.
        mutating func collect(_ due: inout [Ballot], fewest: Int, now: Instant) {
            guard isHeld, nextDue <= now else { return }
            nextDue = Cases.never
            for place in cases.indices {
                let next = cases[place].nextDue(fewest: fewest)
                if next <= now { due.append(cases[place].ballot) }
                nextDue = min(nextDue, next)
            }
        }
    }

    /// The cases by ballot.
    struct Cases {
        fileprivate static let unknown = Instant(nanoseconds: 0)
        fileprivate static let never = Instant(nanoseconds: .max)
        private var groups: [NodeID: Group] = [:]
        private(set) var count = 0
        /// How many votes a verdict needed at least, by the last look at the cases.
        private var fewest = 0

        var isEmpty: Bool { count == 0 }
        /// All cases, in no order.
        var all: some Sequence<Case> { groups.values.lazy.flatMap(\.cases) }

        private static func place(of ballot: Ballot, in cases: [Case]) -> Int? {
            cases.indices.first { cases[$0].ballot == ballot }
        }

        func contains(_ ballot: Ballot) -> Bool {
            groups[ballot.node].map { Self.place(of: ballot, in: $0.cases) != nil } ?? false
        }

        /// Whether this node's tests agree with the verdicts on a node, by the last look at them.
        func isHeld(_ node: NodeID) -> Bool { groups[node]?.isHeld ?? false }

        /// Notes that they do.
        mutating func hold(_ node: NodeID) { groups[node]?.isHeld = true }

        subscript(ballot: Ballot) -> Case? {
            get {
                guard let cases = groups[ballot.node]?.cases, let place = Self.place(of: ballot, in: cases) else {
                    return nil
                }
                return cases[place]
            }
            set {
                var group = groups[ballot.node] ?? Group()
                // Its array is changed in place.
                groups[ballot.node]?.cases = []
                let place = Self.place(of: ballot, in: group.cases)
                switch (place, newValue) {
                case (let place?, let held?): group.cases[place] = held
                case (nil, let held?):
                    group.cases.append(held)
                    count += 1
                case (let place?, nil):
                    group.cases.remove(at: place)
                    count -= 1
                case (nil, nil): break
                }
                group.nextDue = Self.unknown
                groups[ballot.node] = group.cases.isEmpty ? nil : group
            }
        }

        /// The ballots to vote on or to pursue now; `agree` says whether the tests agree with a verdict on a node.
        ///
        /// All cases on a node are on the same verdict: the one that its standing allows.
        mutating func due(
            fewest: Int, now: Instant, agree: (RegistryOperation.Judgment, NodeID) -> Bool
        ) -> [Ballot] {
            let isNew = fewest != self.fewest
            self.fewest = fewest
            var due: [Ballot] = []
            // Not over `indices`: these would keep the dictionary, so that the first change copied it.
            var place = groups.startIndex
            while place != groups.endIndex {
                let isHeld = agree(groups.values[place].cases[0].ballot.verdict, groups.keys[place])
                // Also where the tests do not agree now: they may later, with the same number.
                if isNew { groups.values[place].nextDue = Self.unknown }
                if isHeld {
                    groups.values[place].isHeld = true
                    groups.values[place].collect(&due, fewest: fewest, now: now)
                } else if groups.values[place].isHeld {
                    groups.values[place].isHeld = false
                }
                groups.formIndex(after: &place)
            }
            return due.sorted { ($0.height, $0.node) < ($1.height, $1.node) }
        }

        /// The ballots that `isOpen` says cannot be judged any more, and those opened by others at `height` or below
        /// that got no votes.
        func over(
            in state: RegistryState, openedUntil height: UInt64?, isOpen: (Ballot, RegisteredNode) -> Bool
        ) -> [Ballot] {
            var over: [Ballot] = []
            for (node, group) in groups {
                let judged = state.nodes[node]
                // A case holds references: it is not copied.
                for place in group.cases.indices {
                    let ballot = group.cases[place].ballot
                    let isForgotten =
                        height.map { group.cases[place].opened <= $0 } ?? false && group.cases[place].sender != nil
                        && group.cases[place].votes.isEmpty
                    if isForgotten || !(judged.map { isOpen(ballot, $0) } ?? false) { over.append(ballot) }
                }
            }
            return over
        }
    }
}
