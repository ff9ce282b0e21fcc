extension ReportTable {
    /// The table for a terminal: title, head and rows, with names aligned to the left and figures to the right.
    public var lines: [String] {
        let whole = [head] + rows.filter { $0.count == head.count }
        let widths = head.indices.map { column in whole.map { $0[column].unicodeScalars.count }.max() ?? 0 }
        let first = rows.map { $0.first?.unicodeScalars.count ?? 0 }.max() ?? 0
        func padding(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.unicodeScalars.count))
        }
        let texts = ([head] + rows).map { row in
            row.enumerated().reduce("") { line, cell in
                if cell.offset == 0 { return cell.element + padding(cell.element, max(first, widths[0])) }
                guard row.count == head.count else { return "\(line)  \(cell.element)" }
                return "\(line)  \(padding(cell.element, widths[cell.offset]))\(cell.element)"
            }
        }
        return [title] + texts.map { "  \($0)" }
    }
}
