internal import OnionCrypto

/// The random labels under which isolation keys are shown; a label stays the same while the process runs.
struct KeyLabels {
    /// The most labels; beyond it, those of keys without a session are forgotten.
    private static let limit = 4 * ClientSessions.limit

    private var labels: [IsolationKey: String] = [:]

    /// The label of `key`; `inUse` are the keys with a session.
    mutating func label(of key: IsolationKey, inUse: some Sequence<IsolationKey>) -> String {
        let key = key.shown
        if let label = labels[key] { return label }
        if labels.count >= Self.limit {
            let shown = Set(inUse.lazy.map(\.shown))
            labels = labels.filter { shown.contains($0.key) }
        }
        let letters = Array("bcdfghjkmnpqrstvwxz")
        let label = String((0..<5).map { _ in SecureRandom.element(of: letters) ?? "x" })
        labels[key] = label
        return label
    }
}
