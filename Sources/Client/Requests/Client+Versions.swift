internal import Directory
internal import Requests
internal import Wire

extension Client {
    /// Asks nodes of several operators for versions of hops that could not be used and that no list names, as of a node that has
    /// restarted.
    ///
    /// It asks by onion requests, so nobody learns this machine's address. A hop decides when its build fails; were others then
    /// asked over links, it could have the client show itself to a node of its own party. Without any path to a proxy they are
    /// asked over links.
    func askForVersions() {
        for node in directory.takeDoubtful() {
            let witnesses = directory.witnesses(of: node)
            guard !witnesses.isEmpty else {
                directory.vouchOverLinks()
                continue
            }
            var (left, missed) = (witnesses.count, 0)
            for witness in witnesses {
                let call = RequestClient.Call(
                    scope: .init(isolation: 0, purpose: .descriptor(node)), method: .descriptor,
                    targets: [.init(node: witness.node, onionKey: witness.onionKey)],
                    arguments: { _ in node.key.array })
                requests.ask(call) { [directory] outcome in
                    left -= 1
                    switch outcome {
                    case .answered(let answer, _, _):
                        if answer.status == .done { directory.heard(answer.result, of: node, from: witness.node) }
                    case .noProxy: missed += 1
                    case .refused, .timedOut, .tooMany: break
                    }
                    if left == 0, missed == witnesses.count { directory.vouchOverLinks() }
                }
            }
        }
    }
}
