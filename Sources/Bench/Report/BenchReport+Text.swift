extension BenchReport {
    /// The text that `tunic bench` prints: conditions, tables, advice, and a comparison with an older run, read from
    /// `file`.
    package func text(older: BenchReport?, file: String) -> String {
        let parts = [conditions] + tables.map { $0.lines.joined(separator: "\n") } + [advice]
        let text = parts.joined(separator: "\n\n")
        guard let older else { return text }
        var lines = comparison(with: older).lines
        lines.append("then: \(file), tunic \(older.version), \(older.date); now: tunic \(version)")
        let differences = differences(from: older)
        if !differences.isEmpty {
            lines.append("the two runs differ, so the ratios mean less: " + differences.joined(separator: "; "))
        }
        return "\(text)\n\n" + lines.joined(separator: "\n")
    }

    /// The message about measurements that have no figure; nil if all have one.
    package var faultText: String? {
        guard let first = faults.first else { return nil }
        return faults.count == 1 ? first : "\(faults.count) measurements have no figure, \(first) is the first"
    }
}
