internal import Texts

extension StoredReport {
    /// The output of `tunic box put`.
    package var text: String { "stored: \(receipts) of \(of) receipts, \(millisecondsText(time))\nid \(id)" }
}

extension BoxReport.Entry {
    /// A line of `tunic box list`.
    package var text: String {
        let what = deleted ? "deleted" : id ?? "not shown"
        return "\(offset)  kind \(kind)  \(what)" + (size.map { "  \($0) bytes" } ?? "")
    }
}

extension SwarmReport {
    /// The output of `tunic swarm`.
    package var text: String {
        var table = Table()
        table.add("box", box)
        table.add("shard", "\(shard), by the snapshot of height \(height)")
        table.add("stored with", "\(majority) of \(replicas.count) replicas")
        for replica in replicas { table.add("replica", replica.node) }
        return table.lines.joined(separator: "\n")
    }
}
