internal import Texts

extension ExitsReport {
    /// The output of `tunic exits`: a table, or a sentence if there is no exit.
    package var text: String {
        guard !exits.isEmpty else { return "no usable exit is known" }
        var table = Table()
        table.add("exit", "country", "works", "build", "sessions")
        for exit in exits {
            table.add(
                exit.node, exit.country ?? "-", exit.up.map { $0 ? "yes" : "no" } ?? "not tried",
                millisecondsText(exit.buildTime), "\(exit.sessions)")
        }
        return table.lines.joined(separator: "\n")
    }
}

extension StreamsReport {
    /// The lines of `tunic streams`: a table, or a sentence if there is no stream.
    package var lines: [String] {
        guard !keys.isEmpty else { return ["no app has open streams"] }
        var table = Table()
        table.add("key", "streams", "exit", "round trip", "received", "sent")
        for key in keys {
            table.add(
                key.label, "\(key.streams)", shortName(key.exit), millisecondsText(key.roundTrip),
                byteText(key.bytesIn), byteText(key.bytesOut))
        }
        return table.lines
    }
}
