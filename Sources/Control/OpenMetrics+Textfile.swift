extension OpenMetrics {
    /// The metrics in `text`, made by this type, in Prometheus' older text format (0.0.4) for node_exporter's textfile
    /// collector.
    ///
    /// That format has neither units nor the type `info`, no end mark, and names a counter like its samples.
    public static func textfile(_ text: String) -> String {
        var suffix = ""
        var lines: [String] = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 3)
            switch words.prefix(2) {
            case ["#", "EOF"], ["#", "UNIT"]: break
            case ["#", "TYPE"] where words.count == 4:
                let kind = Kind(rawValue: String(words[3])) ?? .gauge
                suffix = kind.suffix
                lines.append("# TYPE \(words[2])\(suffix) \(kind == .info ? .gauge : kind)")
            case ["#", "HELP"] where words.count == 4: lines.append("# HELP \(words[2])\(suffix) \(words[3])")
            default: lines.append(String(line))
            }
        }
        return lines.map { $0 + "\n" }.joined()
    }
}
