internal import Texts

extension CheckReport {
    /// The output of `tunic relay --check`: a table with a summary in the last line.
    package var text: String {
        var table = Table()
        for item in items { table.add(item.verdict, item.name, item.text) }
        let end = serves ? "This node can serve." : "This node cannot serve."
        return (table.lines + [end]).joined(separator: "\n")
    }
}
