internal import OnionCrypto

/// The random labels under which isolation keys are shown, and the numbers under which services know them; both stay the
/// same while the process runs.
struct KeyLabels {
    private struct Names {
        let label: String
        let number: UInt64
    }

    /// The most keys; beyond it, those without a session are forgotten, and get other names.
    private static let limit = 4 * ClientSessions.limit
    /// The numbers of keys, apart from those that the process itself chooses for its look-ups.
    private static let firstNumber: UInt64 = 1 << 61

    private var names: [IsolationKey: Names] = [:]
    private var last = firstNumber

    /// The label of `key`; `inUse` are the keys with a session.
    mutating func label(of key: IsolationKey, inUse: some Sequence<IsolationKey>) -> String {
        names(of: key, inUse).label
    }

    /// The number of `key`, which no other key has or gets; `inUse` are the keys with a session.
    mutating func number(of key: IsolationKey, inUse: some Sequence<IsolationKey>) -> UInt64 {
        names(of: key, inUse).number
    }

    /// The numbers of the keys with this label.
    func numbers(of label: String) -> Set<UInt64> { Set(names.values.filter { $0.label == label }.map(\.number)) }

    private mutating func names(of key: IsolationKey, _ inUse: some Sequence<IsolationKey>) -> Names {
        let key = key.shown
        if let found = names[key] { return found }
        if names.count >= Self.limit {
            let shown = Set(inUse.lazy.map(\.shown))
            names = names.filter { shown.contains($0.key) }
        }
        let letters = Array("bcdfghjkmnpqrstvwxz")
        last += 1
        let new = Names(
            label: String((0..<5).map { _ in SecureRandom.element(of: letters) ?? "x" }), number: last)
        names[key] = new
        return new
    }
}
