internal import Client
internal import Control
internal import Wire

extension RequestReport {
    /// The state of `node`.
    init(_ answer: NodeStateAnswer, of node: NodeID) {
        self.init(
            node: node.description, height: answer.height, fill: answer.fill, stores: answer.stores,
            time: answer.time.inMilliseconds)
    }
}

extension NodeStateFailure {
    /// The fault and the remedy, in one line without a full stop.
    func text(of node: NodeID) -> String {
        switch self {
        case .unknownNode: "\(node) is not in the snapshot that this client trusts; check the id"
        case .notStaked: "\(node) is suspended: requests go to staked nodes only"
        case .noDescriptor: "the descriptor of \(node) is not known, so nothing can be sealed to it; try again later"
        case .noPath: "there is no path for the request; see 'tunic status'"
        case .noAnswer(nil): "\(node) has not answered in time"
        case .noAnswer(let hint?): "\(node) has not answered; a proxy says that \(hint)"
        case .tooMany: "too many requests are under way; try again later"
        case .refused(let status): "\(node) has refused: \(status)"
        case .unreadable: "the answer of \(node) cannot be read"
        }
    }
}
