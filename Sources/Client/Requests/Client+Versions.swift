internal import Directory
internal import Requests
internal import Wire

extension Client {
    /// Asks nodes of several operators for versions of hops that could not be used and that no list names, as of a node that has
    /// restarted.
    ///
    /// It asks by onion requests, so nobody learns this machine's address. A hop decides when its build fails; were others then
    /// asked over links, it could have the client show itself to a node of its own party. They are asked over links only if for
    /// seconds no path at all was built and no request was answered, as when all nodes have restarted: a hop cannot bring that
    /// about. Answers count because requests over the paths of earlier ones build none.
    func askForVersions() {
        if let since = versionsAskedAt {
            if pool.counts.lastBuilt >= since {
                versionsAskedAt = nil
            } else if pool.now - since >= buildPatience {
                versionsAskedAt = nil
                directory.vouchOverLinks()
            }
        }
        let nodes = directory.takeDoubtful()
        guard !nodes.isEmpty else { return }
        // Those links come after the wait even if there is nobody to ask by requests: a hop's failure must not bring them about.
        versionsAskedAt = versionsAskedAt ?? pool.now
        for (witness, nodes) in directory.witnesses(of: nodes) {
            for node in nodes {
                let call = RequestClient.Call(
                    scope: .init(isolation: 0, purpose: .descriptors), method: .descriptor,
                    targets: [.init(node: witness.node, onionKey: witness.onionKey)],
                    arguments: { _ in node.key.array })
                requests.ask(call) { [weak self, directory] outcome in
                    if outcome.showsAPath { self?.versionsAskedAt = nil }
                    guard case .answered(let answer, _, _) = outcome, answer.status == .done else { return }
                    directory.heard(answer.result, of: node, from: witness.node)
                }
            }
        }
    }

    /// How long to wait for a build: four times as long as the slowest of the last ones took, 3 to 10 s.
    private var buildPatience: TimeSpan {
        min(.seconds(10), max(.seconds(3), (pool.counts.times.max() ?? .zero) * 4))
    }
}

extension RequestClient.Outcome {
    /// Whether a proxy has answered, so that a path reaches it.
    fileprivate var showsAPath: Bool {
        switch self {
        case .answered, .refused: true
        case .timedOut, .noProxy, .tooMany: false
        }
    }
}
