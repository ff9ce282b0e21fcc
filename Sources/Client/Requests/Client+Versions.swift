internal import Directory
internal import Requests
internal import Sessions
internal import Wire

extension Client {
    /// Asks nodes of several operators for versions of unusable hops that no list names, for example of a restarted
    /// node.
    ///
    /// It uses onion requests, so no node learns this machine's address. A hop decides when its build fails. If nodes
    /// were then asked over links, the hop could make the client reveal itself to a node of the same party. Links are
    /// used only if for seconds no path at all was built and no request was answered, for example because all nodes
    /// have restarted; a hop cannot cause that. Answers count because a request over an earlier path builds none.
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
        // Those links come after the wait even if there is nobody to ask by requests: a hop's failure must not bring
        // them about.
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

    /// How long to wait for a build: four times the slowest of the last builds, between 3 and 10 s.
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
