/// Rows of text in columns that are as wide as their widest cell.
package struct Table {
    private var rows: [[String]] = []

    /// A table without rows.
    package init() {}

    /// Adds a row.
    package mutating func add(_ cells: String...) { rows.append(cells) }

    /// Adds a row.
    package mutating func add(_ cells: [String]) { rows.append(cells) }

    /// The lines, with two spaces between columns and none at the end.
    package var lines: [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].unicodeScalars.count : 0 }.max() ?? 0
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                guard column + 1 < row.count else { break }
                line += String(repeating: " ", count: widths[column] - cell.unicodeScalars.count + 2)
            }
            return line
        }
    }
}
