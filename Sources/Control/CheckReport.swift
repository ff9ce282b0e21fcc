/// Whether a relay can serve, and what was looked at.
public struct CheckReport: Codable, Equatable, Sendable {
    /// One thing that was looked at.
    public struct Item: Codable, Equatable, Sendable {
        /// What it was, in a word.
        public var name: String
        /// `good`, `bad`, `unknown` or `pending`.
        public var verdict: String
        /// What was found, and what to do.
        public var text: String

        /// What was found of `name`.
        public init(name: String, verdict: String, text: String) {
            self.name = name
            self.verdict = verdict
            self.text = text
        }
    }

    /// Whether nothing was found that keeps it from serving.
    public var serves: Bool
    /// Whether nothing more will be found.
    public var done: Bool
    /// What was looked at.
    public var items: [Item]

    /// A report of `items`.
    public init(items: [Item], done: Bool) {
        self.items = items
        self.done = done
        serves = done && items.allSatisfy { $0.verdict != "bad" } && items.contains { $0.verdict == "good" }
    }
}
