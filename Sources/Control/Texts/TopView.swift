/// The output of `tunic top` for a process: its figures, and a client's paths and streams.
package struct TopView {
    /// The size of a terminal.
    package struct Size {
        package var lines: Int
        package var columns: Int

        package init(lines: Int, columns: Int) {
            self.lines = lines
            self.columns = columns
        }
    }

    /// A terminal narrower than this shows fewer columns of paths.
    private static let narrow = 100

    private let status: StatusReport
    private let paths: PathsReport
    private let streams: StreamsReport

    /// The view of `status`; `paths` and `streams` are those of the client among its roles.
    package init(_ status: StatusReport, paths: PathsReport, streams: StreamsReport) {
        self.status = status
        self.paths = paths
        self.streams = streams
    }

    /// The view, limited to a terminal of this size; `isBold` emphasises titles with control codes.
    package func text(isBold: Bool, size: Size?) -> String {
        func title(_ text: String) -> String { isBold ? "\u{1b}[1m\(text)\u{1b}[0m" : text }
        let isNarrow = size.map { $0.columns < Self.narrow } ?? false
        var lines: [String] = []
        for report in [status] + (status.others ?? []) {
            let shown = report.topLines
            lines += [title(shown.title) + "  \(shown.state)", shown.figures]
            guard report.role == .client else { continue }
            let paths = paths.text(isNarrow: isNarrow).split(separator: "\n").map(String.init)
            let streams = streams.lines
            // Two titles, two empty lines and a relay's own two.
            let room = max(4, (size?.lines ?? .max) - lines.count - 4 - 2 * (status.others?.count ?? 0))
            let forStreams = min(streams.count, max(room / 2, room - paths.count))
            lines += ["", title("paths")] + Self.fit(paths, room - forStreams)
            lines += ["", title("streams")] + Self.fit(streams, forStreams)
        }
        guard let size else { return lines.joined(separator: "\n") }
        return Self.cut(Array(lines.prefix(size.lines)), to: size.columns)
    }

    /// The view of a process that does not answer for the given reason.
    package static func waiting(_ reason: String, size: Size?) -> String {
        let lines = ["the process does not answer; waiting for it (q ends)", reason]
        guard let size else { return lines.joined(separator: "\n") }
        return cut(lines, to: size.columns)
    }

    /// `lines` cut after `columns`, with a mark; control codes take no room.
    private static func cut(_ lines: [String], to columns: Int) -> String {
        lines.map { line in
            var shown = ""
            var count = 0
            var isCode = false
            for character in line {
                if character == "\u{1b}" { isCode = true }
                if !isCode {
                    count += 1
                    guard count < columns || line.count <= columns else { return shown + "…\u{1b}[0m" }
                }
                shown.append(character)
                if isCode, character.isLetter { isCode = false }
            }
            return shown
        }.joined(separator: "\n")
    }

    /// As many of `lines` as fit in `limit`; the last one then has the number of the rest.
    private static func fit(_ lines: [String], _ limit: Int) -> [String] {
        guard lines.count > limit else { return lines }
        return lines.prefix(max(0, limit - 1)) + ["… \(lines.count - max(0, limit - 1)) more"]
    }
}
