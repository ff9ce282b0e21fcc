internal import Directory
internal import Requests
internal import Sessions
public import Wire

/// The state that a node reports in answer to an onion request.
public struct NodeStateAnswer: Sendable, Equatable {
    /// The height of the snapshot that the node trusts.
    public var height: UInt64
    /// How full the node's store is, in sixteenths of its quota.
    public var fill: Int
    /// Whether the node stores items of apps.
    public var stores: Bool
    /// How long the answer took.
    public var time: TimeSpan
}

/// Why a node's state could not be obtained.
public enum NodeStateFailure: Error, Equatable, Sendable {
    /// The trusted snapshot does not have the node.
    case unknownNode
    /// The node is suspended.
    case notStaked
    /// The node's descriptor is not known here, so no request can be sealed to it.
    case noDescriptor
    /// There is no path to a proxy.
    case noPath
    /// No answer came in time; `hint` is the last status that a proxy reported, which is unproven.
    case noAnswer(hint: String?)
    /// Too many requests are under way.
    case tooMany
    /// The node answered with this status.
    case refused(String)
    /// The node's answer cannot be read.
    case unreadable
}

extension Client {
    /// Asks `node` for its state by an onion request.
    ///
    /// `done` is called once, at the latest 10 s later, and perhaps inside this call.
    public func requestState(
        of node: NodeID, done: @escaping (Result<NodeStateAnswer, NodeStateFailure>) -> Void
    ) {
        guard let entry = directory.trust.chain.snapshot.entry(of: node) else { return done(.failure(.unknownNode)) }
        guard entry.isStaked else { return done(.failure(.notStaked)) }
        guard sessions.readiness.isReady else { return done(.failure(.noPath)) }
        guard let descriptor = directory.descriptor(of: node) else { return done(.failure(.noDescriptor)) }
        let call = RequestClient.Call(
            scope: .init(isolation: 0, purpose: .state(node)), method: .status,
            targets: [.init(node: node, onionKey: descriptor.onionKey)], arguments: { _ in [] })
        let began = pool.now
        requests.ask(call) { [pool] outcome in
            done(Self.answer(outcome, after: pool.now - began))
        }
    }

    private static func answer(
        _ outcome: RequestClient.Outcome, after time: TimeSpan
    ) -> Result<NodeStateAnswer, NodeStateFailure> {
        switch outcome {
        case .answered(let answer, _, _):
            guard answer.status == .done else { return .failure(.refused(answer.status.name)) }
            guard let state = try? NodeState(decoding: answer.result.rawSpan) else {
                return .failure(.unreadable)
            }
            return .success(
                NodeStateAnswer(height: state.height, fill: Int(state.fill), stores: state.stores, time: time))
        case .refused(let status): return .failure(.noAnswer(hint: status.name))
        case .timedOut: return .failure(.noAnswer(hint: nil))
        case .noProxy: return .failure(.noPath)
        case .tooMany: return .failure(.tooMany)
        }
    }
}
