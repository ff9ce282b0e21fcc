internal import FoundationEssentials
internal import Texts

extension StatusReport {
    /// The rows of the report's figures: titles and texts.
    package var rows: [(title: String, text: String)] {
        var rows: [(title: String, text: String)] = []
        for entry in FigureCatalog.all {
            guard let title = entry.row, let phrase = phrase(of: entry) else { continue }
            if let place = rows.firstIndex(where: { $0.title == title }) {
                let isJoined = phrase.first.map { " ,;".contains($0) } ?? false
                rows[place].text += isJoined ? phrase : ", " + phrase
            } else {
                rows.append((title, String(phrase.drop { " ,;".contains($0) })))
            }
        }
        return rows
    }

    private func phrase(of entry: FigureEntry) -> String? {
        guard let content = content(of: entry) else { return hasObject(of: entry) ? entry.absent : nil }
        guard !(entry.hidesZero && content.isZero) else { return nil }
        return entry.phrase.replacing("#", with: entry.style.text(content))
    }

    /// The output of `tunic status`: a table of names and values.
    package var text: String {
        var table = Table()
        table.add("role", self.role.rawValue + (self.exit == true ? ", exit" : ""))
        if let node = self.node { table.add("node", node) }
        if let addresses = self.addresses { table.add("address", addresses.joined(separator: ", ")) }
        let flags = self.socksFlags ?? []
        for (number, address) in self.socks.enumerated() {
            let words = number < flags.count ? flags[number] : []
            table.add(number == 0 ? "proxy" : "", ([address] + words).joined(separator: ","))
        }
        table.add("version", self.version)
        table.add("running for", durationText(self.uptime ?? 0))
        let state = self.draining == true ? "draining" : ready ? "yes" : "no"
        table.add("ready", self.problem.map { "\(state): \($0)" } ?? state)
        for row in rows { table.add(row.title, row.text) }
        return table.lines.joined(separator: "\n")
    }

    /// The lines of `tunic top`: a title, the state, and the figures.
    package var topLines: (title: String, state: String, figures: String) {
        let state = ready ? "ready" : self.problem ?? "starting"
        let figures = FigureCatalog.all.compactMap { entry in
            guard let top = entry.top, let content = content(of: entry) else { return nil as String? }
            return top.replacing("#", with: entry.style.text(content))
        }
        return (
            "\(self.role.rawValue) \(self.version)", "\(state)  running for \(durationText(self.uptime ?? 0))",
            figures.joined(separator: "  ")
        )
    }
}

extension FigureCatalog {
    /// The description of a figure for the status page.
    private struct Shown: Encodable {
        var path: [String]
        var row: String?
        var phrase: String
        var style: String
        var help: String
        var absent: String?
        var zero: Bool
    }

    /// The descriptions of all figures for the status page, as a JSON list in the order of the catalogue.
    ///
    /// Each has the `path` to its value in a report, its `row`, `phrase`, `style` and `help`, its text when `absent`,
    /// and whether it is shown when it is `zero`.
    package static var json: String {
        Control.json(
            all.map {
                Shown(
                    path: [$0.path.object, $0.path.name].compactMap(\.self), row: $0.row, phrase: $0.phrase,
                    style: $0.style.rawValue, help: $0.help, absent: $0.absent, zero: !$0.hidesZero)
            })
    }
}
