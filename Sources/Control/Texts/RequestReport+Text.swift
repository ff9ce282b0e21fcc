internal import Texts

extension RequestReport {
    /// The output of `tunic request NODE status`: a table.
    package var text: String {
        var table = Table()
        table.add("node", node)
        table.add("snapshot", "height \(height)")
        table.add("store", stores ? "\(fill) of 16 parts full" : "none")
        table.add("answered in", millisecondsText(time))
        return table.lines.joined(separator: "\n")
    }
}
