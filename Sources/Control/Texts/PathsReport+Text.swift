internal import Texts

extension PathsReport {
    /// The output of `tunic paths`: a table with shortened node addresses; a narrow one has fewer columns.
    package func text(isNarrow: Bool = false) -> String {
        guard !paths.isEmpty else { return "no paths yet" }
        var table = Table()
        guard !isNarrow else {
            table.add("active", "to exit", "hops, guard first")
            for path in paths {
                table.add(
                    path.state == "ready" ? path.active ? "yes" : "no" : path.state, millisecondsText(path.roundTrip),
                    path.hops.map { String($0.prefix(8)) }.joined(separator: " > "))
            }
            return table.lines.joined(separator: "\n")
        }
        table.add(
            "state", "active", "age", "rtt to guard", "to exit", "built in", "received", "sent", "hops, guard first")
        for path in paths {
            table.add(
                path.state, path.active ? "yes" : "no", durationText(path.age), millisecondsText(path.guardRoundTrip),
                millisecondsText(path.roundTrip), millisecondsText(path.buildTime), byteText(path.bytesIn),
                byteText(path.bytesOut), path.hops.map(shortName).joined(separator: " > "))
        }
        return table.lines.joined(separator: "\n")
    }
}

/// The first letters of a node's address.
func shortName(_ node: String) -> String {
    node.hasSuffix(".snode") && node.count > 16 ? "\(node.prefix(8))…snode" : node
}

/// A time in milliseconds with one decimal; a dash for nil.
func millisecondsText(_ value: Double?) -> String { value.map { "\(numberText($0, decimals: 1)) ms" } ?? "-" }
