internal import Directory
internal import EventLoop
internal import Links
internal import OnionCrypto
internal import Watch
internal import Wire

/// One check of an operator's node.
public struct CheckItem: Sendable, Equatable {
    /// The result of a check.
    public enum Outcome: String, Sendable {
        /// The node meets the requirement.
        case good
        /// The problem keeps the node from serving.
        case bad
        /// Other nodes could not answer.
        case unknown
        /// The check is under way.
        case pending
    }

    /// The finding.
    public let finding: CheckFinding
    /// The result.
    public let outcome: Outcome

    /// A finding and what it means for the node.
    init(_ finding: CheckFinding, _ outcome: Outcome) {
        self.finding = finding
        self.outcome = outcome
    }
}

/// Asks other nodes whether they reach this node, and whether they have its descriptor.
final class SelfCheck {
    /// The number of nodes that are asked.
    private static let asked = 3
    /// The time for others to learn of this node before they are asked, and the longest time for the whole check.
    private static let settling = TimeSpan.seconds(2)
    private static let limit = TimeSpan.seconds(15)
    /// How long results are kept.
    private static let freshness = TimeSpan.seconds(30)

    private let links: Links
    private let node: NodeID
    private let neighbours: Neighbours
    private var began: Instant?
    private var questions = 0
    private var answers = 0
    /// The answers of the nodes, each with one byte per address: 0 not reached, 1 reached, 2 unknown.
    private var reached: [[UInt8]] = []
    /// The numbers of nodes that hold the present descriptor, and that hold another one or none.
    private var accepted = 0, missing = 0

    /// A check of `node` by its neighbours.
    init(links: Links, node: NodeID, neighbours: Neighbours) {
        self.links = links
        self.node = node
        self.neighbours = neighbours
    }

    private var now: Instant { links.now }

    /// Begins a check unless the last results are fresh, and asks other nodes as soon as there are any.
    func advance() {
        if let began, isDone, now - began > Self.freshness { self.began = nil }
        if began == nil {
            began = now
            (questions, answers, accepted, missing, reached) = (0, 0, 0, 0, [])
        }
        guard questions == 0, let began, now - began >= Self.settling else { return }
        for link in SecureRandom.shuffled(neighbours.up.values).prefix(Self.asked) { ask(link) }
    }

    private func ask(_ link: LinkID) {
        questions += 2
        let began = began
        links.request(on: link, WatchMessage.linkBack, body: [], timeout: .seconds(10)) { [weak self] result in
            guard let self, self.began == began else { return }
            answers += 1
            if case .success(let body) = result { reached.append(body) }
        }
        links.request(on: link, DirectoryMessage.getDescriptor, body: node.key.array, timeout: .seconds(5)) {
            [weak self] result in
            guard let self, self.began == began else { return }
            answers += 1
            guard case .success(let body) = result else { return }
            if body == neighbours.nodes.descriptor(of: node)?.bytes ?? [] { accepted += 1 } else { missing += 1 }
        }
    }

    /// Whether no more results will come.
    var isDone: Bool {
        guard let began else { return false }
        return questions > 0 && answers == questions || now - began > Self.limit
    }

    /// The results for these addresses, which must be in the order of the descriptor.
    func items(_ addresses: [Endpoint]) -> [CheckItem] {
        var items: [CheckItem] = []
        for (place, address) in addresses.enumerated() {
            let said = reached.compactMap { place < $0.count ? $0[place] : nil }
            let (yes, no) = (said.count { $0 == 1 }, said.count { $0 == 0 })
            if yes > 0 {
                items.append(CheckItem(.reached(address, by: yes, of: yes + no), .good))
            } else if no > 0 {
                items.append(CheckItem(.unreached(address, asked: no), .bad))
            } else {
                let finding = said.isEmpty ? CheckFinding.unasked(address) : .noRoute(address)
                items.append(CheckItem(finding, isDone ? .unknown : .pending))
            }
        }
        if accepted + missing > 0 {
            let finding = CheckFinding.descriptor(takenBy: accepted, of: accepted + missing)
            items.append(CheckItem(finding, accepted > 0 ? .good : .bad))
        } else {
            items.append(CheckItem(.descriptorUnasked, isDone ? .unknown : .pending))
        }
        return items
    }
}
